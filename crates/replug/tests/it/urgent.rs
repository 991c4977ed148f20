//! Urgent bytes (`MSG_OOB`, tcp(7)).
//!
//! Receiving stops at the mark of an urgent byte even if more is there, which a reader may take
//! for "all read". The ordinary bytes on both sides of the mark must arrive. The urgent byte
//! itself may be dropped or come in its place among the others.

use rig::Peer;
use rustix::process::Signal;

use crate::path::{Path, Session};

const URGENT: u8 = b'!';
const BEFORE: &[u8] = &[b'b'; 1_000];
const AFTER: &[u8] = &[b'a'; 1_000];

#[test]
fn a_client_sends_an_urgent_byte() {
    Path::each(|path| {
        let session = Session::open(path, &[]);
        send(&session.client);
        receive(&session.backend);
        finish(session);
    });
}

#[test]
fn a_backend_sends_an_urgent_byte() {
    Path::each(|path| {
        let session = Session::open(path, &[]);
        send(&session.backend);
        receive(&session.client);
        finish(session);
    });
}

#[test]
fn all_is_there_before_it_is_read() {
    Path::each(|path| {
        let session = Session::open(path, &[]);
        let forwarder = &session.way.forwarder;
        if !forwarder.is_direct() {
            forwarder.signal(Signal::STOP);
        }
        send(&session.client);
        send(&session.backend);
        if !forwarder.is_direct() {
            forwarder.signal(Signal::CONT);
        }
        receive(&session.backend);
        receive(&session.client);
        finish(session);
    });
}

#[test]
fn nothing_but_the_fin_follows() {
    Path::each(|path| {
        let session = Session::open(path, &[]);
        session.client.send(BEFORE);
        session.client.send_urgent(URGENT);
        session.client.half_close();
        let bytes = session.backend.receive_to_fin();
        assert_eq!(&bytes[..BEFORE.len()], BEFORE);
        assert!(bytes.len() <= BEFORE.len() + 1, "{} bytes", bytes.len());
        session.backend.half_close();
        session.client.expect_fin();
    });
}

fn send(peer: &Peer) {
    peer.send(BEFORE);
    peer.send_urgent(URGENT);
    peer.send(AFTER);
}

fn receive(peer: &Peer) {
    peer.expect(BEFORE);
    let mut after = peer.receive(AFTER.len());
    if after[0] == URGENT {
        after.remove(0);
        after.extend(peer.receive(1));
    }
    assert_eq!(after, AFTER);
}

/// The session still works, and ends as any other.
fn finish(session: Session) {
    let Session { way, client, backend } = session;
    client.send(b"more");
    backend.expect(b"more");
    client.half_close();
    backend.expect_fin();
    backend.half_close();
    client.expect_fin();
    if !way.forwarder.is_direct() {
        assert_eq!(way.forwarder.record().reason(), "done");
    }
}
