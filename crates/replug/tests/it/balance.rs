//! Which backend a session gets while all of them work.

use rig::{Forwarder, Peer};

use crate::named::{Named, ask, ask_from, ask_times};
use crate::path::REPLUG;

#[test]
fn three_targets_take_turns_across_shards() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    let forwarder = Forwarder::start(
        REPLUG,
        &["--shards", "2", "127.0.0.1:0", &a.target(), &b.target(), &c.target()],
    );
    assert_eq!(ask_times(7, &forwarder), "ABCABCA");
}

#[test]
fn weights_share_the_sessions_evenly_spread() {
    let [a, b] = ['A', 'B'].map(Named::start);
    let heavy = format!("{} weight=2", a.target());
    let forwarder =
        Forwarder::start(REPLUG, &["--shards", "2", "127.0.0.1:0", &heavy, &b.target()]);
    let order = ask_times(12, &forwarder);
    for three in order.as_bytes().chunks(3) {
        let heavy = three.iter().filter(|letter| **letter == b'A').count();
        assert_eq!(heavy, 2, "{order}");
    }
    assert!(!order.contains("AAA"), "{order}");
}

#[test]
fn a_backup_serves_only_when_all_others_are_down() {
    let [a, b, backup] = ['A', 'B', 'Z'].map(Named::start);
    let spare = format!("{} backup", backup.target());
    let forwarder = Forwarder::start(
        REPLUG,
        &["--retry", "200ms", "127.0.0.1:0", &spare, &a.target(), &b.target()],
    );
    assert_eq!(ask_times(4, &forwarder), "ABAB");
    let a = a.close();
    assert_eq!(ask_times(4, &forwarder), "BBBB");
    let _b = b.close();
    assert_eq!(ask_times(4, &forwarder), "ZZZZ");
    let _a = Named::open('A', a);
    rig::wait::until("A to be tried again", || ask(&forwarder) == 'A');
    assert_eq!(ask_times(4, &forwarder), "AAAA");
}

#[test]
fn first_is_always_the_first() {
    let [a, b] = ['A', 'B'].map(Named::start);
    let forwarder = Forwarder::start(
        REPLUG,
        &["--first", "--retry", "200ms", "127.0.0.1:0", &a.target(), &b.target()],
    );
    assert_eq!(ask_times(5, &forwarder), "AAAAA");
    let a = a.close();
    assert_eq!(ask_times(5, &forwarder), "BBBBB");
    let _a = Named::open('A', a);
    rig::wait::until("A to be tried again", || ask(&forwarder) == 'A');
}

#[test]
fn least_sessions_fills_up_whoever_has_fewest() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    let forwarder = start("least-sessions", &[&a.target(), &b.target(), &c.target()]);
    let arrive = || {
        let client = Peer::connect(forwarder.address());
        let letter = char::from(client.receive(1)[0]);
        (letter, client)
    };
    let held: Vec<_> = (0..9).map(|_| arrive()).collect();
    for name in ['A', 'B', 'C'] {
        assert_eq!(held.iter().filter(|(letter, _)| *letter == name).count(), 3);
    }
    // Those of B end, and the next three go there.
    let (ended, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|(letter, _)| *letter == 'B');
    for (_, client) in &ended {
        client.half_close();
        client.expect_fin();
    }
    assert_eq!(forwarder.records(3).len(), 3);
    let next: Vec<_> = (0..3).map(|_| arrive()).collect();
    assert_eq!(next.iter().map(|(letter, _)| *letter).collect::<String>(), "BBB");
    rest.iter().chain(&next).for_each(|(_, client)| client.half_close());
}

#[test]
fn a_client_has_one_target_at_every_instance_that_hashes() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    for balance in ["source-hash", "maglev"] {
        let one = start(balance, &[&a.target(), &b.target(), &c.target()]);
        let other = start(balance, &[&c.target(), &a.target(), &b.target()]);
        let mut seen = std::collections::HashSet::new();
        for client in 1..=30 {
            let client = format!("127.0.0.{client}");
            let letter = ask_from(&client, &one);
            assert_eq!(ask_from(&client, &one), letter, "{balance}, {client}");
            assert_eq!(ask_from(&client, &other), letter, "{balance}, {client}");
            seen.insert(letter);
        }
        // Ports are chance, but all thirty clients on one of three targets are not.
        assert!(seen.len() > 1, "{balance}: {seen:?}");
    }
}

#[test]
fn a_full_target_is_passed_over_and_when_all_are_full_the_client_is_turned_away() {
    let [a, b] = ['A', 'B'].map(Named::start);
    let (few, one) = (format!("{} max=2", a.target()), format!("{} max=1", b.target()));
    let forwarder = start("first", &[&few, &one]);
    let held: Vec<_> = (0..3).map(|_| Peer::connect(forwarder.address())).collect();
    let letters: Vec<_> = held.iter().map(|client| client.receive(1)[0]).collect();
    assert_eq!(letters.iter().filter(|letter| **letter == b'A').count(), 2, "{letters:?}");
    Peer::expect_turned_away(None, forwarder.address());
    assert_eq!(forwarder.record().field("reason").as_str(), Some("limited"));
    held.iter().for_each(|client| client.half_close());
    held.iter().for_each(Peer::expect_fin);
    assert_eq!(forwarder.records(4).len(), 4);
    assert_eq!(ask(&forwarder), 'A');
}

#[track_caller]
fn start(balance: &str, targets: &[&str]) -> Forwarder {
    let arguments = ["--shards", "2", "--balance", balance, "127.0.0.1:0"];
    Forwarder::start(REPLUG, &[&arguments, targets].concat())
}
