//! 4, 6, 14: to the proxy, or to where the client meant to go.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, BlackHole, Closed, Program, Road, Scratch, figures};

use crate::start::{REPLUG, Tproxy};

/// A road on which port 80 and 81 of the others are diverted to port 8081 between.
#[track_caller]
fn diverted() -> Road {
    let road = Road::lay();
    road.divert(
        "table ip t { chain c { type nat hook prerouting priority dstnat; \
         iifname c0 tcp dport { 80, 81 } redirect to :8081; }; }",
    );
    road
}

/// `tproxy -s 8081 -d OPTIONS OTHERS`, once it listens.
#[track_caller]
fn tproxy(road: &Road, words: &[&str]) -> Program {
    road.ours.inside(|| {
        let mut command = Command::new(REPLUG);
        command.arg0("tproxy").args(["-s", "8081", "-d"]).args(words);
        let program = Program::start(&mut command);
        let place = Address::parse("0.0.0.0:8081").tcp();
        until("tproxy to listen", || figures::is_listened_on(place));
        program
    })
}

const PATH: &[u8] = b"GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

/// 4: the port is the one that the client meant, and so is the address if it names no host.
#[test]
fn tp04_clients_that_were_diverted() {
    let road = diverted();
    let proxy = road.listens("10.82.0.2:3128");
    let _tproxy = tproxy(&road, &["10.82.0.2", "3128"]);
    for (target, sent, expected) in [
        ("10.82.0.9:80", "GET /a HTTP/1.0\r\n\r\n", "GET http://10.82.0.9/a HTTP/1.0\r\n\r\n"),
        ("10.82.0.9:81", "GET /a\r\n", "GET http://10.82.0.9:81/a\r\n"),
        ("10.82.0.9:80", "GET / HTTP/1.0\nHost: b\n\n", "GET http://b/ HTTP/1.0\nHost: b\n\n"),
        ("10.82.0.9:81", "GET / HTTP/1.0\nHost: b\n\n", "GET http://b:81/ HTTP/1.0\nHost: b\n\n"),
    ] {
        let client = road.connect(target);
        client.send(sent.as_bytes());
        proxy.accept().expect(expected.as_bytes());
    }
}

/// 6: a proxy that refuses is passed over, and requests stay as they are; the log says so.
#[test]
fn tp06_to_where_the_client_meant_to_go() {
    let road = diverted();
    let origin = road.listens("10.82.0.2:80");
    let scratch = Scratch::new();
    let file = scratch.join("log");
    let tproxy = tproxy(&road, &["-l", &file, "10.82.0.2", "3128"]);
    let client = road.connect("10.82.0.2:80");
    client.send(PATH);
    let peer = origin.accept();
    peer.expect(PATH);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    tproxy.stderr().expect("connect(): Connection refused");
    until("the line", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with("1 10.81.0.2 -> /a\n"))
    });
    // Each connection tries the proxy anew.
    let proxy = road.listens("10.82.0.2:3128");
    let client = road.connect("10.82.0.2:80");
    client.send(PATH);
    proxy.accept().expect(b"GET http://www.example.com/a HTTP/1.1\r\n");
}

/// 6, where we differ: a proxy that does not answer is given up after 10 s, as tproxy means to.
#[test]
fn tp06_a_proxy_that_does_not_answer() {
    let road = diverted();
    let origin = road.listens("10.82.0.2:80");
    let hole = road.ours.inside(BlackHole::open);
    let port = hole.address().port().to_string();
    let _tproxy = tproxy(&road, &["127.0.0.1", &port]);
    let client = road.connect("10.82.0.2:80");
    client.send(PATH);
    origin.accept().expect(PATH);
}

/// 6: with `-p` there is no other way.
#[test]
fn tp06_only_by_the_proxy() {
    let dead = Closed::bind();
    let tproxy = Tproxy::start(&["-p"], dead.address());
    tproxy.connect().expect_fin();
    tproxy.program.stderr().expect("connect(): Connection refused");
    tproxy.program.stderr().expect("Could not connect to proxy host \"127.0.0.1\"");
}

/// 4: `-t` in both meanings.
#[test]
fn tp04_t_goes_where_the_client_meant_to_go() {
    let road = diverted();
    let (origin, host) = (road.listens("10.82.0.2:80"), road.listens("10.82.0.2:25"));
    let _tproxy = tproxy(&road, &["-t", "10.82.0.2", "25"]);
    let client = road.connect("10.82.0.2:80");
    client.send(PATH);
    origin.accept().expect(PATH);
    // Who was not diverted goes to the host, as in 0.x.
    let client = road.connect("10.81.0.1:8081");
    let peer = host.accept();
    peer.send(b"220");
    client.expect(b"220");
}

/// 14: the name is looked up while it runs, and its addresses take turns. Where we differ: it is
/// looked up again when its answer expires.
#[test]
fn tp14_a_proxy_by_name() {
    let proxy = Backend::bind_to(&Address::parse("127.0.0.1:0"));
    let port = proxy.address().port().to_string();
    let tproxy = Tproxy::start_to(&[], &["localhost", &port]);
    let client = tproxy.connect();
    client.send(b"GET http://a/ HTTP/1.1\r\n\r\n");
    proxy.accept().expect(b"GET http://a/ HTTP/1.1\r\n\r\n");
}
