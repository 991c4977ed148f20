//! Places of which there is a limited number, and the wait for a free one.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Places that are taken. How many there are is said at each call: a new configuration may change
/// it.
#[derive(Debug, Default)]
pub struct Places {
    taken: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
}

impl Places {
    /// Takes one of `max`, if one is free. Give it back with [`Places::give_back`].
    pub fn take(&self, max: usize) -> bool {
        let more = |taken| (taken < max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back one that was taken.
    pub fn give_back(&self) {
        // Both counts in one order with those of `has_room`: either this sees that somebody waits,
        // or that one sees the free place. While nobody does, the lock of `freed` is not touched.
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Those that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Has those who wait look again: there may be more places than before.
    pub fn wake_all(&self) {
        self.freed.notify_waiters();
    }

    /// Waits until there may be a free one among `max`, which is asked for at each look.
    pub async fn has_room(&self, max: impl Fn() -> usize) {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // Enabled before the count is read: a place freed in between is not missed.
            freed.as_mut().enable();
            if self.taken.load(Ordering::SeqCst) < max() {
                return;
            }
            freed.await;
        }
    }
}

/// One who waits, counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_is_said() {
        let places = Places::default();
        assert!(places.take(2) && places.take(2) && !places.take(2));
        assert!(places.take(3), "a new configuration has more");
        places.give_back();
        assert!(!places.take(2), "or fewer");
        assert_eq!(places.taken(), 2);
    }

    #[test]
    fn whoever_waits_is_woken_from_any_thread_and_the_count_ends_at_0() {
        const MAX: usize = 2;
        let places = Places::default();
        let come_and_go = async || {
            let mut had = 0;
            while had < 500 {
                if places.take(MAX) {
                    assert!(places.taken() <= MAX);
                    tokio::task::yield_now().await;
                    places.give_back();
                    had += 1;
                } else {
                    // Ends the test with a hang if a wake-up is lost.
                    places.has_room(|| MAX).await;
                }
            }
        };
        let on_a_runtime = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime can be made").block_on(async {
                tokio::join!(come_and_go(), come_and_go(), come_and_go());
            });
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(on_a_runtime);
            }
        });
        assert_eq!((places.taken(), places.waiting.load(Ordering::SeqCst)), (0, 0));
    }
}
