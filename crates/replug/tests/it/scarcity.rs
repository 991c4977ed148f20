//! When things run out, service slows and comes back; nothing spins and nothing leaks.

use std::process::Command;
use std::time::Duration;

use rig::forwarder::announced;
use rig::wait::{pause, until};
use rig::{Backend, Forwarder, Peer, Program};
use rustix::process::Signal;

use crate::named::{Named, ask, ask_times, finish};
use crate::path::REPLUG;

const DESCRIPTORS: &str = "--nofile=60:60";
const CLIENTS: usize = 200;

/// How long the process is watched while it can do nothing.
const WATCH: Duration = Duration::from_secs(3);

/// What it may use meanwhile.
const CPU_MAX: Duration = Duration::from_millis(50);

/// Warnings that may be written meanwhile: ten per second.
const WARNINGS_MAX: usize = 30;

#[test]
fn few_descriptors_from_the_start() {
    let a = Named::start('A');
    let mut command = Command::new("prlimit");
    command.args([DESCRIPTORS, REPLUG, "127.0.0.1:0", &a.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    assert_eq!(ask_times(3, &forwarder), "AAA");
    outnumber(&forwarder, &a);
}

#[test]
fn few_descriptors_from_now_on() {
    let serve = |io| {
        let a = Named::start('A');
        let mut command = Command::new(REPLUG);
        command.args(["--io", io, "127.0.0.1:0", &a.target()]);
        let forwarder = Forwarder::start_command(&mut command, 1);
        assert_eq!(ask_times(3, &forwarder), "AAA");
        let pid = forwarder.pid().to_string();
        Program::run(Command::new("prlimit").args(["--pid", &pid, DESCRIPTORS]));
        outnumber(&forwarder, &a);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| serve("ring"));
        serve("epoll");
    });
}

/// All shards start, or replug does not: nobody is sent to an address at which one is missing.
#[test]
fn descriptors_for_some_shards_only() {
    let starts = |limit| {
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={limit}:{limit}"), REPLUG, "--shards", "4"]);
        let mut program = Program::start(command.args(["127.0.0.1:0", "127.0.0.1:9"]));
        let is_told = |line: &String| announced(line).is_some();
        until("replug to listen or to give up", || {
            program.stderr().so_far().iter().any(is_told) || program.exit_status().is_some()
        });
        match program.exit_status() {
            None => {
                program.signal(Signal::TERM);
                assert_eq!(program.wait_exit().code(), Some(0), "{program}");
            }
            Some(status) => {
                let told = program.stderr().so_far();
                assert!(!told.iter().any(is_told), "{told:?}");
                assert!(told.iter().any(|line| line.contains("Too many open files")), "{told:?}");
                assert!(matches!(status.code(), Some(1 | 4)), "{status}");
            }
        }
        program.stderr().so_far().iter().any(|line| line.contains("cannot start the shards"))
    };
    let failures = (16..80).step_by(4).filter(|limit| starts(*limit)).count();
    assert!(failures > 0, "shards failed at no limit");
}

/// More clients come than there are descriptors for: they wait, and are served in the end.
#[track_caller]
fn outnumber(forwarder: &Forwarder, backend: &Named) {
    let baseline = forwarder.descriptors();
    let served_before = backend.sessions();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Peer::connect(forwarder.address())).collect();
    until("some clients to be served", || backend.sessions() > served_before + 5);
    // Until those that can be served are.
    pause(Duration::from_millis(500));
    let (cpu, messages) = (forwarder.cpu_time(), forwarder.messages().so_far().len());
    pause(WATCH);
    let cpu = forwarder.cpu_time() - cpu;
    let messages = forwarder.messages().so_far().split_off(messages);
    assert!(cpu < CPU_MAX, "used {cpu:?} in {WATCH:?} while out of descriptors");
    assert!(messages.len() <= WARNINGS_MAX, "{messages:#?}");
    let served = backend.sessions() - served_before;
    assert!(served < CLIENTS, "there was no scarcity");

    let all = forwarder.messages().so_far();
    let told = |words: &str| all.iter().any(|line| line.contains(words));
    assert!(told("sessions are in use") || told("rests before it accepts"), "{all:#?}");

    // Half of them go, and those who waited get their turn.
    let waiting = clients.split_off(CLIENTS / 2);
    drop(clients);
    serve_all(waiting);
    forwarder.expect_descriptors(baseline);
    assert_eq!(ask_times(3, forwarder), "AAA");
}

/// Waits until all of them have been served, in whatever order.
#[track_caller]
fn serve_all(mut clients: Vec<Peer>) {
    until("all clients to be served", || {
        clients.retain(|client| {
            let served = client.is_readable();
            if served {
                assert_eq!(finish(client), 'A');
            }
            !served
        });
        clients.is_empty()
    });
}

#[test]
fn more_sessions_than_descriptors_are_told_and_lowered() {
    let a = Named::start('A');
    let forwarder = Forwarder::start(REPLUG, &["--max", "1000000", "127.0.0.1:0", &a.target()]);
    let told = |line: &String| line.contains("1000000 sessions were asked for");
    until("the lowered ceiling to be told", || forwarder.messages().so_far().iter().any(told));
    assert_eq!(ask_times(1, &forwarder), "A");
}

#[test]
fn eleven_hundred_clients_close_at_once() {
    const CLIENTS: usize = 1_100;

    let backend = Backend::bind();
    let target = backend.address().to_string();
    let mut command = Command::new(REPLUG);
    let forwarder = Forwarder::start_command(command.args(["127.0.0.1:0", &target]), 1);
    let baseline = warm_descriptors(&forwarder, &backend);
    let (clients, backends): (Vec<_>, Vec<_>) = (0..CLIENTS)
        .map(|_| {
            let client = Peer::connect(forwarder.address());
            (client, backend.accept())
        })
        .unzip();
    drop(clients);
    for peer in backends {
        peer.expect_fin();
    }
    forwarder.expect_descriptors(baseline);
    let client = Peer::connect(forwarder.address());
    backend.accept().send(b"works");
    client.expect(b"works");
}

/// What is open after the first sessions: some is opened once, when it is first needed.
fn warm_descriptors(forwarder: &Forwarder, backend: &Backend) -> usize {
    for _ in 0..10 {
        let client = Peer::connect(forwarder.address());
        let peer = backend.accept();
        client.close();
        peer.expect_fin();
    }
    let mut last = usize::MAX;
    until("descriptors to settle", || {
        pause(Duration::from_millis(100));
        std::mem::replace(&mut last, forwarder.descriptors()) == last
    });
    last
}

#[test]
fn a_thousand_clients_reset_before_they_are_accepted() {
    const ROUNDS: usize = 10;
    const CLIENTS: usize = 100;

    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    let forwarder = Forwarder::start_command(command.args(["127.0.0.1:0", &a.target()]), 1);
    assert_eq!(ask_times(5, &forwarder), "AAAAA");
    let baseline = forwarder.descriptors();
    for _ in 0..ROUNDS {
        forwarder.signal(Signal::STOP);
        for _ in 0..CLIENTS {
            Peer::connect(forwarder.address()).reset();
        }
        forwarder.signal(Signal::CONT);
        assert_eq!(ask(&forwarder), 'A');
    }
    forwarder.expect_descriptors(baseline);
    let messages = forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains("down")), "{messages:#?}");
}
