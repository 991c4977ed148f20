//! Each direction ends on its own: one side's FIN does not keep the other from answering.

use std::time::Duration;

use rig::wait::pause;
use rig::{Payload, Peer};

use crate::path::{Path, Session, Way};

/// Long enough for a forwarder that gives up on the half that is still open.
const LATE: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"what is the time?";
const REPLY_BYTES: usize = 100_000;

#[test]
fn a_client_half_closes_and_is_answered() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        half_close_and_answer(&client, &backend, Duration::ZERO);
        way.expect_record("done", "client", REQUEST.len() as u64, REPLY_BYTES as u64);
    });
}

#[test]
fn a_client_half_closes_and_is_answered_late() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        half_close_and_answer(&client, &backend, LATE);
        way.expect_record("done", "client", REQUEST.len() as u64, REPLY_BYTES as u64);
    });
}

#[test]
fn a_backend_half_closes_and_is_answered() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        half_close_and_answer(&backend, &client, Duration::ZERO);
        way.expect_record("done", "backend", REPLY_BYTES as u64, REQUEST.len() as u64);
    });
}

#[test]
fn a_backend_half_closes_and_is_answered_late() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        half_close_and_answer(&backend, &client, LATE);
        way.expect_record("done", "backend", REPLY_BYTES as u64, REQUEST.len() as u64);
    });
}

#[test]
fn nothing_but_fins() {
    Path::each(|path| {
        let Session { way, client, backend } = Session::open(path, &[]);
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", 0, 0);
    });
}

#[test]
fn both_close_at_once() {
    Path::each(|path| {
        let way = Way::open(path, &[]);
        // Which FIN is seen first is chance, so try both a number of times.
        for round in 0..20 {
            let (client, backend) = way.connect();
            let (first, second) = match round % 2 {
                0 => (&client, &backend),
                _ => (&backend, &client),
            };
            first.half_close();
            second.half_close();
            first.expect_fin();
            second.expect_fin();
        }
        if !way.forwarder.is_direct() {
            for record in way.forwarder.records(20) {
                assert_eq!(record.reason(), "done", "{record:?}");
            }
        }
    });
}

/// A read that brings the last bytes is not always followed by a wake-up of its own for the FIN.
#[test]
fn the_fin_comes_in_the_packet_of_the_last_bytes() {
    Path::each(|path| {
        let way = Way::open(path, &[]);
        for _ in 0..20 {
            let (client, backend) = way.connect();
            client.send_with_fin(REQUEST);
            assert_eq!(backend.receive_to_fin(), REQUEST);
            backend.send_with_fin(b"noon");
            assert_eq!(client.receive_to_fin(), b"noon");
        }
        if !way.forwarder.is_direct() {
            for record in way.forwarder.records(20) {
                assert_eq!(record.reason(), "done", "{record:?}");
                assert_eq!(record.bytes_to_backend() - way.bulk(), REQUEST.len() as u64);
                assert_eq!(record.bytes_to_client() - way.bulk(), 4);
            }
        }
    });
}

fn half_close_and_answer(asks: &Peer, answers: &Peer, after: Duration) {
    asks.send(REQUEST);
    asks.half_close();
    assert_eq!(answers.receive_to_fin(), REQUEST);
    pause(after);
    answers.send_payload(&mut Payload::new(3), REPLY_BYTES);
    answers.half_close();
    asks.expect_payload(&mut Payload::new(3), REPLY_BYTES);
    asks.expect_fin();
}
