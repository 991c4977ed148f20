//! Programs that decide who may come. The manual says that tcprelay may use MAVIS modules for that;
//! the program takes them for a fault. Where we differ: we do what the manual says.

use rig::Peer;

use crate::start::{Relay, name, remote, run_text};

/// A program in the manner of those written for MAVIS.
const PERL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authorize/check.pl");

#[test]
fn an_external_program_decides() {
    let a = name('A');
    for module in ["external", "external-mt"] {
        let text = format!(
            "mavis module = {module} {{\n    exec = /usr/bin/perl \"perl\" {PERL:?}\n    \
             childs min = 1 childs max = 2\n    home = /\n    setenv LANG = C\n  }}\n  {}",
            remote(a.address())
        );
        let relay = Relay::start_with(&[], "realm = lab", "", &text);
        for _ in 0..3 {
            assert_eq!(relay.ask(), 'A', "{module}");
            let denied = Peer::connect_from([127, 0, 0, 2].into(), &relay.address);
            denied.expect_fin();
        }
    }
}

#[test]
fn one_that_cannot_be_started_admits_nobody() {
    let a = name('A');
    let module = "mavis module = external { exec = /no/such/program \"program\" }\n  ";
    let relay = Relay::start("", &(module.to_owned() + &remote(a.address())));
    relay.program.stderr().expect("/no/such/program cannot be started: No such file");
    assert_eq!(relay.ask(), '-');
    assert_eq!(a.accepted(), 0);
}

#[test]
fn it_is_carried_over() {
    let (code, stdout, stderr) = run_text(
        &["--explain"],
        "id = spawnd { listen = { port = 28080 realm = lab } }\n\
         id = tcprelay { remote = { address = 10.0.0.1 port = 80 }\n\
         mavis module = external { exec = /usr/bin/check \"check\" \"-x\" userid = nobody } }\n",
    );
    assert_eq!(code, 0, "{stderr}");
    for line in [
        "authorize.exec = [\"/usr/bin/check\", \"-x\"]",
        "authorize.arg0 = \"check\"",
        "authorize.realm = \"lab\"",
        "authorize.user = \"nobody\"",
    ] {
        assert!(stdout.contains(&format!("\n{line}\n")), "{line} in {stdout}");
    }
}
