//! Proxies that are spoken to in TLS, `via = "https://..."`.

use std::fs;
use std::thread;

use rig::{Backend, Forwarder, Payload, Peer, Record, Scratch};
use rustix::process::Signal;

use super::chain::session;
use super::servers::Server;
use crate::file;
use crate::tls_backend::certificates::Certificates;
use crate::tls_backend::servers;

/// A certificate for the proxy, with its key in the same file.
#[track_caller]
fn gate(certificates: &Certificates, names: &str, by: &str) -> String {
    certificates.make("gate", names, by, 2);
    let read = |end| fs::read_to_string(certificates.path(&format!("gate.{end}")));
    let both = read("pem").expect("it was made") + &read("key").expect("it was made");
    let path = certificates.path("gate-both.pem");
    fs::write(&path, both).expect("a file in a new folder");
    path
}

/// `ca=...`, as it stands behind a URL.
fn known(certificates: &Certificates) -> String {
    format!("ca={}", certificates.path("ca.pem"))
}

#[test]
fn alone_and_in_chains() {
    let certificates = Certificates::new();
    let pem = gate(&certificates, "IP:127.0.0.1", "ca");
    let [squid, tinyproxy, microsocks] =
        [Server::squid(), Server::tinyproxy(), Server::microsocks()];
    let [to_squid, to_tinyproxy] =
        [&squid, &tinyproxy].map(|next| Server::haproxy(&pem, next.address()));
    let known = known(&certificates);
    let tinyproxy_in_tls = format!("{} {known}", to_tinyproxy.url("https"));
    let squid_in_tls = format!("{} {known}", to_squid.url_of_user("https"));
    for via in [
        vec![tinyproxy_in_tls.clone()],
        vec![squid_in_tls.clone()],
        vec![tinyproxy_in_tls.clone(), microsocks.url_of_user("socks5h")],
        vec![microsocks.url_of_user("socks5"), squid_in_tls.clone()],
        // TLS within TLS.
        vec![tinyproxy_in_tls, squid_in_tls],
    ] {
        let record = session(&via);
        assert_eq!(record.attempts().len(), 0, "{via:?} {record:?}");
        assert_eq!((record.reason(), record.bytes_to_client()), ("done", 100_005), "{via:?}");
    }
}

#[test]
fn the_authorities_of_this_machine_are_believed_unless_told() {
    let certificates = Certificates::new();
    let pem = gate(&certificates, "DNS:gate.example,IP:127.0.0.1", "ca");
    let tinyproxy = Server::tinyproxy();
    let proxy = Server::haproxy(&pem, tinyproxy.address());
    let backend = Backend::bind();
    for words in ["", " name=gate.example"] {
        let (via, to) = (proxy.url("https") + words, backend.address());
        let text =
            format!("[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{to}\"\nvia = \"{via}\"\n");
        let scratch = Scratch::new();
        let mut command = file::command(&scratch, &text);
        command.env("SSL_CERT_FILE", certificates.path("ca.pem")).env_remove("SSL_CERT_DIR");
        let forwarder = Forwarder::start_command(&mut command, 1);
        let client = Peer::connect(forwarder.address());
        client.send(b"hello");
        let peer = backend.accept();
        peer.expect(b"hello");
        peer.send(b"answer");
        client.expect(b"answer");
    }
}

/// A session that no proxy lets through; its record, and why.
#[track_caller]
fn turned_away(via: &str, more: &str) -> (Record, String) {
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
         via = \"{via}\"\n{more}\n"
    );
    let forwarder = file::start(&text, 1);
    Peer::expect_turned_away(None, forwarder.address());
    let record = forwarder.record();
    let why = record.field("attempts")[0]["why"].as_str().unwrap_or_default().to_owned();
    let messages = forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains(" is down")), "{messages:#?}");
    (record, why)
}

#[test]
fn one_that_is_somebody_else_is_told_nothing() {
    let next = Backend::bind();
    for (names, by, words, told) in [
        ("IP:127.0.0.1", "other", "", "its certificate is of an authority that is not believed"),
        ("IP:127.0.0.2", "ca", "", "its certificate is for another name"),
        ("IP:127.0.0.1", "ca", " name=gate.example", "its certificate is for another name"),
    ] {
        let certificates = Certificates::new();
        let proxy = Server::haproxy(&gate(&certificates, names, by), next.address());
        let via = format!("{} {}{words}", proxy.url_of_user("https"), known(&certificates));
        let (record, why) = turned_away(&via, "");
        assert_eq!(why, format!("there is no TLS with the proxy: {told}"));
        // All backends are behind it.
        assert_eq!((record.attempts().len(), record.reason()), (1, "tls_error"));
        assert_eq!(record.attempts()[0].failure, "proxy_refused");
        assert!(!next.somebody_waits(), "the handshake was not done");
    }
}

#[test]
fn its_key_may_be_enough_to_know_it_and_a_list_may_take_it_back() {
    let certificates = Certificates::new();
    let pem = gate(&certificates, "DNS:somewhere.example", "other");
    let tinyproxy = Server::tinyproxy();
    let proxy = Server::haproxy(&pem, tinyproxy.address());
    let (url, pin) = (proxy.url("https"), certificates.pin("gate"));
    let record = session(&[format!("{url} verify=pin pin={pin}")]);
    assert_eq!((record.reason(), record.attempts().len()), ("done", 0));
    let (_, why) = turned_away(&format!("{url} verify=pin pin={}", certificates.pin("ca")), "");
    assert_eq!(why, "there is no TLS with the proxy: its key is not the one that is pinned");
    let by_authority = format!("{url} verify=ca ca={}", certificates.path("other.pem"));
    assert_eq!(session(std::slice::from_ref(&by_authority)).reason(), "done");
    certificates.revoke("other", &["gate"]);
    let list = certificates.path("other.crl");
    let (record, why) = turned_away(&format!("{by_authority} crl={list}"), "");
    assert_eq!(why, "there is no TLS with the proxy: its certificate was revoked");
    assert_eq!(record.reason(), "tls_error");
}

#[test]
fn one_may_ask_who_we_are() {
    let certificates = Certificates::new();
    let pem = gate(&certificates, "IP:127.0.0.1", "ca");
    certificates.make("us", "DNS:us.example", "other", 2);
    let tinyproxy = Server::tinyproxy();
    let asked = format!("verify required ca-file {}", certificates.path("other.pem"));
    let proxy = Server::haproxy_for(&pem, &asked, tinyproxy.address());
    let url = format!("{} {}", proxy.url("https"), known(&certificates));
    let [cert, key] = ["us.pem", "us.key"].map(|name| certificates.path(name));
    assert_eq!(session(&[format!("{url} cert={cert} key={key}")]).reason(), "done");
    // As nobody, and as somebody of another authority.
    let [cert, key] = ["gate.pem", "gate.key"].map(|name| certificates.path(name));
    for words in [String::new(), format!(" cert={cert} key={key}")] {
        let (record, why) = turned_away(&(url.clone() + &words), "");
        assert_eq!(record.attempts().len(), 1, "{why}");
    }
}

#[test]
fn one_without_tls_is_told_nothing() {
    let certificates = Certificates::new();
    let plain = Backend::bind();
    let via = format!("https://user:secret@{} {}", plain.address(), known(&certificates));
    thread::scope(|scope| {
        scope.spawn(|| {
            let peer = plain.accept();
            assert_eq!(peer.receive(1), [22], "it begins with TLS");
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = peer.wait_end();
        });
        let (record, why) = turned_away(&via, "");
        assert!(why.contains("what it sends is not TLS"), "{why}");
        assert_eq!((record.attempts().len(), record.reason()), (1, "tls_error"));
    });
    let closing = plain.serve(Peer::close);
    let (record, why) = turned_away(&via, "");
    assert!(why.contains("it closed the connection before TLS had begun"), "{why}");
    assert_eq!(record.reason(), "tls_error");
    drop(closing);
}

#[test]
fn a_handshake_that_does_not_end_is_given_up_in_time() {
    let certificates = Certificates::new();
    let silent = Backend::bind();
    let via = format!("https://{} {}", silent.address(), known(&certificates));
    let (record, _) = turned_away(&via, "timeouts = { connect = \"300ms\" }");
    assert_eq!(record.reason(), "connect_timeout");
}

#[test]
fn a_start_needs_its_files() {
    let text = "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"127.0.0.1:1\"\n\
                via = \"https://127.0.0.1 ca=absent%20one.pem\"\n";
    let scratch = Scratch::new();
    let mut program = rig::Program::start(&mut file::command(&scratch, text));
    program.expect_exit(3);
    program.stderr().expect("absent one.pem");
}

/// TLS with the backend within that with the proxy.
#[test]
fn a_backend_in_tls_behind_it() {
    const LENGTH: usize = 4 << 20;
    let certificates = Certificates::new();
    certificates.good();
    let pem = gate(&certificates, "IP:127.0.0.1", "ca");
    let tinyproxy = Server::tinyproxy();
    let proxy = Server::haproxy(&pem, tinyproxy.address());
    let server = servers::Server::start("echo", &certificates, "db", &["greets=no"]);
    let via = format!("via = \"{} {}\"", proxy.url("https"), known(&certificates));
    let forwarder =
        servers::before(&servers::only(&server), &servers::trusting(&certificates), &via);
    let client = Peer::connect(forwarder.address());
    thread::scope(|scope| {
        scope.spawn(|| client.send_payload(&mut Payload::new(7), LENGTH));
        client.expect_payload(&mut Payload::new(7), LENGTH);
    });
    client.reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.attempts().len()), ("client_reset", 0));
    assert_eq!(
        (record.bytes_to_backend(), record.bytes_to_client()),
        (LENGTH as u64, LENGTH as u64)
    );
}

#[test]
fn a_reload_reads_the_authorities_again() {
    let certificates = Certificates::new();
    let tinyproxy = Server::tinyproxy();
    let proxy = Server::haproxy(&gate(&certificates, "IP:127.0.0.1", "ca"), tinyproxy.address());
    let backend = Backend::bind();
    let believed = certificates.path("believed.pem");
    let believe = |name: &str| {
        fs::copy(certificates.path(name), &believed).expect("it was made");
    };
    believe("other.pem");
    let scratch = Scratch::new();
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\nvia = \"{} ca={believed}\"\n",
        backend.address(),
        proxy.url("https")
    );
    let forwarder = Forwarder::start_command(&mut file::command(&scratch, &text), 1);
    Peer::expect_turned_away(None, forwarder.address());
    believe("ca.pem");
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect("reloaded: ");
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    backend.accept().expect(b"hello");
}
