//! How fast clients come in, for limits that make them wait.
//!
//! One word says when the next one is due if all come evenly spread (GCRA, the
//! generic cell rate algorithm of ATM). Each moves it on by one interval, and none
//! may come more than [`EARLY_MAX`] before it is due. So over time exactly as many
//! come as may, and in no second more than a twentieth and one above that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Rate;
use relay::Stamp;

/// How long before it is due one may come. More than timers are late by: what is lost by a late
/// one is made up by those after it. And no more than a burst that harms nobody.
pub const EARLY_MAX: Duration = Duration::from_millis(50);

/// Counts those that come, for all shards.
#[derive(Debug, Default)]
pub struct Meter {
    /// When the next one is due, in nanoseconds as of [`Stamp`].
    due: AtomicU64,
}

impl Meter {
    /// Lets one more in.
    ///
    /// # Errors
    /// How long to wait before the next one may come. Nothing is counted then.
    pub fn take(&self, rate: Rate, now: Stamp) -> Result<(), Duration> {
        let (interval, now, early) = (nanos(rate.interval()), now.nanos(), nanos(EARLY_MAX));
        let mut wait = 0;
        let next = |due: u64| {
            wait = due.saturating_sub(now + early);
            (wait == 0).then(|| due.max(now) + interval)
        };
        // Relaxed: the word orders nothing but itself.
        let taken = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|_| Duration::from_nanos(wait))
    }

    /// Takes back one [`Meter::take`], for one that did not come after all.
    pub fn put_back(&self, rate: Rate) {
        let interval = nanos(rate.interval());
        let before = |due: u64| Some(due.saturating_sub(interval));
        let _ = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, before);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 5_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).expect("a rate")
    }

    /// How many come in `seconds`, when one tries every `step` nanoseconds.
    fn flood(meter: &Meter, rate: Rate, from: u64, seconds: u64, step: u64) -> u64 {
        let tries = (0..seconds * SECOND / step).map(|at| Stamp::from_nanos(from + at * step));
        tries.filter(|now| meter.take(rate, *now).is_ok()).count() as u64
    }

    #[test]
    fn as_many_come_as_may() {
        for (text, seconds) in [("1/s", 100), ("20/s", 20), ("300/m", 60), ("500/s", 10)] {
            let (meter, rate) = (Meter::default(), rate(text));
            let expected = u64::from(rate.count()) * seconds / rate.period().as_secs();
            let came = flood(&meter, rate, BEGIN, seconds, 900_000);
            assert!(came.abs_diff(expected) * 20 <= expected, "{came} at {text} in {seconds} s");
        }
        for text in ["5000/s", "10000/s"] {
            let (meter, rate) = (Meter::default(), rate(text));
            let came = flood(&meter, rate, BEGIN, 2, 7_000);
            let expected = u64::from(rate.count()) * 2;
            assert!(came.abs_diff(expected) * 20 <= expected, "{came} at {text}");
        }
    }

    #[test]
    fn no_second_has_more_than_a_twentieth_and_one_too_many() {
        for text in ["1/s", "20/s", "1000/s"] {
            let (meter, rate) = (Meter::default(), rate(text));
            // After a rest, a burst may come on top of what is due.
            for second in [0, 10, 20] {
                let came = flood(&meter, rate, BEGIN + second * SECOND, 1, 100_000);
                let most = rate.count() + rate.count() / 20 + 1;
                assert!(came <= u64::from(most), "{came} at {text}");
            }
        }
    }

    #[test]
    fn whoever_waits_as_long_as_told_may_come() {
        let (meter, rate) = (Meter::default(), rate("3/s"));
        let mut now = BEGIN;
        let mut came = 0;
        while now < BEGIN + 100 * SECOND {
            match meter.take(rate, Stamp::from_nanos(now)) {
                Ok(()) => came += 1,
                // A timer is late by up to 20 ms: over time nothing is lost by that.
                Err(wait) => now += nanos(wait) + came * 7_919_000 % 20_000_000,
            }
        }
        assert!((300..=301).contains(&came), "{came} in 100 s");
    }

    #[test]
    fn what_is_put_back_was_not_there() {
        let (meter, rate) = (Meter::default(), rate("1/m"));
        let now = Stamp::from_nanos(BEGIN);
        for _ in 0..10 {
            assert_eq!(meter.take(rate, now), Ok(()));
            meter.put_back(rate);
        }
        assert_eq!(meter.take(rate, now), Ok(()));
        assert_eq!(meter.take(rate, now), Err(Duration::from_millis(59_950)));
    }

    #[test]
    fn threads_share_one_rate() {
        let (meter, rate) = (Meter::default(), rate("2000/s"));
        let clock = AtomicU64::new(BEGIN);
        let came: u64 = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    let now = || Stamp::from_nanos(clock.fetch_add(20_000, Ordering::Relaxed));
                    let nows = std::iter::repeat_with(now);
                    let nows = nows.take_while(|now| now.nanos() < BEGIN + 4 * SECOND);
                    nows.filter(|now| meter.take(rate, *now).is_ok()).count() as u64
                })
            });
            threads.map(|thread| thread.join().expect("no panic")).iter().sum()
        });
        assert!(came.abs_diff(8_000) * 20 <= 8_000, "{came}");
    }
}
