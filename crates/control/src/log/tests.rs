//! The logs as a whole: entries in, files and sockets out.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Instant;

use engine::account::Event;
use model::log::Sample;
use model::{HostPort, LogFormat, Verbosity};

use super::*;

/// Longest wait of a test for something that another thread does.
const PATIENCE: Duration = Duration::from_secs(20);

const BOTH: Streams = Streams { stdout: true, stderr: true };

#[track_caller]
fn start(logs: &[Log]) -> Running {
    Logs::open(logs, 1, BOTH).expect("logs that open").start().expect("threads")
}

#[track_caller]
fn replace(running: &Running, logs: &[Log]) {
    running.replace(running.prepare(logs, 1).expect("logs that open"));
}

#[test]
fn entries_come_out_in_order_and_a_renamed_file_is_left_whole() {
    let dir = Directory::new("order");
    let log = dir.log("log", LogFormat::Json);
    let running = start(std::slice::from_ref(&log));
    let journal = running.journal();
    journal.record(samples::plain());
    journal.notice(samples::warning());
    // In order with the rest, unlike `Running::reopen`, so that the test is certain.
    journal.farewell(Entry::Reopen);
    journal.record(samples::denied());
    assert_eq!(running.finish(), Some(0));
    let shown: Vec<_> = dir
        .lines("log")
        .iter()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
            let key = if value.get("message").is_some() { "level" } else { "reason" };
            value[key].as_str().expect("a word").to_owned()
        })
        .collect();
    assert_eq!(shown, ["done", "warning", "denied"]);
}

#[test]
fn what_the_queue_had_no_room_for_is_told() {
    let dir = Directory::new("dropped");
    for (name, logs) in [
        ("alone", vec![dir.log("alone", LogFormat::Text)]),
        ("one", vec![dir.log("one", LogFormat::Text), dir.log("two", LogFormat::Json)]),
    ] {
        let logs = Logs::open(&logs, 1, BOTH).expect("new files");
        let (journal, entries) = journal::journal(logs.wants());
        for _ in 0..journal::ENTRIES_MAX + 5 {
            journal.notice(samples::warning());
        }
        let dispatcher = Dispatcher::start(logs, journal.clone(), Successors::default());
        aside(move || journal.farewell(Entry::Close));
        assert_eq!(dispatcher.expect("threads").run(&entries), 0);
        let lines = dir.lines(name);
        let told = "log entries were dropped: the log was slower than they came";
        let dropped: usize = lines
            .iter()
            .filter(|line| line.ends_with(told))
            .map(|line| {
                let (_, count) = line.split_once("warning: ").expect("it is a warning");
                count.split(' ').next().and_then(|n| n.parse::<usize>().ok()).expect("a count")
            })
            .sum();
        let written = lines.iter().filter(|line| line.contains("is down")).count();
        assert_eq!(written + dropped, journal::ENTRIES_MAX + 5, "{name}");
        assert!(dropped >= 5, "{name}");
    }
}

#[test]
fn what_a_full_disk_never_took_is_counted_at_the_end() {
    let dir = Directory::new("full");
    let full = Log::to(LogTarget::File("/dev/full".to_owned()));
    for logs in [vec![full.clone()], vec![full, dir.log("other", LogFormat::Text)]] {
        let running = start(&logs);
        running.journal().record(samples::plain());
        running.journal().record(samples::moved());
        assert_eq!(running.finish(), Some(2));
    }
    assert_eq!(dir.lines("other").len(), 2, "the other log has nothing to do with it");
}

#[test]
fn each_log_has_what_it_wants_in_its_own_format() {
    let dir = Directory::new("several");
    let logs = [
        Log { start: true, ..dir.log("all", LogFormat::Json) },
        dir.log("ends", LogFormat::HaproxyTcp),
        Log { verbosity: Verbosity::Quiet, ..dir.log("quiet", LogFormat::Text) },
        Log {
            every: Some(Duration::from_secs(60)),
            sample: Sample::one_in(u32::MAX.try_into().expect("not zero")),
            ..dir.log("failed", LogFormat::Logfmt)
        },
    ];
    let opened = Logs::open(&logs, 1, BOTH).expect("new files");
    let level = Level::Info;
    let every = Some(Duration::from_secs(60));
    let most = Wants { records: true, start: true, every, counts: true, requests: false, level };
    assert_eq!(opened.wants(), most);
    let running = opened.start().expect("threads");
    let journal = running.journal();
    journal.record(Record { event: Event::Start, ..samples::plain() });
    journal.record(samples::open());
    journal.record(samples::plain());
    journal.record(samples::denied());
    journal.notice(Notice::Remark { level, text: "all is well".to_owned() });
    journal.notice(samples::warning());
    assert_eq!(running.finish(), Some(0));

    let of = |name, words: [&str; 6]| {
        let lines = dir.lines(name);
        words.map(|word| lines.iter().filter(|line| line.contains(word)).count())
    };
    let json = ["\"start\"", "\"open\"", "\"done\"", "\"denied\"", "well", "is down"];
    assert_eq!(of("all", json), [1, 0, 1, 1, 1, 1]);
    let haproxy = ["+1204", "open", " 1234567 -- ", "<NOSRV>", "well", "is down"];
    assert_eq!(of("ends", haproxy), [0, 0, 1, 1, 1, 1]);
    assert_eq!(
        of("quiet", ["start", "open", "done", "denied", "well", "is down"]),
        [0, 0, 0, 0, 0, 1]
    );
    let logfmt = ["=start", "=open", "=done", "=denied", "well", "is down"];
    assert_eq!(of("failed", logfmt), [0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_server_that_reads_nothing_takes_nothing_from_the_other_logs() {
    let dir = Directory::new("stuck");
    // The kernel takes the connection, and nobody takes it from there.
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let running = start(&[tcp(&server), dir.log("log", LogFormat::Text)]);
    let long = "x".repeat(1_000);
    let notice = || Notice::Remark { level: Level::Info, text: long.clone() };
    // More than the buffers of a connection, what is held for it, and its queue have room for.
    const ENTRIES: usize = 30_000;
    for count in 0..ENTRIES {
        running.journal().notice(notice());
        // Not faster than the file: this test is about the server.
        if count % 4_096 == 0 {
            wait_for("the file", || dir.lines("log").len() > count);
        }
    }
    wait_for("the file", || dir.lines("log").len() == ENTRIES);
    assert!(running.journal().take_dropped() == 0);
}

#[test]
fn a_server_gets_each_message_behind_its_length() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let running = start(&[tcp(&server)]);
    running.journal().record(samples::hostile());
    running.journal().notice(samples::warning());
    let (mut connection, _) = server.accept().expect("the log connects");
    let first = frame(&mut connection);
    assert!(first.starts_with("<30>1 2026-07-30T11:50:25.678Z "), "{first}");
    assert!(first.contains(" session - ") && !first.contains('\n'), "{first}");
    let second = frame(&mut connection);
    assert!(second.starts_with("<28>1 ") && second.contains(" notice - warning: "), "{second}");
    assert_eq!(running.finish(), Some(0));
}

#[test]
fn messages_of_datagrams_are_cut_to_what_servers_take() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
    let at = SyslogServer::Udp(HostPort::Ip(server.local_addr().expect("it is bound")));
    let running = start(&[Log::to(LogTarget::Syslog(Syslog::new(at)))]);
    let receive = || {
        let mut message = [0; 9_000];
        let count = server.recv(&mut message).expect("a message comes");
        String::from_utf8(message[..count].to_vec()).expect("text")
    };
    running.journal().record(samples::plain());
    let message = receive();
    assert!(message.starts_with("<30>1 ") && message.contains(" session - 10."), "{message}");
    let hostile = "\u{e0041}".repeat(4_096);
    running.journal().record(Record { listener: hostile.into(), ..samples::moved() });
    running.journal().record(samples::hostile());
    let attempts = std::iter::repeat_n(samples::moved().attempts, 1_000).flatten().collect();
    running.journal().record(Record { attempts, ..samples::moved() });
    let lengths = [receive().len(), receive().len(), receive().len()];
    assert!(lengths.iter().all(|length| *length <= syslog::MESSAGE_BYTES_MAX), "{lengths:?}");
    assert_eq!(lengths[2], syslog::MESSAGE_BYTES_MAX);
    assert_eq!(running.finish(), Some(0));
}

#[test]
fn logs_are_replaced_between_two_entries() {
    let dir = Directory::new("replaced");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (old, kept) = (dir.log("old", LogFormat::Json), dir.log("kept", LogFormat::Json));
    let running = start(&[old, kept.clone(), tcp(&server)]);
    let say = |from: usize| {
        for number in from..from + 500 {
            running.journal().record(Record { id: number as u64, ..samples::plain() });
        }
    };
    say(0);
    let (mut connection, _) = server.accept().expect("the log connects");
    let unopened = Log::to(LogTarget::File("/no/such/directory/log".to_owned()));
    let failure = running.prepare(&[kept.clone(), unopened], 1).expect_err("no such directory");
    assert!(failure.to_string().starts_with("cannot open the log /no/such/directory/log: No such"));
    let new = Log { start: true, ..dir.log("new", LogFormat::Json) };
    replace(&running, &[new, kept, tcp(&server)]);
    // The request comes in on a thread of its own.
    wait_for("the new logs", || running.journal().wants().start);
    say(500);
    assert_eq!(running.finish(), Some(0));

    let ids = |name: &str| -> Vec<u64> {
        let lines = dir.lines(name);
        let id = |line: &String| {
            let record: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
            record["id"].as_u64().expect("a number")
        };
        lines.iter().map(id).collect()
    };
    assert_eq!(ids("old"), (0..500).collect::<Vec<_>>());
    assert_eq!(ids("new"), (500..1_000).collect::<Vec<_>>());
    assert_eq!(ids("kept"), (0..1_000).collect::<Vec<_>>());
    for _ in 0..1_000 {
        frame(&mut connection);
    }
    assert_eq!(connection.read(&mut [0]).expect("the end"), 0, "one connection, and no more");
}

#[test]
fn one_log_becomes_several_and_one_again() {
    let dir = Directory::new("several-and-one");
    let (a, b) = (dir.log("a", LogFormat::Logfmt), dir.log("b", LogFormat::Logfmt));
    let running = start(std::slice::from_ref(&a));
    running.journal().record(samples::plain());
    for (logs, start) in [(vec![a.clone(), b.clone()], true), (vec![a], false)] {
        let logs: Vec<_> = logs.into_iter().map(|log| Log { start, ..log }).collect();
        replace(&running, &logs);
        wait_for("the new logs", || running.journal().wants().start == start);
        running.journal().record(samples::plain());
    }
    assert_eq!(running.finish(), Some(0));
    assert_eq!((dir.lines("a").len(), dir.lines("b").len()), (3, 1));
}

#[test]
fn syslog_stands_in_for_streams_that_are_not_ours() {
    let logs = [Log::to(LogTarget::Stdout), Log::to(LogTarget::Stderr)];
    let targets = |stdout, stderr| -> Vec<_> {
        let setups = setups(&logs, 1, Streams { stdout, stderr });
        setups.into_iter().map(|setup| setup.log.to.value).collect()
    };
    let syslog = LogTarget::Syslog(Syslog::new(SyslogServer::Local));
    assert_eq!(targets(true, true), [LogTarget::Stdout, LogTarget::Stderr]);
    assert_eq!(targets(true, false), [LogTarget::Stdout, syslog.clone()]);
    assert_eq!(targets(false, true), [syslog, LogTarget::Stderr]);
}

#[test]
fn milliseconds() {
    for (micros, expected) in [
        (0, "0"),
        (7, "0.007"),
        (80, "0.08"),
        (412, "0.412"),
        (1_500, "1.5"),
        (3_000, "3"),
        (1_204_050, "1204.05"),
    ] {
        assert_eq!(millis(Duration::from_micros(micros)).to_string(), expected);
    }
}

fn tcp(server: &TcpListener) -> Log {
    let address = server.local_addr().expect("it is bound");
    Log::to(LogTarget::Syslog(Syslog::new(SyslogServer::Tcp(HostPort::Ip(address)))))
}

/// The next message of a connection.
#[track_caller]
fn frame(connection: &mut TcpStream) -> String {
    connection.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
    let mut length = 0;
    loop {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("a length");
        match byte[0] {
            b' ' => break,
            digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
            other => panic!("{other} is no digit of a length"),
        }
    }
    let mut message = vec![0; length];
    connection.read_exact(&mut message).expect("the whole message");
    String::from_utf8(message).expect("text")
}

#[track_caller]
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    wait_for_some(what, || done().then_some(()));
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "another thread tells nothing but by what it writes")]
fn wait_for_some<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A directory for the log files of one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("replug-log-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn log(&self, name: &str, format: LogFormat) -> Log {
        let path = self.0.join(name);
        let path = path.to_str().expect("a path of our own is text");
        Log { format, ..Log::to(LogTarget::File(path.to_owned())) }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(name)).expect("a log file");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
