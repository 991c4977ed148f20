//! Clients that do as they should not: hellos in pieces, half handshakes, nonsense behind them, names
//! that are none.

use std::process::Command;

use rig::wait::until;
use rig::{Backend, Peer, Program};
use serde_json::Value;

use super::Site;

/// What OpenSSL says first to a server that it calls `a.example`.
fn hello() -> Vec<u8> {
    let server = Backend::bind();
    let to = server.address().to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &to, "-servername", "a.example"]);
    let client = Program::start(&mut command);
    let peer = server.accept();
    let head = peer.receive(5);
    let body = peer.receive(usize::from(u16::from_be_bytes([head[3], head[4]])));
    drop(client);
    [head, body].concat()
}

/// The same message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).expect("a record is short").to_be_bytes();
        [&hello[..3], &length, piece].concat()
    };
    hello[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn a_hello_may_be_cut_at_every_byte() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let hello = hello();
    let cuts: Vec<_> = (1..hello.len()).collect();
    for cuts in cuts.chunks(50) {
        // While the others come, the first pieces of those before them are read.
        let begun = cuts.iter().map(|at| {
            let client = Peer::connect(site.forwarder.address());
            client.send(&hello[..*at]);
            (*at, client)
        });
        let begun: Vec<_> = begun.collect();
        let (_, last) = begun.last().expect("a chunk is not empty");
        until("the last piece to be taken", || last.unacknowledged() == 0);
        for (at, client) in begun {
            client.send(&hello[at..]);
            // A record of a handshake, and in it the hello of a server.
            let answer = client.receive(6);
            assert!(matches!(*answer, [22, 3, 3, _, _, 2]), "{at}: {answer:?}");
            client.reset();
        }
    }
    for size in [1, 2, 7] {
        let client = Peer::connect(site.forwarder.address());
        client.send(&in_records(&hello, size));
        let answer = client.receive(6);
        assert!(matches!(*answer, [22, 3, 3, _, _, 2]), "by {size}: {answer:?}");
    }
    assert!(!backend.somebody_waits());
}

#[test]
fn half_a_handshake_has_its_time() {
    let backend = Backend::bind();
    let site = Site::start("", "timeouts = { tls = \"300ms\" }", &backend);
    let client = Peer::connect(site.forwarder.address());
    client.send(&hello());
    // All that the server has to say, and the end of it.
    let answer = client.receive_to_fin();
    assert_eq!(answer[0], 22);
    let record = site.forwarder.record();
    assert_eq!((record.reason(), record.side()), ("tls_error", "replug"));
    assert!(!backend.somebody_waits());
}

#[test]
fn nonsense_behind_a_hello_ends_the_session() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let hello = hello();
    let behind: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        // Bytes of a session, before there is one; a hello again; and an alert that says goodbye.
        &[&[23, 3, 3, 0, 32][..], &[7; 32]].concat(),
        &hello,
        &[21, 3, 3, 0, 2, 2, 40],
        // Such records are let pass, but not without end.
        &[20, 3, 3, 0, 1, 1].repeat(1_000),
    ];
    for (at, said) in behind.iter().enumerate() {
        let client = Peer::connect(site.forwarder.address());
        client.send(&hello);
        assert_eq!(client.receive(1), [22]);
        // It may be turned away before it has said all.
        let _ = client.try_send(said);
        let _ = client.wait_end();
        let record = site.forwarder.records(at + 1).pop().expect("as many as sessions");
        assert_eq!((record.reason(), record.side()), ("tls_error", "client"), "{at}");
    }
    assert!(!backend.somebody_waits());
}

#[test]
fn a_name_that_is_none_stays_on_its_line() {
    let backend = Backend::bind();
    let site = Site::start(", unknown_name = \"first\"", "", &backend);
    // The same listener without TLS of its own, which looks at hellos.
    let text = format!(
        "[listener.in]\nbind = \"127.0.0.1:0\"\npool = \"all\"\n\
         [[listener.in.route]]\nwhen = {{ sni = \"x.example\" }}\npool = \"all\"\n\
         [pool.all]\nbackends = \"{}\"\n",
        backend.address()
    );
    let passing = crate::file::start(&text, 1);
    let hello = hello();
    let at = hello.windows(9).position(|part| part == b"a.example").expect("its name");
    for name in
        [&b"a\r\n{\"a\":1}"[..], b"a\x1b[2J\"\\ b", b"a%n%s\0\0\0\0", b"\xff\xfe\xe2\x80\xaea.bc"]
    {
        let mut hello = hello.clone();
        hello[at..at + 9].copy_from_slice(&name[..9]);
        let client = Peer::connect(site.forwarder.address());
        client.send(&hello);
        let _ = client.receive(1);
        client.reset();
        let client = Peer::connect(passing.address());
        client.send(&hello);
        let peer = backend.accept();
        assert_eq!(peer.receive(hello.len()), hello);
        client.reset();
        peer.expect_reset();
    }
    for forwarder in [&site.forwarder, &passing] {
        for record in forwarder.records(4) {
            assert!(record.field("sni").is_null(), "{record:?}");
        }
        for line in forwarder.program().stdout().so_far() {
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
            serde_json::from_str::<Value>(&line).expect("one record on one line");
        }
    }
}
