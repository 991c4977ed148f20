//! How many sessions there may be at a time.
//!
//! The ceiling is what was asked for, or what the descriptors allow: a session
//! needs two. At the ceiling nobody is refused: clients wait in the kernel's
//! queue until a session ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gate::places::Places;

/// Descriptors of a session: its client and its backend.
const DESCRIPTORS_PER_SESSION: u64 = 2;

/// Descriptors for what is neither session, listener nor pipe: logs, resolver, runtimes.
const DESCRIPTORS_RESERVED: u64 = 24;

/// The sessions of all shards, counted against their ceiling.
#[derive(Debug)]
pub struct Ceiling {
    sessions: Places,
    max: AtomicUsize,
    starving: AtomicUsize,
    /// Sessions that have ended without a backend.
    unserved: AtomicU64,
}

/// A session that has its client and finds no descriptor for its backend. While there is one,
/// no client is accepted: what becomes free goes to those who are in already.
#[derive(Debug)]
pub struct Starving<'a> {
    ceiling: &'a Ceiling,
}

/// The right to one session; dropping it makes room for the next.
#[derive(Debug)]
pub struct Permit {
    ceiling: Arc<Ceiling>,
}

impl Ceiling {
    /// At most `max` sessions, but at least one.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            sessions: Places::default(),
            max: AtomicUsize::new(max.max(1)),
            starving: AtomicUsize::new(0),
            unserved: AtomicU64::new(0),
        })
    }

    /// Sessions there may be.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// From now on at most `max` sessions, but at least one. Those beyond it are left alone.
    pub fn set_max(&self, max: usize) {
        self.max.store(max.max(1), Ordering::Relaxed);
        self.sessions.wake_all();
    }

    /// Sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.taken()
    }

    /// Sessions that have ended without a backend.
    pub fn unserved(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }

    /// A session has ended without a backend.
    pub(crate) fn note_unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a session as starving, until the mark is dropped.
    pub fn starve(&self) -> Starving<'_> {
        self.starving.fetch_add(1, Ordering::Relaxed);
        Starving { ceiling: self }
    }

    /// Whether a session is starving.
    pub fn has_starving(&self) -> bool {
        self.starving.load(Ordering::Relaxed) > 0
    }

    /// Takes a place, if there is one.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        self.sessions.take(self.max()).then(|| Permit { ceiling: Arc::clone(self) })
    }

    /// Waits until there may be a place.
    pub async fn has_room(&self) {
        self.sessions.has_room(|| self.max()).await;
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.ceiling.starving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ceiling.sessions.give_back();
    }
}

/// Raises this process' limit of descriptors as far as it may, and says where it is then.
///
/// # Errors
/// As `setrlimit(2)`.
pub fn raise_descriptor_limit() -> std::io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Sessions that `descriptors` allow, when `listeners` and up to `pipes` of them are taken.
pub fn sessions_for(descriptors: u64, listeners: u64, pipes: u64) -> usize {
    let fixed = DESCRIPTORS_RESERVED + listeners;
    // Without a pipe bulk is copied: where descriptors are few, sessions come first.
    let pipes = pipes.min(descriptors / 8);
    let free = descriptors.saturating_sub(fixed + pipes);
    usize::try_from(free / DESCRIPTORS_PER_SESSION).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_down_by_dropping() {
        let ceiling = Ceiling::new(2);
        let first = ceiling.enter().expect("room for one");
        let second = ceiling.enter().expect("room for two");
        assert!(ceiling.enter().is_none());
        drop(first);
        assert!(ceiling.enter().is_some());
        drop(second);
        assert_eq!(ceiling.sessions(), 0);
        ceiling.set_max(1);
        let only = ceiling.enter();
        assert!(only.is_some() && ceiling.enter().is_none());
        ceiling.set_max(2);
        assert!(ceiling.enter().is_some());
    }

    #[test]
    fn a_mark_of_starving_ends_with_its_session() {
        let ceiling = Ceiling::new(2);
        let starving = ceiling.starve();
        assert!(ceiling.has_starving());
        drop(starving);
        assert!(!ceiling.has_starving());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_a_free_place() {
        let ceiling = Ceiling::new(1);
        let permit = ceiling.enter().expect("room for one");
        let waiting = tokio::spawn({
            let ceiling = Arc::clone(&ceiling);
            async move { ceiling.has_room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.expect("no panic");
    }

    #[test]
    fn descriptors_bound_the_sessions() {
        assert_eq!(sessions_for(20_000, 4, 256), 9_858);
        assert_eq!(sessions_for(60, 2, 256), 13);
        assert_eq!(sessions_for(10, 2, 256), 1);
    }
}
