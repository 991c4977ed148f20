//! Sessions in which nothing moves end: by a reset on both sides, since neither has ended them.

use std::process::Command;
use std::time::Duration;

use rig::wait::{pause, until};
use rig::{Backend, Forwarder, Peer, Program};

use crate::path::{Path, REPLUG, Session};

#[test]
fn nothing_moves_for_the_idle_timeout() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--idle", "1s"]);
        client.send(b"hello");
        backend.expect(b"hello");
        client.expect_reset();
        backend.expect_reset();
        way.expect_record("idle", "replug", 5, 0);
    });
}

#[test]
fn bytes_in_one_direction_keep_a_session() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--idle", "2s"]);
        for _ in 0..10 {
            backend.send(b"tick");
            client.expect(b"tick");
            pause(Duration::from_millis(400));
        }
        backend.half_close();
        client.expect_fin();
        client.half_close();
        backend.expect_fin();
        way.expect_record("done", "backend", 0, 40);
    });
}

#[test]
fn nothing_moves_after_the_fin_of_the_client() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--half-closed", "1s"]);
        client.send(b"hello");
        client.half_close();
        assert_eq!(backend.receive_to_fin(), b"hello");
        client.expect_reset();
        backend.expect_reset_after_fin();
        way.expect_record("half_closed_idle", "replug", 5, 0);
    });
}

#[test]
fn nothing_moves_after_the_fin_of_the_backend() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--half-closed", "1s"]);
        backend.half_close();
        client.expect_fin();
        backend.expect_reset();
        client.expect_reset_after_fin();
        way.expect_record("half_closed_idle", "replug", 0, 0);
    });
}

#[test]
fn bytes_keep_the_half_that_is_left() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--half-closed", "2s"]);
        client.half_close();
        backend.expect_fin();
        for _ in 0..10 {
            backend.send(b"tick");
            client.expect(b"tick");
            pause(Duration::from_millis(400));
        }
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", 0, 40);
    });
}

/// The half-closed timeout is for half-closed sessions only.
#[test]
fn an_open_session_is_not_bound_by_the_half_closed_timeout() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--half-closed", "500ms"]);
        pause(Duration::from_secs(2));
        client.send(b"still here");
        backend.expect(b"still here");
        drop(way);
    });
}

#[test]
fn a_lifetime_ends_a_session_in_which_bytes_move() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--lifetime", "2s"]);
        // Until it is over, and for as long as a test may take at the most.
        until("the lifetime to be over", || {
            pause(Duration::from_millis(50));
            backend.try_send(b"tick").is_err() || client.try_send(b"tock").is_err()
        });
        let record = way.forwarder.record();
        assert_eq!((record.reason(), record.side()), ("limited", "replug"));
        assert!(record.bytes_to_client() - way.bulk() >= 4, "bytes moved until then: {record:?}");
    });
}

/// Resting or half-closed, a session has no more time than its life.
#[test]
fn a_lifetime_ends_a_session_at_rest() {
    Path::each_forwarded(|path| {
        let Session { way, client, backend } = Session::open(path, &["--lifetime", "2s"]);
        client.half_close();
        backend.expect_fin();
        client.expect_reset();
        backend.expect_reset_after_fin();
        way.expect_record("limited", "replug", 0, 0);
    });
}

#[test]
fn silent_peers_are_probed_on_both_sides() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["--keepalive", "7s", "127.0.0.1:0", &target]);
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    client.send(b"x");
    peer.expect(b"x");
    let pid = format!("pid={},", forwarder.pid());
    // The kernel starts a connection's timer anew with every segment, so it may show another
    // one for a moment.
    until("both connections to show a keepalive timer", || {
        let shown = Program::run(Command::new("ss").args(["-tnpoH", "state", "established"]));
        let ours = shown.iter().filter(|line| line.contains(&pid));
        ours.filter(|line| line.contains("timer:(keepalive,")).count() == 2
    });
    client.close();
    peer.expect_fin();
}
