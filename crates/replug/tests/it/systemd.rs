//! The service manager: what it is told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rig::{Closed, Forwarder, PATIENCE, Program, Scratch};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::named::{Named, ask};
use crate::path::REPLUG;

/// The manager's end of the protocol.
struct Manager {
    socket: UnixDatagram,
    scratch: Scratch,
}

impl Manager {
    fn start() -> Self {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.join("notify")).expect("a new socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        Self { socket, scratch }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(REPLUG);
        command.env("NOTIFY_SOCKET", self.scratch.join("notify"));
        command
    }

    /// The next thing that it is told.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut told = [0; 4096];
        let length = self.socket.recv(&mut told).expect("to be told something");
        let text = String::from_utf8(told[..length].to_vec()).expect("it is text");
        text.lines().map(str::to_owned).collect()
    }

    /// The next thing but pings.
    #[track_caller]
    fn expect(&self, line: &str) -> Vec<String> {
        loop {
            let told = self.next();
            if told != ["WATCHDOG=1"] {
                assert_eq!(told[0], line, "{told:?}");
                return told;
            }
        }
    }
}

#[test]
fn the_manager_is_told_how_things_are() {
    let manager = Manager::start();
    let a = Named::start('A');
    let mut command = manager.command();
    let mut forwarder = Forwarder::start_command(command.args(["127.0.0.1:0", &a.target()]), 1);
    let told = manager.expect("READY=1");
    assert!(told[1].starts_with("STATUS=") && told.len() == 2, "{told:?}");
    assert_eq!(ask(&forwarder), 'A');

    forwarder.signal(Signal::HUP);
    let told = manager.expect("RELOADING=1");
    let time = told[1].strip_prefix("MONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
    assert!(time.is_some(), "{told:?}");
    manager.expect("READY=1");

    forwarder.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn the_watchdog_is_pinged_twice_in_its_time() {
    let manager = Manager::start();
    let a = Named::start('A');
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "100000").args(["127.0.0.1:0", &a.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    manager.expect("READY=1");
    for _ in 0..5 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn a_daemon_tells_the_manager_who_it_is() {
    let manager = Manager::start();
    let a = Named::start('A');
    let (pid, log) = (manager.scratch.join("pid"), manager.scratch.join("log"));
    let listen = Closed::bind().address().to_string();
    let mut command = manager.command();
    command.args(["--daemon", "--pidfile", &pid, "--log-to", &log, &listen, &a.target()]);
    Program::run(&mut command);
    let daemon = Daemon::of(&pid);
    let told = manager.expect("READY=1");
    assert_eq!(told[1], format!("MAINPID={}", daemon.pid()));
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_not_to_serve() {
    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    command.env("NOTIFY_SOCKET", "/no/such/socket").args(["127.0.0.1:0", &a.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    forwarder.messages().expect("NOTIFY_SOCKET");
    assert_eq!(ask(&forwarder), 'A');
}
