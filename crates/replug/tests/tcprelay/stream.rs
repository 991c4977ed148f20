//! 9, 12, 19, 21: bytes, ends, and the bugs that are not copied.

use std::time::{Duration, Instant};

use rig::{Address, Backend, Payload, Peer, Scratch};

use crate::start::{Relay, name_at, remote};

/// 9: that long after the last byte of either side.
#[test]
fn t09_idle_timeout() {
    let backend = Backend::bind();
    let relay = Relay::start("", &format!("{} idle timeout = 2", remote(backend.address())));
    let client = Peer::connect(&relay.address);
    client.send(b"x");
    // It ends nothing before the client has been ended.
    let peer = backend.accept();
    peer.expect(b"x");
    peer.send(b"A");
    client.expect(b"A");
    let last = Instant::now();
    // How it is ended is the next case.
    client.wait_end().expect("it is ended");
    // Never earlier, but for the coarse clock.
    assert!(last.elapsed() > Duration::from_millis(1900), "{:?}", last.elapsed());
    peer.wait_end().expect("it is ended on this side as well");
}

/// 9: what the backend sends counts, though the client says nothing.
#[test]
fn t09_both_directions_count() {
    let backend = Backend::bind().serve(|peer| {
        // Longer in all than it may be idle.
        peer.dribble(b"xxxxxxxx", Duration::from_millis(400));
        let _ = peer.wait_end();
    });
    let relay = Relay::start("", &format!("{} idle timeout = 2", remote(backend.address())));
    Peer::connect(&relay.address).expect(b"xxxxxxxx");
}

/// 12: what connections leave from.
#[test]
fn t12_local_address() {
    let backend = Backend::bind();
    let relay =
        Relay::start("", &format!("{} local address = 127.0.0.7", remote(backend.address())));
    let _client = Peer::connect(&relay.address);
    let source = backend.accept().remote_address().tcp().ip();
    assert_eq!(source.to_string(), "127.0.0.7");
}

/// 12: a remote at a path, and one whose address has a port of its own.
#[test]
fn t12_addresses_of_remotes() {
    let scratch = Scratch::new();
    let path = scratch.join("b.sock");
    let _unix = name_at('U', Backend::bind_to(&Address::parse(&format!("unix:{path}"))));
    let relay = Relay::start("", &format!("remote = {{ address = {path} port = 0 }}"));
    assert_eq!(relay.ask(), 'U');
    let a = name_at('A', Backend::bind());
    let relay = Relay::start("", &format!("remote = {{ address = {} port = 1 }}", a.address()));
    assert_eq!(relay.ask(), 'A');
}

/// 19: where we differ: the answer was lost with the connection.
#[test]
fn t19_half_close() {
    let backend = Backend::bind().serve(|peer| {
        let bytes = peer.receive_to_fin().len();
        peer.send(format!("GOT {bytes}").as_bytes());
    });
    let relay = Relay::start("", &remote(backend.address()));
    let client = Peer::connect(&relay.address);
    client.send(&[b'x'; 100]);
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"GOT 100");
}

/// 21.
#[test]
fn t21_five_megabytes_each_way() {
    const LENGTH: usize = 5 << 20;
    let backend = Backend::bind().serve(|peer| {
        peer.expect_payload(&mut Payload::new(1), LENGTH);
        peer.send_payload(&mut Payload::new(2), LENGTH);
    });
    let relay = Relay::start("", &remote(backend.address()));
    let client = Peer::connect(&relay.address);
    client.shrink_receive_buffer(64 << 10);
    client.send_payload(&mut Payload::new(1), LENGTH);
    client.half_close();
    client.expect_payload(&mut Payload::new(2), LENGTH);
    client.expect_fin();
}
