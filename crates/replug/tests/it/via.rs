//! Backends behind an HTTP proxy, `via = "http://..."`: what the proxy is told, and what its answers do.

use std::process::Command;
use std::time::Duration;

use rig::{Backend, Forwarder, Peer, Scratch};

use crate::path::REPLUG;

/// A listener that reaches `to` through `proxy`. The scratch folder holds its file.
#[track_caller]
fn through(proxy: &Backend, to: &str, more: &str) -> (Forwarder, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let proxy = proxy.address();
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = {to}\nvia = \"http://{proxy}\"\n{more}\n\
         [log]\nformat = \"json\"\nto = \"-\"\n"
    );
    std::fs::write(&file, text).expect("a new file");
    let mut command = Command::new(REPLUG);
    (Forwarder::start_command(command.args(["run", "-c", &file]), 1), scratch)
}

#[test]
fn a_proxy_is_told_the_host_and_resolves_it() {
    let proxy = Backend::bind();
    let (forwarder, _scratch) = through(&proxy, "\"nowhere.example:443\"", "");
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    let peer = proxy.accept();
    peer.expect(b"CONNECT nowhere.example:443 HTTP/1.1\r\nHost: nowhere.example:443\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nearly");
    client.expect(b"early");
    peer.expect(b"hello");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    let record = forwarder.record();
    assert_eq!(record.reason(), "done");
    assert_eq!(record.backend(), Some("nowhere.example:443"));
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (5, 5));
}

#[test]
fn a_refusal_sends_the_client_to_the_next_backend_and_marks_none() {
    let proxy = Backend::bind();
    let (forwarder, _scratch) = through(&proxy, "[\"a.example:1\", \"b.example:2\"]", "");
    for expected in [["a.example:1", "b.example:2"], ["a.example:1", "b.example:2"]] {
        let client = Peer::connect(forwarder.address());
        for (target, answer) in expected.into_iter().zip(["403 No", "200 OK"]) {
            let peer = proxy.accept();
            peer.expect(format!("CONNECT {target} HTTP/1.1\r\n").as_bytes());
            peer.send(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
            if answer == "200 OK" {
                peer.expect(format!("Host: {target}\r\n\r\n").as_bytes());
                client.half_close();
                peer.expect_fin();
            }
        }
        client.expect_fin();
    }
    for record in forwarder.records(2) {
        assert_eq!(record.backend(), Some("b.example:2"));
        let attempts = record.attempts();
        assert_eq!(
            (&*attempts[0].backend, &*attempts[0].failure),
            ("a.example:1", "proxy_refused")
        );
    }
    let messages = forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains("is down")), "{messages:#?}");
}

#[test]
fn a_proxy_that_does_not_answer_is_given_up_in_time() {
    let proxy = Backend::bind();
    let timeouts = "timeouts = { connect = \"300ms\" }";
    let (forwarder, _scratch) = through(&proxy, "\"a.example:1\"", timeouts);
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    // Time goes on between pieces: it is the whole that has to come.
    peer.dribble(b"HTTP/1.1 200 OK\r\nX: ", Duration::from_millis(1));
    client.expect_reset();
    assert_eq!(forwarder.record().reason(), "connect_timeout");
}

#[test]
fn a_client_that_leaves_early_leaves_the_proxy_early() {
    let proxy = Backend::bind();
    let (forwarder, _scratch) = through(&proxy, "\"a.example:1\"", "");
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n");
    client.reset();
    peer.expect_reset();
    assert_eq!(forwarder.record().reason(), "client_reset");
}
