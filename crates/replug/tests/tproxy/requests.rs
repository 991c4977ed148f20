//! 3, 5, 13: what a proxy gets of what clients send.

use std::time::Duration;

use rig::Backend;

use crate::start::Tproxy;

/// Sends `sent` as one client; the proxy has to get `expected` and nothing else.
#[track_caller]
fn check(tproxy: &Tproxy, proxy: &Backend, sent: &str, expected: &str) {
    let client = tproxy.connect();
    client.send(sent.as_bytes());
    let peer = proxy.accept();
    peer.expect(expected.as_bytes());
    peer.send(b"GET /raw is the answer\r\n");
    client.expect(b"GET /raw is the answer\r\n");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

/// 3: where the client went is the listener here, on another port than 80.
#[test]
fn tp03_targets_become_urls() {
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&[], proxy.address());
    let port = tproxy.port();
    let host = "HTTP/1.1\r\nHost: www.example.com\r\nX: y\r\n\r\n";
    let url = format!("http://www.example.com:{port}");
    check(&tproxy, &proxy, &format!("GET /a {host}"), &format!("GET {url}/a {host}"));
    let with_port = "HTTP/1.1\r\nHost: www.example.com:8000\r\n\r\n";
    let sent = format!("GET /a {with_port}");
    check(&tproxy, &proxy, &sent, &format!("GET http://www.example.com:8000/a {with_port}"));
    let none = "HTTP/1.0\r\n\r\n";
    let url = format!("http://127.0.0.1:{port}");
    check(&tproxy, &proxy, &format!("GET / {none}"), &format!("GET {url}/ {none}"));
    check(&tproxy, &proxy, "GET /old\r\n", &format!("GET {url}/old\r\n"));
    check(
        &tproxy,
        &proxy,
        "GET /lf HTTP/1.0\nA: b\n\n",
        &format!("GET {url}/lf HTTP/1.0\nA: b\n\n"),
    );
    for same in ["GET http://a/ HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"] {
        check(&tproxy, &proxy, same, same);
    }
}

/// 3: a head in many segments, two requests in one, a body, CONNECT and what follows it.
#[test]
fn tp03_streams_of_requests() {
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&[], proxy.address());
    let client = tproxy.connect();
    client.dribble(b"GET /a HTTP/1.1\r\nHost: b:1\r\n\r\n", Duration::from_millis(1));
    let peer = proxy.accept();
    peer.expect(b"GET http://b:1/a HTTP/1.1\r\nHost: b:1\r\n\r\n");
    client.send(
        b"POST /c HTTP/1.1\r\nHost: d:1\r\nContent-Length: 6\r\n\r\nGET /\nGET /e HTTP/1.1\r\n",
    );
    peer.expect(b"POST http://d:1/c HTTP/1.1\r\nHost: d:1\r\nContent-Length: 6\r\n\r\nGET /\n");
    client.send(b"Host: f:1\r\n\r\n");
    peer.expect(b"GET http://f:1/e HTTP/1.1\r\nHost: f:1\r\n\r\n");
    client.send(b"CONNECT g:443 HTTP/1.1\r\n\r\n\x16\x03");
    peer.expect(b"CONNECT g:443 HTTP/1.1\r\n\r\n\x16\x03");
    client.send(b"GET /raw\r\n");
    peer.expect(b"GET /raw\r\n");
}

/// 3, where we differ: two `Host` are refused and not joined, and so is what is no HTTP, which
/// tproxy holds for ever.
#[test]
fn tp03_what_no_proxy_should_get() {
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&[], proxy.address());
    for sent in [
        "GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "\x16\x03\x01\x02",
        "QUIT\r\n",
    ] {
        let client = tproxy.connect();
        client.send(sent.as_bytes());
        let peer = proxy.accept();
        client.expect_reset();
        peer.expect_reset();
    }
}

/// 5.
#[test]
fn tp05_forced_urls() {
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&["-f", "http://closed.example/"], proxy.address());
    let rest = "HTTP/1.1\r\nHost: a\r\n\r\n";
    let forced = format!("GET http://closed.example/ {rest}");
    check(&tproxy, &proxy, &format!("GET /a {rest}"), &forced);
    check(&tproxy, &proxy, &format!("GET http://b/ {rest}"), &forced);
    let from_there = "GET /logo HTTP/1.1\r\nReferer: http://closed.example/\r\n\r\n";
    check(&tproxy, &proxy, from_there, from_there);
    let connect = "CONNECT a:443 HTTP/1.1\r\n\r\n";
    check(&tproxy, &proxy, connect, connect);
}

/// 13, where we differ: bodies in chunks are passed on as such.
#[test]
fn tp13_chunks() {
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&[], proxy.address());
    let head = "HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "a\r\nGET / HTTP\r\n0\r\nT: u\r\n\r\n";
    let next = "HTTP/1.1\r\nHost: a:1\r\n\r\n";
    let sent = format!("POST /c {head}{body}GET /d {next}");
    let expected = format!("POST http://a:1/c {head}{body}GET http://a:1/d {next}");
    check(&tproxy, &proxy, &sent, &expected);
}

/// 13, where we differ: with `-t HOST PORT` everything passes at once, whoever speaks first.
#[test]
fn tp13_anything_passes_with_t() {
    let backend = Backend::bind();
    let tproxy = Tproxy::start(&["-t"], backend.address());
    let client = tproxy.connect();
    let peer = backend.accept();
    peer.send(b"220 hello\r\n");
    client.expect(b"220 hello\r\n");
    client.send(b"\x00\x01no line end");
    peer.expect(b"\x00\x01no line end");
    client.half_close();
    peer.expect_fin();
    peer.send(b"rest");
    peer.half_close();
    assert_eq!(client.receive_to_fin(), b"rest");
    let client = tproxy.connect();
    client.send(b"GET /a HTTP/1.1\r\n");
    backend.accept().expect(b"GET /a HTTP/1.1\r\n");
}
