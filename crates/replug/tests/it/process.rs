//! What becomes of the process of `replug run`, and of one behind `--chroot`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Forwarder, Peer, Program, Scratch};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::named::{Named, ask, finish};
use crate::path::REPLUG;
use crate::signal::start_with_log;

/// Writes a configuration with one listener, and returns its path.
fn config(scratch: &Scratch, listen: &str, backend: &Named, log: &str) -> String {
    let path = scratch.join("replug.toml");
    let text = format!(
        "[listener.a]\nbind = \"{listen}\"\nto = \"{}\"\n[log]\nformat = \"json\"\nto = \"{log}\"\n",
        backend.target()
    );
    fs::write(&path, text).expect("a scratch file can be written");
    path
}

#[test]
fn run_goes_to_the_background_with_a_pid_file() {
    let scratch = Scratch::new();
    let (pid, log) = (scratch.join("pid"), scratch.join("log"));
    let a = Named::start('A');
    let reserved = Closed::bind();
    let listen = reserved.address().to_string();
    let path = config(&scratch, &listen, &a, &log);
    let mut command = Command::new(REPLUG);
    Program::run(command.args(["run", "-c", &path, "-D", "--pidfile", &pid]));
    let daemon = Daemon::of(&pid);
    assert_eq!(finish(&Peer::connect(&Address::parse(&listen))), 'A');
    drop(daemon);
    assert!(!fs::exists(&pid).expect("the folder is there"));
}

#[test]
fn the_launcher_of_run_tells_what_fails() {
    let scratch = Scratch::new();
    let a = Named::start('A');
    let path = config(&scratch, "192.0.2.1:1", &a, &scratch.join("log"));
    let mut program = Program::start(Command::new(REPLUG).args(["run", "-Dc", &path]));
    program.expect_exit(4);
    program.stderr().expect("192.0.2.1:1");
}

#[test]
fn wrong_options_of_run_are_told() {
    for (words, code, told) in [
        (["--user", ":adm"], 2, "a name is missing"),
        (["--pidfile", "/run/"], 2, "a directory"),
        (["--user", "no-such-user-anywhere"], 3, "no-such-user-anywhere"),
        (["--chroot", "/no/such/folder"], 3, "/no/such/folder"),
    ] {
        let scratch = Scratch::new();
        let a = Named::start('A');
        let path = config(&scratch, "127.0.0.1:0", &a, "stderr");
        let mut program =
            Program::start(Command::new(REPLUG).args(["run", "-c", &path]).args(words));
        program.expect_exit(code);
        program.stderr().expect(told);
    }
}

/// Needs root, as every change of root does.
#[test]
fn behind_chroot_another_user_serves_and_files_inside_keep_their_names() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --chroot needs it");
    let jail = Scratch::new();
    fs::set_permissions(jail.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let [log, old, pid, socket] = ["log", "old", "pid", "socket"].map(|name| jail.join(name));
    let a = Named::start('A');
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,4", REPLUG]);
    command.args(["--chroot", &jail.join(""), "--user", "nobody", "--pidfile", &pid]);
    command.args(["--log", "json", "--log-to", &log, &format!("unix:{socket}")]);
    let (mut program, address) = start_with_log(command.arg(a.target()), &log);
    // Only root may connect to a socket that root has made; that is whom this test runs as.
    assert_eq!(finish(&Peer::connect(&address)), 'A');

    let root = fs::read_link(format!("/proc/{}/root", program.pid())).expect("it runs");
    assert_eq!(root, jail.path());
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
    for (field, option) in [("Uid:", "-u"), ("Gid:", "-g"), ("Groups:", "-G")] {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        let found: BTreeSet<_> = line.split_whitespace().collect();
        let lines = Program::run(Command::new("id").args([option, "nobody"]));
        assert_eq!(found, lines[0].split_whitespace().collect(), "{field}");
    }

    fs::rename(&log, &old).expect("the log can be renamed");
    program.signal(Signal::USR1);
    until("the new log inside", || fs::exists(&log).unwrap_or(false));
    assert_eq!(finish(&Peer::connect(&address)), 'A');
    program.signal(Signal::TERM);
    program.expect_exit(0);
    assert!(!fs::exists(&pid).expect("the folder is there"));
    assert!(!fs::exists(&socket).expect("the folder is there"));
}

#[test]
fn a_pid_file_outside_is_emptied_and_a_socket_of_the_same_name_inside_is_left_alone() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --chroot needs it");
    let (jail, outside) = (Scratch::new(), Scratch::new());
    let [pid, socket] = ["pid", "socket"].map(|name| outside.join(name));
    let twin = format!("{}{socket}", jail.path().display());
    fs::create_dir_all(format!("{}{}", jail.path().display(), outside.path().display()))
        .expect("the jail is ours");
    fs::write(&twin, "not replug's").expect("the jail is ours");
    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    command.args(["--chroot", &jail.join(""), "--pidfile", &pid]);
    command.args([&format!("unix:{socket}"), &a.target()]);
    let mut forwarder = Forwarder::start_command(&mut command, 1);
    forwarder.messages().expect("name a user with --user");
    assert_eq!(ask(&forwarder), 'A');
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
    assert_eq!(fs::read_to_string(&pid).expect("it cannot be removed from inside"), "");
    assert_eq!(fs::read_to_string(&twin).expect("it is still there"), "not replug's");
}

/// A configuration that leads into the new root is read there, another one is not found again.
#[test]
fn a_reload_behind_chroot_reads_what_is_inside() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --chroot needs it");
    let (jail, outside) = (Scratch::new(), Scratch::new());
    let [a, b] = ['A', 'B'].map(Named::start);
    for scratch in [&jail, &outside] {
        let path = config(scratch, "127.0.0.1:0", &a, "stderr");
        let mut command = Command::new(REPLUG);
        let words = ["run", "-c", &path, "--chroot", &jail.join(""), "--user", "nobody"];
        let forwarder = Forwarder::start_command(command.args(words), 1);
        assert_eq!(ask(&forwarder), 'A');
        config(scratch, "127.0.0.1:0", &b, "stderr");
        forwarder.signal(Signal::HUP);
        match scratch.path() == jail.path() {
            true => {
                forwarder.messages().expect("reloaded: ");
                assert_eq!(ask(&forwarder), 'B');
            }
            false => {
                forwarder.messages().expect("not reloaded, all is as it was");
                assert_eq!(ask(&forwarder), 'A');
            }
        }
    }
}
