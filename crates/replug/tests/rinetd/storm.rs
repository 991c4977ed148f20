//! Reloads by the hundred under load: no session may notice.

use std::collections::HashMap;
use std::net::SocketAddr;

use rig::figures;
use rig::wait::until;

use crate::load::{Draft, Load, storm};
use crate::start::Rinetd;

#[test]
fn a_storm_of_hups_under_load_harms_no_session() {
    let mut load = Load::new();
    let backends = load.backends;
    let rinetd = Rinetd::start(&file(0, backends));
    let address = rinetd.address.tcp();
    // Once something has come through, all that stays open is open.
    load.one(address);
    rinetd.log(2);
    let descriptors = figures::descriptors(rinetd.program.pid());

    load.begin(address);
    let broken = storm(&rinetd.program, |draft| match draft {
        Draft::Broken => rinetd.rewrite("BIND 10.0.0.1\n"),
        Draft::Turn(turn) => rinetd.rewrite(&file(turn, backends)),
    });
    rinetd.hang_up("rinetd: reloaded: ");
    let sessions = 1 + load.end();

    // Each has two lines, and none of another end.
    let mut results: HashMap<_, usize> = HashMap::new();
    for result in rinetd.results(2 * sessions) {
        *results.entry(result).or_default() += 1;
    }
    let expected = ["opened", "done-remote-closed"].map(|result| (result.to_owned(), sessions));
    assert_eq!(results, HashMap::from(expected));
    let told = rinetd.program.stderr().so_far();
    let refused = told.iter().filter(|line| line.contains("not reloaded")).count();
    assert!(refused >= broken, "{refused} of {broken} broken files were told");
    until("descriptors to be as before", || {
        figures::descriptors(rinetd.program.pid()) <= descriptors
    });
}

/// A configuration that differs from turn to turn in all that may change.
fn file(turn: u32, [first, second]: [SocketAddr; 2]) -> String {
    let target = if turn.is_multiple_of(3) { first } else { second };
    let allow = ["127.*", "127.0.0.?", "127.0.0.0/8"][(turn / 2 % 3) as usize];
    let mut text =
        format!("allow {allow}\nlogfile LOG\nBIND {} {}\nallow *\n", target.ip(), target.port());
    if turn % 4 == 1 {
        text += &format!("127.0.0.1 0 {} {}\ndeny *.1\n", first.ip(), first.port());
    }
    if turn % 5 == 1 {
        text += &format!("127.0.0.1 0/udp 127.0.0.1 9/udp [timeout={}]\n", 1 + turn % 7);
    }
    text
}
