//! Headers of a listener that speaks TLS: one before the handshake, and one that tells what was
//! agreed on.

use rig::{Backend, Program};

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
