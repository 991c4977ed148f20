//! Sessions that wait for a place at a backend, while all that are up are full.

use std::fs;
use std::process::Command;

use rig::{Closed, Forwarder, Peer, Record, Scratch};

use crate::named::{Named, ask, finish};
use crate::path::REPLUG;

#[test]
fn sessions_wait_and_are_served_in_the_order_in_which_they_came() {
    const WAITING: usize = 6;
    let a = Named::start('A');
    let forwarder = Pool::new(&[&one(&a)], "length = 10, wait = \"1m\"").start();
    let first = served(&forwarder);
    let mut waiting: Vec<_> = (0..WAITING).map(|ahead| join(&forwarder, ahead)).collect();
    assert!(!waiting.iter().any(Peer::is_readable));
    let mut last = first;
    while !waiting.is_empty() {
        end(&last);
        let next = waiting.remove(0);
        assert_eq!(next.receive(1), b"A");
        assert!(!waiting.iter().any(Peer::is_readable), "nobody overtakes");
        last = next;
    }
    end(&last);
    let records = forwarder.records(1 + WAITING);
    assert!(records.iter().all(|record| record.reason() == "done" && record.attempts().is_empty()));
}

#[test]
fn places_that_become_free_at_once_are_all_taken() {
    let [a, b] = ['A', 'B'].map(Named::start);
    let targets = [&a, &b].map(|named| format!("{} max=3", named.target()));
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let forwarder = Pool::new(&targets, "length = 10, wait = \"1m\"").start();
    let held: Vec<_> = (0..6).map(|_| served(&forwarder)).collect();
    let waiting: Vec<_> = (0..6).map(|ahead| join(&forwarder, ahead)).collect();
    drop(held);
    for client in &waiting {
        assert_eq!(client.receive(1).len(), 1, "all six are served at a time");
    }
    waiting.iter().for_each(Peer::half_close);
    waiting.iter().for_each(Peer::expect_fin);
    assert_eq!(
        forwarder.records(12).iter().filter(|record| record.reason() == "limited").count(),
        0
    );
}

#[test]
fn who_finds_the_queue_full_is_refused() {
    let a = Named::start('A');
    let forwarder = Pool::new(&[&one(&a)], "length = 2, wait = \"1m\"").start();
    let first = served(&forwarder);
    let waiting = [0, 1].map(|ahead| join(&forwarder, ahead));
    Peer::expect_turned_away(None, forwarder.address());
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("limited", "replug"));
    assert_eq!(record.field("pool").as_str(), Some("pool"));
    forwarder.messages().expect("2 sessions wait for a place in pool pool");
    end(&first);
    for client in waiting {
        assert_eq!(finish(&client), 'A');
    }
    // Whoever reads the records finds the queue empty and the place free.
    forwarder.records(4);
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn who_has_waited_long_enough_is_refused() {
    let a = Named::start('A');
    let forwarder = Pool::new(&[&one(&a)], "length = 5, wait = \"200ms\"").start();
    let first = served(&forwarder);
    let waiting = Peer::connect(forwarder.address());
    waiting.expect_reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("limited", "replug"));
    let waited = record.field("duration_ms").as_f64().expect("a number");
    assert!(waited >= 200.0, "{waited} ms");
    end(&first);
    forwarder.records(2);
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn a_client_that_goes_while_it_waits_makes_room() {
    let a = Named::start('A');
    let forwarder = Pool::new(&[&one(&a)], "length = 2, wait = \"1m\"").start();
    let first = served(&forwarder);
    let (gone, stays) = (join(&forwarder, 0), join(&forwarder, 1));
    gone.reset();
    assert_eq!(forwarder.record().reason(), "client_reset");
    let last = Peer::connect(forwarder.address());
    let waits = |line: &str| line.contains("behind 1 others");
    forwarder.messages().expect_count(2, waits);
    end(&first);
    assert_eq!(finish(&stays), 'A');
    assert_eq!(finish(&last), 'A');
}

#[test]
fn a_full_backend_is_waited_for_rather_than_one_that_is_down_tried() {
    let (a, down) = (Named::start('A'), Closed::bind());
    let down_target = format!("{} max=1", down.address());
    let forwarder = Pool {
        retry_down: "1h",
        ..Pool::new(&[&down_target, &one(&a)], "length = 2, wait = \"1m\"")
    }
    .start();
    let first = served(&forwarder);
    let waiting = join(&forwarder, 0);
    end(&first);
    assert_eq!(finish(&waiting), 'A');
    let attempts: Vec<_> = forwarder.records(2).iter().map(Record::attempts).collect();
    assert_eq!((attempts[0].len(), attempts[1].len()), (1, 0));
}

#[test]
fn a_backend_that_is_up_again_takes_those_who_wait() {
    let (a, down) = (Named::start('A'), Closed::bind());
    let down_target = format!("{} max=1", down.address());
    let queue = "length = 2, wait = \"1m\"";
    let forwarder =
        Pool { retry_down: "300ms", ..Pool::new(&[&down_target, &one(&a)], queue) }.start();
    let held = served(&forwarder);
    let waiting = join(&forwarder, 0);
    let _b = Named::open('B', down);
    assert_eq!(finish(&waiting), 'B');
    end(&held);
}

/// A pool with the policy `first`, and its one listener.
struct Pool<'a> {
    targets: &'a [&'a str],
    queue: &'a str,
    retry_down: &'a str,
}

impl<'a> Pool<'a> {
    fn new(targets: &'a [&'a str], queue: &'a str) -> Self {
        Self { targets, queue, retry_down: "10s" }
    }

    #[track_caller]
    fn start(&self) -> Forwarder {
        let scratch = Scratch::new();
        let path = scratch.join("replug.toml");
        let text = format!(
            "[listener.main]\nbind = \"127.0.0.1:0\"\npool = \"pool\"\n\
             [pool.pool]\nbackends = {:?}\nbalance = \"first\"\nretry_down = \"{}\"\n\
             queue = {{ {} }}\n[log]\nformat = \"json\"\nto = \"-\"\nverbosity = \"verbose\"\n\
             [runtime]\nshards = 2\n",
            self.targets, self.retry_down, self.queue,
        );
        fs::write(&path, text).expect("a scratch file can be written");
        Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
    }
}

/// A target for one session.
fn one(named: &Named) -> String {
    format!("{} max=1", named.target())
}

/// A client that has its backend.
#[track_caller]
fn served(forwarder: &Forwarder) -> Peer {
    let client = Peer::connect(forwarder.address());
    client.receive(1);
    client
}

/// A client that waits, behind `ahead` others.
#[track_caller]
fn join(forwarder: &Forwarder, ahead: usize) -> Peer {
    let client = Peer::connect(forwarder.address());
    forwarder.messages().expect(&format!("waits for a place in pool pool, behind {ahead} others"));
    client
}

#[track_caller]
fn end(client: &Peer) {
    client.half_close();
    client.expect_fin();
}
