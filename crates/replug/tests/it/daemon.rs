//! In the background: `--daemon`, `--pidfile`, `--user`.

use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Closed, Forwarder, Peer, Program, Scratch};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::named::{Named, ask, finish};
use crate::path::REPLUG;
use crate::signal::start_with_log;

#[test]
fn the_pid_file_is_there_while_the_process_is() {
    let scratch = Scratch::new();
    let file = scratch.join("pid");
    let a = Named::start('A');
    let mut forwarder = Forwarder::start(REPLUG, &["--pidfile", &file, "127.0.0.1:0", &a.target()]);
    assert_eq!(pid_in(&file), Some(forwarder.pid()));
    assert_eq!(ask(&forwarder), 'A');
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
    assert!(!fs::exists(&file).expect("the folder is there"));
}

#[test]
fn the_launcher_ends_when_clients_are_accepted() {
    let scratch = Scratch::new();
    let (pid, log) = (scratch.join("pid"), scratch.join("log"));
    let a = Named::start('A');
    let reserved = Closed::bind();
    let listen = reserved.address().to_string();
    let mut command = Command::new(REPLUG);
    command.args(["--daemon", "--pidfile", &pid, "--log-to", &log]);
    let lines = Program::run(command.args([&listen, &a.target()]));
    assert_eq!(lines, [""; 0]);
    let daemon = Daemon::of(&pid);
    // No waiting here: that is the promise.
    assert_eq!(finish(&Peer::connect(&Address::parse(&listen))), 'A');
    drop(daemon);
    assert!(!fs::exists(&pid).expect("the folder is there"));
}

#[test]
fn the_launcher_tells_that_the_port_is_taken() {
    let scratch = Scratch::new();
    let taken = Backend::bind();
    let mut command = Command::new(REPLUG);
    command.args(["--daemon", "--pidfile", &scratch.join("pid")]);
    command.args(["--log-to", &scratch.join("log")]);
    command.args([&taken.address().to_string(), "127.0.0.1:1"]);
    let mut program = Program::start(&mut command);
    program.expect_exit(4);
    program.stderr().expect(&taken.address().port().to_string());
    assert!(!fs::exists(scratch.join("pid")).expect("the folder is there"));
}

/// Needs root, as every change of user does.
#[test]
fn another_user_serves_and_can_open_the_log_anew() {
    let me = rustix::process::geteuid();
    assert!(me.is_root(), "run this test as root: --user changes the user");
    let scratch = Scratch::new();
    let (log, old) = (scratch.join("log"), scratch.join("old"));
    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    command.args(["--user", "nobody", "--log-to", &log, "127.0.0.1:0", &a.target()]);
    let (program, address) = start_with_log(&mut command, &log);
    for thread in fs::read_dir(format!("/proc/{}/task", program.pid())).expect("it runs") {
        let status = thread.expect("it runs").path().join("status");
        let status = fs::read_to_string(status).expect("it runs");
        let ids =
            status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:"));
        for ids in ids {
            assert!(!ids.split_whitespace().any(|id| id == "0"), "{status}");
        }
    }
    assert_eq!(finish(&Peer::connect(&address)), 'A');
    fs::rename(&log, &old).expect("the log can be renamed");
    // The new file is made in a folder of root's, so it cannot be: the process goes on.
    program.signal(Signal::USR1);
    assert_eq!(finish(&Peer::connect(&address)), 'A');
}

/// A process that is not our child; ended when dropped.
pub(crate) struct Daemon(Pid);

impl Daemon {
    #[track_caller]
    pub(crate) fn of(file: &str) -> Self {
        let pid = pid_in(file).unwrap_or_else(|| panic!("no process id in {file}"));
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self(pid.expect("process ids are positive"))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.as_raw_nonzero().get()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill_process(self.0, Signal::TERM).expect("the daemon runs");
        until("the daemon to end", || test_kill_process(self.0).is_err());
    }
}

fn pid_in(file: &str) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
