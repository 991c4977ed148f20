//! The format of spawnd and tcprelay: what they tell syslog, which is nothing about sessions.
//!
//! ```text
//! bind to [127.0.0.1]:28080 succeeded
//! bind to [127.0.0.1]:28080 succeeded (via inetd)
//! limit of 480 concurrent users reached, queueing new connections
//! resuming normal operation
//! connect (10.0.0.11:80): Connection refused
//! ```
//!
//! What they have no words for is told in those of replug. What a process says of itself (that it
//! starts, which signal has come) is a matter of its manners, not of this format.

use engine::account::ConnectFailure;
use engine::journal::Notice;
use model::Refusal;

use super::escape::{self, push};
use super::syslog::Severity;

/// Appends what a notice is, on a line of a terminal or a file behind the process. `None`: nothing.
pub(super) fn notice(out: &mut String, on_a_line: bool, notice: &Notice) -> Option<Severity> {
    // That is what the signal said.
    if matches!(notice, Notice::Draining { .. }) {
        return None;
    }
    if on_a_line {
        push(out, format_args!("{}: ", std::process::id()));
    }
    match notice {
        Notice::Listening { address, by_inetd, .. } => {
            out.push_str("bind to ");
            place(out, address);
            out.push_str(if *by_inetd { " succeeded (via inetd)" } else { " succeeded" });
        }
        Notice::AtCeiling { sessions, refusal } => {
            let fate = match refusal {
                None => "queueing",
                Some(Refusal::Close) => "immediately closing",
                Some(Refusal::Reset) => "resetting",
            };
            let limit = format_args!("limit of {sessions} concurrent users reached, ");
            push(out, limit);
            push(out, format_args!("{fate} new connections"));
        }
        Notice::BelowCeiling => out.push_str("resuming normal operation"),
        Notice::BackendDown { backend, failure, .. } => {
            out.push_str("connect (");
            escape::plain(out, backend);
            out.push_str("): ");
            failed(out, *failure);
        }
        other => escape::plain(out, &other.to_string()),
    }
    Some(notice.level().into())
}

/// `[ADDRESS]:PORT`, whatever family; a path as it is.
fn place(out: &mut String, address: &str) {
    match address.rsplit_once(':') {
        Some(("", port)) => push(out, format_args!("[::]:{port}")),
        Some((host, port)) if address.parse::<std::net::SocketAddr>().is_ok() => {
            push(out, format_args!("[{}]:{port}", host.trim_matches(['[', ']'])));
        }
        _ => escape::plain(out, address),
    }
}

/// Why there is no connection, in the words of strerror(3).
fn failed(out: &mut String, failure: ConnectFailure) {
    out.push_str(match failure {
        ConnectFailure::Refused => "Connection refused",
        ConnectFailure::Timeout => "Connection timed out",
        ConnectFailure::Unreachable => "Network is unreachable",
        _ => {
            let words = failure.to_string();
            // The number behind the words is Rust's.
            return escape::plain(out, words.split(" (os error").next().unwrap_or_default());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(notice: &Notice, expected: Option<(&str, Severity)>) {
        let mut out = String::new();
        let severity = super::notice(&mut out, false, notice);
        assert_eq!(severity.map(|severity| (&*out, severity)), expected);
    }

    fn listening(address: &str, by_inetd: bool) -> Notice {
        Notice::Listening { listener: "tcprelay".into(), address: address.to_owned(), by_inetd }
    }

    #[test]
    fn places_are_in_brackets() {
        let info = Severity::Info;
        check(&listening("10.0.0.1:80", false), Some(("bind to [10.0.0.1]:80 succeeded", info)));
        check(&listening("[::1]:80", false), Some(("bind to [::1]:80 succeeded", info)));
        check(&listening(":80", false), Some(("bind to [::]:80 succeeded", info)));
        check(&listening("unix:/run/x", false), Some(("bind to unix:/run/x succeeded", info)));
        let told = "bind to [127.0.0.1]:8 succeeded (via inetd)";
        check(&listening("127.0.0.1:8", true), Some((told, info)));
    }

    #[test]
    fn limits_say_what_becomes_of_clients() {
        let at = |refusal| Notice::AtCeiling { sessions: 2, refusal };
        let told =
            |fate: &str| format!("limit of 2 concurrent users reached, {fate} new connections");
        for (refusal, fate) in [
            (None, "queueing"),
            (Some(Refusal::Close), "immediately closing"),
            (Some(Refusal::Reset), "resetting"),
        ] {
            check(&at(refusal), Some((&told(fate), Severity::Warning)));
        }
        check(&Notice::BelowCeiling, Some(("resuming normal operation", Severity::Info)));
    }

    #[test]
    fn a_dead_remote_is_told_in_the_words_of_the_system() {
        let told = "connect (10.0.0.11:80): Connection refused";
        check(&super::super::samples::warning(), Some((told, Severity::Warning)));
    }

    #[test]
    fn lines_begin_with_the_process_and_some_are_not_there() {
        let mut out = String::new();
        notice(&mut out, true, &Notice::BelowCeiling);
        assert_eq!(out, format!("{}: resuming normal operation", std::process::id()));
        check(&Notice::Draining { sessions: 1, within: None }, None);
    }
}
