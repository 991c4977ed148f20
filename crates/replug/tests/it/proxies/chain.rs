//! Backends behind proxies that people run, alone and one behind the other.

use rig::{Backend, Peer, Record};

use super::servers::Server;
use crate::file;

/// A session through `via`; its record.
#[track_caller]
pub(super) fn session(via: &[String]) -> Record {
    let backend = Backend::bind();
    let to = backend.address();
    let text = format!("[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{to}\"\nvia = {via:?}\n");
    let forwarder = file::start(&text, 1);
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    let peer = backend.accept();
    peer.send(b"early");
    peer.expect(b"hello");
    client.expect(b"early");
    peer.send(&[7; 100_000]);
    assert!(client.receive(100_000).iter().all(|byte| *byte == 7));
    peer.half_close();
    client.expect_fin();
    client.half_close();
    peer.expect_fin();
    forwarder.record()
}

#[test]
fn squid_dante_microsocks_and_tinyproxy() {
    let [squid, dante] = [Server::squid(), Server::dante()];
    let [microsocks, tinyproxy] = [Server::microsocks(), Server::tinyproxy()];
    for via in [
        vec![squid.url_of_user("http")],
        vec![dante.url("socks4")],
        vec![dante.url("socks4a")],
        vec![dante.url("socks5")],
        vec![microsocks.url_of_user("socks5h")],
        vec![tinyproxy.url("http")],
        vec![squid.url_of_user("http"), microsocks.url_of_user("socks5")],
        vec![dante.url("socks4"), microsocks.url_of_user("socks5h"), tinyproxy.url("http")],
        vec![microsocks.url_of_user("socks5"), squid.url_of_user("http"), dante.url("socks5h")],
    ] {
        let record = session(&via);
        assert_eq!(record.attempts().len(), 0, "{via:?} {record:?}");
    }
}

#[test]
fn who_signs_in_wrongly_is_not_let_through() {
    let (squid, microsocks) = (Server::squid(), Server::microsocks());
    for (via, told) in [
        (squid.url("http"), "the proxy answered 407"),
        (squid.url_of_user("http").replace("s%40", "x"), "the proxy answered 407"),
        (microsocks.url("socks5h"), "sign in in another way"),
        (
            microsocks.url_of_user("socks5h").replace("s%40", "x"),
            "does not accept user and password",
        ),
    ] {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\nto = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
             via = \"{via}\"\n"
        );
        let forwarder = file::start(&text, 1);
        Peer::expect_turned_away(None, forwarder.address());
        let record = forwarder.record();
        assert_eq!(record.attempts().len(), 1, "{via}");
        let why = record.field("attempts")[0]["why"].as_str().expect("a proxy has a reason");
        assert!(why.contains(told), "{via}: {why}");
    }
}
