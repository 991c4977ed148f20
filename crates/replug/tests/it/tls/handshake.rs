//! How both sides agree, and what becomes of those that do not.

use std::process::Command;

use rig::{Backend, Peer, Program, Record};

use super::Site;
use crate::path::REPLUG;

const HTTP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

/// The only record of a session that did not come to be.
#[track_caller]
fn expect_tls_error(record: &Record, side: &str) {
    assert_eq!((record.reason(), record.side()), ("tls_error", side));
    assert_eq!(record.backend(), None);
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (0, 0));
}

/// As many records, of sessions that did not come to be.
#[track_caller]
fn expect_tls_errors(site: &Site, count: usize, side: &str) {
    for record in site.forwarder.records(count) {
        expect_tls_error(&record, side);
    }
}

#[test]
fn curl_is_served_in_both_versions() {
    let backend = Backend::bind();
    let site = Site::start(", alpn = [\"http/1.1\"]", "", &backend);
    let backend = backend.serve(|peer| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(peer.receive(1));
        }
        peer.send(HTTP);
        peer.half_close();
        peer.expect_fin();
    });
    for version in ["1.2", "1.3"] {
        let lines = Program::run(Command::new("curl").args([
            "--silent",
            "--show-error",
            "--http1.1",
            "--cacert",
            &site.cert(),
            "--resolve",
            &format!("a.example:{}:127.0.0.1", site.port()),
            &format!("--tlsv{version}"),
            "--tls-max",
            version,
            &format!("https://a.example:{}/", site.port()),
        ]));
        assert_eq!(lines, ["hello"]);
    }
    let mut versions = Vec::new();
    for record in site.forwarder.records(2) {
        assert_eq!(record.reason(), "done");
        assert_eq!(record.field("sni"), "a.example");
        assert_eq!(record.field("alpn"), "http/1.1");
        versions.push(record.field("tls_version").as_str().expect("a version").to_owned());
        assert_eq!(record.bytes_to_client(), HTTP.len() as u64);
    }
    versions.sort();
    assert_eq!(versions, ["1.2", "1.3"]);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn the_file_in_the_manual_is_sound() {
    let manual = include_str!("../../../../../docs/tls.md");
    let (_, file) = manual.split_once("```toml\n").expect("a file");
    let (file, _) = file.split_once("```").expect("its end");
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let file = file
        .replace("/etc/replug/site.pem", &site.cert())
        .replace("/etc/replug/site.key", &site.scratch.join("key.pem"));
    let path = site.scratch.join("manual.toml");
    std::fs::write(&path, file).expect("a scratch file can be written");
    Program::run(Command::new(REPLUG).args(["check", &path]));
}

#[test]
fn openssl_is_served() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let command = format!(
        "(echo question; sleep 10) | openssl s_client -quiet -connect 127.0.0.1:{} \
         -servername b.example -verify_return_error -CAfile {}",
        site.port(),
        site.cert()
    );
    let client = Program::start(Command::new("sh").args(["-c", &command]));
    let peer = backend.accept();
    peer.expect(b"question\n");
    peer.send(b"answer\n");
    client.stdout().expect("answer");
    peer.half_close();
    drop(client);
    peer.wait_end().ok();
}

#[test]
fn a_version_or_a_protocol_that_is_not_spoken_is_refused() {
    let backend = Backend::bind();
    let site = Site::start(", min_version = \"1.3\", alpn = [\"h2\", \"x\"]", "", &backend);
    let said = site.client(&["version=1.2"], &[]).said();
    assert_eq!(said, ["<alert TLSV1_ALERT_PROTOCOL_VERSION>"]);
    let said = site.client(&["alpn=y"], &[]).said();
    // Its OpenSSL may be too old to know the name of that one.
    assert!(said.concat().starts_with("<alert "), "{said:?}");
    expect_tls_errors(&site, 2, "client");
    let client = site.client(&["alpn=x,h2"], &["show", "end", "all"]);
    let peer = backend.accept();
    peer.expect_fin();
    peer.half_close();
    assert_eq!(client.said(), ["TLSv1.3 h2 False", "<end>"]);
}

#[test]
fn a_hello_may_come_byte_by_byte() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    for version in ["version=1.2", "version=1.3"] {
        let client =
            site.client(&[version, "piece=1", "name=a.example"], &["send=question", "end", "all"]);
        let peer = backend.accept();
        peer.expect(b"question");
        peer.expect_fin();
        peer.send(b"answer");
        peer.half_close();
        assert_eq!(client.said(), ["answer<end>"]);
    }
    for record in site.forwarder.records(2) {
        assert_eq!((record.reason(), record.side()), ("done", "client"));
    }
}

/// A message of a handshake in records of `size` bytes.
fn message(body: &[u8], size: usize) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it is short").to_be_bytes();
    let message = [&[1][..], &length[1..], body].concat();
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).expect("a record is short").to_be_bytes();
        [&[0x16, 3, 1][..], &length, piece].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

#[test]
fn a_hello_that_is_far_too_long_is_refused() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0]);
    // An extension that nobody knows, of nearly 64 KiB.
    let (room, rest) = (60_000_u16, [9; 60_000]);
    hello.extend((room + 4).to_be_bytes());
    hello.extend([0xaa, 0xaa]);
    hello.extend(room.to_be_bytes());
    hello.extend(rest);
    for (body, size) in
        [(&hello[..], 16_384), (&hello, 4_000), (&[0; 70_000], 16_384), (&[3; 70_000], 1)]
    {
        let client = Peer::connect(site.forwarder.address());
        // It may be turned away before it has said all.
        let _ = client.try_send(&message(body, size));
        let _ = client.wait_end();
    }
    expect_tls_errors(&site, 4, "client");
}

#[test]
fn a_handshake_has_its_time() {
    let backend = Backend::bind();
    let site = Site::start("", "timeouts = { tls = \"300ms\" }", &backend);
    let silent = Peer::connect(site.forwarder.address());
    let half = Peer::connect(site.forwarder.address());
    half.send(&message(&[3; 500], 200)[..300]);
    silent.expect_fin();
    half.expect_fin();
    expect_tls_errors(&site, 2, "replug");
    // Those who hang do not hinder others.
    let hanging: Vec<_> = (0..100).map(|_| Peer::connect(site.forwarder.address())).collect();
    let client = site.client(&[], &["send=x", "end", "all"]);
    let peer = backend.accept();
    peer.expect(b"x");
    peer.expect_fin();
    peer.half_close();
    client.said();
    for peer in hanging {
        peer.expect_fin();
    }
}

#[test]
fn who_does_not_speak_tls_is_told_so() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let client = Peer::connect(site.forwarder.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let answer = String::from_utf8(client.receive_to_fin()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    let client = Peer::connect(site.forwarder.address());
    client.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    let alert = client.receive_to_fin();
    assert!(matches!(*alert, [21, 3, _, 0, 2, 2, _]), "{alert:?}");
    expect_tls_errors(&site, 2, "client");
    assert!(!backend.somebody_waits());
}

#[test]
fn who_leaves_before_a_handshake_leaves_a_record() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    Peer::connect(site.forwarder.address()).close();
    expect_tls_error(&site.forwarder.record(), "client");
    let site = Site::start("", "", &backend);
    Peer::connect(site.forwarder.address()).reset();
    let record = site.forwarder.record();
    assert!(matches!(record.reason(), "client_reset" | "tls_error"), "{record:?}");
}

#[test]
fn tickets_resume_sessions() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let file = site.scratch.join("session");
    for (option, line) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
        let command = format!(
            "(echo x; sleep 10) | openssl s_client -connect 127.0.0.1:{} -tls1_2 {option} {file}",
            site.port(),
        );
        let client = Program::start(Command::new("sh").args(["-c", &command]));
        client.stdout().expect(line);
        let peer = backend.accept();
        peer.expect(b"x\n");
        peer.half_close();
        client.stdout().expect("---");
        rig::wait::until("the session is kept", || std::fs::metadata(&file).is_ok());
    }
}
