//! 14, 21, 29 to 31: datagrams.

use rig::{UdpBackend, UdpPeer};
use rustix::process::Signal;

use crate::start::{announced, refused};

/// A rule to `backend`, with what else is said of it.
fn rule(backend: &UdpBackend, more: &str) -> String {
    let address = backend.address();
    format!("127.0.0.1 0/udp {} {}/udp {more}\n", address.ip(), address.port())
}

/// 29: edges are kept, also of what rinetd cut; nobody gets a datagram that was not sent to it.
#[test]
fn rn29_echo() {
    let backend = UdpBackend::echo();
    let (forwarder, _scratch) = announced(&rule(&backend, ""), 1);
    let to = forwarder.address().udp();
    let (client, other) = (UdpPeer::bind(), UdpPeer::bind());
    assert_eq!(other.ask(to, b"other"), b"other");
    for number in 0..50_u8 {
        client.send(to, &[number; 3]);
    }
    for number in 0..50_u8 {
        client.expect(to, &[number; 3]);
    }
    let large = vec![b'x'; 20_000];
    assert_eq!(client.ask(to, &large), large);
    assert!(!other.has_something(), "another client's answer woke it");
    assert_eq!(backend.datagrams(), 52, "an empty datagram was sent to the backend");
}

/// 29: in rinetd each datagram of IPv6 was a session of its own.
#[test]
fn rn29_ipv6() {
    let backend = UdpBackend::echo_at("[::1]:0");
    let text = rule(&backend, "").replace("127.0.0.1 0/udp", "::1 0/udp");
    let (forwarder, _scratch) = announced(&text, 1);
    let client = UdpPeer::bind_to("::1");
    for _ in 0..3 {
        assert_eq!(client.ask(forwarder.address().udp(), b"x"), b"x");
    }
    assert_eq!(backend.senders().len(), 1);
}

/// 14, 30: the same port while it goes on, another after its time, which is `timeout`. The source
/// is the one that is named.
#[test]
fn rn30_timeout_rn14_options() {
    let backend = UdpBackend::echo();
    let scratch = rig::Scratch::new();
    let log = scratch.join("log");
    let text = format!("logfile {log}\n{}", rule(&backend, "[ timeout=2 ,src=127.0.0.7]"));
    let (forwarder, _folder) = announced(&text, 1);
    let (client, to) = (UdpPeer::bind(), forwarder.address().udp());
    client.send(to, b"one");
    client.send(to, b"two");
    client.expect(to, b"one");
    client.expect(to, b"two");
    assert_eq!(backend.senders().len(), 1);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    rig::wait::until("the end of the flow", || read().contains("done-remote-closed"));
    let ended = read();
    assert!(ended.contains("\t6\t6\tdone-remote-closed"), "{ended}");
    assert!(ended.contains("\t0\t0\topened"), "{ended}");
    client.ask(to, b"three");
    let senders = backend.senders();
    assert_eq!(senders.len(), 2, "{senders:?}");
    assert!(senders.iter().all(|sender| sender.ip().to_string() == "127.0.0.7"), "{senders:?}");
}

/// 21: rinetd stood still.
#[test]
fn rn21_three_hups() {
    let backend = UdpBackend::echo();
    let (forwarder, _scratch) = announced(&rule(&backend, ""), 1);
    let (client, to) = (UdpPeer::bind(), forwarder.address().udp());
    for times in 1..=3 {
        assert_eq!(client.ask(to, b"x"), b"x");
        forwarder.signal(Signal::HUP);
        let reloaded = |line: &str| line.contains("reloaded: nothing has changed");
        forwarder.messages().expect_count(times, reloaded);
    }
    assert_eq!(client.ask(to, b"x"), b"x");
    assert_eq!(UdpPeer::bind().ask(to, b"y"), b"y");
}

/// 31: where we differ: what rinetd took and did badly (no edges, no end) is refused, with what to
/// do about it.
#[test]
fn rn31_from_one_to_the_other() {
    for line in ["127.0.0.1 53/udp 127.0.0.1 54", "127.0.0.1 53 127.0.0.1 54/udp"] {
        let told = refused(&format!("{line}\n"));
        assert!(told.contains(&format!("is not carried out: {line}\n")), "{told}");
        assert!(told.contains("behind both ports or behind neither"), "{told}");
    }
}

/// Who may come holds for datagrams as well.
#[test]
fn clients_that_may_not_come() {
    let backend = UdpBackend::echo();
    let (forwarder, _scratch) = announced(&format!("deny 127.*.3\n{}", rule(&backend, "")), 1);
    let to = forwarder.address().udp();
    let denied = UdpPeer::bind_to("127.0.0.3");
    denied.send(to, b"x");
    forwarder.messages().expect("rinetd: 127.0.0.3 denied");
    assert_eq!(UdpPeer::bind().ask(to, b"y"), b"y");
    assert!(!denied.has_something());
    assert_eq!(backend.datagrams(), 1);
}
