//! What proxies of all kinds are told, and what their answers do, byte by byte.

use std::time::Duration;

use rig::{Backend, Forwarder, Peer};
use rustix::process::Signal;

use crate::file;

/// A listener that reaches `to` through `via`.
#[track_caller]
fn through(via: &[&str], to: &str) -> Forwarder {
    let text = format!("[listener.web]\nbind = \"127.0.0.1:0\"\nto = {to}\nvia = {via:?}\n");
    file::start(&text, 1)
}

/// A listener that reaches `to` through the proxy of this scheme at `proxy`, as `user`.
#[track_caller]
fn by(scheme: &str, user: &str, proxy: &Backend, to: &str) -> Forwarder {
    through(&[&format!("{scheme}://{user}{}", proxy.address())], to)
}

/// The session ends in good order, once each side has had a word.
#[track_caller]
fn talk(client: &Peer, peer: &Peer) {
    client.expect(b"early");
    client.send(b"hello");
    peer.expect(b"hello");
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

#[test]
fn socks_5_by_name_with_a_password() {
    let proxy = Backend::bind();
    let forwarder = by("socks5h", "us%65r:s%40cret@", &proxy, "\"nowhere.example:443\"");
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"\x05\x02\x00\x02");
    peer.dribble(b"\x05\x02", Duration::from_millis(1));
    peer.expect(b"\x01\x04user\x06s@cret");
    peer.dribble(b"\x01\x00", Duration::from_millis(1));
    peer.expect(b"\x05\x01\x00\x03\x0fnowhere.example\x01\xbb");
    peer.dribble(b"\x05\x00\x00\x03\x01a\x00\x01early", Duration::from_millis(1));
    talk(&client, &peer);
    let record = forwarder.record();
    assert_eq!(record.backend(), Some("nowhere.example:443"));
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (5, 5));
}

#[test]
fn socks_5_that_wants_no_password_and_is_told_addresses() {
    let proxy = Backend::bind();
    let forwarder = by("socks5", "", &proxy, "[\"localhost:443\", \"[2001:db8::1]:80\"]");
    for target in [
        &b"\x01\x7f\x00\x00\x01\x01\xbb"[..],
        b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50",
    ] {
        let client = Peer::connect(forwarder.address());
        let peer = proxy.accept();
        peer.expect(b"\x05\x01\x00");
        peer.send(b"\x05\x00");
        peer.expect(&[&b"\x05\x01\x00"[..], target].concat());
        peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00early");
        talk(&client, &peer);
    }
}

#[test]
fn socks_4_and_4a() {
    for (scheme, user, to, request) in [
        ("socks4", "fred@", "\"localhost:80\"", &b"\x04\x01\x00\x50\x7f\x00\x00\x01fred\0"[..]),
        ("socks4", "", "\"10.1.2.3:258\"", b"\x04\x01\x01\x02\x0a\x01\x02\x03\0"),
        ("socks4a", "fred@", "\"a.example:80\"", b"\x04\x01\x00\x50\0\0\0\x01fred\0a.example\0"),
        ("socks4a", "", "\"10.1.2.3:80\"", b"\x04\x01\x00\x50\x0a\x01\x02\x03\0"),
    ] {
        let proxy = Backend::bind();
        let forwarder = by(scheme, user, &proxy, to);
        let client = Peer::connect(forwarder.address());
        let peer = proxy.accept();
        peer.expect(request);
        peer.dribble(b"\x00\x5a\x00\x00\x00\x00\x00\x00early", Duration::from_millis(1));
        talk(&client, &peer);
    }
}

#[test]
fn connect_with_a_password() {
    let proxy = Backend::bind();
    let forwarder = by("http", "Aladdin:open%20sesame@", &proxy, "\"a.example:1\"");
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(
        b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\
          Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
    );
    peer.send(b"HTTP/1.1 201 Made\r\n\r\nearly");
    talk(&client, &peer);
}

#[test]
fn nothing_of_the_client_goes_to_a_proxy_before_the_way_is_open() {
    let proxy = Backend::bind();
    let forwarder = by("socks5h", "", &proxy, "\"a.example:1\"");
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    let peer = proxy.accept();
    peer.expect(b"\x05\x01\x00");
    peer.send(b"\x05\x00");
    peer.expect(b"\x05\x01\x00\x03\x09a.example\x00\x01");
    assert!(!peer.is_readable());
    peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00");
    peer.expect(b"hello");
    client.reset();
    peer.expect_reset();
}

/// A session that a SOCKS 5 proxy answers so; its record, and whether the backend counts as down.
#[track_caller]
fn answered(answers: &[&[u8]], to: &str) -> (rig::Record, bool) {
    let proxy = Backend::bind();
    let mut forwarder = by("socks5h", "user:secret@", &proxy, to);
    let client = Peer::connect(forwarder.address());
    for answer in answers {
        let peer = proxy.accept();
        peer.expect(b"\x05\x02\x00\x02");
        match answer {
            [5, 0, ..] => {
                peer.send(b"\x05\x00");
                peer.expect(b"\x05\x01\x00\x03\x09a.example\x00");
                peer.receive(1);
                peer.send(&answer[2..]);
            }
            [5, 2, ..] => {
                peer.send(b"\x05\x02");
                peer.expect(b"\x01\x04user\x06secret");
                peer.send(&answer[2..]);
            }
            answer => peer.send(answer),
        }
        let _ = peer.wait_end();
    }
    client.expect_reset();
    let record = forwarder.record();
    // Messages go another way than records: when it has ended, all of them have come.
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
    let messages = forwarder.messages();
    messages.expect("so does replug");
    let is_down = messages.so_far().iter().any(|line| line.contains(" is down"));
    assert_eq!(record.attempts().len(), answers.len());
    (record, is_down)
}

#[test]
fn replies_of_socks_5_are_told_apart() {
    for (code, reason, is_down) in [
        (1, "refused", false),
        (2, "refused", false),
        (3, "unreachable", true),
        (4, "unreachable", true),
        (5, "refused", true),
        (6, "connect_timeout", true),
        (7, "refused", false),
        (8, "refused", false),
        (99, "refused", false),
    ] {
        let (record, down) = answered(&[&[5, 0, 5, code]], "\"a.example:1\"");
        assert_eq!((record.reason(), down), (reason, is_down), "{code}");
        assert_eq!(record.attempts()[0].failure, "proxy_refused");
    }
}

#[test]
fn a_refused_backend_is_not_the_last_and_a_refused_client_is() {
    let two = "[\"a.example:1\", \"a.example:2\"]";
    answered(&[&[5, 0, 5, 5], &[5, 0, 5, 2]], two);
    // The password is the same for both, and so are the ways to sign in.
    answered(&[&[5, 2, 1, 1]], two);
    answered(&[&[5, 255]], two);
    // Whatever that was, the next connection may fare better.
    answered(&[b"SSH-2.0", b"\x04\x00"], two);
}

#[test]
fn a_chain_is_passed_link_by_link() {
    let proxy = Backend::bind();
    let first = format!("http://{}", proxy.address());
    let via = [&*first, "socks5h://user:secret@second.example", "socks4a://[2001:db8::3]:9"];
    // The second is told of the third by address, whatever kind that is.
    let forwarder = through(&via, "\"a.example:1\"");
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"CONNECT second.example:1080 HTTP/1.1\r\nHost: second.example:1080\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    peer.expect(b"\x05\x02\x00\x02");
    peer.send(b"\x05\x00");
    peer.expect(b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x03\x00\x09");
    peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00");
    peer.expect(b"\x04\x01\x00\x01\0\0\0\x01\0a.example\0");
    peer.send(b"\x00\x5a\x00\x00\x00\x00\x00\x00early");
    talk(&client, &peer);
    // A link that is missing is missing for every backend.
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"CONNECT second");
    peer.send(b"HTTP/1.1 503 No\r\n\r\n");
    client.expect_reset();
    let record = &forwarder.records(2)[1];
    assert_eq!((record.attempts().len(), record.reason()), (1, "refused"));
    let messages = forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains(" is down")), "{messages:#?}");
}

#[test]
fn a_password_may_stand_in_a_file_and_is_shown_nowhere() {
    let proxy = Backend::bind();
    let scratch = rig::Scratch::new();
    std::fs::write(scratch.join("gate.secret"), "s e:c@ret\n").expect("a new file");
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = [\"a.example:1\", \"b.example:1\"]\n\
         via = [\"socks5h://user:file:gate.secret@{0}\", \"socks5h://user:given@{0}\"]\n",
        proxy.address()
    );
    let mut command = file::command(&scratch, &text);
    let mut dump = std::process::Command::new(crate::path::REPLUG);
    let dump = rig::Program::run(dump.args(["check", "--dump", &scratch.join("replug.toml")]));
    let via = dump.iter().find(|line| line.starts_with("via")).expect("it is in effect");
    assert!(via.contains("user:file:gate.secret@") && via.contains("user:***@"), "{via}");
    let forwarder = Forwarder::start_command(&mut command, 1);
    let client = Peer::connect(forwarder.address());
    let peer = proxy.accept();
    peer.expect(b"\x05\x02\x00\x02");
    peer.send(b"\x05\x02");
    peer.expect(b"\x01\x04user\x09s e:c@ret");
    peer.send(b"\x01\x01");
    client.expect_reset();
    let record = forwarder.record();
    let shown = format!("{record:?} {:?} {dump:?}", forwarder.messages().so_far());
    assert!(!shown.contains("s e:c@ret") && !shown.contains("given"), "{shown}");
}
