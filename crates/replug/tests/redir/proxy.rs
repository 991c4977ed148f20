//! Through an HTTP proxy. redir asks in HTTP/1.0, with bare line feeds, does not look at the answer, and
//! gives on what it does not fit into 128 bytes. Here it is HTTP/1.1 with a `Host`, and looked at.

use rig::{Backend, Peer};

use crate::start::Redir;

const ASKED: &[u8] = b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n";

#[test]
fn r3_18_connect() {
    let proxy = Backend::bind();
    let redir = Redir::start(&["-x", "www.example.com:443"], proxy.address());
    let client = Peer::connect(&redir.address);
    let peer = proxy.accept();
    peer.expect(ASKED);
    let fields = format!("X: {}\r\n", "y".repeat(200));
    peer.send(format!("HTTP/1.0 200 OK\r\n{fields}").as_bytes());
    peer.send(b"\r\nbanner");
    client.expect(b"banner");
    client.send(b"hello");
    peer.expect(b"hello");

    let client = Peer::connect(&redir.address);
    let peer = proxy.accept();
    peer.expect(ASKED);
    peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    client.expect_fin();
    redir.program.stderr().expect("Forbidden");
}
