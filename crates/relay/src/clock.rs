//! Time in one word: coarse for the data path, exact for records.
//!
//! A [`Tick`] is taken at every wake-up that moves bytes, so it has to cost next
//! to nothing: the coarse monotonic clock is a memory read (vdso(7)), good to one
//! timer interrupt (1 to 10 ms). A [`Stamp`] is taken once or twice per session.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment in milliseconds since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// Later than any other.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment, good to a timer interrupt.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        // The monotonic clock never runs negative.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
        Self(seconds * 1_000 + nanoseconds / 1_000_000)
    }

    /// A moment given in milliseconds, for tests and arithmetic.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the machine started.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// An exact moment, half the size of a `std::time::Instant`: every session keeps one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Stamp {
    /// This moment.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Self(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default())
    }

    /// A moment given in nanoseconds, for tests and arithmetic.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the machine started.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The same moment, coarser: both clocks count from the same one.
    pub const fn tick(self) -> Tick {
        Tick(self.0 / 1_000_000)
    }

    /// How long after `earlier` it was; zero if it was before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }
}
