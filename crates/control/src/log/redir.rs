//! The formats of redir: `redir-syslog`, what its version 3 tells syslog, and `redir2-syslog`, what
//! version 2 does.
//!
//! ```text
//! Connecting 127.0.0.1:42570 to 10.0.0.9:80                       info    normal
//! Disconnect after 0 sec, 5 bytes in, 7 bytes out                 info    normal
//! Failed connecting to target 10.0.0.9: Connection refused        err     always
//! peer IP is 127.0.0.1, peer socket is 42570                      debug   verbose
//!
//! connecting 127.0.0.1/42570 to 10.0.0.9/80                       notice  normal
//! disconnect 0 secs, 5 in 7 out                                   notice  normal
//! connect failed: Connection refused                              err     always
//! ```
//!
//! "In" are bytes to the client. A session that reached no backend has no line but that of its
//! failure. Other than in redir 3, the target is the target, and not the client again.

use std::net::SocketAddr;

use engine::account::{ClientAddress, ConnectFailure, Event, Reached, Record};
use engine::journal::{Level, Notice};
use model::Verbosity;
use rustix::io::Errno;

use super::escape::{self, push};
use super::syslog::Severity;
use super::words;

/// Whose lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Two,
    Three,
}

/// Appends what a record is to syslog. `None`: nothing.
pub(super) fn session(
    out: &mut String,
    version: Version,
    verbosity: Verbosity,
    record: &Record,
) -> Option<Severity> {
    let reached = record.backend.as_ref().filter(|_| verbosity > Verbosity::Quiet)?;
    let severity = match version {
        Version::Two => Severity::Notice,
        Version::Three => Severity::Info,
    };
    let seconds = record.duration.as_secs();
    let (input, output) = (record.bytes_to_client, record.bytes_to_backend);
    match (record.event, version) {
        (Event::Open, _) => return None,
        (Event::Start, _) => {
            out.push_str(if version == Version::Two { "connecting " } else { "Connecting " });
            push_address(out, version, client(record.client));
            out.push_str(" to ");
            push_reached(out, version, reached);
        }
        (Event::End { .. }, Version::Two) => {
            push(out, format_args!("disconnect {seconds} secs, {input} in {output} out"));
        }
        (Event::End { .. }, Version::Three) => push(
            out,
            format_args!("Disconnect after {seconds} sec, {input} bytes in, {output} bytes out"),
        ),
    }
    Some(severity)
}

/// Appends what a notice is to syslog. `None`: nothing.
pub(super) fn notice(
    out: &mut String,
    version: Version,
    verbosity: Verbosity,
    notice: &Notice,
) -> Option<Severity> {
    match notice {
        Notice::AttemptFailed { backend, failure, phrase, .. } => {
            failed(out, version, backend, *failure, phrase.as_deref());
            return Some(Severity::Error);
        }
        // Told by the failed attempt.
        Notice::BackendDown { .. } | Notice::BackendUp { .. } => return None,
        notice if notice.level() >= Level::Warning => {
            escape::plain(out, &notice.to_string());
            return Some(notice.level().into());
        }
        _ if verbosity < Verbosity::Verbose => return None,
        Notice::Listening { address, .. } => {
            out.push_str("listening on ");
            escape::plain(out, address);
        }
        Notice::SessionStart { client: who, .. } => {
            let client = client(*who);
            let (ip, port) = (client.ip(), client.port());
            push(out, format_args!("peer IP is {ip}, peer socket is {port}"));
        }
        Notice::Attempt { dialled, .. } => {
            let (host, port) = dialled.rsplit_once(':').unwrap_or((dialled, "0"));
            out.push_str("target IP address is ");
            escape::plain(out, host);
            out.push_str(", target port is ");
            escape::plain(out, port);
        }
        Notice::Connected { backend, .. } => {
            out.push_str("connected to ");
            escape::plain(out, backend);
        }
        notice => escape::plain(out, &notice.to_string()),
    }
    Some(Severity::Debug)
}

/// Why there is no connection.
fn failed(
    out: &mut String,
    version: Version,
    backend: &str,
    failure: ConnectFailure,
    phrase: Option<&str>,
) {
    let host = backend.rsplit_once(':').map_or(backend, |(host, _)| host);
    let words = words(failure);
    let no_address = ConnectFailure::Ours(Errno::ADDRNOTAVAIL.raw_os_error());
    match (version, failure) {
        (Version::Two, _) if failure == no_address => {
            push(out, format_args!("bind failed: {words}"));
        }
        (Version::Three, _) if failure == no_address => {
            push(out, format_args!("Failed binding to outbound address: {words}"));
        }
        (Version::Two, ConnectFailure::Unresolved) => {
            escape::plain(out, host);
            out.push_str(": host unknown.");
        }
        (Version::Three, ConnectFailure::Unresolved) => {
            out.push_str("Unknown host ");
            escape::plain(out, host);
        }
        (Version::Two, _) => push(out, format_args!("connect failed: {words}")),
        (Version::Three, _) => {
            out.push_str("Failed connecting to target ");
            escape::plain(out, host);
            push(out, format_args!(": {words}"));
        }
    }
    if let Some(phrase) = phrase {
        out.push_str(" (");
        escape::plain(out, phrase);
        out.push(')');
    }
}

/// A client as redir shows it; one without an address is all zeros there.
fn client(client: ClientAddress) -> SocketAddr {
    match client {
        ClientAddress::Ip(address) => address,
        ClientAddress::Unix => SocketAddr::from(([0; 4], 0)),
    }
}

fn push_address(out: &mut String, version: Version, address: SocketAddr) {
    match version {
        Version::Two => push(out, format_args!("{}/{}", address.ip(), address.port())),
        Version::Three => push(out, format_args!("{address}")),
    }
}

fn push_reached(out: &mut String, version: Version, reached: &Reached) {
    match reached.address.or_else(|| reached.backend.parse().ok()) {
        Some(address) => push_address(out, version, address),
        None => escape::plain(out, &reached.backend),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::Version::{Three, Two};
    use super::*;
    use Verbosity::{Normal, Quiet, Verbose};
    use engine::account::ProxyFailure;

    fn record(event: Event) -> Record {
        let address = Some("10.0.0.9:80".parse().expect("an address"));
        let reached = Reached { backend: "web.example:80".into(), address };
        Record { event, backend: Some(reached), ..samples::plain() }
    }

    #[track_caller]
    fn check(version: Version, verbosity: Verbosity, record: &Record, expected: &str) {
        let mut out = String::new();
        let severity = session(&mut out, version, verbosity, record);
        let shown = severity.map_or_else(String::new, |severity| format!("{severity:?} {out}"));
        assert_eq!(shown, expected);
    }

    #[test]
    fn sessions() {
        let start = record(Event::Start);
        let end = record(samples::plain().event);
        check(Three, Normal, &start, "Info Connecting 10.0.0.9:51234 to 10.0.0.9:80");
        check(Two, Normal, &start, "Notice connecting 10.0.0.9/51234 to 10.0.0.9/80");
        let line = "Info Disconnect after 1 sec, 1234567 bytes in, 78 bytes out";
        check(Three, Normal, &end, line);
        check(Three, Verbose, &end, line);
        check(Two, Normal, &end, "Notice disconnect 1 secs, 1234567 in 78 out");
        check(Three, Quiet, &end, "");
        check(Three, Normal, &record(Event::Open), "");
        check(Three, Normal, &Record { backend: None, ..end }, "");
        let v6 = Record { client: samples::moved().client, ..start };
        check(Three, Normal, &v6, "Info Connecting [2001:db8::9]:51234 to 10.0.0.9:80");
        check(Two, Normal, &v6, "Notice connecting 2001:db8::9/51234 to 10.0.0.9/80");
    }

    #[track_caller]
    fn check_notice(version: Version, verbosity: Verbosity, told: &Notice, expected: &str) {
        let mut out = String::new();
        let severity = notice(&mut out, version, verbosity, told);
        let shown = severity.map_or_else(String::new, |severity| format!("{severity:?} {out}"));
        assert_eq!(shown, expected);
    }

    #[test]
    fn failures() {
        let status = ConnectFailure::Proxy(ProxyFailure::Status(403));
        let none = ConnectFailure::Ours(Errno::ADDRNOTAVAIL.raw_os_error());
        let lacks = "Cannot assign requested address";
        for (failure, three, two) in [
            (
                ConnectFailure::Refused,
                "Failed connecting to target 10.0.0.1: Connection refused",
                "connect failed: Connection refused",
            ),
            (ConnectFailure::Unresolved, "Unknown host 10.0.0.1", "10.0.0.1: host unknown."),
            (
                none,
                &*format!("Failed binding to outbound address: {lacks}"),
                &*format!("bind failed: {lacks}"),
            ),
        ] {
            let told = |phrase: Option<&str>| Notice::AttemptFailed {
                id: 1,
                bind: ":80".into(),
                backend: "10.0.0.1:80".into(),
                failure,
                phrase: phrase.map(Into::into),
            };
            check_notice(Three, Quiet, &told(None), &format!("Error {three}"));
            check_notice(Two, Quiet, &told(Some("a\u{1b}")), &format!("Error {two} (a\\u{{1b}})"));
        }
        let mut out = String::new();
        failed(&mut out, Three, "[::1]:80", status, Some("Forbidden"));
        assert!(out.starts_with("Failed connecting to target [::1]: "), "{out}");
        assert!(out.ends_with(" (Forbidden)"), "{out}");
    }

    #[test]
    fn notices() {
        let listening = Notice::Listening {
            listener: "redir".into(),
            address: ":80".to_owned(),
            by_inetd: false,
        };
        check_notice(Three, Normal, &listening, "");
        check_notice(Three, Verbose, &listening, "Debug listening on :80");
        let attempt = Notice::Attempt {
            id: 1,
            bind: ":80".into(),
            client: samples::plain().client,
            dialled: "10.0.0.1:80".into(),
            backend: "10.0.0.1:80".into(),
        };
        let line = "Debug target IP address is 10.0.0.1, target port is 80";
        check_notice(Two, Verbose, &attempt, line);
        let connected = Notice::Connected { id: 1, backend: "10.0.0.1:80".into() };
        check_notice(Two, Verbose, &connected, "Debug connected to 10.0.0.1:80");
        let client = samples::plain().client;
        let start = Notice::SessionStart { id: 1, listener: "redir".into(), client };
        let line = "Debug peer IP is 10.0.0.9, peer socket is 51234";
        check_notice(Two, Verbose, &start, line);
        check_notice(Two, Normal, &start, "");
        check_notice(Three, Verbose, &samples::warning(), "");
    }
}
