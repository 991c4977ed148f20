//! How the work is done.

use std::num::NonZeroUsize;

/// Threads and mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Threads that carry sessions; `None`: one per core.
    pub shards: Option<NonZeroUsize>,
    /// By what bytes move.
    pub io: Io,
    /// Whether bulk may go through `splice(2)`.
    pub splice: bool,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { shards: None, io: Io::default(), splice: true }
    }
}

/// By what the bytes of sessions move. It makes no difference but in speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// By io_uring(7) where the kernel has what it takes, else by epoll(7).
    #[default]
    Auto,
    /// By epoll(7).
    Epoll,
    /// As `Auto`, and it is worth a warning if it has not.
    Ring,
}

impl Io {
    /// All, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 3] =
        [("auto", Self::Auto), ("epoll", Self::Epoll), ("ring", Self::Ring)];
}
