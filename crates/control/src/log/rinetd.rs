//! The formats of rinetd: `rinetd`, the lines of its log file, `rinetd-common`, the same in the manner
//! of a web server, and `rinetd-syslog`, what it tells syslog or, in the foreground, its terminal.
//!
//! ```text
//! 20/Nov/2026:18:20:10 <TAB>127.0.0.1<TAB>0<TAB>80<TAB>10.0.0.1<TAB>8080<TAB>5<TAB>7<TAB>done-remote-closed
//! date, with a blank        client        listens at    goes to             bytes from, to the client
//!
//! 127.0.0.1 - - [20/Nov/2026:18:20:10  +0100] "GET /rinetd-services/0/80/10.0.0.1/8080/opened HTTP/1.0" 200 0 - - - 0
//!
//! rinetd: 127.0.0.1 denied
//! rinetd error: not reloaded, all is as it was: ...
//! ```
//!
//! Times are those of this machine's zone. "Local" is the side of the backend, "remote" that of the
//! client, and whoever ended first is named; what replug ended itself (other than for silence)
//! counts as local. Formats of lines have none for messages, but for a client that could not be
//! accepted.

use std::time::SystemTime;

use engine::account::{By, ClientAddress, ConnectFailure, Denial, Event, Reason, Record};
use engine::journal::{Level, Notice};
use model::Verbosity;

use super::at;
use super::clock::{Common, Zone};
use super::escape::{self, push};
use super::syslog::Severity;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Nine fields with tabs between.
    Tabs,
    /// `logcommon`.
    Common,
}

/// What a line says.
struct Line<'a> {
    at: SystemTime,
    client: String,
    bind: &'a str,
    target: &'a str,
    from_client: u64,
    to_client: u64,
    result: &'static str,
}

/// Appends the line of a session, without a line end; nothing for one that goes on.
pub(super) fn session(out: &mut String, style: Style, record: &Record) {
    let Some(result) = result(record) else { return };
    let reached = record.backend.as_ref().map(|reached| &reached.backend);
    let tried = record.attempts.last().map(|attempt| &attempt.backend);
    let line = Line {
        at: at(record),
        client: client(record),
        bind: &record.bind,
        target: reached.or(tried).unwrap_or(&record.target),
        from_client: record.bytes_to_backend,
        to_client: record.bytes_to_client,
        result,
    };
    line.write(out, style);
}

/// Appends the line of a client that could not be accepted.
pub(super) fn notice(out: &mut String, style: Style, at: SystemTime, notice: &Notice) {
    if let Notice::AcceptRests { bind, target, .. } = notice {
        let (client, result) = ("?".to_owned(), "accept-failed -");
        let line = Line { at, client, bind, target, from_client: 0, to_client: 0, result };
        line.write(out, style);
    }
}

/// Appends what a session's end is to syslog, or to the terminal. `None`: nothing.
pub(super) fn told_session(out: &mut String, named: bool, record: &Record) -> Option<Severity> {
    let Event::End { reason: Reason::Denied, .. } = record.event else { return None };
    name(out, named, Severity::Info);
    push(out, format_args!("{} {}", client(record), refused(record)));
    Some(Severity::Info)
}

/// Appends what a notice is to syslog, or to the terminal. `None`: nothing.
pub(super) fn told_notice(
    out: &mut String,
    named: bool,
    verbosity: Verbosity,
    notice: &Notice,
) -> Option<Severity> {
    let severity = Severity::from(notice.level());
    match (notice, notice.level(), verbosity) {
        (Notice::Remark { .. }, ..)
        | (_, Level::Warning | Level::Error, _)
        | (.., Verbosity::Verbose) => {}
        (.., Verbosity::Quiet | Verbosity::Normal) => return None,
    }
    name(out, named, severity);
    escape::plain(out, &notice.to_string());
    Some(severity)
}

/// Who speaks; syslog knows that.
fn name(out: &mut String, named: bool, severity: Severity) {
    match (named, severity) {
        (false, _) => {}
        (true, Severity::Error | Severity::Warning) => out.push_str("rinetd error: "),
        (true, _) => out.push_str("rinetd: "),
    }
}

impl Line<'_> {
    fn write(&self, out: &mut String, style: Style) {
        let Self { at, client, bind, target, from_client, to_client, result } = self;
        let ((host, port), (target, target_port)) = (parts(bind), parts(target));
        let (place, goal) = (plain(host), plain(target));
        match style {
            Style::Tabs => push(
                out,
                format_args!(
                    "{} \t{client}\t{place}\t{port}\t{goal}\t{target_port}\t{from_client}\t\
                     {to_client}\t{result}",
                    Common(*at)
                ),
            ),
            Style::Common => push(
                out,
                format_args!(
                    "{client} - - [{}  {}] \"GET /rinetd-services/{place}/{port}/{goal}/\
                     {target_port}/{result} HTTP/1.0\" 200 {to_client} - - - {from_client}",
                    Common(*at),
                    Zone(*at)
                ),
            ),
        }
    }
}

/// The word for what has become of a session; `None`: it goes on.
fn result(record: &Record) -> Option<&'static str> {
    let (reason, by) = match record.event {
        Event::Start => return Some("opened"),
        Event::Open => return None,
        Event::End { reason, by } => (reason, by),
    };
    let last = record.attempts.last().map(|attempt| attempt.failure);
    let was_reached = record.backend.is_some();
    Some(match (reason, by) {
        (Reason::Denied, _) => refused(record),
        (Reason::Limited, _) if !was_reached => "denied",
        (Reason::Unreachable | Reason::NoBackend, _) if !was_reached => "local-connect-failed -",
        (Reason::Internal, _) if !was_reached => match last {
            Some(ConnectFailure::Ours(_)) => "local-socket-failed -",
            _ => "unknown-error",
        },
        (Reason::Internal, _) => "unknown-error",
        // A flow that was silent for its time is done, and nobody has ended it.
        (_, By::Client)
        | (Reason::Idle | Reason::HalfClosedIdle, _)
        | (Reason::Done, By::Replug) => "done-remote-closed",
        (_, By::Backend | By::Replug) => "done-local-closed",
    })
}

/// The word for a client that the access rules refuse.
fn refused(record: &Record) -> &'static str {
    match record.denial {
        Some(Denial::NotAllowed) => "not-allowed",
        Some(Denial::Denied) | None => "denied",
    }
}

fn client(record: &Record) -> String {
    match record.client {
        ClientAddress::Ip(address) => address.ip().to_string(),
        ClientAddress::Unix => "unix".to_owned(),
    }
}

/// Host and port of a place. A unix socket has none, which is port 0; all addresses are `::`.
fn parts(place: &str) -> (&str, &str) {
    let place = place.strip_prefix(model::Bind::UDP).unwrap_or(place);
    match place.rsplit_once(':') {
        Some(_) if place.starts_with("unix:") => (place, "0"),
        Some(("", port)) => ("::", port),
        Some((host, port)) => (host.trim_matches(['[', ']']), port),
        None => (place, "0"),
    }
}

fn plain(text: &str) -> String {
    let mut out = String::new();
    escape::plain(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use engine::account::{Attempt, Reached};
    use std::time::Duration;

    fn record(bind: &str, target: &str) -> Record {
        let reached = Reached { backend: target.into(), address: None };
        let client = ClientAddress::Ip("127.0.0.9:5".parse().expect("an address"));
        let (bind, target) = (bind.into(), target.into());
        Record { bind, target, backend: Some(reached), client, ..samples::plain() }
    }

    #[track_caller]
    fn check(style: Style, record: &Record, expected: &str) {
        let mut out = String::new();
        session(&mut out, style, record);
        // Whatever zone the tests run in.
        let (date, zone) = (Common(at(record)).to_string(), Zone(at(record)).to_string());
        assert_eq!(out, expected.replace("DATE", &date).replace("ZONE", &zone));
    }

    #[test]
    fn lines() {
        let one = record("127.0.0.1:19001", "127.0.0.1:19101");
        check(
            Style::Tabs,
            &one,
            "DATE \t127.0.0.9\t127.0.0.1\t19001\t127.0.0.1\t19101\t78\t1234567\tdone-remote-closed",
        );
        check(
            Style::Common,
            &one,
            "127.0.0.9 - - [DATE  ZONE] \"GET /rinetd-services/127.0.0.1/19001/127.0.0.1/19101/\
             done-remote-closed HTTP/1.0\" 200 1234567 - - - 78",
        );
        check(Style::Tabs, &Record { event: Event::Open, ..one }, "");
    }

    #[test]
    fn places() {
        for (text, expected) in [
            ("0:80", ("0", "80")),
            ("udp://127.0.0.1:53", ("127.0.0.1", "53")),
            ("[::1]:80", ("::1", "80")),
            (":80", ("::", "80")),
            ("unix:/run/x:1", ("unix:/run/x:1", "0")),
            ("www.example:80", ("www.example", "80")),
            ("systemd:web", ("systemd", "web")),
            ("inetd", ("inetd", "0")),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn results() {
        let end = |reason, by| Event::End { reason, by };
        let failed = |failure| Attempt {
            backend: "10.0.0.1:80".into(),
            address: None,
            took: Duration::ZERO,
            failure,
            phrase: None,
            is_original: false,
        };
        let reached = |event| Record { event, ..record(":80", "10.0.0.1:80") };
        let lost = |reason, by, failure| Record {
            backend: None,
            attempts: vec![failed(failure)],
            ..reached(end(reason, by))
        };
        let denied = |denial| Record {
            denial: Some(denial),
            ..Record { backend: None, ..reached(end(Reason::Denied, By::Replug)) }
        };
        for (record, expected) in [
            (reached(Event::Start), "opened"),
            (reached(end(Reason::Done, By::Client)), "done-remote-closed"),
            (reached(end(Reason::Done, By::Backend)), "done-local-closed"),
            (reached(end(Reason::Done, By::Replug)), "done-remote-closed"),
            (reached(end(Reason::ClientReset, By::Client)), "done-remote-closed"),
            (reached(end(Reason::BackendReset, By::Backend)), "done-local-closed"),
            (reached(end(Reason::Idle, By::Replug)), "done-remote-closed"),
            (reached(end(Reason::Killed, By::Replug)), "done-local-closed"),
            (reached(end(Reason::Internal, By::Replug)), "unknown-error"),
            (lost(Reason::Refused, By::Backend, ConnectFailure::Refused), "done-local-closed"),
            (
                lost(Reason::ConnectTimeout, By::Backend, ConnectFailure::Timeout),
                "done-local-closed",
            ),
            (
                lost(Reason::Unreachable, By::Backend, ConnectFailure::Unreachable),
                "local-connect-failed -",
            ),
            (
                lost(Reason::NoBackend, By::Replug, ConnectFailure::Unresolved),
                "local-connect-failed -",
            ),
            (lost(Reason::Internal, By::Replug, ConnectFailure::Ours(24)), "local-socket-failed -"),
            (denied(Denial::NotAllowed), "not-allowed"),
            (denied(Denial::Denied), "denied"),
        ] {
            assert_eq!(result(&record), Some(expected), "{record:?}");
        }
        let mut out = String::new();
        let severity = told_session(&mut out, true, &denied(Denial::NotAllowed));
        assert_eq!((severity, &*out), (Some(Severity::Info), "rinetd: 127.0.0.9 not-allowed"));
    }

    #[test]
    fn who_could_not_be_accepted_has_a_line() {
        let rests = Notice::AcceptRests {
            listener: "a".into(),
            bind: "0:80".into(),
            target: "10.0.0.1:81".into(),
            error: "too many".to_owned(),
            times: 1,
        };
        let mut out = String::new();
        notice(&mut out, Style::Tabs, samples::moment(), &rests);
        let (_, fields) = out.split_once('\t').expect("the date comes first");
        assert_eq!(fields, "?\t0\t80\t10.0.0.1\t81\t0\t0\taccept-failed -");
        out.clear();
        notice(&mut out, Style::Tabs, samples::moment(), &samples::warning());
        assert_eq!(out, "");
    }

    #[test]
    fn what_is_told() {
        let check = |named, verbosity, told: &Notice, expected: &str| {
            let mut out = String::new();
            let severity = told_notice(&mut out, named, verbosity, told);
            let shown = severity.map_or_else(String::new, |severity| format!("{severity:?} {out}"));
            assert_eq!(shown, expected);
        };
        let remark = |level| Notice::Remark { level, text: "so it is".to_owned() };
        check(true, Verbosity::Normal, &remark(Level::Info), "Info rinetd: so it is");
        check(true, Verbosity::Normal, &remark(Level::Error), "Error rinetd error: so it is");
        check(false, Verbosity::Normal, &remark(Level::Error), "Error so it is");
        let up = Notice::BackendUp { pool: "a".into(), backend: "b".into() };
        check(true, Verbosity::Normal, &up, "");
    }
}
