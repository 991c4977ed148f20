//! Format `logfmt`: `key=value` words on one line.
//!
//! The fields are those of `json`. What is not known is left out, as is usual
//! in this format; objects become keys (`tcp_rtt_us_client`); the failed
//! attempts are one quoted text.

use std::time::SystemTime;

use engine::account::Record;
use engine::journal::Notice;
use engine::requests::Request;

use super::clock::Utc;
use super::escape::{self, push};
use super::fields::{self, Value};
use super::{level, millis};

/// Appends the record of a session, without a line end.
pub(super) fn session(out: &mut String, record: &Record) {
    line(out, |field| fields::each(record, field));
}

/// Appends a request, without a line end.
pub(super) fn request(out: &mut String, request: &Request) {
    line(out, |field| fields::request(request, field));
}

fn line(out: &mut String, each: impl FnOnce(fields::Field<'_>)) {
    let mut before = "";
    each(&mut |key, value| {
        match value {
            Value::Unknown | Value::Attempts([]) => return,
            Value::Time(at) => push(out, format_args!("{before}{key}={}", Utc(at))),
            Value::Word(word) => push(out, format_args!("{before}{key}={word}")),
            Value::Number(number) => push(out, format_args!("{before}{key}={number}")),
            Value::Millis(time) => push(out, format_args!("{before}{key}={}", millis(time))),
            Value::Address(address) => push(out, format_args!("{before}{key}={address}")),
            Value::Text(value) => text(out, key, value),
            Value::Attempts(attempts) => text(out, key, &fields::attempts(attempts)),
            Value::Sides { client, backend } => {
                for (side, figure) in [("client", client), ("backend", backend)] {
                    if let Some(figure) = figure {
                        push(out, format_args!(" {key}_{side}={figure}"));
                    }
                }
            }
        }
        before = " ";
    });
}

/// Appends a notice, without a line end.
pub(super) fn notice(out: &mut String, at: SystemTime, notice: &Notice) {
    push(out, format_args!("ts={} level={}", Utc(at), level(notice)));
    text(out, "message", &notice.to_string());
}

fn text(out: &mut String, key: &str, value: &str) {
    push(out, format_args!(" {key}="));
    escape::logfmt(out, value);
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
            "ts=2026-07-30T11:50:25.678Z id=17 event=end listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 pool=web bytes_to_backend=78 bytes_to_client=1234567 \
             duration_ms=1204.5 connect_ms=0.412 first_byte_ms=3 reason=done code=-- side=client \
             tcp_rtt_us_client=210 tcp_rtt_us_backend=95 retrans_client=0 retrans_backend=2 relay=ring",
        );
        check(
            &samples::moved(),
            "ts=2026-07-30T11:50:25.678Z id=18 event=end listener=web client=[2001:db8::9]:51234 \
             backend=db.example:5432 backend_address=10.0.0.5:5432 pool=web bytes_to_backend=0 \
             bytes_to_client=0 duration_ms=5000 connect_ms=5000 \
             attempts=\"10.0.0.11:80 refused 0.08ms; \
             db.example:5432 (10.0.0.4:5432) connect_timeout 4999ms\" \
             reason=backend_reset code=SD side=backend tcp_rtt_us_backend=95 retrans_backend=0 relay=both",
        );
        check(
            &samples::flow(),
            "ts=2026-07-30T11:50:25.678Z id=20 event=end listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 pool=web bytes_to_backend=78 bytes_to_client=480 \
             datagrams_to_backend=2 datagrams_to_client=3 datagrams_lost=1 duration_ms=1204.5 \
             first_byte_ms=3 reason=done code=-- side=replug",
        );
        check(
            &samples::sniffed(),
            "ts=2026-07-30T11:50:25.678Z id=17 event=end listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 pool=web route=2 sni=www.example.com alpn=h2,http/1.1 tls_version=1.2 \
             bytes_to_backend=78 bytes_to_client=1234567 \
             duration_ms=1204.5 connect_ms=0.412 first_byte_ms=3 reason=done code=-- side=client \
             tcp_rtt_us_client=210 tcp_rtt_us_backend=95 retrans_client=0 retrans_backend=2 relay=ring",
        );
        check(
            &samples::signed_in(),
            "ts=2026-07-30T11:50:25.678Z id=17 event=end listener=web client=10.0.0.9:51234 \
             backend=10.0.0.11:80 pool=web user=alice bytes_to_backend=78 bytes_to_client=1234567 \
             duration_ms=1204.5 connect_ms=0.412 first_byte_ms=3 reason=done code=-- side=client \
             tcp_rtt_us_client=210 tcp_rtt_us_backend=95 retrans_client=0 retrans_backend=2 relay=ring",
        );
        check(
            &samples::brought(),
            "ts=2026-07-30T11:50:25.678Z id=17 event=end listener=web client=10.0.0.9:51234 \
             sender=10.0.0.2:443 unique_id=c0-5 backend=10.0.0.11:80 pool=web bytes_to_backend=78 \
             bytes_to_client=1234567 duration_ms=1204.5 connect_ms=0.412 first_byte_ms=3 \
             reason=done code=-- side=client tcp_rtt_us_client=210 tcp_rtt_us_backend=95 \
             retrans_client=0 retrans_backend=2 relay=ring",
        );
        check(
            &samples::denied(),
            "ts=2026-07-30T11:50:25.678Z id=19 event=end listener=web client=unix bytes_to_backend=0 \
             bytes_to_client=0 duration_ms=0 reason=denied code=PR side=replug",
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
