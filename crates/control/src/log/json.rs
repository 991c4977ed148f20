//! Format `json`: one object (RFC 8259) on one line.
//!
//! A session has always the same fields in the same order, so that a table can
//! be made of them; what is not known is `null`. Left out, not null, are
//! `backend_address` and an attempt's `address` where the backend is not a
//! name, the datagrams of what is no flow, and `sni` and `alpn` as long as nothing reads them. `ts` is the end of
//! the session: its start is `duration_ms` earlier. A notice has `level` and
//! `message` instead, which no session has.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use engine::account::{Attempt, Datagrams, Record, TcpFigures};
use engine::journal::Notice;

use super::clock::Utc;
use super::escape::{self, push};
use super::{ended, level, millis};

/// Appends the record of a session, without a line end.
pub(super) fn session(out: &mut String, record: &Record) {
    push(out, format_args!("{{\"ts\":\"{}\",\"id\":{}", Utc(ended(record)), record.id));
    text(out, "listener", Some(&record.listener));
    text(out, "client", Some(&record.client.to_string()));
    let backend = record.backend.as_ref();
    text(out, "backend", backend.map(|reached| &*reached.backend));
    if let Some(address) = backend.and_then(|reached| reached.address) {
        socket_address(out, "backend_address", address);
    }
    text(out, "route", record.pool.as_deref());
    number(out, "bytes_to_backend", record.bytes_to_backend);
    number(out, "bytes_to_client", record.bytes_to_client);
    if let Some(Datagrams { to_backend, to_client, lost }) = record.datagrams {
        number(out, "datagrams_to_backend", to_backend);
        number(out, "datagrams_to_client", to_client);
        number(out, "datagrams_lost", lost);
    }
    duration(out, "duration_ms", Some(record.duration));
    duration(out, "connect_ms", record.connect);
    duration(out, "first_byte_ms", record.first_byte);
    attempts(out, &record.attempts);
    text(out, "reason", Some(record.reason.as_str()));
    text(out, "side", Some(record.by.as_str()));
    sides(out, "tcp_rtt_us", record, |figures| figures.rtt_us);
    sides(out, "retrans", record, |figures| figures.retrans);
    out.push('}');
}

/// Appends a notice, without a line end.
pub(super) fn notice(out: &mut String, at: SystemTime, notice: &Notice) {
    push(out, format_args!("{{\"ts\":\"{}\"", Utc(at)));
    text(out, "level", Some(level(notice)));
    text(out, "message", Some(&notice.to_string()));
    out.push('}');
}

fn attempts(out: &mut String, attempts: &[Attempt]) {
    out.push_str(",\"attempts\":[");
    for (index, attempt) in attempts.iter().enumerate() {
        out.push_str(if index == 0 { "{\"backend\":" } else { ",{\"backend\":" });
        escape::json(out, &attempt.backend);
        if let Some(address) = attempt.address {
            socket_address(out, "address", address);
        }
        text(out, "failure", Some(attempt.failure.as_str()));
        push(out, format_args!(",\"ms\":{}}}", millis(attempt.took)));
    }
    out.push(']');
}

/// `,"key":{"client":1,"backend":2}`: a figure of the kernel for each side.
fn sides(out: &mut String, key: &str, record: &Record, figure: impl Fn(TcpFigures) -> u32) {
    push(out, format_args!(",\"{key}\":{{\"client\":"));
    or_null(out, record.client_tcp.map(&figure));
    out.push_str(",\"backend\":");
    or_null(out, record.backend_tcp.map(&figure));
    out.push('}');
}

fn text(out: &mut String, key: &str, value: Option<&str>) {
    push(out, format_args!(",\"{key}\":"));
    match value {
        Some(value) => escape::json(out, value),
        None => out.push_str("null"),
    }
}

fn socket_address(out: &mut String, key: &str, address: SocketAddr) {
    push(out, format_args!(",\"{key}\":\"{address}\""));
}

fn number(out: &mut String, key: &str, value: u64) {
    push(out, format_args!(",\"{key}\":{value}"));
}

fn duration(out: &mut String, key: &str, value: Option<Duration>) {
    push(out, format_args!(",\"{key}\":"));
    or_null(out, value.map(millis));
}

fn or_null(out: &mut String, value: Option<impl std::fmt::Display>) {
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
        serde_json::from_str::<serde_json::Value>(&out).expect("a record is valid JSON");
    }

    #[test]
    fn sessions() {
        check(
            &samples::plain(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":17,\"listener\":\"web\",\
             \"client\":\"10.0.0.9:51234\",\"backend\":\"10.0.0.11:80\",\"route\":\"web\",\
             \"bytes_to_backend\":78,\"bytes_to_client\":1234567,\"duration_ms\":1204.5,\
             \"connect_ms\":0.412,\"first_byte_ms\":3,\"attempts\":[],\"reason\":\"done\",\
             \"side\":\"client\",\"tcp_rtt_us\":{\"client\":210,\"backend\":95},\
             \"retrans\":{\"client\":0,\"backend\":2}}",
        );
        check(
            &samples::moved(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":18,\"listener\":\"web\",\
             \"client\":\"[2001:db8::9]:51234\",\"backend\":\"db.example:5432\",\
             \"backend_address\":\"10.0.0.5:5432\",\"route\":\"web\",\
             \"bytes_to_backend\":0,\"bytes_to_client\":0,\"duration_ms\":5000,\
             \"connect_ms\":5000,\"first_byte_ms\":null,\"attempts\":[\
             {\"backend\":\"10.0.0.11:80\",\"failure\":\"refused\",\"ms\":0.08},\
             {\"backend\":\"db.example:5432\",\"address\":\"10.0.0.4:5432\",\
             \"failure\":\"connect_timeout\",\"ms\":4999}],\"reason\":\"backend_reset\",\
             \"side\":\"backend\",\"tcp_rtt_us\":{\"client\":null,\"backend\":95},\
             \"retrans\":{\"client\":null,\"backend\":0}}",
        );
        check(
            &samples::flow(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":20,\"listener\":\"web\",\
             \"client\":\"10.0.0.9:51234\",\"backend\":\"10.0.0.11:80\",\"route\":\"web\",\
             \"bytes_to_backend\":78,\"bytes_to_client\":480,\"datagrams_to_backend\":2,\
             \"datagrams_to_client\":3,\"datagrams_lost\":1,\"duration_ms\":1204.5,\
             \"connect_ms\":null,\"first_byte_ms\":3,\"attempts\":[],\"reason\":\"done\",\
             \"side\":\"replug\",\"tcp_rtt_us\":{\"client\":null,\"backend\":null},\
             \"retrans\":{\"client\":null,\"backend\":null}}",
        );
        check(
            &samples::denied(),
            "{\"ts\":\"2026-07-30T11:50:25.678Z\",\"id\":19,\"listener\":\"web\",\
             \"client\":\"unix\",\"backend\":null,\"route\":null,\
             \"bytes_to_backend\":0,\"bytes_to_client\":0,\"duration_ms\":0,\
             \"connect_ms\":null,\"first_byte_ms\":null,\"attempts\":[],\"reason\":\"denied\",\
             \"side\":\"replug\",\"tcp_rtt_us\":{\"client\":null,\"backend\":null},\
             \"retrans\":{\"client\":null,\"backend\":null}}",
        );
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
