//! Several logs, servers of logs, and records on the way. [`tcplog`] holds ours beside HAProxy's.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use rig::wait::until;
use rig::{Backend, Forwarder, PATIENCE, Peer, Scratch, UdpBackend, UdpPeer};
use rustix::process::Signal;

use crate::named::{Named, ask, ask_times};
use crate::path::REPLUG;

mod tcplog;

/// Runs one listener that leads to `target`, with these `logs`.
#[track_caller]
fn start(scratch: &Scratch, target: &str, logs: &str) -> Forwarder {
    let text = format!("[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{target}\"\n{logs}\n");
    let path = scratch.join("replug.toml");
    fs::write(&path, text).expect("a scratch file can be written");
    Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
}

fn lines(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // What stands behind the last line end is still being written.
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

/// The value of `key` in a line of logfmt.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let pair = line.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    pair.unwrap_or_else(|| panic!("no {key} in {line}"))
}

#[test]
fn several_logs_each_have_their_own_format() {
    let (a, scratch) = (Named::start('A'), Scratch::new());
    let [json, quiet, haproxy] = ["json", "quiet", "haproxy"].map(|name| scratch.join(name));
    let forwarder = start(
        &scratch,
        &a.target(),
        &format!(
            "[[log]]\n[[log]]\nformat = \"json\"\nto = \"{json}\"\n\
             [[log]]\nverbosity = \"quiet\"\nto = \"{quiet}\"\n\
             [[log]]\nformat = \"haproxy-tcp\"\nto = \"{haproxy}\"",
        ),
    );
    ask(&forwarder);
    forwarder.messages().expect("  done");
    until("the JSON log", || lines(&json).iter().any(|line| line.contains("\"reason\":\"done\"")));
    until("the tcplog", || lines(&haproxy).iter().any(|line| line.contains(" 1 -- 1/1/0/0/0 0/0")));
    assert_eq!(lines(&quiet), [""; 0]);
}

#[test]
fn a_session_is_told_at_its_start_now_and_then_and_at_its_end() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let path = scratch.join("log");
    let logs = format!(
        "[[log]]\n[[log]]\nformat = \"logfmt\"\nto = \"{path}\"\nstart = true\nevery = \"1s\"",
    );
    let forwarder = start(&scratch, &backend.address().to_string(), &logs);
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    client.send(b"ask");
    peer.expect(b"ask");
    let events = || -> Vec<String> {
        lines(&path).into_iter().filter(|line| line.contains(" event=")).collect()
    };
    until("two reports", || events().len() >= 3);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    until("the end", || events().last().is_some_and(|line| line.contains(" event=end ")));

    let events = events();
    let (last, open) = (&events[events.len() - 1], &events[1..events.len() - 1]);
    assert_eq!(value(&events[0], "event"), "start");
    assert_eq!(value(&events[0], "bytes_to_backend"), "0");
    assert!(!events[0].contains(" reason="), "{}", events[0]);
    for line in open {
        assert_eq!(value(line, "event"), "open");
        assert_eq!(value(line, "bytes_to_backend"), "3");
        let millis: f64 = value(line, "duration_ms").parse().expect("a number");
        assert!(millis >= 1_000.0, "{line}");
    }
    assert_eq!((value(last, "reason"), value(last, "code")), ("done", "--"));
    for line in &events {
        for key in ["id", "client", "backend", "connect_ms"] {
            assert_eq!(value(line, key), value(last, key), "{line}");
        }
    }
}

#[test]
fn flows_are_told_on_the_way_too() {
    let (backend, scratch) = (UdpBackend::named('A'), Scratch::new());
    let [path, file] = ["log", "replug.toml"].map(|name| scratch.join(name));
    let text = format!(
        "[listener.web]\nbind = \"udp://127.0.0.1:0\"\nto = \"{}\"\ntimeouts = {{ idle = \"4s\" }}\n\
         [[log]]\n[[log]]\nformat = \"logfmt\"\nto = \"{path}\"\nstart = true\nevery = \"1s\"",
        backend.target(),
    );
    fs::write(&file, text).expect("a scratch file can be written");
    let forwarder = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &file]), 1);
    assert_eq!(UdpPeer::bind().ask(forwarder.address().udp(), b"who?"), b"A");
    let events = || -> Vec<String> {
        lines(&path).into_iter().filter(|line| line.contains(" event=")).collect()
    };
    until("the end", || events().last().is_some_and(|line| line.contains(" event=end ")));
    let events = events();
    let kinds: Vec<_> = events.iter().map(|line| value(line, "event")).collect();
    assert!(kinds.len() > 2 && kinds[0] == "start", "{kinds:?}");
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| *kind == "open"), "{kinds:?}");
    assert_eq!(value(&events[0], "datagrams_to_backend"), "0");
    for line in &events[1..] {
        assert_eq!(value(line, "datagrams_to_client"), "1");
        assert_eq!(value(line, "id"), value(&events[0], "id"));
    }
}

#[test]
fn one_session_in_many_is_told_and_each_that_failed() {
    let (a, scratch) = (Named::start('A'), Scratch::new());
    let path = scratch.join("log");
    let logs =
        format!("[[log]]\n[[log]]\nformat = \"logfmt\"\nto = \"{path}\"\nsample = \"1/1000000\"",);
    let forwarder = start(&scratch, &a.target(), &logs);
    ask_times(20, &forwarder);
    forwarder.messages().expect_count(20, |line| line.ends_with("  done"));
    let refusing = a.close();
    // Reset as soon as it is accepted, which a client may notice while it connects.
    let _ = Peer::try_connect(forwarder.address()).and_then(|client| client.wait_end());
    until("the failure", || lines(&path).iter().any(|line| line.contains(" reason=refused ")));
    let told = lines(&path).iter().filter(|line| line.contains(" reason=done ")).count();
    assert_eq!(told, 0, "one in a million");
    drop(refusing);
}

#[test]
fn a_full_disk_is_told_once_and_the_other_logs_go_on() {
    let (a, scratch) = (Named::start('A'), Scratch::new());
    let path = scratch.join("log");
    let logs =
        format!("[[log]]\nto = \"/dev/full\"\n[[log]]\nformat = \"logfmt\"\nto = \"{path}\"");
    let text = format!(
        "[listener.web]\nbind = \"unix:{}\"\nto = \"{}\"\n{logs}\n",
        scratch.join("web"),
        a.target()
    );
    let file = scratch.join("replug.toml");
    fs::write(&file, text).expect("a scratch file can be written");
    let mut replug = rig::Program::start(Command::new(REPLUG).args(["run", "-c", &file]));
    replug.stderr().expect("cannot write the log to /dev/full: No space left on device");
    let at = rig::Address::parse(&format!("unix:{}", scratch.join("web")));
    for count in 1..=3 {
        let client = Peer::connect(&at);
        client.half_close();
        client.wait_end().expect("replug ends it");
        until("the record", || {
            lines(&path).iter().filter(|line| line.contains(" reason=done ")).count() == count
        });
    }
    replug.signal(Signal::TERM);
    replug.expect_exit(0);
    let told = replug.stderr().all_once_closed();
    assert_eq!(told.iter().filter(|line| line.contains("/dev/full")).count(), 1, "{told:?}");
    assert!(told.iter().any(|line| line.contains("log entries could not be written")), "{told:?}");
}

#[test]
fn datagrams_carry_syslog_of_rfc_5424() {
    let a = Named::start('A');
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
    let to = format!("syslog://{}", server.local_addr().expect("it is bound"));
    let messages = || {
        let mut message = [0; 16 * 1024];
        let count = server.recv(&mut message).expect("a message comes");
        String::from_utf8(message[..count].to_vec()).expect("text")
    };
    let scratch = Scratch::new();
    let listen = format!("unix:{}", scratch.join("web"));
    let mut replug = rig::Program::start(Command::new(REPLUG).args([
        "--log",
        "logfmt",
        "--log-to",
        &to,
        &listen,
        &a.target(),
    ]));
    let start = messages();
    let pid = replug.pid();
    assert!(start.starts_with("<30>1 2"), "{start}");
    assert!(start.contains(&format!(" replug {pid} notice - ts=")), "{start}");
    assert!(start.contains("listens on unix:"), "{start}");
    let client = Peer::connect(&rig::Address::parse(&listen));
    client.half_close();
    client.wait_end().expect("replug ends it");
    let record = messages();
    let words: Vec<_> = record.splitn(8, ' ').collect();
    assert_eq!((words[0], words[3], words[5], words[6]), ("<30>1", "replug", "session", "-"));
    assert_eq!(words[4], pid.to_string());
    assert_eq!(value(&record, "ts"), words[1], "the time of the event");
    assert_eq!(value(&record, "reason"), "done");
    replug.signal(Signal::TERM);
    replug.expect_exit(0);
    assert_eq!(replug.stderr().all_once_closed(), [""; 0]);
}

#[test]
fn a_server_by_tcp_may_go_and_come_back() {
    let (a, scratch) = (Named::start('A'), Scratch::new());
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("it is bound");
    let logs = format!(
        "[[log]]\n[[log]]\nto = \"syslog+tcp://{address}\"\nformat = \"json\"\n\
         facility = \"local7\"\ntag = \"edge\"",
    );
    let forwarder = start(&scratch, &a.target(), &logs);
    let (mut connection, _) = server.accept().expect("replug connects");
    let listens = frame(&mut connection);
    assert!(listens.starts_with("<190>1 ") && listens.contains(" edge "), "{listens}");
    ask(&forwarder);
    assert!(frame(&mut connection).contains("\"reason\":\"done\""));

    drop((connection, server));
    ask_times(3, &forwarder);
    let lost = format!("cannot write the log to syslog+tcp://{address}: ");
    forwarder.messages().expect(&lost);
    forwarder.messages().expect_count(4, |line| line.ends_with("  done"));
    let server = TcpListener::bind(address).expect("nobody else has the port");
    let (mut connection, _) = server.accept().expect("replug connects again");
    for _ in 0..3 {
        assert!(frame(&mut connection).contains("\"reason\":\"done\""), "nothing is lost");
    }
    let told = frame(&mut connection);
    assert!(told.contains("the log is written again after"), "{told}");
    assert!(told.contains("0 entries are lost"), "{told}");
}

/// The next message of a connection, each of which stands behind its length.
#[track_caller]
fn frame(connection: &mut TcpStream) -> String {
    connection.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
    let mut length = 0;
    loop {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("a length");
        match byte[0] {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    connection.read_exact(&mut message).expect("the whole message");
    String::from_utf8(message).expect("text")
}

#[test]
fn names_that_are_no_servers_do_not_hold_the_others_up() {
    let (a, scratch) = (Named::start('A'), Scratch::new());
    let logs = "[[log]]\n[[log]]\nto = \"syslog+tcp://no-such-host.invalid\"";
    let forwarder = start(&scratch, &a.target(), logs);
    ask_times(5, &forwarder);
    forwarder.messages().expect_count(5, |line| line.ends_with("  done"));
    let lost = "cannot write the log to syslog+tcp://no-such-host.invalid:601: ";
    forwarder.messages().expect(lost);
}
