//! 23 to 26: signals, pid file, daemon, words.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rig::wait::until;
use rig::{Closed, PATIENCE, Peer, Scratch};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::start::{REPLUG, Rinetd, end, name, run, run_by};

/// 23: at once, and connections with it. They are reset, since they are cut; rinetd sent a FIN.
#[test]
fn rn23_term_and_int() {
    let a = name('A');
    for signal in [Signal::TERM, Signal::INT] {
        let mut rinetd = Rinetd::start(&format!("BIND {}\n", end(a.address())));
        let client = Peer::connect(&rinetd.address);
        client.expect(b"A");
        rinetd.program.signal(signal);
        client.expect_reset();
        rinetd.program.expect_exit(0);
    }
}

/// A view of the file system in which `/run` and `/dev` are ours.
struct View {
    scratch: Scratch,
    daemon: UnixDatagram,
}

impl View {
    #[track_caller]
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "run this test as root: it replaces /dev");
        let scratch = Scratch::new();
        for folder in ["dev", "run"] {
            fs::create_dir(scratch.join(folder)).expect("a new folder");
        }
        fs::write(scratch.join("dev/null"), "").expect("a new file");
        let daemon = UnixDatagram::bind(scratch.join("dev/log")).expect("a new socket");
        daemon.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        symlink(REPLUG, scratch.join("rinetd")).expect("a new link");
        Self { scratch, daemon }
    }

    /// Starts `rinetd` by a link of this name.
    fn command(&self) -> Command {
        let script = "cd / && mount --bind /dev/null \"$0/dev/null\" && mount --rbind \"$0/dev\" /dev \
                      && mount --bind \"$0/run\" /run && cd \"$0\" && exec ./rinetd \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(self.scratch.path());
        command
    }

    /// Starts a daemon; gives its process.
    #[track_caller]
    fn launch(&self, words: &[&str], pidfile: &str) -> Daemon {
        let (code, said, told) = run_by(&mut self.command(), words);
        assert_eq!((code, &*said, &*told), (0, "", ""), "{words:?}");
        let id = fs::read_to_string(pidfile).expect("the pid file is there");
        let id = id.trim_end().parse().ok().and_then(Pid::from_raw).expect("a process id");
        Daemon { id, pidfile: pidfile.to_owned() }
    }

    /// The next message, with `PID` for the process.
    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 2048];
        let count = self.daemon.recv(&mut message).expect("a message within PATIENCE");
        let text = String::from_utf8_lossy(&message[..count]).into_owned();
        let (head, rest) = text.split_once("]: ").expect("a head of syslog");
        let (tag, id) = head.split_once('[').expect("a process id");
        assert!(id.parse::<u32>().is_ok(), "{text}");
        format!("{tag}[PID]: {rest}")
    }
}

/// A daemon, which ends with its test whatever comes of that.
struct Daemon {
    id: Pid,
    pidfile: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill_process(self.id, Signal::TERM).expect("the daemon runs");
        until("the daemon to end", || test_kill_process(self.id).is_err());
        // Our improvement: it stayed behind.
        let is_left = Path::new(&self.pidfile).exists();
        assert!(!is_left || std::thread::panicking(), "the pid file is left behind");
    }
}

/// 24, 25: a relative path means what it meant to whoever wrote it. Also syslog (2.4).
#[test]
fn rn24_pid_files_rn25_daemon() {
    let (view, a, port) = (View::new(), name('A'), Closed::bind());
    let bind = end(port.address());
    let rule = format!("{bind} {}\ndeny 127.0.0.3\n", end(a.address()));
    let file = view.scratch.join("some.conf");
    fs::write(&file, &rule).expect("a file in a new folder");
    let usual = view.scratch.join("run/rinetd.pid");
    let daemon = view.launch(&["-c", "some.conf"], &usual);
    Peer::connect(port.address()).expect(b"A");
    assert_eq!(view.next(), "<30>rinetd[PID]: starting redirections...");
    let denied = Peer::connect_from([127, 0, 0, 3].into(), port.address());
    denied.expect_fin();
    assert_eq!(view.next(), "<30>rinetd[PID]: 127.0.0.3 denied");
    kill_process(daemon.id, Signal::HUP).expect("the daemon runs");
    assert_eq!(view.next(), "<30>rinetd[PID]: received SIGHUP, reloading configuration...");
    drop(daemon);

    let own = view.scratch.join("own.pid");
    fs::write(&file, format!("{rule}pidlogfile {own}\n")).expect("the file can be written");
    let daemon = view.launch(&["-c", "./some.conf"], &own);
    assert!(!Path::new(&usual).exists());
    drop(daemon);
}

/// 24: in the foreground only if it is named.
#[test]
fn rn24_in_the_foreground() {
    let a = name('A');
    let rule = format!("BIND {}\n", end(a.address()));
    let rinetd = Rinetd::start(&rule);
    drop(rinetd);
    let scratch = Scratch::new();
    let pid = scratch.join("pid");
    let mut rinetd = Rinetd::start(&format!("{rule}pidlogfile {pid}\n"));
    let id = fs::read_to_string(&pid).expect("the pid file is there");
    assert_eq!(id.trim_end(), rinetd.program.pid().to_string());
    rinetd.program.signal(Signal::TERM);
    rinetd.program.expect_exit(0);
    assert!(!Path::new(&pid).exists());
}

/// 25: rinetd went to the background before it looked, and returned 0.
#[test]
fn rn25_a_daemon_that_cannot_start() {
    let view = View::new();
    let file = view.scratch.join("bad.conf");
    fs::write(&file, "0 80 10.0.0.1\n").expect("a file in a new folder");
    let (code, _, told) = run_by(&mut view.command(), &["-c", "bad.conf"]);
    assert_eq!(code, 1);
    assert!(told.contains("rinetd error: invalid syntax at line 1: 0 80 10.0.0.1\n"), "{told}");
    assert_eq!(view.next(), "<27>rinetd[PID]: invalid syntax at line 1: 0 80 10.0.0.1");
    let (code, _, told) = run_by(&mut view.command(), &["-c", "none.conf"]);
    assert_eq!(code, 1);
    assert!(told.contains("could not open configuration file none.conf."), "{told}");
    let taken = rig::Backend::bind();
    fs::write(&file, format!("{} 10.0.0.1 80\n", end(taken.address()))).expect("written");
    let (code, _, told) = run_by(&mut view.command(), &["-c", "bad.conf"]);
    assert_eq!(code, 1);
    assert!(told.contains("rinetd error: couldn't bind to address 127.0.0.1 port "), "{told}");
}

/// The file that Debian installs runs as it is, though no rule in it is more than an example.
#[test]
fn the_file_of_debian_runs_unchanged() {
    let debian = "/etc/rinetd.conf";
    assert!(Path::new(debian).exists(), "install rinetd: ./test does");
    let (code, said, told) = run(&["--explain"]);
    assert_eq!((code, &*told), (0, ""));
    assert!(said.contains("to = \"/var/log/rinetd.log\""), "{said}");
    let view = View::new();
    let pidfile = view.scratch.join("run/rinetd.pid");
    let daemon = view.launch(&[], &pidfile);
    assert_eq!(view.next(), "<30>rinetd[PID]: starting redirections...");
    drop(daemon);
    // With its examples as rules: the port that two of them share is another in one, and the one
    // from UDP to TCP is not.
    let text = fs::read_to_string(debian).expect("the file can be read");
    let begins = |line: &&str| {
        let word = line.split(' ').next().unwrap_or_default();
        ["allow", "deny"].contains(&word) && line.contains(':') || word.parse::<IpAddr>().is_ok()
    };
    let rules = text.lines().filter_map(|line| line.strip_prefix("# ")).filter(begins);
    let rules = rules.map(|line| format!("{line}\n")).collect::<String>();
    let rules = rules.replace("80        fe80::1", "81        fe80::1");
    let said = crate::start::explained(&rules.replace("22           [", "22/udp       ["));
    assert_eq!(said.matches("[listener.").count(), 6, "{said}");
    assert!(said.contains("allow = [\"fe80:*\"]\ndeny = [\"2001:618:*:e43f\"]"), "{said}");
}

/// 26.
#[test]
fn rn26_words() {
    for words in [&["-h"], &["--help"]] {
        let (code, said, told) = run(words);
        assert_eq!((code, &*told), (0, ""));
        assert!(said.starts_with("Usage: rinetd [OPTION]..."), "{said}");
        assert!(said.contains("-c, --conf-file FILE") && said.contains("-f, --foreground"));
    }
    for words in [&["-v"], &["--version"]] {
        let (code, said, _) = run(words);
        assert_eq!(code, 0);
        assert!(said.starts_with("rinetd 0.73"), "{said}");
    }
    for (words, expected) in [
        (&["-x"][..], "rinetd: invalid option -- 'x'\n"),
        (&["-s"], "rinetd: invalid option -- 's'\n"),
        (&["--nope"], "rinetd: unrecognized option '--nope'\n"),
        (&["-f", "-c"], "rinetd: option requires an argument -- 'c'\n"),
    ] {
        let (code, said, told) = run(words);
        assert_eq!((code, &*said), (1, ""), "{words:?}");
        assert!(told.starts_with(expected), "{told}");
    }
}

/// By the first word as well, and as native configuration.
#[test]
fn by_the_first_word_and_converted() {
    let scratch = Scratch::new();
    let file = scratch.join("rinetd.conf");
    fs::write(&file, "0 80 10.0.0.1 8080\nallow 127.*.2\n").expect("a file in a new folder");
    let words = ["rinetd", "--explain", "-f", "-c", &file];
    let (code, explained, _) = run_by(Command::new(REPLUG).arg0("replug"), &words);
    assert_eq!(code, 0);
    assert!(explained.contains("allow = [\"127.*.2\"]"), "{explained}");
    let words = ["convert", "--from", "rinetd", &file];
    let (code, converted, told) = run_by(&mut Command::new(REPLUG), &words);
    assert_eq!((code, &*told), (0, ""));
    let native = scratch.join("replug.toml");
    fs::write(&native, &converted).expect("a file in a new folder");
    let (code, _, told) = run_by(&mut Command::new(REPLUG), &["check", &native]);
    assert!(code == 0 && told.contains("1 listener, 1 pool, 1 backend; no faults"), "{told}");
}
