//! Clients and backends that both speak TLS, each with replug: what the one says is sealed anew for
//! the other.

use std::process::Command;

use rig::{Forwarder, Program, Scratch};

use super::certificates::Certificates;
use super::servers::{Server, only, trusting};
use crate::clients::curl;
use crate::file;
use crate::one_port::nginx;

/// The client that does as it is told.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/client.py");

/// replug as `front.example` before `backends`, with `tls` for them.
#[track_caller]
fn between(certificates: &Certificates, backends: &str, tls: &str) -> Forwarder {
    certificates.make("front", "DNS:front.example,DNS:one.example", "ca", 2);
    let [cert, key] = ["front.pem", "front.key"].map(|name| certificates.path(name));
    let text = format!(
        "[listener.in]\nbind = \"127.0.0.1:0\"\npool = \"out\"\n\
         tls = {{ cert = {cert:?}, key = {key:?} }}\n\
         [pool.out]\nbackends = {backends}\ntls = {{ {tls} }}\n"
    );
    file::start(&text, 1)
}

/// What the client has said that does these steps.
#[track_caller]
fn steps(forwarder: &Forwarder, options: &[&str], steps: &[&str]) -> Vec<String> {
    let port = forwarder.address().port().to_string();
    let mut command = Command::new("/usr/bin/python3");
    command.args([CLIENT, &port, "name=front.example"]).args(options);
    Program::run(command.args(["--", "handshake"]).args(steps))
}

#[test]
fn curl_reaches_nginx() {
    let (certificates, scratch) = (Certificates::new(), Scratch::new());
    let (_nginx, [_, address]) = nginx(&scratch);
    let ca = scratch.join("one.example.pem");
    let tls = format!("ca = {ca:?}, name = \"one.example\"");
    let forwarder = between(&certificates, &format!("\"{address}\""), &tls);
    let port = forwarder.address().port();
    for version in ["1.2", "1.3"] {
        let shared = [
            "--cacert",
            &certificates.path("ca.pem"),
            &format!("--tlsv{version}"),
            "--tls-max",
            version,
            "--resolve",
            &format!("one.example:{port}:127.0.0.1"),
        ];
        // Where nginx does not end first, it answers the notice of its client with none.
        for who_ends in ["close", "keep-alive"] {
            let connection = format!("Connection: {who_ends}");
            let url = format!("https://one.example:{port}/");
            let mut curl = curl();
            curl.args(shared).args(["--header", &connection]);
            assert_eq!(Program::run(curl.arg(url)), ["one.example https"]);
        }
    }
    for record in forwarder.records(4) {
        assert_eq!((record.reason(), record.field("sni").as_str()), ("done", Some("one.example")));
    }
}

#[test]
fn streams_end_as_they_were_ended() {
    let certificates = Certificates::new();
    certificates.good();
    for [inside, outside] in [["TLSv1_2", "1.3"], ["TLSv1_3", "1.2"]] {
        let (inside, outside) = (format!("version={inside}"), format!("version={outside}"));
        let server = Server::start("echo", &certificates, "db", &[&inside, "greets=no"]);
        let forwarder = between(&certificates, &only(&server), &trusting(&certificates));
        // An answer after the end of the question.
        let said = steps(&forwarder, &[&outside], &["send=question", "end", "all"]);
        assert_eq!(said, ["questionend<end>"]);
        let record = forwarder.record();
        assert_eq!((record.reason(), record.side()), ("done", "client"));
        assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (8, 11));

        let server = Server::start("cut", &certificates, "db", &[&inside]);
        let forwarder = between(&certificates, &only(&server), &trusting(&certificates));
        // Neither an end nor a FIN, which would say that this was all.
        let said = steps(&forwarder, &[&outside], &["send=x", "all"]);
        assert_eq!(said, ["half<reset>"]);
        let record = forwarder.record();
        assert_eq!((record.side(), record.bytes_to_client()), ("backend", 4));
        assert_ne!(record.reason(), "done");
    }
}

#[test]
fn a_client_that_is_cut_leaves_no_whole_question() {
    let certificates = Certificates::new();
    certificates.good();
    let server = Server::start("echo", &certificates, "db", &["greets=no"]);
    let forwarder = between(&certificates, &only(&server), &trusting(&certificates));
    let said = steps(&forwarder, &[], &["send=question", "read=8", "fin", "all"]);
    assert_eq!(said, ["question", "<reset>"]);
    let record = forwarder.record();
    assert_eq!((record.side(), record.bytes_to_backend()), ("client", 8));
    assert_ne!(record.reason(), "done");
}
