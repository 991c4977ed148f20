//! 2.9, 2.11 and parts of 5, 11 and 13: the lines of tcprelay, to syslog and to the terminal.

use rig::wait::until;
use rig::{Closed, DevLog, Peer};
use rustix::process::Signal;

use crate::start::{REPLUG, Relay, name, remote};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A tcprelay that sees a syslog daemon of its own.
struct Logged {
    relay: Relay,
    daemon: DevLog,
}

impl Logged {
    #[track_caller]
    fn start(spawnd: &str, relay: &str) -> Self {
        let daemon = DevLog::open();
        let relay = Relay::start_as(&mut daemon.command(REPLUG, "tcprelay"), "", spawnd, relay);
        Self { relay, daemon }
    }

    #[track_caller]
    fn expect(&self, line: &str) {
        assert_eq!(self.daemon.next(self.relay.program.pid()), line);
    }

    /// The lines of a start, each behind `head`.
    #[track_caller]
    fn expect_start(&self, head: &str) {
        let port = self.relay.address.port();
        self.expect(&format!("{head}startup (version {VERSION}/replug)"));
        self.expect(&format!("{head}epoll event notification mechanism is being used"));
        self.expect(&format!("{head}bind to [127.0.0.1]:{port} succeeded"));
    }
}

/// 5, 13: facility UUCP, the name of the program; nothing about sessions.
#[test]
fn t05_t13_lines_of_a_life() {
    let a = name('A');
    let mut logged = Logged::start("", &remote(a.address()));
    logged.expect_start("<70>tcprelay[PID]: ");
    assert_eq!(logged.relay.ask(), 'A');
    logged.relay.program.signal(Signal::HUP);
    logged.expect("<70>tcprelay[PID]: SIGHUP: restarting");
    logged.expect("<70>tcprelay[PID]: reloaded: nothing has changed");
    logged.relay.program.signal(Signal::TERM);
    logged.expect("<70>tcprelay[PID]: SIGTERM: exiting");
    logged.expect("<70>tcprelay[PID]: Terminating, no longer needed.");
    logged.relay.program.expect_exit(0);
}

/// `syslog ident`, `facility` and `severity`: that is what all lines have, faults too.
#[test]
fn lines_are_marked_as_the_file_says() {
    let dead = Closed::bind();
    let marks = "syslog ident = relay-a syslog severity = NOTICE syslog facility = LOCAL3";
    let logged = Logged::start("", &format!("{} {marks}", remote(dead.address())));
    logged.expect_start("<157>relay-a[PID]: ");
    assert_eq!(logged.relay.ask(), '-');
    let dead = dead.address();
    logged.expect(&format!("<157>relay-a[PID]: connect ({dead}): Connection refused"));
}

/// In the foreground the terminal has the same lines behind the process, and no more.
#[test]
fn lines_at_the_terminal() {
    let (a, b) = (name('A'), name('B'));
    let relay = Relay::start("", &remote(a.address()));
    assert_eq!(relay.ask(), 'A');
    relay.rewrite("", &remote(b.address()));
    relay.program.signal(Signal::HUP);
    relay.program.stderr().expect("reloaded: ");
    let (pid, port) = (relay.program.pid(), relay.address.port());
    let lines = relay.program.stderr().so_far();
    let expected = [
        format!("{pid}: startup (version {VERSION}/replug)"),
        format!("{pid}: epoll event notification mechanism is being used"),
        format!("{pid}: bind to [127.0.0.1]:{port} succeeded"),
        format!("{pid}: SIGHUP: restarting"),
    ];
    assert_eq!(lines[..4], expected);
}

/// 11: what becomes of clients beyond the limit, and that it is over.
#[test]
fn t11_lines_of_the_limit() {
    for (overload, fate) in
        [("queue", "queueing"), ("close", "immediately closing"), ("reset", "resetting")]
    {
        let a = name('A');
        let spawnd = format!("spawn = {{ users max = 1 instances max = 1 }} overload = {overload}");
        let relay = Relay::start(&spawnd, &remote(a.address()));
        let held = relay.hold();
        let more = Peer::try_connect(&relay.address);
        let lines = relay.program.stderr();
        lines.expect(&format!("limit of 1 concurrent users reached, {fate} new connections"));
        drop(held);
        match overload {
            "queue" => more.expect("it waits").expect(b"A"),
            "close" => until("a place", || relay.ask() == 'A'),
            _ => until("a place", || {
                let client = Peer::try_connect(&relay.address);
                client.is_ok_and(|client| client.try_receive_byte() == Some(b'A'))
            }),
        }
        lines.expect(": resuming normal operation");
    }
}
