//! The format of ProxyMachine: lines of Ruby's `Logger`.
//!
//! ```text
//! I, [2026-07-30T14:03:45.678000 #4711]  INFO -- : Accepted 10.0.0.9:51234
//! I, [2026-07-30T14:03:45.679000 #4711]  INFO -- : 10.0.0.9:51234 {:remote=>"10.0.0.11:80"}
//! I, [2026-07-30T14:03:45.679000 #4711]  INFO -- : Establishing new connection with 10.0.0.11:80
//! I, [2026-07-30T14:03:45.681000 #4711]  INFO -- : Successful connection to 10.0.0.11:80
//! ```
//!
//! A target that has the time of its own gets only what stands behind the colon.

use std::time::SystemTime;

use engine::account::{Event, Reason, Record};
use engine::journal::{Level, Notice};

use super::at;
use super::clock::OfLogger;
use super::escape::{self, push};
use super::syslog::Severity;
use super::text::Columns;

/// Appends what a session's end is, without a line end. `None`: nothing.
pub(super) fn session(out: &mut String, columns: Columns, record: &Record) -> Option<Severity> {
    let Event::End { reason, .. } = record.event else { return None };
    let is_unreached = record.backend.is_none() && !record.attempts.is_empty();
    let is_wrong = is_unreached || matches!(reason, Reason::SniffTimeout | Reason::Internal);
    let level = if is_wrong { Level::Error } else { Level::Info };
    begin(out, columns, at(record), level);
    match (&record.backend, record.attempts.last()) {
        (None, Some(last)) => {
            let times = record.attempts.len();
            out.push_str("Connect with ");
            escape::plain(out, &last.backend);
            push(out, format_args!(" failed {times} times: {}", last.failure));
        }
        _ => push(out, format_args!("Disconnected {}: {}", record.client, reason.as_str())),
    }
    Some(level.into())
}

/// Appends what a notice is, without a line end. `None`: nothing.
pub(super) fn notice(
    out: &mut String,
    columns: Columns,
    now: SystemTime,
    notice: &Notice,
) -> Option<Severity> {
    let level = match notice {
        Notice::SessionStart { .. }
        | Notice::Attempt { .. }
        | Notice::Connected { .. }
        // What a block has returned.
        | Notice::ScriptSays { session: Some(_), level: Level::Debug, .. } => Level::Info,
        Notice::AttemptFailed { .. } => Level::Warning,
        Notice::Remark { .. } | Notice::ScriptSays { .. } => notice.level(),
        notice if notice.level() == Level::Debug => return None,
        notice => notice.level(),
    };
    begin(out, columns, now, level);
    match notice {
        Notice::SessionStart { client, .. } => push(out, format_args!("Accepted {client}")),
        Notice::ScriptSays { text, .. } => escape::plain(out, text),
        Notice::Attempt { backend, .. } => named(out, "Establishing new connection with", backend),
        Notice::Connected { backend, .. } => named(out, "Successful connection to", backend),
        Notice::AttemptFailed { backend, failure, .. } => {
            named(out, "No connection with", backend);
            push(out, format_args!(": {failure}"));
        }
        Notice::Listening { address, .. } => push(out, format_args!("Listening on {address}")),
        Notice::Draining { sessions, .. } => {
            push(out, format_args!("Waiting for {sessions} connections to finish."));
        }
        notice => escape::plain(out, &notice.to_string()),
    }
    Some(level.into())
}

fn named(out: &mut String, words: &str, backend: &str) {
    push(out, format_args!("{words} "));
    escape::plain(out, backend);
}

/// What stands before each line.
fn begin(out: &mut String, columns: Columns, at: SystemTime, level: Level) {
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARN",
        Level::Error => "ERROR",
    };
    if columns.time {
        let (letter, process) = (&name[..1], std::process::id());
        push(out, format_args!("{letter}, [{} #{process}] {name:>5} -- : ", OfLogger(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use std::sync::Arc;

    const LINE: Columns = Columns { time: false, listener: true };

    #[track_caller]
    fn check(told: &Notice, expected: &str) {
        let mut out = String::new();
        let severity = notice(&mut out, LINE, SystemTime::UNIX_EPOCH, told);
        assert_eq!(severity.map_or("nothing", |_| out.as_str()), expected);
    }

    #[test]
    fn notices_are_lines_of_a_logger() {
        let backend: Arc<str> = "10.0.0.11:80".into();
        let client = samples::plain().client;
        let start = Notice::SessionStart { id: 1, listener: "proxymachine".into(), client };
        check(&start, "Accepted 10.0.0.9:51234");
        let returned = Notice::ScriptSays {
            level: Level::Debug,
            listener: "proxymachine".into(),
            session: Some(1),
            text: "10.0.0.9:51234 {:noop=>true}\n".into(),
            unsaid: 0,
        };
        check(&returned, "10.0.0.9:51234 {:noop=>true}\\n");
        let connected = Notice::Connected { id: 1, backend };
        check(&connected, "Successful connection to 10.0.0.11:80");
        check(
            &Notice::Draining { sessions: 2, within: None },
            "Waiting for 2 connections to finish.",
        );
        check(&Notice::SessionWaits { id: 1, pool: "web".into(), ahead: 0 }, "nothing");
    }

    #[test]
    fn lines_begin_as_those_of_a_logger() {
        let mut out = String::new();
        let columns = Columns { time: true, listener: true };
        session(&mut out, columns, &samples::plain());
        let shape: String = out.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let process = std::process::id().to_string();
        let zeros = "0".repeat(process.len());
        let start = format!("I, [0000-00-00T00:00:00.000000 #{zeros}]  INFO -- : Disconnected ");
        assert!(shape.starts_with(&start), "{out}");
        assert!(out.contains(&process));
    }
}
