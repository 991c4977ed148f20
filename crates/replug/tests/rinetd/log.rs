//! 1 to 7: the lines of the log file.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::namespace::Namespace;
use rig::{Backend, Closed, Peer};

use crate::start::{REPLUG, Rinetd, echo, end};

/// A client that sends five bytes, hears them, and ends first.
#[track_caller]
fn five(rinetd: &Rinetd) {
    let client = Peer::connect(&rinetd.address);
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.expect_fin();
}

/// The line with zeros for the digits of its date, which is a field of its own.
fn undated(line: &str) -> String {
    let (date, fields) = line.split_once('\t').expect("fields behind the date");
    let shape = |c: char| match c {
        '0'..='9' => '0',
        'A'..='Z' | 'a'..='z' => 'x',
        c => c,
    };
    let date: String = date.chars().map(shape).collect();
    format!("{date}\t{fields}")
}

/// 1: nine fields, and a blank behind the date.
#[test]
fn rn01_the_log_file() {
    let backend = echo();
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(backend.address())));
    five(&rinetd);
    let lines: Vec<_> = rinetd.log(2).iter().map(|line| undated(line)).collect();
    let target = end(backend.address()).replace(' ', "\t");
    let start = format!("00/xxx/0000:00:00:00 \t127.0.0.1\t127.0.0.1\tPORT\t{target}");
    let expected = [format!("{start}\t0\t0\topened"), format!("{start}\t5\t5\tdone-remote-closed")];
    assert_eq!(lines, expected);
}

/// 1: hosts as they are written.
#[test]
fn rn01_hosts_as_written() {
    let backend = Backend::bind().serve(|peer| peer.send(b"x"));
    let port = backend.address().port();
    let text = format!("logfile LOG\n0 0 localhost {port}\n[::1] 0 127.0.0.1 {port}\n");
    let with_log = |path: &str| text.replace("LOG", path);
    let scratch = rig::Scratch::new();
    let log = scratch.join("log");
    let (forwarder, _folder) = crate::start::announced(&with_log(&log), 2);
    for address in forwarder.addresses() {
        Peer::connect(&rig::Address::parse(&address.to_string().replace("0.0.0.0", "127.0.0.1")))
            .expect(b"x");
    }
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    rig::wait::until("four lines", || read().lines().count() == 4);
    let text = read();
    assert!(text.contains(&format!("\t127.0.0.1\t0\t0\tlocalhost\t{port}\t")), "{text}");
    assert!(text.contains(&format!("\t::1\t::1\t0\t127.0.0.1\t{port}\t")), "{text}");
}

/// 2, 3: two blanks before the zone; bytes to the client come first.
#[test]
fn rn02_logcommon_rn03_zone() {
    let backend = Backend::bind().serve(|peer| {
        peer.expect(b"hello");
        peer.send(b"hello, you");
        let _ = peer.wait_end();
    });
    let text = format!("logfile LOG\nlogcommon\nBIND {}\n", end(backend.address()));
    for (zone, shown) in [("America/St_Johns", ["-0330", "-0230"]), ("UTC", ["+0000"; 2])] {
        let mut command = Command::new(REPLUG);
        let rinetd = Rinetd::start_by(command.arg0("rinetd").env("TZ", zone), &text);
        let client = Peer::connect(&rinetd.address);
        client.send(b"hello");
        client.expect(b"hello, you");
        client.half_close();
        client.expect_fin();
        let lines = rinetd.log(2);
        let target = end(backend.address()).replace(' ', "/");
        for (line, (result, sent, received)) in
            lines.iter().zip([("opened", 0, 0), ("done-remote-closed", 10, 5)])
        {
            let (start, rest) = line.split_at("127.0.0.1 - - [20/Nov/2026:18:20:10".len());
            assert!(start.starts_with("127.0.0.1 - - ["), "{line}");
            let (zone, rest) = rest.split_at("  +0000".len());
            assert!(shown.contains(&zone.trim_start_matches("  ")), "{line}");
            let expected = format!(
                "] \"GET /rinetd-services/127.0.0.1/PORT/{target}/{result} HTTP/1.0\" 200 {sent} - - - {received}"
            );
            assert_eq!(rest, expected);
        }
    }
}

/// 4.
#[test]
fn rn04_the_backend_ends_first() {
    let backend = Backend::bind();
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(backend.address())));
    let client = Peer::connect(&rinetd.address);
    let peer = backend.accept();
    peer.half_close();
    client.expect_fin();
    client.half_close();
    peer.expect_fin();
    assert_eq!(rinetd.results(2), ["opened", "done-local-closed"]);
}

/// 5: where we differ: `opened` is for connections that are; rinetd wrote it before.
#[test]
fn rn05_a_backend_that_refuses() {
    let closed = Closed::bind();
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(closed.address())));
    Peer::connect(&rinetd.address).expect_fin();
    let lines = rinetd.log(1);
    let target = end(closed.address()).replace(' ', "\t");
    assert!(lines[0].ends_with(&format!("\t{target}\t0\t0\tdone-local-closed")), "{lines:?}");
}

/// 6: no line `opened`.
#[test]
fn rn06_a_network_that_cannot_be_reached() {
    let alone = Namespace::new();
    alone.inside(|| {
        let rinetd = Rinetd::start("logfile LOG\nBIND 192.0.2.1 80\n");
        Peer::connect(&rinetd.address).expect_fin();
        let lines = rinetd.log(1);
        assert!(lines[0].ends_with("\t192.0.2.1\t80\t0\t0\tlocal-connect-failed -"), "{lines:?}");
    });
}

/// A log that cannot be opened is told, and done without.
#[test]
fn a_log_that_cannot_be_opened() {
    let backend = echo();
    let text = format!("logfile /no/such/folder/log\nBIND {}\n", end(backend.address()));
    let rinetd = Rinetd::start(&text);
    rinetd.program.stderr().expect("rinetd error: could not open /no/such/folder/log to append");
    five(&rinetd);
}

/// Whoever renames the file says so by HUP or USR1.
#[test]
fn a_log_that_is_renamed() {
    let backend = echo();
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(backend.address())));
    for signal in [rustix::process::Signal::HUP, rustix::process::Signal::USR1] {
        five(&rinetd);
        rinetd.log(2);
        let (log, old) = (rinetd.scratch.join("log"), rinetd.scratch.join("old"));
        std::fs::rename(&log, old).expect("the log is there");
        rinetd.program.signal(signal);
        rig::wait::until("a new log", || std::fs::exists(&log).expect("the folder is there"));
    }
}

/// The lines are for everybody.
#[test]
fn the_format_in_a_native_file() {
    let (backend, scratch) = (echo(), rig::Scratch::new());
    let (file, log) = (scratch.join("replug.toml"), scratch.join("log"));
    let target = backend.address();
    let text = format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{target}\"\n\
         [[log]]\nformat = \"rinetd\"\nto = \"{log}\"\n\
         [[log]]\n"
    );
    std::fs::write(&file, text).expect("a file in a new folder");
    let mut command = Command::new(REPLUG);
    let forwarder = rig::Forwarder::start_command(command.args(["run", "-c", &file]), 1);
    let client = Peer::connect(forwarder.address());
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.expect_fin();
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    rig::wait::until("the line", || read().ends_with('\n'));
    let text = read();
    let target = end(target).replace(' ', "\t");
    let expected = format!("127.0.0.1\t127.0.0.1\t0\t{target}\t5\t5\tdone-remote-closed\n");
    assert!(text.ends_with(&expected) && text.lines().count() == 1, "{text}");
}
