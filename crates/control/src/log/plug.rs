//! The formats of plug: `plug-session`, the lines of its session file, and `plug-syslog`, what it
//! tells syslog.
//!
//! ```text
//! [2026-11-20 18:20:13] plug[28899] 127.0.0.1:21002 127.0.0.1 127.0.0.1:21001 5000 8 753
//!
//! (127.0.0.1 21002): Plugdaemon started.                              normal
//! (127.0.0.1 21002): Connect from 127.0.0.1 to 127.0.0.1              normal
//! (127.0.0.1 21002): Complete.                                        normal
//! (127.0.0.1 21002): Connect from 127.0.0.1 Refused.                  always
//! (127.0.0.1 21002): proxy connect: Connection refused                always
//! 28867 forwarding 51234 to 127.0.0.1:21001.                          verbose
//! ```
//!
//! A session that reached no backend has no line in the session file, as in plug; one that was
//! reset or ended by an operator has one, other than in plug. The fields are: end in local time,
//! process, where it came in, client, backend or proxy, bytes from the client, bytes to it,
//! microseconds from accept to the end.

use std::net::SocketAddr;

use engine::account::{ConnectFailure, Event, ProxyFailure, Reason, Record};
use engine::journal::{Level, Notice};
use model::Verbosity;

use super::clock::Local;
use super::escape::{self, push};
use super::syslog::Severity;
use super::{at, words};

/// Appends the line of a session file, without a line end; nothing for a session without one.
pub(super) fn session_line(out: &mut String, record: &Record) {
    let (Event::End { .. }, Some(backend)) = (record.event, &record.backend) else { return };
    push(out, format_args!("[{}] plug[{}] ", Local(at(record)), std::process::id()));
    match place(&record.bind) {
        Place::Address(address, port) => push(out, format_args!("{address}:{port} ")),
        Place::Port(port) => push(out, format_args!("{port} ")),
        Place::Other(bind) => {
            escape::plain(out, bind);
            out.push(' ');
        }
    }
    push(out, format_args!("{} ", host(&record.client.to_string())));
    match backend.address {
        Some(address) => push(out, format_args!("{address}")),
        None => escape::plain(out, &backend.backend),
    }
    push(
        out,
        format_args!(
            " {} {} {}",
            record.bytes_to_backend,
            record.bytes_to_client,
            record.duration.as_micros()
        ),
    );
}

/// Appends what a session's end is to syslog. `None`: nothing.
pub(super) fn session(out: &mut String, verbosity: Verbosity, record: &Record) -> Option<Severity> {
    let id = std::process::id();
    let Event::End { reason, .. } = record.event else { return None };
    if reason == Reason::Denied {
        tag(out, &record.bind);
        push(out, format_args!("Connect from {} Refused.", host(&record.client.to_string())));
        return Some(Severity::Notice);
    }
    match (verbosity, &record.backend) {
        (Verbosity::Quiet, _) | (_, None) => return None,
        (Verbosity::Normal, Some(_)) => {
            tag(out, &record.bind);
            out.push_str("Complete.");
        }
        (Verbosity::Verbose, Some(_)) => {
            push(out, format_args!("{id} completed, its session died, status is 0."));
        }
    }
    Some(match verbosity {
        Verbosity::Verbose => Severity::Debug,
        Verbosity::Quiet | Verbosity::Normal => Severity::Notice,
    })
}

/// Appends what a notice is to syslog. `None`: nothing.
pub(super) fn notice(out: &mut String, verbosity: Verbosity, notice: &Notice) -> Option<Severity> {
    let id = std::process::id();
    let severity = match (notice, verbosity) {
        (Notice::AttemptFailed { bind, failure, phrase, .. }, _) => {
            tag(out, bind);
            failed(out, *failure, phrase.as_deref());
            return Some(Severity::Error);
        }
        // Told by the failed attempt.
        (Notice::BackendDown { .. } | Notice::BackendUp { .. }, _) => return None,
        (notice, _) if notice.level() >= Level::Warning => {
            escape::plain(out, &notice.to_string());
            return Some(match notice.level() {
                Level::Error => Severity::Error,
                _ => Severity::Warning,
            });
        }
        (_, Verbosity::Quiet) => return None,
        (_, Verbosity::Normal) => Severity::Notice,
        (_, Verbosity::Verbose) => Severity::Debug,
    };
    match (notice, verbosity) {
        (Notice::Listening { address, .. }, Verbosity::Normal) => {
            tag(out, address);
            out.push_str("Plugdaemon started.");
        }
        (Notice::Listening { address, .. }, _) => {
            push(out, format_args!("{id} listening for new connections: "));
            escape::plain(out, address);
        }
        (Notice::Attempt { bind, client, dialled, .. }, Verbosity::Normal) => {
            tag(out, bind);
            push(out, format_args!("Connect from {} to ", host(&client.to_string())));
            escape::plain(out, host(dialled));
        }
        (Notice::Attempt { client, dialled, .. }, _) => {
            let client = client.to_string();
            let port = client.rsplit(':').next().unwrap_or_default();
            push(out, format_args!("{id} forwarding {port} to "));
            escape::plain(out, dialled);
            out.push('.');
        }
        (Notice::Connected { backend, .. }, Verbosity::Verbose) => {
            push(out, format_args!("{id} connected proxy to "));
            escape::plain(out, backend);
            out.push('.');
        }
        _ => return None,
    }
    Some(severity)
}

/// `(ADDRESS PORT): ` of a place to listen, or `(PORT): ` where that is all addresses.
fn tag(out: &mut String, bind: &str) {
    out.push('(');
    match place(bind) {
        Place::Address(address, port) => push(out, format_args!("{address} {port}")),
        Place::Port(port) => out.push_str(port),
        Place::Other(bind) => escape::plain(out, bind),
    }
    out.push_str("): ");
}

/// Why there is no connection, in the words of errno(3) and of plug.
fn failed(out: &mut String, failure: ConnectFailure, phrase: Option<&str>) {
    match (failure, phrase) {
        (ConnectFailure::Proxy(ProxyFailure::Closed), _) => out.push_str("Connection closed"),
        (ConnectFailure::Proxy(_), Some(phrase)) => escape::plain(out, phrase),
        (ConnectFailure::Proxy(_), None) => out.push_str("Malformed response from HTTPS proxy"),
        _ => push(out, format_args!("proxy connect: {}", words(failure))),
    }
}

/// What a place to listen is to plug, which knows one IPv4 address or all of them.
enum Place<'a> {
    Address(&'a str, &'a str),
    Port(&'a str),
    Other(&'a str),
}

fn place(bind: &str) -> Place<'_> {
    match bind.rsplit_once(':') {
        Some(("" | "0.0.0.0" | "[::]", port)) => Place::Port(port),
        Some((address, port)) if bind.parse::<SocketAddr>().is_ok() => {
            Place::Address(address.trim_matches(['[', ']']), port)
        }
        _ => Place::Other(bind),
    }
}

/// An address without its port.
fn host(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) => host.trim_matches(['[', ']']),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use engine::account::ClientAddress;
    use engine::account::Reached;
    use std::time::Duration;

    fn record(bind: &str) -> Record {
        let reached = Reached { backend: "127.0.0.1:21001".into(), address: None };
        let client = ClientAddress::Ip("127.0.0.9:5".parse().expect("an address"));
        Record { bind: bind.into(), backend: Some(reached), client, ..samples::plain() }
    }

    #[track_caller]
    fn check_line(record: &Record, expected: &str) {
        let mut out = String::new();
        session_line(&mut out, record);
        let id = std::process::id();
        let time = Local(at(record)).to_string();
        let expected = match expected {
            "" => String::new(),
            _ => format!("[{time}] plug[{id}] {expected}"),
        };
        assert_eq!(out, expected);
    }

    #[test]
    fn session_lines() {
        let one = record("127.0.0.1:21002");
        check_line(&one, "127.0.0.1:21002 127.0.0.9 127.0.0.1:21001 78 1234567 1204500");
        let short = Record { duration: Duration::from_micros(753), ..record("0.0.0.0:80") };
        check_line(&short, "80 127.0.0.9 127.0.0.1:21001 78 1234567 753");
        check_line(&Record { backend: None, ..record(":80") }, "");
        let by_proxy = Reached {
            backend: "www.example.com:443".into(),
            address: Some("10.0.3.1:3128".parse().expect("an address")),
        };
        let by_proxy = Record { backend: Some(by_proxy), ..record(":80") };
        check_line(&by_proxy, "80 127.0.0.9 10.0.3.1:3128 78 1234567 1204500");
    }

    #[track_caller]
    fn check_session(verbosity: Verbosity, record: &Record, expected: &str) {
        let mut out = String::new();
        let severity = session(&mut out, verbosity, record);
        let shown = severity.map_or_else(String::new, |severity| format!("{severity:?} {out}"));
        assert_eq!(shown, expected.replace("PID", &std::process::id().to_string()));
    }

    #[test]
    fn sessions() {
        use Verbosity::{Normal, Quiet, Verbose};
        let one = record("127.0.0.1:21002");
        check_session(Quiet, &one, "");
        check_session(Normal, &one, "Notice (127.0.0.1 21002): Complete.");
        check_session(Verbose, &one, "Debug PID completed, its session died, status is 0.");
        let denied = Record { event: samples::denied().event, backend: None, ..record(":80") };
        for verbosity in [Quiet, Normal, Verbose] {
            check_session(verbosity, &denied, "Notice (80): Connect from 127.0.0.9 Refused.");
        }
        check_session(Normal, &Record { backend: None, ..record(":80") }, "");
    }

    #[track_caller]
    fn check_notice(verbosity: Verbosity, told: &Notice, expected: &str) {
        let mut out = String::new();
        let severity = notice(&mut out, verbosity, told);
        let shown = severity.map_or_else(String::new, |severity| format!("{severity:?} {out}"));
        assert_eq!(shown, expected.replace("PID", &std::process::id().to_string()));
    }

    #[test]
    fn notices() {
        use Verbosity::{Normal, Quiet, Verbose};
        let address = "127.0.0.1:21002".to_owned();
        let listening = Notice::Listening { listener: "plug".into(), address, by_inetd: false };
        check_notice(Quiet, &listening, "");
        check_notice(Normal, &listening, "Notice (127.0.0.1 21002): Plugdaemon started.");
        let debug = "Debug PID listening for new connections: 127.0.0.1:21002";
        check_notice(Verbose, &listening, debug);
        let attempt = Notice::Attempt {
            id: 1,
            bind: ":80".into(),
            client: ClientAddress::Ip("[2001:db8::9]:51234".parse().expect("an address")),
            dialled: "10.0.0.1:80".into(),
            backend: "10.0.0.1:80".into(),
        };
        check_notice(Quiet, &attempt, "");
        check_notice(Normal, &attempt, "Notice (80): Connect from 2001:db8::9 to 10.0.0.1");
        check_notice(Verbose, &attempt, "Debug PID forwarding 51234 to 10.0.0.1:80.");
        check_notice(Normal, &samples::warning(), "");
    }

    #[test]
    fn failures() {
        let failed = |failure, phrase: Option<&str>| Notice::AttemptFailed {
            id: 1,
            bind: "127.0.0.1:80".into(),
            backend: "10.0.0.1:80".into(),
            failure,
            phrase: phrase.map(Into::into),
        };
        let status = |status| ConnectFailure::Proxy(ProxyFailure::Status(status));
        for (failure, phrase, expected) in [
            (ConnectFailure::Refused, None, "proxy connect: Connection refused"),
            (ConnectFailure::Timeout, None, "proxy connect: Connection timed out"),
            (ConnectFailure::Other(13), None, "proxy connect: Permission denied"),
            (status(403), Some("Forbidden\u{1b}[2J"), "Forbidden\\u{1b}[2J"),
            (status(407), None, "Malformed response from HTTPS proxy"),
            (ConnectFailure::Proxy(ProxyFailure::Closed), None, "Connection closed"),
        ] {
            let expected = format!("Error (127.0.0.1 80): {expected}");
            check_notice(Verbosity::Quiet, &failed(failure, phrase), &expected);
        }
    }
}
