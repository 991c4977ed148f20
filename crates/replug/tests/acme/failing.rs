//! What cannot be had is not asked for on and on.

use std::fs;
use std::process::Command;

use rig::Program;
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
    let mut command = Command::new(crate::REPLUG);
    Program::run(command.args(["cert", "self-signed", "other.example", "--out", &other]));
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

/// An authority that does something else than it should, in place of `authority`.
fn scripted(authority: &Authority, manner: &str) -> (Program, String) {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acme/scripted.py"));
    let files = ["localhost.pem", "localhost.key"].map(|name| authority.path(name));
    let program = Program::start(command.args(files).arg(manner));
    let line = program.stdout().expect("port ");
    let port = line.strip_prefix("port ").expect("a port").to_owned();
    (program, port)
}

#[test]
fn what_an_authority_answers_is_told_as_one_line() {
    for (manner, expected) in [
        ("limited", "too many  [2Jorders (rateLimited); it has none"),
        ("garbage", "its answer is not to be understood"),
        ("endless", "the answer is larger than 1 MiB"),
        ("other-proof", "it has no proof by TLS (tls-alpn-01) for this name"),
    ] {
        let authority = Authority::absent(Asks::Nobody);
        let (_program, port) = scripted(&authority, manner);
        let tls = authority.acme_at(&port, &["a.example.test"], "");
        let site = Site::start(&authority, &tls);
        let line = site.expect("a.example.test: no certificate from");
        assert!(line.contains(expected), "{manner}: {line}");
        assert!(!line.contains('\u{1b}') && !line.contains("\\u001b"), "{line}");
    }
}

#[test]
fn an_authority_that_says_nothing_does_not_hold_up_the_end() {
    let authority = Authority::absent(Asks::Nobody);
    let (program, port) = scripted(&authority, "silent");
    let tls = authority.acme_at(&port, &["a.example.test"], "");
    let mut site = Site::start(&authority, &tls);
    program.stdout().expect("asked");
    site.forwarder.signal(Signal::TERM);
    site.forwarder.program_mut().expect_exit(0);
}

#[test]
fn a_certificate_that_is_old_at_once_is_not_ordered_again_and_again() {
    let mut authority = Authority::absent(Asks::Nobody);
    authority.gives_seconds(1);
    authority.come();
    let site = Site::start(&authority, &authority.acme(&["a.example.test"], AGREED));
    let line = site.expect("a.example.test: no certificate from");
    assert!(line.contains("is old already: is the clock right?"), "{line}");
    assert!(authority.kept().contains(&"a.example.test.failed".to_owned()));
    assert_eq!(authority.new_orders(), 1);
}
