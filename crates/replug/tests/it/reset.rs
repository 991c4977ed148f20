//! A reset stays a reset, behind all that was received before it; it never becomes a FIN.

use std::time::Duration;

use rig::wait::{pause, until};
use rig::{End, Payload, Peer};

use crate::path::{Path, Session};

const CUT_BYTES: usize = 20_000;
const UNREAD_BYTES: usize = 3_000_000;

#[test]
fn a_backend_resets_after_some_bytes() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        send_and_reset(&client, backend);
        way.expect_record("backend_reset", "backend", 0, CUT_BYTES as u64);
    });
}

#[test]
fn a_client_resets_after_some_bytes() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        send_and_reset(&backend, client);
        way.expect_record("client_reset", "client", CUT_BYTES as u64, 0);
    });
}

#[test]
fn a_client_resets_at_once() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        client.reset();
        backend.expect_reset();
        way.expect_record("client_reset", "client", 0, 0);
    });
}

#[test]
fn a_backend_closes_with_unread_input_while_the_client_is_slow() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        // What was asked and never read makes the close below a reset.
        client.send(b"stop it");
        until("the question to arrive", || backend.is_readable());
        let (received, taken) = close_unread(&client, backend);
        assert!(
            received >= taken,
            "{received} of the {taken} bytes taken from the backend arrived"
        );
        way.expect_record("backend_reset", "backend", 7, received);
    });
}

#[test]
fn a_client_closes_with_unread_input_while_the_backend_is_slow() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        backend.send(b"stop it");
        until("the answer to arrive", || client.is_readable());
        let (received, taken) = close_unread(&backend, client);
        assert!(received >= taken, "{received} of the {taken} bytes taken from the client arrived");
        way.expect_record("client_reset", "client", received, 7);
    });
}

#[test]
fn a_client_resets_after_its_fin_while_the_backend_waits() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        client.send(b"request");
        client.half_close();
        assert_eq!(backend.receive_to_fin(), b"request");
        client.reset();
        backend.expect_reset_after_fin();
        way.expect_record("client_reset", "client", 7, 0);
    });
}

#[test]
fn a_backend_resets_after_its_fin() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        backend.send(b"goodbye");
        backend.half_close();
        assert_eq!(client.receive_to_fin(), b"goodbye");
        backend.reset();
        client.expect_reset_after_fin();
        way.expect_record("backend_reset", "backend", 0, 7);
    });
}

/// The reset comes while the forwarder cannot get rid of what it holds, and must not wait for that.
#[test]
fn a_client_that_does_not_read_resets() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        client.shrink_receive_buffer(4096);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut payload = Payload::new(5);
                let mut sent = Ok(());
                while sent.is_ok() {
                    sent = backend.try_send(&payload.take(64 * 1024));
                }
                let kind = sent.expect_err("the loop ends by an error").kind();
                assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
            });
            until("the stream to fill", || client.is_readable());
            pause(Duration::from_millis(300));
            client.reset();
        });
        if !way.forwarder.is_direct() {
            let record = way.forwarder.record();
            assert_eq!((record.reason(), record.side()), ("client_reset", "client"));
        }
    });
}

fn send_and_reset(stays: &Peer, resets: Peer) {
    resets.send_payload(&mut Payload::new(4), CUT_BYTES);
    // A reset throws away what is still to be sent.
    until("all to be taken", || resets.unacknowledged() == 0);
    resets.reset();
    let (received, end) = stays.receive_to_end(&mut Payload::new(4), 4096, Duration::ZERO);
    assert_eq!((received, end), (CUT_BYTES as u64, End::Reset));
}

/// `closes` sends much to `slow` and closes with unread input. How many bytes `slow` received
/// before the reset, and how many of them the kernel on the way had taken, at least.
fn close_unread(slow: &Peer, closes: Peer) -> (u64, u64) {
    slow.shrink_receive_buffer(64 * 1024);
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            closes.send_payload(&mut Payload::new(4), UNREAD_BYTES);
            let taken = UNREAD_BYTES as u64 - closes.unacknowledged();
            closes.close();
            taken
        });
        // 64 KiB every 20 ms: 3 MB in one second.
        let rest = Duration::from_millis(20);
        let (received, end) = slow.receive_to_end(&mut Payload::new(4), 64 * 1024, rest);
        assert_eq!(end, End::Reset, "after {received} bytes");
        (received, sender.join().expect("the sender did what it should"))
    })
}
