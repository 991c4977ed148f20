//! What connections to backends leave from, as the backend sees it.

use rig::{Address, Backend, Forwarder, Namespace, Peer, Scratch};

use crate::file;
use crate::path::{REPLUG, exchange};

/// The address that a session of `forwarder` leaves from, and both ends to keep it open.
#[track_caller]
fn open(forwarder: &Forwarder, backend: &Backend) -> (String, Peer, Peer) {
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    let seen = peer.remote_address().to_string();
    let (address, _) = seen.rsplit_once(':').expect("an address with a port");
    (address.to_owned(), client, peer)
}

#[track_caller]
fn seen(sessions: usize, forwarder: &Forwarder, backend: &Backend) -> Vec<String> {
    (0..sessions).map(|_| open(forwarder, backend).0).collect()
}

#[test]
fn sources_take_turns_across_shards() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let options = ["--shards", "2", "127.0.0.1:0/127.0.0.2,::1,127.0.0.3", &target];
    let forwarder = Forwarder::start(REPLUG, &options);
    let [two, three] = ["127.0.0.2", "127.0.0.3"];
    assert_eq!(seen(5, &forwarder, &backend), [two, three, two, three, two]);
}

#[test]
fn each_family_has_its_own_sources() {
    let target = Backend::bind_to(&Address::parse("[::1]:0"));
    let address = target.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0/127.0.0.2,::1", &address]);
    assert_eq!(seen(2, &forwarder, &target), ["[::1]", "[::1]"]);
}

#[test]
fn a_source_that_is_not_there_is_told_and_passed_over() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    // From the range for documentation (RFC 5737): no machine has it.
    let options = ["127.0.0.1:0/192.0.2.7,127.0.0.3", &target];
    let forwarder = Forwarder::start(REPLUG, &options);
    forwarder.messages().expect("192.0.2.7 is not an address of this machine");
    assert_eq!(seen(4, &forwarder, &backend), ["127.0.0.3"; 4]);
}

#[test]
fn when_one_source_has_no_port_left_the_next_one_serves() {
    let namespace = Namespace::new();
    // Two ports for each address, and each target.
    namespace.set("ipv4/ip_local_port_range", "40000 40001");
    namespace.inside(|| {
        let backend = Backend::bind_to(&Address::parse("127.0.0.1:5000"));
        // Clients need no ports of their own.
        let scratch = Scratch::new();
        let config = format!(
            "[listener.a]\nbind = \"unix:{}\"\nto = \"127.0.0.1:5000\"\n\
             source = [\"127.0.0.2\", \"127.0.0.3\"]\n",
            scratch.join("socket")
        );
        let forwarder = file::start(&config, 1);
        let open = || {
            let client = Peer::connect(forwarder.address());
            (client, backend.accept())
        };
        let mut all: Vec<_> = (0..4).map(|_| open()).collect();
        let mut seen: Vec<_> =
            all.iter().map(|(_, peer)| peer.remote_address().to_string()).collect();
        seen.sort();
        let expected = ["127.0.0.2:40000", "127.0.0.2:40001", "127.0.0.3:40000", "127.0.0.3:40001"];
        assert_eq!(seen, expected);
        // No port is left: that is ours to bear, and says nothing about the backend.
        Peer::connect(forwarder.address()).wait_end().expect("the session ends");
        let record = forwarder.record();
        assert_eq!((record.reason(), record.side()), ("internal", "replug"));
        // A reset frees a port at once, of whichever source; it serves whosever turn it is.
        for (at, records) in [(0, 2), (3, 3)] {
            let (_client, peer) = all.remove(at);
            peer.reset();
            forwarder.records(records);
            let (client, peer) = open();
            exchange(&client, &peer, 1_000);
            all.insert(at, (client, peer));
        }
    });
}
