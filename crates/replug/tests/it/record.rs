//! What is written down about a session.

use std::process::Command;

use rig::{Forwarder, Program};

use crate::named::{Named, ask, ask_times};
use crate::path::REPLUG;

#[test]
fn a_json_record_has_every_field() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    ask(&forwarder);
    let record = forwarder.record();
    for number in ["id", "bytes_to_backend", "bytes_to_client"] {
        assert!(record.field(number).is_u64(), "{number} in {record:?}");
    }
    for number in ["duration_ms", "connect_ms", "first_byte_ms"] {
        assert!(record.field(number).is_number(), "{number} in {record:?}");
    }
    for word in ["ts", "listener", "client", "backend", "pool", "reason", "side", "relay"] {
        assert!(record.field(word).is_string(), "{word} in {record:?}");
    }
    for none in ["route", "sni", "alpn"] {
        assert!(record.field(none).is_null(), "{none} in {record:?}");
    }
    assert_eq!(record.attempts(), []);
}

#[test]
fn times_of_a_session_are_in_order() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    ask_times(200, &forwarder);
    for record in forwarder.records(200) {
        let time = |name| record.field(name).as_f64().expect("a number");
        let times = ["connect_ms", "first_byte_ms", "duration_ms"].map(time);
        assert!(times.is_sorted(), "{times:?} in {record:?}");
    }
}

#[test]
fn ids_are_unique_across_shards() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(REPLUG, &["--shards", "3", "127.0.0.1:0", &a.target()]);
    ask_times(50, &forwarder);
    let records = forwarder.records(50);
    let mut ids: Vec<_> = records.iter().map(|record| record.field("id").as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn text_and_logfmt_say_the_same() {
    let a = Named::start('A');
    for (format, words) in
        [("text", &["done", "1 B"][..]), ("logfmt", &["reason=done", "bytes_to_client=1"])]
    {
        let mut command = Command::new(REPLUG);
        command.args(["--log", format, "--log-to", "-", "127.0.0.1:0", &a.target()]);
        let forwarder = Forwarder::start_command(&mut command, 1);
        ask(&forwarder);
        let line = forwarder.program().stdout().expect("done");
        for word in words {
            assert!(line.contains(word), "{word} in {line}");
        }
    }
}

#[test]
fn quiet_says_nothing() {
    let a = Named::start('A');
    let scratch = rig::Scratch::new();
    let listen = format!("unix:{}", scratch.join("listen"));
    let mut program = Program::start(Command::new(REPLUG).args(["-q", &listen, &a.target()]));
    rig::wait::until("the listener", || {
        rig::Peer::try_connect(&rig::Address::parse(&listen)).is_ok()
    });
    program.signal(rustix::process::Signal::TERM);
    program.expect_exit(0);
    assert_eq!(program.stderr().all_once_closed(), [""; 0]);
    assert_eq!(program.stdout().all_once_closed(), [""; 0]);
}
