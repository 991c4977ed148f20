//! Flows: the first datagram of each begins with a header of version 2.

use rig::{Forwarder, UdpBackend, UdpPeer};

use super::{DATAGRAM, UNIQUE_ID, v2_of};
use crate::file;

fn start(keys: &str) -> Forwarder {
    file::start(&format!("[listener.a]\nbind = \"udp://127.0.0.1:0\"\n{keys}\n"), 1)
}

#[test]
fn a_flow_is_of_the_client_that_its_header_tells_of() {
    let backend = UdpBackend::echo();
    let keys = format!(
        "to = \"{}\"\nproxy_protocol = {{ from = \"127.0.0.1\" }}\n\
         timeouts = {{ idle = \"300ms\" }}\ndeny = \"203.0.113.0/24\"",
        backend.target()
    );
    let forwarder = start(&keys);
    let (client, to) = (UdpPeer::bind(), forwarder.address().udp());
    let header = v2_of("192.0.2.7:5", "10.0.0.1:6", DATAGRAM, &[(UNIQUE_ID, b"u-1")]);
    client.send(to, &[&header[..], b"one"].concat());
    client.expect(to, b"one");
    client.send(to, b"two");
    client.expect(to, b"two");
    let record = forwarder.record();
    assert_eq!((record.reason(), record.client()), ("done", "192.0.2.7:5"));
    assert_eq!(record.field("sender"), &client.address().to_string()[..]);
    assert_eq!(record.field("unique_id"), "u-1");
    assert_eq!((record.bytes_to_backend(), record.datagrams()), (6, [2, 2, 0]));

    // Without one there is no flow, and access goes by it.
    for (said, reason) in [
        (b"hello".to_vec(), "proxy_header"),
        (v2_of("203.0.113.1:5", "10.0.0.1:6", DATAGRAM, &[]), "denied"),
    ] {
        let before = forwarder.program().stdout().so_far().len();
        UdpPeer::bind().send(to, &said);
        let record = forwarder.records(before + 1).pop().expect("one more");
        assert_eq!(record.reason(), reason);
    }
    assert_eq!(backend.datagrams(), 2);
}

#[test]
fn a_backend_is_told_in_the_first_datagram_of_each_flow() {
    let backend = UdpPeer::bind();
    let keys = format!(
        "to = \"{}\"\nsend_proxy = \"v2\"\ntimeouts = {{ idle = \"300ms\" }}",
        backend.address()
    );
    let forwarder = start(&keys);
    let to = forwarder.address().udp();
    for _ in 0..2 {
        let client = UdpPeer::bind();
        client.send(to, b"one");
        let header = v2_of(&client.address().to_string(), &to.to_string(), DATAGRAM, &[]);
        let (first, from) = backend.receive();
        assert_eq!(first, [&header[..], b"one"].concat());
        client.send(to, b"two");
        backend.expect(from, b"two");
        backend.send(from, b"answer");
        client.expect(to, b"answer");
    }
    for record in forwarder.records(2) {
        assert_eq!((record.bytes_to_backend(), record.datagrams()), (6, [2, 1, 0]));
    }
}

#[test]
fn flows_pass_two_replugs() {
    let backend = UdpBackend::echo();
    let taking = format!(
        "to = \"{}\"\nproxy_protocol = {{ from = \"127.0.0.1\" }}\n\
         timeouts = {{ idle = \"300ms\" }}",
        backend.target()
    );
    let inner = start(&taking);
    let send = "send_proxy = { version = \"v2\", tlvs = [\"crc32c\", \"unique_id\"] }";
    let inner_at = inner.address().udp();
    let outer = start(&format!("to = \"{inner_at}\"\n{send}\ntimeouts = {{ idle = \"300ms\" }}"));
    let (client, to) = (UdpPeer::bind(), outer.address().udp());
    for said in [&b"one"[..], b"", b"three"] {
        client.send(to, said);
        client.expect(to, said);
    }
    let (inside, outside) = (inner.record(), outer.record());
    assert_eq!(inside.client(), client.address().to_string());
    assert_eq!(inside.datagrams(), [3, 3, 0]);
    assert_eq!(inside.field("unique_id"), outside.field("unique_id"));
}
