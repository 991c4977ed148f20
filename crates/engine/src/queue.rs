//! The line of sessions that wait for a place at a backend, while all that are up are full.
//!
//! One line for a pool, over all shards, in the order in which they came. Only the
//! first looks for a place; when it has one, or has gone, it is the next one's turn.
//! Whoever gives a place back wakes the first. New sessions join the line behind
//! those that wait, so nobody overtakes.
//!
//! A session that does not wait never meets the lock of the line, unless it gives
//! back a place while others wait for one; nothing but a map is touched under it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::seldom::Seldom;

/// How often the first in line looks for a place that nobody told it of: at a backend that is
/// tried again, or was given more of them by a new configuration.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Who may wait, and for how long.
#[derive(Debug)]
pub struct Queue {
    length: usize,
    wait: Duration,
    line: Arc<Line>,
    /// Times that a session found the line full.
    pub(crate) full: Seldom,
}

/// Those who wait. It outlives the plan that it was made for.
#[derive(Debug, Default)]
struct Line {
    /// As many as stand in `order`, for those who do not take the lock.
    waiting: AtomicUsize,
    order: Mutex<Order>,
}

#[derive(Debug, Default)]
struct Order {
    /// Those who wait, by when they came; with their wakers once they have been polled.
    waiting: BTreeMap<Ticket, Option<Waker>>,
    next: Ticket,
}

/// When somebody came, as a number.
type Ticket = u64;

/// Where a session stands in the line; it leaves when this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    line: &'a Line,
    ticket: Ticket,
    /// How many were there before it.
    pub ahead: usize,
}

impl Queue {
    /// A queue like this. Those who wait in the one that it replaces come first.
    pub fn new(queue: model::Queue, previous: Option<&Self>) -> Self {
        let line = previous.map_or_else(Arc::default, |queue| Arc::clone(&queue.line));
        Self { length: queue.length.get(), wait: queue.wait, line, full: Seldom::default() }
    }

    /// How long each may wait.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// How many may wait.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether somebody waits.
    pub fn is_waiting(&self) -> bool {
        self.line.waiting.load(Ordering::Relaxed) > 0
    }

    /// A place behind the others; `None` if there are as many as may wait.
    pub fn join(&self) -> Option<Turn<'_>> {
        let mut order = self.line.lock();
        let ahead = order.waiting.len();
        if ahead >= self.length {
            return None;
        }
        let ticket = order.next;
        order.next += 1;
        order.waiting.insert(ticket, None);
        self.line.waiting.store(order.waiting.len(), Ordering::Relaxed);
        drop(order);
        // See `freed`.
        fence(Ordering::SeqCst);
        Some(Turn { line: &self.line, ticket, ahead })
    }

    /// A place at a backend has been given back: the first in line looks for it.
    pub fn freed(&self) {
        // Whoever gives back counts down first and then looks whether somebody waits; whoever
        // joins is counted first and then looks for a place. So one of them sees the other.
        fence(Ordering::SeqCst);
        if self.is_waiting() {
            self.line.lock().wake_first();
        }
    }
}

impl Turn<'_> {
    /// Whether it is this session's turn; if not, its task is woken when it is. The first is also
    /// woken whenever a place is given back.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut order = self.line.lock();
        if let Some(waker) = order.waiting.get_mut(&self.ticket) {
            match waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => *waker = Some(cx.waker().clone()),
            }
        }
        let first = order.waiting.first_key_value().map(|(ticket, _)| *ticket);
        match first == Some(self.ticket) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut order = self.line.lock();
        order.waiting.remove(&self.ticket);
        self.line.waiting.store(order.waiting.len(), Ordering::Relaxed);
        // If it was the first with a place to go to, there may be another one for the next.
        order.wake_first();
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Order> {
        // Nothing that panics is done under the lock, so what is in it holds.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn wake_first(&self) {
        if let Some((_, Some(waker))) = self.waiting.first_key_value() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn queue(length: usize, previous: Option<&Queue>) -> Queue {
        let length = NonZeroUsize::new(length).expect("not zero");
        Queue::new(model::Queue { length, wait: Duration::from_secs(5) }, previous)
    }

    /// Whether it is this one's turn, and who is woken when that changes.
    fn poll(turn: &Turn<'_>) -> (bool, Arc<Wakes>) {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        (turn.poll(&Context::from_waker(&waker)).is_ready(), wakes)
    }

    #[test]
    fn turns_come_in_the_order_of_coming() {
        let queue = queue(3, None);
        assert!(!queue.is_waiting());
        let [first, second, third] = [(); 3].map(|()| queue.join().expect("room"));
        assert!(queue.join().is_none(), "three may wait");
        assert_eq!((first.ahead, third.ahead), (0, 2));
        let ((is_first, first_wakes), (is_second, second_wakes), (is_third, third_wakes)) =
            (poll(&first), poll(&second), poll(&third));
        assert_eq!((is_first, is_second, is_third), (true, false, false));
        queue.freed();
        let wakes =
            || [&first_wakes, &second_wakes, &third_wakes].map(|w| w.0.load(Ordering::SeqCst));
        assert_eq!(wakes(), [1, 0, 0]);
        drop(second);
        assert_eq!(wakes(), [2, 0, 0], "looking once more harms nobody");
        drop(first);
        assert_eq!(wakes(), [2, 0, 1]);
        assert!(poll(&third).0);
        drop(third);
        assert!(!queue.is_waiting());
        queue.freed();
    }

    #[test]
    fn those_who_wait_already_come_first_in_the_next_plan() {
        let old = queue(5, None);
        let waiting = old.join().expect("room");
        let new = queue(1, Some(&old));
        assert!(new.is_waiting() && new.join().is_none());
        drop(waiting);
        assert!(poll(&new.join().expect("room now")).0);
    }

    /// Sessions of many threads share few places. A lost wake-up ends this with a hang.
    #[test]
    fn nobody_is_forgotten_and_nothing_is_left() {
        const PLACES: usize = 2;
        const THREADS: usize = 3;
        let queue = queue(THREADS * 3, None);
        let places = AtomicUsize::new(0);
        let take = || {
            let more = |taken| (taken < PLACES).then_some(taken + 1);
            places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        };
        let session = async || {
            for _ in 0..300 {
                if queue.is_waiting() || !take() {
                    let turn = queue.join().expect("room for all");
                    std::future::poll_fn(|cx| match turn.poll(cx) {
                        Poll::Ready(()) if take() => Poll::Ready(()),
                        _ => Poll::Pending,
                    })
                    .await;
                }
                assert!(places.load(Ordering::Relaxed) <= PLACES);
                tokio::task::yield_now().await;
                places.fetch_sub(1, Ordering::Relaxed);
                queue.freed();
            }
        };
        let on_a_runtime = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime can be made").block_on(async {
                tokio::join!(session(), session(), session());
            });
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(on_a_runtime);
            }
        });
        assert!(!queue.is_waiting() && places.load(Ordering::Relaxed) == 0);
    }
}
