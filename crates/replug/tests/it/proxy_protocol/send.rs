//! `send_proxy = "v2"`: what backends are told.

use rig::{Address, Backend, Forwarder, Peer, Scratch};

use super::{ALPN, AUTHORITY, SSL, STREAM, UNIQUE_ID, taking, v2_of};
use crate::file;

/// A listener that tells its backend.
fn telling(to: &str, send: &str) -> Forwarder {
    let listener = "[listener.a]\nbind = \"127.0.0.1:0\"";
    file::start(&format!("{listener}\nto = \"{to}\"\nsend_proxy = {send}\n"), 1)
}

#[test]
fn a_backend_is_told_before_anything_else() {
    let backend = Backend::bind();
    for version in ["\"v1\"", "\"v2\""] {
        let forwarder = telling(&backend.address().to_string(), version);
        let client = Peer::connect(forwarder.address());
        // It comes though the client says nothing.
        let peer = backend.accept();
        let (from, to) = (client.local_address().tcp(), forwarder.address().tcp());
        match version {
            "\"v1\"" => peer.expect(
                format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port())
                    .as_bytes(),
            ),
            _ => peer.expect(&v2_of(&from.to_string(), &to.to_string(), STREAM, &[])),
        }
        client.send(b"question");
        peer.expect(b"question");
        client.half_close();
        peer.expect_fin();
        peer.half_close();
        client.expect_fin();
        // The header is not the client's.
        assert_eq!(forwarder.record().bytes_to_backend(), 8);
    }
}

#[test]
fn a_unix_backend_is_told_as_well() {
    let scratch = Scratch::new();
    let address = Address::parse(&format!("unix:{}", scratch.join("b")));
    let backend = Backend::bind_to(&address);
    let forwarder = telling(&address.to_string(), "\"v1\"");
    let client = Peer::connect(forwarder.address());
    let (from, to) = (client.local_address().tcp(), forwarder.address().tcp());
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port());
    backend.accept().expect(line.as_bytes());
}

#[test]
fn of_a_client_without_an_address_nothing_is_told() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let path = scratch.join("in");
    let config = format!(
        "[listener.a]\nbind = \"unix:{path}\"\nto = \"{}\"\nsend_proxy = \"v1\"\n",
        backend.address()
    );
    let _forwarder = file::start(&config, 1);
    let _client = Peer::connect(&Address::parse(&format!("unix:{path}")));
    backend.accept().expect(b"PROXY UNKNOWN\r\n");
}

#[test]
fn each_backend_that_is_tried_is_told() {
    let (first, second) = (Backend::bind(), Backend::bind());
    let closed = first.close();
    let config = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = [\"{}\", \"{}\"]\nbalance = \"first\"\n\
         send_proxy = \"v1\"\n",
        closed.address(),
        second.address()
    );
    let forwarder = file::start(&config, 1);
    let _client = Peer::connect(forwarder.address());
    second.accept().expect(b"PROXY TCP4 127.0.0.1 127.0.0.1 ");
}

#[test]
fn what_is_known_of_a_session_is_told_on() {
    let backend = Backend::bind();
    let send = "send_proxy = { version = \"v2\", custom = { 0xE3 = \"blue\" }, \
                tlvs = [\"alpn\", \"authority\", \"ssl\", \"unique_id\"] }";
    let forwarder = file::start(&taking(&backend.address().to_string(), send), 1);
    let ssl = b"\x03\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice";
    let told: [(u8, &[u8]); 5] = [
        (0xe9, b"not on"),
        (UNIQUE_ID, b"c0-5"),
        (SSL, ssl),
        (AUTHORITY, b"a.example"),
        (ALPN, b"h2"),
    ];
    let (from, to) = ("[2001:db8::7]:4711", "[2001:db8::1]:443");
    let client = Peer::connect(forwarder.address());
    client.send(&[v2_of(from, to, STREAM, &told), b"question".to_vec()].concat());
    let peer = backend.accept();
    let on: [(u8, &[u8]); 5] = [
        (ALPN, b"h2"),
        (AUTHORITY, b"a.example"),
        (SSL, ssl),
        (UNIQUE_ID, b"c0-5"),
        (0xe3, b"blue"),
    ];
    peer.expect(&v2_of(from, to, STREAM, &on));
    peer.expect(b"question");
    client.reset();
    assert_eq!(forwarder.record().field("unique_id"), "c0-5");
}

#[test]
fn a_session_has_a_name_of_its_own() {
    let backend = Backend::bind();
    let send = "{ version = \"v2\", tlvs = \"unique_id\" }";
    let forwarder = telling(&backend.address().to_string(), send);
    let mut names = Vec::new();
    for _ in 0..2 {
        let client = Peer::connect(forwarder.address());
        let peer = backend.accept();
        let head = peer.receive(16 + 12 + 3);
        assert_eq!(head[28..30], [UNIQUE_ID, 0]);
        names.push(String::from_utf8(peer.receive(head[30].into())).expect("text"));
        client.reset();
    }
    assert_ne!(names[0], names[1]);
    let mut told = forwarder
        .records(2)
        .iter()
        .map(|record| record.field("unique_id").as_str().expect("a name").to_owned())
        .collect::<Vec<_>>();
    told.sort();
    names.sort();
    assert_eq!(told, names);
}

#[test]
fn the_host_that_a_client_asks_for_is_told() {
    let backend = Backend::bind();
    let config = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\notherwise = \"close\"\n\
         [[listener.a.route]]\nwhen = {{ sni = \"a.example\" }}\npool = \"p\"\n\
         [pool.p]\nbackends = \"{}\"\n\
         send_proxy = {{ version = \"v2\", tlvs = \"authority\" }}\n",
        backend.address()
    );
    let forwarder = file::start(&config, 1);
    let client = Peer::connect(forwarder.address());
    let hello = client_hello("a.example");
    client.send(&hello);
    let peer = backend.accept();
    let (from, to) = (client.local_address(), forwarder.address());
    let tlvs: [(u8, &[u8]); 1] = [(AUTHORITY, b"a.example")];
    peer.expect(&v2_of(&from.to_string(), &to.to_string(), STREAM, &tlvs));
    peer.expect(&hello);
}

/// The least that is a ClientHello for `name`.
fn client_hello(name: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&length, bytes].concat()
    };
    let entry = [&[0][..], &long(name.as_bytes())].concat();
    let extension = [&[0, 0][..], &long(&long(&entry))].concat();
    let random = [7; 32];
    let body = [&[3, 3][..], &random, &[0, 0, 2, 0x13, 0x01, 1, 0], &long(&extension)].concat();
    let message = [&[1, 0][..], &long(&body)].concat();
    [&[22, 3, 1][..], &long(&message)].concat()
}

#[test]
fn a_checksum_is_what_a_second_replug_wants() {
    let backend = Backend::bind();
    let inner = file::start(&taking(&backend.address().to_string(), ""), 1);
    let send = "{ version = \"v2\", tlvs = [\"crc32c\", \"unique_id\"] }";
    let outer = telling(&inner.address().to_string(), send);
    let client = Peer::connect(outer.address());
    client.send(b"question");
    let peer = backend.accept();
    peer.expect(b"question");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    let (outside, inside) = (outer.record(), inner.record());
    assert_eq!(inside.reason(), "done");
    assert_eq!(inside.client(), client.local_address().to_string());
    assert_eq!(inside.client(), outside.client());
    assert_eq!(inside.field("unique_id"), outside.field("unique_id"));
    assert!(inside.field("unique_id").is_string());
}

#[test]
fn a_backend_behind_a_proxy_is_told_through_it() {
    let proxy = Backend::bind();
    let more = format!("\"v1\"\nvia = \"http://{}\"", proxy.address());
    let forwarder = telling("a.example:1", &more);
    let _client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    peer.expect(b"PROXY TCP4 127.0.0.1 127.0.0.1 ");
}
