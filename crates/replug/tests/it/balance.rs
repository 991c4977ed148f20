//! Which backend a session gets while all of them work.

use rig::Forwarder;

use crate::named::{Named, ask, ask_times};
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
