//! Who may come, and how many at a time.

use std::time::Duration;

use rig::wait::pause;
use rig::{Backend, Forwarder, Peer, Scratch};

use crate::named::{Named, ask, ask_from, turned_away};
use crate::path::REPLUG;

#[test]
fn only_allowed_clients_come_in() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(
        REPLUG,
        &["--allow", "127.0.0.1/32", "--allow", "127.0.1.0/24", "127.0.0.1:0", &a.target()],
    );
    assert_eq!(ask_from("127.0.0.1", &forwarder), 'A');
    assert_eq!(ask_from("127.0.1.9", &forwarder), 'A');
    turned_away("127.0.0.2", &forwarder);
    let record = forwarder.records(3).remove(2);
    assert_eq!(record.reason(), "denied");
    assert_eq!(record.side(), "replug");
    assert!(record.client().starts_with("127.0.0.2:"), "{record:?}");
    assert_eq!(record.backend(), None);
    assert_eq!(a.sessions(), 2);
}

#[test]
fn denied_clients_do_not_come_in_even_when_allowed() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(
        REPLUG,
        &["--allow", "127.0.0.0/8", "--deny", "127.0.0.2/32", "127.0.0.1:0", &a.target()],
    );
    turned_away("127.0.0.2", &forwarder);
    assert_eq!(ask(&forwarder), 'A');
    assert_eq!(forwarder.records(2)[0].reason(), "denied");
    assert_eq!(a.sessions(), 1);
}

/// A replug that runs `text` and logs records to its standard output.
#[track_caller]
fn run(text: &str) -> (Forwarder, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let text = format!("{text}\n[log]\nformat = \"json\"\nto = \"-\"\n");
    std::fs::write(&file, text).expect("a file in a new folder");
    let mut command = std::process::Command::new(REPLUG);
    (Forwarder::start_command(command.args(["run", "-c", &file]), 1), scratch)
}

#[test]
fn what_is_said_for_all_listeners_holds_as_well() {
    let a = Named::start('A');
    let scratch = Scratch::new();
    let list = scratch.join("more.txt");
    std::fs::write(&list, "127.0.0.2\n127.0.0.?3 # a pattern\n").expect("a new file");
    let (forwarder, _scratch) = run(&format!(
        "[access]\nallow = [\"127.0.0.1\", \"file:{list}\"]\ndeny = [\"127.*.23\"]\n\
         [listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\nallow = [\"127.0.0.?\"]\n",
        a.target()
    ));
    assert_eq!(ask_from("127.0.0.1", &forwarder), 'A');
    assert_eq!(ask_from("127.0.0.2", &forwarder), 'A');
    for client in ["127.0.0.3", "127.0.0.13", "127.0.0.23"] {
        turned_away(client, &forwarder);
    }
    let records = forwarder.records(5);
    assert!(records[2..].iter().all(|record| record.reason() == "denied"), "{records:?}");
    assert_eq!(a.sessions(), 2);
}

#[test]
fn a_client_beyond_the_ceiling_waits_its_turn() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder =
        Forwarder::start(REPLUG, &["--max", "2", "--shards", "2", "127.0.0.1:0", &target]);
    let open = || {
        let client = Peer::connect(forwarder.address());
        (client, backend.accept())
    };
    let (first, first_backend) = open();
    let (second, second_backend) = open();
    let third = Peer::connect(forwarder.address());
    third.send(b"me too");
    pause(Duration::from_millis(500));
    assert!(!backend.somebody_waits(), "a third session was begun");
    assert!(!third.is_readable(), "the third client was told something");
    second.send(b"works");
    second_backend.expect(b"works");
    first.close();
    first_backend.expect_fin();
    first_backend.close();
    let third_backend = backend.accept();
    third_backend.expect(b"me too");
    third_backend.send(b"welcome");
    third.expect(b"welcome");
}
