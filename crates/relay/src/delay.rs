//! Bytes that are made to come late: a pause before each chunk of a direction.
//!
//! What waits is not even received, so it is the kernel that holds it, and the sender is held back
//! once that is full. The end of a stream comes late as well.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// The pauses of one direction.
#[derive(Debug)]
pub struct Delay {
    mean: Duration,
    chunk: usize,
    /// What the next pause is drawn from.
    chance: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// The next chunk has its pause before it.
    #[default]
    Due,
    Pausing(Pin<Box<Sleep>>),
    /// The pause is over: a chunk may pass.
    Over,
}

impl Delay {
    /// Pauses of a random time up to twice `mean` before at most `chunk` bytes, at least one. The
    /// same `seed` makes the same pauses.
    pub fn new(mean: Duration, chunk: usize, seed: u64) -> Self {
        Self { mean, chunk: chunk.max(1), chance: seed, state: State::default() }
    }

    /// Whether bytes that are there wait for nothing else.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Pausing(_))
    }

    /// Ready when bytes may move, with how many at most. Say with [`Delay::moved`] if some did.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            match &mut self.state {
                State::Due => self.state = State::Pausing(Box::pin(sleep(self.draw()))),
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.state = State::Over;
                }
                State::Over => return Poll::Ready(self.chunk),
            }
        }
    }

    /// A chunk has passed.
    pub(crate) fn moved(&mut self) {
        self.state = State::Due;
    }

    /// The next pause, by the generator of Knuth's MMIX: nobody has to be surprised by it.
    fn draw(&mut self) -> Duration {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        const SUMMAND: u64 = 1_442_695_040_888_963_407;
        self.chance = self.chance.wrapping_mul(FACTOR).wrapping_add(SUMMAND);
        let part = u32::try_from(self.chance >> 33).unwrap_or_default();
        self.mean.saturating_mul(2).mul_f64(f64::from(part) / f64::from(1_u32 << 31))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_up_to_twice_the_mean_which_they_have() {
        let mean = Duration::from_millis(50);
        let mut delay = Delay::new(mean, 1_024, 7);
        let pauses: Vec<_> = (0..10_000).map(|_| delay.draw()).collect();
        assert!(pauses.iter().all(|pause| *pause <= 2 * mean));
        let sum: Duration = pauses.iter().sum();
        let found = sum / 10_000;
        assert!(found.abs_diff(mean) < mean / 20, "{found:?}");
        assert!(pauses.iter().any(|pause| *pause < mean / 10));
        assert!(pauses.iter().any(|pause| *pause > 2 * mean - mean / 10));
    }
}
