//! What a backend carries: its sessions, how fast it connects, how long it is up again.
//!
//! All shards read and write it in words without locks. It has a cache line of
//! its own: its words change with each session, those around it hardly ever.
//!
//! It outlives the plan that it was made for: while a backend stays in its pool,
//! each new plan takes it over, so that old and new sessions count together.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use relay::Tick;

/// The load of one backend.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Load {
    sessions: AtomicU32,
    /// 0: any number.
    max: AtomicU32,
    /// Moving average of the time to connect: milliseconds of the last sample's [`Tick`] above
    /// [`LATENCY_BITS`] bits of microseconds. 0: none yet.
    latency: AtomicU64,
    /// When it came up again, in ticks; 0: it was never down.
    up_at: AtomicU64,
    /// When the sessions it still has are ended, in ticks; 0: never.
    ends_at: AtomicU64,
}

/// A backend's share of its weight while it starts slowly, in parts of [`Share::WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1000);
    /// With which a backend that was down begins.
    pub const LEAST: Self = Self(100);

    /// From [`Share::LEAST`] to [`Share::WHOLE`], in thousandths.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Bits for microseconds: up to 16 seconds. The other 40 count milliseconds for 34 years.
const LATENCY_BITS: u32 = 24;

/// The average moves by one part in this many of each sample's difference.
const SMOOTHING: u64 = 8;

/// An average that nothing was added to for this long counts half: a backend that is left alone
/// because it was slow once is tried again.
const HALF_LIFE: Duration = Duration::from_secs(10);

impl Load {
    /// That of a backend with at most `max` sessions.
    pub fn new(max: Option<NonZeroU32>) -> Self {
        let load = Self::default();
        load.take_on(max);
        load
    }

    /// From now on it may have at most `max` sessions, and is one of its pool again if it was
    /// removed from it. Sessions beyond `max` are left alone.
    pub fn take_on(&self, max: Option<NonZeroU32>) {
        self.max.store(max.map_or(0, NonZeroU32::get), Ordering::Relaxed);
        self.ends_at.store(0, Ordering::Relaxed);
    }

    /// It is removed from its pool, and the sessions it still has are to end at `at`.
    pub fn retire(&self, at: Tick) {
        self.ends_at.store(at.millis().max(1), Ordering::Relaxed);
    }

    /// Whether its sessions are to end now.
    pub fn has_retired(&self, now: Tick) -> bool {
        let ends_at = self.ends_at.load(Ordering::Relaxed);
        ends_at != 0 && ends_at <= now.millis()
    }

    /// Sessions that have or seek a connection to it.
    pub fn sessions(&self) -> u32 {
        // Relaxed, here and below: these words order nothing but themselves.
        self.sessions.load(Ordering::Relaxed)
    }

    /// Whether one more session may come.
    pub fn has_room(&self) -> bool {
        self.max().is_none_or(|max| self.sessions() < max.get())
    }

    /// Counts one more session, unless there is no room.
    ///
    /// A session counts from before it connects. Otherwise many that arrive at once would all find
    /// the same backend the emptiest, and would pass its limit together.
    pub fn enter(&self) -> bool {
        let Some(max) = self.max() else {
            self.sessions.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let more = |sessions| (sessions < max.get()).then_some(sessions + 1);
        self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts one more session, whether there is room or not.
    pub fn join(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`Load::enter`] or [`Load::join`].
    pub fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    fn max(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max.load(Ordering::Relaxed))
    }

    /// A connection took this long.
    pub fn connected_in(&self, took: Duration, now: Tick) {
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_MASK);
        let before = self.latency.load(Ordering::Relaxed);
        let average = match before & LATENCY_MASK {
            0 => sample,
            average => (average * (SMOOTHING - 1) + sample).div_ceil(SMOOTHING),
        };
        // A sample that another shard wrote meanwhile is lost: one of many.
        self.latency.store((now.millis() << LATENCY_BITS) | average, Ordering::Relaxed);
    }

    /// The moving average of the time to connect, in microseconds; 0 while it is not known.
    pub fn connect_us(&self, now: Tick) -> u64 {
        let latency = self.latency.load(Ordering::Relaxed);
        let age = now.millis().saturating_sub(latency >> LATENCY_BITS);
        let halvings = u128::from(age) / HALF_LIFE.as_millis();
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        (latency & LATENCY_MASK).checked_shr(halvings).unwrap_or_default()
    }

    /// It was down, and is up again.
    pub fn came_up(&self, now: Tick) {
        self.up_at.store(now.millis().max(1), Ordering::Relaxed);
    }

    /// How much of its weight counts, if it takes `slow_start` until all of it does.
    pub fn share(&self, now: Tick, slow_start: Option<Duration>) -> Share {
        let Some(slow_start) = slow_start else {
            return Share::WHOLE;
        };
        let up_at = self.up_at.load(Ordering::Relaxed);
        let age = u128::from(now.millis().saturating_sub(up_at));
        if up_at == 0 || age >= slow_start.as_millis() {
            return Share::WHOLE;
        }
        let growth = u128::from(Share::WHOLE.0 - Share::LEAST.0) * age / slow_start.as_millis();
        Share(Share::LEAST.0 + u32::try_from(growth).unwrap_or_default())
    }
}

const LATENCY_MASK: u64 = (1 << LATENCY_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::from_millis(1_000_000);

    fn after(seconds: u64) -> Tick {
        NOW.after(Duration::from_secs(seconds))
    }

    #[test]
    fn no_more_sessions_than_the_limit() {
        let load = Load::new(NonZeroU32::new(2));
        assert!(load.enter() && load.enter());
        assert!(!load.has_room() && !load.enter());
        load.leave();
        assert!(load.has_room() && load.enter());
        load.take_on(NonZeroU32::new(3));
        assert!(load.enter() && !load.enter());
        load.take_on(None);
        assert!(load.enter());
    }

    #[test]
    fn sessions_of_a_removed_backend_end_unless_it_comes_back() {
        let load = Load::default();
        assert!(!load.has_retired(NOW));
        load.retire(after(5));
        assert!(!load.has_retired(NOW) && load.has_retired(after(5)));
        load.take_on(None);
        assert!(!load.has_retired(after(5)));
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing_and_never_pass_the_limit() {
        let loads = [Load::new(None), Load::new(NonZeroU32::new(2))];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        for load in &loads {
                            if load.enter() {
                                assert!(load.max().is_none() || load.sessions() <= 2);
                                load.leave();
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(loads.map(|load| load.sessions()), [0, 0]);
    }

    #[test]
    fn the_time_to_connect_is_smoothed_and_forgotten() {
        let load = Load::default();
        assert_eq!(load.connect_us(NOW), 0);
        load.connected_in(Duration::from_micros(800), NOW);
        assert_eq!(load.connect_us(NOW), 800);
        load.connected_in(Duration::from_micros(1600), NOW);
        assert_eq!(load.connect_us(NOW), 900);
        assert_eq!(load.connect_us(after(10)), 450);
        assert_eq!(load.connect_us(after(100_000)), 0);
        load.connected_in(Duration::from_secs(3600), NOW);
        assert!(load.connect_us(NOW) < 1 << LATENCY_BITS);
    }

    #[test]
    fn a_slow_start_grows_from_a_tenth_to_all() {
        let (load, slow) = (Load::default(), Some(Duration::from_secs(90)));
        assert_eq!(load.share(NOW, slow), Share::WHOLE, "never down");
        load.came_up(NOW);
        assert_eq!(load.share(NOW, slow), Share::LEAST);
        assert_eq!(load.share(after(45), slow), Share(550));
        assert_eq!(load.share(after(90), slow), Share::WHOLE);
        assert_eq!(load.share(NOW, None), Share::WHOLE);
        assert_eq!(load.share(NOW, Some(Duration::ZERO)), Share::WHOLE);
    }
}
