//! Streams that do not arrive as they were sent: control channels with addresses in them, requests
//! that go to a proxy.
//!
//! A [`Rewrite`] stands in one [`Direction`](crate::Direction), between receiving and delivering.
//! Everything else stays as it is: the end of the stream, back-pressure, timeouts, bandwidth. A
//! direction that has one copies; it may be spliced once the rewriter has gone.

use std::fmt::Debug;

/// Turns the bytes of one direction into others.
///
/// It may hold bytes back until it has seen enough, and has to bound how many. It is called with a
/// buffer of the thread lent out, so it must not poll a relay.
pub trait Rewrite: Debug {
    /// Takes what was `received`, all of it, and puts behind `out` what is to be delivered for it
    /// and for what was held back.
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next;

    /// Nothing more is received: the sender's FIN, or its end. Puts behind `out` what was held
    /// back and is still to be delivered.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// What becomes of the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// They are rewritten too.
    Rewrite,
    /// They pass as they are, up to the end of the stream; the rewriter is dropped.
    Pass,
    /// They are not wanted: what is in `out` is delivered, then both peers are reset.
    Refuse,
    /// They wait in their socket: what is in `out` is kept until [`Relay::release`](crate::Relay::release)
    /// says what is delivered in its place; the rewriter is dropped.
    Keep,
}
