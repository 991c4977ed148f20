//! Whether every shard still turns.
//!
//! A shard that hangs (a defect, a system call that does not return) keeps its
//! listening sockets, and the kernel goes on giving it clients. Nobody inside can
//! mend that, but whoever asks here can tell: the answer then does not come. A
//! shard that has ended, in whatever way, is asked no more; its sockets are closed
//! and clients go to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// The answer of a shard that has ended, to every question.
const ENDED: u64 = u64::MAX;

/// Asks all shards of an engine.
#[derive(Debug)]
pub struct Pulse {
    /// The number of the last question.
    question: watch::Sender<u64>,
    /// The number of the last question that each shard has answered.
    answers: Box<[AtomicU64]>,
    answered: Notify,
}

/// The part of one shard. Dropped when the shard ends.
#[derive(Debug)]
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    index: usize,
}

impl Pulse {
    /// For so many shards.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            question: watch::Sender::new(0),
            answers: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            answered: Notify::new(),
        }
    }

    /// Resolves once each shard has come round to its tasks again, from now on.
    pub async fn felt(&self) {
        let mut question = 0;
        self.question.send_modify(|number| {
            *number += 1;
            question = *number;
        });
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            if self.answers.iter().all(|answer| answer.load(Ordering::Acquire) >= question) {
                return;
            }
            answered.await;
        }
    }

    fn answer(&self, index: usize, number: u64) {
        self.answers[index].fetch_max(number, Ordering::Release);
        self.answered.notify_waiters();
    }
}

impl Beat {
    pub(crate) fn new(pulse: Arc<Pulse>, index: usize) -> Self {
        Self { pulse, index }
    }

    /// Answers whenever it is asked; to be run among the tasks of the shard.
    pub(crate) async fn answer(self) {
        let mut questions = self.pulse.question.subscribe();
        loop {
            let number = *questions.borrow_and_update();
            self.pulse.answer(self.index, number);
            if questions.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.pulse.answer(self.index, ENDED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Polls once.
    fn is_ready(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn is_felt_when_every_shard_has_answered() {
        let pulse = Arc::new(Pulse::new(2));
        let beat = |index| Beat::new(Arc::clone(&pulse), index).answer();
        let (mut first, mut second) = (pin!(beat(0)), pin!(beat(1)));
        // Answers from before the question do not count.
        assert!(!is_ready(first.as_mut()) && !is_ready(second.as_mut()));
        let mut felt = pin!(pulse.felt());
        assert!(!is_ready(felt.as_mut()));
        assert!(!is_ready(first.as_mut()));
        assert!(!is_ready(felt.as_mut()), "the second shard hangs");
        assert!(!is_ready(second.as_mut()));
        assert!(is_ready(felt.as_mut()));
    }

    #[test]
    fn a_shard_that_has_ended_is_asked_no_more() {
        let pulse = Arc::new(Pulse::new(2));
        let beat = |index| Box::pin(Beat::new(Arc::clone(&pulse), index).answer());
        let (mut first, second) = (beat(0), beat(1));
        let mut felt = pin!(pulse.felt());
        assert!(!is_ready(felt.as_mut()));
        drop(second);
        assert!(!is_ready(first.as_mut()));
        assert!(is_ready(felt.as_mut()));
    }
}
