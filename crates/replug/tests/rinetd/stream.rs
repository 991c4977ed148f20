//! 27, 28, 32: bytes and ends.

use rig::{Backend, Payload, Peer};

use crate::start::{Rinetd, end, name};

/// 27: rinetd closed both sides with the first, and the answer was lost.
#[test]
fn rn27_half_close() {
    let backend = Backend::bind().serve(|peer| {
        let bytes = peer.receive_to_fin().len();
        peer.send(format!("GOT {bytes}").as_bytes());
    });
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(backend.address())));
    let client = Peer::connect(&rinetd.address);
    client.send(&[b'x'; 1_000]);
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"GOT 1000");
    assert!(rinetd.log(2)[1].ends_with("\t1000\t8\tdone-remote-closed"));
}

/// 28.
#[test]
fn rn28_three_megabytes_and_the_end() {
    const LENGTH: usize = 3_000_000;
    let backend = Backend::bind().serve(|peer| peer.send_payload(&mut Payload::new(1), LENGTH));
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(backend.address())));
    let client = Peer::connect(&rinetd.address);
    client.expect_payload(&mut Payload::new(1), LENGTH);
    client.expect_fin();
    client.half_close();
    assert!(rinetd.log(2)[1].ends_with("\t0\t3000000\tdone-local-closed"));
}

/// 32.
#[test]
fn rn32_two_thousand_connections() {
    const COUNT: usize = 2_000;
    let a = name('A');
    let rinetd = Rinetd::start(&format!("BIND {}\n", end(a.address())));
    let clients: Vec<_> = (0..COUNT).map(|_| Peer::connect(&rinetd.address)).collect();
    for client in &clients {
        client.expect(b"A");
    }
    for client in &clients {
        client.half_close();
        client.expect_fin();
    }
    assert_eq!(a.accepted(), COUNT);
}
