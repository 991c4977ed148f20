//! 5, 11, 12, 15, 16, 20: where clients arrive, how many, and who.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Peer, Program, Scratch, figures};
use rustix::process::Signal;

use crate::start::{REPLUG, Relay, name, remote, run_text};

/// A tcprelay on all addresses, with `spawnd` in that section, and the port that it has. The kernel
/// chooses it: whoever reserves one has it at one address only.
#[track_caller]
fn on_all_addresses(spawnd: &str, backend: &Address) -> (Program, u16) {
    let scratch = Scratch::new();
    let file = scratch.join("relay.cfg");
    let text = format!(
        "id = spawnd {{ listen = {{ port = 0 }} {spawnd} }} id = tcprelay {{ {} }}",
        remote(backend)
    );
    fs::write(&file, text).expect("a file in a new folder");
    let mut command = Command::new(REPLUG);
    let relay = Program::start(command.arg0("tcprelay").arg(&file));
    let line = relay.stderr().expect(": bind to [::]:");
    let port = line.trim_end_matches(" succeeded").rsplit(':').next().expect("it has colons");
    let port = port.parse().unwrap_or_else(|_| panic!("no port at the end: {line}"));
    (relay, port)
}

/// 5: without an address it listens on all of both families.
#[test]
fn t05_all_addresses_unless_told() {
    let a = name('A');
    let (_relay, port) = on_all_addresses("", a.address());
    for host in ["127.0.0.1", "[::1]"] {
        Peer::connect(&Address::parse(&format!("{host}:{port}"))).expect(b"A");
    }
}

/// 5: `backlog`, at each socket that listens. Where we differ: without it, it is 4096 and not 128.
#[test]
fn t05_backlog() {
    let a = name('A');
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux has a limit");
    let most: u32 = most.trim().parse().expect("a number");
    for (listen, backlog) in [("backlog = 17", 17), ("", 4096.min(most))] {
        let relay = Relay::start_with(&[], listen, "", &remote(a.address()));
        let place = format!("sport = :{}", relay.address.port());
        let lines = Program::run(Command::new("ss").args(["-H", "-l", "-t", "-n", &place]));
        assert!(!lines.is_empty());
        for line in lines {
            let length = line.split_whitespace().nth(2).expect("state, queue, backlog");
            assert_eq!(length, backlog.to_string(), "{line}");
        }
    }
}

const ONE: &str = "spawn = { users max = 2 instances max = 1 }";

/// 11: the third client waits for a place.
#[test]
fn t11_overload_queue() {
    let a = name('A');
    let relay = Relay::start(ONE, &remote(a.address()));
    let held = [relay.hold(), relay.hold()];
    let third = Peer::connect(&relay.address);
    assert!(!third.is_readable());
    drop(held);
    third.expect(b"A");
}

/// 11: the third client sees an end of stream, and the next a place that is free again.
#[test]
fn t11_overload_close() {
    let a = name('A');
    let relay = Relay::start(&format!("{ONE} overload = close"), &remote(a.address()));
    let held = [relay.hold(), relay.hold()];
    Peer::connect(&relay.address).expect_fin();
    assert_eq!(a.accepted(), 2);
    drop(held);
    until("a place", || relay.ask() == 'A');
}

/// 11: where we differ: the third client is connected and reset, for the listener stays.
#[test]
fn t11_overload_reset() {
    let a = name('A');
    let relay = Relay::start(&format!("{ONE} overload = reset"), &remote(a.address()));
    let held = [relay.hold(), relay.hold()];
    Peer::expect_turned_away(None, &relay.address);
    assert_eq!(a.accepted(), 2);
    drop(held);
    until("a place", || {
        Peer::try_connect(&relay.address).is_ok_and(|peer| peer.try_receive_byte() == Some(b'A'))
    });
}

/// 12: a listener on a unix socket, which never worked.
#[test]
fn t12_listening_on_a_path() {
    let (a, scratch) = (name('A'), Scratch::new());
    let path = scratch.join("in.sock");
    let _relay = Relay::start(&format!("listen = {{ path = {path} }}"), &remote(a.address()));
    Peer::connect(&Address::parse(&format!("unix:{path}"))).expect(b"A");
}

/// 15: all addresses, that is.
#[test]
fn t15_a_port_that_is_taken() {
    let taken = Backend::bind();
    let port = taken.address().port();
    let text = format!(
        "id = spawnd {{ listen = {{ address = 127.0.0.1 port = {port} }} }}\n\
         id = tcprelay {{ remote = {{ address = 127.0.0.1 port = 1 }} }}"
    );
    let (code, stdout, stderr) = run_text(&[], &text);
    assert_eq!((code, &*stdout), (75, ""), "{stderr}");
    let first = format!("bind to [127.0.0.1]:{port} failed.\n");
    assert!(stderr.contains(&first), "{stderr}");
    assert!(stderr.ends_with("Failed to bind to any address or port. Exiting.\n"), "{stderr}");
}

/// A second listener beside the one of [`Relay`].
fn listen_at(address: &Address) -> String {
    format!("listen = {{ address = 127.0.0.1 port = {} }}", address.port())
}

/// 15: the other addresses do, and what could not be had is, with the next HUP.
#[test]
fn t15_one_of_two_ports_is_taken() {
    let (taken, a) = (Backend::bind(), name('A'));
    let address = taken.address().clone();
    let relay = Relay::start(&listen_at(&address), &remote(a.address()));
    let failed = format!(": bind to [127.0.0.1]:{} failed.", address.port());
    let line = relay.program.stderr().expect(&failed);
    assert!(line.ends_with(&failed), "{line}");
    assert_eq!(relay.ask(), 'A');
    relay.program.signal(Signal::HUP);
    relay.program.stderr().expect("reloaded: nothing has changed");
    assert_eq!(relay.ask(), 'A');
    let _port = taken.close();
    relay.program.signal(Signal::HUP);
    until("tcprelay to listen", || figures::is_listened_on(address.tcp()));
    Peer::connect(&address).expect(b"A");
    let told = |line: &str| line.ends_with(&failed);
    let lines = relay.program.stderr().so_far();
    assert_eq!(lines.iter().filter(|line| told(line)).count(), 1, "{lines:#?}");
}

/// 15: clients of the others are served in the meantime, and the next HUP may bring a port that is
/// taken.
#[test]
fn t15_others_are_served_while_one_port_is_taken() {
    let (taken, a) = (Backend::bind(), name('A'));
    let address = taken.address().clone();
    let relay = Relay::start("", &remote(a.address()));
    let both = format!("bind retry delay = 1 {}", listen_at(&address));
    relay.rewrite(&both, &remote(a.address()));
    relay.program.signal(Signal::HUP);
    relay.program.stderr().expect(&format!("bind to [127.0.0.1]:{} failed.", address.port()));
    assert_eq!(relay.ask(), 'A');
    let relay = Relay::start(&both, &remote(a.address()));
    let lines = relay.program.stderr();
    let bind = format!(": bind to [127.0.0.1]:{} ", address.port());
    lines.expect(&format!("{bind}failed. Will retry every 1 seconds."));
    let (client, _) = relay.hold();
    let _port = taken.close();
    lines.expect(&format!("{bind}succeeded"));
    Peer::connect(&address).expect(b"A");
    assert_eq!(relay.ask(), 'A');
    client.half_close();
    client.expect_fin();
}

/// 15: it is had when it can be.
#[test]
fn t15_a_port_that_is_taken_for_a_while() {
    let (taken, a, scratch) = (Backend::bind(), name('A'), Scratch::new());
    let (address, file) = (taken.address().clone(), scratch.join("relay.cfg"));
    let text = format!(
        "id = spawnd {{ bind retry delay = 1 listen = {{ address = 127.0.0.1 port = {} }} }}\n\
         id = tcprelay {{ {} }}",
        address.port(),
        remote(a.address())
    );
    fs::write(&file, text).expect("a file in a new folder");
    let mut command = Command::new(REPLUG);
    let relay = Program::start(command.arg0("tcprelay").arg(&file));
    relay.stderr().expect("failed. Will retry every 1 seconds.");
    let _port = taken.close();
    until("tcprelay to listen", || figures::is_listened_on(address.tcp()));
    Peer::connect(&address).expect(b"A");
}

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// 16: the first rule that matches decides, and nobody comes whom none permits.
#[test]
fn t16_rules_in_their_order() {
    let a = name('A');
    let rules = "permit 127.0.0.5\n deny 127.0.0.4/30\n permit 127.0.0.0/29";
    let relay = Relay::start(rules, &remote(a.address()));
    for last in [1, 2, 3, 5] {
        Peer::connect_from(from(last), &relay.address).expect(b"A");
    }
    for last in [4, 6, 7, 8, 200] {
        Peer::connect_from(from(last), &relay.address).expect_fin();
    }
}

/// 16: IPv4 clients of a listener on all addresses match rules for IPv4.
#[test]
fn t16_mapped_addresses() {
    let a = name('A');
    let (_relay, port) = on_all_addresses("permit 127.0.0.5", a.address());
    let address = Address::parse(&format!("127.0.0.1:{port}"));
    Peer::connect_from(from(5), &address).expect(b"A");
    Peer::connect_from(from(6), &address).expect_fin();
}

/// 20: a socket that listens as standard input is the only one; HUP ends it.
#[test]
fn t20_inetd() {
    let (a, scratch) = (name('A'), Scratch::new());
    let file = scratch.join("relay.cfg");
    let text = format!(
        "id = spawnd {{ listen = {{ port = 1 }} background = yes }} id = tcprelay {{ {} }}",
        remote(a.address())
    );
    fs::write(&file, text).expect("a file in a new folder");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let place = listener.local_addr().expect("it is bound");
    let mut command = Command::new(REPLUG);
    let mut relay = Program::start_on(command.arg0("tcprelay").arg(&file), OwnedFd::from(listener));
    let address = Address::parse(&place.to_string());
    let client = Peer::connect(&address);
    client.expect(b"A");
    let lines = relay.stderr();
    lines.expect(": startup via inetd (version ");
    lines.expect(&format!(": bind to [127.0.0.1]:{} succeeded (via inetd)", place.port()));
    relay.signal(Signal::HUP);
    relay.stderr().expect(": SIGHUP: No longer accepting new connections.");
    drop(client);
    relay.expect_exit(0);
}

/// `haproxy = yes`: clients are those that a proxy tells of. Where we differ: tcprelay takes the
/// header for data.
#[test]
fn haproxy_is_honoured() {
    let a = name('A');
    let rules = "deny 192.0.2.0/24\n permit 0.0.0.0/0";
    let relay = Relay::start_with(&[], "haproxy = yes", rules, &remote(a.address()));
    let come_from = |address: &str| {
        let client = Peer::connect(&relay.address);
        client.send(format!("PROXY TCP4 {address} 10.0.0.1 5 6\r\n").as_bytes());
        client
    };
    come_from("198.51.100.7").expect(b"A");
    let turned_away = [come_from("192.0.2.7"), Peer::connect(&relay.address)];
    turned_away[1].send(b"hello\r\n");
    for client in turned_away {
        client.wait_end().expect("it ends");
    }
    assert_eq!(a.accepted(), 1);
}
