//! Bandwidth and pauses.

use std::time::{Duration, Instant};

use rig::{Backend, Peer};

use crate::start::Redir;

const BYTES: usize = 8_192;

/// How long it takes until so many bytes have gone to a backend, and then back.
#[track_caller]
fn there_and_back(options: &[&str]) -> Duration {
    let backend = Backend::bind().serve(|peer| {
        let bytes = peer.receive(BYTES);
        peer.send(&bytes);
        let _ = peer.wait_end();
    });
    let redir = Redir::start(options, backend.address());
    let client = Peer::connect(&redir.address);
    let begun = Instant::now();
    client.send(&[b'x'; BYTES]);
    assert_eq!(client.receive(BYTES).len(), BYTES);
    begun.elapsed()
}

/// A second each way, less what passes at once. In redir one direction pauses the other; here each
/// has its rate for itself.
#[test]
fn r3_16_bandwidth() {
    let both = there_and_back(&["-m", "65536", "-z", "1024"]);
    assert!(both >= Duration::from_millis(1_200), "{both:?}");
    for options in [["--max-bandwidth=65536", "-o", "1"], ["--max_bandwidth=65536", "-o", "2"]] {
        let one = there_and_back(&options);
        assert!(one >= Duration::from_millis(600), "{one:?}");
        assert!(one < both, "{one:?} is not less than {both:?}");
    }
    let none = there_and_back(&["-m", "65536", "--wait_in_out=0"]);
    assert!(none < both / 2, "{none:?}");
}

/// Sixteen pauses of up to 100 ms.
#[test]
fn r3_17_pauses() {
    for spelling in ["--random-wait=50", "--random_wait=50"] {
        let time = there_and_back(&[spelling, "-z", "1024"]);
        assert!(time >= Duration::from_millis(200), "{time:?}");
    }
}
