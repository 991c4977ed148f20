//! Clients that were diverted to us, and connections that leave from their addresses.
//!
//! Three networks in a row: clients, replug, and what the clients mean to reach. That they would
//! reach it without replug is of no use here, so the one in the middle forwards nothing by itself.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Command;

use rig::{
    Address, Backend, Forwarder, Namespace, Peer, Program, Record, Road, Scratch, UdpBackend,
    UdpPeer,
};

use crate::file;
use crate::path::{REPLUG, exchange};

/// Exit code: cannot listen, or not permitted.
const NOT_PERMITTED: i32 = 4;

/// What diverts clients of port 80 and 81 to port 3129.
const REDIRECT: &str = "table inet t { chain c { type nat hook prerouting priority dstnat; \
                        tcp dport { 80, 81 } redirect to :3129; }; }";

/// The same, and what belongs to connections of ours that leave from clients' addresses.
const TPROXY: &str = "table inet t { chain c { type filter hook prerouting priority mangle; \
                      socket transparent 1 socket wildcard 0 meta mark set 1 accept; \
                      iifname c0 meta nfproto ipv4 tcp dport { 80, 81 } tproxy ip to :3129 meta mark set 1 accept; \
                      iifname c0 meta nfproto ipv6 tcp dport { 80, 81 } tproxy ip6 to :3129 meta mark set 1 accept; }; }";

/// The same for connections of ours only.
const RETURN: &str = "table inet r { chain c { type filter hook prerouting priority mangle; \
                      socket transparent 1 socket wildcard 0 meta mark set 1 accept; }; }";

/// replug between clients and others, once it listens.
#[track_caller]
fn start(road: &Road, config: &str) -> Forwarder {
    road.ours.inside(|| file::start(config, 1))
}

const TARGETS: [&str; 2] = ["10.82.0.2:80", "[fd82::2]:80"];

fn listener(mode: &str, more: &str) -> String {
    format!("[listener.a]\nbind = \":3129\"\ntransparent = \"{mode}\"\n{more}\n")
}

/// Serves a client of `target`; who its backend sees, and what is recorded.
#[track_caller]
fn serve(road: &Road, target: &str, backend: &Backend) -> [Address; 2] {
    let client = road.connect(target);
    let peer = backend.accept();
    exchange(&client, &peer, 100_000);
    let seen = [client.local_address(), peer.remote_address()];
    client.half_close();
    peer.expect_fin();
    // The client gets its FIN behind the record.
    peer.half_close();
    client.expect_fin();
    seen
}

/// Clients of both families get where they meant to go, from the address of replug.
#[track_caller]
fn check_original(mode: &str, rules: &str) {
    let road = Road::lay();
    road.divert(rules);
    let forwarder = start(&road, &listener(mode, "to = \"original\""));
    for (target, ours) in TARGETS.into_iter().zip(["10.82.0.1", "fd82::1"]) {
        let [_, seen] = serve(&road, target, &road.listens(target));
        assert_eq!(seen.tcp().ip().to_string(), ours);
    }
    let records = forwarder.records(2);
    assert_eq!(records.iter().map(Record::backend).collect::<Vec<_>>(), TARGETS.map(Some));
    assert!(records.iter().all(|record| record.reason() == "done"));
}

#[test]
fn redirected_clients_get_where_they_meant_to_go() {
    check_original("redirect", REDIRECT);
}

#[test]
fn tproxied_clients_get_where_they_meant_to_go() {
    check_original("tproxy", TPROXY);
}

/// What a backend sees is the client's address and port.
#[track_caller]
fn check_source(mode: &str, rules: &str, to: &str, keeps_port: bool) {
    let road = Road::lay();
    road.divert(rules);
    let forwarder = start(&road, &listener(mode, &format!("{to}\nsource = \"client\"\n")));
    for target in TARGETS {
        let [client, seen] = serve(&road, target, &road.listens(target));
        assert_eq!(client.tcp().ip(), seen.tcp().ip(), "{target}");
        assert_eq!(client == seen, keeps_port, "{client} {seen}");
    }
    assert!(forwarder.records(2).iter().all(|record| record.reason() == "done"));
}

#[test]
fn tproxied_clients_are_seen_as_themselves() {
    check_source("tproxy", TPROXY, "to = \"original\"", true);
}

/// A port of theirs would be diverted again on its way from here.
#[test]
fn redirected_clients_are_seen_with_another_port() {
    check_source("redirect", &format!("{REDIRECT}; {RETURN}"), "to = \"original\"", false);
}

#[test]
fn clients_of_a_plain_listener_are_seen_as_themselves() {
    let road = Road::lay();
    road.divert(RETURN);
    let config = "[listener.a]\nbind = \":3129\"\nto = [\"10.82.0.2:80\", \"[fd82::2]:80\"]\n\
                  balance = \"first\"\nsource = \"client\"\n";
    let forwarder = start(&road, config);
    let backends = TARGETS.map(|target| road.listens(target));
    let [client, seen] = serve(&road, "10.81.0.1:3129", &backends[0]);
    assert_eq!(client, seen);
    // To the first of them this client has no address of its own to leave from.
    let [client, seen] = serve(&road, "[fd81::1]:3129", &backends[1]);
    assert_eq!(client, seen);
    let records = forwarder.records(2);
    let [attempt] = &*records[1].attempts() else { panic!("{:?}", records[1]) };
    assert_eq!(attempt.failure, "no_source");
}

#[test]
fn flows_leave_as_their_clients_too() {
    let road = Road::lay();
    road.divert(RETURN);
    let config =
        "[listener.a]\nbind = \"udp://:3129\"\nto = \"10.82.0.2:53\"\nsource = \"client\"\n";
    let _forwarder = start(&road, config);
    let backend = road.others.inside(|| UdpBackend::echo_at("10.82.0.2:53"));
    let client = road.clients.inside(|| UdpPeer::bind_to("10.81.0.2"));
    let ours = "10.81.0.1:3129".parse().expect("an address");
    assert_eq!(client.ask(ours, b"who am I"), b"who am I");
    assert_eq!(backend.senders().into_iter().collect::<Vec<_>>(), [client.address()]);
}

#[test]
fn a_port_that_is_taken_is_left_to_its_owner() {
    let road = Road::lay();
    let config = "[listener.a]\nbind = \":3129\"\nto = \"10.82.0.1:80\"\nsource = \"client\"\n";
    let forwarder = start(&road, config);
    // On the machine of replug the client's own socket has the port.
    let backend = road.ours.inside(|| Backend::bind_to(&Address::parse("10.82.0.1:80")));
    let client = road.ours.inside(|| Peer::connect(&Address::parse("10.81.0.1:3129")));
    let peer = backend.accept();
    exchange(&client, &peer, 1000);
    let (mine, seen) = (client.local_address().tcp(), peer.remote_address().tcp());
    assert_eq!(mine.ip(), seen.ip());
    assert_ne!(mine.port(), seen.port());
    drop((client, peer));
    forwarder.record();
}

#[test]
fn whoever_is_not_diverted_has_no_original_destination() {
    for (mode, rules) in [("redirect", REDIRECT), ("tproxy", TPROXY)] {
        let road = Road::lay();
        road.divert(rules);
        let forwarder = start(&road, &listener(mode, "to = \"original\""));
        for target in ["10.81.0.1:3129", "[fd81::1]:3129", "10.82.0.1:3129"] {
            road.expect_turned_away(target);
        }
        let records = forwarder.records(3);
        for record in records {
            assert_eq!((record.reason(), record.side()), ("denied", "replug"), "{record:?}");
        }
        let told = forwarder.messages().expect("replug doctor transparent");
        let words =
            if mode == "redirect" { "without being diverted" } else { "where replug listens" };
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn whoever_meant_to_go_to_a_listener_of_ours_is_refused() {
    let road = Road::lay();
    road.divert(REDIRECT);
    // The second is where the rule diverts from.
    let config = listener("redirect", "to = \"original\"")
        + "[listener.b]\nbind = \"10.81.0.1:81\"\nto = \"10.82.0.2:80\"\n";
    let forwarder = road.ours.inside(|| file::start(&config, 2));
    road.expect_turned_away("10.81.0.1:81");
    let record = forwarder.record();
    assert_eq!(record.reason(), "denied");
    assert_eq!(record.attempts()[0].failure, "loop");
    forwarder.messages().expect("meant to go to 10.81.0.1:81, where replug listens");
}

#[test]
fn the_original_destination_stands_in_for_a_backend() {
    let road = Road::lay();
    road.divert(TPROXY);
    let forwarder =
        start(&road, &listener("tproxy", "to = [\"10.82.0.2:3128\", \"original backup\"]"));
    let original = road.listens("10.82.0.2:80");
    serve(&road, "10.82.0.2:80", &original);
    road.expect_turned_away("10.82.0.2:81");
    let mut records = forwarder.records(2);
    // Several threads write them.
    records.sort_by_key(|record| record.backend().map(str::to_owned));
    let backends: Vec<_> = records.iter().map(Record::backend).collect();
    assert_eq!(backends, [None, Some("10.82.0.2:80")]);
    assert_eq!(records[0].reason(), "refused");
}

#[test]
fn a_destination_that_is_down_says_nothing_about_any_other() {
    let road = Road::lay();
    road.divert(TPROXY);
    let forwarder =
        start(&road, &listener("tproxy", "to = [\"original\", \"10.82.0.2:90 backup\"]"));
    let [original, spare] = ["10.82.0.2:80", "10.82.0.2:90"].map(|target| road.listens(target));
    serve(&road, "10.82.0.2:81", &spare);
    serve(&road, "10.82.0.2:80", &original);
    let records = forwarder.records(2);
    let mut backends: Vec<_> = records.iter().map(Record::backend).collect();
    backends.sort();
    assert_eq!(backends, [Some("10.82.0.2:80"), Some("10.82.0.2:90")]);
}

/// inetd would start another process for it, which would connect to inetd again.
#[test]
fn a_client_of_inetd_that_was_not_diverted_is_refused() {
    let listens = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listens.local_addr().expect("it is bound");
    for mode in ["redirect", "tproxy"] {
        let scratch = Scratch::new();
        let config = listener(mode, "to = \"original\"").replace(":3129", "inetd");
        let mut command = file::command(&scratch, &config);
        let client = Peer::connect(&address.into());
        let (socket, _) = listens.accept().expect("the client has come");
        let mut program = Program::start_on(&mut command, OwnedFd::from(socket));
        client.expect_reset();
        program.expect_exit(0);
        listens.set_nonblocking(true).expect("it may be asked");
        assert!(listens.accept().is_err(), "it has come back");
        listens.set_nonblocking(false).expect("it may be waited for");
    }
}

#[test]
fn a_proxy_is_asked_for_the_original_destination() {
    let road = Road::lay();
    road.divert(REDIRECT);
    let pool = "to = \"original\"\nvia = \"http://10.82.0.2:3128\"";
    let forwarder = start(&road, &listener("redirect", pool));
    let proxy = road.listens("10.82.0.2:3128");
    let client = road.connect("[fd82::2]:80");
    let peer = proxy.accept();
    peer.expect(b"CONNECT [fd82::2]:80 HTTP/1.1\r\nHost: [fd82::2]:80\r\n\r\n");
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    exchange(&client, &peer, 1000);
    client.close();
    peer.expect_fin();
    peer.close();
    assert_eq!(forwarder.record().backend(), Some("[fd82::2]:80"));
}

#[test]
fn routes_go_by_where_clients_meant_to_go() {
    let road = Road::lay();
    road.divert(REDIRECT);
    let forwarder = start(
        &road,
        &(listener("redirect", "to = \"10.82.0.2:90\"")
            + "[[listener.a.route]]\nwhen = { port = 81, address = \"10.82.0.2\" }\npool = \"direct\"\n\
               [pool.direct]\nbackends = [\"original\"]\n"),
    );
    let (direct, other) = (road.listens("10.82.0.2:81"), road.listens("10.82.0.2:90"));
    serve(&road, "10.82.0.2:81", &direct);
    serve(&road, "10.82.0.2:80", &other);
    assert_eq!(forwarder.records(2).len(), 2);
}

/// Runs `config` as a root that has been left without the rights that are needed.
#[test]
fn a_process_without_the_right_says_so_at_the_start() {
    let scratch = Scratch::new();
    let as_client =
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"127.0.0.1:1\"\nsource = \"client\"\n";
    for (at, config) in
        [as_client.to_owned(), listener("tproxy", "to = \"original\"")].iter().enumerate()
    {
        let path = scratch.join(&format!("{at}.toml"));
        std::fs::write(&path, config).expect("a scratch file can be written");
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-net_admin,-net_raw", REPLUG, "run", "-c", &path]);
        let mut program = Program::start(&mut command);
        program.expect_exit(NOT_PERMITTED);
        program.stderr().expect("CAP_NET_ADMIN or CAP_NET_RAW");
    }
}

/// The rights of each thread of a process, in bits (proc_pid_status(5)).
fn rights(forwarder: &Forwarder) -> Vec<String> {
    let tasks = format!("/proc/{}/task", forwarder.pid());
    let tasks = std::fs::read_dir(tasks).expect("it runs");
    let shown = tasks.map(|task| {
        let status = task.expect("a thread").path().join("status");
        let status = std::fs::read_to_string(status).expect("threads do not end");
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
        line.expect("there are capabilities").trim().to_owned()
    });
    shown.collect()
}

/// CAP_NET_RAW and nothing else (capabilities(7)).
const NET_RAW: &str = "0000000000002000";

#[test]
fn somebody_else_keeps_the_one_right_that_is_needed() {
    let road = Road::lay();
    road.divert(TPROXY);
    let scratch = Scratch::new();
    let as_nobody = |config: &str| {
        let mut command = file::command(&scratch, config);
        command.args(["--user", "nobody"]);
        road.ours.inside(|| Forwarder::start_command(&mut command, 1))
    };
    let forwarder = as_nobody(&listener("tproxy", "to = \"original\"\nsource = \"client\""));
    for rights in rights(&forwarder) {
        assert_eq!(rights, NET_RAW);
    }
    let [client, seen] = serve(&road, TARGETS[0], &road.listens(TARGETS[0]));
    assert_eq!(client, seen);
    // Sockets that are opened by a reload need it as well.
    let other =
        listener("tproxy", "to = \"original\"\nsource = \"client\"").replace("3129", "3130");
    drop(file::command(&scratch, &other));
    forwarder.signal(rustix::process::Signal::HUP);
    forwarder.messages().expect("a listens on :3130");
    drop(forwarder);
    for rights in rights(&as_nobody("[listener.a]\nbind = \":3129\"\nto = \"10.82.0.2:80\"\n")) {
        assert_eq!(rights, "0000000000000000");
    }
}

/// Follows the advice of doctor for `config` as printed, and serves a client at each of `targets`;
/// whom their backends see.
#[track_caller]
fn check_doctor(config: &str, targets: &[&str], reached: &[&str]) -> Vec<[Address; 2]> {
    let (road, scratch) = (Road::lay(), Scratch::new());
    drop(file::command(&scratch, config));
    let doctor = || {
        let path = scratch.join("replug.toml");
        let words = ["doctor", "transparent", "--port", "80,81", "-c", &path];
        let asked = road.ours.inside(|| Command::new(REPLUG).args(words).output());
        let output = asked.expect("replug is there");
        (output.status.code(), String::from_utf8(output.stdout).expect("it writes text"))
    };
    let (exit, script) = doctor();
    assert_eq!(exit, Some(1), "{script}");
    assert!(script.contains("# missing: "), "{script}");
    let status = road.ours.inside(|| Command::new("sh").args(["-ec", &script]).status());
    assert!(status.expect("sh is there").success(), "{script}");
    let (exit, found) = doctor();
    assert_eq!(exit, Some(0), "{found}");
    assert!(!found.contains("missing") && found.contains("# ok: "), "{found}");
    // All of it is a comment now.
    assert!(found.lines().all(|line| line.is_empty() || line.starts_with('#')), "{found}");

    let forwarder = start(&road, config);
    let serve = |(target, reached): (&&str, &&str)| serve(&road, target, &road.listens(reached));
    let seen = targets.iter().zip(reached).map(serve).collect();
    assert_eq!(forwarder.records(targets.len()).len(), targets.len());
    seen
}

#[test]
fn what_doctor_prints_redirects_clients() {
    check_doctor(&listener("redirect", "to = \"original\""), &TARGETS, &TARGETS);
}

#[test]
fn what_doctor_prints_diverts_clients_and_brings_answers_back() {
    let config = listener("tproxy", "to = \"original\"\nsource = \"client\"");
    for [client, seen] in check_doctor(&config, &TARGETS, &TARGETS) {
        assert_eq!(client, seen);
    }
    let config = listener("redirect", "to = \"original\"\nsource = \"client\"");
    for [client, seen] in check_doctor(&config, &TARGETS, &TARGETS) {
        assert_eq!(client.tcp().ip(), seen.tcp().ip());
    }
}

#[test]
fn what_doctor_prints_holds_for_what_the_listener_says() {
    let more = "interface = \"c0\"\nallow = [\"10.81.0.0/24\", \"fd81::/64\"]\nto = \"original\"";
    for (mode, bind) in [("redirect", "[\"127.0.0.1:3129\"]"), ("tproxy", "[\"127.0.0.1:3129\"]")] {
        let config = listener(mode, more).replace("\":3129\"", bind);
        check_doctor(&config, &TARGETS[..1], &TARGETS[..1]);
    }
    let config = listener("redirect", more).replace(":3129", "[fd81::1]:3129");
    check_doctor(&config, &TARGETS[1..], &TARGETS[1..]);
}

#[test]
fn what_doctor_prints_brings_answers_back_without_diverting_anybody() {
    let config = "[listener.a]\nbind = \":3129\"\nto = \"10.82.0.2:80\"\nsource = \"client\"\n";
    let seen = check_doctor(config, &["10.81.0.1:3129"], &TARGETS[..1]);
    assert_eq!(seen[0][0], seen[0][1]);
}

#[test]
fn doctor_finds_marks_that_the_kernel_would_take_for_forged() {
    let (road, scratch) = (Road::lay(), Scratch::new());
    drop(file::command(&scratch, &listener("tproxy", "to = \"original\"")));
    road.ours.set("ipv4/conf/c0/src_valid_mark", "1");
    let path = scratch.join("replug.toml");
    let words = ["doctor", "transparent", "--json", "-c", &path];
    let asked = road.ours.inside(|| Command::new(REPLUG).args(words).output());
    let found: serde_json::Value =
        serde_json::from_slice(&asked.expect("replug is there").stdout).expect("it is JSON");
    let found = found.as_array().expect("a list");
    let is_it = |item: &&serde_json::Value| {
        item["found"].as_str().is_some_and(|found| found.contains("src_valid_mark is 1 for c0"))
    };
    let item = found.iter().find(is_it).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(item["status"], "missing");
    assert_eq!(item["mend"].as_array().map(Vec::len), Some(1));
}

#[test]
fn doctor_finds_rules_that_divert_what_replug_sends() {
    let (road, scratch) = (Road::lay(), Scratch::new());
    drop(file::command(&scratch, &listener("redirect", "to = \"original\"")));
    let path = scratch.join("replug.toml");
    let doctor = || {
        let asked = road
            .ours
            .inside(|| Command::new(REPLUG).args(["doctor", "transparent", "-c", &path]).output());
        String::from_utf8(asked.expect("replug is there").stdout).expect("it writes text")
    };
    let chain = |rule: &str| {
        format!("table inet x {{ chain o {{ type nat hook output priority -100; {rule} }}; }}")
    };
    let rule = "tcp dport 80 redirect to :3129;";
    let what = "listener a: what replug itself sends is not diverted to port 3129";
    assert!(doctor().contains(&format!("# ok: {what}")));
    road.divert(&chain(rule));
    assert!(doctor().contains(&format!("# missing: {what}")));
    road.divert(&format!("delete table inet x; {}", chain(&format!("skuid != 65534 {rule}"))));
    assert!(doctor().contains(&format!("# ok: {what}")));
}

/// The configurations in the manual, and the lines below each.
#[test]
fn the_manual_shows_what_doctor_prints() {
    let manual = include_str!("../../../../docs/transparent.md");
    let sections = manual.split("\n## ").filter(|section| section.contains("[listener."));
    let mut checked = 0;
    for section in sections {
        let code = section.lines().filter_map(|line| line.strip_prefix("    "));
        let (lines, config): (Vec<_>, Vec<_>) =
            code.partition(|line| line.starts_with("nft ") || line.starts_with("ip "));
        let (machine, scratch) = (Namespace::new(), Scratch::new());
        drop(file::command(&scratch, &config.join("\n")));
        let path = scratch.join("replug.toml");
        let words = ["doctor", "transparent", "--port", "80,443", "-c", &path];
        let asked = machine.inside(|| Command::new(REPLUG).args(words).output());
        let printed = asked.expect("replug is there").stdout;
        let printed = String::from_utf8(printed).expect("it writes text");
        for line in lines {
            assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
            checked += 1;
        }
    }
    assert_eq!(checked, 5);
}
