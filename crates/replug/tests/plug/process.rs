//! 15, 16: pid file, signals, daemon.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Peer, Program, Scratch, figures};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::start::{Plug, REPLUG, name};

/// The process ids in a pid file.
fn ids(file: &str) -> Vec<i32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// 15: a line for the daemon and one for each session, so that counting lines counts sessions.
///
/// Where we differ: sessions are no processes, so the lines are the daemon's own id again. Whoever
/// signals them all signals it more than once, which ends it with its sessions, as it ended plug.
#[test]
fn t15_a_line_for_each_session() {
    let scratch = Scratch::new();
    let file = scratch.join("pid");
    let a = name('A');
    let plug = Plug::start(&["-P", &file], &[&a.address().to_string()]);
    let id = i32::try_from(plug.program.pid()).expect("ids are small");
    until("the first line", || ids(&file) == [id]);
    let clients = [(); 2].map(|()| Peer::connect(&plug.address));
    until("two more lines", || ids(&file) == [id; 3]);
    drop(clients);
    until("one line", || ids(&file) == [id]);
}

/// 15: TERM leaves open connections alone, and nothing else of plug behind: a new one can start.
///
/// Where we differ: the process stays until its sessions have ended, since they are in it.
#[test]
fn t15_connections_outlive_the_daemon() {
    let scratch = Scratch::new();
    let file = scratch.join("pid");
    let a = name('A');
    let target = a.address().to_string();
    let mut plug = Plug::start(&["-P", &file], &[&target]);
    let client = Peer::connect(&plug.address);
    client.expect(b"A");
    plug.program.signal(Signal::TERM);
    until("the port to be free", || !figures::is_listened_on(plug.address.tcp()));
    until("the pid file to go", || !fs::exists(&file).expect("the folder is there"));

    let mut command = Command::new(REPLUG);
    let port = plug.address.port().to_string();
    command.arg0("plug").args(["-n", "-P", &file, "-i", "127.0.0.1", &port, &target]);
    let mut second = Program::start(&mut command);
    until("the second to listen", || figures::is_listened_on(plug.address.tcp()));
    assert_eq!(plug.ask(), 'A');
    second.signal(Signal::TERM);
    second.expect_exit(0);

    client.half_close();
    client.expect_fin();
    plug.program.expect_exit(0);
}

/// 15: `kill $(cat pidfile)` with sessions under way ends these as well.
#[test]
fn t15_a_second_term_ends_the_sessions() {
    let a = name('A');
    let mut plug = Plug::start(&[], &[&a.address().to_string()]);
    let client = Peer::connect(&plug.address);
    client.expect(b"A");
    plug.program.signal(Signal::TERM);
    until("the first to be seen", || !figures::is_listened_on(plug.address.tcp()));
    plug.program.signal(Signal::TERM);
    client.expect_reset();
    plug.program.expect_exit(0);
}

/// Signals that plug leaves to their defaults end it, connections too: it is at a terminal.
#[test]
fn int_quit_and_hup_end_it_at_once() {
    let a = name('A');
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
        let mut plug = Plug::start(&[], &[&a.address().to_string()]);
        let client = Peer::connect(&plug.address);
        client.expect(b"A");
        plug.program.signal(signal);
        client.expect_reset();
        plug.program.expect_exit(0);
    }
}

/// 16: to the background unless told, with a session of its own, where it was started.
///
/// Where we differ: the launcher returns when clients are accepted, and with 4 if that fails.
#[test]
fn t16_a_daemon() {
    let scratch = Scratch::new();
    let port = Closed::bind();
    let a = name('A');
    let mut command = Command::new(REPLUG);
    let number = port.address().port().to_string();
    command.arg0("plug").current_dir(scratch.path());
    command.args(["-S", "sessions", "-P", "pid", "-i", "127.0.0.1", &number]);
    assert_eq!(Program::run(command.arg(a.address().to_string())), [""; 0]);
    let pid = ids(&scratch.join("pid"));
    let daemon = Daemon(Pid::from_raw(pid[0]).expect("ids are positive"));

    // No waiting here: that is the promise.
    let client = Peer::connect(&Address::parse(&format!("127.0.0.1:{number}")));
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"A");
    until("the line", || {
        fs::read_to_string(scratch.join("sessions")).is_ok_and(|text| text.ends_with('\n'))
    });
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid[0])).expect("it runs");
    let fields: Vec<_> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    assert_eq!(fields[3], pid[0].to_string(), "it leads a session");
    assert_eq!(fields[4], "0", "it has no terminal");
    let folder = fs::read_link(format!("/proc/{}/cwd", pid[0])).expect("it runs");
    assert_eq!(folder, fs::canonicalize(scratch.path()).expect("the folder is there"));
    drop(daemon);
    assert!(!fs::exists(scratch.join("pid")).expect("the folder is there"));
}

/// A process that is not our child; ended when dropped.
struct Daemon(Pid);

impl Drop for Daemon {
    fn drop(&mut self) {
        kill_process(self.0, Signal::TERM).expect("the daemon runs");
        until("the daemon to end", || test_kill_process(self.0).is_err());
    }
}
