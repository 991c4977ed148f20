//! 21, 22: through an HTTP proxy, and from a source address.

use rig::{Backend, Payload, Peer};

use crate::start::{Logged, Plug};

const REQUEST: &[u8] = b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n";

fn through(proxy: &Backend, options: &[&str], targets: &[&str]) -> Plug {
    let proxy = proxy.address().to_string();
    Plug::start(&[&["-h", &*proxy], options].concat(), targets)
}

/// 21: exactly these bytes, and no more before the answer; what stands behind it comes first.
#[test]
fn t21_what_is_said_to_a_proxy() {
    let proxy = Backend::bind();
    let plug = through(&proxy, &[], &["www.example.com:443"]);
    let client = Peer::connect(&plug.address);
    client.send(b"hello");
    let peer = proxy.accept();
    peer.expect(REQUEST);
    peer.send(b"HTTP/1.1 200 Connection established\r\nVia: a\r\n\r\nearly");
    client.expect(b"early");
    peer.expect(b"hello");
    peer.send(b"later");
    client.expect(b"later");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

/// 21: a target without a port has that of the listener.
#[test]
fn t21_the_port_of_a_target() {
    let proxy = Backend::bind();
    let plug = through(&proxy, &[], &["www.example.com"]);
    let _client = Peer::connect(&plug.address);
    let expected = format!("CONNECT www.example.com:{} HTTP/1.1\r\n\r\n", plug.address.port());
    proxy.accept().expect(expected.as_bytes());
}

/// 21: answers come as the network cuts them, and much may stand behind them.
#[test]
fn t21_answers_in_pieces() {
    const EARLY: usize = 3_000_000;
    let proxy = Backend::bind();
    let plug = through(&proxy, &[], &["www.example.com:443"]);
    let client = Peer::connect(&plug.address);
    let peer = proxy.accept();
    peer.expect(REQUEST);
    peer.dribble(b"HTTP/1.0 200\r\nA: b\r\n\r", std::time::Duration::from_millis(1));
    let sender = std::thread::spawn(move || {
        peer.send(b"\n");
        peer.send_payload(&mut Payload::new(21), EARLY);
        peer.half_close();
        peer
    });
    client.expect_payload(&mut Payload::new(21), EARLY);
    client.expect_fin();
    client.half_close();
    sender.join().expect("all was sent").expect_fin();
}

/// 21: the client of a refusal is closed, the words of the proxy are in the log, and no server is
/// marked: the next client has the same proxy asked for the next one.
#[test]
fn t21_refusals() {
    let proxy = Backend::bind();
    let options = ["--no-retry"];
    let plug = through(&proxy, &options, &["a.example:1", "b.example:2"]);
    for (expected, answer, told) in [
        ("a.example:1", "HTTP/1.1 403 Forbidden by policy\r\n\r\n", "Forbidden by policy"),
        ("b.example:2", "HTTP/1.1 204 No Content\r\n\r\n", "No Content"),
        ("a.example:1", "HTTP/1.1 502\r\n\r\n", "Malformed response from HTTPS proxy"),
        ("b.example:2", "SSH-2.0-x\r\n", "Malformed response from HTTPS proxy"),
        ("a.example:1", "HTTP/1.1 200 OK\r\n", "Connection closed"),
    ] {
        let client = Peer::connect(&plug.address);
        let peer = proxy.accept();
        peer.expect(format!("CONNECT {expected} HTTP/1.1\r\n\r\n").as_bytes());
        peer.send(answer.as_bytes());
        // Its end matters to the last one only; by then the others may have been reset.
        drop(peer);
        client.expect_fin();
        let port = plug.address.port();
        plug.program.stderr().expect(&format!("(127.0.0.1 {port}): {told}"));
    }
}

/// 21, where we differ unless told: a client that one server is refused to is passed on.
#[test]
fn t21_a_refused_client_is_passed_on() {
    let proxy = Backend::bind();
    let plug = through(&proxy, &[], &["a.example:1", "b.example:2"]);
    let client = Peer::connect(&plug.address);
    let peer = proxy.accept();
    peer.expect(b"CONNECT a.example:1 HTTP/1.1\r\n\r\n");
    peer.send(b"HTTP/1.1 503 Later\r\n\r\n");
    let peer = proxy.accept();
    peer.expect(b"CONNECT b.example:2 HTTP/1.1\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nB");
    client.expect(b"B");
}

/// 21: a proxy that is not there.
#[test]
fn t21_no_proxy() {
    let dead = rig::Closed::bind();
    let proxy = dead.address().to_string();
    let plug = Plug::start(&["-h", &proxy], &["a.example:1", "b.example:2"]);
    assert_eq!(plug.ask(), '-');
    plug.program.stderr().expect("proxy connect: Connection refused");
    assert_eq!(plug.program.stderr().so_far().len(), 1, "the second is behind it too");
}

/// 13 with `-h`: what is connected to is the proxy.
#[test]
fn t13_syslog_names_the_proxy() {
    let proxy = Backend::bind();
    let address = proxy.address().to_string();
    let logged = Logged::start(&["-l", "-h", &address], &["a.example:1"]);
    let _client = Peer::connect(&logged.plug.address);
    let _started = logged.next();
    let line = "<29>plug[PID]: (127.0.0.1 PORT): Connect from 127.0.0.1 to 127.0.0.1";
    assert_eq!(logged.next(), line);
}

/// 22: the backend, or the proxy, sees that address.
#[test]
fn t22_source_address() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let plug = Plug::start(&["-p", "127.0.0.7"], &[&target]);
    let _client = Peer::connect(&plug.address);
    let peer = backend.accept();
    assert_eq!(peer.remote_address().tcp().ip().to_string(), "127.0.0.7");

    let proxy = Backend::bind();
    let plug = through(&proxy, &["-p", "127.0.0.7"], &["a.example:1"]);
    let _client = Peer::connect(&plug.address);
    assert_eq!(proxy.accept().remote_address().tcp().ip().to_string(), "127.0.0.7");
}
