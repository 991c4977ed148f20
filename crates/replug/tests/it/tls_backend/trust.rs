//! Who is believed to be a backend, and what becomes of a session whose backend is not.

use std::process::Command;

use rig::{Backend, Peer, Program, Scratch};

use super::certificates::Certificates;
use super::servers::{Server, before, configured, only, trusting};
use crate::file;
use crate::path::REPLUG;

/// A client that is served: the line by which the server tells what it knows.
#[track_caller]
fn served(forwarder: &rig::Forwarder) -> String {
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    client.half_close();
    let text = String::from_utf8(client.receive_to_fin()).expect("it is text");
    let (told, echo) = text.split_once('\n').expect("a line first");
    assert_eq!(echo, "helloend");
    told.to_owned()
}

#[test]
fn a_backend_is_known_by_its_authority_and_its_name() {
    let certificates = Certificates::new();
    certificates.good();
    for version in ["TLSv1_2", "TLSv1_3"] {
        let server =
            Server::start("echo", &certificates, "db", &[&format!("version={version}"), "alpn=x"]);
        let forwarder =
            before(&only(&server), &(trusting(&certificates) + ", alpn = [\"y\", \"x\"]"), "");
        let version = version.replace('_', ".");
        for resumed in ["False", "True"] {
            assert_eq!(served(&forwarder), format!("db.example {resumed} {version} x None"));
        }
        for record in forwarder.records(2) {
            assert_eq!((record.reason(), record.bytes_to_backend()), ("done", 5));
        }
    }
}

#[test]
fn a_backend_that_is_revoked_is_passed_over() {
    let certificates = Certificates::new();
    certificates.good();
    certificates.make("stolen", "DNS:db.example", "ca", 2);
    certificates.revoke("ca", &["stolen"]);
    certificates.revoke("other", &[]);
    let [stolen, good] =
        ["stolen", "db"].map(|name| Server::start("echo", &certificates, name, &[]));
    let all = format!("[\"{}\", \"{}\"]", stolen.address, good.address);
    let [ours, other] = ["ca.crl", "other.crl"].map(|name| certificates.path(name));
    let (first, ca) = ("balance = \"first\"", certificates.path("ca.pem"));
    for (tls, expected) in [
        (format!("{}, crl = {ours:?}", trusting(&certificates)), &["tls_revoked"][..]),
        // A list says nothing about certificates of others.
        (format!("{}, crl = {other:?}", trusting(&certificates)), &[]),
        // Whatever its name.
        (format!("verify = \"ca\", ca = {ca:?}, crl = [{other:?}, {ours:?}]"), &["tls_revoked"]),
    ] {
        let forwarder = before(&all, &tls, first);
        served(&forwarder);
        let attempts = forwarder.record().attempts();
        let failures: Vec<_> = attempts.iter().map(|attempt| &*attempt.failure).collect();
        assert_eq!(failures, expected, "{tls}");
    }
}

#[test]
fn files_are_read_again_when_they_change() {
    let certificates = Certificates::new();
    certificates.good();
    certificates.make("us", "DNS:us.example", "ca", 2);
    certificates.make("them", "DNS:them.example", "ca", 2);
    let [believed, ours] = ["believed.pem", "ours.pem"].map(|name| certificates.path(name));
    let read = |name: &str| std::fs::read(certificates.path(name)).expect("it was made");
    // Whole at once, as whoever renews files does it.
    let put = |bytes: &[u8], path: &str| {
        let new = certificates.path("new");
        std::fs::write(&new, bytes).expect("it is ours");
        std::fs::rename(new, path).expect("it is ours");
    };
    put(&read("other.pem"), &believed);
    put(&[read("us.pem"), read("us.key")].concat(), &ours);
    let asks = format!("ca={}", certificates.path("ca.pem"));
    let server = Server::start("echo", &certificates, "db", &[&asks]);
    let tls = format!("ca = {believed:?}, name = \"db.example\", cert = {ours:?}");
    let forwarder = before(&only(&server), &tls, "retry_down = \"1ms\"");
    Peer::expect_turned_away(None, forwarder.address());
    assert_eq!(forwarder.record().reason(), "tls_error");
    let messages = forwarder.messages();
    put(b"half of a file", &believed);
    let told = messages.expect("pool out: certificates stay as they were");
    assert!(told.contains("there is no certificate in it"), "{told}");
    put(&read("ca.pem"), &believed);
    messages.expect("pool out: certificates read again; valid until");
    let told = served(&forwarder);
    assert!(told.ends_with("{'commonName': 'us'}"), "{told}");
    // A session that could be resumed knows us by the other one.
    put(&[read("them.pem"), read("them.key")].concat(), &ours);
    messages.expect_count(2, |line| line.contains("pool out: certificates read again"));
    let told = served(&forwarder);
    assert!(told.contains(" False ") && told.ends_with("{'commonName': 'them'}"), "{told}");
}

/// Each of them is passed over for its own reason, and none is told anything of the session.
#[test]
fn a_backend_that_is_somebody_else_is_passed_over() {
    let certificates = Certificates::new();
    certificates.good();
    certificates.make("name", "DNS:web.example", "ca", 2);
    certificates.make("expired", "DNS:db.example", "ca", -1);
    certificates.make("stranger", "DNS:db.example", "other", 2);
    let tls: Vec<_> = ["name", "expired", "stranger"]
        .map(|name| Server::start("echo", &certificates, name, &[]))
        .into();
    let plain = Backend::bind().serve(|peer| {
        // It is told why, in TLS.
        peer.send(b"220 plain.example\r\n");
        let _ = peer.wait_end();
    });
    let closing = Backend::bind().serve(Peer::close);
    let good = Server::start("echo", &certificates, "db", &[]);
    let mut all: Vec<_> = tls.iter().map(|server| server.address.to_string()).collect();
    all.extend([plain.address(), closing.address()].map(ToString::to_string));
    all.push(good.address.to_string());
    let forwarder = before(&format!("{all:?}"), &trusting(&certificates), "balance = \"first\"");
    assert!(served(&forwarder).starts_with("db.example False"));
    let record = forwarder.record();
    let attempts: Vec<_> = record.attempts().into_iter().map(|attempt| attempt.failure).collect();
    let expected =
        ["tls_other_name", "tls_expired", "tls_unknown_authority", "tls_error", "tls_closed"];
    assert_eq!(attempts, expected);
    assert_eq!(record.backend(), Some(&*good.address.to_string()));
    forwarder.messages().expect("its certificate is for another name");
    // They are left alone for a while.
    assert!(served(&forwarder).starts_with("db.example True"));
    assert!(forwarder.records(2)[1].attempts().is_empty());
    for server in tls {
        // Whoever is not believed is told why, and gets nothing else.
        server.program.stdout().expect("client: ");
    }
}

#[test]
fn a_client_without_a_backend_is_reset() {
    let certificates = Certificates::new();
    certificates.make("db", "DNS:db.example", "other", 2);
    let server = Server::start("echo", &certificates, "db", &[]);
    let forwarder = before(&only(&server), &trusting(&certificates), "");
    Peer::expect_turned_away(None, forwarder.address());
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("tls_error", "backend"));
    assert_eq!(record.field("code"), "SC");
}

#[test]
fn what_is_verified_can_be_chosen() {
    let certificates = Certificates::new();
    certificates.make("db", "DNS:db.example", "ca", 2);
    certificates.make("else", "DNS:else.example", "ca", 2);
    let server = Server::start("echo", &certificates, "else", &[]);
    let [ca, pem] = ["ca.pem", "else.pem"].map(|name| certificates.path(name));
    let [own, other] = ["else", "db"].map(|name| certificates.pin(name));
    for (tls, expected) in [
        (format!("ca = {ca:?}, name = \"else.example\""), true),
        (format!("ca = {ca:?}, name = \"db.example\""), false),
        // By its address, for which it is not.
        (format!("ca = {ca:?}"), false),
        (format!("ca = {ca:?}, verify = \"ca\""), true),
        (format!("ca = {pem:?}, name = \"else.example\""), true),
        (format!("ca = {ca:?}, verify = \"ca\", pin = {other:?}"), false),
        (format!("ca = {ca:?}, name = \"else.example\", pin = [{other:?}, {own:?}]"), true),
        (format!("verify = \"pin\", pin = {own:?}"), true),
        (format!("verify = \"pin\", pin = {other:?}"), false),
        ("verify = \"none\"".to_owned(), true),
    ] {
        let forwarder = before(&only(&server), &tls, "");
        if expected {
            assert!(served(&forwarder).ends_with(" None None"), "{tls}");
        } else {
            Peer::expect_turned_away(None, forwarder.address());
            assert_eq!(forwarder.record().reason(), "tls_error", "{tls}");
        }
    }
}

#[test]
fn a_name_is_that_of_the_backend() {
    let certificates = Certificates::new();
    certificates.make("ip", "IP:127.0.0.1,DNS:localhost", "ca", 2);
    let server = Server::start("echo", &certificates, "ip", &[]);
    let ca = format!("ca = {:?}", certificates.path("ca.pem"));
    // Addresses are not told.
    assert!(served(&before(&only(&server), &ca, "")).starts_with("None False"));
    let by_name = only(&server).replace("127.0.0.1", "localhost");
    assert!(served(&before(&by_name, &ca, "")).starts_with("localhost False"));
}

#[test]
fn the_authorities_of_this_machine_are_believed_unless_told() {
    let certificates = Certificates::new();
    certificates.good();
    let server = Server::start("echo", &certificates, "db", &[]);
    let scratch = Scratch::new();
    for (authority, is_known) in [("ca.pem", true), ("other.pem", false)] {
        let text = configured(&only(&server), "name = \"db.example\"", "");
        let mut command = file::command(&scratch, &text);
        command.env("SSL_CERT_FILE", certificates.path(authority)).env_remove("SSL_CERT_DIR");
        let forwarder = rig::Forwarder::start_command(&mut command, 1);
        match is_known {
            true => assert!(served(&forwarder).starts_with("db.example")),
            false => Peer::expect_turned_away(None, forwarder.address()),
        }
    }
}

#[test]
fn backends_can_ask_who_we_are() {
    let certificates = Certificates::new();
    certificates.good();
    certificates.make("me", "DNS:me.example", "ca", 2);
    let [cert, key, locked] =
        ["me.pem", "me.key", "locked.key"].map(|name| certificates.path(name));
    Program::run(Command::new("openssl").args([
        "pkcs8",
        "-topk8",
        "-in",
        &key,
        "-out",
        &locked,
        "-passout",
        "pass:p w",
        "-v2",
        "aes-256-cbc",
    ]));
    let ca = format!("ca={}", certificates.path("ca.pem"));
    for version in ["version=TLSv1_2", "version=TLSv1_3"] {
        let server = Server::start("echo", &certificates, "db", &[version, &ca]);
        for key in
            [format!("key = {key:?}"), format!("key = {locked:?}, passphrase = \"text:p w\"")]
        {
            let tls = format!("{}, cert = {cert:?}, {key}", trusting(&certificates));
            let forwarder = before(&only(&server), &tls, "");
            assert!(served(&forwarder).contains("{'commonName': 'me'}"));
        }
        let forwarder = before(&only(&server), &trusting(&certificates), "");
        // With 1.3 a server says so when its side of the handshake is over.
        let client = Peer::connect(forwarder.address());
        client.expect_reset();
        assert_ne!(forwarder.record().reason(), "done");
    }
}

#[test]
fn a_start_needs_its_files() {
    let certificates = Certificates::new();
    let cases = [
        ("ca = \"/nowhere/ca.pem\"", "cannot read /nowhere/ca.pem"),
        ("ca = \"KEY\"", "there is no certificate in it"),
        ("cert = \"CERT\"", "there is no private key in it"),
        ("cert = \"CERT\", key = \"OTHER\"", "the key is not that of the certificate"),
    ];
    for (tls, expected) in cases {
        let tls = tls
            .replace("KEY", &certificates.path("ca.key"))
            .replace("CERT", &certificates.path("ca.pem"))
            .replace("OTHER", &certificates.path("other.key"));
        let scratch = Scratch::new();
        let mut command = file::command(&scratch, &configured("\"127.0.0.1:9\"", &tls, ""));
        let mut program = Program::start(&mut command);
        program.expect_exit(3);
        program.stderr().expect(expected);
        let mut command = Command::new(REPLUG);
        let mut program = Program::start(command.args(["check", &scratch.join("replug.toml")]));
        program.expect_exit(3);
        program.stderr().expect(expected);
    }
}

#[test]
fn who_verifies_nothing_is_told_so_at_the_start() {
    let text = configured("\"127.0.0.1:9\"", "verify = \"none\"", "");
    let forwarder = file::start(&text, 1);
    forwarder.messages().expect("nobody verifies who the backends of pool `out` are");
}
