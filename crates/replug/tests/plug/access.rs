//! 12: who may come.

use crate::start::{Logged, Plug, name};

/// Which of 127.0.0.1 to .8 get an answer under `rules`.
#[track_caller]
fn let_in(rules: &[&str]) -> String {
    let a = name('A');
    let options: Vec<_> = rules.iter().flat_map(|rule| ["-a", rule]).collect();
    let plug = Plug::start(&options, &[&a.address().to_string()]);
    // A refused client is closed and not reset, as by plug.
    plug.ask_from(&[1, 2, 3, 4, 5, 6, 7, 8])
}

#[test]
fn t12_rules() {
    assert_eq!(let_in(&[]), "AAAAAAAA");
    assert_eq!(let_in(&["127.0.0.2"]), "-A------");
    assert_eq!(let_in(&["127.0.0.0/30"]), "AAA-----");
    assert_eq!(let_in(&["127.0.0.4/30"]), "---AAAA-");
    assert_eq!(let_in(&["127.0.0.1", "127.0.0.8/32"]), "A------A");
    assert_eq!(let_in(&["10.0.0.0/8"]), "--------");
    assert_eq!(let_in(&["127.0/16"]), "AAAAAAAA");
}

/// Where we differ: `/0` is everybody and host bits are masked; in plug the one is nobody and the
/// other matches nothing, which no rule that somebody wrote was meant to say.
#[test]
fn t12_rules_mean_what_they_say() {
    assert_eq!(let_in(&["0.0.0.0/0"]), "AAAAAAAA");
    assert_eq!(let_in(&["127.0.0.5/30"]), "---AAAA-");
}

#[test]
fn t12_a_refusal_is_always_told() {
    let a = name('A');
    let logged = Logged::start(&["-a", "127.0.0.2"], &[&a.address().to_string()]);
    assert_eq!(logged.plug.ask_from(&[3, 2]), "-A");
    let line = "<29>plug[PID]: (127.0.0.1 PORT): Connect from 127.0.0.3 Refused.";
    assert_eq!(logged.next(), line);
}
