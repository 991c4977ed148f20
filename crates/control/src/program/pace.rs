//! When the next child of a program may be started.
//!
//! Children that end at once, or cannot be started at all, are started again with growing pauses,
//! and one at a time. An answer, or a life that was long enough, ends that.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; it doubles with each further failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A child that has lived this long did not end at once.
const LIFE_MIN: Duration = Duration::from_secs(10);

/// The pace of one program.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Duration,
    next: Instant,
    /// Whether one has ended at once since the last was started: those that were started together
    /// count once.
    has_ended: bool,
}

/// What a child was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has answered.
    Useful,
    /// It was never heard of, for this long.
    Idle(Duration),
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { pause: Duration::ZERO, next: now, has_ended: false }
    }

    /// When one may be started.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// One has been started.
    pub(crate) fn started(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.has_ended = false;
    }

    /// One could not be started. Gives the pause until the next.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.next = now + self.pause;
        self.pause
    }

    /// One has ended by itself.
    pub(crate) fn ended(&mut self, now: Instant, life: Life) {
        match life {
            Life::Useful => self.reset(now),
            Life::Idle(lived) if lived >= LIFE_MIN => self.reset(now),
            Life::Idle(_) if self.has_ended => {}
            Life::Idle(_) => {
                self.failed(now);
                self.has_ended = true;
            }
        }
    }

    /// One has answered, or whatever was wrong may be over.
    pub(crate) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_one_answers() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pace.started(now);
            now += Duration::from_millis(5);
            pace.ended(now, Life::Idle(Duration::ZERO));
            pauses.push((pace.next() - now).as_millis());
            now = pace.next();
        }
        const EXPECTED: [u128; 12] =
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000];
        assert_eq!(pauses, EXPECTED);
        // The same for those that do not even start.
        pace.reset(now);
        assert_eq!(EXPECTED.map(|_| pace.failed(pace.next()).as_millis()), EXPECTED);
        let now = pace.next();
        pace.ended(now, Life::Useful);
        assert_eq!(pace.next(), now);
        pace.started(now);
        pace.failed(now);
        assert_eq!(pace.next(), now + PAUSE_MIN);
    }

    #[test]
    fn those_that_fail_together_have_failed_once_and_then_one_is_tried_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..4 {
            pace.started(now);
            assert_eq!(pace.next(), now, "all of the first ones at once");
        }
        for _ in 0..4 {
            pace.ended(now, Life::Idle(Duration::ZERO));
            assert_eq!(pace.next(), now + PAUSE_MIN);
        }
        let then = pace.next();
        pace.started(then);
        assert_eq!(pace.next(), then + PAUSE_MIN, "the second waits until the first is proven");
        assert_eq!(pace.failed(then), 2 * PAUSE_MIN);
        pace.ended(then, Life::Idle(LIFE_MIN));
        assert_eq!(pace.next(), then, "one that lived long was not at fault");
    }
}
