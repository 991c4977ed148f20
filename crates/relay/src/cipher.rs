//! What stands between a socket and the bytes of its session, where those are encrypted on the
//! wire.
//!
//! This crate knows nothing of any protocol that does so: it brings the bytes of the wire, takes
//! away what is to be sent, and holds both sides to the rules of its streams (see
//! `sealed`).

use std::any::Any;
use std::fmt::Debug;
use std::io;

/// Most bytes that are given to [`Cipher::seal`] at a time.
pub const SEAL_BYTES_MAX: usize = crate::buffer::BUFFER_BYTES;

/// Room that [`Cipher::seal`] has beyond the bytes it is given: 16 bytes for each of 16 KiB would
/// be enough for most, and something else may have waited for its turn.
pub const SEAL_ROOM: usize = 16 * 1024;

/// Most bytes of the wire that a cipher may leave where they are until more has come: the longest
/// message of a handshake, in records.
pub const UNOPENED_MAX: usize = 80 * 1024;

/// One connection's encryption, of both directions.
///
/// It is called with buffers of the thread lent out, so it must not poll a socket.
pub trait Cipher: Any + Debug {
    /// Whether both sides have agreed, so that bytes of the session may go to and fro.
    fn is_ready(&self) -> bool;

    /// Takes what stands at the front of `wire`, at most one record of the session's bytes, which
    /// it passes to `deliver`. It may change what it leaves, and is given that again, with more behind
    /// it or with nothing. What the peer is to be sent at once for it is put behind `reply`,
    /// also before an error.
    ///
    /// At the beginning it is called with nothing on the wire, so that it may speak first.
    ///
    /// # Errors
    /// When the peer breaks the protocol, or both sides do not agree. It is not called again then.
    fn open(
        &mut self,
        wire: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]),
        reply: &mut Vec<u8>,
    ) -> io::Result<Opened>;

    /// Encrypts all of `bytes`, at most [`SEAL_BYTES_MAX`], into `wire`, which has [`SEAL_ROOM`]
    /// more; says how many bytes that came to. Only when it is ready.
    ///
    /// # Errors
    /// When the keys are used up.
    fn seal(&mut self, bytes: &[u8], wire: &mut [u8]) -> io::Result<usize>;

    /// Puts behind `wire` what tells the peer that no more bytes come: the orderly end, without
    /// which a stream counts as cut. Nothing is sealed after it.
    ///
    /// # Errors
    /// When the keys are used up.
    fn end(&mut self, wire: &mut Vec<u8>) -> io::Result<()>;
}

/// How far a [`Cipher`] has come with what is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// So many bytes at the front of the wire are done with.
    pub used: usize,
    /// What comes next.
    pub then: Then,
}

/// What a [`Cipher`] wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// To be called again with what is left, which may be nothing.
    Again,
    /// More from the wire.
    Wire,
    /// Nothing: the peer has told that its stream ends here.
    End,
}

#[cfg(test)]
pub(crate) mod toy;
