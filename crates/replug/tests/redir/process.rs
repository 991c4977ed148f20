//! Daemon, signals, inetd.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rig::wait::until;
use rig::{Address, Backend, Closed, Peer, Program, Scratch, figures};
use rustix::process::{Pid, Signal, kill_process};

use crate::start::{REPLUG, Redir, count, end, run};

/// The process that has `word` on its command line.
fn process_with(word: &str) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers = numbers.filter(|number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
    });
    numbers.next().and_then(Pid::from_raw)
}

#[test]
fn r3_04_a_daemon() {
    let (backend, port) = (Backend::bind(), Closed::bind_to(&Address::parse("0.0.0.0:0")));
    let listen = format!(":{}", port.address().port());
    let (code, said, told) = run(&[&listen, &format!(":{}", backend.address().port())]);
    assert_eq!((code, &*said, &*told), (0, "", ""));
    let daemon = process_with(&listen).expect("it runs");
    // It listens on all addresses of IPv4 by now.
    assert!(figures::is_listened_on(([0, 0, 0, 0], port.address().port()).into()));
    let folder = fs::read_link(format!("/proc/{}/cwd", daemon.as_raw_nonzero()));
    assert_eq!(folder.expect("it runs").to_str(), Some("/"));
    let here = Address::parse(&format!("127.0.0.1{listen}"));
    let client = Peer::connect(&here);
    let peer = backend.accept();
    end(&client, &peer);
    kill_process(daemon, Signal::TERM).expect("it is ours");
    until("it to end", || process_with(&listen).is_none());
}

/// redir's launcher ends with 0 before it has tried.
#[test]
fn r3_05_a_port_that_is_taken() {
    let taken = Backend::bind();
    let (code, said, told) = run(&[&taken.address().to_string(), ":80"]);
    assert_eq!((code, &*said), (1, ""));
    assert!(told.starts_with("Failed binding server socket: Address already in use\n"), "{told}");
    let (lport, cport) = (format!("--lport={}", taken.address().port()), "--cport=80");
    let (code, _, told) = run(&[&lport, "--laddr=127.0.0.1", cport]);
    assert!(code == 1 && told.starts_with("server: bind: Address already in use\n"), "{told}");
}

/// As in redir: who listens ends, sessions go on.
#[test]
fn r3_28_sessions_outlive_term() {
    let backend = Backend::bind();
    let mut redir = Redir::start(&[], backend.address());
    let (client, peer) = redir.session(&backend);
    redir.program.signal(Signal::TERM);
    until("the port to be free", || !figures::is_listened_on(redir.address.tcp()));
    client.send(b"more");
    peer.expect(b"more");
    assert!(redir.program.exit_status().is_none());
    end(&client, &peer);
    redir.program.expect_exit(0);
}

/// Up to 2.2.1 the port is taken for a while.
#[test]
fn r2_10_at_once_again() {
    let (backend, port) = (Backend::bind(), Closed::bind());
    let (listen, target) = (port.address().to_string(), backend.address().to_string());
    for _ in 0..2 {
        let mut program =
            Program::start(Command::new(REPLUG).args(["redir", "-n", &listen, &target]));
        until("redir to listen", || figures::is_listened_on(port.address().tcp()));
        let client = Peer::connect(port.address());
        let peer = backend.accept();
        // The side that closes first keeps the port in memory.
        program.signal(Signal::TERM);
        peer.half_close();
        client.expect_fin();
        client.half_close();
        program.expect_exit(0);
    }
}

fn inetd(client: impl Into<Stdio>, words: &[&str]) -> Program {
    Program::start_on(Command::new(REPLUG).arg("redir").args(words), client)
}

#[test]
fn r3_22_r2_03_nc_01_02_a_client_of_inetd() {
    let backend = count();
    let target = backend.address().to_string();
    let port = format!("--cport={}", backend.address().port());
    for words in
        [&["-i", &target][..], &["--inetd", &port], &["--inetd", &port, "--caddr=127.0.0.1"]]
    {
        let (client, socket): (Peer, OwnedFd) = Peer::pair();
        let mut program = inetd(socket, words);
        client.send(b"12345");
        client.half_close();
        assert_eq!(client.receive_to_fin(), b"GOT 5");
        program.expect_exit(0);
    }
}

/// The same under a real inetd, in the lines that people have; half-close included.
#[test]
fn nc_02_a_real_inetd() {
    let backend = count();
    let (scratch, target) = (Scratch::new(), backend.address().clone());
    let link = scratch.join("redir");
    std::os::unix::fs::symlink(REPLUG, &link).expect("a new link");
    for words in [
        format!("-i -s {target}"),
        format!("--inetd --syslog --caddr=127.0.0.1 --cport={}", target.port()),
    ] {
        let port = Closed::bind();
        let address = port.address().clone();
        let line = format!("{address} stream tcp nowait root {link} redir {words}\n");
        let config = scratch.join("inetd.conf");
        fs::write(&config, line).expect("a new file");
        let _inetd = Program::start(Command::new("/usr/sbin/inetd").args(["-i", &config]));
        until("inetd to listen", || figures::is_listened_on(address.tcp()));
        for _ in 0..2 {
            let client = Peer::connect(&address);
            client.send(b"12345");
            client.half_close();
            assert_eq!(client.receive_to_fin(), b"GOT 5", "{words}");
        }
    }
}

#[test]
fn r3_22_nc_03_a_target_that_refuses() {
    let dead = Closed::bind();
    let (client, socket) = Peer::pair();
    let mut program = inetd(socket, &["-i", &dead.address().to_string()]);
    client.expect_fin();
    program.expect_exit(1);
}

/// redir would write its answers into the pipe that it reads from.
#[test]
fn r3_22_nc_04_a_pipe_in_place_of_a_client() {
    let backend = count();
    let target = backend.address().to_string();
    let mut command = Command::new(REPLUG);
    command.args(["redir", "-i", &target]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("replug can be started");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(&[b'x'; 100_000]).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"GOT 100000"[..]));
}

#[test]
fn r3_18_a_client_of_inetd_through_a_proxy() {
    let proxy = Backend::bind();
    let (client, socket) = Peer::pair();
    let _program = inetd(socket, &["-i", "-x", "a.example:1", &proxy.address().to_string()]);
    let peer = proxy.accept();
    peer.expect(b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nbanner");
    client.expect(b"banner");
}

/// `socket` and `nc` can also listen for one client only; redir never could.
#[test]
fn nc_05_any_number_of_clients() {
    let backend = Backend::bind();
    let redir = Redir::start(&[], backend.address());
    let sessions: Vec<_> = (0..10).map(|_| redir.session(&backend)).collect();
    sessions.iter().for_each(|(client, peer)| end(client, peer));
}
