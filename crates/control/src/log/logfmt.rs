//! Format `logfmt`: `key=value` words on one line.
//!
//! The fields are those of `json`. What is not known is left out, as is usual
//! in this format; objects become keys (`tcp_rtt_us_client`); the failed
//! attempts are one quoted text, `BACKEND [(ADDRESS)] FAILURE MSms; ...`.

use std::fmt::Display;
use std::time::SystemTime;

use engine::account::Record;
use engine::journal::Notice;

use super::clock::Utc;
use super::escape::{self, push};
use super::{ended, level, millis};

/// Appends the record of a session, without a line end.
pub(super) fn session(out: &mut String, record: &Record) {
    push(out, format_args!("ts={} id={}", Utc(ended(record)), record.id));
    text(out, "listener", Some(&record.listener));
    text(out, "client", Some(&record.client.to_string()));
    let backend = record.backend.as_ref();
    text(out, "backend", backend.map(|reached| &*reached.backend));
    word(out, "backend_address", backend.and_then(|reached| reached.address));
    text(out, "route", record.pool.as_deref());
    word(out, "bytes_to_backend", Some(record.bytes_to_backend));
    word(out, "bytes_to_client", Some(record.bytes_to_client));
    word(out, "datagrams_to_backend", record.datagrams.map(|datagrams| datagrams.to_backend));
    word(out, "datagrams_to_client", record.datagrams.map(|datagrams| datagrams.to_client));
    word(out, "datagrams_lost", record.datagrams.map(|datagrams| datagrams.lost));
    word(out, "duration_ms", Some(millis(record.duration)));
    word(out, "connect_ms", record.connect.map(millis));
    word(out, "first_byte_ms", record.first_byte.map(millis));
    if !record.attempts.is_empty() {
        text(out, "attempts", Some(&attempts(record)));
    }
    word(out, "reason", Some(record.reason.as_str()));
    word(out, "side", Some(record.by.as_str()));
    let (client, backend) = (record.client_tcp, record.backend_tcp);
    word(out, "tcp_rtt_us_client", client.map(|figures| figures.rtt_us));
    word(out, "tcp_rtt_us_backend", backend.map(|figures| figures.rtt_us));
    word(out, "retrans_client", client.map(|figures| figures.retrans));
    word(out, "retrans_backend", backend.map(|figures| figures.retrans));
}

/// Appends a notice, without a line end.
pub(super) fn notice(out: &mut String, at: SystemTime, notice: &Notice) {
    push(out, format_args!("ts={} level={}", Utc(at), level(notice)));
    text(out, "message", Some(&notice.to_string()));
}

fn attempts(record: &Record) -> String {
    let one = |attempt: &engine::account::Attempt| {
        let address = attempt.address.map(|address| format!(" ({address})"));
        format!(
            "{}{} {} {}ms",
            attempt.backend,
            address.unwrap_or_default(),
            attempt.failure.as_str(),
            millis(attempt.took)
        )
    };
    record.attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn text(out: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        push(out, format_args!(" {key}="));
        escape::logfmt(out, value);
    }
}

/// For values that hold no space, no quote, and nothing of others.
fn word(out: &mut String, key: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        push(out, format_args!(" {key}={value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[track_caller]
    fn check(record: &Record, expected: &str) {
        let mut out = String::new();
        session(&mut out, record);
        assert_eq!(out, expected);
    }

    #[test]
    fn sessions() {
        check(
            &samples::plain(),
            "ts=2026-07-30T11:50:25.678Z id=17 listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 route=web bytes_to_backend=78 bytes_to_client=1234567 \
             duration_ms=1204.5 connect_ms=0.412 first_byte_ms=3 reason=done side=client \
             tcp_rtt_us_client=210 tcp_rtt_us_backend=95 retrans_client=0 retrans_backend=2",
        );
        check(
            &samples::moved(),
            "ts=2026-07-30T11:50:25.678Z id=18 listener=web client=[2001:db8::9]:51234 \
             backend=db.example:5432 backend_address=10.0.0.5:5432 route=web bytes_to_backend=0 \
             bytes_to_client=0 duration_ms=5000 connect_ms=5000 \
             attempts=\"10.0.0.11:80 refused 0.08ms; \
             db.example:5432 (10.0.0.4:5432) connect_timeout 4999ms\" \
             reason=backend_reset side=backend tcp_rtt_us_backend=95 retrans_backend=0",
        );
        check(
            &samples::flow(),
            "ts=2026-07-30T11:50:25.678Z id=20 listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 route=web bytes_to_backend=78 bytes_to_client=480 \
             datagrams_to_backend=2 datagrams_to_client=3 datagrams_lost=1 duration_ms=1204.5 \
             first_byte_ms=3 reason=done side=replug",
        );
        check(
            &samples::denied(),
            "ts=2026-07-30T11:50:25.678Z id=19 listener=web client=unix bytes_to_backend=0 \
             bytes_to_client=0 duration_ms=0 reason=denied side=replug",
        );
    }

    #[test]
    fn hostile_names_stay_within_their_quotes() {
        let mut out = String::new();
        session(&mut out, &samples::hostile());
        assert!(!out.chars().any(char::is_control), "{out:?}");
        assert!(out.contains(r#" listener="a\r\n2026 forged \u001b[2J"#), "{out}");
    }

    #[test]
    fn notices() {
        let mut out = String::new();
        notice(&mut out, samples::moment(), &samples::warning());
        assert_eq!(
            out,
            "ts=2026-07-30T11:50:25.678Z level=warning message=\"10.0.0.11:80 of pool web is down \
             (connection refused); it is tried again in 10s\"",
        );
    }
}
