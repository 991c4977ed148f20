//! Where it listens, and what it leaves from.

use std::process::Command;

use rig::{Address, Backend, Closed, Forwarder, Peer, Program, Scratch};

use crate::named::{Named, ask};
use crate::path::{REPLUG, exchange};

/// Exit code: cannot bind, or not permitted.
const CANNOT_BIND: i32 = 4;

/// Exit code: a fault in what was asked for.
const CONFIGURATION: i32 = 3;

#[test]
fn a_bare_port_serves_both_families() {
    let a = Named::start('A');
    let reserved = Closed::bind_to(&Address::parse("0.0.0.0:0"));
    let port = reserved.address().port();
    let mut command = replug(&[&format!(":{port}"), &a.target()]);
    let _forwarder = Forwarder::start_command(&mut command, 1);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let client = Peer::connect(&Address::parse(&address));
        assert_eq!(crate::named::finish(&client), 'A', "{address}");
    }
}

#[test]
fn an_ipv4_client_of_both_families_is_shown_as_ipv4() {
    let a = Named::start('A');
    let reserved = Closed::bind_to(&Address::parse("0.0.0.0:0"));
    let port = reserved.address().port();
    let forwarder = Forwarder::start(REPLUG, &[&format!("*:{port}"), &a.target()]);
    let client = Peer::connect(&Address::parse(&format!("127.0.0.1:{port}")));
    crate::named::finish(&client);
    let record = forwarder.record();
    assert!(record.client().starts_with("127.0.0.1:"), "{record:?}");
}

#[test]
fn an_ipv6_listener_and_an_ipv6_target() {
    let backend = Backend::bind_to(&Address::parse("[::1]:0"));
    let forwarder = Forwarder::start(REPLUG, &["[::1]:0", &backend.address().to_string()]);
    let client = Peer::connect(forwarder.address());
    exchange(&client, &backend.accept(), 100_000);
}

#[test]
fn unix_sockets_by_path_on_both_sides() {
    let scratch = Scratch::new();
    let [listen, target] = ["listen", "target"].map(|name| format!("unix:{}", scratch.join(name)));
    unix_sockets(&listen, &target);
    let left = std::path::Path::new(&scratch.join("listen")).exists();
    assert!(!left, "the listener's socket is still there");
}

#[test]
fn abstract_unix_sockets_on_both_sides() {
    let pid = std::process::id();
    unix_sockets(
        &format!("unix:@replug-test-{pid}-listen"),
        &format!("unix:@replug-test-{pid}-target"),
    );
}

#[track_caller]
fn unix_sockets(listen: &str, target: &str) {
    let backend = Backend::bind_to(&Address::parse(target));
    let forwarder = Forwarder::start(REPLUG, &[listen, target]);
    assert_eq!(forwarder.address().to_string(), listen);
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    exchange(&client, &peer, 4 * 1024 * 1024);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.client()), ("done", "unix"));
    assert_eq!(record.bytes_to_client(), 4 * 1024 * 1024);
}

#[test]
fn a_tcp_client_and_a_unix_target() {
    let scratch = Scratch::new();
    let target = format!("unix:{}", scratch.join("target"));
    let backend = Backend::bind_to(&Address::parse(&target));
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &target]);
    let client = Peer::connect(forwarder.address());
    let peer = backend.accept();
    exchange(&client, &peer, 4 * 1024 * 1024);
    client.reset();
    // A unix socket cannot be reset on purpose: its end is all that the backend sees.
    peer.wait_end().expect("the session ends");
    assert_eq!(forwarder.record().reason(), "client_reset");
}

#[test]
fn a_host_name_is_a_target() {
    let a = Named::start('A');
    let port = Address::parse(&a.target()).port();
    let target = format!("localhost:{port}");
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &target]);
    assert_eq!(ask(&forwarder), 'A');
    let record = forwarder.record();
    assert_eq!(record.backend(), Some(&*target));
    let address = record.field("backend_address").as_str();
    assert_eq!(address, Some(&*a.target()));
}

#[test]
fn numeric_refuses_a_host_name() {
    let mut program = Program::start(&mut replug(&["--numeric", "127.0.0.1:0", "localhost:80"]));
    let status = program.wait_exit();
    assert!(matches!(status.code(), Some(2 | CONFIGURATION)), "{status}");
    program.stderr().expect("localhost:80");
    program.stderr().expect("--numeric");
}

#[test]
fn a_name_that_cannot_be_resolved_stops_nothing() {
    let a = Named::start('A');
    let forwarder =
        Forwarder::start(REPLUG, &["127.0.0.1:0", "no-such-host.invalid:80", &a.target()]);
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn a_taken_port_is_told() {
    let taken = Backend::bind();
    let listen = taken.address().to_string();
    let mut program = Program::start(&mut replug(&[&listen, "127.0.0.1:1"]));
    program.expect_exit(CANNOT_BIND);
    program.stderr().expect(&taken.address().port().to_string());
}

/// Listeners of replug share their port among shards; two of them must not share it.
#[test]
fn a_port_taken_by_another_replug_is_told() {
    let a = Named::start('A');
    let first = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    let listen = first.address().to_string();
    let mut second = Program::start(&mut replug(&[&listen, "127.0.0.1:1"]));
    second.expect_exit(CANNOT_BIND);
    second.stderr().expect(&first.address().port().to_string());
    assert_eq!(ask(&first), 'A');
}

#[test]
fn a_port_with_clients_of_an_earlier_replug_is_free() {
    let a = Named::start('A');
    let first = Forwarder::start(REPLUG, &["127.0.0.1:0", &a.target()]);
    let listen = first.address().to_string();
    // The side that closes first keeps its port for a while (TIME_WAIT).
    let clients: Vec<_> = (0..5).map(|_| Peer::connect(first.address())).collect();
    drop(first);
    drop(clients);
    let second = Forwarder::start(REPLUG, &[&listen, &a.target()]);
    assert_eq!(ask(&second), 'A');
}

#[test]
fn the_backend_sees_the_source_that_was_given() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0/127.0.0.5", &target]);
    let _client = Peer::connect(forwarder.address());
    let seen = backend.accept().remote_address();
    assert!(seen.to_string().starts_with("127.0.0.5:"), "{seen}");
}

#[test]
fn sessions_leave_by_the_interface_that_was_given() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0/lo", &target]);
    let client = Peer::connect(forwarder.address());
    client.send(b"by lo");
    backend.accept().expect(b"by lo");

    // Loopback addresses cannot be reached by an interface that there is not.
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0/no-such-if", &target]);
    Peer::expect_turned_away(None, forwarder.address());
    assert_eq!(forwarder.record().reason(), "unreachable");
}

fn replug(arguments: &[&str]) -> Command {
    let mut command = Command::new(REPLUG);
    command.args(arguments);
    command
}
