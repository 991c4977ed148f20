//! UDP: every datagram arrives as it was sent, answers come from where they were asked, and flows
//! go where sessions would.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use rig::payload::Chance;
use rig::wait::{pause, until};
use rig::{Address, Backend, Forwarder, Payload, Peer, Program, Scratch};
use rig::{UdpBackend, UdpClosed, UdpPeer};
use rustix::process::Signal;

use crate::path::REPLUG;

/// Silence after which nothing comes any more.
const SILENCE: Duration = Duration::from_millis(300);

/// The most that IPv4 carries in one datagram.
const BYTES_MAX: usize = 65_507;

#[track_caller]
fn start(arguments: &[&str]) -> (Forwarder, SocketAddr) {
    let forwarder = Forwarder::start(REPLUG, arguments);
    let address = forwarder.address().udp();
    (forwarder, address)
}

/// Sends and expects the same back.
#[track_caller]
fn echo(client: &UdpPeer, to: SocketAddr, bytes: &[u8]) {
    client.send(to, bytes);
    client.expect(to, bytes);
}

/// The letter that a backend answers.
#[track_caller]
fn ask(client: &UdpPeer, to: SocketAddr) -> char {
    let answer = client.ask(to, b"who?");
    char::from(*answer.first().expect("a letter"))
}

/// A new client's letters.
#[track_caller]
fn ask_anew(count: usize, to: SocketAddr) -> String {
    (0..count).map(|_| ask(&UdpPeer::bind(), to)).collect()
}

/// Finds three ports in a row that are free on all addresses, for TCP and UDP; gives the first.
///
/// They lie below those that the kernel gives to whoever asks for any, or another test might have
/// got one meanwhile.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let by_process = u16::try_from(std::process::id() % 5_000).expect("small");
        let port = 10_000 + 3 * ((by_process + NEXT.fetch_add(1, Ordering::Relaxed)) % 7_000);
        let all = std::net::Ipv6Addr::UNSPECIFIED;
        let is_free =
            |port| UdpSocket::bind((all, port)).is_ok() && TcpListener::bind((all, port)).is_ok();
        if (port..port + 3).all(is_free) {
            return port;
        }
    }
}

#[test]
fn datagrams_of_every_size_arrive_as_sent() {
    let backend = UdpBackend::echo();
    let (forwarder, to) = start(&["--idle", "1s", "udp://127.0.0.1:0", &backend.target()]);
    let client = UdpPeer::bind();
    let mut payload = Payload::new(1);
    let sizes = [0, 1, 2, 63, 64, 512, 1472, 1473, 9000, 20_000, BYTES_MAX, 0];
    for size in sizes {
        echo(&client, to, &payload.take(size));
    }
    pause(SILENCE);
    assert!(!client.has_something(), "a datagram that nobody sent");
    let record = forwarder.record();
    let (count, bytes) = (sizes.len() as u64, sizes.iter().sum::<usize>() as u64);
    assert_eq!(record.datagrams(), [count, count, 0], "{record:?}");
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (bytes, bytes));
    assert_eq!(backend.datagrams(), sizes.len());
}

#[test]
fn any_sequence_of_sizes_arrives_in_order() {
    let backend = UdpBackend::echo();
    let (_forwarder, to) = start(&["udp://127.0.0.1:0", &backend.target()]);
    for seed in 0..20 {
        let (client, mut chance) = (UdpPeer::bind(), Chance::new(seed));
        let mut payload = Payload::new(seed);
        let usual = usize::try_from(chance.below(1500)).expect("small");
        let sent: Vec<_> = (0..60)
            .map(|_| match chance.below(4) {
                0 => payload.take(usize::try_from(chance.below(3000)).expect("small")),
                1 => payload.take(0),
                _ => payload.take(usual),
            })
            .collect();
        // All at once, so that they are received and sent together.
        sent.iter().for_each(|bytes| client.send(to, bytes));
        sent.iter().for_each(|bytes| client.expect(to, bytes));
    }
}

#[test]
fn many_clients_at_once_get_their_own_answers_and_all_of_them() {
    const CLIENTS: usize = 40;
    const ASKS: u64 = 60;

    let backend = UdpBackend::echo();
    let (forwarder, to) =
        start(&["--shards", "2", "--idle", "2s", "udp://127.0.0.1:0", &backend.target()]);
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            scope.spawn(move || {
                let seed = seed as u64;
                let (client, mut payload) = (UdpPeer::bind(), Payload::new(seed));
                let mut chance = Chance::new(seed);
                for _ in 0..ASKS {
                    let size = 8 + usize::try_from(chance.below(1400)).expect("small");
                    echo(&client, to, &payload.take(size));
                }
            });
        }
    });
    assert_eq!(backend.senders().len(), CLIENTS, "each flow has one address");
    let records = forwarder.records(CLIENTS);
    for record in records {
        assert_eq!(record.datagrams(), [ASKS, ASKS, 0], "{record:?}");
        assert_eq!((record.reason(), record.side()), ("done", "replug"));
    }
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let backend = UdpBackend::echo();
    let port = free_ports();
    let (_forwarder, _) = start(&[&format!("udp://:{port}"), &backend.target()]);
    for (from, to) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.9", "127.1.2.3"),
        ("::1", "::1"),
    ] {
        let to = SocketAddr::new(to.parse().expect("an address"), port);
        echo(&UdpPeer::bind_to(from), to, from.as_bytes());
    }
    // One client that asks at two addresses has two flows.
    let before = backend.senders().len();
    let client = UdpPeer::bind();
    for last in [1, 2, 1] {
        echo(&client, SocketAddr::from(([127, 0, 0, last], port)), &[last]);
    }
    assert_eq!(backend.senders().len() - before, 2);
}

#[test]
fn ipv6_on_both_sides_and_ipv4_behind_it() {
    for target in ["[::1]:0", "127.0.0.1:0"] {
        let backend = UdpBackend::echo_at(target);
        let (_forwarder, to) = start(&["udp://[::1]:0", &backend.target()]);
        echo(&UdpPeer::bind_to("::1"), to, b"six");
    }
    let backend = UdpBackend::echo_at("[::1]:0");
    let (_forwarder, to) = start(&["udp://127.0.0.1:0", &backend.target()]);
    echo(&UdpPeer::bind(), to, b"four");
}

#[test]
fn names_and_source_addresses_as_for_tcp() {
    let backend = UdpBackend::echo();
    let target = format!("localhost:{}", backend.address().port());
    let (_forwarder, to) = start(&["udp://127.0.0.1:0/127.0.0.3", &target]);
    echo(&UdpPeer::bind(), to, b"hello");
    let sources: Vec<_> = backend.senders().iter().map(|sender| sender.ip().to_string()).collect();
    assert_eq!(sources, ["127.0.0.3"]);
}

#[test]
fn a_burst_arrives_whole_and_in_order() {
    let (backend, client) = (UdpPeer::bind(), UdpPeer::bind());
    let (_forwarder, to) = start(&["udp://127.0.0.1:0", &backend.address().to_string()]);
    let mut payload = Payload::new(5);
    let sent: Vec<_> = (0..400).map(|_| payload.take(1200)).collect();
    sent.iter().for_each(|bytes| client.send(to, bytes));
    let flow = backend.receive().1;
    sent[1..].iter().for_each(|bytes| backend.expect(flow, bytes));
    sent.iter().for_each(|bytes| backend.send(flow, bytes));
    sent.iter().for_each(|bytes| client.expect(to, bytes));
}

#[test]
fn a_flow_ends_when_it_is_idle_and_says_whether_it_was_answered() {
    let (echo_backend, mute) = (UdpBackend::echo(), UdpBackend::mute());
    for (backend, reason, back) in [(&echo_backend, "done", 5), (&mute, "idle", 0)] {
        let (forwarder, to) = start(&["--idle", "500ms", "udp://127.0.0.1:0", &backend.target()]);
        let client = UdpPeer::bind();
        client.send(to, b"hello");
        let record = forwarder.record();
        assert_eq!((record.reason(), record.side()), (reason, "replug"), "{record:?}");
        assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (5, back));
        assert_eq!(record.backend(), Some(&*backend.target()));
        assert_eq!(record.client(), client.address().to_string());
        assert_eq!(
            forwarder.messages().so_far().iter().filter(|line| line.contains("warn")).count(),
            0
        );
        // The client may come back, and has a new flow.
        client.send(to, b"again");
        until("a second flow", || backend.senders().len() == 2);
    }
}

#[test]
fn datagrams_in_one_direction_keep_a_flow() {
    let backend = UdpPeer::bind();
    let target = backend.address().to_string();
    let (_forwarder, to) = start(&["--idle", "2s", "udp://127.0.0.1:0", &target]);
    let client = UdpPeer::bind();
    client.send(to, b"subscribe");
    let flow = backend.receive().1;
    for _ in 0..10 {
        backend.send(flow, b"news");
        client.expect(to, b"news");
        pause(Duration::from_millis(400));
    }
}

#[test]
fn nobody_but_the_backend_can_answer() {
    let (backend, stranger, client) = (UdpPeer::bind(), UdpPeer::bind(), UdpPeer::bind());
    let target = backend.address().to_string();
    let (_forwarder, to) = start(&["udp://127.0.0.1:0", &target]);
    client.send(to, b"hello");
    let flow = backend.receive().1;
    stranger.send(flow, b"forged");
    backend.send(flow, b"right");
    client.expect(to, b"right");
    pause(SILENCE);
    assert!(!client.has_something(), "a stranger's datagram came through");
}

#[test]
fn the_idlest_flow_makes_room_for_a_new_one() {
    let backend = UdpBackend::echo();
    let (forwarder, to) =
        start(&["--max", "3", "--shards", "1", "udp://127.0.0.1:0", &backend.target()]);
    let clients: Vec<_> = (0..3).map(|_| UdpPeer::bind()).collect();
    for client in &clients {
        echo(client, to, b"first");
        pause(Duration::from_millis(30));
    }
    echo(&clients[0], to, b"still here");
    echo(&UdpPeer::bind(), to, b"me too");
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("limited", "replug"));
    assert_eq!(record.client(), clients[1].address().to_string());
    // Whoever had to go comes again, in place of the next.
    echo(&clients[1], to, b"back again");
    assert_eq!(forwarder.records(2)[1].client(), clients[2].address().to_string());
}

#[test]
fn limits_of_a_listener_and_per_client_bind_flows() {
    let backend = UdpBackend::echo();
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let text = format!(
        "[listener.few]\nbind = \"udp://127.0.0.1:0\"\npool = \"echo\"\nlimits = {{ sessions = 2 }}\n\
         [listener.fair]\nbind = \"udp://127.0.0.1:0\"\npool = \"echo\"\nlimits = {{ per_client = 2 }}\n\
         [pool.echo]\nbackends = [\"{}\"]\n[runtime]\nshards = 1\n\
         [log]\nformat = \"json\"\nto = \"-\"\n",
        backend.target()
    );
    std::fs::write(&file, text).expect("a file can be written");
    let mut command = Command::new(REPLUG);
    let forwarder = Forwarder::start_command(command.args(["run", "-c", &file]), 2);
    let [few, fair] = forwarder.addresses() else { panic!("two addresses") };
    let clients: Vec<_> = (0..3).map(|_| UdpPeer::bind()).collect();
    // One of another listener, which is idler but would make no room for these.
    echo(&clients[0], fair.udp(), b"elsewhere");
    for client in &clients {
        echo(client, few.udp(), b"hello");
        pause(Duration::from_millis(30));
    }
    let record = forwarder.record();
    assert_eq!((record.reason(), record.client()), ("limited", &*clients[0].address().to_string()));
    assert_eq!(record.field("listener"), "few");

    echo(&clients[1], fair.udp(), b"second");
    clients[2].send(fair.udp(), b"third");
    let record = forwarder.records(2).remove(1);
    assert_eq!((record.reason(), record.client()), ("limited", &*clients[2].address().to_string()));
    echo(&UdpPeer::bind_to("127.0.0.2"), fair.udp(), b"another client");
    assert!(!clients[2].has_something());
}

#[test]
fn a_flow_ends_with_its_lifetime() {
    let backend = UdpBackend::echo();
    let (forwarder, to) = start(&["--lifetime", "1s", "udp://127.0.0.1:0", &backend.target()]);
    let client = UdpPeer::bind();
    until("a second flow in place of the first", || {
        // An answer that is on its way when the flow ends is lost.
        client.send(to, b"tick");
        backend.senders().len() == 2
    });
    assert_eq!(forwarder.record().reason(), "limited");
}

#[test]
fn ten_times_more_clients_than_flows_are_all_served() {
    let backend = UdpBackend::echo();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=200:200", REPLUG, "udp://127.0.0.1:0", &backend.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    let to = forwarder.address().udp();
    for at in 0..1000_u32 {
        echo(&UdpPeer::bind(), to, &at.to_be_bytes());
    }
    assert!(forwarder.descriptors() <= 200);
}

#[test]
fn a_backend_that_refuses_is_passed_over() {
    let (closed, b) = (UdpClosed::bind(), UdpBackend::named('B'));
    let (forwarder, to) =
        start(&["--idle", "1s", "--first", "udp://127.0.0.1:0", &closed.target(), &b.target()]);
    let client = UdpPeer::bind();
    assert_eq!(ask(&client, to), 'B', "nothing is lost where the refusal is known at once");
    assert_eq!(ask_anew(3, to), "BBB");
    forwarder.messages().expect(&format!("{} of pool main is down", closed.target()));
    let records = forwarder.records(4);
    let first = records.iter().find(|record| record.client() == client.address().to_string());
    let attempts = first.expect("its record").attempts();
    assert_eq!(attempts.len(), 1);
    assert_eq!((&*attempts[0].backend, &*attempts[0].failure), (&*closed.target(), "refused"));
}

#[test]
fn a_backend_that_comes_back_is_used_again() {
    let (closed, b) = (UdpClosed::bind(), UdpBackend::named('B'));
    let (forwarder, to) =
        start(&["--retry", "500ms", "--first", "udp://127.0.0.1:0", &closed.target(), &b.target()]);
    assert_eq!(ask_anew(2, to), "BB");
    let a = closed.open('A');
    until("the backend to be used again", || ask_anew(1, to) == "A");
    forwarder.messages().expect(&format!("{} of pool main is up again", a.target()));
    assert_eq!(ask_anew(3, to), "AAA");
}

#[test]
fn a_flow_whose_backend_goes_away_moves_to_the_next() {
    let (a, b) = (UdpBackend::named('A'), UdpBackend::named('B'));
    let (_forwarder, to) = start(&["--first", "udp://127.0.0.1:0", &a.target(), &b.target()]);
    let client = UdpPeer::bind();
    assert_eq!(ask(&client, to), 'A');
    drop(a);
    // This one is lost: nobody tells before it is sent that nobody hears.
    client.send(to, b"who?");
    until("the flow to move", || {
        pause(Duration::from_millis(20));
        client.send(to, b"who?");
        client.receive().0 == b"B"
    });
}

#[test]
fn when_all_refuse_the_record_says_so() {
    let closed = [UdpClosed::bind(), UdpClosed::bind()];
    let [a, b] = closed.each_ref().map(UdpClosed::target);
    let (forwarder, to) = start(&["--idle", "500ms", "udp://127.0.0.1:0", &a, &b]);
    let client = UdpPeer::bind();
    for _ in 0..5 {
        client.send(to, b"anybody?");
        pause(Duration::from_millis(20));
    }
    let record = forwarder.records(1).remove(0);
    assert_eq!((record.reason(), record.side()), ("refused", "backend"), "{record:?}");
    assert_eq!(record.backend(), None);
    assert!(record.attempts().len() >= 2, "{record:?}");
    assert_eq!(record.bytes_to_client(), 0);
}

#[test]
fn flows_take_turns_and_a_flow_stays() {
    let [a, b] = ['A', 'B'].map(UdpBackend::named);
    let (_forwarder, to) = start(&["udp://127.0.0.1:0", &a.target(), &b.target()]);
    let letters = ask_anew(10, to);
    assert_eq!(letters.matches('A').count(), 5, "{letters}");
    let client = UdpPeer::bind();
    let letters: HashSet<_> = (0..5).map(|_| ask(&client, to)).collect();
    assert_eq!(letters.len(), 1, "one flow, one backend");
}

#[test]
fn a_client_keeps_its_target_when_it_is_to() {
    let [a, b] = ['A', 'B'].map(UdpBackend::named);
    let (_forwarder, to) = start(&["--sticky", "udp://127.0.0.1:0", &a.target(), &b.target()]);
    let one = ask_anew(5, to);
    let other: String = (0..5).map(|_| ask(&UdpPeer::bind_to("127.0.0.2"), to)).collect();
    assert!(["AAAAA", "BBBBB"].contains(&&*one), "{one}");
    assert!(["AAAAA", "BBBBB"].contains(&&*other) && one != other, "{one} {other}");
}

#[test]
fn a_backend_has_no_more_flows_than_it_may() {
    let [a, b] = ['A', 'B'].map(UdpBackend::named);
    let target = format!("{} max=2", a.target());
    let (_forwarder, to) = start(&["--first", "udp://127.0.0.1:0", &target, &b.target()]);
    let clients: Vec<_> = (0..4).map(|_| UdpPeer::bind()).collect();
    let letters: String = clients.iter().map(|client| ask(client, to)).collect();
    assert_eq!(letters, "AABB");
}

#[test]
fn a_denied_client_gets_nothing_and_one_record() {
    let backend = UdpBackend::echo();
    let (forwarder, to) =
        start(&["--shards", "1", "--deny", "127.0.0.2/32", "udp://127.0.0.1:0", &backend.target()]);
    for _ in 0..4 {
        let denied = UdpPeer::bind_to("127.0.0.2");
        for _ in 0..50 {
            denied.send(to, b"let me in");
        }
    }
    echo(&UdpPeer::bind(), to, b"hello");
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("denied", "replug"));
    assert!(record.client().starts_with("127.0.0.2:"), "{record:?}");
    assert_eq!(backend.datagrams(), 1);
    pause(SILENCE);
    assert_eq!(forwarder.records(1).len(), 1, "no more than one");
    let told = forwarder.messages().so_far();
    assert!(
        !told.iter().any(|line| line.contains("lost")),
        "what is denied is not lost: {told:#?}"
    );
}

#[test]
fn draining_lets_flows_go_on_and_takes_no_new_ones() {
    let backend = UdpBackend::echo();
    let (mut forwarder, to) = start(&["--idle", "2s", "udp://127.0.0.1:0", &backend.target()]);
    let client = UdpPeer::bind();
    echo(&client, to, b"before");
    forwarder.signal(Signal::QUIT);
    forwarder.messages().expect("no new clients");
    echo(&client, to, b"meanwhile");
    let late = UdpPeer::bind();
    late.send(to, b"too late");
    pause(SILENCE);
    assert!(!late.has_something());
    assert_eq!(forwarder.record().reason(), "done");
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn the_time_to_drain_ends_flows() {
    let backend = UdpBackend::echo();
    let (mut forwarder, to) = start(&["udp://127.0.0.1:0", &backend.target()]);
    echo(&UdpPeer::bind(), to, b"hello");
    forwarder.signal(Signal::QUIT);
    forwarder.messages().expect("no new clients");
    forwarder.signal(Signal::TERM);
    let record = forwarder.record();
    assert!(["drained", "killed"].contains(&record.reason()), "{record:?}");
    assert_eq!(record.datagrams(), [1, 1, 0]);
    forwarder.program_mut().wait_exit();
}

#[test]
fn tcp_and_udp_on_one_port_of_one_listener() {
    let (tcp, udp) = (Backend::bind(), UdpBackend::echo());
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let port = free_ports();
    let text = format!(
        "[listener.dns]\nbind = [\"127.0.0.1:{port}\", \"udp://127.0.0.1:{port}\"]\npool = \"a\"\n\
         [listener.more]\nbind = \"udp://127.0.0.1:0\"\npool = \"b\"\n\
         [pool.a]\nbackends = [\"{}\"]\n[pool.b]\nbackends = [\"{}\"]\n\
         [log]\nformat = \"json\"\nto = \"-\"\n",
        tcp.address(),
        udp.target()
    );
    std::fs::write(&file, text).expect("a file can be written");
    let mut command = Command::new(REPLUG);
    let forwarder = Forwarder::start_command(command.args(["run", "-c", &file]), 3);
    let [stream, same, other] = forwarder.addresses() else { panic!("three addresses") };
    assert_eq!(stream.port(), same.port());
    let client = Peer::connect(stream);
    client.send(b"by TCP");
    tcp.accept().expect(b"by TCP");
    echo(&UdpPeer::bind(), other.udp(), b"by UDP");
    assert!(matches!(same, Address::Udp(_)));
}

#[test]
fn a_range_of_ports() {
    let backend = UdpBackend::echo();
    let scratch = Scratch::new();
    let file = scratch.join("replug.toml");
    let first = free_ports();
    let text = format!(
        "[listener.range]\nbind = \"udp://127.0.0.1:{first}-{}\"\nto = \"{}\"\n",
        first + 2,
        backend.target()
    );
    std::fs::write(&file, text).expect("a file can be written");
    let mut command = Command::new(REPLUG);
    let forwarder = Forwarder::start_command(command.args(["run", "-c", &file]), 3);
    for address in forwarder.addresses() {
        echo(&UdpPeer::bind(), address.udp(), b"here as well");
    }
}

#[test]
fn a_port_that_another_process_has_is_told() {
    let taken = UdpPeer::bind();
    let listen = format!("udp://{}", taken.address());
    let mut command = Command::new(REPLUG);
    let mut program = Program::start(command.args([&listen, "127.0.0.1:9"]));
    program.expect_exit(4);
    let told = program.stderr().all_once_closed().join("\n");
    assert!(told.contains(&format!("cannot listen on {listen}")), "{told}");
    assert!(told.contains("ss -lunp"), "{told}");
    // Also when the other one is replug, which shares its ports among its own threads.
    let backend = UdpBackend::echo();
    let (_first, to) = start(&["udp://127.0.0.1:0", &backend.target()]);
    let mut command = Command::new(REPLUG);
    let mut second = Program::start(command.args([&format!("udp://{to}"), &backend.target()]));
    second.expect_exit(4);
}

/// A real server and a real client of it: every query is answered.
#[test]
fn dns_queries_are_all_answered() {
    const QUERIES: usize = 2000;

    let scratch = Scratch::new();
    let port = free_ports().to_string();
    let dnsmasq = Program::start(Command::new("/usr/sbin/dnsmasq").args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--address=/replug.example/192.0.2.7",
        "--port",
        &port,
    ]));
    dnsmasq.stderr().expect("started");
    let (forwarder, to) =
        start(&["--idle", "1s", "udp://127.0.0.1:0", &format!("127.0.0.1:{port}")]);
    let queries = scratch.join("queries");
    let text: String = (0..QUERIES).map(|at| format!("host{at}.replug.example A\n")).collect();
    std::fs::write(&queries, text).expect("a file can be written");
    let server = [to.ip().to_string(), to.port().to_string()];
    let told = Program::run(Command::new("dnsperf").args([
        "-s", &server[0], "-p", &server[1], "-d", &queries, "-c", "8", "-n", "1", "-Q", "1000",
    ]));
    let told = told.join("\n");
    let figure = |name: &str| {
        let line = told.lines().find(|line| line.trim_start().starts_with(name));
        let word = line.and_then(|line| line[line.find(':')? + 1..].split_whitespace().next());
        word.unwrap_or_default().to_owned()
    };
    assert_eq!(figure("Queries completed"), QUERIES.to_string(), "{told}");
    assert_eq!(figure("Queries lost"), "0", "{told}");
    assert!(told.contains("NOERROR"), "{told}");
    let carried: u64 = forwarder.records(8).iter().map(|record| record.datagrams()[1]).sum();
    assert_eq!(carried, QUERIES as u64);
}
