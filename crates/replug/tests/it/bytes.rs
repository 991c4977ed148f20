//! Every byte arrives, once, in order, however it is sent and taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rig::payload::Chance;
use rig::wait::{pause, until};
use rig::{Payload, Peer, figures};

use crate::path::{Path, Session, exchange};

/// Sets the seed of the tests that use chance.
const SEED_VARIABLE: &str = "REPLUG_TEST_SEED";

#[test]
fn one_byte_at_a_time() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        let bytes = Payload::new(6).take(1_000);
        thread::scope(|scope| {
            scope.spawn(|| client.dribble(&bytes, Duration::from_micros(500)));
            scope.spawn(|| backend.dribble(&bytes, Duration::from_micros(500)));
            scope.spawn(|| backend.expect(&bytes));
            client.expect(&bytes);
        });
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", 1_000, 1_000);
    });
}

#[test]
fn neither_side_reads_for_ten_seconds() {
    const STALL: Duration = Duration::from_secs(10);
    /// More than all buffers on the way can hold.
    const BYTES: usize = 64 * 1024 * 1024;

    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        client.shrink_receive_buffer(64 * 1024);
        backend.shrink_receive_buffer(64 * 1024);
        let sent = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                client.send_payload(&mut Payload::new(1), BYTES);
                sent.store(true, Ordering::SeqCst);
            });
            scope.spawn(|| {
                backend.send_payload(&mut Payload::new(2), BYTES);
                sent.store(true, Ordering::SeqCst);
            });
            pause(STALL / 10);
            let before = (!way.forwarder.is_direct()).then(|| way.forwarder.cpu_time());
            pause(STALL * 9 / 10);
            assert!(!sent.load(Ordering::SeqCst), "nobody was held back");
            if let Some(before) = before {
                let used = way.forwarder.cpu_time() - before;
                assert!(used < Duration::from_millis(500), "used {used:?} while nothing moved");
            }
            scope.spawn(|| backend.expect_payload(&mut Payload::new(1), BYTES));
            client.expect_payload(&mut Payload::new(2), BYTES);
        });
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", BYTES as u64, BYTES as u64);
    });
}

#[test]
fn much_both_ways_at_once() {
    const BYTES: usize = 200_000_000;

    let seed = seed();
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        thread::scope(|scope| {
            scope.spawn(|| send_by_chance(&client, seed, BYTES));
            scope.spawn(|| send_by_chance(&backend, seed + 1, BYTES));
            scope.spawn(|| receive_by_chance(&backend, seed, BYTES));
            receive_by_chance(&client, seed + 1, BYTES);
        });
        if !way.forwarder.is_direct() {
            let record = way.forwarder.record();
            assert_eq!(record.reason(), "done");
            assert_eq!(record.bytes_to_backend() - way.bulk(), BYTES as u64);
            assert_eq!(record.bytes_to_client() - way.bulk(), BYTES as u64);
        }
    });
}

/// Small messages leave splice for copying again.
#[test]
fn small_messages_follow_bulk() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        for _ in 0..3 {
            exchange(&client, &backend, 4 * 1024 * 1024);
            for _ in 0..300 {
                client.send(b"ping");
                backend.expect(b"ping");
                backend.send(b"pong");
                client.expect(b"pong");
            }
        }
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        let bytes = 3 * (4 * 1024 * 1024 + 300 * 4);
        way.expect_record("done", "client", bytes, bytes);
    });
}

/// What the paths by splice are there for: without this they might all be copying.
#[test]
fn bulk_goes_through_pipes_unless_told_not_to() {
    const THROTTLED: &[&str] = &["--bandwidth", "128MiB/s"];
    let ways: [(_, &[_], _); 3] =
        [(Path::Copy, &[], false), (Path::Splice, &[], true), (Path::Splice, THROTTLED, true)];
    for (path, options, piped) in ways {
        let Session { way, client, backend } = Session::open(path, options);
        let pid = way.forwarder.pid();
        let before = figures::pipes(pid);
        thread::scope(|scope| {
            const BYTES: usize = 64 * 1024 * 1024;
            scope.spawn(|| backend.send_payload(&mut Payload::new(1), BYTES));
            client.expect_payload(&mut Payload::new(1), BYTES / 2);
            // Now that the reader has stopped, what is on its way stands in the pipe.
            if piped {
                until("a pipe to be in use", || figures::pipes(pid) > before);
            } else {
                assert_eq!(figures::pipes(pid), before);
            }
            client.expect_payload(&mut from(1, BYTES / 2), BYTES / 2);
        });
    }
}

fn send_by_chance(peer: &Peer, seed: u64, bytes: usize) {
    let (mut payload, mut chance) = (Payload::new(seed), Chance::new(!seed));
    let mut left = bytes;
    while left > 0 {
        let length = by_chance(&mut chance, 256 * 1024).min(left);
        peer.send_payload(&mut payload, length);
        left -= length;
        rest_by_chance(&mut chance);
    }
    peer.half_close();
}

fn receive_by_chance(peer: &Peer, seed: u64, bytes: usize) {
    let (mut payload, mut chance) = (Payload::new(seed), Chance::new(seed ^ 0x55));
    let mut left = bytes;
    while left > 0 {
        let length = by_chance(&mut chance, 512 * 1024).min(left);
        peer.expect_payload(&mut payload, length);
        left -= length;
        rest_by_chance(&mut chance);
    }
    peer.expect_fin();
}

/// From 1 to `most`; small numbers as often as great ones.
fn by_chance(chance: &mut Chance, most: u64) -> usize {
    let most = 1 + chance.below(most);
    usize::try_from(1 + chance.below(most)).expect("a length fits")
}

fn rest_by_chance(chance: &mut Chance) {
    if chance.below(100) == 0 {
        pause(Duration::from_micros(chance.below(5_000)));
    }
}

fn from(seed: u64, position: usize) -> Payload {
    let mut payload = Payload::new(seed);
    payload.skip(position as u64);
    payload
}

#[expect(clippy::print_stdout, reason = "the harness shows it below a failed test")]
fn seed() -> u64 {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("a seed is a number"),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().expect("the clock is after 1970").as_secs(),
    };
    println!("to repeat this: {SEED_VARIABLE}={seed}");
    seed
}
