//! Format `haproxy-tcp`: the line of HAProxy's `option tcplog`, for the tools that read those.
//!
//! ```text
//! 10.0.0.9:51234 [30/Jul/2026:11:50:24.473] web web/10.0.0.11:80 0/0/1204 1234567 -- 4/3/2/1/0 0/0
//! client         accepted                   |   |   backend      |        |       |  |         |
//!                                           |   pool             |        |       |  |         waited before it for backend/pool
//!                                           listener             |        |       |  sessions of process/listener/pool/backend, failed attempts
//!                                                                |        |       how it ended
//!                                                                |        bytes to the client
//!                                                                queue/connect/total, milliseconds
//! ```
//!
//! Where HAProxy has no value neither has this: `-1` for what did not come to pass, `<NOSRV>` for
//! a backend that was never reached, `+` for what still grows and for attempts at several
//! backends. Times are those of this machine's zone. A notice is a plain line.

use std::net::SocketAddr;
use std::time::Duration;

use engine::account::{ClientAddress, Counts, Event, Queued, Record};

use super::clock::Dated;
use super::escape::{self, push};

/// Appends the record of a session, without a line end.
pub(super) fn session(out: &mut String, record: &Record) {
    match record.client {
        ClientAddress::Ip(address) => push(out, format_args!("{}", Client(address))),
        // The number that HAProxy gives to a listening socket, not one of the client.
        ClientAddress::Unix => out.push_str("unix:1"),
    }
    push(out, format_args!(" [{}] ", Dated(record.accepted)));
    escape::haproxy(out, &record.listener);
    out.push(' ');
    // Without a pool HAProxy, too, names the listener.
    escape::haproxy(out, record.pool.as_ref().unwrap_or(&record.listener));
    out.push('/');
    match &record.backend {
        Some(reached) => escape::haproxy(out, &reached.backend),
        None => out.push_str("<NOSRV>"),
    }
    let goes_on = if matches!(record.event, Event::End { .. }) { "" } else { "+" };
    let queued = record.queued;
    let reached = record.backend.is_some();
    let tried = reached || !record.attempts.is_empty() || queued.is_some();
    // A flow has its backend at once.
    let connect = record.connect.or_else(|| reached.then_some(Duration::ZERO));
    // One that waits still has waited for as long as it has been here.
    let wait = |queued: Queued| queued.waited.unwrap_or(record.duration);
    let waited = queued.map_or(Duration::ZERO, wait);
    let ahead = queued.map_or(0, |queued| queued.ahead);
    let Counts { process, listener, pool, backend } = record.counts.unwrap_or_default();
    push(
        out,
        format_args!(
            " {queue}/{connect}/{goes_on}{total} {goes_on}{bytes} {code} \
             {process}/{listener}/{pool}/{backend}/{moved}{attempts} 0/{ahead}",
            queue = if tried { whole_millis(waited) } else { -1 },
            connect = connect.map_or(-1, |connect| whole_millis(connect.saturating_sub(waited))),
            total = whole_millis(record.duration),
            bytes = record.bytes_to_client,
            code = record.code(),
            moved = if was_moved(record) { "+" } else { "" },
            attempts = record.attempts.len(),
        ),
    );
}

/// Whether another backend was tried before the one that was reached.
fn was_moved(record: &Record) -> bool {
    let reached = record.backend.as_ref().map(|reached| &reached.backend);
    record.attempts.iter().any(|attempt| reached.is_some_and(|reached| *reached != attempt.backend))
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Without brackets around IPv6, as HAProxy shows clients.
struct Client(SocketAddr);

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0.ip(), self.0.port())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use engine::account::{By, Reason};

    #[track_caller]
    fn check(record: &Record, expected: &str) {
        let mut out = String::new();
        session(&mut out, record);
        // Whatever zone the tests run in.
        let date = format!("[{}]", Dated(record.accepted));
        assert_eq!(out, expected.replace("[DATE]", &date));
    }

    #[test]
    fn sessions() {
        check(
            &samples::plain(),
            "10.0.0.9:51234 [DATE] web web/10.0.0.11:80 0/0/1204 1234567 -- \
             4/3/2/1/0 0/0",
        );
        check(
            &samples::open(),
            "10.0.0.9:51234 [DATE] web web/10.0.0.11:80 0/0/+1204 +1234567 -- \
             4/3/2/1/0 0/0",
        );
        check(
            &samples::moved(),
            "2001:db8::9:51234 [DATE] web web/db.example:5432 0/5000/5000 0 SD \
             4/3/2/1/+2 0/0",
        );
        check(
            &samples::waited(),
            "10.0.0.9:51234 [DATE] web web/10.0.0.11:80 900/100/1204 1234567 -- \
             4/3/2/1/0 0/7",
        );
        check(
            &samples::flow(),
            "10.0.0.9:51234 [DATE] web web/10.0.0.11:80 0/0/1204 480 -- 4/3/2/1/0 0/0",
        );
        let gave_up = Record {
            event: Event::End { reason: Reason::Limited, by: By::Replug },
            connect: None,
            backend: None,
            queued: Some(Queued { ahead: 7, waited: None }),
            ..samples::waited()
        };
        check(
            &gave_up,
            "10.0.0.9:51234 [DATE] web web/<NOSRV> 1204/-1/1204 1234567 sQ \
             4/3/2/1/0 0/7",
        );
        check(&samples::denied(), "unix:1 [DATE] web web/<NOSRV> -1/-1/0 0 PR 4/3/2/1/0 0/0");
    }

    #[test]
    fn hostile_names_stay_within_their_fields() {
        let mut out = String::new();
        session(&mut out, &samples::hostile());
        assert!(out.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{out:?}");
        assert_eq!(out.split(' ').count(), 9, "{out}");
    }
}
