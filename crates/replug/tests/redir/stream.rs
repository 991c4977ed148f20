//! Bytes, ends, timeouts, and where connections leave from.

use std::time::Duration;

use rig::wait::pause;
use rig::{Backend, Payload, Peer};

use crate::start::{Redir, count, words};

/// redir closes in good order what it cuts. Here a cut never looks like an end: it is a reset.
#[test]
fn r3_15_r2_07_silence_ends_a_session_and_traffic_does_not() {
    let backend = Backend::bind();
    let redir = Redir::start(&["-t", "1"], backend.address());
    let (client, peer) = redir.session(&backend);
    for _ in 0..6 {
        pause(Duration::from_millis(250));
        client.send(b"x");
        peer.expect(b"x");
    }
    client.expect_reset();
    peer.expect_reset();
}

#[test]
fn r3_24_where_connections_leave_from() {
    let backend = Backend::bind();
    let redir = Redir::start(&["-b", "127.0.0.5"], backend.address());
    let (_client, peer) = redir.session(&backend);
    assert_eq!(peer.remote_address().tcp().ip().to_string(), "127.0.0.5");
    // An address for documentation (RFC 5737), which no machine has.
    let redir = Redir::start(&["-b", "192.0.2.1"], backend.address());
    Peer::connect(&redir.address).expect_fin();
    let told = "Failed binding to outbound address: Cannot assign requested address";
    redir.program.stderr().expect(told);
}

/// Of redir only the address is the client's, and only where the kernel lets it; here the port is
/// kept as well, where that may be.
#[test]
fn transproxy_leaves_from_the_clients_address() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: it needs CAP_NET_ADMIN");
    let backend = Backend::bind();
    let redir = Redir::start(&["-p"], backend.address());
    let from = "127.0.0.7".parse().expect("an address");
    let client = Peer::connect_from(from, &redir.address);
    let peer = backend.accept();
    assert_eq!(peer.remote_address().tcp().ip(), from);
    drop(client);
}

/// In redir, whoever ends first ends both.
#[test]
fn r3_25_half_close() {
    let backend = count();
    let redir = Redir::start(&[], backend.address());
    let client = Peer::connect(&redir.address);
    client.send(&[b'x'; 1_234]);
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"GOT 1234");
}

#[test]
fn r3_26_all_bytes_arrive_before_the_end() {
    const BYTES: usize = 3_000_000;
    let backend = Backend::bind().serve(|peer| {
        peer.send_payload(&mut Payload::new(26), BYTES);
        peer.half_close();
        let _ = peer.wait_end();
    });
    let redir = Redir::start(&[], backend.address());
    let client = Peer::connect(&redir.address);
    // By then all of it has left the backend, and more than a buffer waits here.
    pause(Duration::from_millis(200));
    client.expect_payload(&mut Payload::new(26), BYTES);
    client.expect_fin();
    client.half_close();
}

/// Where redir ends as a whole.
#[test]
fn r3_30_a_name_that_has_no_address() {
    let mut redir = Redir::start_line(|port| {
        words(&["-n", &format!("127.0.0.1:{port}"), "nowhere.invalid:80"])
    });
    for _ in 0..2 {
        Peer::connect(&redir.address).expect_fin();
        redir.program.stderr().expect("Unknown host nowhere.invalid");
    }
    assert!(redir.program.exit_status().is_none());
}
