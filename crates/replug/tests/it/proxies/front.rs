//! A listener that is a proxy, byte by byte.

use std::time::Duration;

use rig::{Backend, BlackHole, Closed, Forwarder, Peer, Record};

use crate::file;

const GRANTED_5: &[u8] = b"\x05\x00\x00\x01\0\0\0\0\0\0";
const GRANTED_4: &[u8] = b"\x00\x5a\0\0\0\0\0\0";
const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy with these settings, and these lines more.
#[track_caller]
pub(super) fn gate(settings: &str, more: &str) -> Forwarder {
    let text = format!(
        "[listener.gate]\nbind = \"127.0.0.1:0\"\nproxy = {{ {settings} }}\nto = \"requested\"\n{more}"
    );
    file::start(&text, 1)
}

/// What SOCKS 5 sends for this host and port, by name.
fn request_5(host: &str, port: u16) -> Vec<u8> {
    let mut bytes = vec![5, 1, 0, 3, u8::try_from(host.len()).expect("a short host")];
    bytes.extend(host.bytes());
    bytes.extend(port.to_be_bytes());
    bytes
}

/// Says what has to be said in SOCKS 5, to a proxy that wants no password.
#[track_caller]
fn ask_5(gate: &Forwarder, host: &str, port: u16) -> Peer {
    let client = Peer::connect(gate.address());
    client.send(b"\x05\x01\x00");
    client.expect(b"\x05\x00");
    client.send(&request_5(host, port));
    client
}

/// The same, and expects a refusal with this code.
#[track_caller]
fn refused_5(gate: &Forwarder, host: &str, port: u16, code: u8) {
    let client = ask_5(gate, host, port);
    let reply = client.receive_to_fin();
    assert_eq!(reply, [5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{host}:{port}");
}

/// What HTTP answers to a client that has said this; its status line.
#[track_caller]
fn answer(gate: &Forwarder, said: &str) -> String {
    let client = Peer::connect(gate.address());
    client.send(said.as_bytes());
    let answer = String::from_utf8(client.receive_to_fin()).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    head.lines().next().expect("a status line").to_owned()
}

#[test]
fn every_protocol_on_one_port_and_what_is_sent_behind_the_request_is_kept() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let gate = gate("allow_to = [\"127.0.0.1\"]", "");
    let [p0, p1] = port.to_be_bytes();
    let by_ip_4 = [&[4, 1, p0, p1, 127, 0, 0, 1][..], b"fred\0"].concat();
    let by_name_4 = [&[4, 1, p0, p1, 0, 0, 0, 1][..], b"\0localhost\0"].concat();
    let by_ip_5 = [&b"\x05\x02\x00\x01"[..], &[5, 1, 0, 1, 127, 0, 0, 1, p0, p1]].concat();
    let by_name_5 = [&b"\x05\x01\x00"[..], &request_5("LOCALHOST", port)].concat();
    let mapped_5 = [
        &b"\x05\x01\x00"[..],
        &[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, p0, p1],
    ]
    .concat();
    let by_http = format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n");
    let chosen = [&b"\x05\x00"[..], GRANTED_5].concat();
    for (said, reply) in [
        (by_ip_4, GRANTED_4),
        (by_name_4, GRANTED_4),
        (by_ip_5, &chosen),
        (by_name_5, &chosen),
        (mapped_5, &chosen),
        (by_http.into_bytes(), CONNECTED),
    ] {
        for is_dribbled in [false, true] {
            let client = Peer::connect(gate.address());
            let said = [&said[..], b"early"].concat();
            match is_dribbled {
                true => client.dribble(&said, Duration::from_millis(1)),
                false => client.send(&said),
            }
            let peer = backend.accept();
            peer.expect(b"early");
            peer.send(b"answer");
            client.expect(&[reply, b"answer"].concat());
            client.half_close();
            peer.expect_fin();
            peer.half_close();
            client.expect_fin();
        }
    }
    for record in gate.records(12) {
        assert_eq!((record.reason(), record.bytes_to_client()), ("done", 6), "{record:?}");
        assert_eq!(record.bytes_to_backend(), 5);
        let asked = record.backend().expect("it had one");
        assert!(asked == format!("localhost:{port}") || asked == format!("127.0.0.1:{port}"));
    }
}

#[test]
fn where_nobody_may_go() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let usual = gate("", "");
    for host in [
        "127.0.0.1",
        "127.9.9.9",
        "localhost",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "10.0.0.1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        refused_5(&usual, host, port, 2);
    }
    let own = usual.address().port();
    for (said, status) in [
        (format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"), "403"),
        (format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n"), "403"),
        (format!("CONNECT [::1]:{port} HTTP/1.1\r\n\r\n"), "403"),
    ] {
        assert!(answer(&usual, &said).starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
    let client = Peer::connect(usual.address());
    client.send(&[4, 1, own.to_be_bytes()[0], own.to_be_bytes()[1], 127, 0, 0, 1, 0]);
    assert_eq!(client.receive_to_fin(), b"\x00\x5b\0\0\0\0\0\0");
    assert!(!backend.somebody_waits(), "nobody was connected");
    for record in usual.records(17) {
        assert_eq!(record.reason(), "denied", "{record:?}");
    }

    // Even where all that is private is allowed, nobody comes round to us again.
    let allowed = gate("private = \"allow\", deny_to = [\"*:1-1023\", \"*.x.example\"]", "");
    refused_5(&allowed, "127.0.0.1", allowed.address().port(), 2);
    refused_5(&allowed, "127.0.0.1", 80, 2);
    refused_5(&allowed, "a.X.example.", port, 2);
    let client = ask_5(&allowed, "127.0.0.1", port);
    client.expect(GRANTED_5);
    client.reset();
    backend.accept().expect_reset();
}

#[test]
fn why_there_is_no_way_is_told() {
    let (closed, hole) = (Closed::bind(), BlackHole::open());
    let more = "timeouts = { connect = \"300ms\" }\n";
    let gate = gate("allow_to = [\"127.0.0.1\", \"*.invalid\"]", more);
    let (refused, silent) = (closed.address().port(), hole.address().port());
    refused_5(&gate, "127.0.0.1", refused, 5);
    refused_5(&gate, "127.0.0.1", silent, 6);
    refused_5(&gate, "no-such-name.invalid", 80, 4);
    for (host, port, status) in [
        ("127.0.0.1", refused, "502 Bad Gateway"),
        ("127.0.0.1", silent, "504 Gateway Timeout"),
        ("no-such-name.invalid", 80, "502 Bad Gateway"),
    ] {
        let said = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
        assert_eq!(answer(&gate, &said), format!("HTTP/1.1 {status}"));
    }
    let reasons: Vec<_> = gate.records(6).iter().map(|record| record.reason().to_owned()).collect();
    for reason in ["refused", "connect_timeout", "no_backend"] {
        assert_eq!(reasons.iter().filter(|one| *one == reason).count(), 2, "{reasons:?}");
    }
}

#[test]
fn who_may_sign_in() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let scratch = rig::Scratch::new();
    std::fs::write(scratch.join("users"), "# ours\nbob:b:ob\n\n").expect("a new file");
    let users = format!("\"alice:pass w0rd\", \"file:{}\"", scratch.join("users"));
    let users = format!("{users}, \"a\\u202e\\\"b:x\"");
    let gate = gate(&format!("users = [{users}], private = \"allow\""), "");
    // Nobody gets through without.
    let client = Peer::connect(gate.address());
    client.send(b"\x05\x01\x00");
    assert_eq!(client.receive_to_fin(), b"\x05\xff");
    let client = Peer::connect(gate.address());
    client.send(b"\x04\x01\x00\x50\x7f\x00\x00\x01alice\0");
    assert_eq!(client.receive_to_fin(), b"\x00\x5d\0\0\0\0\0\0");
    let connect = |word: &str| {
        format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nProxy-Authorization: {word}\r\n\r\n")
    };
    for said in [connect("Basic YWxpY2U6bm8="), connect("Bearer x"), connect("Basic !")] {
        assert_eq!(answer(&gate, &said), "HTTP/1.1 407 Proxy Authentication Required");
    }
    for wrong in
        [&b"\x01\x05alice\x09pass w0rx"[..], b"\x01\x05alice\x00", b"\x01\x03bob\x09pass w0rd"]
    {
        let client = Peer::connect(gate.address());
        client.send(b"\x05\x02\x00\x02");
        client.expect(b"\x05\x02");
        client.send(wrong);
        assert_eq!(client.receive_to_fin(), b"\x01\x01", "{wrong:?}");
    }
    assert!(!backend.somebody_waits());
    // Known ones do, however they say it.
    for right in [
        &b"\x01\x05alice\x09pass w0rd"[..],
        b"\x01\x03bob\x04b:ob",
        b"\x01\x06a\xe2\x80\xae\"b\x01x",
    ] {
        let client = Peer::connect(gate.address());
        client.send(b"\x05\x02\x00\x02");
        client.expect(b"\x05\x02");
        client.send(&[right, &request_5("127.0.0.1", port)].concat());
        client.expect(&[b"\x01\x00", GRANTED_5].concat());
        client.reset();
        backend.accept().expect_reset();
    }
    let client = Peer::connect(gate.address());
    client.send(connect("basic Ym9iOmI6b2I=").as_bytes());
    client.expect(CONNECTED);
    client.reset();
    backend.accept().expect_reset();
    let records = gate.records(12);
    // Who has only said so is nobody.
    let user = |record: &Record| record.field("user").as_str().map(str::to_owned);
    let users: Vec<_> = records.iter().filter_map(user).collect();
    for (name, count) in [("alice", 1), ("bob", 2), ("a\u{202e}\"b", 1)] {
        assert_eq!(users.iter().filter(|user| **user == name).count(), count, "{users:?}");
    }
    assert_eq!(users.len(), 4, "{users:?}");
    let lines = gate.program().stdout().so_far().concat();
    assert!(lines.contains(r"\u202e") && !lines.contains('\u{202e}'), "{lines}");
    let shown = format!("{records:?} {:?}", gate.messages().so_far());
    assert!(!shown.contains("w0rd") && !shown.contains("b:ob"), "{shown}");
}

#[test]
fn what_is_no_request_is_refused_in_order() {
    let gate = gate("private = \"allow\"", "timeouts = { sniff = \"10s\" }\n");
    for (said, reply) in [
        // No way to sign in, and none that is known.
        (&b"\x05\x00"[..], &b"\x05\xff"[..]),
        (b"\x05\x02\x01\x02", b"\x05\xff"),
        // Other commands, another kind of address, and names that are none.
        (b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x07\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\x00\x05\x03\x00\x01\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x07\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\x00\x05\x01\x00\x02\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x08\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\x00\x05\x01\x00\x03\x00\0\x50", b"\x05\x00\x05\x01\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\x00\x05\x01\x00\x03\x03a\nb\0\x50", b"\x05\x00\x05\x01\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\x00\x05\x01\x00\x03\x03a%s\0\x50", b"\x05\x00\x05\x01\0\x01\0\0\0\0\0\0"),
        (b"\x04\x02\0\x50\x7f\0\0\x01\0", b"\x00\x5b\0\0\0\0\0\0"),
        (b"\x04\x01\0\0\x7f\0\0\x01\0", b"\x00\x5b\0\0\0\0\0\0"),
    ] {
        let client = Peer::connect(gate.address());
        client.send(said);
        assert_eq!(client.receive_to_fin(), reply, "{said:?}");
    }
    for (said, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("CONNECT a.example HTTP/1.1\r\n\r\n", "400"),
        ("GET https://a.example/ HTTP/1.1\r\n\r\n", "501"),
        ("SSH-2.0-OpenSSH\r\n", "400"),
    ] {
        assert!(answer(&gate, said).starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
    for said in [&b"\x16\x03\x01"[..], b"\x00", b"\x06\x01"] {
        let client = Peer::connect(gate.address());
        client.send(said);
        let _ = client.wait_end();
    }
    for record in gate.records(17) {
        assert!(["bad_request", "denied"].contains(&record.reason()), "{record:?}");
    }
}

#[test]
fn who_is_slow_has_its_time_for_all_of_it() {
    let gate = gate("", "timeouts = { sniff = \"300ms\" }\n");
    for said in [&b"\x05\x01\x00"[..], b"CONNECT a", b"\x04\x01", b""] {
        let client = Peer::connect(gate.address());
        client.dribble(said, Duration::from_millis(1));
        let _ = client.wait_end();
    }
    for record in gate.records(4) {
        assert_eq!(record.reason(), "sniff_timeout", "{record:?}");
    }
}

#[test]
fn only_what_is_configured_is_spoken() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let gate = gate("protocols = [\"http\"], private = \"allow\"", "");
    for said in [&b"\x05\x01\x00"[..], b"\x04\x01"] {
        let client = Peer::connect(gate.address());
        client.send(said);
        let _ = client.wait_end();
    }
    let client = Peer::connect(gate.address());
    client.send(format!("CONNECT 127.0.0.1:{port} HTTP/1.0\r\n\r\n").as_bytes());
    client.expect(CONNECTED);
    for record in gate.records(2) {
        assert_eq!(record.reason(), "bad_request");
    }
}

#[test]
fn requests_for_urls_are_passed_on() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let gate = gate("allow_to = [\"127.0.0.1\"]", "");
    let client = Peer::connect(gate.address());
    client.send(
        format!(
            "POST http://localhost:{port}/a?b HTTP/1.1\r\nHost: other\r\nProxy-Connection: x\r\n\
             Content-Length: 5\r\n\r\nhello"
        )
        .as_bytes(),
    );
    let peer = backend.accept();
    let head = format!(
        "POST /a?b HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
         Content-Length: 5\r\n\r\nhello"
    );
    peer.expect(head.as_bytes());
    peer.send(b"HTTP/1.1 204 No Content\r\n\r\n");
    peer.half_close();
    client.expect(b"HTTP/1.1 204 No Content\r\n\r\n");
    client.expect_fin();
    client.half_close();
    peer.expect_fin();
    let record = gate.record();
    assert_eq!(record.bytes_to_backend(), head.len() as u64);
}

#[test]
fn routes_go_by_what_is_asked_for() {
    let (backend, other) = (Backend::bind(), Backend::bind());
    let port = backend.address().port();
    let more = format!(
        "[[listener.gate.route]]\nwhen = {{ port = 4433 }}\npool = \"other\"\n\
         [pool.other]\nbackends = \"{}\"\n",
        other.address()
    );
    let gate = gate("private = \"allow\"", &more);
    let client = ask_5(&gate, "nowhere.example", 4433);
    other.accept().send(b"other");
    client.expect(&[GRANTED_5, b"other"].concat());
    let client = ask_5(&gate, "127.0.0.1", port);
    backend.accept().send(b"asked");
    client.expect(&[GRANTED_5, b"asked"].concat());
}

#[test]
fn what_is_asked_for_may_be_behind_proxies() {
    let proxy = Backend::bind();
    let via = format!("via = \"socks5h://{}\"\n", proxy.address());
    let gate = gate("allow_to = [\"*.example\", \"198.51.100.0/24\"]", &via);
    for (host, request) in [
        ("A.example", request_5("a.example", 80)),
        ("198.51.100.7", vec![5, 1, 0, 1, 198, 51, 100, 7, 0, 80]),
    ] {
        let client = ask_5(&gate, host, 80);
        let peer = proxy.accept();
        peer.expect(b"\x05\x01\x00");
        peer.send(b"\x05\x00");
        peer.expect(&request);
        peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00hello");
        client.expect(&[GRANTED_5, b"hello"].concat());
    }
    refused_5(&gate, "198.51.101.7", 80, 2);
}
