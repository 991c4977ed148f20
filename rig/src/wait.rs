//! Waiting, never without an end.

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything that is to happen. Generous, since it is only ever spent when a test
/// fails, and a loaded machine must not fail one.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at something that cannot wake us.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds. For what has no event to wait for: `/proc`, files.
///
/// # Panics
/// When it does not within [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Deadline::new();
    while !condition() {
        assert!(!deadline.is_over(), "waited {PATIENCE:?} for {what}");
        pause(LOOK_EVERY);
    }
}

/// Does nothing for a while: for scripts in which the pause is what is tested.
#[expect(
    clippy::disallowed_methods,
    reason = "a peer that is silent for a while has nothing to wait for"
)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// [`PATIENCE`], from now on.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Starts now.
    pub fn new() -> Self {
        Self(Instant::now() + PATIENCE)
    }

    /// Whether it has passed.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// What is left of it.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}
