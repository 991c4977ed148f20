//! The lines of `haproxy-tcp` beside those that HAProxy itself writes about the same sessions.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use rig::{Address, Backend, Forwarder, PATIENCE, Peer, Program, Scratch};

use crate::path::REPLUG;

/// A line of HAProxy's `option tcplog`, field by field as its manual has them.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    client: String,
    accepted: String,
    listener: String,
    pool: String,
    backend: String,
    /// Queue, connect, total; whether the total still grows.
    times: [i64; 3],
    goes_on: bool,
    bytes: u64,
    code: String,
    /// Process, listener, pool, backend.
    sessions: [u32; 4],
    attempts: u32,
    queues: [u32; 2],
}

impl Line {
    /// Reads a line strictly; what stands before it is a syslog header.
    #[track_caller]
    fn read(text: &str) -> Self {
        let line = text.split_once("]: ").map_or(text, |(_, line)| line).trim_end();
        let words: Vec<_> = line.split(' ').collect();
        let [client, accepted, listener, server, times, bytes, code, counts, queues] = *words
        else {
            panic!("{} fields in {line:?}", words.len());
        };
        let accepted = accepted.strip_prefix('[').and_then(|date| date.strip_suffix(']'));
        let (pool, backend) = server.split_once('/').expect("BACKEND/SERVER");
        let numbers = |text: &str| -> Vec<i64> {
            let number = |number: &str| number.parse().unwrap_or_else(|_| panic!("{text}: {line}"));
            text.split('/').map(number).collect()
        };
        let goes_on = bytes.starts_with('+');
        assert_eq!(times.contains("/+"), goes_on, "{line}");
        let counts = numbers(&counts.replace("/+", "/"));
        let small = |number: i64| u32::try_from(number).expect("a count");
        Self {
            client: client.to_owned(),
            accepted: accepted.expect("the date stands in brackets").to_owned(),
            listener: listener.to_owned(),
            pool: pool.to_owned(),
            backend: backend.to_owned(),
            times: numbers(&times.replace('+', "")).try_into().expect("three times"),
            goes_on,
            bytes: bytes.trim_start_matches('+').parse().expect("a number"),
            code: code.to_owned(),
            sessions: [0, 1, 2, 3].map(|at: usize| small(counts[at])),
            attempts: small(counts[4]),
            queues: {
                let queues = numbers(queues);
                [small(queues[0]), small(queues[1])]
            },
        }
    }

    /// What does not depend on the run.
    fn fixed(&self) -> (&str, &str, u64, &str, [u32; 4], u32, [u32; 2], bool) {
        let connected = self.times[1] >= 0;
        let Self { listener, pool, bytes, code, sessions, attempts, queues, .. } = self;
        (listener, pool, *bytes, code, *sessions, *attempts, *queues, connected)
    }
}

/// `21/Nov/2026:08:57:47.591`
#[track_caller]
fn check_date(date: &str) {
    let shape: String = date
        .chars()
        .map(|c| match c {
            '0'..='9' => '9',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            other => other,
        })
        .collect();
    assert_eq!(shape, "99/Aaa/9999:99:99:99.999");
}

/// Receives lines as datagrams.
struct Receiver(UdpSocket);

impl Receiver {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        Self(socket)
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("it is bound").to_string()
    }

    /// The next line about a session; others are messages.
    #[track_caller]
    fn line(&self) -> Line {
        loop {
            let mut message = [0; 4096];
            let count = self.0.recv(&mut message).expect("a line comes");
            let text = String::from_utf8_lossy(&message[..count]).into_owned();
            if text.contains(" web/") {
                return Line::read(&text);
            }
        }
    }
}

/// The sessions that both are asked to carry; each gives its line.
fn sessions(at: &Address, backend: &Backend, receiver: &Receiver) -> Vec<Line> {
    let mut lines = Vec::new();
    let begin = || (Peer::connect(at), backend.accept());

    let (client, peer) = begin();
    client.send(b"ask");
    peer.expect(b"ask");
    peer.send(b"answer");
    client.expect(b"answer");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    lines.push(receiver.line());

    // Two at a time; one is reset by its client, then one by its backend.
    let ((first, first_peer), (second, second_peer)) = (begin(), begin());
    for (client, peer) in [(&first, &first_peer), (&second, &second_peer)] {
        client.send(b"x");
        peer.expect(b"x");
    }
    first.reset();
    lines.push(receiver.line());
    second_peer.reset();
    lines.push(receiver.line());
    lines
}

#[test]
fn lines_are_those_of_haproxy() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());

    let receiver = Receiver::new();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = Address::parse(&socket.local_addr().expect("it is bound").to_string());
    let path = scratch.join("haproxy.cfg");
    let text = format!(
        "global\n log {} local0\ndefaults\n mode tcp\n log global\n option tcplog\n\
         \x20timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen web\n bind fd@0\n server one {}\n",
        receiver.address(),
        backend.address(),
    );
    fs::write(&path, text).expect("a scratch file can be written");
    let haproxy = Program::start_on(
        Command::new("haproxy").args(["-db", "-f", &path]),
        std::os::fd::OwnedFd::from(socket),
    );
    let mut theirs = sessions(&at, &backend, &receiver);
    drop(haproxy);
    // It may have written the line of a session that it still counts beside the next one.
    if theirs[2].sessions == theirs[1].sessions {
        theirs[2].sessions = theirs[0].sessions;
    }

    let receiver = Receiver::new();
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n[[log]]\n\
         [[log]]\nformat = \"haproxy-tcp\"\nprotocol = \"rfc3164\"\nfacility = \"local0\"\n\
         to = \"syslog://{}\"\n",
        backend.address(),
        receiver.address(),
    );
    let path = scratch.join("replug.toml");
    fs::write(&path, text).expect("a scratch file can be written");
    let replug = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    let ours = sessions(replug.address(), &backend, &receiver);

    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.fixed(), theirs.fixed(), "\n{ours:?}\n{theirs:?}");
        for line in [ours, theirs] {
            check_date(&line.accepted);
            assert!(line.client.starts_with("127.0.0.1:"), "{line:?}");
        }
        assert_eq!((&*ours.backend, &*theirs.backend), (&*backend.address().to_string(), "one"));
        assert!(ours.times[0] + ours.times[1] <= ours.times[2], "{ours:?}");
    }
    let codes: Vec<_> = ours.iter().map(|line| &*line.code).collect();
    assert_eq!((&*codes, ours[0].bytes), (&["--", "CD", "SD"][..], 6));
}

#[test]
fn a_backend_that_refuses_has_its_line_too() {
    let (closed, scratch) = (Backend::bind().close(), Scratch::new());
    let receiver = Receiver::new();
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n[[log]]\n\
         [[log]]\nformat = \"haproxy-tcp\"\nto = \"syslog://{}\"\nprotocol = \"rfc3164\"\n",
        closed.address(),
        receiver.address(),
    );
    let path = scratch.join("replug.toml");
    fs::write(&path, text).expect("a scratch file can be written");
    let replug = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    // Reset as soon as it is accepted, which a client may notice while it connects.
    let _ = Peer::try_connect(replug.address()).and_then(|client| client.wait_end());
    let line = receiver.line();
    assert_eq!((&*line.backend, &*line.code, line.bytes), ("<NOSRV>", "SC", 0));
    assert_eq!((line.times[0], line.times[1], line.attempts), (0, -1, 1));
}
