//! The sessions of one shard: where orders reach them, and what wakes them in time.
//!
//! A session waits for its sockets, which may stay silent for ever. Its seat
//! says when it is to look at its timeouts, and takes orders: to end, or to report
//! how far it has come. Instead of a timer per session (two hundred bytes, and work at every byte moved) one
//! sweep per shard looks at all seats: an hour's silence is noticed a moment late.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::task::{Context, Waker};
use std::time::Duration;

use relay::Tick;
use slab::Slab;

use crate::phase::account::Reason;

/// The seats of a shard.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: RefCell<Slab<State>>,
    /// The order that was given to all; whoever takes a seat later has it as well.
    standing: Cell<Option<Reason>>,
}

#[derive(Debug)]
struct State {
    waker: Option<Waker>,
    /// When the session wants to be woken, if nothing else wakes it before.
    due: Tick,
    order: Option<Order>,
    report_at: ReportAt,
}

/// What a session is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// End, for this reason.
    End(Reason),
    /// Write down how far it has come. Told once.
    Report,
}

/// When a session is next told to report, in whole seconds of [`Tick`]: half the size of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct ReportAt(Option<NonZeroU32>);

impl ReportAt {
    /// Whether it is time, `every` so often. The first look at a session only sets the time.
    fn is_due(&mut self, now: Tick, every: Duration) -> bool {
        let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
        let every = seconds(every.as_secs()).max(1);
        // Rounded up, so that it is never early.
        let next = seconds(now.millis().div_ceil(1_000)).saturating_add(every);
        let now = seconds(now.millis() / 1_000);
        let at = match self.0 {
            // Set for a longer time than there is now between two.
            Some(at) if at.get() > next => next,
            Some(at) => at.get(),
            None => next,
        };
        let is_due = at <= now;
        // From the time that was set, so that delays do not add up, unless much was missed.
        let at = match (is_due, at.saturating_add(every)) {
            (true, following) if following > now => following,
            (true, _) => next,
            (false, _) => at,
        };
        *self = Self(NonZeroU32::new(at));
        is_due
    }
}

/// Which seat a session has. Give it back with [`Seats::leave`].
#[derive(Debug)]
pub(crate) struct Seat(u32);

impl Seats {
    /// Gives a session its seat.
    pub(crate) fn take(&self) -> Seat {
        let order = self.standing.get().map(Order::End);
        let state = State { waker: None, due: Tick::NEVER, order, report_at: ReportAt::default() };
        let key = self.seats.borrow_mut().insert(state);
        Seat(u32::try_from(key).expect("a shard has fewer sessions than the system can open"))
    }

    /// Takes the seat of a session that is over.
    pub(crate) fn leave(&self, seat: &Seat) {
        self.seats.borrow_mut().try_remove(seat.0 as usize);
    }

    /// The order that was given to this session, if one was. That to end stays.
    pub(crate) fn order(&self, seat: &Seat) -> Option<Order> {
        let order = self.seats.borrow()[seat.0 as usize].order;
        if order == Some(Order::Report) {
            self.seats.borrow_mut()[seat.0 as usize].order = None;
        }
        order
    }

    /// Wakes the task of `cx` at an order, and when `due` has come.
    pub(crate) fn wait(&self, seat: &Seat, cx: &Context<'_>, due: Tick) {
        let mut seats = self.seats.borrow_mut();
        let state = &mut seats[seat.0 as usize];
        state.due = due;
        match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => state.waker = Some(cx.waker().clone()),
        }
    }

    /// Wakes the sessions whose time has come. Each is told to report `every` so often.
    pub(crate) fn sweep(&self, now: Tick, every: Option<Duration>) {
        for (_, state) in self.seats.borrow_mut().iter_mut() {
            let reports = every.is_some_and(|every| state.report_at.is_due(now, every));
            if reports {
                state.order.get_or_insert(Order::Report);
            }
            if (reports || state.due <= now)
                && let Some(waker) = &state.waker
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Has one session look at what has become of it.
    pub(crate) fn wake(&self, seat: &Seat) {
        if let Some(waker) = &self.seats.borrow()[seat.0 as usize].waker {
            waker.wake_by_ref();
        }
    }

    /// Has every session look at what has become of it.
    pub(crate) fn wake_all(&self) {
        self.sweep(Tick::NEVER, None);
    }

    /// Orders all sessions to end, those that are still to come included.
    pub(crate) fn end_all(&self, reason: Reason) {
        self.standing.set(Some(reason));
        for (_, state) in self.seats.borrow_mut().iter_mut() {
            state.order = Some(Order::End(reason));
            if let Some(waker) = &state.waker {
                waker.wake_by_ref();
            }
        }
    }
}

/// How often to sweep, for the timeouts given: late by at most a tenth, within reason.
pub(crate) fn sweep_period(timeouts: impl IntoIterator<Item = Duration>) -> Duration {
    const BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
    let shortest = timeouts.into_iter().min();
    shortest.map_or(BOUNDS.1, |shortest| (shortest / 10).clamp(BOUNDS.0, BOUNDS.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sweep_wakes_those_whose_time_has_come() {
        let seats = Seats::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let seat = seats.take();
        seats.wait(&seat, &Context::from_waker(&waker), Tick::from_millis(100));
        seats.sweep(Tick::from_millis(99), None);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        seats.sweep(Tick::from_millis(100), None);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        seats.leave(&seat);
        seats.sweep(Tick::from_millis(100), None);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "a free seat wakes nobody");
    }

    #[test]
    fn a_session_is_told_to_report_every_so_often() {
        let seats = Seats::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let seat = seats.take();
        seats.wait(&seat, &Context::from_waker(&waker), Tick::NEVER);
        let told = |second: u64, every| {
            seats.sweep(Tick::from_millis(1_000_000 + second * 1_000), every);
            seats.order(&seat) == Some(Order::Report)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let reports: Vec<_> = (0..=65).filter(|second| told(*second, seconds(20))).collect();
        assert_eq!(reports, [20, 40, 60]);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3);
        let shorter: Vec<_> = (66..=80).filter(|second| told(*second, seconds(5))).collect();
        assert_eq!(shorter, [71, 76]);
        assert!(!told(1_000, None), "nobody wants reports");
        // Those that were missed are not made up for.
        let overdue: Vec<_> = (1_000..=1_007).filter(|at| told(*at, seconds(5))).collect();
        assert_eq!(overdue, [1_000, 1_005]);
    }

    #[test]
    fn no_report_is_early() {
        let mut at = ReportAt::default();
        let every = Duration::from_secs(10);
        assert!(!at.is_due(Tick::from_millis(1_900), every));
        assert!(!at.is_due(Tick::from_millis(11_899), every));
        assert!(at.is_due(Tick::from_millis(12_000), every));
    }

    #[test]
    fn the_order_to_end_stands_above_all_others() {
        let seats = Seats::default();
        let seat = seats.take();
        for second in 0..3 {
            seats.sweep(Tick::from_millis(second * 1_000), Some(Duration::from_secs(1)));
        }
        seats.end_all(Reason::Drained);
        seats.sweep(Tick::from_millis(9_000), Some(Duration::from_secs(1)));
        for _ in 0..2 {
            assert_eq!(seats.order(&seat), Some(Order::End(Reason::Drained)));
        }
    }

    #[test]
    fn a_seat_is_small() {
        assert!(size_of::<State>() <= 32, "{} bytes", size_of::<State>());
    }

    #[test]
    fn an_order_reaches_every_session() {
        let seats = Seats::default();
        let both = [seats.take(), seats.take()];
        assert!(both.iter().all(|seat| seats.order(seat).is_none()));
        seats.end_all(Reason::Killed);
        assert!(both.iter().all(|seat| seats.order(seat) == Some(Order::End(Reason::Killed))));
        assert_eq!(
            seats.order(&seats.take()),
            Some(Order::End(Reason::Killed)),
            "whoever comes later has it as well"
        );
    }

    #[test]
    fn sweeps_are_as_frequent_as_the_shortest_timeout_asks() {
        let seconds = Duration::from_secs;
        assert_eq!(sweep_period([seconds(3600), seconds(60)]), seconds(1));
        assert_eq!(sweep_period([seconds(1)]), Duration::from_millis(100));
        assert_eq!(sweep_period([]), seconds(1));
    }
}
