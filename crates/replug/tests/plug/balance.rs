//! 5 to 11: whose turn it is, who is down, who comes back.

use std::time::Duration;

use rig::wait::{pause, until};
use rig::{Closed, Serving};

use crate::start::{Plug, name, name_at};

fn targets(backends: &[&Serving]) -> Vec<String> {
    backends.iter().map(|backend| backend.address().to_string()).collect()
}

/// A plug in front of a port that refuses, and of backends A, B ...
#[track_caller]
fn behind_dead(options: &[&str], backends: &[&Serving]) -> (Plug, Closed) {
    let dead = Closed::bind();
    let mut all = vec![dead.address().to_string()];
    all.extend(targets(backends));
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    (Plug::start(options, &all), dead)
}

#[track_caller]
fn in_front_of(options: &[&str], backends: &[&Serving]) -> Plug {
    let all = targets(backends);
    Plug::start(options, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

/// 5.
#[test]
fn t05_in_turn_or_always_the_first() {
    let (a, b, c) = (name('A'), name('B'), name('C'));
    assert_eq!(in_front_of(&[], &[&a, &b, &c]).ask_times(7), "ABCABCA");
    assert_eq!(in_front_of(&["-o"], &[&a, &b, &c]).ask_times(4), "AAAA");
}

/// 6: exactly plug's order with `--no-retry`.
#[test]
fn t06_a_dead_server_is_left_alone() {
    let (a, b) = (name('A'), name('B'));
    let (plug, _dead) = behind_dead(&["--no-retry"], &[&a, &b]);
    assert_eq!(plug.ask_times(8), "-ABABABA");
}

/// 6, where we differ unless told: the client that finds the dead server is passed on.
#[test]
fn t06_no_client_is_lost_to_a_dead_server() {
    let (a, b) = (name('A'), name('B'));
    let (plug, _dead) = behind_dead(&[], &[&a, &b]);
    assert_eq!(plug.ask_times(8), "ABABABAB");
}

/// 6: with `-r` it is tried again when that time is over.
#[test]
fn t06_a_dead_server_is_tried_again_in_time() {
    let (a, b) = (name('A'), name('B'));
    let (plug, _dead) = behind_dead(&["--no-retry", "-r", "1"], &[&a, &b]);
    assert_eq!(plug.ask_times(5), "-ABAB");
    until("the dead one to be tried again", || plug.ask() == '-');
    let next = plug.ask_times(4);
    assert!(next == "ABAB" || next == "BABA", "{next}");
}

/// 7.
#[test]
fn t07_the_first_that_lives() {
    let (a, b) = (name('A'), name('B'));
    let (plug, _dead) = behind_dead(&["-o", "--no-retry"], &[&a, &b]);
    assert_eq!(plug.ask_times(5), "-AAAA");
    let (plug, _dead) = behind_dead(&["-o"], &[&a, &b]);
    assert_eq!(plug.ask_times(5), "AAAAA");
}

/// 7: with `-o` and `-r` the first takes the traffic back when it is there again.
#[test]
fn t07_the_first_takes_the_traffic_back() {
    let a = name('A');
    let (plug, dead) = behind_dead(&["-o", "-r", "1"], &[&a]);
    assert_eq!(plug.ask_times(3), "AAA");
    let _first = name_at('F', dead.open());
    until("the first to be tried again", || plug.ask() == 'F');
    assert_eq!(plug.ask_times(3), "FFF");
}

/// 8: the order in which dead servers are tried is plug's, with and without being passed on.
#[test]
fn t08_all_dead() {
    for (options, clients) in [(&["-dd", "--no-retry"][..], 9), (&["-dd"][..], 3)] {
        let dead = [(); 3].map(|()| Closed::bind());
        let targets = dead.each_ref().map(|dead| dead.address().to_string());
        let plug = Plug::start(options, &targets.each_ref().map(String::as_str));
        assert_eq!(plug.ask_times(clients), "-".repeat(clients));
        let is_attempt = |line: &str| line.contains(" forwarding ");
        let lines = plug.program.stderr().expect_count(9, is_attempt);
        let number = |line: &String| {
            let at = targets.iter().position(|target| line.ends_with(&format!("to {target}.")));
            (at.expect("one of the targets") + 1).to_string()
        };
        assert_eq!(lines.iter().map(number).collect::<String>(), "123132132", "{options:?}");
    }
}

/// 8: a lone server that comes back is served again at once, and so are all when one was forgiven.
#[test]
fn t08_a_lone_server_that_comes_back() {
    let (plug, dead) = behind_dead(&[], &[]);
    assert_eq!(plug.ask_times(3), "---");
    let _back = name_at('A', dead.open());
    assert_eq!(plug.ask_times(3), "AAA");
}

/// 9: clients keep their server, and a client that returns takes no turn.
#[test]
fn t09_clients_keep_their_server() {
    let (a, b, c) = (name('A'), name('B'), name('C'));
    let plug = in_front_of(&["-f"], &[&a, &b, &c]);
    assert_eq!(plug.ask_from(&[2, 2, 3, 3, 4, 2, 3, 5]), "AABBCABA");
}

/// 10.
#[test]
fn t10_clients_are_forgotten_in_time() {
    let (a, b) = (name('A'), name('B'));
    let plug = in_front_of(&["-f", "-t", "1"], &[&a, &b]);
    assert_eq!(plug.ask_from(&[2, 2]), "AA");
    pause(Duration::from_millis(1_200));
    assert_eq!(plug.ask_from(&[2]), "B");
}

/// 11.
#[test]
fn t11_a_client_of_a_dead_server_gets_another_and_keeps_it() {
    let (a, b) = (name('A'), name('B'));
    let (plug, _dead) = behind_dead(&["-f", "--no-retry"], &[&a, &b]);
    assert_eq!(plug.ask_from(&[2, 2, 2, 2, 3, 3, 3]), "-AAABBB");
    let (plug, _dead) = behind_dead(&["-f"], &[&a, &b]);
    assert_eq!(plug.ask_from(&[2, 2, 2, 2, 3, 3, 3]), "AAAABBB");
}
