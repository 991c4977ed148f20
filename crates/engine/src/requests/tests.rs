//! What comes out of a stream of requests, however it is cut.

use super::*;
use proptest::prelude::*;

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Listen for Notes {
    fn request(&mut self, method: &[u8], prefix: &str, target: &[u8], passage: Passage) {
        let [method, target] = [method, target].map(String::from_utf8_lossy);
        self.0.push(format!("{method} {prefix}{target} {}", passage.as_str()));
    }

    fn refused(&mut self, why: Foreign) {
        self.0.push(format!("refused: {why}"));
    }
}

fn proxy(destination: &str) -> Aim {
    Aim::Proxy { destination: destination.parse().ok(), force_url: None }
}

fn forced(url: &str) -> Aim {
    Aim::Proxy { destination: None, force_url: Some(url.into()) }
}

/// What becomes of `sent` in pieces of `size`: the bytes, how it went on, and what was told.
fn run(aim: &Aim, sent: &[u8], size: usize) -> (String, Next, Vec<String>) {
    let mut requests = Requests::new(aim.clone(), Notes::default());
    let mut out = Vec::new();
    let mut next = Next::Rewrite;
    for piece in sent.chunks(size) {
        match next {
            Next::Rewrite => next = requests.rewrite(piece, &mut out),
            Next::Pass => out.extend_from_slice(piece),
            Next::Refuse | Next::Keep => {}
        }
        assert!(requests.held.len() < HEAD_BYTES_MAX);
    }
    if next == Next::Rewrite {
        requests.finish(&mut out);
    }
    (String::from_utf8_lossy(&out).into_owned(), next, requests.listen.0)
}

#[track_caller]
fn check(aim: &Aim, sent: &str, expected: &str, next: Next, told: &[&str]) {
    for size in [1, 2, 3, 5, 16, 64 * 1024] {
        let (out, ended, notes) = run(aim, sent.as_bytes(), size);
        assert_eq!((out.as_str(), ended), (expected, next), "{sent:?} by {size}");
        assert_eq!(notes, told, "{sent:?} by {size}");
    }
}

/// One request that is rewritten, with nothing else to be said.
#[track_caller]
fn becomes(destination: &str, sent: &str, expected: &str) {
    for size in [1, 4, 64 * 1024] {
        let (out, next, _) = run(&proxy(destination), sent.as_bytes(), size);
        assert_eq!((out.as_str(), next), (expected, Next::Rewrite), "{sent:?} by {size}");
    }
}

#[test]
fn paths_become_urls() {
    let fields = "HTTP/1.1\r\nHost: www.example.com\r\nA: b\r\n\r\n";
    let sent = format!("GET /a?b {fields}");
    becomes("10.9.9.9:80", &sent, &format!("GET http://www.example.com/a?b {fields}"));
    becomes("10.9.9.9:8081", &sent, &format!("GET http://www.example.com:8081/a?b {fields}"));
    let fields = "HTTP/1.1\nhost:\t www.example.com:8000 \n\n";
    let sent = format!("GET /a {fields}");
    becomes("10.9.9.9:8081", &sent, &format!("GET http://www.example.com:8000/a {fields}"));
    becomes("10.9.9.9:80", "GET / HTTP/1.0\n\n", "GET http://10.9.9.9/ HTTP/1.0\n\n");
    becomes("10.9.9.9:81", "GET /\r\n", "GET http://10.9.9.9:81/\r\n");
    becomes("[2001:db8::1]:81", "GET /\n", "GET http://[2001:db8::1]:81/\n");
    let fields = "HTTP/1.1\r\nHost: [::1]\r\n\r\n";
    becomes("[::1]:81", &format!("GET / {fields}"), &format!("GET http://[::1]:81/ {fields}"));
    becomes("", &format!("GET / {fields}"), &format!("GET http://[::1]/ {fields}"));
}

#[test]
fn other_targets_pass() {
    let requests = [
        "GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://other.example/ HTTP/1.0\r\n\r\n",
    ];
    becomes("10.9.9.9:80", &requests.concat(), &requests.concat());
}

#[test]
fn bodies_pass_and_requests_follow_each_other() {
    let sent = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nGET /x\n\r\n\r\n\
                PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                6\r\nGET /\n\r\n0\r\nT: u\r\n\r\n\
                GET /c HTTP/1.1\r\nHost: c:1\r\n\r\nGET /d\n";
    let expected = "POST http://a/a HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nGET /x\n\
                    PUT http://a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    6\r\nGET /\n\r\n0\r\nT: u\r\n\r\n\
                    GET http://c:1/c HTTP/1.1\r\nHost: c:1\r\n\r\nGET http://10.0.0.1/d\n";
    let told = [
        "POST http://a/a named",
        "PUT http://a/b named",
        "GET http://c:1/c named",
        "GET http://10.0.0.1/d addressed",
    ];
    check(&proxy("10.0.0.1:80"), sent, expected, Next::Rewrite, &told);
}

#[test]
fn a_body_is_not_held_back() {
    let mut requests = Requests::new(proxy(""), Notes::default());
    let mut out = Vec::new();
    let head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    requests.rewrite(head, &mut out);
    assert_eq!(out.len(), head.len() + "http://a".len());
    out.clear();
    requests.rewrite(b"abc", &mut out);
    assert_eq!(out, b"abc");
}

#[test]
fn connect_passes_with_all_behind_it() {
    let sent = "CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03GET / HTTP/1.1\r\n\r\n";
    check(&proxy(""), sent, sent, Next::Pass, &["CONNECT a:443 unchanged"]);
    check(&forced("http://b/"), sent, sent, Next::Pass, &["CONNECT a:443 unchanged"]);
}

#[test]
fn another_protocol_that_was_asked_for_passes() {
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x01\x05GET /\n";
    let expected = "GET http://a/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x01\x05GET /\n";
    check(&proxy(""), sent, expected, Next::Pass, &["GET http://a/ named"]);
}

#[test]
fn strangers_are_refused_behind_what_was_good() {
    for (bad, why) in [
        ("\x16\x03\x01", "not an HTTP request"),
        ("SSH-2.0-x\r\n", "not an HTTP request"),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "a folded header field"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "more than one host, or a wrong one"),
        ("GET / HTTP/1.1\r\n\r\n", "more than one host, or a wrong one"),
    ] {
        let good = "GET http://a/ HTTP/1.1\r\n\r\n";
        let refused = format!("refused: {why}");
        let told = ["GET http://a/ unchanged", &refused];
        check(&proxy(""), &format!("{good}{bad}"), good, Next::Refuse, &told);
    }
    let chunk = "PUT http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let told = ["PUT http://a/ unchanged", "refused: a wrong chunk"];
    let (out, next, notes) = run(&proxy(""), format!("{chunk}x").as_bytes(), 9_999);
    assert_eq!((out.as_str(), next, notes), (chunk, Next::Refuse, told.map(str::to_owned).into()));
}

#[test]
fn a_head_has_a_greatest_length() {
    let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
    for size in [100, 64 * 1024] {
        let (out, next, notes) = run(&proxy(""), long.as_bytes(), size);
        assert_eq!((out.as_str(), next), ("", Next::Refuse));
        assert_eq!(notes, ["refused: a header that is too long"]);
    }
}

#[test]
fn what_is_not_whole_is_not_sent_on() {
    let good = "GET http://a/ HTTP/1.1\r\n\r\n";
    let sent = format!("{good}GET / HTTP/1.1\r\nHost: a\r\n");
    check(&proxy(""), &sent, good, Next::Rewrite, &["GET http://a/ unchanged"]);
}

#[test]
fn forced_urls() {
    let aim = forced("http://b/closed");
    let sent = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET http://c/ HTTP/1.0\r\n\r\n";
    let expected =
        "GET http://b/closed HTTP/1.1\r\nHost: a\r\n\r\nGET http://b/closed HTTP/1.0\r\n\r\n";
    let told = ["GET http://b/closed forced"; 2];
    check(&aim, sent, expected, Next::Rewrite, &told);
    let sent = "GET /a HTTP/1.1\r\nReferer: http://b/closed\r\n\r\n";
    check(&aim, sent, sent, Next::Rewrite, &["GET /a unchanged"]);
    let sent = "GET /a HTTP/1.1\r\nReferer: http://b/closed2\r\n\r\n";
    let expected = sent.replace("/a", "http://b/closed");
    check(&aim, sent, &expected, Next::Rewrite, &["GET http://b/closed forced"]);
}

#[test]
fn who_only_watches_changes_nothing() {
    let good = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b\n\r\nCONNECT c:1 HTTP/1.1\r\n\r\nGET /\n";
    let told = ["GET /a unchanged", "GET /b unchanged", "CONNECT c:1 unchanged"];
    check(&Aim::Watch, good, good, Next::Pass, &told);
    for bad in ["EHLO a\r\n", "\x16\x03\x01\0", "GET / HTTP/2.0\r\n\r\n"] {
        check(&Aim::Watch, bad, bad, Next::Pass, &[]);
    }
    let (out, next, _) = run(&Aim::Watch, b"GET / HT", 1);
    assert_eq!((out.as_str(), next), ("GET / HT", Next::Rewrite));
}

proptest! {
    /// However a stream is cut, the same comes out, and who watches lets everything through.
    /// Some faults within a head are seen only at its end, so it has one. Of a line that turns out
    /// to be none, a part may be out already.
    #[test]
    fn any_bytes_come_to_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET /a HTTP/1.1\r\n", "POST /b HTTP/1.1\n", "GET /c\r\n", "Host: a\r\n", "\r\n", "\n",
            "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n", "0\r\n\r\n",
            "hello", "CONNECT a:1 HTTP/1.1\r\n\r\n", "Upgrade: h2c\r\n", "\x01", " ", ":", "\r",
        ]), 0..12),
        size in 1_usize..40,
    ) {
        let sent = parts.concat() + "\r\n\r\n";
        for aim in [proxy("10.0.0.1:8080"), forced("http://b/")] {
            let (whole, next, told) = run(&aim, sent.as_bytes(), sent.len().max(1));
            let (cut, next_cut, told_cut) = run(&aim, sent.as_bytes(), size);
            prop_assert_eq!((next_cut, told_cut), (next, told));
            let more = cut.strip_prefix(&whole);
            prop_assert!(more.is_some_and(|more| more.is_empty() || next == Next::Refuse), "{}", cut);
        }
        prop_assert_eq!(run(&Aim::Watch, sent.as_bytes(), size).0, sent);
    }
}
