//! Headers of a listener that speaks TLS: one before the handshake, and one that tells what was
//! agreed on.

use std::process::Command;

use rig::{Backend, Program, Scratch};

use super::programs::haproxy;
use super::{ALPN, AUTHORITY, SSL, taking, v2};
use crate::clients::curl;
use crate::tls_backend::certificates::Certificates;
use crate::{file, http};

#[test]
fn backends_are_told_what_was_agreed_on() {
    let certificates = Certificates::new();
    certificates.make("site", "DNS:a.example", "ca", 2);
    certificates.make("alice", "DNS:alice.example", "ca", 2);
    let [ca, cert, key] = ["ca.pem", "site.pem", "site.key"].map(|name| certificates.path(name));
    let [alice, alice_key] = ["alice.pem", "alice.key"].map(|name| certificates.path(name));
    let backend = Backend::bind();
    let more = format!(
        "send_proxy = {{ version = \"v2\", tlvs = [\"alpn\", \"authority\", \"ssl\"] }}\n\
         tls = {{ cert = {cert:?}, key = {key:?}, alpn = \"http/1.1\", client_ca = {ca:?}, \
         client_auth = \"optional\" }}"
    );
    let forwarder = file::start(&taking(&backend.address().to_string(), &more), 1);
    let port = forwarder.address().port();
    for (newest, proof, ssl) in [
        (
            "1.3",
            &["--cert", &alice, "--key", &alice_key][..],
            &b"\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice\x23\0\x16TLS_AES_256_GCM_SHA384"[..],
        ),
        ("1.2", &[], b"\x01\0\0\0\x01\x21\0\x07TLSv1.2\x23\0\x1dECDHE-ECDSA-AES256-GCM-SHA384"),
    ] {
        let mut curl = curl();
        curl.args(["--haproxy-protocol", "--http1.1", "--cacert", &ca, "--tls-max", newest]);
        curl.args(["--resolve", &format!("a.example:{port}:127.0.0.1")]).args(proof);
        let mut client = Program::start(curl.args([
            "--output",
            "/dev/null",
            &format!("https://a.example:{port}/3"),
        ]));
        let peer = backend.accept();
        let head = peer.receive(16 + 12);
        assert_eq!(head[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
        let told: [(u8, &[u8]); 3] = [(ALPN, b"http/1.1"), (AUTHORITY, b"a.example"), (SSL, ssl)];
        peer.expect(&v2(0x21, 0x11, &[], &told)[16..]);
        http::serve(peer);
        client.expect_exit(0);
    }
}

#[test]
fn haproxy_reads_what_was_agreed_on() {
    let (certificates, scratch) = (Certificates::new(), Scratch::new());
    certificates.make("site", "DNS:a.example", "ca", 2);
    let [ca, cert, key] = ["ca.pem", "site.pem", "site.key"].map(|name| certificates.path(name));
    let proxy = "listen a\n mode http\n bind 127.0.0.1:PORT accept-proxy\n http-request return status 200 \
                 content-type text/plain lf-string \"%[fc_pp_authority] %[fc_pp_unique_id] %[src]\"";
    let (_haproxy, at) = haproxy(&scratch, proxy);
    let config = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{at}\"\n\
         tls = {{ cert = {cert:?}, key = {key:?}, alpn = \"http/1.1\" }}\n\
         send_proxy = {{ version = \"v2\", \
         tlvs = [\"alpn\", \"authority\", \"ssl\", \"unique_id\", \"crc32c\"] }}\n"
    );
    let forwarder = file::start(&config, 1);
    let port = forwarder.address().port();
    let to = format!("a.example:{port}:127.0.0.1");
    let url = format!("https://a.example:{port}/");
    let lines = Program::run(curl().args(["--cacert", &ca, "--resolve", &to, &url]));
    let record = forwarder.record();
    let name = record.field("unique_id").as_str().expect("a name").to_owned();
    assert_eq!(lines, [format!("a.example {name} 127.0.0.1")]);
}

#[test]
fn a_certificate_of_an_earlier_connection_is_told_as_such() {
    let (certificates, backend) = (Certificates::new(), Backend::bind());
    certificates.make("site", "DNS:a.example", "ca", 2);
    certificates.make("alice", "DNS:alice.example", "ca", 2);
    let [ca, cert, key] = ["ca.pem", "site.pem", "site.key"].map(|name| certificates.path(name));
    let [alice, alice_key] = ["alice.pem", "alice.key"].map(|name| certificates.path(name));
    let config = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n\
         tls = {{ cert = {cert:?}, key = {key:?}, client_ca = {ca:?} }}\n\
         send_proxy = {{ version = \"v2\", tlvs = \"ssl\" }}\n",
        backend.address()
    );
    let forwarder = file::start(&config, 1);
    let at = forwarder.address().to_string();
    let session = certificates.path("session");
    for (word, shown) in [("-sess_out", 7), ("-sess_in", 5)] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-tls1_2", "-connect", &at, "-CAfile", &ca]);
        openssl.args(["-cert", &alice, "-key", &alice_key, word, &session]);
        let mut client = Program::start(&mut openssl);
        let peer = backend.accept();
        let head = peer.receive(16 + 12 + 3 + 5);
        assert_eq!(head[28], SSL);
        assert_eq!(head[31..], [shown, 0, 0, 0, 0], "{word}");
        peer.close();
        client.wait_exit();
    }
}
