//! 6 to 8, 10: whose turn it is, who is down, who comes back.

use rig::wait::until;
use rig::{Address, Closed, Serving};

use crate::start::{Relay, name, name_at, remote, remotes};

fn weighted(backends: &[(&Serving, &str)]) -> String {
    let all: Vec<(&Address, &str)> =
        backends.iter().map(|(backend, more)| (backend.address(), *more)).collect();
    remotes(&all)
}

/// 6: the fewest connections for its weight, the first where these are equal.
#[test]
fn t06_held_connections_go_by_weight() {
    let (a, b, c) = (name('A'), name('B'), name('C'));
    let all = weighted(&[(&a, "weight = 1"), (&b, "weight = 2"), (&c, "weight = 3")]);
    assert_eq!(Relay::start("", &all).hold_times(12), "ABCCBCABCCBC");
    let two = weighted(&[(&a, "weight = 1"), (&b, "weight = 3")]);
    assert_eq!(Relay::start("", &two).hold_times(8), "ABBBABBB");
    let equal = weighted(&[(&a, ""), (&b, ""), (&c, "")]);
    assert_eq!(Relay::start("", &equal).hold_times(7), "ABCABCA");
}

/// 6: connections that end before the next begins all go to the first.
#[test]
fn t06_connections_one_after_the_other_go_to_the_first() {
    let (a, b) = (name('A'), name('B'));
    let relay = Relay::start("", &weighted(&[(&a, ""), (&b, "")]));
    for _ in 0..6 {
        // That its session is over at the backend is not yet that it is over here.
        until("the first to be free", || relay.ask() == 'A');
    }
    assert!(a.accepted() >= 6);
}

/// 7.
#[test]
fn t07_a_client_of_a_dead_remote_is_passed_on() {
    let (dead, a) = (Closed::bind(), name('A'));
    let relay = Relay::start("", &remotes(&[(dead.address(), ""), (a.address(), "")]));
    assert_eq!(relay.hold_times(3), "AAA");
}

/// 7: without a byte, and without a reset.
#[test]
fn t07_all_dead() {
    let dead = [(); 2].map(|()| Closed::bind());
    let relay = Relay::start("", &remotes(&[(dead[0].address(), ""), (dead[1].address(), "")]));
    assert_eq!(relay.ask(), '-');
    assert_eq!(relay.ask(), '-');
}

/// 8: where we differ: with `rebalance` what was dead is tried again after 2 s, not after so many
/// connections.
#[test]
fn t08_a_dead_remote_comes_back() {
    let (dead, b) = (Closed::bind(), name('B'));
    let all = remotes(&[(dead.address(), ""), (b.address(), "")]);
    let relay = Relay::start("", &format!("{all} rebalance = 3"));
    assert_eq!(relay.ask(), 'B');
    let _a = name_at('A', dead.open());
    until("the first to be tried again", || relay.ask() == 'A');
}

/// 8: where we differ: without `rebalance` it never came back.
#[test]
fn t08_a_lone_remote_comes_back_at_once() {
    let dead = Closed::bind();
    let relay = Relay::start("", &remote(dead.address()));
    assert_eq!(relay.ask(), '-');
    let _a = name_at('A', dead.open());
    assert_eq!(relay.ask(), 'A');
}

/// 10: where we differ: there is no worker that could retire, so nothing is told.
#[test]
fn t10_retiring_disturbs_nobody() {
    let a = name('A');
    let spawn = "spawn = { instances min = 1 instances max = 1 }";
    let relay = Relay::start(spawn, &format!("{} retire limit = 3", remote(a.address())));
    for _ in 0..8 {
        assert_eq!(relay.ask(), 'A');
    }
}
