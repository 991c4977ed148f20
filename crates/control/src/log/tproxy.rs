//! The formats of transproxy: `tproxy`, its access log, and `tproxy-syslog`, what it tells syslog.
//!
//! ```text
//! 2026/11/20 18:29:36  Request_NoDNS 2 127.0.0.1 -> http://www.example.com:19210/second
//! 2026/11/20 18:29:37  Transparent   1 127.0.0.1 -> /as/it/came
//! 2026/11/20 18:29:38  Forced        1 127.0.0.1 -> http://www.example.com/closed
//! 2026/11/20 18:29:39  ACL refused from 10.0.0.9
//!
//! connect(): Connection refused
//! Could not connect to proxy host "cache.example" or destination
//! ```
//!
//! The word is `Request` where the host of the URL is not the one that the request names.

use std::net::SocketAddr;
use std::time::SystemTime;

use engine::account::{ClientAddress, ConnectFailure, Event, Reason, Record};
use engine::journal::{Level, Notice};
use engine::requests::{Passage, Request};

use super::at;
use super::clock::Slashed;
use super::escape::{self, push};
use super::syslog::Severity;
use super::text::Columns;

/// Appends the line of a request, without a line end.
pub(super) fn request(out: &mut String, columns: Columns, request: &Request) {
    let word = match request.passage {
        Passage::Unchanged => "Transparent",
        Passage::Named => "Request_NoDNS",
        Passage::Addressed => "Request",
        Passage::Forced => "Forced",
    };
    date(out, columns, request.at);
    push(out, format_args!("{word:<13} {} {} -> ", request.number, Host(request.client)));
    escape::plain(out, &request.url);
}

/// Appends the line of a client that was refused, without a line end; nothing for others.
pub(super) fn session(out: &mut String, columns: Columns, record: &Record) {
    if is_denied(record) {
        date(out, columns, at(record));
        push(out, format_args!("ACL refused from {}", Host(record.client)));
    }
}

/// Appends what a session's end is to syslog. `None`: nothing.
pub(super) fn session_to_syslog(out: &mut String, record: &Record) -> Option<Severity> {
    if is_denied(record) {
        push(out, format_args!("ACL refused from {}", Host(record.client)));
        return Some(Severity::Notice);
    }
    let (Event::End { .. }, None) = (record.event, &record.backend) else { return None };
    let proxy = record.attempts.iter().find(|attempt| !attempt.is_original);
    let original = record.attempts.iter().any(|attempt| attempt.is_original);
    match (proxy, original) {
        (None, false) => return None,
        (None, true) => {
            out.push_str("Could not connect to destination");
            let last = record.attempts.last().map(|attempt| attempt.failure);
            if let Some(why @ (ConnectFailure::Undiverted | ConnectFailure::Ourselves)) = last {
                push(out, format_args!(": {why}"));
            }
        }
        (Some(proxy), original) => {
            out.push_str("Could not connect to proxy host \"");
            escape::plain(out, host(&proxy.backend));
            out.push_str(if original { "\" or destination" } else { "\"" });
        }
    }
    Some(Severity::Error)
}

/// Appends what a notice is to syslog. `None`: nothing.
pub(super) fn notice(out: &mut String, notice: &Notice) -> Option<Severity> {
    match notice {
        // The first is told by the failed attempt. That somebody was not diverted is nothing to -t
        // of 0.x; if nothing else could be reached, the end of the session tells it.
        Notice::BackendDown { .. }
        | Notice::Astray { .. }
        | Notice::AttemptFailed {
            failure: ConnectFailure::Undiverted | ConnectFailure::Ourselves,
            ..
        } => None,
        Notice::AttemptFailed { failure: ConnectFailure::Unresolved, backend, .. } => {
            out.push_str("Could not resolve IP address for proxy: ");
            escape::plain(out, host(backend));
            Some(Severity::Error)
        }
        Notice::AttemptFailed { failure, .. } => {
            let words = match failure {
                ConnectFailure::Refused => "Connection refused".to_owned(),
                ConnectFailure::Timeout => "Connection timed out".to_owned(),
                ConnectFailure::Unreachable => "Network is unreachable".to_owned(),
                other => other.to_string(),
            };
            out.push_str("connect(): ");
            // The number behind the words of the system is Rust's.
            escape::plain(out, words.split(" (os error").next().unwrap_or_default());
            Some(Severity::Warning)
        }
        notice if notice.level() >= Level::Warning => {
            escape::plain(out, &notice.to_string());
            Some(notice.level().into())
        }
        _ => None,
    }
}

/// Whether its address was refused, and not what could be done for it.
fn is_denied(record: &Record) -> bool {
    matches!(record.event, Event::End { reason: Reason::Denied, .. }) && record.attempts.is_empty()
}

/// The time, where the target of the log has none of its own.
fn date(out: &mut String, columns: Columns, at: SystemTime) {
    if columns.time {
        push(out, format_args!("{}  ", Slashed(at)));
    }
}

/// A client without its port.
struct Host(ClientAddress);

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ClientAddress::Ip(address) => address.ip().fmt(f),
            ClientAddress::Unix => self.0.fmt(f),
        }
    }
}

/// A backend without its port.
fn host(backend: &str) -> &str {
    match backend.rsplit_once(':') {
        Some((host, _)) if backend.parse::<SocketAddr>().is_ok() => host.trim_matches(['[', ']']),
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => backend,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use engine::account::Attempt;
    use std::time::Duration;

    const LINE: Columns = Columns { time: false, listener: true };

    #[test]
    fn requests_stand_in_columns() {
        let mut lines = String::new();
        for passage in [Passage::Named, Passage::Addressed, Passage::Unchanged, Passage::Forced] {
            request(&mut lines, LINE, &Request { passage, ..samples::request() });
            lines.push('\n');
        }
        assert_eq!(
            lines,
            "Request_NoDNS 2 10.0.0.9 -> http://www.example.com/a\n\
             Request       2 10.0.0.9 -> http://www.example.com/a\n\
             Transparent   2 10.0.0.9 -> http://www.example.com/a\n\
             Forced        2 10.0.0.9 -> http://www.example.com/a\n"
        );
    }

    #[test]
    fn lines_of_a_file_begin_with_the_time_here() {
        let mut line = String::new();
        request(&mut line, Columns { time: true, listener: false }, &samples::request());
        let shape: String =
            line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(21).collect();
        assert_eq!(shape, "0000/00/00 00:00:00  ", "{line}");
        assert!(line[21..].starts_with("Request_NoDNS 2 "), "{line}");
    }

    #[test]
    fn clients_that_were_refused() {
        let mut line = String::new();
        let client = samples::request().client;
        session(&mut line, LINE, &Record { client, ..samples::denied() });
        assert_eq!(line, "ACL refused from 10.0.0.9");
        line.clear();
        session(&mut line, LINE, &samples::plain());
        assert_eq!(line, "");
    }

    #[track_caller]
    fn check_end(backends: &[&str], expected: &str) {
        let failed = |backend: &&str| Attempt {
            backend: (*backend).into(),
            is_original: backend.starts_with("10."),
            address: None,
            took: Duration::ZERO,
            failure: ConnectFailure::Refused,
            phrase: None,
        };
        let attempts = backends.iter().map(failed).collect();
        let mut out = String::new();
        let record = Record { backend: None, attempts, ..samples::plain() };
        session_to_syslog(&mut out, &record);
        assert_eq!(out, expected);
    }

    #[test]
    fn what_could_not_be_reached() {
        check_end(&["cache.example:3128"], "Could not connect to proxy host \"cache.example\"");
        check_end(&["10.0.0.9:80"], "Could not connect to destination");
        check_end(
            &["[::1]:3128", "10.0.0.9:80"],
            "Could not connect to proxy host \"::1\" or destination",
        );
        check_end(&[], "");
    }
}
