//! Programs that decide which clients may come: run, asked, and ended.
//!
//! Each program has a task of its own with its `children`; each of these is a `child` with a task of
//! its own, so that nothing waits for one that does not answer. Nothing of it is a session: those
//! wait at their shards, and have their own deadline.

use std::sync::Arc;

use engine::Authority;
use engine::journal::Journal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod child;
mod children;

use children::Children;

use crate::program::{Course, Orders};

/// The programs under way.
pub(crate) struct Authorities {
    journal: Journal,
    followed: Vec<Followed>,
    /// Those that are not wanted any more, on their way to the end.
    retired: Vec<Followed>,
}

struct Followed {
    authority: Arc<Authority>,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

impl Authorities {
    /// Starts each of `authorities`, on the runtime this is called in.
    pub(crate) fn follow(authorities: &[Arc<Authority>], journal: &Journal) -> Self {
        let mut followed =
            Self { journal: journal.clone(), followed: Vec::new(), retired: Vec::new() };
        followed.add(authorities);
        followed
    }

    /// Starts each of `authorities`; those that run already go on as before.
    pub(crate) fn add(&mut self, authorities: &[Arc<Authority>]) {
        for authority in authorities {
            // One that somebody has taken runs already.
            let Some(questions) = authority.take_questions() else { continue };
            let (orders, ordered) = watch::channel(Orders::default());
            let program = authority.program().clone();
            let children = Children::new(program, questions, self.journal.clone());
            let task = tokio::spawn(children.run(ordered));
            self.followed.push(Followed { authority: Arc::clone(authority), orders, task });
        }
    }

    /// Ends all but `authorities`, once the sessions that began with them have been decided.
    pub(crate) fn keep(&mut self, authorities: &[Arc<Authority>]) {
        let stays = |one: &mut Followed| {
            authorities.iter().any(|authority| Arc::ptr_eq(authority, &one.authority))
        };
        self.retired.retain(|one| !one.task.is_finished());
        self.retired.extend(self.followed.extract_if(.., |one| !stays(one)));
        for one in &self.retired {
            one.order(|orders| orders.course = Course::Retire);
        }
    }

    /// Has what could not be started tried again now.
    pub(crate) fn try_again(&self) {
        for one in &self.followed {
            one.order(|orders| orders.again += 1);
        }
    }

    /// Ends all of them, and waits until no child is left: three seconds at the most.
    pub(crate) async fn end(&mut self) {
        let all: Vec<_> = self.followed.drain(..).chain(self.retired.drain(..)).collect();
        for one in &all {
            one.order(|orders| orders.course = Course::End);
        }
        for one in all {
            // One that has panicked has ended its children as well.
            let _ = one.task.await;
        }
    }
}

impl Followed {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }
}
