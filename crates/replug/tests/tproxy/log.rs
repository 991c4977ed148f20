//! 7, 8, 9: who may come, and the access log.

use std::fs;

use rig::wait::until;
use rig::{Backend, Scratch};
use rustix::process::Signal;

use crate::start::Tproxy;

/// The lines of a log, without their time once its form was looked at.
#[track_caller]
fn lines(file: &str, count: usize) -> Vec<String> {
    let text = || fs::read_to_string(file).unwrap_or_default();
    until("the lines", || text().lines().count() >= count);
    let line = |line: &str| {
        let (time, rest) = line.split_at(21);
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000/00/00 00:00:00  ", "{line}");
        rest.to_owned()
    };
    text().lines().map(line).collect()
}

/// 7: without rules all may come; with some, only whom one matches.
#[test]
fn tp07_who_may_come() {
    let scratch = Scratch::new();
    let proxy = Backend::bind();
    for (rules, may_come) in [
        (&[][..], true),
        (&["-a", "127.0.0.0"], true),
        (&["-a", "127.0/16"], true),
        (&["-a", "127.0.0.1"], true),
        (&["-a", "0.0.0.0/0"], true),
        (&["-a", "10.0.0.0", "-a", "127.0.0.1"], true),
        (&["-a", "127.0.0.2"], false),
        (&["-a", "10.0.0.0", "-a", "127.1/16"], false),
    ] {
        let file = scratch.join(&format!("log{}", rules.concat().replace('/', "_")));
        let tproxy = Tproxy::start(&[rules, &["-l", &file]].concat(), proxy.address());
        if may_come {
            let client = tproxy.connect();
            client.send(b"GET http://a/ HTTP/1.1\r\n\r\n");
            proxy.accept().expect(b"GET http://a/ HTTP/1.1\r\n\r\n");
        } else {
            tproxy.connect().expect_fin();
            assert_eq!(lines(&file, 1), ["ACL refused from 127.0.0.1"]);
        }
    }
}

/// 8: a line for each request, with its number on the connection.
#[test]
fn tp08_requests() {
    let scratch = Scratch::new();
    let file = scratch.join("log");
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&["-l", &file], proxy.address());
    let port = tproxy.port();
    let client = tproxy.connect();
    client.send(
        b"GET /a HTTP/1.1\r\nHost: b\r\n\r\nGET /c HTTP/1.0\r\n\r\nGET http://d/ HTTP/1.0\r\n\r\n",
    );
    client.send(b"CONNECT e:443 HTTP/1.1\r\n\r\n");
    proxy.accept().expect(b"GET http://b");
    assert_eq!(
        lines(&file, 4),
        [
            format!("Request_NoDNS 1 127.0.0.1 -> http://b:{port}/a"),
            format!("Request       2 127.0.0.1 -> http://127.0.0.1:{port}/c"),
            "Transparent   3 127.0.0.1 -> http://d/".to_owned(),
            "Transparent   4 127.0.0.1 -> e:443".to_owned(),
        ]
    );
}

/// 8: forced requests, and those that pass with `-t`.
#[test]
fn tp08_forced_and_transparent() {
    let scratch = Scratch::new();
    let proxy = Backend::bind();
    for (options, expected) in [
        (
            &["-f", "http://closed.example/"][..],
            "Forced        1 127.0.0.1 -> http://closed.example/",
        ),
        (&["-t"], "Transparent   1 127.0.0.1 -> /a"),
    ] {
        let file = scratch.join(options[0]);
        let tproxy = Tproxy::start(&[options, &["-l", &file]].concat(), proxy.address());
        let client = tproxy.connect();
        client.send(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n");
        let _peer = proxy.accept();
        assert_eq!(lines(&file, 1), [expected]);
    }
}

/// 9: HUP opens the log anew.
#[test]
fn tp09_a_log_that_is_renamed() {
    let scratch = Scratch::new();
    let (file, old) = (scratch.join("log"), scratch.join("old"));
    let proxy = Backend::bind();
    let tproxy = Tproxy::start(&["-l", &file], proxy.address());
    let client = tproxy.connect();
    client.send(b"GET http://a/1\r\n");
    lines(&file, 1);
    fs::rename(&file, &old).expect("the file can be renamed");
    tproxy.program.signal(Signal::HUP);
    until("the new file", || fs::exists(&file).expect("the folder is there"));
    client.send(b"GET http://a/2\r\n");
    assert_eq!(lines(&file, 1), ["Transparent   2 127.0.0.1 -> http://a/2"]);
    assert_eq!(lines(&old, 1), ["Transparent   1 127.0.0.1 -> http://a/1"]);
}
