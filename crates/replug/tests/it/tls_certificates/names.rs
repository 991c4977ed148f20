//! Which certificate a client gets.

use super::authority::{Authority, Valid};
use super::{Site, expect_alert, expect_served};

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
