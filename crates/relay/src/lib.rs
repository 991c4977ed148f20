//! Moves bytes between two sockets.

/// One of the two peers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer that connected to us.
    Client,
    /// The peer that we connected to.
    Backend,
}
