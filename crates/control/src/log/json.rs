//! Format `json`: one object (RFC 8259) on one line.
//!
//! A session has always the same fields in the same order, so that a table can
//! be made of them; what is not known is `null`. Left out, not null, is what applies to few sessions
//! only: docs/records.md marks these with a star. `ts` is the time of the event: the start is
//! `duration_ms` earlier. A request has some of these fields and others; its `event` is `request`. A
//! notice has `level` and `message` instead, which no session has.

use std::fmt::Display;
use std::time::SystemTime;

use engine::account::{Attempt, ConnectFailure, Record};
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
    let mut before = '{';
    each(&mut |key, value| {
        push(out, format_args!("{before}\"{key}\":"));
        before = ',';
        match value {
            Value::Unknown => out.push_str("null"),
            Value::Time(at) => push(out, format_args!("\"{}\"", Utc(at))),
            Value::Word(word) => push(out, format_args!("\"{word}\"")),
            Value::Text(text) => escape::json(out, text),
            Value::Number(number) => push(out, format_args!("{number}")),
            Value::Millis(duration) => push(out, format_args!("{}", millis(duration))),
            Value::Address(address) => push(out, format_args!("\"{address}\"")),
            Value::Attempts(attempts) => self::attempts(out, attempts),
            Value::Sides { client, backend } => {
                out.push_str("{\"client\":");
                or_null(out, client);
                out.push_str(",\"backend\":");
                or_null(out, backend);
                out.push('}');
            }
        }
    });
    out.push('}');
}

/// Appends a notice, without a line end.
pub(super) fn notice(out: &mut String, at: SystemTime, notice: &Notice) {
    push(
        out,
        format_args!("{{\"ts\":\"{}\",\"level\":\"{}\",\"message\":", Utc(at), level(notice)),
    );
    escape::json(out, &notice.to_string());
    out.push('}');
}

fn attempts(out: &mut String, attempts: &[Attempt]) {
    out.push('[');
    for (index, attempt) in attempts.iter().enumerate() {
        out.push_str(if index == 0 { "{\"backend\":" } else { ",{\"backend\":" });
        escape::json(out, &attempt.backend);
        if let Some(address) = attempt.address {
            push(out, format_args!(",\"address\":\"{address}\""));
        }
        let (failure, took) = (attempt.failure.as_str(), millis(attempt.took));
        push(out, format_args!(",\"failure\":\"{failure}\""));
        if let ConnectFailure::Proxy(why) = attempt.failure {
            push(out, format_args!(",\"why\":\"{why}\""));
        }
        push(out, format_args!(",\"ms\":{took}}}"));
    }
    out.push(']');
}

fn or_null(out: &mut String, value: Option<impl Display>) {
    match value {
        Some(value) => push(out, format_args!("{value}")),
        None => out.push_str("null"),
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
        let record: serde_json::Map<_, _> = serde_json::from_str(&out).expect("it is valid JSON");
        let documented = include_str!("../../../../docs/records.md");
        for key in record.keys() {
            assert!(
                documented.contains(&format!("`{key}`")),
                "docs/records.md does not tell of {key}"
            );
        }
    }

    #[test]
    fn requests() {
        let mut out = String::new();
        request(&mut out, &samples::request());
        assert_eq!(
            out,
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":17,\"event\":\"request\",\"listener\":\"web\",\
             \"client\":\"10.0.0.9:51234\",\"number\":2,\"method\":\"GET\",\
             \"url\":\"http://www.example.com/a\",\"passage\":\"named\"}"
        );
        out.clear();
        request(&mut out, &samples::hostile_request());
        serde_json::from_str::<serde_json::Value>(&out).expect("a request is valid JSON");
    }

    #[test]
    fn sessions() {
        check(
            &samples::plain(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":17,\"event\":\"end\",\"listener\":\"web\",\
             \"client\":\"10.0.0.9:51234\",\"backend\":\"10.0.0.11:80\",\"pool\":\"web\",\"route\":null,\"sni\":null,\"alpn\":null,\
             \"bytes_to_backend\":78,\"bytes_to_client\":1234567,\"duration_ms\":1204.5,\
             \"queue_ms\":null,\"connect_ms\":0.412,\"first_byte_ms\":3,\"attempts\":[],\"reason\":\"done\",\
             \"code\":\"--\",\"side\":\"client\",\"tcp_rtt_us\":{\"client\":210,\"backend\":95},\
             \"retrans\":{\"client\":0,\"backend\":2},\"relay\":\"ring\"}",
        );
        check(
            &samples::moved(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":18,\"event\":\"end\",\"listener\":\"web\",\
             \"client\":\"[2001:db8::9]:51234\",\"backend\":\"db.example:5432\",\
             \"backend_address\":\"10.0.0.5:5432\",\"pool\":\"web\",\"route\":null,\"sni\":null,\"alpn\":null,\
             \"bytes_to_backend\":0,\"bytes_to_client\":0,\"duration_ms\":5000,\
             \"queue_ms\":null,\"connect_ms\":5000,\"first_byte_ms\":null,\"attempts\":[\
             {\"backend\":\"10.0.0.11:80\",\"failure\":\"refused\",\"ms\":0.08},\
             {\"backend\":\"db.example:5432\",\"address\":\"10.0.0.4:5432\",\
             \"failure\":\"connect_timeout\",\"ms\":4999}],\"reason\":\"backend_reset\",\
             \"code\":\"SD\",\"side\":\"backend\",\"tcp_rtt_us\":{\"client\":null,\"backend\":95},\
             \"retrans\":{\"client\":null,\"backend\":0},\"relay\":\"both\"}",
        );
        check(
            &samples::flow(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":20,\"event\":\"end\",\"listener\":\"web\",\
             \"client\":\"10.0.0.9:51234\",\"backend\":\"10.0.0.11:80\",\"pool\":\"web\",\"route\":null,\"sni\":null,\"alpn\":null,\
             \"bytes_to_backend\":78,\"bytes_to_client\":480,\"datagrams_to_backend\":2,\
             \"datagrams_to_client\":3,\"datagrams_lost\":1,\"duration_ms\":1204.5,\
             \"queue_ms\":null,\"connect_ms\":null,\"first_byte_ms\":3,\"attempts\":[],\"reason\":\"done\",\
             \"code\":\"--\",\"side\":\"replug\",\"tcp_rtt_us\":{\"client\":null,\"backend\":null},\
             \"retrans\":{\"client\":null,\"backend\":null},\"relay\":null}",
        );
        check(
            &samples::denied(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":19,\"event\":\"end\",\"listener\":\"web\",\
             \"client\":\"unix\",\"backend\":null,\"pool\":null,\"route\":null,\"sni\":null,\"alpn\":null,\
             \"bytes_to_backend\":0,\"bytes_to_client\":0,\"duration_ms\":0,\
             \"queue_ms\":null,\"connect_ms\":null,\"first_byte_ms\":null,\"attempts\":[],\"reason\":\"denied\",\
             \"code\":\"PR\",\"side\":\"replug\",\"tcp_rtt_us\":{\"client\":null,\"backend\":null},\
             \"retrans\":{\"client\":null,\"backend\":null},\"relay\":null}",
        );
    }

    #[test]
    fn a_session_that_goes_on_has_no_reason_yet() {
        let mut out = String::new();
        session(&mut out, &samples::open());
        let value: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(value["event"], "open");
        assert_eq!(value["ts"], "2026-07-30T11:50:25.678Z");
        assert_eq!(
            (&value["reason"], &value["side"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(value["bytes_to_client"], 1_234_567);
    }

    #[test]
    fn hostile_names_stay_on_their_line_and_read_back() {
        let record = samples::hostile();
        let mut out = String::new();
        session(&mut out, &record);
        assert!(!out.chars().any(char::is_control), "{out:?}");
        let value: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(value["listener"], *record.listener);
        assert_eq!(value["attempts"][0]["backend"], *record.attempts[0].backend);
        assert_eq!(value["sni"].as_str(), record.spoken.sni.as_deref());
        assert_eq!(value["alpn"].as_str(), record.spoken.alpn.as_deref());
        assert_eq!(value["user"].as_str(), record.spoken.user.as_deref());
    }

    #[test]
    fn what_only_some_sessions_have_stands_there_only_if_they_have_it() {
        let value = |record: &Record| {
            let mut out = String::new();
            session(&mut out, record);
            serde_json::from_str::<serde_json::Value>(&out).expect("valid JSON")
        };
        assert_eq!(value(&samples::sniffed())["tls_version"], "1.2");
        assert_eq!(value(&samples::signed_in())["user"], "alice");
        for key in ["tls_version", "user", "client_cert", "sender"] {
            assert!(value(&samples::plain()).get(key).is_none(), "{key}");
        }
    }

    #[test]
    fn notices() {
        let mut out = String::new();
        notice(&mut out, samples::moment(), &samples::warning());
        assert_eq!(
            out,
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"level\":\"warning\",\
             \"message\":\"10.0.0.11:80 of pool web is down (connection refused); \
             it is tried again in 10s\"}",
        );
    }
}
