//! The one hot buffer of a thread.
//!
//! Bytes are received into it and sent from it at once, so that it stays in the
//! cache and an idle session holds no buffer at all. What the other side would
//! not take is copied aside by the direction that holds it.

use std::cell::RefCell;

/// Size of the buffer in bytes: the least size at which copying bulk is cheap, and small
/// enough to stay in a core's second-level cache.
pub const BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

/// Lends the buffer of this thread. Its contents are whatever the last user left.
///
/// # Panics
/// When called from within itself.
pub fn with<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}
