//! 17 to 20: bytes, half-close, and the bugs that are not copied.

use rig::{Backend, Payload, Peer};

use crate::start::{Plug, count, name};

/// 17: a client that has said all it had gets its answer.
#[test]
fn t17_half_close_of_the_client() {
    let backend = Backend::bind();
    let plug = Plug::start(&[], &[&backend.address().to_string()]);
    let client = Peer::connect(&plug.address);
    let peer = backend.accept();
    let reader = std::thread::spawn(move || {
        peer.expect_payload(&mut Payload::new(17), 20_000_000);
        peer.expect_fin();
        peer.send(b"N=20000000");
    });
    client.send_payload(&mut Payload::new(17), 20_000_000);
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"N=20000000");
    reader.join().expect("all came");
}

/// 17: a server that has said all it had still hears its client.
#[test]
fn t17_half_close_of_the_server() {
    let backend = Backend::bind();
    let plug = Plug::start(&[], &[&backend.address().to_string()]);
    let client = Peer::connect(&plug.address);
    let peer = backend.accept();
    peer.half_close();
    client.expect_fin();
    client.send(b"still here");
    client.half_close();
    assert_eq!(peer.receive_to_fin(), b"still here");
}

/// 18: plug loses up to 2,048 bytes, and the end of the stream, when the receiver stalls.
#[test]
fn t18_the_tail_before_an_end_is_delivered() {
    for tail in [200, 1_000, 1_800, 2_048, 5_000] {
        let backend = Backend::bind();
        let plug = Plug::start(&[], &[&backend.address().to_string()]);
        let client = Peer::connect(&plug.address);
        let peer = backend.accept();
        peer.shrink_receive_buffer(32_768);
        // More than the kernel holds for such a receiver, and less than all on the way together:
        // all is sent, and its end too, before a byte is read.
        let length = 400_000 + tail;
        client.send_payload(&mut Payload::new(18), length);
        client.half_close();
        rig::wait::until("the bytes to stall", || peer.is_readable());
        peer.expect_payload(&mut Payload::new(18), length);
        peer.expect_fin();
        drop(peer);
        client.expect_fin();
    }
}

/// 19: in plug a client that resets marks its healthy server bad.
#[test]
fn t19_a_reset_of_a_client_marks_no_server() {
    let a = Backend::bind();
    let b = name('B');
    let targets = [a.address().to_string(), b.address().to_string()];
    let plug = Plug::start(&["-o"], &targets.each_ref().map(String::as_str));
    for _ in 0..5 {
        let client = Peer::connect(&plug.address);
        let peer = a.accept();
        peer.send(b"A");
        client.expect(b"A");
        client.reset();
        peer.expect_reset();
    }
    let client = Peer::connect(&plug.address);
    a.accept().send(b"A");
    client.expect(b"A");
}

/// 19: with `-k`, in plug one urgent byte ends the connection and marks the server bad.
#[test]
fn t19_an_urgent_byte_ends_nothing() {
    let backend = Backend::bind();
    let b = name('B');
    let targets = [backend.address().to_string(), b.address().to_string()];
    let plug = Plug::start(&["-k", "-o"], &targets.each_ref().map(String::as_str));
    for _ in 0..2 {
        let client = Peer::connect(&plug.address);
        let peer = backend.accept();
        client.send(b"be");
        client.send_urgent(b'!');
        client.send(b"fore");
        peer.expect(b"before");
        client.half_close();
        peer.expect_fin();
        peer.half_close();
        client.expect_fin();
    }
}

/// 20: in plug 1,024 sessions that end between two clients end the daemon; after 65,536 it no longer
/// notices dead servers. Here nothing is counted up that is not counted down again.
#[test]
fn t20_many_sessions_end_at_once() {
    let backend = count();
    let plug = Plug::start(&[], &[&backend.address().to_string()]);
    let clients: Vec<_> = (0..1_100).map(|_| Peer::connect(&plug.address)).collect();
    rig::wait::until("all to be connected", || backend.accepted() == 1_100);
    clients.iter().for_each(Peer::half_close);
    for client in &clients {
        assert_eq!(client.receive_to_fin(), b"GOT 0");
    }
    drop(clients);
    let client = Peer::connect(&plug.address);
    client.send(b"12345");
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"GOT 5");
}
