//! Threads for what blocks: HTTP, and files that have changed.
//!
//! They begin when there is work and end when there has been none for a while. A shard hands work
//! over and goes on; it waits for nothing but a lock that is held for a few instructions.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Most threads.
const THREADS_MAX: usize = 32;

/// Most pieces of work that wait for a thread.
const JOBS_MAX: usize = 1_024;

/// How long a thread waits for work before it ends.
const REST: Duration = Duration::from_secs(10);

/// A piece of work.
type Job = Box<dyn FnOnce() + Send>;

/// See the head of this file.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    resting: usize,
}

/// More waits than may, or the system has no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Workers {
    /// Has it done as soon as a thread is free.
    pub(super) fn begin(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut state = self.0.lock();
        if state.jobs.len() >= JOBS_MAX {
            return Err(Busy);
        }
        state.jobs.push_back(Box::new(job));
        if state.resting >= state.jobs.len() || state.threads >= THREADS_MAX {
            self.0.wake.notify_one();
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let inner = Arc::clone(&self.0);
        let begun = thread::Builder::new().name("look-ups".to_owned()).spawn(move || inner.work());
        if begun.is_err() {
            let mut state = self.0.lock();
            state.threads -= 1;
            // Else it would wait for ever: nobody else comes for it.
            if state.threads == 0 {
                state.jobs.clear();
                return Err(Busy);
            }
        }
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The job's own asker notices that no answer comes.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.resting += 1;
            let (woken, waited) =
                self.wake.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.resting -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn work_is_done_by_so_many_threads_and_a_panic_harms_nobody() {
        let workers = Workers::default();
        let (done, results) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for n in 0..THREADS_MAX + 5 {
            let (done, gate) = (done.clone(), Arc::clone(&gate));
            let job = move || {
                gate.lock().expect("nobody panics with it").recv().expect("it is sent");
                done.send(n).expect("it is awaited");
                assert!(n != 3, "a job that panics");
            };
            workers.begin(job).expect("there is room");
        }
        assert_eq!(workers.0.lock().threads, THREADS_MAX);
        for _ in 0..THREADS_MAX + 5 {
            go.send(()).expect("it is awaited");
        }
        let mut all: Vec<_> = results.iter().take(THREADS_MAX + 5).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..THREADS_MAX + 5));
    }

    #[test]
    fn no_more_wait_than_may() {
        let workers = Workers::default();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let hold = || {
            let gate = Arc::clone(&gate);
            workers.begin(move || drop(gate.lock().map(|gate| gate.recv())))
        };
        let taken = (0..THREADS_MAX + JOBS_MAX + 1).take_while(|_| hold().is_ok()).count();
        assert!((JOBS_MAX..=THREADS_MAX + JOBS_MAX).contains(&taken), "{taken}");
        drop(go);
    }
}
