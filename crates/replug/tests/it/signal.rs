//! Signals: how it ends, and what else it can be told.

use std::time::Duration;
use std::{fs, thread};

use rig::wait::{pause, until};
use rig::{Address, Backend, Forwarder, Peer, Record, Scratch, figures};
use rustix::process::Signal;

use crate::named::{Named, ask};
use crate::path::{Path, REPLUG, Session};

#[test]
fn term_and_int_let_sessions_end() {
    let paths = [Path::Splice, Path::Ring];
    let signals = [Signal::TERM, Signal::INT, Signal::QUIT];
    for (path, signal) in paths.into_iter().flat_map(|path| signals.map(|signal| (path, signal))) {
        let Session { mut way, client, backend } = Session::open(path, &[]);
        way.forwarder.signal(signal);
        expect_refused(way.forwarder.address());
        client.send(b"still");
        backend.expect(b"still");
        backend.send(b"here");
        client.expect(b"here");
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        way.forwarder.program_mut().expect_exit(0);
        way.expect_record("done", "client", 5, 4);
    }
}

#[test]
fn an_idle_process_ends_at_once() {
    let a = Named::start('A');
    let mut forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn a_second_term_ends_sessions() {
    for path in [Path::Splice, Path::Ring] {
        let Session { mut way, client, backend } = Session::open(path, &[]);
        way.forwarder.signal(Signal::TERM);
        // Two signals at a time may become one.
        expect_refused(way.forwarder.address());
        way.forwarder.signal(Signal::TERM);
        client.expect_reset();
        backend.expect_reset();
        way.expect_record("killed", "replug", 0, 0);
        way.forwarder.program_mut().expect_exit(0);
    }
}

/// The two long waits, side by side: TERM waits ten seconds, QUIT for ever.
#[test]
fn term_has_a_limit_and_quit_has_none() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let Session { mut way, client, backend } = Session::open(Path::Splice, &[]);
            way.forwarder.signal(Signal::TERM);
            client.expect_reset();
            backend.expect_reset();
            way.expect_record("drained", "replug", 0, 0);
            way.forwarder.program_mut().expect_exit(0);
        });
        let Session { mut way, client, backend } = Session::open(Path::Splice, &[]);
        way.forwarder.signal(Signal::QUIT);
        pause(Duration::from_secs(12));
        client.send(b"still here");
        backend.expect(b"still here");
        client.close();
        backend.expect_fin();
        backend.close();
        way.forwarder.program_mut().expect_exit(0);
    });
}

#[test]
fn usr1_opens_the_log_file_anew() {
    let scratch = Scratch::new();
    let (log, old) = (scratch.join("log"), scratch.join("log.1"));
    let a = Named::start('A');
    let mut command = std::process::Command::new(REPLUG);
    command.args(["--log", "json", "--log-to", &log, "127.0.0.1:0", &a.target()]);
    let (forwarder, address) = start_with_log(&mut command, &log);
    let client = || crate::named::finish(&Peer::connect(&address));
    client();
    until("the first record", || records(&log).len() == 1);
    fs::rename(&log, &old).expect("the log can be renamed");
    client();
    until("the second record, in the renamed file", || records(&old).len() == 2);
    forwarder.signal(Signal::USR1);
    until("the new file", || fs::exists(&log).unwrap_or(false));
    client();
    until("the third record, in the new file", || records(&log).len() == 1);
    assert_eq!(records(&old).len(), 2);
}

#[test]
fn the_process_goes_on_after_hup_and_usr2() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect("SIGHUP");
    forwarder.signal(Signal::USR2);
    forwarder.messages().expect("SIGUSR2");
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn a_backend_that_waits_is_let_go_when_its_client_was_cut() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &target]);
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    drop(forwarder);
    client.expect_reset();
    peer.expect_reset();
}

/// Waits until nobody is let in any more.
#[track_caller]
pub(crate) fn expect_refused(address: &Address) {
    until("the listener to close", || !figures::is_listened_on(address.tcp()));
    assert!(Peer::try_connect(address).is_err());
}

/// Starts a program that says in its log file where it listens.
#[track_caller]
pub(crate) fn start_with_log(
    command: &mut std::process::Command,
    log: &str,
) -> (rig::Program, Address) {
    let program = rig::Program::start(command);
    let mut address = None;
    until("the address in the log file", || {
        let text = fs::read_to_string(log).unwrap_or_default();
        address = text.lines().find_map(rig::forwarder::announced);
        address.is_some()
    });
    (program, address.expect("this is what was waited for"))
}

fn records(file: &str) -> Vec<Record> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(Record::read).collect()
}
