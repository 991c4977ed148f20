//! Phase *relay*: how a session ends, while the crate `relay` moves its bytes.
//!
//! Called *carry* here, so that the crate keeps its name to itself. Everything
//! is decided from what the relay shows (its stamps, how it ended), without a
//! clock and without a socket.

use std::io;

use model::Timeouts;
use relay::{End, Relay, Side, Stamp, Tick};
use rustix::io::Errno;

use crate::phase::account::{By, Reason};

/// How a session ended, in the words of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reason: Reason,
    pub(crate) by: By,
}

/// When the lifetime of a session that began at `accepted` is over, and the outcome then.
///
/// That is a limit the operator has set, like a number of sessions: `limited`, by replug.
pub(crate) fn end_of_life(accepted: Stamp, timeouts: &Timeouts) -> (Tick, Outcome) {
    let outcome = Outcome { reason: Reason::Limited, by: By::Replug };
    let due = timeouts.lifetime.map_or(Tick::NEVER, |lifetime| accepted.tick().after(lifetime));
    (due, outcome)
}

/// What a relay shows of how long it has been at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Both sides may still send; nothing has moved since then.
    Open(Tick),
    /// One side has sent its FIN; nothing has moved since then.
    HalfClosed(Tick),
    /// One side is gone; the relay itself bounds what is left.
    Breaking,
}

impl Rest {
    /// What `relay` shows.
    pub(crate) fn of(relay: &Relay) -> Self {
        match relay.half_closed() {
            _ if relay.is_breaking() => Self::Breaking,
            Some(_) => Self::HalfClosed(relay.last_activity()),
            None => Self::Open(relay.last_activity()),
        }
    }

    /// When its time is over, and the outcome then. Without a timeout of its own a half-closed
    /// session has that of an open one.
    pub(crate) fn deadline(self, timeouts: &Timeouts) -> (Tick, Outcome) {
        let (timeout, since, reason) = match self {
            Self::Open(since) => (timeouts.idle.of_session(), since, Reason::Idle),
            Self::HalfClosed(since) => match timeouts.half_closed {
                None => (timeouts.idle.of_session(), since, Reason::Idle),
                half_closed => (half_closed, since, Reason::HalfClosedIdle),
            },
            Self::Breaking => (None, Tick::NEVER, Reason::Idle),
        };
        let deadline = timeout.map_or(Tick::NEVER, |timeout| since.after(timeout));
        (deadline, Outcome { reason, by: By::Replug })
    }
}

impl Outcome {
    /// What the end of a relay means.
    pub(crate) fn of(end: &End) -> Self {
        let (reason, by) = match end {
            End::Done { first: Side::Client } => (Reason::Done, By::Client),
            End::Done { first: Side::Backend } => (Reason::Done, By::Backend),
            // Not the peer's doing: the runtime or the kernel had no room for us.
            End::Reset { error, .. }
                if matches!(
                    Errno::from_io_error(error),
                    Some(Errno::NOMEM | Errno::NOSPC | Errno::NOBUFS)
                ) =>
            {
                (Reason::Internal, By::Replug)
            }
            // What no plain socket says: its stream was cut, or changed, on the way.
            End::Reset { by, error }
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
                ) =>
            {
                (Reason::TlsError, By::from(*by))
            }
            End::Left { by, was_over: true } => (Reason::Done, By::from(by.other())),
            End::Reset { by: Side::Client, .. } | End::Left { by: Side::Client, .. } => {
                (Reason::ClientReset, By::Client)
            }
            End::Reset { by: Side::Backend, .. } | End::Left { by: Side::Backend, .. } => {
                (Reason::BackendReset, By::Backend)
            }
            End::Refused { by: Side::Client } => (Reason::BadRequest, By::Client),
            End::Refused { by: Side::Backend } => (Reason::BadRequest, By::Backend),
        };
        Self { reason, by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::time::Duration;

    use model::Idle;

    const SINCE: Tick = Tick::from_millis(1_000);

    fn timeouts(idle: Option<u64>, half_closed: Option<u64>) -> Timeouts {
        Timeouts {
            idle: Idle::after(idle.map(Duration::from_millis)),
            half_closed: half_closed.map(Duration::from_millis),
            ..Timeouts::default()
        }
    }

    #[track_caller]
    fn check(rest: Rest, timeouts: Timeouts, expected: Option<(u64, Reason)>) {
        let (deadline, outcome) = rest.deadline(&timeouts);
        let shown = (deadline != Tick::NEVER).then_some((deadline.millis(), outcome.reason));
        assert_eq!(shown, expected, "{rest:?}");
    }

    #[test]
    fn rest_ends_by_the_timeout_of_its_kind() {
        let both = timeouts(Some(500), Some(60));
        check(Rest::Open(SINCE), both, Some((1_500, Reason::Idle)));
        check(Rest::HalfClosed(SINCE), both, Some((1_060, Reason::HalfClosedIdle)));
        check(Rest::Breaking, both, None);
    }

    #[test]
    fn a_timeout_that_is_off_never_comes() {
        check(Rest::Open(SINCE), timeouts(None, Some(60)), None);
        check(Rest::HalfClosed(SINCE), timeouts(Some(500), None), Some((1_500, Reason::Idle)));
        check(Rest::HalfClosed(SINCE), timeouts(None, None), None);
    }

    #[test]
    fn a_lifetime_counts_from_accept() {
        let accepted = Stamp::from_nanos(1_000_999_999);
        let none = end_of_life(accepted, &timeouts(Some(1), Some(1)));
        assert_eq!(none.0, Tick::NEVER);
        let day = Timeouts { lifetime: Some(Duration::from_secs(86_400)), ..Timeouts::default() };
        let (due, outcome) = end_of_life(accepted, &day);
        assert_eq!((due.millis(), outcome.reason), (86_401_000, Reason::Limited));
    }

    #[test]
    fn whoever_broke_is_named_unless_it_was_us() {
        let reset = |by, errno: Errno| {
            let outcome = Outcome::of(&End::Reset { by, error: errno.into() });
            (outcome.reason, outcome.by)
        };
        let client = reset(Side::Client, Errno::CONNRESET);
        assert_eq!(client, (Reason::ClientReset, By::Client));
        let backend = reset(Side::Backend, Errno::TIMEDOUT);
        assert_eq!(backend, (Reason::BackendReset, By::Backend));
        let ours = reset(Side::Client, Errno::NOSPC);
        assert_eq!(ours, (Reason::Internal, By::Replug));
        let left = |by, was_over| {
            let outcome = Outcome::of(&End::Left { by, was_over });
            (outcome.reason, outcome.by)
        };
        assert_eq!(left(Side::Client, true), (Reason::Done, By::Backend));
        assert_eq!(left(Side::Client, false), (Reason::ClientReset, By::Client));
        assert_eq!(left(Side::Backend, true), (Reason::Done, By::Client));
        assert_eq!(left(Side::Backend, false), (Reason::BackendReset, By::Backend));
        let cut =
            Outcome::of(&End::Reset { by: Side::Client, error: ErrorKind::UnexpectedEof.into() });
        assert_eq!((cut.reason, cut.by), (Reason::TlsError, By::Client));
        let refused = Outcome::of(&End::Refused { by: Side::Client });
        assert_eq!((refused.reason, refused.by), (Reason::BadRequest, By::Client));
    }
}
