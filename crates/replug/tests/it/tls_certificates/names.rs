//! Which certificate a client gets.

use std::process::Command;

use rig::Program;

use super::authority::{Authority, Valid};
use super::{Site, expect_alert, expect_served};
use crate::path::REPLUG;

#[test]
fn names_may_be_said_for_each_certificate() {
    let authority = Authority::new();
    for (name, names) in
        [("first", "DNS:first.example"), ("all", "DNS:a.example,DNS:*.b.example"), ("b", "DNS:b")]
    {
        authority.sign(name, &format!("cn of {name}"), names, Valid::Now);
    }
    let file = |name: &str, names: &str| {
        let [cert, key] = ["pem", "key"].map(|kind| authority.path(&format!("{name}.{kind}")));
        format!("{{ cert = \"{cert}\", key = \"{key}\"{names} }}")
    };
    let certificates = [
        file("first", ""),
        file("all", ", names = [\"one.b.example\"]"),
        file("b", ", names = [\"A.example\", \"*.b.example\"]"),
    ];
    let tls = format!("tls = {{ certificates = [{}] }}", certificates.join(", "));
    let site = Site::start(&authority, &[&tls]);
    for (name, expected) in [
        ("first.example", "first"),
        ("one.b.example", "all"),
        ("two.b.example", "b"),
        ("a.example", "b"),
        // It stands in one, and that is not for it.
        ("b", "first"),
    ] {
        let said = site.client(0, &["-servername", name]);
        expect_served(&said);
        assert!(said.contains(&format!("CN = cn of {expected}\n")), "{name}: {said}");
    }
    let mut check = Program::start(Command::new(REPLUG).args(["check", &site.path]));
    check.expect_exit(0);
    let told = check.stderr().all_once_closed().join("\n") + &check.stdout().so_far().join("\n");
    for name in ["a.example", "*.b.example"] {
        assert!(told.contains(&format!("b.pem is not for {name}")), "{told}");
    }
    assert_eq!(told.matches("W0343").count(), 2, "{told}");
    assert!(told.contains("replug.toml:4:"), "{told}");
}

#[test]
fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let authority = Authority::new();
    for (name, names) in [
        ("first", "DNS:first.example"),
        ("two", "DNS:www.two.example,DNS:two.example"),
        ("wild", "DNS:*.two.example"),
    ] {
        authority.sign(name, &format!("cn of {name}"), names, Valid::Now);
    }
    let file = |name: &str| {
        let [cert, key] = ["pem", "key"].map(|kind| authority.path(&format!("{name}.{kind}")));
        format!("cert = \"{cert}\", key = \"{key}\"")
    };
    let (first, two, wild) = (file("first"), file("two"), file("wild"));
    let certificates = format!("{first}, certificates = [{{ {two} }}, {{ {wild} }}]");
    let site = Site::start(
        &authority,
        &[
            &format!("tls = {{ {certificates} }}"),
            &format!("tls = {{ {certificates}, unknown_name = \"refuse\" }}"),
        ],
    );
    let ca = authority.path("ca.pem");
    let ask = |listener, name: &str| {
        let words = match name {
            "" => vec!["-noservername"],
            name => vec!["-servername", name],
        };
        site.client(listener, &[&words[..], &["-CAfile", &ca, "-verify_return_error"]].concat())
    };
    for (name, expected) in [
        ("first.example", "first"),
        ("www.two.example", "two"),
        ("WWW.Two.example", "two"),
        ("two.example", "two"),
        ("any.two.example", "wild"),
    ] {
        for listener in [0, 1] {
            let said = ask(listener, name);
            expect_served(&said);
            assert!(said.contains(&format!("CN = cn of {expected}\n")), "{name}: {said}");
        }
    }
    for name in ["a.b.two.example", "stranger.example", ""] {
        let said = ask(0, name);
        expect_served(&said);
        assert!(said.contains("CN = cn of first\n"), "{name}: {said}");
        expect_alert(&ask(1, name), "alert");
    }
}
