//! Whether a backend may be given sessions.
//!
//! ```text
//!            an attempt failed
//!     Up ───────────────────────▶ Down ◀──┐
//!      ▲                            │     │ the trial failed
//!      │ the trial succeeded        │     │
//!      └──────────────────────── Trial ───┘
//!                                   after `retry_down`
//! ```
//!
//! When a backend's time to be left alone is over, one session tries it, and the
//! others still go elsewhere: a black hole costs one client at a time. A mark is
//! one word, shared by all shards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay::Tick;

/// The mark of one backend.
#[derive(Debug, Default)]
pub struct Mark {
    /// When a down backend may be tried again, in ticks; 0 while it is up.
    retry_at: AtomicU64,
}

/// What is carried to a backend. It has a mark for each, since it may serve only one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Sessions of TCP and unix sockets.
    Streams,
    /// Flows of UDP.
    Datagrams,
}

/// What a mark says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes sessions.
    Up,
    /// Takes none for now.
    Down,
    /// Was down for its time; one session may try it: see [`Mark::claim_trial`].
    DueForTrial,
}

/// What a failed or successful attempt changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The backend stands as it stood.
    Same,
    /// It was up and is down now, or was down and is up now.
    Changed,
}

impl Mark {
    /// What it says.
    pub fn standing(&self, now: Tick) -> Standing {
        // Relaxed, here and below: a mark orders nothing but itself.
        match self.retry_at.load(Ordering::Relaxed) {
            0 => Standing::Up,
            retry_at if retry_at <= now.millis() => Standing::DueForTrial,
            _ => Standing::Down,
        }
    }

    /// Takes the trial for one session; true for one caller only. Until it has come out, the
    /// others see the backend as down.
    pub fn claim_trial(&self, now: Tick, retry_down: Duration) -> bool {
        let due = self.retry_at.load(Ordering::Relaxed);
        let next = now.after(retry_down).millis().max(1);
        let is_due = due != 0 && due <= now.millis();
        is_due
            && self
                .retry_at
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// An attempt failed: the backend is left alone from now on.
    pub fn failed(&self, now: Tick, retry_down: Duration) -> Change {
        let next = now.after(retry_down).millis().max(1);
        match self.retry_at.swap(next, Ordering::Relaxed) {
            0 => Change::Changed,
            _ => Change::Same,
        }
    }

    /// Counts as up again, without a trial.
    pub fn forgive(&self) {
        self.retry_at.store(0, Ordering::Relaxed);
    }

    /// An attempt succeeded.
    pub fn succeeded(&self) -> Change {
        // Nearly always 0 already, and reading is cheaper for the other shards than writing.
        if self.retry_at.load(Ordering::Relaxed) == 0 {
            return Change::Same;
        }
        match self.retry_at.swap(0, Ordering::Relaxed) {
            0 => Change::Same,
            _ => Change::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(10);
    const NOW: Tick = Tick::from_millis(1_000);

    #[test]
    fn a_failure_rests_a_backend_until_one_session_tries_it() {
        let mark = Mark::default();
        assert_eq!(mark.standing(NOW), Standing::Up);
        assert_eq!(mark.failed(NOW, RETRY), Change::Changed);
        assert_eq!(mark.failed(NOW, RETRY), Change::Same);
        assert_eq!(mark.standing(NOW), Standing::Down);
        assert!(!mark.claim_trial(NOW, RETRY));

        let later = NOW.after(RETRY);
        assert_eq!(mark.standing(later), Standing::DueForTrial);
        assert!(mark.claim_trial(later, RETRY));
        assert!(!mark.claim_trial(later, RETRY), "one trial at a time");
        assert_eq!(mark.standing(later), Standing::Down);

        assert_eq!(mark.succeeded(), Change::Changed);
        assert_eq!(mark.succeeded(), Change::Same);
        assert_eq!(mark.standing(later), Standing::Up);
    }
}
