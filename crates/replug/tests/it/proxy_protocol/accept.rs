//! `proxy_protocol = { from = [...] }`: headers of proxies before replug.

use std::process::Command;
use std::time::Duration;

use rig::wait::until;
use rig::{Address, Backend, Forwarder, Peer, Scratch};
use serde_json::Value;

use super::{ALPN, AUTHORITY, STREAM, UNIQUE_ID, taking, v2, v2_of};
use crate::file;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\r\n";

/// A client's question and its answer, behind `header`; gives the backend's peer.
#[track_caller]
fn served(forwarder: &Forwarder, backend: &Backend, header: &[u8]) -> Peer {
    let client = Peer::connect(forwarder.address());
    client.send(&[header, b"question"].concat());
    let peer = backend.accept();
    peer.expect(b"question");
    peer.send(b"answer");
    client.expect(b"answer");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    peer
}

#[test]
fn the_client_is_the_one_that_the_header_tells_of() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let all: [(Vec<u8>, &str); 8] = [
        (V1.to_vec(), "192.0.2.7:4711"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n".to_vec(), "[2001:db8::7]:1"),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n".to_vec(), "192.0.2.9:1"),
        (v2_of("192.0.2.8:5", "10.0.0.1:6", STREAM, &[]), "192.0.2.8:5"),
        (v2_of("[2001:db8::8]:5", "[::1]:6", STREAM, &[(0xe7, b"?")]), "[2001:db8::8]:5"),
        (v2(0x21, 0x31, &[0; 216], &[]), "unix"),
        // Whose these are is not told.
        (v2(0x20, 0x00, &[], &[]), ""),
        (b"PROXY UNKNOWN\r\n".to_vec(), ""),
    ];
    for (at, (header, client)) in all.iter().enumerate() {
        served(&forwarder, &backend, header);
        let record = forwarder.records(at + 1).pop().expect("as many as sessions");
        assert_eq!((record.reason(), record.bytes_to_backend()), ("done", 8));
        let sender = record.field("sender").as_str().expect("it is told");
        assert!(sender.starts_with("127.0.0.1:"), "{sender}");
        assert_eq!(record.client(), if client.is_empty() { sender } else { client });
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    for header in [V1.to_vec(), v2_of("192.0.2.8:5", "10.0.0.1:6", STREAM, &[(0xe0, b"x")])] {
        for cut in 1..header.len() {
            let client = Peer::connect(forwarder.address());
            client.send(&header[..cut]);
            // Each half is a segment of its own: the first one has been taken before the second.
            until("it to be taken", || client.unacknowledged() == 0);
            client.send(&header[cut..]);
            client.send(b"question");
            let peer = backend.accept();
            peer.expect(b"question");
            client.half_close();
            peer.expect_fin();
            peer.half_close();
            client.expect_fin();
        }
        let client = Peer::connect(forwarder.address());
        client.dribble(&header, Duration::from_millis(1));
        client.dribble(b"question", Duration::from_millis(1));
        backend.accept().expect(b"question");
    }
}

#[test]
fn the_server_may_speak_first() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let client = Peer::connect(forwarder.address());
    client.send(V1);
    let peer = backend.accept();
    peer.send(b"220 hello");
    client.expect(b"220 hello");
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 94]].concat();
    let all: [&[u8]; 10] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\nGET",
        b"PROXY TCP4 192.0.2.7 4711\r\n",
        &endless,
        &v2(0x11, 0x11, &[0; 12], &[]),
        &v2(0x22, 0x11, &[0; 12], &[]),
        &v2(0x21, 0x41, &[0; 12], &[]),
        &v2(0x21, 0x21, &[0; 12], &[]),
        &v2(0x21, 0x11, &[0; 12], &[(0x20, b"x")]),
        &v2(0x21, 0x11, &[0; 12], &[(0x03, &[0; 4])]),
    ];
    for (at, bytes) in all.iter().enumerate() {
        let client = Peer::connect(forwarder.address());
        client.send(bytes);
        client.expect_reset();
        let record = forwarder.records(at + 1).pop().expect("as many as sessions");
        assert_eq!((record.reason(), record.side()), ("proxy_header", "client"));
        assert_eq!(record.field("sender"), &Value::Null);
        assert_eq!(record.field("code"), "PR");
    }
    // Of many, one is told at once.
    forwarder.messages().expect("was turned away by a: no PROXY header (1 times)");
    assert!(!backend.somebody_waits());
}

#[test]
fn an_end_before_the_header_is_no_header() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    for begun in [&b""[..], b"PROXY TCP4 192", &V1[..V1.len() - 1]] {
        let client = Peer::connect(forwarder.address());
        client.send(begun);
        client.half_close();
        client.wait_end().expect("it ends");
    }
    for record in forwarder.records(3) {
        assert_eq!((record.reason(), record.side()), ("proxy_header", "client"));
    }
    forwarder.messages().expect("it has ended within its header");
}

#[test]
fn a_header_that_does_not_come_in_time_is_given_up() {
    let backend = Backend::bind();
    let config = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\nrefuse = \"close\"\n\
         proxy_protocol = {{ from = \"127.0.0.0/8\", timeout = \"300ms\" }}\n",
        backend.address()
    );
    let forwarder = file::start(&config, 1);
    let silent = Peer::connect(forwarder.address());
    let trickling = Peer::connect(forwarder.address());
    trickling.send(&V1[..5]);
    silent.expect_fin();
    trickling.wait_end().expect("it ends");
    for record in forwarder.records(2) {
        assert_eq!((record.reason(), record.side()), ("proxy_header", "replug"));
    }
    forwarder.messages().expect("no whole header came in time");
}

#[test]
fn nobody_else_is_believed() {
    let backend = Backend::bind();
    let listener = |others: &str| {
        format!(
            "bind = \"127.0.0.1:0\"\nto = \"{}\"\n\
             proxy_protocol = {{ from = [\"192.0.2.0/24\", \"::1\"]{others} }}\n",
            backend.address()
        )
    };
    let config =
        format!("[listener.a]\n{}[listener.b]\n{}", listener(""), listener(", others = \"plain\""));
    let forwarder = file::start(&config, 2);
    let [refusing, plain] = forwarder.addresses() else { panic!("there are two") };
    Peer::expect_turned_away(None, refusing);
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("proxy_header", "replug"));
    forwarder.messages().expect("it is none of those that may send PROXY headers");

    // Its header is as good as any other bytes.
    let client = Peer::connect(plain);
    client.send(V1);
    let peer = backend.accept();
    peer.expect(V1);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    let record = forwarder.records(2).pop().expect("two");
    assert_eq!((record.reason(), record.field("sender")), ("done", &Value::Null));
    assert_eq!(record.client(), client.local_address().to_string());
}

#[test]
fn those_at_a_unix_socket_are_believed() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let path = scratch.join("in");
    let config = taking(&backend.address().to_string(), "");
    let config = config.replace("127.0.0.1:0", &format!("unix:{path}"));
    let forwarder = file::start(&config, 1);
    let client = Peer::connect(&Address::parse(&format!("unix:{path}")));
    client.send(&[V1, b"question"].concat());
    backend.accept().expect(b"question");
    client.reset();
    let record = forwarder.record();
    assert_eq!((record.client(), record.field("sender")), ("192.0.2.7:4711", &"unix".into()));
}

#[test]
fn limits_and_lists_go_by_the_client_of_the_header() {
    let backend = Backend::bind();
    let more =
        "deny = \"203.0.113.0/24\"\nlimits = { per_client = 1 }\nsticky = { by = \"client\" }";
    let forwarder = file::start(&taking(&backend.address().to_string(), more), 1);
    let open = |from: &str| {
        let client = Peer::connect(forwarder.address());
        client.send(format!("PROXY TCP4 {from} 10.0.0.1 5 6\r\n").as_bytes());
        client
    };
    let first = open("192.0.2.1");
    let _peer = backend.accept();
    open("192.0.2.1").expect_reset();
    open("203.0.113.9").expect_reset();
    let other = open("192.0.2.2");
    let _other = backend.accept();
    let found: Vec<_> = forwarder
        .records(2)
        .iter()
        .map(|record| (record.client().to_owned(), record.reason().to_owned()))
        .collect();
    let expected = [("192.0.2.1:5", "limited"), ("203.0.113.9:5", "denied")];
    assert_eq!(found, expected.map(|(client, reason)| (client.to_owned(), reason.to_owned())));
    drop((first, other));
}

#[test]
fn routes_go_by_the_header() {
    let backends = [(); 5].map(|()| Backend::bind());
    let mut config = taking(&backends[0].address().to_string(), "");
    let whens = [
        "client = \"192.0.2.0/24\"",
        "port = 8443",
        "sni = \"*.example\", alpn = \"h2\"",
        "sni = \"b.example\"",
    ];
    for (at, when) in whens.iter().enumerate() {
        config += &format!("[[listener.a.route]]\nwhen = {{ {when} }}\npool = \"p{at}\"\n");
    }
    for (at, backend) in backends[1..].iter().enumerate() {
        config += &format!("[pool.p{at}]\nbackends = \"{}\"\n", backend.address());
    }
    let forwarder = file::start(&config, 1);
    let to = |port: u16, tlvs: &[(u8, &[u8])]| {
        v2_of("10.9.9.9:5", &format!("10.0.0.1:{port}"), STREAM, tlvs)
    };
    let ssl = b"\x01\0\0\0\0\x21\0\x07TLSv1.2";
    let said: [(Vec<u8>, usize); 5] = [
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 5 443\r\n".to_vec(), 1),
        (to(8443, &[]), 2),
        (to(443, &[(AUTHORITY, b"A.example"), (ALPN, b"h2"), (0x20, ssl)]), 3),
        // At once: what the header tells is not waited for.
        (to(443, &[(AUTHORITY, b"b.example:443")]), 4),
        (to(443, &[(AUTHORITY, b"c.other")]), 0),
    ];
    for (at, (header, backend)) in said.iter().enumerate() {
        let client = Peer::connect(forwarder.address());
        client.send(header);
        let peer = backends[*backend].accept();
        client.half_close();
        peer.expect_fin();
        peer.half_close();
        client.expect_fin();
        let record = forwarder.records(at + 1).pop().expect("as many as sessions");
        if at == 2 {
            assert_eq!(record.field("sni"), "A.example");
            assert_eq!(record.field("alpn"), "h2");
            assert_eq!(record.field("tls_version"), "1.2");
        }
    }
}

#[test]
fn what_comes_behind_the_header_is_listened_to() {
    let backends = [(); 2].map(|()| Backend::bind());
    let mut config = taking(&backends[0].address().to_string(), "");
    config += "[[listener.a.route]]\nwhen = { prefix = \"SSH-\" }\npool = \"ssh\"\n";
    config += &format!("[pool.ssh]\nbackends = \"{}\"\n", backends[1].address());
    let forwarder = file::start(&config, 1);
    for (said, backend) in [(&b"SSH-2.0-x\r\n"[..], &backends[1]), (b"GET / ", &backends[0])] {
        // In one packet, and with a cut within what comes behind.
        let client = Peer::connect(forwarder.address());
        client.send(&[V1, said].concat());
        backend.accept().expect(said);
        let client = Peer::connect(forwarder.address());
        client.send(&[V1, &said[..2]].concat());
        until("it to be taken", || client.unacknowledged() == 0);
        client.send(&said[2..]);
        backend.accept().expect(said);
    }
}

#[test]
fn what_a_header_says_stays_on_its_line() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let name = b"a\r\n{\"reason\":\"forged\"}\x1b[2J\xe2\x80\xae\xff";
    let tlvs: [(u8, &[u8]); 3] = [(AUTHORITY, name), (ALPN, b"\n\0"), (UNIQUE_ID, b"\x00\nid")];
    served(&forwarder, &backend, &v2_of("192.0.2.8:5", "10.0.0.1:6", STREAM, &tlvs));
    let record = forwarder.record();
    assert_eq!(record.field("unique_id"), "0x000a6964");
    assert_eq!(record.field("sni").as_str(), Some(&*String::from_utf8_lossy(name)));
    for line in forwarder.program().stdout().so_far() {
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        serde_json::from_str::<Value>(&line).expect("one record on one line");
    }
}

#[test]
fn an_order_to_end_reaches_those_who_send_nothing() {
    let backend = Backend::bind();
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let client = Peer::connect(forwarder.address());
    until("it to be accepted", || client.unacknowledged() == 0);
    forwarder.signal(rustix::process::Signal::TERM);
    forwarder.signal(rustix::process::Signal::INT);
    client.wait_end().expect("it ends");
}

#[test]
fn check_tells_that_senders_must_be_named() {
    let scratch = Scratch::new();
    let path = scratch.join("replug.toml");
    let text = "[listener.a]\nbind = \":0\"\nto = \"10.0.0.1:1\"\nproxy_protocol = {}\n";
    std::fs::write(&path, text).expect("a new file");
    let output = Command::new(crate::path::REPLUG).args(["check", &path]).output();
    let output = output.expect("replug runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("does not say whose headers are believed"), "{said}");
    assert_eq!(output.status.code(), Some(3));
}
