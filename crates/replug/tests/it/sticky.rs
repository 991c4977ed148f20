//! Clients that come back to the backend they had.

use std::time::Duration;

use rig::Forwarder;
use rig::wait::pause;

use crate::named::{Named, ask_from};
use crate::path::REPLUG;

#[test]
fn a_client_keeps_its_target() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    let forwarder = start("--sticky", &[&a, &b, &c]);
    let first = ask_from("127.0.0.1", &forwarder);
    let second = ask_from("127.0.0.2", &forwarder);
    assert_ne!(first, second, "a new client takes the next turn");
    for _ in 0..5 {
        assert_eq!(ask_from("127.0.0.1", &forwarder), first);
        assert_eq!(ask_from("127.0.0.2", &forwarder), second);
    }
}

#[test]
fn a_client_whose_target_fails_moves_and_stays_there() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    let forwarder = start("--sticky", &[&a, &b, &c]);
    assert_eq!(ask_from("127.0.0.1", &forwarder), 'A');
    let _a = a.close();
    let moved = ask_from("127.0.0.1", &forwarder);
    assert_ne!(moved, 'A');
    for _ in 0..5 {
        assert_eq!(ask_from("127.0.0.1", &forwarder), moved);
    }
}

#[test]
fn a_client_is_forgotten_after_the_time_that_was_given() {
    let [a, b, c] = ['A', 'B', 'C'].map(Named::start);
    let forwarder = start("--sticky=1s", &[&a, &b, &c]);
    let first = ask_from("127.0.0.1", &forwarder);
    pause(Duration::from_millis(1_500));
    assert_ne!(ask_from("127.0.0.1", &forwarder), first);
}

#[track_caller]
fn start(sticky: &str, backends: &[&Named; 3]) -> Forwarder {
    let [a, b, c] = backends.map(Named::target);
    Forwarder::start(REPLUG, &["--shards", "2", sticky, "127.0.0.1:0", &a, &b, &c])
}
