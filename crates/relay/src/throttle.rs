//! Limits of bandwidth: when a direction may move its next bytes.
//!
//! A [`Meter`] keeps the time that the bytes granted so far take at its rate. Whoever wants to
//! move bytes books a share of that time behind what is booked already, and waits until its turn
//! has come; what it did not need it gives back. So directions that have a meter in common are
//! served in the order in which they asked, a share each: none starves, whichever
//! threads they run on, and nobody holds a lock.
//!
//! A [`Throttle`] takes one direction past all the meters it is under. It books only when there is
//! something to receive, and what is not received holds back the sender.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::Stamp;

/// Least and most bytes that are booked at a time: what an Ethernet segment carries, and as much
/// as a direction moves in a turn beside others.
const SHARE_BYTES: (u64, u64) = (1_460, crate::turn::TURN_BYTES_SHARED as u64);

/// Between these two a share is what the rate yields in this time: short enough that a
/// newcomer's turn comes soon, long enough that a timer per share costs next to nothing.
const SHARE_TIME: Duration = Duration::from_millis(5);

/// How far behind its rate a meter may be and still make up for it: so late may timers and
/// threads be. It is also the burst after a pause, beside one share.
const BEHIND_MAX: Duration = Duration::from_millis(25);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A rate, and what has been booked of it. Clones share the bookings.
#[derive(Clone, Debug)]
pub struct Meter {
    /// In bytes per second.
    rate: NonZeroU64,
    /// Up to when all that was booked takes, on the clock of [`Stamp`].
    booked_until: Arc<AtomicU64>,
}

impl Meter {
    /// A meter of `rate` bytes per second of which nothing is booked.
    pub fn new(rate: NonZeroU64) -> Self {
        Self { rate, booked_until: Arc::default() }
    }

    /// The same bookings under another rate: for who books from now on.
    #[must_use]
    pub fn at_rate(&self, rate: NonZeroU64) -> Self {
        Self { rate, booked_until: Arc::clone(&self.booked_until) }
    }

    /// Most bytes to book at a time.
    fn share(&self) -> usize {
        let millis = u64::try_from(SHARE_TIME.as_millis()).expect("a few milliseconds");
        let bytes = self.rate.get().saturating_mul(millis) / 1_000;
        usize::try_from(bytes.clamp(SHARE_BYTES.0, SHARE_BYTES.1)).expect("the bounds are small")
    }

    /// Books `bytes`, at most a share; says from when on they may move. How far ahead that is, is
    /// bounded by those who wait: one share for each.
    fn book(&self, bytes: usize, now: Stamp) -> Stamp {
        let behind = u64::try_from(BEHIND_MAX.as_nanos()).expect("a few milliseconds");
        let earliest = now.nanos().saturating_sub(behind);
        let time = self.time_of(bytes);
        let mut booked = self.booked_until.load(Ordering::Relaxed);
        loop {
            let from = booked.max(earliest);
            match self.booked_until.compare_exchange_weak(
                booked,
                from.saturating_add(time),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Stamp::from_nanos(from),
                Err(other) => booked = other,
            }
        }
    }

    /// Gives back so many bytes that were booked and have not moved.
    fn give_back(&self, bytes: usize) {
        self.booked_until.fetch_sub(self.time_of(bytes), Ordering::Relaxed);
    }

    /// The nanoseconds that so many bytes take. A share of bytes in nanoseconds fits well.
    fn time_of(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(NANOS_PER_SECOND) / self.rate
    }
}

/// The meters that one direction of one session is under.
#[derive(Debug)]
pub struct Throttle {
    /// In the order in which they are passed: those with fewer sharers first.
    stages: Box<[Stage]>,
    /// When the stage that was booked last lets its bytes go, if that is to be waited for.
    due: Option<Stamp>,
    /// Made when it is first needed, then used again.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// One meter, and what is booked there. Each is booked by shares of its own: if a slow one's
/// small shares were passed on to a fast one, its direction would get little there beside others.
#[derive(Debug)]
struct Stage {
    meter: Meter,
    /// Bytes that are booked and have not moved.
    credit: usize,
}

impl Throttle {
    /// Passes `meters` in this order; give that of the session first, that of the process last.
    /// `None` without any.
    pub fn new(meters: impl IntoIterator<Item = Meter>) -> Option<Self> {
        let stages = meters.into_iter().map(|meter| Stage { meter, credit: 0 });
        let stages: Box<[_]> = stages.collect();
        (!stages.is_empty()).then_some(Self { stages, due: None, sleep: None })
    }

    /// Whether bytes that are there wait for their turn.
    pub(crate) fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    /// Ready when bytes may move, with how many: at least one. Say how many did with
    /// [`Throttle::moved`], and with [`Throttle::release`] if there are no more for now.
    pub(crate) fn poll_grant(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = Stamp::now();
            let from = match self.advance(now) {
                Ok(bytes) => return Poll::Ready(bytes),
                Err(from) => from,
            };
            let due = Instant::now() + from.since(now);
            let sleep = match &mut self.sleep {
                Some(sleep) => {
                    sleep.as_mut().reset(due);
                    sleep
                }
                none => none.insert(Box::pin(sleep_until(due))),
            };
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            }
        }
    }

    /// Goes past as many meters as it can: the bytes granted, or the moment to wait for.
    fn advance(&mut self, now: Stamp) -> Result<usize, Stamp> {
        let mut granted = usize::MAX;
        for stage in &mut self.stages {
            if let Some(due) = self.due {
                if now < due {
                    return Err(due);
                }
                self.due = None;
            }
            if stage.credit == 0 {
                stage.credit = stage.meter.share();
                let from = stage.meter.book(stage.credit, now);
                if now < from {
                    self.due = Some(from);
                    return Err(from);
                }
            }
            granted = granted.min(stage.credit);
        }
        Ok(granted)
    }

    /// So many of the bytes granted have moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        for stage in &mut self.stages {
            stage.credit -= bytes.min(stage.credit);
        }
    }

    /// Nothing more moves for now: what is booked is for others.
    pub(crate) fn release(&mut self) {
        self.due = None;
        for stage in &mut self.stages {
            stage.meter.give_back(std::mem::take(&mut stage.credit));
        }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn meter(rate: u64) -> Meter {
        Meter::new(NonZeroU64::new(rate).expect("a rate"))
    }

    fn throttle(meters: &[&Meter]) -> Throttle {
        Throttle::new(meters.iter().copied().cloned()).expect("there are meters")
    }

    /// A moment well behind the start of the clock, in milliseconds.
    fn at(millis: u64) -> Stamp {
        Stamp::from_nanos((1_000_000 + millis) * 1_000_000)
    }

    /// What `throttles` move in `seconds` if each takes whatever it may, looking every millisecond.
    fn run(throttles: &mut [Throttle], seconds: u64) -> Vec<u64> {
        let mut moved = vec![0; throttles.len()];
        for millis in 0..seconds * 1_000 {
            for (throttle, moved) in throttles.iter_mut().zip(&mut moved) {
                while let Ok(bytes) = throttle.advance(at(millis)) {
                    throttle.moved(bytes);
                    *moved += bytes as u64;
                }
            }
        }
        moved
    }

    #[track_caller]
    fn check_near(moved: u64, expected: u64) {
        // The burst at the start, and a share on its way at the end.
        let slack = expected / 20 + 2 * SHARE_BYTES.0;
        assert!(moved.abs_diff(expected) <= slack, "{moved} bytes, not {expected}");
    }

    #[test]
    fn a_direction_alone_has_its_rate_whatever_that_is() {
        for rate in [1_000, 100_000, MIB, 10 * MIB, 1_000 * MIB] {
            let moved = run(&mut [throttle(&[&meter(rate)])], 4);
            check_near(moved[0], 4 * rate);
        }
    }

    #[test]
    fn those_who_share_a_meter_get_equal_parts_of_it() {
        let shared = meter(10 * MIB);
        let mut throttles: Vec<_> = (0..7).map(|_| throttle(&[&shared])).collect();
        for moved in run(&mut throttles, 7) {
            check_near(moved, 10 * MIB);
        }
    }

    #[test]
    fn what_one_may_not_take_goes_to_the_others() {
        let shared = meter(10 * MIB);
        let slow = meter(MIB);
        let mut throttles = [throttle(&[&slow, &shared]), throttle(&[&shared])];
        let moved = run(&mut throttles, 4);
        check_near(moved[0], 4 * MIB);
        check_near(moved[1], 36 * MIB);
    }

    #[test]
    fn beside_others_a_slow_one_has_its_part_of_what_is_shared() {
        let shared = meter(10 * MIB);
        let slow = meter(MIB * 3 / 2);
        let mut throttles: Vec<_> = (0..9).map(|_| throttle(&[&shared])).collect();
        throttles.push(throttle(&[&slow, &shared]));
        // It spends its share slowly, and is late for the next.
        let moved = run(&mut throttles, 10)[9];
        assert!(moved >= 8 * MIB, "{moved} bytes of an equal part of {}", 10 * MIB);
    }

    #[test]
    fn a_newcomer_waits_for_one_share_of_each_before_it() {
        let shared = meter(MIB);
        let mut throttles: Vec<_> = (0..10).map(|_| throttle(&[&shared])).collect();
        run(&mut throttles, 1);
        let mut newcomer = throttle(&[&shared]);
        let from = newcomer.advance(at(1_000)).expect_err("others wait");
        assert!(from.since(at(1_000)) <= 11 * SHARE_TIME, "{:?}", from.since(at(1_000)));
    }

    #[test]
    fn after_a_pause_the_burst_is_small() {
        let meter = meter(10 * MIB);
        let mut throttle = throttle(&[&meter]);
        run(std::slice::from_mut(&mut throttle), 1);
        let mut burst = 0;
        while let Ok(bytes) = throttle.advance(at(60_000)) {
            throttle.moved(bytes);
            burst += bytes as u64;
        }
        // 25 ms and a share or two of 5 ms.
        assert!((10 * MIB / 40..=10 * MIB / 25).contains(&burst), "{burst} bytes");
    }

    #[test]
    fn what_was_not_moved_is_given_back() {
        let meter = meter(1_000_000);
        let mut one = throttle(&[&meter]);
        for _ in 0..1_000 {
            one.advance(at(0)).expect("nothing has moved");
            one.release();
        }
        // A session that ends while it waits leaves nothing booked behind.
        let before = meter.booked_until.load(Ordering::Relaxed);
        let mut waiting: Vec<_> = (0..20).map(|_| throttle(&[&meter])).collect();
        let granted = waiting.iter_mut().map(|one| one.advance(at(0)));
        assert!(granted.filter(Result::is_err).count() > 0);
        drop(waiting);
        assert_eq!(meter.booked_until.load(Ordering::Relaxed), before);
    }

    #[test]
    fn another_rate_goes_on_with_the_same_bookings() {
        let slow = meter(1_000);
        let mut one = throttle(&[&slow]);
        while let Ok(bytes) = one.advance(at(0)) {
            one.moved(bytes);
        }
        let fast = slow.at_rate(NonZeroU64::new(MIB).expect("a rate"));
        assert!(throttle(&[&fast]).advance(at(0)).is_err(), "the booked time is not over");
        assert!(throttle(&[&fast]).advance(at(5_000)).is_ok());
    }
}
