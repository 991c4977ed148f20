//! The journal of systemd: entries of named fields (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! Each field of a record is one of the entry, `REPLUG_BACKEND` for `backend`, so that
//! `journalctl REPLUG_BACKEND=10.0.0.11:80` finds what went there. Values are escaped as in
//! `text`: none holds a line end, so each stands on a line of its own.

use std::fmt::Display;

use engine::account::Record;
use engine::journal::Notice;
use engine::requests::Request;
use model::SyslogLabel;

use super::escape::{self, push};
use super::fields::{self, Value};
use super::syslog::Severity;
use super::{level, millis};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// What the entries of sessions have as `MESSAGE_ID`.
const SESSION_ID: &str = "5c1f0d6e8a3b4e0f9d27b6c4a1e8f350";

/// What the entries of requests have.
const REQUEST_ID: &str = "b7e0a5934f1d4c6c8a52d90f63c1be27";

/// Appends the entry of a session; `message` is its line in the log's format.
pub(super) fn session(
    out: &mut String,
    label: &SyslogLabel,
    severity: Severity,
    record: &Record,
    message: &str,
) {
    head(out, label, severity, message);
    push(out, format_args!("MESSAGE_ID={SESSION_ID}\n"));
    fields::each(record, &mut |key, value| named(out, key, value));
}

/// Appends the entry of a request; `message` is its line in the log's format.
pub(super) fn request(
    out: &mut String,
    label: &SyslogLabel,
    severity: Severity,
    request: &Request,
    message: &str,
) {
    head(out, label, severity, message);
    push(out, format_args!("MESSAGE_ID={REQUEST_ID}\n"));
    fields::request(request, &mut |key, value| named(out, key, value));
}

/// Appends the entry of a notice; `message` is its line in the log's format.
pub(super) fn notice(
    out: &mut String,
    label: &SyslogLabel,
    severity: Severity,
    notice: &Notice,
    message: &str,
) {
    head(out, label, severity, message);
    field(out, "level", "", level(notice));
}

/// Appends a field of a session or a request.
fn named(out: &mut String, key: &'static str, value: Value<'_>) {
    match value {
        // The time of an entry is the journal's.
        Value::Unknown | Value::Time(_) | Value::Attempts([]) => {}
        Value::Word(word) => field(out, key, "", word),
        Value::Text(text) => escaped(out, key, text),
        Value::Number(number) => field(out, key, "", number),
        Value::Millis(duration) => field(out, key, "", millis(duration)),
        Value::Address(address) => field(out, key, "", address),
        Value::Attempts(attempts) => escaped(out, key, &fields::attempts(attempts)),
        Value::Sides { client, backend } => {
            for (side, figure) in [("_client", client), ("_backend", backend)] {
                if let Some(figure) = figure {
                    field(out, key, side, figure);
                }
            }
        }
    }
}

fn head(out: &mut String, label: &SyslogLabel, severity: Severity, message: &str) {
    let (facility, tag) = (label.facility.number(), label.tag.as_str());
    push(out, format_args!("MESSAGE={message}\nPRIORITY={}\n", severity.in_log(label)));
    push(out, format_args!("SYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER={tag}\n"));
}

fn field(out: &mut String, key: &str, part: &str, value: impl Display) {
    name(out, key);
    out.push_str(&part.to_ascii_uppercase());
    push(out, format_args!("={value}\n"));
}

fn escaped(out: &mut String, key: &str, text: &str) {
    name(out, key);
    out.push('=');
    escape::plain(out, text);
    out.push('\n');
}

fn name(out: &mut String, key: &str) {
    out.push_str("REPLUG_");
    out.extend(key.chars().map(|c| c.to_ascii_uppercase()));
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_session_is_an_entry_of_fields() {
        let mut out = String::new();
        session(&mut out, &SyslogLabel::default(), Severity::Info, &samples::moved(), "the line");
        let expected = "\
MESSAGE=the line
PRIORITY=6
SYSLOG_FACILITY=3
SYSLOG_IDENTIFIER=replug
MESSAGE_ID=5c1f0d6e8a3b4e0f9d27b6c4a1e8f350
REPLUG_ID=18
REPLUG_EVENT=end
REPLUG_LISTENER=web
REPLUG_CLIENT=[2001:db8::9]:51234
REPLUG_BACKEND=db.example:5432
REPLUG_BACKEND_ADDRESS=10.0.0.5:5432
REPLUG_POOL=web
REPLUG_BYTES_TO_BACKEND=0
REPLUG_BYTES_TO_CLIENT=0
REPLUG_DURATION_MS=5000
REPLUG_CONNECT_MS=5000
REPLUG_ATTEMPTS=10.0.0.11:80 refused 0.08ms; db.example:5432 (10.0.0.4:5432) connect_timeout 4999ms
REPLUG_REASON=backend_reset
REPLUG_CODE=SD
REPLUG_SIDE=backend
REPLUG_TCP_RTT_US_BACKEND=95
REPLUG_RETRANS_BACKEND=0
REPLUG_RELAY=both
";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_notice_has_its_priority() {
        let mut out = String::new();
        notice(
            &mut out,
            &SyslogLabel::default(),
            Severity::Warning,
            &samples::warning(),
            "the line",
        );
        let expected = "MESSAGE=the line\nPRIORITY=4\nSYSLOG_FACILITY=3\n\
                        SYSLOG_IDENTIFIER=replug\nREPLUG_LEVEL=warning\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn hostile_names_make_no_fields_of_their_own() {
        let mut out = String::new();
        session(&mut out, &SyslogLabel::default(), Severity::Info, &samples::hostile(), "the line");
        for line in out.lines() {
            let (name, _) = line.split_once('=').expect("each line is a field");
            let legal = |c: char| c.is_ascii_uppercase() || c == '_';
            assert!(name.chars().all(legal), "{line}");
        }
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
    }
}
