//! 7 to 10: who may come.

use std::net::IpAddr;

use rig::{Peer, Serving};

use crate::start::{Rinetd, end, name, refused};

/// A rule to a backend that greets with `A`, and what stands above it and below.
#[track_caller]
fn start(global: &str, own: &str) -> (Rinetd, Serving) {
    let backend = name('A');
    let rule = format!("BIND {}", end(backend.address()));
    (Rinetd::start(&format!("logfile LOG\n{global}\n{rule}\n{own}\n")), backend)
}

/// What clients from 127.0.0.N get: `A`, or `-` if they are closed without a byte.
#[track_caller]
fn ask(rinetd: &Rinetd, from: &[u8]) -> String {
    let one = |last: &u8| {
        let client = Peer::connect_from(IpAddr::from([127, 0, 0, *last]), &rinetd.address);
        client.half_close();
        client.receive_to_fin().first().map_or('-', |byte| char::from(*byte))
    };
    from.iter().map(one).collect()
}

#[track_caller]
fn check(global: &str, own: &str, from: &[u8], expected: &str) {
    let (rinetd, _backend) = start(global, own);
    assert_eq!(ask(&rinetd, from), expected, "{global:?} {own:?}");
}

/// 7: in the words that were meant: 0.73 writes `denied` and `(null)`.
#[test]
fn rn07_words() {
    let (rinetd, backend) = start("allow 127.0.0.1\nallow 127.0.0.2", "deny 127.0.0.2");
    assert_eq!(ask(&rinetd, &[3]), "-");
    assert_eq!(rinetd.results(1), ["not-allowed"]);
    assert_eq!(ask(&rinetd, &[2]), "-");
    assert_eq!(rinetd.results(2), ["not-allowed", "denied"]);
    assert_eq!(backend.accepted(), 0);
    let lines = rinetd.log(2);
    let target = end(backend.address()).replace(' ', "\t");
    let fields = format!("\t127.0.0.3\t127.0.0.1\tPORT\t{target}\t0\t0\tnot-allowed");
    assert!(lines[0].ends_with(&fields), "{lines:?}");
    rinetd.program.stderr().expect("rinetd: 127.0.0.3 not-allowed");
    rinetd.program.stderr().expect("rinetd: 127.0.0.2 denied");
}

/// 8: in 0.73 the first of them was skipped.
#[test]
fn rn08_two_rules_of_a_rule() {
    check("", "allow 127.0.0.1\nallow 127.0.0.2", &[1, 2, 3], "AA-");
    check("", "deny 127.0.0.1\ndeny 127.0.0.2", &[1, 2, 3], "--A");
}

/// 9: a client must pass what is said for all and what is said for the rule; deny wins, whatever
/// comes first.
#[test]
fn rn09_precedence() {
    check("allow 127.0.0.1\ndeny 127.0.0.1", "", &[1, 2], "--");
    check("deny 127.0.0.1\nallow 127.0.0.*", "", &[1, 2], "-A");
    check("allow 127.0.0.1", "allow 127.0.0.2", &[1, 2, 3], "---");
    check("allow 127.0.0.1\nallow 127.0.0.2", "allow 127.0.0.2", &[1, 2, 3], "-A-");
    check("deny 127.0.0.1", "allow 127.0.0.1\nallow 127.0.0.2", &[1, 2, 3], "-A-");
    check("allow *", "deny 127.0.0.2", &[1, 2], "A-");
}

/// 9: what stands behind a rule is for that rule only.
#[test]
fn rn09_the_last_rule() {
    let (a, b) = (name('A'), name('B'));
    let (a_end, b_end) = (end(a.address()), end(b.address()));
    let text = format!("BIND {a_end}\ndeny 127.0.0.1\n127.0.0.1 0 {b_end}\ndeny 127.0.0.2\n");
    let rinetd = Rinetd::start(&text);
    assert_eq!(ask(&rinetd, &[1, 2]), "-A");
}

/// 10: the whole address is compared.
#[test]
fn rn10_patterns() {
    check("allow 127.*.2", "", &[1, 2, 22], "-A-");
    check("allow 127.0.0.?", "", &[1, 9, 10], "AA-");
    check("deny 127.0.0.", "", &[1, 2], "AA");
    check("allow 127.0.0.", "", &[1, 2], "--");
    check("allow fe80:*", "", &[1], "-");
    check("allow ::ffff:127.0.0.2", "", &[1, 2], "-A");
    check("allow ::FFFF:127.0.0.?", "", &[1, 10], "A-");
}

/// 10: names are no patterns. Where we differ: ranges are taken.
#[test]
fn rn10_names_and_ranges() {
    let told = refused("allow localhost\n");
    assert!(told.contains("rinetd error: invalid syntax at line 1: allow localhost\n"), "{told}");
    assert!(told.contains("rinetd.conf:1:7"), "{told}");
    check("allow 127.0.0.0/30", "", &[1, 3, 4], "AA-");
}
