//! Sessions in the ring, and what becomes of them where there is none.

use std::fs;
use std::process::Command;

use rig::forwarder::announced;
use rig::wait::until;
use rig::{Backend, BlackHole, Closed, Forwarder, Namespace, Payload, Peer, Program, Scratch};

use crate::path::REPLUG;

/// Starts the program in its arguments with system calls that fail: their numbers are the first
/// argument, joined by commas (seccomp(2), with the filter as bytes).
const WITHOUT: &str = r#"
import ctypes, os, struct, sys
numbers = [int(number) for number in sys.argv[1].split(",")]
LOAD, EQUAL, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
steps = [(LOAD, 0, 0, 0)]
for place, number in enumerate(numbers):
    steps.append((EQUAL, len(numbers) - place, 0, number))
steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// io_uring_setup(2), io_uring_enter(2) and io_uring_register(2) have these numbers everywhere.
const SETUP: u32 = 425;
const ENTER: u32 = 426;
const REGISTER: u32 = 427;

#[test]
fn a_kernel_that_refuses_any_part_of_it_is_served_by_epoll() {
    for (number, step) in [
        (SETUP, "io_uring_setup(2)"),
        (ENTER, "io_uring_enter(2)"),
        (REGISTER, "a ring of buffers"),
    ] {
        let backend = Backend::bind();
        let scratch = Scratch::new();
        let script = scratch.join("without.py");
        fs::write(&script, WITHOUT).expect("a scratch file can be written");
        let mut command = Command::new("/usr/bin/python3");
        command.args([&script, &number.to_string(), REPLUG, "--io", "ring", "--shards", "1"]);
        command.args(["127.0.0.1:0", &backend.address().to_string()]);
        let forwarder = Forwarder::start_command(&mut command, 1);
        let told = format!("shard 0 moves bytes by epoll, not by io_uring: {step}: ");
        forwarder.program().stderr().expect(&told);
        converse(&forwarder, &backend);
    }
}

/// A question and its answer by a session of its own.
#[track_caller]
fn converse(forwarder: &Forwarder, backend: &Backend) {
    let client = Peer::connect(forwarder.address());
    let server = backend.accept();
    client.send(b"question");
    server.expect(b"question");
    server.send(b"answer");
    client.expect(b"answer");
}

/// With fewer and fewer descriptors there is a point at which a shard can have everything but a ring.
#[test]
fn a_shard_without_descriptors_for_a_ring_is_served_by_epoll() {
    let served = (8..64).any(|limit| {
        let backend = Backend::bind();
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={limit}:{limit}"), REPLUG, "--io", "ring"]);
        command.args(["--shards", "1", "--log", "json", "--log-to", "-", "127.0.0.1:0"]);
        let mut program = Program::start(command.arg(backend.address().to_string()));
        let is_told = |line: &String| announced(line).is_some();
        until("replug to listen or to give up", || {
            program.stderr().so_far().iter().any(is_told) || program.exit_status().is_some()
        });
        if !program.stderr().so_far().iter().any(is_told) {
            return false;
        }
        let forwarder = Forwarder::of(program, 1);
        let program = forwarder.program();
        let told = program.stderr().so_far();
        let told = told.iter().filter(|line| line.contains("moves bytes by epoll"));
        let told: Vec<_> = told.cloned().collect();
        // What was had of a ring by then is given back: a session needs two descriptors.
        let [told] = &told[..] else { return false };
        if !told.contains("a pair of sockets") {
            return false;
        }
        assert!(told.contains("Too many open files"), "{told}");
        converse(&forwarder, &backend);
        assert_eq!(forwarder.record().field("relay"), "epoll");
        true
    });
    assert!(served, "a ring could be had whenever there was a shard");
}

/// Why a session gets no backend is told in the same words, whoever connects.
#[test]
fn connects_fail_in_the_ring_as_by_epoll() {
    let (closed, hole, nowhere) = (Closed::bind(), BlackHole::open(), Namespace::new());
    let (closed, hole) = (closed.address().to_string(), hole.address().to_string());
    let fail = |io: &str, target: &str| {
        let options = ["--io", io, "--connect-timeout", "300ms", "127.0.0.1:0", target];
        let forwarder = Forwarder::start(REPLUG, &options);
        Peer::expect_turned_away(None, forwarder.address());
        forwarder.record()
    };
    for io in ["ring", "epoll"] {
        // There is no route to it.
        let unreachable = nowhere.inside(|| fail(io, "192.0.2.1:80"));
        for (record, failure, code) in [
            (fail(io, &closed), "refused", "SC"),
            (fail(io, &hole), "connect_timeout", "sC"),
            (unreachable, "unreachable", "SC"),
        ] {
            let seen = (record.reason(), record.side(), record.field("code").as_str());
            assert_eq!(seen, (failure, "backend", Some(code)), "by {io}");
            let attempts = record.attempts();
            assert_eq!(attempts.iter().map(|one| &*one.failure).collect::<Vec<_>>(), [failure]);
            assert!(record.field("relay").is_null(), "{record:?}");
        }
    }
}

#[test]
fn a_record_says_which_relay_has_carried_its_session() {
    let scratch = Scratch::new();
    let unix = format!("unix:{}", scratch.join("listen"));
    for (options, listen, relay) in [
        (&["--io", "ring"][..], "127.0.0.1:0", "ring"),
        (&["--io", "epoll"], "127.0.0.1:0", "epoll"),
        // What the ring does not do.
        (&["--io", "ring", "--bandwidth", "64MiB/s"], "127.0.0.1:0", "epoll"),
        (&["--io", "ring"], &unix, "epoll"),
    ] {
        let backend = Backend::bind();
        let address = backend.address().to_string();
        let forwarder = Forwarder::start(REPLUG, &[options, &[listen, &address]].concat());
        let client = Peer::connect(forwarder.address());
        let server = backend.accept();
        client.send(b"question");
        server.expect(b"question");
        client.half_close();
        server.expect_fin();
        server.close();
        client.expect_fin();
        assert_eq!(forwarder.record().field("relay"), relay, "{options:?} {listen}");
    }
}

#[test]
fn a_session_without_a_backend_was_carried_by_no_relay() {
    let nobody = Closed::bind();
    let target = nobody.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["--io", "ring", "127.0.0.1:0", &target]);
    Peer::expect_turned_away(None, forwarder.address());
    let record = forwarder.record();
    assert_eq!(record.reason(), "refused");
    assert!(record.field("relay").is_null(), "{record:?}");
}

#[test]
fn a_session_goes_back_and_forth_between_ring_and_splice() {
    let backend = Backend::bind();
    let address = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["--io", "ring", "127.0.0.1:0", &address]);
    let client = Peer::connect(forwarder.address());
    let server = backend.accept();
    for round in 0..4 {
        for number in 0..200u32 {
            let message = number.to_le_bytes();
            client.send(&message);
            server.expect(&message);
            server.send(&message);
            client.expect(&message);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| client.send_payload(&mut Payload::new(round), 3_000_000));
            server.expect_payload(&mut Payload::new(round), 3_000_000);
        });
        std::thread::scope(|scope| {
            scope.spawn(|| server.send_payload(&mut Payload::new(round), 3_000_000));
            client.expect_payload(&mut Payload::new(round), 3_000_000);
        });
    }
    client.half_close();
    server.expect_fin();
    server.half_close();
    client.expect_fin();
    let record = forwarder.record();
    assert_eq!(record.field("relay"), "both");
    assert_eq!((record.reason(), record.bytes_to_backend()), ("done", 4 * (3_000_000 + 800)));
    assert_eq!(record.bytes_to_client(), 4 * (3_000_000 + 800));
}
