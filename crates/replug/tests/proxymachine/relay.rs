//! 57 to 63: streams and their ends.

use std::time::Duration;

use rig::{Backend, Payload};

use crate::start::{Proxymachine, to};

/// 57, 58: each side may end its own stream, and still gets what the other says. ProxyMachine ends both
/// then, so that such clients never get their answer; `--compat` does not bring that back.
#[test]
fn pm57_half_closed_streams() {
    let one = Backend::bind();
    for words in [&[][..], &["--compat", "1.2.4"]] {
        let tool = Proxymachine::start_with(&to(&one), words);
        let client = tool.connect();
        client.send_with_fin(b"request");
        let peer = one.accept();
        assert_eq!(peer.receive_to_fin(), b"request");
        peer.send(b"answer");
        client.expect(b"answer");
        peer.half_close();
        client.expect_fin();
        // 58: the other way round.
        let client = tool.connect();
        client.send(b"request");
        let peer = one.accept();
        peer.half_close();
        client.expect_fin();
        client.send(b"more");
        peer.expect(b"requestmore");
        client.half_close();
        peer.expect_fin();
    }
}

/// 59: a long answer and then the end: all of it.
#[test]
fn pm59_a_long_answer() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&to(&one));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            peer.send_payload(&mut Payload::new(3), 3_000_000);
            peer.half_close();
        });
        client.expect_payload(&mut Payload::new(3), 3_000_000);
        client.expect_fin();
    });
}

/// 60: a backend that resets has its client reset, after what it said. In ProxyMachine that looks like
/// an answer that is complete.
#[test]
fn pm60_a_backend_that_resets() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&to(&one));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    peer.send(b"part");
    client.expect(b"part");
    peer.reset();
    client.expect_reset();
}

/// 61: a slow reader holds the sender up, and nothing is lost.
#[test]
fn pm61_a_slow_reader() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&to(&one));
    let before = rig::figures::memory(tool.program.pid());
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    let length = 30_000_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            peer.send_payload(&mut Payload::new(4), length);
            peer.half_close();
        });
        let pieces = Duration::from_micros(200);
        let (bytes, _) = client.receive_to_end(&mut Payload::new(4), 128 * 1024, pieces);
        assert_eq!(bytes, length as u64);
    });
    let more = rig::figures::memory(tool.program.pid()).saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes");
}

/// 62, 63: much in both directions, and small pieces at once.
#[test]
fn pm62_much_in_both_directions() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&to(&one));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    for round in 0..100_u8 {
        client.send(&[round]);
        peer.expect(&[round]);
        peer.send(&[round]);
        client.expect(&[round]);
    }
    let length = 50_000_000;
    std::thread::scope(|scope| {
        scope.spawn(|| client.send_payload(&mut Payload::new(5), length));
        scope.spawn(|| peer.send_payload(&mut Payload::new(6), length));
        scope.spawn(|| client.expect_payload(&mut Payload::new(6), length));
        peer.expect_payload(&mut Payload::new(5), length);
    });
}
