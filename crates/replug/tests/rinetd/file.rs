//! 11 to 18: rules, and what is wrong with them.

use rig::{Address, Backend, Closed, Peer};

use crate::start::{Rinetd, announced, end, explained, name, refused};

/// 11, 12.
#[test]
fn rn11_comments_and_blanks_rn12_a_last_line_without_end() {
    let (a, b) = (name('A'), name('B'));
    let (a, b) = (end(a.address()).replace(' ', "\t"), end(b.address()));
    let text = format!("# rules\r\n\r\n \t127.0.0.1\t0  {a}#glued\r\n127.0.0.1 0 {b}");
    let (forwarder, _scratch) = announced(&text, 2);
    assert_eq!(forwarder.addresses().len(), 2);
}

/// 13: each is told in the words of rinetd.
#[test]
fn rn13_bad_lines() {
    for line in [
        "10.0.0.1 80 10.0.0.2",
        "10.0.0.1 80",
        "garbage",
        "* 80 10.0.0.2 80",
        "10.0.0.1 80 10.0.0.2 80 more",
        "10.0.0.1 80 10.0.0.2 80 []",
        "10.0.0.1 80 10.0.0.2 80 [colour=red]",
        "10.0.0.1 80 10.0.0.2 80 [timeout=-1]",
        "10.0.0.1 80 10.0.0.2 80 [timeout=1] [src=10.0.0.9]",
        "10.0.0.1 80/sctp 10.0.0.2 a/sctp",
        "10.0.0.1 80/TCP 10.0.0.2 80",
        "10.0.0.256 80 10.0.0.2 80",
        "0 70000 10.0.0.2 80",
        "ALLOW 10.0.0.1",
        "logcommon yes",
        "allow",
    ] {
        let told = refused(&format!("# one\n\n  {line}\t\r\n0 80 10.0.0.2 80\n"));
        let expected = match line {
            // The first of them has junk behind a number, which is a warning.
            "10.0.0.1 80/sctp 10.0.0.2 a/sctp" => "invalid syntax at line 3".to_owned(),
            line => format!("rinetd error: invalid syntax at line 3: {line}\n"),
        };
        assert!(told.contains(&expected), "{line}: {told}");
        assert!(told.contains("rinetd.conf:3:"), "{line}: {told}");
    }
}

/// 13: all of them at once.
#[test]
fn rn13_all_bad_lines() {
    let told = refused("one\ntwo\n0 80 10.0.0.1 80\nallow me\n");
    for line in ["1: one", "2: two", "4: allow me"] {
        assert!(told.contains(&format!("invalid syntax at line {line}\n")), "{told}");
    }
}

/// 15: the backend sees the source. One that is not ours: where we differ, the client is closed,
/// since whoever asks for a source wants no other.
#[test]
fn rn15_source() {
    let backend = Backend::bind();
    let rule = format!("logfile LOG\nBIND {}", end(backend.address()));
    let rinetd = Rinetd::start(&format!("{rule} [timeout=5,src=127.0.0.7]\n"));
    let _client = Peer::connect(&rinetd.address);
    let peer = backend.accept();
    assert_eq!(peer.remote_address().tcp().ip().to_string(), "127.0.0.7");
    let rinetd = Rinetd::start(&format!("{rule} [src=192.0.2.1]\n"));
    Peer::connect(&rinetd.address).expect_fin();
    assert_eq!(rinetd.results(1).len(), 1);
    assert!(!backend.somebody_waits());
}

/// 16.
#[test]
fn rn16_addresses_to_listen_on() {
    let backend = Backend::bind().serve(|peer| peer.send(b"x"));
    let target = end(backend.address());
    for (bind, reached, refused) in [
        ("0", &["127.0.0.1", "127.0.0.2"][..], &["[::1]"][..]),
        ("0.0.0.0", &["127.0.0.1"], &["[::1]"]),
        ("::", &["127.0.0.1", "[::1]"], &[]),
        ("::1", &["[::1]"], &["127.0.0.1"]),
        ("[::1]", &["[::1]"], &["127.0.0.1"]),
        ("::ffff:127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
        ("localhost", &["127.0.0.1"], &["127.0.0.2"]),
    ] {
        if bind == "localhost" && explained("localhost 1 10.0.0.1 1").contains("[::1]") {
            // The first address of it is another one on this machine.
            continue;
        }
        let (forwarder, _scratch) = announced(&format!("{bind} 0 {target}\n"), 1);
        let port = forwarder.address().port();
        for ip in reached {
            Peer::connect(&Address::parse(&format!("{ip}:{port}"))).expect(b"x");
        }
        for ip in refused {
            let address = Address::parse(&format!("{ip}:{port}"));
            assert!(Peer::try_connect(&address).is_err(), "{bind} is reached at {ip}");
        }
    }
}

/// 16: both may be had on one port, which in rinetd was an error.
#[test]
fn rn16_each_family_on_its_own() {
    let (a, b) = (name('A'), name('B'));
    let port = Closed::bind_to(&Address::parse("0.0.0.0:0"));
    let number = port.address().port();
    let text = format!("0 {number} {}\n:: {number} {}\n", end(a.address()), end(b.address()));
    let (_forwarder, _scratch) = announced(&text, 2);
    Peer::connect(&Address::parse(&format!("127.0.0.1:{number}"))).expect(b"A");
    Peer::connect(&Address::parse(&format!("[::1]:{number}"))).expect(b"B");
}

/// 17: in rinetd it was 4464.
#[test]
fn rn17_a_port_that_is_none() {
    let told = refused("0 70000 10.0.0.1 80\n");
    assert!(told.contains("ports end at 65535"), "{told}");
}

/// 18.
#[test]
fn rn18_services_and_protocols() {
    let text = explained("0 http/tcp 10.0.0.1 https\n0 domain/udp 10.0.0.1 53/udp\n");
    for expected in ["0.0.0.0:80\"", "10.0.0.1:443\"", "udp://0.0.0.0:53\""] {
        assert!(text.contains(expected), "{text}");
    }
    let told = refused("0 no-such-service 10.0.0.1 80\n");
    let expected = "cannot resolve host \"0\" port no-such-service (no such service)";
    assert!(told.contains(expected), "{told}");
}

/// What is wrong outside of the file ends the start with 1 as well.
#[test]
fn starts_that_fail() {
    let taken = Backend::bind();
    let told = refused(&format!("{} 10.0.0.1 80\n", end(taken.address())));
    let port = taken.address().port();
    let expected = format!("rinetd error: couldn't bind to address 127.0.0.1 port {port} (");
    assert!(told.contains(&expected), "{told}");
    let told = refused("no-such-host.invalid 80 10.0.0.1 80\n");
    assert!(told.contains("cannot resolve host \"no-such-host.invalid\" port 80 ("), "{told}");
    let told = refused("include no-such-file.conf\n");
    assert!(told.contains("could not open configuration file no-such-file.conf."), "{told}");
}
