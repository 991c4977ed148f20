//! Addresses that could not be had, for a process that goes on without them.

use std::time::Duration;

use engine::BindFailure;
use engine::journal::{Journal, Level, Notice};
use model::Bind;
use tokio::time::{Instant, sleep_until};

use crate::manners::Lenient;

/// What is missing, and when it is tried again.
#[derive(Debug)]
pub(crate) struct Missing {
    lenient: Option<Lenient>,
    /// Each with its listener.
    binds: Vec<(String, Bind)>,
    tried: Instant,
}

impl Missing {
    /// Nothing was there before, so each of `failures` is told.
    pub(crate) fn new(
        lenient: Option<Lenient>,
        failures: Vec<BindFailure>,
        journal: &Journal,
    ) -> Self {
        let mut missing = Self { lenient, binds: Vec::new(), tried: Instant::now() };
        missing.replace(failures, journal);
        missing
    }

    /// Whether a configuration can run of which `failures` are missing, and all else is there.
    pub(crate) fn may_be(&self, failures: &[BindFailure], is_empty: bool) -> bool {
        Lenient::suffices(self.lenient, failures, is_empty)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.binds.len()
    }

    /// From now on these are missing. Those that were not are told.
    pub(crate) fn replace(&mut self, failures: Vec<BindFailure>, journal: &Journal) {
        let now = failures.into_iter().map(|failure| (failure.listener, failure.bind));
        let now: Vec<_> = now.collect();
        for (_, bind) in now.iter().filter(|one| !self.binds.contains(one)) {
            if let Some(Lenient { retry, told }) = self.lenient {
                let (level, text) = (Level::Warning, told(bind, retry));
                journal.notice(Notice::Remark { level, text });
            }
        }
        self.binds = now;
    }

    /// They are being tried.
    pub(crate) fn try_now(&mut self) {
        self.tried = Instant::now();
    }

    /// Resolves when they are to be tried again, if ever.
    pub(crate) async fn are_due(&self) {
        match self.retry() {
            Some(retry) => sleep_until(self.tried + retry).await,
            None => std::future::pending().await,
        }
    }

    fn retry(&self) -> Option<Duration> {
        let retry = self.lenient.and_then(|lenient| lenient.retry);
        retry.filter(|_| !self.binds.is_empty())
    }
}
