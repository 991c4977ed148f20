//! Sessions that go where their first bytes say.

mod crowd;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rig::wait::until;
use rig::{Backend, Forwarder, Payload, Peer, Record, Scratch, UdpBackend};
use rustix::process::Signal;

use crate::path::REPLUG;
use crate::signal::expect_refused;

/// Long enough for whatever a test does before it.
const NEVER: &str = "1m";

/// Time for the bytes of one packet to be read before the next ones come.
const PAUSE: Duration = Duration::from_millis(1);

/// Starts replug with a listener of these keys, `[[route]]` meaning one of its routes, and with
/// pools by their names.
fn start(keys: &str, pools: &[(&str, &Backend)]) -> Forwarder {
    let scratch = Scratch::new();
    let path = scratch.join("replug.toml");
    let mut text = format!("[listener.in]\nbind = \"127.0.0.1:0\"\n{keys}\n");
    text = text.replace("[[route]]", "[[listener.in.route]]");
    for (name, backend) in pools {
        text += &format!("[pool.{name}]\nbackends = \"{}\"\n", backend.address());
    }
    text += "[log]\nformat = \"json\"\nto = \"-\"\n";
    fs::write(&path, text).expect("a scratch file can be written");
    Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
}

/// So many records in the order in which their sessions began; several threads write them.
#[track_caller]
fn records(forwarder: &Forwarder, count: usize) -> Vec<Record> {
    let mut records = forwarder.records(count);
    records.sort_by_key(|record| record.field("id").as_u64());
    records
}

fn long(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it is short");
    [&length.to_be_bytes()[..], body].concat()
}

/// A ClientHello in records of at most `size` bytes.
fn client_hello(host: &str, alpn: &str, size: usize) -> Vec<u8> {
    let name = long(&[&[0][..], &long(host.as_bytes())].concat());
    let length = u8::try_from(alpn.len()).expect("it is short");
    let protocols = long(&[&[length][..], alpn.as_bytes()].concat());
    let extensions =
        [&[0, 0][..], &long(&name), &[0, 16], &long(&protocols), &[0, 43, 0, 3, 2, 3, 4]].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(long(&extensions));
    let length = u32::try_from(body.len()).expect("it is short");
    let message = [&[1][..], &length.to_be_bytes()[1..], &body].concat();
    let record = |piece: &[u8]| [&[0x16, 3, 1][..], &long(piece)].concat();
    message.chunks(size).flat_map(record).collect()
}

/// The session of `client`, whose first bytes were `hello`, at the backend it went to.
#[track_caller]
fn answer(client: &Peer, hello: &[u8], backend: &Backend) {
    let peer = backend.accept();
    peer.expect(hello);
    peer.send(b"welcome");
    client.expect(b"welcome");
    client.send(b"and on");
    client.half_close();
    peer.expect(b"and on");
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

#[test]
fn each_protocol_is_told_however_its_bytes_come() {
    let mut openvpn = vec![0, 14, 0x38];
    openvpn.extend([9; 8]);
    openvpn.extend([0; 5]);
    let dns = b"\0\x1d\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    let startup = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
    let samples: [(&str, Vec<u8>); 15] = [
        ("tls", client_hello("www.example", "h2", 7)),
        ("http", b"GET /a HTTP/1.1\r\nHost: www.example\r\n\r\n".to_vec()),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec()),
        ("socks4", b"\x04\x01\x00\x50\x0a\x00\x00\x01me\0".to_vec()),
        ("socks5", vec![5, 2, 0, 2]),
        ("postgres", startup.to_vec()),
        ("rdp", b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=alice\r\n".to_vec()),
        ("xmpp", b"<?xml version='1.0'?><stream:stream to='a'>".to_vec()),
        ("smtp-client", b"EHLO client.example\r\n".to_vec()),
        ("redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("mqtt", b"\x10\x0c\x00\x04MQTT\x05\x02\0\0\0\0".to_vec()),
        ("git", b"0026git-upload-pack /a b.git\0host=x:1\0".to_vec()),
        ("openvpn", openvpn),
        ("dns", dns.to_vec()),
        ("proxy", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()),
    ];
    let backends: Vec<_> = samples.iter().map(|(name, _)| (*name, Backend::bind())).collect();
    let pools: Vec<_> = backends.iter().map(|(name, backend)| (*name, backend)).collect();
    let route = |(name, _): &(&str, Vec<u8>)| {
        format!("[[route]]\nwhen = {{ protocol = \"{name}\" }}\npool = \"{name}\"\n")
    };
    let routes: String = samples.iter().map(route).collect();
    let keys = format!("otherwise = \"close\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n{routes}");
    let forwarder = start(&keys, &pools);
    for ((name, hello), (_, backend)) in samples.iter().zip(&backends) {
        let client = Peer::connect(forwarder.address());
        client.dribble(hello, PAUSE);
        answer(&client, hello, backend);
        let client = Peer::connect(forwarder.address());
        client.send(hello);
        answer(&client, hello, backend);
        assert!(!backend.somebody_waits(), "{name}");
    }
    for (at, record) in records(&forwarder, 2 * samples.len()).iter().enumerate() {
        assert_eq!(record.field("route"), &(at / 2 + 1).to_string(), "{record:?}");
        assert_eq!(record.field("pool"), samples[at / 2].0);
    }
}

#[test]
fn a_client_hello_goes_by_its_host_and_its_protocols() {
    let [exact, below, acme, own] = [(); 4].map(|()| Backend::bind());
    let forwarder = start(
        "pool = \"own\"\n\
         [[route]]\nname = \"acme\"\nwhen = { alpn = \"acme-tls/1\", tls_version = \"1.3\" }\npool = \"acme\"\n\
         [[route]]\nwhen = { sni = \"www.example\" }\npool = \"exact\"\n\
         [[route]]\nwhen = { sni = \"*.example\", not = { sni = \"not.example\" } }\npool = \"below\"\n",
        &[("exact", &exact), ("below", &below), ("acme", &acme), ("own", &own)],
    );
    for (host, alpn, backend) in [
        ("www.example", "h2", &exact),
        ("WWW.Example", "h2", &exact),
        ("a.b.example", "h2", &below),
        ("not.example", "h2", &own),
        ("www.example", "acme-tls/1", &acme),
        ("other", "h2", &own),
    ] {
        let hello = client_hello(host, alpn, 9);
        let client = Peer::connect(forwarder.address());
        client.send(&hello);
        answer(&client, &hello, backend);
    }
    let records = records(&forwarder, 6);
    let told: Vec<_> = records
        .iter()
        .map(|record| ["sni", "alpn", "route", "tls_version"].map(|name| record.field(name)))
        .collect();
    assert_eq!(told[1], ["www.example", "h2", "2", "1.3"]);
    assert_eq!(told[2], ["a.b.example", "h2", "3", "1.3"]);
    assert_eq!(told[4], ["www.example", "acme-tls/1", "acme", "1.3"]);
    assert!(told[5][2].is_null(), "{told:?}");
}

#[test]
fn silent_clients_hear_a_server_that_speaks_first() {
    let [ssh, sql] = [(); 2].map(|()| Backend::bind());
    let forwarder = start(
        "otherwise = \"close\"\non_silence = \"sql\"\ntimeouts = { sniff = \"200ms\" }\n\
         [[route]]\nwhen = { protocol = \"ssh\" }\npool = \"ssh\"\n",
        &[("ssh", &ssh), ("sql", &sql)],
    );
    let client = Peer::connect(forwarder.address());
    let server = sql.accept();
    server.send(b"J\0\0\0\x0a8.0.36");
    client.expect(b"J\0\0\0\x0a8.0.36");
    client.send(b"login");
    server.expect(b"login");
    drop((client, server));
    // One that has ended its stream without a word is silent as well.
    let client = Peer::connect(forwarder.address());
    client.half_close();
    let server = sql.accept();
    server.expect_fin();
    server.send(b"greeting");
    client.expect(b"greeting");
    drop((client, server));
    let client = Peer::connect(forwarder.address());
    client.send(b"SSH-2.0-x\r\n");
    answer(&client, b"SSH-2.0-x\r\n", &ssh);
    let records = records(&forwarder, 3);
    let mut routes: Vec<_> = records.iter().map(|record| record.field("route").as_str()).collect();
    routes.sort_unstable();
    assert_eq!(routes, [Some("1"), Some("on_silence"), Some("on_silence")]);
}

#[test]
fn who_does_not_show_its_route_in_time_is_turned_away() {
    let tls = Backend::bind();
    let forwarder = start(
        "pool = \"tls\"\ntimeouts = { sniff = \"300ms\" }\n\
         [[route]]\nwhen = { sni = \"*\" }\npool = \"tls\"\n",
        &[("tls", &tls)],
    );
    let silent = Peer::connect(forwarder.address());
    let begun = Peer::connect(forwarder.address());
    begun.send(&client_hello("a.example", "h2", 99)[..50]);
    silent.expect_reset();
    begun.expect_reset();
    for record in records(&forwarder, 2) {
        assert_eq!((record.reason(), record.side()), ("sniff_timeout", "replug"));
        assert_eq!(record.field("code"), "cR");
        assert!(record.field("pool").is_null(), "{record:?}");
    }
    assert!(!tls.somebody_waits());
}

/// The clients of a slow attack: each is closed at its deadline, however it trickles, and nobody
/// else takes notice.
#[test]
fn clients_that_trickle_are_closed_at_the_deadline() {
    const CLIENTS: usize = 300;
    let ssh = Backend::bind();
    let forwarder = start(
        "otherwise = \"close\"\ntimeouts = { sniff = \"1s\" }\n\
         [[route]]\nwhen = { protocol = \"ssh\" }\npool = \"ssh\"\n\
         [[route]]\nwhen = { host = \"*\" }\npool = \"ssh\"\n",
        &[("ssh", &ssh)],
    );
    let before = Peer::connect(forwarder.address());
    before.send(b"SSH-");
    let at_server = ssh.accept();
    at_server.expect(b"SSH-");
    let descriptors = forwarder.descriptors();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Peer::connect(forwarder.address())).collect();
    let begin = Instant::now();
    let mut others = 0;
    // The stream of each ends with a reset sooner or later; until then it goes on.
    let hello = b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in hello {
        let is_over = clients
            .iter()
            .filter(|client| client.try_send(std::slice::from_ref(byte)).is_err())
            .count();
        if is_over == CLIENTS {
            break;
        }
        assert!(begin.elapsed() < rig::PATIENCE, "{is_over} are closed");
        let client = Peer::connect(forwarder.address());
        client.send(b"SSH-2.0-x\r\n");
        answer(&client, b"SSH-2.0-x\r\n", &ssh);
        others += 1;
    }
    at_server.send(b"still there");
    before.expect(b"still there");
    let records = records(&forwarder, CLIENTS + others);
    let slow: Vec<_> = records.iter().filter(|record| record.reason() == "sniff_timeout").collect();
    assert_eq!(slow.len(), CLIENTS);
    assert_eq!(records.iter().filter(|record| record.reason() == "done").count(), others);
    for record in slow {
        let lasted = record.field("duration_ms").as_f64().expect("a number");
        // By a clock that is read now and then.
        assert!(lasted >= 980.0, "{record:?}");
    }
    // None is left of the hundreds; some are of the process itself, which may have just begun.
    forwarder.expect_descriptors(descriptors + CLIENTS / 10);
}

#[test]
fn what_no_route_takes_is_closed_if_that_is_asked_for() {
    let ssh = Backend::bind();
    let forwarder = start(
        "otherwise = \"close\"\n[[route]]\nwhen = { protocol = \"ssh\" }\npool = \"ssh\"\n",
        &[("ssh", &ssh)],
    );
    let client = Peer::connect(forwarder.address());
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    client.expect_reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("denied", "replug"));
    assert_eq!(record.field("code"), "PR");
}

#[test]
fn an_end_of_stream_decides_and_is_passed_on() {
    let [web, own] = [(); 2].map(|()| Backend::bind());
    let forwarder = start(
        &format!(
            "pool = \"own\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ host = \"www.example\" }}\npool = \"web\"\n"
        ),
        &[("web", &web), ("own", &own)],
    );
    let request = b"GET / HTTP/1.0\r\nHost: www.example\r\n\r\n";
    for (text, backend) in [(&request[..], &web), (&request[..20], &own), (b"", &own)] {
        let client = Peer::connect(forwarder.address());
        client.send(text);
        client.half_close();
        let peer = backend.accept();
        peer.expect(text);
        peer.expect_fin();
        peer.send(b"answer");
        peer.half_close();
        client.expect(b"answer");
        client.expect_fin();
    }
    let record = records(&forwarder, 3).remove(0);
    assert_eq!(record.bytes_to_backend(), request.len() as u64);
}

#[test]
fn no_more_than_the_limit_is_looked_at_and_nothing_is_lost() {
    let [web, own] = [(); 2].map(|()| Backend::bind());
    let forwarder = start(
        &format!(
            "pool = \"own\"\nsniff_bytes = \"512B\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ host = \"*\" }}\npool = \"web\"\n"
        ),
        &[("web", &web), ("own", &own)],
    );
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\nHost: a\r\n\r\n", "x".repeat(600));
    let client = Peer::connect(forwarder.address());
    client.send(head.as_bytes());
    let peer = own.accept();
    peer.expect(head.as_bytes());
    let (mut sent, mut received) = (Payload::new(7), Payload::new(7));
    std::thread::scope(|scope| {
        scope.spawn(|| client.send_payload(&mut sent, 4 << 20));
        peer.expect_payload(&mut received, 4 << 20);
    });
}

#[test]
fn a_client_that_resets_while_it_is_listened_to_costs_nothing() {
    let own = Backend::bind();
    let forwarder = start(
        &format!(
            "pool = \"own\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ sni = \"*\" }}\npool = \"own\"\n"
        ),
        &[("own", &own)],
    );
    let client = Peer::connect(forwarder.address());
    client.send(&[0x16]);
    client.reset();
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("client_reset", "client"));
    assert_eq!(record.field("code"), "CR");
    assert!(!own.somebody_waits());
}

#[test]
fn who_is_undecided_ends_with_the_process() {
    let own = Backend::bind();
    let mut forwarder = start(
        &format!(
            "pool = \"own\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ sni = \"*\" }}\npool = \"own\"\n"
        ),
        &[("own", &own)],
    );
    let client = Peer::connect(forwarder.address());
    client.send(&[0x16]);
    forwarder.signal(Signal::TERM);
    // Two signals at a time may become one.
    expect_refused(forwarder.address());
    forwarder.signal(Signal::TERM);
    client.expect_reset();
    forwarder.program_mut().wait_exit();
    assert_eq!(forwarder.record().reason(), "killed");
}

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

fn startup(user: &str) -> Vec<u8> {
    let body = format!("user\0{user}\0database\0shop\0\0");
    let length = u32::try_from(8 + body.len()).expect("it is short");
    [&length.to_be_bytes()[..], &[0, 3, 0, 0], body.as_bytes()].concat()
}

#[test]
fn a_postgres_client_is_known_by_its_user_in_plain_text() {
    let [alice, own] = [(); 2].map(|()| Backend::bind());
    let forwarder = start(
        "pool = \"own\"\n[[route]]\nwhen = { user = \"alice\", database = \"shop\" }\npool = \"alice\"\n",
        &[("alice", &alice), ("own", &own)],
    );
    for (requests, user, backend) in [
        (&[][..], "alice", &alice),
        (&[SSL_REQUEST], "alice", &alice),
        (&[GSS_REQUEST, SSL_REQUEST], "alice", &alice),
        (&[SSL_REQUEST], "bob", &own),
    ] {
        let client = Peer::connect(forwarder.address());
        for request in requests {
            client.dribble(request, PAUSE);
            client.expect(b"N");
        }
        let startup = startup(user);
        client.dribble(&startup, PAUSE);
        // The backend has been asked for nothing that was answered already.
        answer(&client, &startup, backend);
    }
    // Where nobody has to look inside, the backend answers itself.
    let forwarder = start(
        "pool = \"own\"\n[[route]]\nwhen = { protocol = \"postgres\" }\npool = \"alice\"\n",
        &[("alice", &alice), ("own", &own)],
    );
    let client = Peer::connect(forwarder.address());
    client.send(SSL_REQUEST);
    answer(&client, SSL_REQUEST, &alice);
}

#[test]
fn a_postgres_client_is_known_by_its_host_within_tls() {
    let [first, second, own] = [(); 3].map(|()| Backend::bind());
    let forwarder = start(
        &format!(
            "pool = \"own\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ protocol = \"postgres\", sni = \"db.example\" }}\npool = \"db\"\n\
             [pool.db]\nbackends = [\"{}\", \"{}\"]\nbalance = \"first\"\n",
            first.address(),
            second.address()
        ),
        &[("own", &own)],
    );
    let hello = client_hello("db.example", "postgresql", 60);
    let begin = || {
        let client = Peer::connect(forwarder.address());
        client.send(SSL_REQUEST);
        client.expect(b"S");
        client.dribble(&hello, Duration::ZERO);
        client
    };
    let client = begin();
    let peer = first.accept();
    // What the client was promised is asked for, by itself: what comes early might be forged.
    peer.expect(SSL_REQUEST);
    assert!(!peer.is_readable());
    peer.send(b"S");
    peer.expect(&hello);
    peer.send(b"server hello");
    client.expect(b"server hello");
    drop((client, peer));
    assert_eq!(forwarder.record().field("sni"), "db.example");

    // A backend that refuses cannot serve this one; another may.
    let client = begin();
    let peer = first.accept();
    peer.expect(SSL_REQUEST);
    peer.send(b"N");
    let peer = second.accept();
    peer.expect(SSL_REQUEST);
    peer.send(b"S");
    peer.expect(&hello);
    drop((client, peer));
    let record = records(&forwarder, 2).pop().expect("two records");
    assert_eq!(record.attempts()[0].failure, "no_tls");

    // One that no route takes was promised the same.
    let client = Peer::connect(forwarder.address());
    client.send(SSL_REQUEST);
    client.expect(b"S");
    let hello = client_hello("other.example", "postgresql", 60);
    client.send(&hello);
    let peer = own.accept();
    peer.expect(SSL_REQUEST);
    peer.send(b"S");
    peer.expect(&hello);
}

#[test]
fn datagrams_go_by_what_the_first_one_is() {
    let [dns, wireguard, own] = ['D', 'W', 'O'].map(UdpBackend::named);
    let scratch = Scratch::new();
    let path = scratch.join("replug.toml");
    let text = format!(
        "[listener.in]\nbind = \"udp://127.0.0.1:0\"\nto = \"{}\"\n\
         [[listener.in.route]]\nwhen = {{ protocol = \"dns\" }}\npool = \"dns\"\n\
         [[listener.in.route]]\nwhen = {{ any = [{{ protocol = \"wireguard\" }}, {{ prefix = \"hex:ff\" }}] }}\n\
         pool = \"wireguard\"\n\
         [pool.dns]\nbackends = \"{}\"\n[pool.wireguard]\nbackends = \"{}\"\n",
        own.target(),
        dns.target(),
        wireguard.target()
    );
    fs::write(&path, text).expect("a scratch file can be written");
    let forwarder = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    let query = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    let mut initiation = vec![1, 0, 0, 0];
    initiation.resize(148, 9);
    for (bytes, letter) in [
        (&query[..], b'D'),
        (&initiation, b'W'),
        (b"\xff", b'W'),
        (&query[..20], b'O'),
        (b"", b'O'),
    ] {
        let client = rig::UdpPeer::bind();
        let answer = client.ask(forwarder.address().udp(), bytes);
        assert_eq!(answer.first(), Some(&letter), "{bytes:?}");
    }
}

#[test]
fn datagrams_that_no_route_takes_are_let_go_if_that_is_asked_for() {
    let dns = UdpBackend::named('D');
    let scratch = Scratch::new();
    let path = scratch.join("replug.toml");
    let text = format!(
        "[listener.in]\nbind = \"udp://127.0.0.1:0\"\notherwise = \"close\"\n\
         [[listener.in.route]]\nwhen = {{ regex = 'a[0-9]' }}\npool = \"dns\"\n\
         [pool.dns]\nbackends = \"{}\"\n[log]\nformat = \"json\"\nto = \"-\"\n",
        dns.target()
    );
    fs::write(&path, text).expect("a scratch file can be written");
    let forwarder = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    let client = rig::UdpPeer::bind();
    client.send(forwarder.address().udp(), b"ab");
    assert_eq!(forwarder.record().reason(), "denied");
    // It has no flow, so what it sends next is looked at for itself.
    assert_eq!(client.ask(forwarder.address().udp(), b"a1").first(), Some(&b'D'));
}

/// A listener whose routes do not ask for it does not wait for its clients.
#[test]
fn nobody_waits_where_addresses_decide() {
    let [near, tls] = [(); 2].map(|()| Backend::bind());
    let forwarder = start(
        &format!(
            "pool = \"tls\"\ntimeouts = {{ sniff = \"{NEVER}\" }}\n\
             [[route]]\nwhen = {{ client = \"127.0.0.1\" }}\npool = \"near\"\n\
             [[route]]\nwhen = {{ sni = \"*\" }}\npool = \"tls\"\n"
        ),
        &[("near", &near), ("tls", &tls)],
    );
    let client = Peer::connect(forwarder.address());
    let peer = near.accept();
    peer.send(b"first");
    client.expect(b"first");
    let other = Peer::connect_from("127.0.0.2".parse().expect("an address"), forwarder.address());
    other.send(b"\0");
    until("the other to go elsewhere", || tls.somebody_waits());
}

/// Segments that the backend has got on its only connection, as ss(8) tells.
fn segments(backend: &Backend) -> u32 {
    let source = format!("sport = :{}", backend.address().port());
    let ss = Command::new("ss").args(["-Htin", "state", "established", &source]).output();
    let told = String::from_utf8(ss.expect("ss runs").stdout).expect("ss speaks ASCII");
    let mut words = told.split_whitespace().filter_map(|word| word.strip_prefix("segs_in:"));
    let (Some(segments), None) = (words.next(), words.next()) else {
        panic!("not one connection: {told}");
    };
    segments.parse().expect("ss counts")
}

#[test]
fn what_is_known_comes_with_the_end_of_the_handshake() {
    let backend = Backend::bind();
    let forwarder =
        start("[[route]]\nwhen = { protocol = \"ssh\" }\npool = \"it\"", &[("it", &backend)]);
    let client = Peer::connect(forwarder.address());
    client.send(b"SSH-2.0-a\r\n");
    let at_backend = backend.accept();
    at_backend.expect(b"SSH-2.0-a\r\n");
    assert_eq!(segments(&backend), 2, "the SYN, and one for both");
}
