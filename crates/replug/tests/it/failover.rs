//! Targets that cannot be reached: the next one is tried within the same client's connection.

use rig::record::Attempt;
use rig::wait::until;
use rig::{BlackHole, Closed, Forwarder, Peer};

use crate::named::{Named, ask, ask_times, finish};
use crate::path::REPLUG;

#[test]
fn a_refused_client_gets_the_next_target() {
    let closed = Closed::bind();
    let b = Named::start('B');
    let target = closed.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &target, &b.target()]);
    assert_eq!(ask_times(3, &forwarder), "BBB");
    let records = forwarder.records(3);
    assert_eq!(records[0].attempts(), [attempt(&target, "refused")]);
    assert_eq!(records[0].backend(), Some(&*b.target()));
    assert_eq!(records[0].reason(), "done");
    // It is marked, so these two did not try it.
    assert_eq!(records[1].attempts(), []);
    assert_eq!(records[2].attempts(), []);
    let told = forwarder.messages().expect("is down");
    assert!(told.contains(&target), "{told}");
}

#[test]
fn a_target_that_was_down_is_tried_again() {
    let closed = Closed::bind();
    let b = Named::start('B');
    let target = closed.address().to_string();
    let forwarder =
        Forwarder::start(REPLUG, &["--retry", "300ms", "127.0.0.1:0", &target, &b.target()]);
    assert_eq!(ask_times(2, &forwarder), "BB");
    let _a = Named::open('A', closed);
    until("A to be tried again", || ask(&forwarder) == 'A');
    forwarder.messages().expect("is up again");
    let both = ask_times(4, &forwarder);
    assert!(both == "ABAB" || both == "BABA", "{both}");
}

#[test]
fn a_flapping_target_harms_no_client() {
    let mut closed = Closed::bind();
    let b = Named::start('B');
    let target = closed.address().to_string();
    let forwarder =
        Forwarder::start(REPLUG, &["--retry", "20ms", "127.0.0.1:0", &target, &b.target()]);
    for _ in 0..10 {
        let a = Named::open('A', closed);
        until("A to be tried again", || ask(&forwarder) == 'A');
        closed = a.close();
        assert_eq!(ask_times(5, &forwarder), "BBBBB");
    }
}

#[test]
fn all_targets_are_tried_when_all_are_down() {
    let [a, b, c] = [(); 3].map(|()| Closed::bind());
    let targets = [&a, &b, &c].map(|closed| closed.address().to_string());
    let [first, second, third] = &targets;
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", first, second, third]);
    for count in 1..=3 {
        Peer::expect_turned_away(None, forwarder.address());
        let record = forwarder.records(count).remove(count - 1);
        assert_eq!(record.reason(), "refused");
        assert_eq!(record.backend(), None);
        let mut tried = record.attempts();
        tried.sort_by_key(|attempt| targets.iter().position(|target| *target == attempt.backend));
        let expected: Vec<_> = targets.iter().map(|target| attempt(target, "refused")).collect();
        assert_eq!(tried, expected);
    }
    // Far less than the time after which one that is down is tried again.
    let _b = Named::open('B', b);
    assert_eq!(ask_times(3, &forwarder), "BBB");
}

#[test]
fn a_silent_target_is_given_up_in_time() {
    let hole = BlackHole::open();
    let b = Named::start('B');
    let target = hole.address().to_string();
    let forwarder = Forwarder::start(
        REPLUG,
        &["--connect-timeout", "300ms", "127.0.0.1:0", &target, &b.target()],
    );
    assert_eq!(ask_times(2, &forwarder), "BB");
    let records = forwarder.records(2);
    assert_eq!(records[0].attempts(), [attempt(&target, "connect_timeout")]);
    assert_eq!(records[1].attempts(), []);
}

#[test]
fn a_client_that_resets_is_not_connected_any_further() {
    let hole = BlackHole::open();
    let target = hole.address().to_string();
    let forwarder =
        Forwarder::start(REPLUG, &["-v", "--connect-timeout", "1h", "127.0.0.1:0", &target]);
    let client = Peer::connect(forwarder.address());
    until("the session to begin", || {
        forwarder.messages().so_far().iter().any(|line| line.contains("arrived"))
    });
    client.reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("client_reset", "client"));
    assert_eq!(record.attempts(), []);
}

#[test]
fn nothing_but_a_silent_target() {
    let hole = BlackHole::open();
    let target = hole.address().to_string();
    let forwarder =
        Forwarder::start(REPLUG, &["--connect-timeout", "300ms", "127.0.0.1:0", &target]);
    let client = Peer::connect(forwarder.address());
    client.send(b"anybody there?");
    client.expect_reset();
    let record = forwarder.record();
    assert_eq!(record.reason(), "connect_timeout");
    assert_eq!(record.attempts(), [attempt(&target, "connect_timeout")]);
    assert_eq!(record.bytes_to_backend(), 0);
}

/// What a client sends before its backend is found is not lost on the way to the next one.
#[test]
fn early_bytes_reach_the_target_that_answers() {
    let hole = BlackHole::open();
    let backend = rig::Backend::bind();
    let (silent, good) = (hole.address().to_string(), backend.address().to_string());
    let forwarder =
        Forwarder::start(REPLUG, &["--connect-timeout", "300ms", "127.0.0.1:0", &silent, &good]);
    let client = Peer::connect(forwarder.address());
    client.send_with_fin(b"early");
    let peer = backend.accept();
    assert_eq!(peer.receive_to_fin(), b"early");
    peer.send(b"answer");
    peer.half_close();
    assert_eq!(client.receive_to_fin(), b"answer");
}

#[test]
fn a_reset_of_a_client_or_of_a_session_marks_no_target() {
    let a = rig::Backend::bind();
    let b = Named::start('B');
    let target = a.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["--first", "127.0.0.1:0", &target, &b.target()]);
    for round in 0..20 {
        let client = Peer::connect(forwarder.address());
        let backend = a.accept();
        // A reset that overtakes the handshake is a refusal.
        backend.send(b"A");
        client.expect(b"A");
        match round % 2 {
            0 => {
                client.reset();
                backend.expect_reset();
            }
            _ => {
                backend.reset();
                client.expect_reset();
            }
        }
    }
    let client = Peer::connect(forwarder.address());
    let backend = a.accept();
    backend.send(b"A");
    backend.half_close();
    assert_eq!(finish(&client), 'A');
    let messages = forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains("down")), "{messages:#?}");
}

/// Clients that come while nobody answers do not wait behind each other.
#[test]
fn clients_wait_for_a_silent_target_side_by_side() {
    let hole = BlackHole::open();
    let target = hole.address().to_string();
    let forwarder = Forwarder::start(
        REPLUG,
        &["--shards", "1", "--connect-timeout", "1s", "127.0.0.1:0", &target],
    );
    let clients: Vec<_> = (0..50).map(|_| Peer::connect(forwarder.address())).collect();
    // One after the other they would take 50 s, beyond the patience of a wait for records.
    clients.iter().for_each(Peer::expect_reset);
    assert_eq!(forwarder.records(50).len(), 50);
}

fn attempt(backend: &str, failure: &str) -> Attempt {
    Attempt { backend: backend.to_owned(), failure: failure.to_owned() }
}
