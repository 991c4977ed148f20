//! 2, 9, 10, 12: server, daemon, inetd, users, signals.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Closed, Peer, Program, Scratch, figures};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::start::{REPLUG, Tproxy, run};

const ABSOLUTE: &[u8] = b"GET http://a/ HTTP/1.1\r\n\r\n";

/// 2: an address that is taken ends it with 1, and is told.
#[test]
fn tp02_an_address_that_is_taken() {
    let taken = Backend::bind();
    let port = taken.address().port().to_string();
    for words in [
        &["-s", &port, "-b", "127.0.0.1", "-d", "a", "1"][..],
        &["-s", &port, "-b", "127.0.0.1", "a", "1"],
    ] {
        let (code, _, told) = run(words);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("bind(): Address already in use\n"), "{told}");
    }
}

/// 2, 9: a daemon has begun to listen when its launcher returns 0; TERM ends it and removes the pid
/// file, INT does not.
#[test]
fn tp02_a_daemon() {
    let scratch = Scratch::new();
    let (pidfile, log) = (scratch.join("pid"), scratch.join("log"));
    let port = Closed::bind();
    let number = port.address().port().to_string();
    let proxy = Backend::bind();
    let proxy_port = proxy.address().port().to_string();
    let mut command = Command::new(REPLUG);
    command.arg0("tproxy").args(["-s", &number, "-b", "127.0.0.1", "-P", &pidfile, "-l", &log]);
    assert_eq!(Program::run(command.args(["127.0.0.1", &proxy_port])), [""; 0]);
    let id = fs::read_to_string(&pidfile).expect("there is a pid file");
    let id = Pid::from_raw(id.trim().parse().expect("a number")).expect("ids are positive");
    kill_process(id, Signal::INT).expect("the daemon runs");
    // No waiting here: that is the promise.
    let client = Peer::connect(&Address::parse(&format!("127.0.0.1:{number}")));
    client.send(ABSOLUTE);
    let peer = proxy.accept();
    peer.expect(ABSOLUTE);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    kill_process(id, Signal::TERM).expect("the daemon runs: INT is nothing to it");
    until("the daemon to end", || test_kill_process(id).is_err());
    assert!(!fs::exists(&pidfile).expect("the folder is there"));
    let lines = fs::read_to_string(&log).expect("the log");
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

/// 9: TERM ends with 1, in the foreground too, where INT ends it as well.
#[test]
fn tp09_signals() {
    let dead = Closed::bind();
    for signal in [Signal::TERM, Signal::INT] {
        let mut tproxy = Tproxy::start(&[], dead.address());
        tproxy.program.signal(Signal::QUIT);
        tproxy.program.signal(signal);
        tproxy.program.expect_exit(1);
    }
}

/// 9: connections outlive the process that listened, for as long as they like.
#[test]
fn tp09_connections_outlive_the_server() {
    let proxy = Backend::bind();
    let mut tproxy = Tproxy::start(&[], proxy.address());
    let client = tproxy.connect();
    client.send(ABSOLUTE);
    let peer = proxy.accept();
    peer.expect(ABSOLUTE);
    tproxy.program.signal(Signal::TERM);
    until("the port to be free", || !figures::is_listened_on(tproxy.address.tcp()));
    peer.send(b"answer");
    client.expect(b"answer");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    tproxy.program.expect_exit(1);
}

/// 10: one client of inetd, which is standard input and output.
#[test]
fn tp10_inetd() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let client = Peer::connect(&Address::parse(&address.to_string()));
    let (socket, _) = listener.accept().expect("the client has come");
    let proxy = Backend::bind();
    let port = proxy.address().port().to_string();
    let mut command = Command::new("bash");
    let words = ["-c", "exec -a tproxy \"$@\" >&0 2>&0", "sh", REPLUG, "127.0.0.1", &port];
    let mut program = Program::start_on(command.args(words), std::os::fd::OwnedFd::from(socket));
    client.send(b"GET /a HTTP/1.0\r\n\r\n");
    let peer = proxy.accept();
    peer.expect(format!("GET http://{address}/a HTTP/1.0\r\n\r\n").as_bytes());
    peer.send(b"answer");
    peer.half_close();
    assert_eq!(client.receive_to_fin(), b"answer");
    client.half_close();
    program.expect_exit(0);
}

/// 10: the same under a real inetd.
#[test]
fn tp10_a_real_inetd() {
    let scratch = Scratch::new();
    let (port, proxy) = (Closed::bind(), Backend::bind());
    let (address, proxy_port) = (port.address().clone(), proxy.address().port());
    let link = scratch.join("tproxy");
    std::os::unix::fs::symlink(REPLUG, &link).expect("a new link");
    let line = format!(
        "127.0.0.1:{} stream tcp nowait root {link} tproxy 127.0.0.1 {proxy_port}\n",
        address.port()
    );
    let config = scratch.join("inetd.conf");
    fs::write(&config, line).expect("a new file");
    let _inetd = Program::start(Command::new("/usr/sbin/inetd").args(["-i", &config]));
    until("inetd to listen", || figures::is_listened_on(address.tcp()));
    for _ in 0..2 {
        let client = Peer::connect(&address);
        client.send(b"GET / HTTP/1.0\r\n\r\n");
        let peer = proxy.accept();
        peer.expect(format!("GET http://{address}/ HTTP/1.0\r\n\r\n").as_bytes());
        peer.close();
        client.expect_fin();
    }
}

/// 12: user and group of the process.
#[test]
fn tp12_another_user() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: it becomes another user");
    let proxy = Backend::bind();
    for user in ["nobody", "#65534"] {
        let tproxy = Tproxy::start(&["-r", user], proxy.address());
        let status = || {
            let path = format!("/proc/{}/status", tproxy.program.pid());
            fs::read_to_string(path).expect("it runs")
        };
        until("the change", || status().contains("Uid:\t65534\t65534\t65534\t65534"));
        assert!(status().contains("Gid:\t65534\t65534\t65534\t65534"), "{}", status());
    }
}

/// 12, where we differ: a user that does not exist is no reason to stay root.
#[test]
fn tp12_a_user_that_does_not_exist() {
    let port = Closed::bind();
    let number = port.address().port().to_string();
    for user in ["no-such-user", "#4242424"] {
        let (code, _, told) = run(&["-s", &number, "-d", "-r", user, "127.0.0.1", "1"]);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("there is no user"), "{told}");
    }
}
