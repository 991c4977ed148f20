//! The one hot buffer of a thread, and a second one for bytes that are encrypted on the wire.
//!
//! Bytes are received into it and sent from it at once, so that it stays in the
//! cache and an idle session holds no buffer at all. What the other side would
//! not take is copied aside by the direction that holds it.

use std::cell::{Cell, RefCell};

use crate::cipher::UNOPENED_MAX;

/// Size of the buffer in bytes: the least size at which copying bulk is cheap, and small
/// enough to stay in a core's second-level cache.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Size of the second buffer in bytes: what a cipher may have left there, and as much again as the
/// first one takes.
const WIRE_BYTES: usize = UNOPENED_MAX + BUFFER_BYTES;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
    /// Made when a thread first has a sealed socket.
    static WIRE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the buffer of this thread. Its contents are whatever the last user left.
///
/// # Panics
/// When called from within itself.
pub fn with<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}

/// Lends the second buffer of this thread, and a new one from within itself: what is sealed twice
/// is rare. Its contents are whatever the last user left.
pub(crate) fn with_wire<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = WIRE.take().unwrap_or_else(|| vec![0; WIRE_BYTES].into_boxed_slice());
    let result = work(&mut buffer);
    WIRE.set(Some(buffer));
    result
}
