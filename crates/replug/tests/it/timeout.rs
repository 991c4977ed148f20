//! Sessions in which nothing moves end: by a reset on both sides, since neither has ended them.

use std::time::Duration;

use rig::wait::pause;

use crate::path::{Path, Session};

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
