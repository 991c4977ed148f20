//! 13, 14, 18: pid file, signals, daemon.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Peer, Program, Scratch, figures};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::start::{REPLUG, Relay, name, remote, run_text};

/// 13: the listener goes at once, and the pid file; connections go on.
///
/// Where we differ: they are in the one process there is, which ends with the last of them.
#[test]
fn t13_term() {
    let (a, scratch) = (name('A'), Scratch::new());
    let pid = scratch.join("pid");
    let mut relay = Relay::start(&format!("pidfile = {pid}"), &remote(a.address()));
    let id = fs::read_to_string(&pid).expect("the pid file is there");
    assert_eq!(id.trim_end(), relay.program.pid().to_string());
    let (client, _) = relay.hold();
    relay.program.signal(Signal::TERM);
    until("the port to be free", || !figures::is_listened_on(relay.address.tcp()));
    until("the pid file to go", || !fs::exists(&pid).expect("the folder is there"));
    client.half_close();
    client.expect_fin();
    relay.program.expect_exit(0);
}

/// 13: the new configuration in the same process; a connection stays.
#[test]
fn t13_hup() {
    let (a, b) = (name('A'), name('B'));
    let relay = Relay::start("", &remote(a.address()));
    let (client, letter) = relay.hold();
    assert_eq!(letter, 'A');
    relay.rewrite("", &remote(b.address()));
    relay.program.signal(Signal::HUP);
    until("the new configuration", || relay.ask() == 'B');
    client.half_close();
    client.expect_fin();
}

/// 13: where we differ: a broken configuration ended the service.
#[test]
fn t13_hup_with_a_broken_configuration() {
    let a = name('A');
    let relay = Relay::start("", &remote(a.address()));
    relay.rewrite("", "remote = { address = 127.0.0.1 port = many }");
    relay.program.signal(Signal::HUP);
    let line = relay.program.stderr().expect("'many' is not a port");
    assert!(line.contains("relay.cfg:6:"), "{line}");
    assert_eq!(relay.ask(), 'A');
}

/// 14: to the background, with a pid file by option.
#[test]
fn t14_background() {
    let (a, scratch, port) = (name('A'), Scratch::new(), Closed::bind());
    let (file, pid) = (scratch.join("relay.cfg"), scratch.join("pid"));
    let number = port.address().port();
    let text = format!(
        "id = spawnd {{ listen = {{ address = 127.0.0.1 port = {number} }} pidfile = /nonexistent/x }}\n\
         id = tcprelay {{ {} }}",
        remote(a.address())
    );
    fs::write(&file, text).expect("a file in a new folder");
    let mut command = Command::new(REPLUG);
    assert_eq!(Program::run(command.arg0("tcprelay").args(["-bp", &pid, &file])), [""; 0]);
    let id = fs::read_to_string(&pid).expect("the pid file is there");
    let id = id.trim_end().parse().ok().and_then(Pid::from_raw).expect("a process id");
    Peer::connect(&Address::parse(&format!("127.0.0.1:{number}"))).expect(b"A");
    kill_process(id, Signal::TERM).expect("the daemon runs");
    until("the daemon to end", || test_kill_process(id).is_err());
    assert!(!fs::exists(&pid).expect("the folder is there"));
}

/// 14: `-f` beats the configuration.
#[test]
fn t14_foreground() {
    let a = name('A');
    let relay = Relay::start_with(&["-f"], "", "background = yes", &remote(a.address()));
    assert_eq!(relay.ask(), 'A');
}

/// 18: a service by each of them, from the environment and from the file, for epoll is used anyway.
#[test]
fn t18_a_service_by_each_mechanism() {
    let a = name('A');
    for value in ["4", "8", "16", "none"] {
        let mut command = Command::new(REPLUG);
        command.arg0("tcprelay").env("IO_POLL_MECHANISM", value);
        let relay = Relay::start_as(&mut command, "", "", &remote(a.address()));
        assert_eq!(relay.ask(), 'A', "{value}");
        let told = relay.program.stderr().so_far();
        let told = told.iter().any(|line| line.contains("IO_POLL_MECHANISM names nothing"));
        assert_eq!(told, value == "none");
    }
}

/// 18: whatever is asked for, epoll is used.
#[test]
fn t18_mechanisms() {
    let text = "id = spawnd { listen = { port = 1 } }\n\
                id = tcprelay { remote = { address = 127.0.0.1 port = 2 } }";
    for (value, told) in [("4", false), ("8", false), ("16", false), ("32", true), ("no", true)] {
        let (code, _, stderr) =
            run_text(&["-P"], &format!("setenv IO_POLL_MECHANISM {value}\n{text}"));
        assert_eq!((code, !stderr.is_empty()), (0, told), "{value}: {stderr}");
    }
}
