//! The sessions of one shard: where orders reach them, and what wakes them in time.
//!
//! A session waits for its sockets, which may stay silent for ever. Its seat
//! says when it is to look at its timeouts, and takes the order to end. Instead
//! of a timer per session (two hundred bytes, and work at every byte moved) one
//! sweep per shard looks at all seats: an hour's silence is noticed a moment late.

use std::cell::{Cell, RefCell};
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
    order: Option<Reason>,
}

/// Which seat a session has. Give it back with [`Seats::leave`].
#[derive(Debug)]
pub(crate) struct Seat(u32);

impl Seats {
    /// Gives a session its seat.
    pub(crate) fn take(&self) -> Seat {
        let state = State { waker: None, due: Tick::NEVER, order: self.standing.get() };
        let key = self.seats.borrow_mut().insert(state);
        Seat(u32::try_from(key).expect("a shard has fewer sessions than the system can open"))
    }

    /// Takes the seat of a session that is over.
    pub(crate) fn leave(&self, seat: &Seat) {
        self.seats.borrow_mut().try_remove(seat.0 as usize);
    }

    /// The order to end, if one was given to this session.
    pub(crate) fn order(&self, seat: &Seat) -> Option<Reason> {
        self.seats.borrow()[seat.0 as usize].order
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

    /// Wakes the sessions whose time has come.
    pub(crate) fn sweep(&self, now: Tick) {
        for (_, state) in self.seats.borrow_mut().iter_mut() {
            if state.due <= now
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
        self.sweep(Tick::NEVER);
    }

    /// Orders all sessions to end, those that are still to come included.
    pub(crate) fn end_all(&self, reason: Reason) {
        self.standing.set(Some(reason));
        for (_, state) in self.seats.borrow_mut().iter_mut() {
            state.order = Some(reason);
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
        seats.sweep(Tick::from_millis(99));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        seats.sweep(Tick::from_millis(100));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        seats.leave(&seat);
        seats.sweep(Tick::from_millis(100));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "a free seat wakes nobody");
    }

    #[test]
    fn an_order_reaches_every_session() {
        let seats = Seats::default();
        let both = [seats.take(), seats.take()];
        assert!(both.iter().all(|seat| seats.order(seat).is_none()));
        seats.end_all(Reason::Killed);
        assert!(both.iter().all(|seat| seats.order(seat) == Some(Reason::Killed)));
        assert_eq!(
            seats.order(&seats.take()),
            Some(Reason::Killed),
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
