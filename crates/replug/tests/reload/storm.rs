//! Reloads by the hundred under load: no session may notice.

use std::net::SocketAddr;

use crate::Rig;
use crate::load::{Draft, Load, storm};

#[test]
fn a_storm_of_reloads_under_load_harms_no_session() {
    let mut load = Load::new();
    let backends = load.backends;
    let rig = Rig::start(&file(0, backends), 1);
    let address = rig.forwarder.address().tcp();
    // Once something has come through, all that stays open is open.
    load.one(address);
    rig.forwarder.record();
    let descriptors = rig.forwarder.descriptors();

    load.begin(address);
    let broken = storm(rig.forwarder.program(), |draft| match draft {
        Draft::Broken => rig.write("[listener.web]\nbind = 8080\n"),
        Draft::Turn(turn) => rig.write(&file(turn, backends)),
    });
    assert!(rig.reload(&[]).status.success());
    let sessions = 1 + load.end();

    let records = rig.forwarder.records(sessions);
    let odd: Vec<_> = records.iter().filter(|record| record.reason() != "done").collect();
    assert!(
        odd.is_empty(),
        "{} sessions ended badly: {:?}",
        odd.len(),
        odd.first().map(|odd| odd.reason())
    );
    let tried_again = records.iter().filter(|record| !record.attempts().is_empty()).count();
    assert_eq!(tried_again, 0, "sessions did not reach a backend at once");
    let told = rig.forwarder.messages().so_far();
    let refused = told.iter().filter(|line| line.contains("not reloaded")).count();
    assert!(refused >= broken, "{refused} of {broken} broken files were told");
    rig.forwarder.expect_descriptors(descriptors);
}

/// A configuration that differs from turn to turn in all that may change.
fn file(turn: u32, [first, second]: [SocketAddr; 2]) -> String {
    let backends = match turn % 3 {
        0 => format!("\"{first}\", \"{second}\""),
        1 => format!("\"{second} weight=3\", \"{first}\""),
        _ => format!("\"{first}\""),
    };
    let balance = ["round-robin", "two-choices", "maglev"][(turn / 2 % 3) as usize];
    let mut text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n\
         timeouts = {{ idle = \"{}s\", connect = \"20s\" }}\n\
         [pool.web]\nbackends = [{backends}]\nbalance = \"{balance}\"\n",
        60 + turn % 7,
    );
    if turn % 4 == 1 {
        text += "[listener.extra]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n";
    }
    if turn % 5 == 1 {
        text += "[limits]\nsessions = 5000\n";
    }
    text
}
