//! Sessions that clients resume, and those that they cannot.

use rustix::process::Signal;

use super::authority::{Authority, Valid};
use super::{Site, expect_served};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[test]
fn sessions_are_resumed_over_a_reload_and_at_no_other_listener() {
    let authority = Authority::new();
    authority.sign("site", "site", "DNS:site.example", Valid::Now);
    authority.sign("me", "me", "DNS:me.example", Valid::Now);
    let [cert, key, ca] = ["site.pem", "site.key", "ca.pem"].map(|name| authority.path(name));
    let own = format!("cert = \"{cert}\", key = \"{key}\"");
    let plain = format!("tls = {{ {own} }}");
    let asking =
        |need| format!("tls = {{ {own}, client_ca = \"{ca}\", client_auth = \"{need}\" }}");
    let (optional, required) = (asking("optional"), asking("required"));
    let without = format!("tls = {{ {own}, tickets = false }}");
    let site = Site::start(&authority, &[&plain, &plain, &optional, &required, &without]);
    let [mine, my_key] = ["me.pem", "me.key"].map(|name| authority.path(name));
    let visit = |listener, version, words: &[&str]| {
        let mut all = vec![version, "-cert", &mine, "-key", &my_key];
        all.extend_from_slice(words);
        let said = site.client(listener, &all);
        expect_served(&said);
        said.contains("Reused, ")
    };
    let session = |listener: usize, version: &str| authority.path(&format!("{listener}{version}"));
    for version in VERSIONS {
        for listener in 0..4 {
            assert!(!visit(listener, version, &["-sess_out", &session(listener, version)]));
        }
        assert!(!visit(4, version, &["-sess_out", &session(4, version)]));
        for from in 0..4 {
            for to in 0..5 {
                let is_resumed = visit(to, version, &["-sess_in", &session(from, version)]);
                assert_eq!(is_resumed, from == to, "{version}: from {from} at {to}");
            }
        }
    }
    // Another order of words, and listener 2 asks differently.
    let tuned = format!("{plain}\ntimeouts = {{ idle = \"50m\" }}");
    site.rewrite(&[&tuned, &plain, &required, &required, &without]);
    site.forwarder.signal(Signal::HUP);
    site.forwarder.messages().expect("listener.l2.tls.client_auth");
    for version in VERSIONS {
        for (listener, expected) in [(0, true), (1, true), (2, false), (3, true)] {
            let is_resumed = visit(listener, version, &["-sess_in", &session(listener, version)]);
            assert_eq!(is_resumed, expected, "{version}: {listener} after the reload");
        }
    }
}
