//! How much a direction may move before others get their turn.
//!
//! Large turns are cheap: a gigabyte in turns of 512 KiB takes a sixth less
//! processor time here than in turns of 256 KiB; beyond that it only moves to the
//! receivers, whose caches overflow. Small turns are fair: with eight bulk flows
//! on a thread, a message waits for eight turns. So the turns are
//! large while a thread moves nothing but bulk, and small as soon as a small
//! message has passed.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Tick;

/// Most bytes that one direction moves in one turn, while bulk is alone on its thread: some
/// 50 microseconds of work.
pub const TURN_BYTES_ALONE: usize = 512 * 1024;

/// The same while there are small messages on the thread.
pub const TURN_BYTES_SHARED: usize = 256 * 1024;

/// How long after a small message a thread expects more of them.
const SHARED_FOR: Duration = Duration::from_millis(100);

thread_local! {
    /// Until when turns are small.
    static SHARED_UNTIL: Cell<Tick> = const { Cell::new(Tick::from_millis(0)) };
}

/// Tells that a small message has passed on this thread.
pub(crate) fn note_small() {
    SHARED_UNTIL.set(Tick::now().after(SHARED_FOR));
}

/// Bytes that one direction may move in a turn that begins now.
pub(crate) fn bytes() -> usize {
    bytes_at(Tick::now(), SHARED_UNTIL.get())
}

fn bytes_at(now: Tick, shared_until: Tick) -> usize {
    match now < shared_until {
        true => TURN_BYTES_SHARED,
        false => TURN_BYTES_ALONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_small_for_a_while_after_a_small_message() {
        let now = Tick::from_millis(5_000);
        assert_eq!(bytes_at(now, Tick::default()), TURN_BYTES_ALONE);
        assert_eq!(bytes_at(now, now.after(SHARED_FOR)), TURN_BYTES_SHARED);
        assert_eq!(bytes_at(now.after(SHARED_FOR), now.after(SHARED_FOR)), TURN_BYTES_ALONE);
        note_small();
        assert_eq!(bytes(), TURN_BYTES_SHARED);
    }
}
