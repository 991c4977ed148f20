//! Started by inetd: a client, or a socket that listens, is standard input.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Closed, Forwarder, Peer, Program, Record, Scratch};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::named::{Named, ask_times, finish};
use crate::path::REPLUG;

/// A client that was accepted, as inetd accepts it, and its socket.
#[track_caller]
fn accepted() -> (Peer, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let client = Peer::connect(&Address::parse(&address));
    let (socket, _) = listener.accept().expect("the client has come");
    (client, socket.into())
}

/// Starts replug as inetd does: the client is its standard input, output and error.
#[track_caller]
fn start(client: OwnedFd, words: &[&str]) -> Program {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >&0 2>&0", "sh", REPLUG]).args(words);
    Program::start_on(&mut command, client)
}

#[track_caller]
fn record_in(log: &str) -> Record {
    let text = fs::read_to_string(log).expect("there is a log");
    let lines: Vec<_> = text.lines().collect();
    let [line] = lines[..] else { panic!("not one record: {lines:#?}") };
    Record::read(line).unwrap_or_else(|| panic!("no record: {line}"))
}

#[test]
fn one_client_is_served_to_its_end() {
    for (client, socket) in [accepted(), Peer::pair()] {
        let scratch = Scratch::new();
        let log = scratch.join("log");
        let backend = Backend::bind();
        let target = backend.address().to_string();
        let words = ["--inetd", "--log", "json", "--log-to", &log, &target];
        let mut program = start(socket, &words);
        client.send(b"question");
        client.half_close();
        let peer = backend.accept();
        assert_eq!(peer.receive_to_fin(), b"question");
        for stream in 0..=2 {
            // Whatever is written there by mistake, the client does not read.
            let path = format!("/proc/{}/fd/{stream}", program.pid());
            assert_eq!(fs::read_link(path).expect("it runs").as_os_str(), "/dev/null");
        }
        peer.send(b"answer");
        peer.half_close();
        assert_eq!(client.receive_to_fin(), b"answer");
        program.expect_exit(0);
        let record = record_in(&log);
        assert_eq!((record.reason(), record.side()), ("done", "client"));
        assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (8, 6));
    }
}

#[test]
fn a_reset_reaches_the_client() {
    let (client, socket) = accepted();
    let backend = Backend::bind();
    let mut program = start(socket, &["--inetd", &backend.address().to_string()]);
    client.send(b"question");
    let peer = backend.accept();
    peer.expect(b"question");
    peer.reset();
    client.expect_reset();
    program.expect_exit(0);
}

#[test]
fn rules_hold_and_the_record_says_so() {
    let scratch = Scratch::new();
    let log = scratch.join("log");
    let (client, socket) = accepted();
    let a = Named::start('A');
    let words = ["--inetd", "--deny", "127.0.0.0/8", "--log", "json", "--log-to", &log];
    let mut program = start(socket, &[&words[..], &[&a.target()]].concat());
    client.expect_reset();
    program.expect_exit(0);
    let record = record_in(&log);
    assert_eq!(record.reason(), "denied");
    assert_eq!(record.client(), client.local_address().to_string());
}

#[test]
fn the_client_reads_no_messages() {
    for (words, code) in [
        (&["--inetd", "--bogus"][..], 2),
        (&["--inetd", "--user", "no-such-user-anywhere", "127.0.0.1:1"], 3),
        // Nobody answers, which stands in a record, and records go to standard error.
        (&["--inetd", "--verbose", "127.0.0.1:1"], 0),
    ] {
        let (client, socket) = Peer::pair();
        let mut program = start(socket, words);
        program.expect_exit(code);
        assert_eq!(client.receive_to_fin(), b"", "{words:?}");
    }
}

#[test]
fn standard_input_must_be_a_socket() {
    let mut program = Program::start(Command::new(REPLUG).args(["--inetd", "127.0.0.1:1"]));
    program.expect_exit(2);
    program.stderr().expect("no socket");
}

#[test]
fn a_socket_that_listens_is_served_until_a_signal() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    command.args(["--inetd", "--log", "json", "--log-to", "-", &a.target()]);
    let program = Program::start_on(&mut command, OwnedFd::from(listener));
    let mut forwarder = Forwarder::of(program, 1);
    assert_eq!(ask_times(4, &forwarder), "AAAA");
    forwarder.records(4);
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn a_file_can_be_served_on_it_too() {
    let scratch = Scratch::new();
    let (client, socket) = accepted();
    let a = Named::start('A');
    let path = scratch.join("replug.toml");
    let text = format!("[listener.a]\nbind = \"inetd\"\nto = \"{}\"\n", a.target());
    fs::write(&path, text).expect("a scratch file can be written");
    let mut program = start(socket, &["run", "-c", &path]);
    assert_eq!(finish(&client), 'A');
    program.expect_exit(0);
    let mut program = Program::start(Command::new(REPLUG).args(["run", "--daemon", "-c", &path]));
    program.expect_exit(2);
}

/// Debian's openbsd-inetd, with a service of each kind.
#[test]
fn inetd_itself_hands_its_clients_over() {
    let scratch = Scratch::new();
    let a = Named::start('A');
    let user = Program::run(Command::new("id").arg("-un")).remove(0);
    let reserved = [Closed::bind(), Closed::bind()];
    let [each, all] = reserved.each_ref().map(|port| port.address().clone());
    let [config, log, pid] = ["inetd.conf", "log", "pid"].map(|name| scratch.join(name));
    let line = |address: &Address, wait, more: &str| {
        let words = format!("replug --inetd --log json --log-to {log} {more} {}", a.target());
        format!("{address} stream tcp {wait} {user} {REPLUG} {words}\n")
    };
    let lines = line(&each, "nowait", "") + &line(&all, "wait", &format!("--pidfile {pid}"));
    fs::write(&config, lines).expect("a scratch file can be written");
    let inetd = Program::start(Command::new("/usr/sbin/inetd").args(["-i", &config]));
    until("inetd to listen", || rig::figures::is_listened_on(all.tcp()));
    for address in [&each, &each, &all] {
        assert_eq!(finish(&Peer::connect(address)), 'A');
    }
    let waiting = Daemon::of(&pid);
    assert_eq!(finish(&Peer::connect(&all)), 'A');
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    let records = || lines().lines().filter_map(Record::read).count();
    until("four records", || records() == 4);
    drop(waiting);
    drop(inetd);
}
