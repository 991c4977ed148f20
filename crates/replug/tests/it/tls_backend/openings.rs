//! Backends that begin in the clear, `starttls = "smtp"`, and are asked for TLS.

use rig::{Backend, Peer};

use super::certificates::Certificates;
use super::servers::{Server, before, only, trusting};

/// What a client sees that knows nothing of TLS.
#[test]
fn a_client_is_greeted_once() {
    let certificates = Certificates::new();
    certificates.good();
    for (protocol, greeting) in [
        ("smtp", "220-mx.example\r\n220 ready\r\n"),
        // What can be done without TLS is nothing to this client.
        ("imap", "* OK mx.example\r\n"),
        ("pop3", "+OK <1@mx.example>\r\n"),
    ] {
        let server = Server::start(protocol, &certificates, "db", &["greets=no"]);
        let tls = format!("{}, starttls = \"{protocol}\"", trusting(&certificates));
        let forwarder = before(&only(&server), &tls, "");
        let client = Peer::connect(forwarder.address());
        client.expect(greeting.as_bytes());
        client.send(b"NOOP\r\n");
        client.expect(b"NOOP\r\n");
        client.half_close();
        assert_eq!(client.receive_to_fin(), b"end");
        let record = forwarder.record();
        assert_eq!(record.reason(), "done");
        assert_eq!(record.bytes_to_client(), greeting.len() as u64 + 9);
    }
}

#[test]
fn a_backend_without_tls_is_passed_over() {
    let certificates = Certificates::new();
    certificates.good();
    let injecting = Server::start("injecting", &certificates, "db", &[]);
    let silent = Server::start("silent", &certificates, "db", &[]);
    let refusing = Backend::bind().serve(|peer| {
        peer.send(b"554 no service\r\n");
        let _ = peer.wait_end();
    });
    let other = Backend::bind().serve(|peer| {
        peer.send(b"+OK pop3\r\n");
        let _ = peer.wait_end();
    });
    let closing = Backend::bind().serve(Peer::close);
    let all: Vec<_> = [
        &injecting.address,
        &silent.address,
        refusing.address(),
        other.address(),
        closing.address(),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    let tls = format!("{}, starttls = \"smtp\"", trusting(&certificates));
    let forwarder = before(&format!("{all:?}"), &tls, "balance = \"first\"");
    Peer::expect_turned_away(None, forwarder.address());
    let record = forwarder.record();
    let failures: Vec<_> = record.attempts().into_iter().map(|attempt| attempt.failure).collect();
    assert_eq!(failures, ["tls_opening", "no_tls", "no_tls", "tls_opening", "tls_closed"]);
    assert_eq!(record.reason(), "tls_error");
    forwarder.messages().expect("it said more before TLS than it may");
}
