//! Requests of HTTP on their way to a backend, `http = { ... }`: turned into requests to a proxy, or
//! only looked at.

use std::process::Command;

use rig::{Backend, Forwarder, Peer, Scratch};
use rustix::process::Signal;

use crate::path::REPLUG;

/// A listener with this `http`, whose log has requests if it is to have them.
#[track_caller]
fn start(backend: &Backend, http: &str, log: &str) -> Forwarder {
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\nhttp = {{ {http} }}\n\
         [log]\nformat = \"json\"\nto = \"-\"\n{log}",
        backend.address()
    );
    std::fs::write(&file, text).expect("a new file");
    let mut command = Command::new(REPLUG);
    Forwarder::start_command(command.args(["run", "-c", &file]), 1)
}

/// What was told of requests, without what differs from run to run.
#[track_caller]
fn requests(forwarder: &Forwarder, count: usize) -> Vec<String> {
    let lines = forwarder.program().stdout();
    let lines = lines.expect_count(count, |line| line.contains("\"event\":\"request\""));
    assert_eq!(lines.len(), count, "{lines:#?}");
    let told = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |key: &str| value[key].as_str().expect("a text").to_owned();
        let words = [text("method"), text("url"), text("passage")].join(" ");
        assert_eq!(text("listener"), "web");
        format!("{} {words}", value["number"])
    };
    lines.iter().map(told).collect()
}

#[test]
fn a_proxy_gets_urls_and_the_log_has_them() {
    let proxy = Backend::bind();
    let forwarder = start(&proxy, "requests = \"translate\"", "requests = true\n");
    let port = forwarder.address().port();
    let client = Peer::connect(forwarder.address());
    client.send(b"GET /a HTTP/1.1\r\nHo");
    let peer = proxy.accept();
    client.send(b"st: www.example.com\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe");
    let url = format!("http://www.example.com:{port}/a");
    peer.expect(format!("GET {url} HTTP/1.1\r\nHost: www.example.com\r\n\r\n").as_bytes());
    let other = format!("http://127.0.0.1:{port}/b");
    peer.expect(format!("POST {other} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe").as_bytes());
    client.send(b"llo");
    peer.expect(b"llo");
    peer.send(b"GET /as it is\r\n");
    client.expect(b"GET /as it is\r\n");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    assert_eq!(forwarder.record().reason(), "done");
    let expected = [format!("1 GET {url} named"), format!("2 POST {other} addressed")];
    assert_eq!(requests(&forwarder, 2), expected);
}

#[test]
fn what_is_no_request_is_refused() {
    let proxy = Backend::bind();
    let forwarder = start(&proxy, "requests = \"translate\"", "verbosity = \"verbose\"\n");
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    client.send(b"GET http://a/ HTTP/1.1\r\n\r\n");
    peer.expect(b"GET http://a/ HTTP/1.1\r\n\r\n");
    client.send(b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0");
    client.expect_reset();
    peer.expect_reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("bad_request", "client"));
    forwarder.messages().expect("a length beside a transfer coding");
}

#[test]
fn who_watches_changes_nothing_and_bulk_goes_through() {
    let backend = Backend::bind();
    let forwarder = start(&backend, "requests = \"watch\"", "requests = true\n");
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    client.send(b"GET /a HTTP/1.1\r\n");
    peer.expect(b"GET /a HTTP/1.1\r\n");
    client.send(b"\r\n\x16\x03 anything");
    peer.expect(b"\r\n\x16\x03 anything");
    let mut sent = rig::Payload::new(7);
    let mut received = rig::Payload::new(7);
    std::thread::scope(|scope| {
        scope.spawn(|| client.send_payload(&mut sent, 2_000_000));
        peer.expect_payload(&mut received, 2_000_000);
    });
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    assert_eq!(forwarder.record().reason(), "done");
    assert_eq!(requests(&forwarder, 1), ["1 GET /a unchanged"]);
}

#[test]
fn a_log_that_does_not_want_requests_has_none() {
    let proxy = Backend::bind();
    let mut forwarder = start(&proxy, "requests = \"translate\"", "");
    let client = Peer::connect(forwarder.address());
    client.send(b"CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03\x01");
    let peer = proxy.accept();
    peer.expect(b"CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03\x01");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    forwarder.record();
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
    let lines = forwarder.program().stdout().all_once_closed();
    assert!(!lines.iter().any(|line| line.contains("\"request\"")), "{lines:#?}");
}
