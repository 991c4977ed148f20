//! What happens often and is told now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay::Tick;

/// Least time between two notices about the same limit.
const EVERY: Duration = Duration::from_secs(10);

/// Counts how often something happens, for all shards, until it is told.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    times: AtomicU64,
    /// When it was told last, in ticks; 0: never.
    told: AtomicU64,
}

impl Seldom {
    /// It has happened. How often since it was told last, if it is to be told now: at once, and
    /// then every 10 seconds at the most.
    pub(crate) fn happened(&self, now: Tick) -> Option<u64> {
        self.times.fetch_add(1, Ordering::Relaxed);
        let last = self.told.load(Ordering::Relaxed);
        if last != 0 && now.since(Tick::from_millis(last)) < EVERY {
            return None;
        }
        let claimed = self.told.compare_exchange(
            last,
            now.millis().max(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        claimed.ok().map(|_| self.times.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_now_and_then() {
        let seldom = Seldom::default();
        let at = |seconds: u64| Tick::from_millis(1_000_000 + seconds * 1_000);
        assert_eq!(seldom.happened(at(0)), Some(1));
        assert_eq!(seldom.happened(at(1)), None);
        assert_eq!(seldom.happened(at(9)), None);
        assert_eq!(seldom.happened(at(10)), Some(3));
        assert_eq!(seldom.happened(at(11)), None);
    }
}
