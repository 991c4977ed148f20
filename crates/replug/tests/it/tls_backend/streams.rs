//! What a stream promises, within TLS as without.

use rig::{Backend, Payload, Peer};

use super::certificates::Certificates;
use super::servers::{Server, before, only, trusting};

#[test]
fn a_stream_that_its_backend_cuts_is_reset() {
    let certificates = Certificates::new();
    certificates.good();
    for version in ["version=TLSv1_2", "version=TLSv1_3"] {
        let server = Server::start("cut", &certificates, "db", &[version]);
        let forwarder = before(&only(&server), &trusting(&certificates), "");
        let client = Peer::connect(forwarder.address());
        client.send(b"x");
        client.expect(b"half");
        // A FIN would say that this was all.
        client.expect_reset();
        let record = forwarder.record();
        assert_eq!((record.side(), record.bytes_to_client()), ("backend", 4));
        assert_eq!(record.reason(), "backend_reset");
    }
}

#[test]
fn bulk_goes_both_ways_byte_for_byte() {
    const LENGTH: usize = 8 << 20;
    let certificates = Certificates::new();
    certificates.good();
    for version in ["version=TLSv1_2", "version=TLSv1_3"] {
        let server = Server::start("echo", &certificates, "db", &[version, "greets=no"]);
        let forwarder = before(&only(&server), &trusting(&certificates), "");
        let client = Peer::connect(forwarder.address());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.send_payload(&mut Payload::new(7), LENGTH);
                client.half_close();
            });
            client.expect_payload(&mut Payload::new(7), LENGTH);
            client.expect(b"end");
            client.expect_fin();
        });
        let record = forwarder.record();
        assert_eq!(record.reason(), "done");
        assert_eq!(record.bytes_to_backend(), LENGTH as u64);
    }
}

#[test]
fn a_client_that_leaves_during_the_handshake_takes_it_along() {
    let certificates = Certificates::new();
    let silent = Backend::bind();
    let forwarder = before(&format!("\"{}\"", silent.address()), &trusting(&certificates), "");
    let client = Peer::connect(forwarder.address());
    let backend = silent.accept();
    assert_eq!(backend.receive(1), [22], "it begins with TLS");
    client.reset();
    let _ = backend.wait_end();
    assert_eq!(forwarder.record().reason(), "client_reset");
}

#[test]
fn a_handshake_that_does_not_end_is_given_up_in_time() {
    let certificates = Certificates::new();
    let silent = Backend::bind();
    let forwarder = crate::file::start(
        &super::servers::configured(
            &format!("\"{}\"", silent.address()),
            &trusting(&certificates),
            "",
        )
        .replace("pool = \"out\"", "pool = \"out\"\ntimeouts = { connect = \"300ms\" }"),
        1,
    );
    let client = Peer::connect(forwarder.address());
    let _backend = silent.accept();
    client.expect_reset();
    assert_eq!(forwarder.record().reason(), "connect_timeout");
}

#[test]
fn tls_begins_behind_the_proxies() {
    let certificates = Certificates::new();
    let proxy = Backend::bind();
    let via = format!("via = \"http://{}\"", proxy.address());
    let forwarder = before("\"db.example:5432\"", &trusting(&certificates), &via);
    let _client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    let head = peer.receive(5);
    assert_eq!(head[0], 22);
    let hello = peer.receive(usize::from(u16::from_be_bytes([head[3], head[4]])));
    assert!(hello.windows(10).any(|part| part == b"db.example"), "it asks for its name");
}
