//! Format `text`: a line for people.
//!
//! ```text
//! 2026-07-30T11:50:25.678Z 10.0.0.9:51234 -> 10.0.0.11:80       78 B out   1.2 MiB back   1.2 s  done
//! 2026-07-30T11:50:26.101Z 10.0.0.9:51236 -> 10.0.0.12:80       78 B out   512 KiB back  412 ms  done; tried 10.0.0.11:80 (refused)
//! 2026-07-30T11:50:26.300Z 10.0.0.9:51236 request 2: GET http://www.example.com/a (named)
//! 2026-07-30T11:50:26.400Z warning: 10.0.0.11:80 of pool web is down (connection refused); ...
//! ```
//!
//! Columns are as wide as IPv4 needs, so that lines of IPv4 stand in line; what
//! is longer pushes the rest to the right. The words of `reason` are the same
//! in every format. Programs read `json`.

use std::time::{Duration, SystemTime};

use engine::account::{Event, Record};
use engine::journal::{Level, Notice};
use engine::requests::Request;

use super::clock::Utc;
use super::escape::{self, push};
use super::{at, level};

/// As wide as `255.255.255.255:65535`.
const ADDRESS_COLUMNS: usize = 21;

/// What a line shows besides what it always shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The time; syslog has its own.
    pub(super) time: bool,
    /// The listener; there may be only one.
    pub(super) listener: bool,
}

/// Appends the record of a session, without a line end.
pub(super) fn session(out: &mut String, columns: Columns, record: &Record) {
    if columns.time {
        push(out, format_args!("{} ", Utc(at(record))));
    }
    if columns.listener {
        escape::plain(out, &record.listener);
        out.push_str("  ");
    }
    push(out, format_args!("{:<ADDRESS_COLUMNS$} -> ", record.client.to_string()));
    let start = out.len();
    match &record.backend {
        Some(reached) => {
            escape::plain(out, &reached.backend);
            if let Some(address) = reached.address {
                push(out, format_args!(" ({})", address.ip()));
            }
        }
        None => out.push('-'),
    }
    let width = out[start..].chars().count();
    out.extend(std::iter::repeat_n(' ', ADDRESS_COLUMNS.saturating_sub(width)));
    push(
        out,
        format_args!(
            "  {:>8} out  {:>8} back  {:>7}  {}",
            bytes(record.bytes_to_backend),
            bytes(record.bytes_to_client),
            time(record.duration),
            match record.event {
                Event::Start | Event::Open => record.event.as_str(),
                Event::End { reason, .. } => reason.as_str(),
            },
        ),
    );
    if let Some(sni) = &record.spoken.sni {
        out.push_str("; sni ");
        escape::plain(out, sni);
    }
    if let Some(version) = record.spoken.tls_version {
        push(out, format_args!("; tls {version}"));
    }
    if let Some(user) = &record.spoken.user {
        out.push_str("; user ");
        escape::plain(out, user);
    }
    for (index, attempt) in record.attempts.iter().enumerate() {
        out.push_str(if index == 0 { "; tried " } else { ", " });
        escape::plain(out, &attempt.backend);
        if let Some(address) = attempt.address {
            push(out, format_args!(" at {}", address.ip()));
        }
        push(out, format_args!(" ({})", attempt.failure.as_str()));
    }
}

/// Appends a request, without a line end.
pub(super) fn request(out: &mut String, columns: Columns, request: &Request) {
    if columns.time {
        push(out, format_args!("{} ", Utc(request.at)));
    }
    if columns.listener {
        escape::plain(out, &request.listener);
        out.push_str("  ");
    }
    push(out, format_args!("{} request {}: ", request.client, request.number));
    escape::plain(out, &request.method);
    out.push(' ');
    escape::plain(out, &request.url);
    push(out, format_args!(" ({})", request.passage.as_str()));
}

/// Appends a notice, without a line end.
pub(super) fn notice(out: &mut String, columns: Columns, at: SystemTime, notice: &Notice) {
    if columns.time {
        push(out, format_args!("{} ", Utc(at)));
    }
    if notice.level() != Level::Info {
        push(out, format_args!("{}: ", level(notice)));
    }
    escape::plain(out, &notice.to_string());
}

/// At most eight columns: `78 B`, `1.2 KiB`, `34.5 MiB`, `1023 GiB`.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let mut size = 1_024_u128;
    for unit in UNITS {
        let count = u128::from(count);
        let tenths = (count * 10 + size / 2) / size;
        if tenths < 1_000 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        let whole = (count + size / 2) / size;
        if whole < 1_024 {
            return format!("{whole} {unit}");
        }
        size *= 1_024;
    }
    format!("{} EiB", count >> 60)
}

/// At most seven columns: `0.4 ms`, `412 ms`, `1.2 s`, `5m02s`, `3h20m`, `12d04h`.
fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs();
    match micros {
        0..99_950 => format!("{}.{} ms", (micros + 50) / 1_000, (micros + 50) % 1_000 / 100),
        99_950..999_500 => format!("{} ms", (micros + 500) / 1_000),
        999_500..59_950_000 => {
            let tenths = (micros + 50_000) / 100_000;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        59_950_000..3_600_000_000 => {
            let seconds = seconds.max(60);
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        }
        3_600_000_000..86_400_000_000 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    const ALL: Columns = Columns { time: true, listener: false };

    #[track_caller]
    fn check(columns: Columns, record: &Record, expected: &str) {
        let mut out = String::new();
        session(&mut out, columns, record);
        assert_eq!(out, expected);
    }

    #[test]
    fn requests() {
        let mut out = String::new();
        request(&mut out, Columns { time: true, listener: true }, &samples::request());
        assert_eq!(
            out,
            "2026-07-30T11:50:25.678Z web  10.0.0.9:51234 request 2: GET http://www.example.com/a (named)"
        );
    }

    #[test]
    fn sessions() {
        check(
            ALL,
            &samples::plain(),
            "2026-07-30T11:50:25.678Z 10.0.0.9:51234        -> 10.0.0.11:80               \
             78 B out   1.2 MiB back    1.2 s  done",
        );
        check(
            ALL,
            &samples::moved(),
            "2026-07-30T11:50:25.678Z [2001:db8::9]:51234   -> db.example:5432 (10.0.0.5)       \
             0 B out       0 B back    5.0 s  backend_reset; \
             tried 10.0.0.11:80 (refused), db.example:5432 at 10.0.0.4 (connect_timeout)",
        );
        check(
            Columns { time: false, listener: false },
            &samples::sniffed(),
            "10.0.0.9:51234        -> 10.0.0.11:80               \
             78 B out   1.2 MiB back    1.2 s  done; sni www.example.com; tls 1.2",
        );
        check(
            Columns { time: false, listener: false },
            &samples::signed_in(),
            "10.0.0.9:51234        -> 10.0.0.11:80               \
             78 B out   1.2 MiB back    1.2 s  done; user alice",
        );
        check(
            Columns { time: false, listener: true },
            &samples::denied(),
            "web  unix                  -> -                           \
             0 B out       0 B back   0.0 ms  denied",
        );
        check(
            Columns { time: false, listener: false },
            &samples::open(),
            "10.0.0.9:51234        -> 10.0.0.11:80               \
             78 B out   1.2 MiB back    1.2 s  open",
        );
    }

    #[test]
    fn hostile_names_cannot_drive_a_terminal() {
        let mut out = String::new();
        session(&mut out, Columns { time: true, listener: true }, &samples::hostile());
        assert!(!out.chars().any(char::is_control), "{out:?}");
        assert!(out.contains(r"a\r\n2026 forged \u{1b}[2J"), "{out}");
    }

    #[test]
    fn notices() {
        let mut out = String::new();
        notice(&mut out, ALL, samples::moment(), &samples::warning());
        assert_eq!(
            out,
            "2026-07-30T11:50:25.678Z warning: 10.0.0.11:80 of pool web is down \
             (connection refused); it is tried again in 10s",
        );
    }

    #[test]
    fn sizes() {
        for (count, expected) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_234, "1.2 KiB"),
            (102_348, "99.9 KiB"),
            (102_349, "100 KiB"),
            (1_048_064, "1.0 MiB"),
            (1_048_063, "1023 KiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(bytes(count), expected, "{count}");
        }
    }

    #[test]
    fn times() {
        for (micros, expected) in [
            (0, "0.0 ms"),
            (412, "0.4 ms"),
            (99_949, "99.9 ms"),
            (99_950, "100 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1m00s"),
            (302_000_000, "5m02s"),
            (12_000_000_000, "3h20m"),
            (1_051_200_000_000, "12d04h"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), expected, "{micros}");
        }
    }
}
