//! When a certificate is ordered: before the old one ends, and not again and again if it cannot be
//! had.
//!
//! Authorities bound how often they are asked (Let's Encrypt: five failures in an hour for a
//! name), and a program that asks on and on is locked out. So rests grow from five minutes
//! to six hours, and are written down, so that they hold over restarts. They count by the clock on
//! the wall, since certificates do; a clock that is set changes them by one rest at the most.

use aws_lc_rs::digest::{SHA256, digest};

/// Rest after the first failure, in seconds.
pub(super) const WAIT_MIN: i64 = 300;

/// Rest at the least if the authority says that it is asked too often.
pub(super) const TOO_OFTEN_MIN: i64 = 3_600;

/// Longest rest.
pub(super) const WAIT_MAX: i64 = 6 * 3_600;

/// Rest while another process is at work.
const BUSY: i64 = 60;

/// Part of its life before the usual moment by which a certificate may be renewed early, so that
/// not all are at once that were ordered at once.
const EARLY: i64 = 30;

/// The life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// From when on it is valid, in seconds since 1970.
    pub(super) from: i64,
    /// Until when.
    pub(super) until: i64,
    /// A number that belongs to it, and is as good as any.
    pub(super) seed: u32,
}

impl Term {
    /// When it is renewed: once two thirds of its life are over, or a little before that.
    pub(super) fn renewal(self) -> i64 {
        let life = self.until.saturating_sub(self.from).max(0);
        let early = i64::from(self.seed) % (life / EARLY + 1);
        self.from.saturating_add(life / 3 * 2 - early)
    }
}

/// Failures, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// How many there were.
    pub(super) times: u32,
    /// When to try again, in seconds since 1970.
    pub(super) next: i64,
}

impl Failed {
    /// One more, at `now`; the rest is `least` seconds or more, and up to a tenth longer by
    /// `chance`.
    pub(super) fn again(before: Option<Self>, now: i64, chance: u32, least: i64) -> Self {
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        let doubled = WAIT_MIN << (times - 1).min(10);
        let rest = doubled.clamp(least, WAIT_MAX);
        Self { times, next: now + rest + i64::from(chance) % (rest / 10 + 1) }
    }

    /// None, but somebody else is at work.
    pub(super) fn briefly(now: i64) -> Self {
        Self { times: 0, next: now + BUSY }
    }
}

/// When to order; it is `now`.
pub(super) fn due(held: Option<Term>, failed: Option<Failed>, now: i64) -> i64 {
    let renewal = held.map_or(i64::MIN, Term::renewal);
    // One that is longer than any was begun before the clock was set back.
    let is_sound = |failed: &Failed| failed.next <= now.saturating_add(WAIT_MAX + WAIT_MAX / 10);
    renewal.max(failed.filter(is_sound).map_or(i64::MIN, |failed| failed.next))
}

/// The number that belongs to a certificate.
pub(super) fn seed(certificate: &[u8]) -> u32 {
    let digest = digest(&SHA256, certificate);
    digest.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DAY, NOW};

    #[test]
    fn certificates_are_renewed_when_a_third_is_left() {
        let of =
            |days: i64, seed| Term { from: NOW, until: NOW + days * DAY, seed }.renewal() - NOW;
        assert_eq!(of(90, 0), 60 * DAY);
        assert_eq!(of(90, 259_200), 57 * DAY, "a thirtieth early");
        assert_eq!(of(90, 259_201), 60 * DAY);
        assert_eq!(of(6, 0), 4 * DAY);
        for seed in [1, 77, u32::MAX] {
            assert!((57 * DAY..=60 * DAY).contains(&of(90, seed)), "{seed}");
        }
        // One that makes no sense is due.
        assert!(Term { from: NOW, until: NOW - DAY, seed: 9 }.renewal() <= NOW);
    }

    #[test]
    fn rests_grow_and_end() {
        let mut failed = None;
        let mut rests = Vec::new();
        for _ in 0..9 {
            failed = Some(Failed::again(failed, NOW, 0, WAIT_MIN));
            rests.extend(failed.map(|failed| (failed.next - NOW) / 60));
        }
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
        let many = Some(Failed { times: u32::MAX, next: NOW });
        assert_eq!(Failed::again(many, NOW, u32::MAX, WAIT_MIN).times, u32::MAX);
        for chance in [0, 7, u32::MAX] {
            let rest = Failed::again(many, NOW, chance, WAIT_MIN).next - NOW;
            assert!((WAIT_MAX..=WAIT_MAX + WAIT_MAX / 10).contains(&rest), "{rest}");
        }
        assert_eq!(Failed::again(None, NOW, 0, TOO_OFTEN_MIN).next, NOW + 3_600);
        // In an hour it is tried no more than four times.
        let mut tries = vec![0];
        let mut failed = None;
        while *tries.last().expect("one") < 3_600 {
            let now = NOW + tries.last().expect("one");
            let next = Failed::again(failed, now, 0, WAIT_MIN);
            tries.push(next.next - NOW);
            failed = Some(next);
        }
        assert_eq!(tries.iter().filter(|at| **at < 3_600).count(), 4, "{tries:?}");
    }

    #[test]
    fn a_clock_that_is_set_costs_one_rest() {
        let term = Term { from: NOW, until: NOW + 90 * DAY, seed: 0 };
        assert_eq!(due(None, None, NOW), i64::MIN);
        assert_eq!(due(Some(term), None, NOW), NOW + 60 * DAY);
        let failed = Some(Failed { times: 3, next: NOW + 1_200 });
        assert_eq!(due(None, failed, NOW), NOW + 1_200);
        assert_eq!(due(Some(term), failed, NOW), NOW + 60 * DAY);
        // Ten years ahead all is due, once; then it rests again.
        let ahead = NOW + 3_650 * DAY;
        assert!(due(Some(term), failed, ahead) <= ahead);
        let failed = Some(Failed::again(failed, ahead, 0, WAIT_MIN));
        assert!(due(Some(term), failed, ahead) > ahead);
        // Back again, it does not rest for ten years.
        assert!(due(None, failed, NOW) <= NOW);
        let failed = Some(Failed { times: 1, next: NOW + 300 });
        assert_eq!(due(None, failed, NOW - 3_600), NOW + 300);
        assert!(due(None, failed, NOW - DAY) <= NOW - DAY);
    }
}
