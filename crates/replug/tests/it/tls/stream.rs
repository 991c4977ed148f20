//! What a stream promises, within TLS: whole, ended as it was ended, held back by whoever is slow.

use std::thread;

use rig::{Backend, Peer};
use rustix::process::Signal;

use super::{Client, Site, pattern};

const MIB: usize = 1024 * 1024;

const VERSIONS: [&str; 2] = ["version=1.2", "version=1.3"];

#[track_caller]
fn begin(site: &Site, backend: &Backend, options: &[&str], steps: &[&str]) -> (Client, Peer) {
    let client = site.client(options, steps);
    (client, backend.accept())
}

#[test]
fn the_end_of_one_direction_leaves_the_other() {
    let backend = Backend::bind();
    for version in VERSIONS {
        let site = Site::start("", "", &backend);
        let (client, peer) = begin(&site, &backend, &[version], &["send=question", "end", "all"]);
        peer.expect(b"question");
        peer.expect_fin();
        peer.send(b"answer");
        peer.send(&[b'.'; 40_000]);
        peer.half_close();
        let said = client.said().concat();
        assert!(said.starts_with("answer....") && said.ends_with("..<end>"), "{}", said.len());
        let record = site.forwarder.record();
        assert_eq!((record.reason(), record.side()), ("done", "client"));

        let site = Site::start("", "", &backend);
        let (mut client, peer) =
            begin(&site, &backend, &[version], &["all", "wait", "send=more", "end"]);
        peer.send(b"goodbye");
        peer.half_close();
        client.program.stdout().expect("goodbye<end>");
        client.go_on();
        peer.expect(b"more");
        peer.expect_fin();
        client.said();
        let record = site.forwarder.record();
        assert_eq!((record.reason(), record.side()), ("done", "backend"));
    }
}

#[test]
fn a_notice_without_a_fin_is_an_end() {
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let (client, peer) = begin(&site, &backend, &[], &["send=x", "notify", "all"]);
    peer.expect(b"x");
    peer.expect_fin();
    peer.send(b"y");
    peer.half_close();
    assert_eq!(client.said(), ["y<end>"]);
}

#[test]
fn a_stream_that_is_cut_is_no_whole_one() {
    let backend = Backend::bind();
    for (steps, delivered, reason) in [
        (&["send=question", "read=2", "fin", "all"][..], &b"question"[..], "client_reset"),
        (&["send=question", "read=2", "half", "fin", "all"], b"question", "tls_error"),
        (&["read=2", "fin", "all"], b"", "client_reset"),
    ] {
        for version in VERSIONS {
            let site = Site::start("", "", &backend);
            let (client, peer) = begin(&site, &backend, &[version], steps);
            peer.expect(delivered);
            peer.send(b"ok");
            peer.expect_reset();
            assert_eq!(client.said(), ["ok", "<reset>"]);
            let record = site.forwarder.record();
            assert_eq!((record.reason(), record.side()), (reason, "client"));
            assert_eq!(record.bytes_to_backend(), delivered.len() as u64);
        }
    }
}

#[test]
fn who_leaves_behind_the_whole_answer_has_had_all() {
    let backend = Backend::bind();
    for (steps, reason, side) in [
        (&["send=question", "all", "fin"][..], "done", "backend"),
        (&["send=question", "all", "half", "fin"], "tls_error", "client"),
    ] {
        for version in VERSIONS {
            let site = Site::start("", "", &backend);
            let (client, peer) = begin(&site, &backend, &[version], steps);
            peer.expect(b"question");
            peer.send(b"answer");
            peer.half_close();
            // It cannot know that there was not to be more.
            peer.expect_reset();
            assert_eq!(client.said(), ["answer<end>"]);
            let record = site.forwarder.record();
            assert_eq!((record.reason(), record.side()), (reason, side), "{steps:?}");
        }
    }
}

#[test]
fn a_reset_is_a_reset_behind_the_bytes() {
    let backend = Backend::bind();
    for version in VERSIONS {
        let site = Site::start("", "", &backend);
        let (client, peer) = begin(&site, &backend, &[version], &["all"]);
        peer.send(b"half an ans");
        peer.reset();
        assert_eq!(client.said(), ["half an ans<reset>"]);
        let record = site.forwarder.record();
        assert_eq!((record.reason(), record.side()), ("backend_reset", "backend"));

        let site = Site::start("", "", &backend);
        let (client, peer) =
            begin(&site, &backend, &[version], &["send=half a ques", "read=2", "reset"]);
        peer.expect(b"half a ques");
        peer.send(b"ok");
        peer.expect_reset();
        client.said();
        let record = site.forwarder.record();
        assert_eq!((record.reason(), record.side()), ("client_reset", "client"));
    }
}

#[test]
fn bulk_arrives_as_it_was_sent() {
    const COUNT: usize = 64 * MIB;
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    for version in VERSIONS {
        let pour = format!("pour={COUNT}");
        let (client, peer) = begin(&site, &backend, &[version], &[&pour, "end", "sum"]);
        assert!(peer.receive_to_fin() == pattern(COUNT));
        peer.send(&pattern(COUNT));
        peer.half_close();
        assert_eq!(client.said(), [format!("{COUNT} True <end>")]);
    }
    for record in site.forwarder.records(2) {
        assert_eq!(record.reason(), "done");
        assert_eq!(record.bytes_to_backend(), COUNT as u64);
        assert_eq!(record.bytes_to_client(), COUNT as u64);
    }
}

#[test]
fn a_slow_reader_holds_back_its_backend() {
    // More than two kernels hold, with their largest buffers.
    const SENT: usize = 32 * MIB;
    let backend = Backend::bind();
    let site = Site::start("", "", &backend);
    let options = ["buffer=16384", "slow=20000"];
    let (mut client, peer) = begin(&site, &backend, &options, &["send=x", "wait", "sum"]);
    peer.expect(b"x");
    let before = rig::figures::memory(site.forwarder.pid());
    let sending = thread::spawn(move || {
        let sent = pattern(SENT);
        peer.send(&sent);
        peer.half_close();
        peer.expect_fin();
    });
    rig::wait::until("nothing moves any more", || {
        let before = site.forwarder.cpu_time();
        rig::wait::pause(std::time::Duration::from_millis(100));
        site.forwarder.cpu_time() == before
    });
    let held = rig::figures::memory(site.forwarder.pid()).saturating_sub(before);
    assert!(held < 8 * MIB as u64, "{held} bytes");
    client.go_on();
    assert_eq!(client.said(), [format!("{SENT} True <end>")]);
    drop(sending);
}

#[test]
fn orders_and_times_hold_for_tls_as_well() {
    let backend = Backend::bind();
    let site = Site::start("", "timeouts = { idle = \"300ms\" }", &backend);
    let (client, peer) = begin(&site, &backend, &[], &["send=x", "all"]);
    peer.expect(b"x");
    peer.expect_reset();
    assert_eq!(client.said(), ["<reset>"]);
    assert_eq!(site.forwarder.record().reason(), "idle");

    let site = Site::start("", "limits = { per_client = 1 }", &backend);
    let (client, peer) = begin(&site, &backend, &[], &["send=x", "all"]);
    peer.expect(b"x");
    Peer::expect_turned_away(None, site.forwarder.address());
    assert_eq!(site.forwarder.record().reason(), "limited");
    // Those in the middle of a handshake are told to go as well.
    let site_of_two = Site::start("", "", &backend);
    let handshaking = Peer::connect(site_of_two.forwarder.address());
    handshaking.send(&[0x16, 3, 1]);
    let (other, other_peer) = begin(&site_of_two, &backend, &[], &["send=x", "all"]);
    other_peer.expect(b"x");
    site_of_two.forwarder.signal(Signal::TERM);
    site_of_two.forwarder.messages().expect("no new clients");
    site_of_two.forwarder.signal(Signal::TERM);
    handshaking.expect_reset();
    other_peer.expect_reset();
    assert_eq!(other.said(), ["<reset>"]);
    drop((client, peer));
}
