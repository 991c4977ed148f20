//! How many clients may come, at a time and in a while: who waits, who is refused, and who is
//! not touched by either.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rig::wait::pause;
use rig::{Forwarder, Peer, Record, Scratch};

use crate::named::{Named, ask, ask_from, finish, turned_away};
use crate::path::REPLUG;

/// How long the process is watched while it can do nothing.
const WATCH: Duration = Duration::from_secs(1);

/// What the configuration is called.
const FILE: &str = "replug.toml";

/// What it may use meanwhile.
const CPU_MAX: Duration = Duration::from_millis(50);

#[test]
fn a_client_with_as_many_sessions_as_it_may_have_is_refused() {
    let a = Named::start('A');
    let forwarder = start(&["--max-per-client", "2"], &a);
    let held = [(); 2].map(|()| Peer::connect(forwarder.address()));
    assert!(held.iter().all(|client| client.receive(1) == b"A"));
    turned_away("127.0.0.1", &forwarder);
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("limited", "replug"));
    assert!(record.field("pool").is_null(), "refused before that: {record:?}");
    assert_eq!(ask_from("127.0.0.2", &forwarder), 'A');
    // Whoever reads the record finds the place free.
    held[0].half_close();
    held[0].expect_fin();
    forwarder.records(3);
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn clients_that_come_all_at_once_are_counted_exactly() {
    const CLIENTS: usize = 60;
    const MAX: usize = 7;
    let a = Named::start('A');
    let forwarder = start(&["--max-per-client", "7"], &a);
    for round in 1..=3 {
        let come = || {
            // Refused so soon that connecting shows it already, or a moment later.
            let client = Peer::try_connect(forwarder.address()).ok()?;
            client.try_receive_byte().map(|_| client)
        };
        let served: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(come)).collect();
            clients.into_iter().filter_map(|client| client.join().expect("no panic")).collect()
        });
        assert_eq!(served.len(), MAX, "round {round}");
        served.iter().for_each(Peer::half_close);
        served.iter().for_each(Peer::expect_fin);
        let records = forwarder.records(round * CLIENTS);
        let limited = records.iter().filter(|record| record.reason() == "limited");
        assert_eq!(limited.count(), round * (CLIENTS - MAX));
    }
}

#[test]
fn a_client_that_comes_too_often_is_refused() {
    let a = Named::start('A');
    let forwarder = start(&["--rate-per-client", "5/h"], &a);
    for _ in 0..5 {
        assert_eq!(ask(&forwarder), 'A');
    }
    turned_away("127.0.0.1", &forwarder);
    assert_eq!(ask_from("127.0.0.2", &forwarder), 'A');
    let records = forwarder.records(7);
    let reasons: Vec<_> = records.iter().map(Record::reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "limited").count(), 1, "{reasons:?}");
}

#[test]
fn the_limits_of_the_process_are_over_all_listeners() {
    let a = Named::start('A');
    let (forwarder, _file) = run(&a, "", "", "per_client = 1");
    let [one, other] = forwarder.addresses() else { panic!("two listeners") };
    let held = Peer::connect(one);
    assert_eq!(held.receive(1), b"A");
    Peer::expect_turned_away(None, other);
    assert_eq!(forwarder.record().reason(), "limited");
    held.half_close();
    held.expect_fin();
    forwarder.records(2);
    assert_eq!(finish(&Peer::connect(other)), 'A');
}

#[test]
fn clients_wait_for_a_place_at_their_listener_and_no_other_is_harmed() {
    let a = Named::start('A');
    let (forwarder, _file) = run(&a, "limits = { sessions = 1 }", "", "");
    let [limited, other] = forwarder.addresses() else { panic!("two listeners") };
    let first = Peer::connect(limited);
    assert_eq!(first.receive(1), b"A");
    let waiting = [(); 3].map(|()| Peer::connect(limited));
    forwarder.messages().expect("all 1 sessions of one are in use; its new clients wait");
    assert_eq!(finish(&Peer::connect(other)), 'A');
    rests(&forwarder);
    assert!(!waiting.iter().any(Peer::is_readable), "they wait");

    first.half_close();
    first.expect_fin();
    let mut waiting = Vec::from(waiting);
    while !waiting.is_empty() {
        let next = || waiting.iter().position(Peer::is_readable);
        rig::wait::until("the next one's turn", || next().is_some());
        let next = waiting.swap_remove(next().expect("it was there a moment ago"));
        pause(Duration::from_millis(20));
        assert!(!waiting.iter().any(Peer::is_readable), "one at a time");
        assert_eq!(finish(&next), 'A');
    }
    assert!(forwarder.records(5).iter().all(|record| record.reason() == "done"));
}

#[test]
fn clients_that_come_too_fast_wait_for_their_turn() {
    const CLIENTS: u32 = 40;
    let a = Named::start('A');
    let forwarder = start(&["--rate", "20/s"], &a);
    let begin = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Peer::connect(forwarder.address())).collect();
    for client in &clients {
        assert_eq!(finish(client), 'A');
    }
    // The first two may come at once. Noise makes it longer, never shorter.
    assert!(begin.elapsed() >= Duration::from_millis(50) * (CLIENTS - 2));
    forwarder.messages().expect("there are more than 20/s new clients; they wait for their turn");
    assert!(forwarder.records(40).iter().all(|record| record.reason() == "done"), "none refused");
}

#[test]
fn a_listener_whose_clients_wait_for_their_turn_harms_no_other() {
    let a = Named::start('A');
    let (forwarder, _file) = run(&a, "limits = { rate = \"1/h\" }", "", "");
    let [paced, other] = forwarder.addresses() else { panic!("two listeners") };
    assert_eq!(finish(&Peer::connect(paced)), 'A');
    let waiting = Peer::connect(paced);
    forwarder.messages().expect("one has more than 1/h new clients; they wait for their turn");
    for _ in 0..5 {
        assert_eq!(finish(&Peer::connect(other)), 'A');
    }
    rests(&forwarder);
    assert!(!waiting.is_readable());
}

#[test]
fn a_new_configuration_counts_on_and_lets_in_who_waits() {
    let a = Named::start('A');
    let (forwarder, file) = run(&a, "limits = { sessions = 1 }", "", "per_client = 1");
    let client = |number: u8, at: &rig::Address| {
        Peer::connect_from(std::net::IpAddr::from([127, 0, 0, number]), at)
    };
    let [limited, other] = forwarder.addresses() else { panic!("two listeners") };
    let first = client(1, limited);
    assert_eq!(first.receive(1), b"A");
    let waiting = [2, 3].map(|number| client(number, limited));
    forwarder.messages().expect("its new clients wait");

    reload(&forwarder, &file, &text(&a, "limits = { sessions = 2 }", "", "per_client = 2"));
    rig::wait::until("one more to be served", || waiting.iter().any(Peer::is_readable));
    pause(Duration::from_millis(100));
    let (served, waits) = match &waiting {
        [one, other] if one.is_readable() => (one, other),
        [one, other] => (other, one),
    };
    assert!(!waits.is_readable(), "the one that was there before counts");
    let second = client(1, other);
    assert_eq!(second.receive(1), b"A");
    turned_away_at("127.0.0.1", other);

    first.half_close();
    first.expect_fin();
    assert_eq!(waits.receive(1), b"A");
    assert_eq!(served.receive(1), b"A");
}

#[test]
fn a_faster_rate_is_in_force_as_soon_as_it_is_configured() {
    let a = Named::start('A');
    let (forwarder, file) = run(&a, "limits = { rate = \"1/h\" }", "", "");
    assert_eq!(ask(&forwarder), 'A');
    let waiting = Peer::connect(forwarder.address());
    forwarder.messages().expect("one has more than 1/h new clients; they wait for their turn");
    reload(&forwarder, &file, &text(&a, "limits = { rate = \"100/s\" }", "", ""));
    assert_eq!(finish(&waiting), 'A');
}

#[track_caller]
fn turned_away_at(source: &str, at: &rig::Address) {
    Peer::expect_turned_away(Some(source.parse().expect("an address")), at);
}

/// Nothing spins while clients wait.
#[track_caller]
fn rests(forwarder: &Forwarder) {
    let before = forwarder.cpu_time();
    pause(WATCH);
    let used = forwarder.cpu_time() - before;
    assert!(used < CPU_MAX, "used {used:?} in {WATCH:?} while clients wait");
}

#[track_caller]
fn start(options: &[&str], backend: &Named) -> Forwarder {
    let target = backend.target();
    let arguments = [&["--shards", "2"], options, &["127.0.0.1:0", &target]].concat();
    Forwarder::start(REPLUG, &arguments)
}

/// Two listeners, `one` and `two`, with one pool.
#[track_caller]
fn run(backend: &Named, one: &str, two: &str, process: &str) -> (Forwarder, Scratch) {
    let scratch = Scratch::new();
    let path = scratch.join(FILE);
    fs::write(&path, text(backend, one, two, process)).expect("a scratch file can be written");
    let mut command = Command::new(REPLUG);
    (Forwarder::start_command(command.args(["run", "-c", &path]), 2), scratch)
}

#[track_caller]
fn reload(forwarder: &Forwarder, file: &Scratch, text: &str) {
    fs::write(file.join(FILE), text).expect("a scratch file can be written");
    forwarder.signal(rustix::process::Signal::HUP);
}

fn text(backend: &Named, one: &str, two: &str, process: &str) -> String {
    let listener = |name, more| {
        format!("[listener.{name}]\nbind = \"127.0.0.1:0\"\npool = \"pool\"\n{more}\n")
    };
    format!(
        "{}{}[pool.pool]\nbackends = \"{}\"\n[limits]\n{process}\n[log]\nformat = \"json\"\n\
         to = \"-\"\n[runtime]\nshards = 2\n",
        listener("one", one),
        listener("two", two),
        backend.target(),
    )
}
