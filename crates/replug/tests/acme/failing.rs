//! What cannot be had is not asked for on and on.

use std::fs;

use rustix::process::Signal;

use crate::authority::{Asks, Authority};
use crate::{ANSWER, Site, client, expect_verified};

const AGREED: &str = ", agree_to_terms = true";

#[test]
fn a_proof_that_fails_is_told_and_tried_again_later() {
    let authority = Authority::start();
    // Nobody listens there.
    authority.all_names_are_at("127.0.0.9");
    let tls = authority.acme(&["a.example.test"], AGREED);
    let site = Site::start(&authority, &tls);
    let line = site.expect("a.example.test: no certificate from");
    assert!(line.contains("ailed to connect") && line.contains("(unauthorized)"), "{line}");
    assert!(line.contains("it has none; next try"), "{line}");
    assert_eq!(authority.new_orders(), 1);
    let said = client(authority.proof(), &["-servername", "a.example.test"]);
    assert!(said.contains("alert") && !said.contains(ANSWER), "{said}");
    assert_eq!(authority.kept(), ["_account.json", "a.example.test.failed"]);
    drop(site);
    // The next process knows about it.
    let site = Site::start(&authority, &tls);
    site.expect("has no certificate yet");
    authority.all_names_are_at("127.0.0.1");
    site.forwarder.signal(Signal::HUP);
    site.expect_certificate("a.example.test");
    assert_eq!(authority.new_orders(), 1, "not before it was told to");
    expect_verified(authority.proof(), "a.example.test", &authority.root());
    assert_eq!(authority.kept(), ["_account.json", "a.example.test.pem"]);
}

#[test]
fn an_authority_that_is_away_is_asked_once_for_all_names() {
    let mut authority = Authority::absent(Asks::Nobody);
    let tls = authority.acme(&["a.example.test", "b.example.test", "c.example.test"], AGREED);
    let site = Site::start(&authority, &tls);
    let line = site.expect("no certificate from");
    assert!(line.contains("a.example.test: ") && line.contains("refused"), "{line}");
    assert_eq!(authority.kept(), ["_account.failed"]);
    authority.come();
    site.forwarder.signal(Signal::HUP);
    site.expect_certificate("b.example.test");
    site.expect_certificate("c.example.test");
    let lines = site.forwarder.messages().so_far();
    let failures = lines.iter().filter(|line| line.contains("no certificate from")).count();
    assert_eq!(failures, 1, "{lines:#?}");
    assert_eq!(authority.new_orders(), 2, "the first one rests for a minute");
    assert!(!authority.kept().contains(&"_account.failed".to_owned()));
}

#[test]
fn somebody_else_is_not_believed() {
    let authority = Authority::start();
    let ours = authority.path("localhost.pem");
    let tls = authority.acme(&["a.example.test"], AGREED);
    // An authority that has signed nothing.
    let other = authority.path("other");
    fs::create_dir(&other).expect("a new folder");
    let mut command = std::process::Command::new(crate::REPLUG);
    rig::Program::run(command.args(["cert", "self-signed", "other.example", "--out", &other]));
    let site = Site::start(&authority, &tls.replace(&ours, &format!("{other}/other.example.pem")));
    let line = site.expect("a.example.test: no certificate from");
    assert!(line.contains("it is not who it should be"), "{line}");
}

#[test]
fn terms_that_nobody_agrees_to_are_named() {
    let authority = Authority::start();
    let site = Site::start(&authority, &authority.acme(&["a.example.test"], ""));
    let line = site.expect("a.example.test: no certificate from");
    assert!(line.contains("it has terms of service; read data:text/plain"), "{line}");
    assert!(line.contains("`agree_to_terms = true`"), "{line}");
    assert_eq!(authority.new_orders(), 0);
}
