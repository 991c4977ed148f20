//! A socket whose bytes are encrypted on the wire.
//!
//! ```text
//!              wire ──▶ unopened ──▶ Cipher::open ──▶ opened ──▶ receive
//!              wire ◀── unsent ◀── Cipher::seal, end, replies ◀── send
//! ```
//!
//! Its stream keeps the rules of a plain one:
//!
//! - It ends only where the peer's cipher says so. A FIN of the wire before that is an
//!   error: [`Left`] between two records, where whoever has ended so may have said all; within one
//!   it was cut.
//! - Its own end is the cipher's, sent whole, and then the FIN.
//! - While anything that was encrypted waits to be sent, nothing more is taken. So each
//!   direction holds at most one buffer.
//! - What was received before the wire broke is delivered first.
//!
//! At rest it holds none of the three: they are on the heap, and given back when they are empty.
//! The bytes of the wire go through a second buffer of the thread.

use std::fmt;
use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use crate::buffer;
use crate::cipher::{Cipher, SEAL_BYTES_MAX, SEAL_ROOM, Then, UNOPENED_MAX};
use crate::socket::Socket;

/// Least room for what comes from the wire, in bytes: the longest record of TLS, so that a small
/// limit of what may be received does not make small reads.
const WIRE_ROOM: usize = 18 * 1024 + 512;

/// Most bytes that may wait to be sent. Beside what was sealed there are replies, of which a peer
/// that takes none can demand only so many.
const UNSENT_MAX: usize = SEAL_BYTES_MAX + 4 * SEAL_ROOM;

/// A socket and its cipher, with what is on its way between them.
#[derive(Debug)]
pub(crate) struct Sealed {
    wire: Socket,
    cipher: Box<dyn Cipher>,
    /// From the wire, and no whole record yet, or more than was asked for.
    unopened: Vec<u8>,
    /// Opened, and more than there was room for; so many of them were received.
    opened: (Vec<u8>, usize),
    /// Encrypted, and not taken by the wire yet, from there on.
    unsent: (Vec<u8>, usize),
    inbound: Inbound,
    /// Why nothing more is received, until that was said.
    failure: Option<io::Error>,
    /// Its own end is on its way, and nothing may follow that.
    has_ended: bool,
}

/// The error of a wire that has ended between two records of the session, and the stream has not:
/// its peer has left without a word, or somebody else has ended it.
#[derive(Debug)]
pub(crate) struct Left;

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended, and its stream has not")
    }
}

impl std::error::Error for Left {}

/// What is known of what the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inbound {
    /// The cipher may find something in what is there.
    Unasked,
    /// More has to come from the wire.
    Short,
    /// The peer has ended its stream.
    Ended,
    /// The cipher has given up.
    Failed,
}

impl Sealed {
    /// Sets `cipher` before `wire`, from which `early` has come already.
    pub(crate) fn new(wire: Socket, cipher: Box<dyn Cipher>, early: Vec<u8>) -> Self {
        Self {
            wire,
            cipher,
            unopened: early,
            opened: (Vec::new(), 0),
            unsent: (Vec::new(), 0),
            inbound: Inbound::Unasked,
            failure: None,
            has_ended: false,
        }
    }

    pub(crate) fn wire(&self) -> &Socket {
        &self.wire
    }

    pub(crate) fn wire_mut(&mut self) -> &mut Socket {
        &mut self.wire
    }

    pub(crate) fn cipher(&self) -> &dyn Cipher {
        &*self.cipher
    }

    /// Ready when both sides have agreed and what this one says about it is sent, or when they do
    /// not; then the peer was told why, as far as it takes that at once.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let flushed = self.poll_flush(cx);
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Err(failure));
            }
            ready!(flushed)?;
            if self.cipher.is_ready() {
                return Poll::Ready(Ok(()));
            }
            match self.inbound {
                Inbound::Unasked => self.open_held(&mut []),
                Inbound::Short => ready!(self.poll_wire(cx, &mut []))?,
                // The end of a stream that has not begun.
                Inbound::Ended | Inbound::Failed => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            };
        }
    }

    /// Receives into `buffer`, which is not empty, as soon as there is something; 0 is the end of
    /// the stream.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(received) = self.take_opened(buffer) {
                return Poll::Ready(Ok(received));
            }
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Err(failure));
            }
            let received = match self.inbound {
                Inbound::Unasked => self.open_held(buffer),
                Inbound::Short => ready!(self.poll_wire(cx, buffer))?,
                Inbound::Ended => return Poll::Ready(Ok(0)),
                Inbound::Failed => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            };
            // Whoever sends next goes on with replies that the wire did not take; if nobody does, this wakes us.
            if self.is_flushing()
                && let Poll::Ready(Err(error)) = self.poll_flush(cx)
            {
                self.break_off(error);
            }
            if received > 0 {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// Receives what is there of a broken connection; 0 when that was all.
    pub(crate) fn receive_rest(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            if let Some(received) = self.take_opened(buffer) {
                return received;
            }
            let received = match self.inbound {
                Inbound::Unasked => self.open_held(buffer),
                Inbound::Short => buffer::with_wire(|room| {
                    let held = self.unopened.len();
                    let most = held + self.wanted(buffer.len());
                    match self.wire.receive_rest(&mut room[held..most]) {
                        Ok(0) | Err(_) => {
                            self.inbound = Inbound::Failed;
                            0
                        }
                        Ok(received) => self.open_received(room, received, buffer),
                    }
                }),
                Inbound::Ended | Inbound::Failed => return 0,
            };
            if received > 0 {
                return received;
            }
        }
    }

    /// Whether all of the peer's stream was received, and its end.
    pub(crate) fn has_told_end(&self) -> bool {
        self.inbound == Inbound::Ended && self.opened.0.is_empty()
    }

    /// Ready when receiving may find something, as far as can be told without it.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_more =
            self.inbound != Inbound::Short || self.failure.is_some() || !self.opened.0.is_empty();
        match has_more {
            true => Poll::Ready(Ok(())),
            false => self.wire.poll_readable(cx),
        }
    }

    /// Takes of `bytes` what can be sent without waiting, which may be nothing.
    pub(crate) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_now()?;
        match self.is_flushing() {
            true => Ok(0),
            false => self.seal(bytes),
        }
    }

    /// Takes of `bytes` what it can, as soon as nothing waits before them.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.seal(bytes))
    }

    /// Whether something that was taken is still here.
    pub(crate) fn is_flushing(&self) -> bool {
        !self.unsent.0.is_empty() || self.wire.is_flushing()
    }

    /// Ready when the kernel has all that was taken. Whatever is added to `unsent` has been
    /// offered to the kernel at once, so that it tells about room.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.0.is_empty() {
            let (bytes, sent) = &self.unsent;
            let taken = ready!(self.wire.poll_send(cx, &bytes[*sent..]))?;
            self.note_sent(taken);
        }
        self.wire.poll_flush(cx)
    }

    /// Ends the stream towards the peer: in its cipher, unless that has given up, then with a FIN.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            self.has_ended = true;
            if self.inbound != Inbound::Failed {
                self.cipher.end(&mut self.unsent.0)?;
            }
            self.flush_now()?;
        }
        ready!(self.poll_flush(cx))?;
        match ready!(self.wire.poll_shutdown(cx)) {
            // Its peer has taken the end for the end, and is gone. If it has cut its own stream by
            // that, receiving will tell.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }

    /// As [`Socket::poll_broken`].
    pub(crate) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        // What waits for room finds out by itself; looking would take away its readiness.
        if let Err(error) = ready!(self.poll_flush(cx)) {
            return Poll::Ready(error);
        }
        self.wire.poll_broken(cx)
    }

    /// As [`Socket::poll_gone`]; `has_bytes` says whether something was received before.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, has_bytes: bool) -> Poll<io::Error> {
        if let Err(error) = ready!(self.poll_flush(cx)) {
            return Poll::Ready(error);
        }
        let has_bytes = has_bytes || !self.unopened.is_empty() || !self.opened.0.is_empty();
        self.wire.poll_gone_behind(cx, has_bytes)
    }

    /// Bytes on the wire, or on their way there, that the peer has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.unsent.0.len() - self.unsent.1 + self.wire.unacknowledged()
    }

    /// What was opened before, as far as there is room for it.
    fn take_opened(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (bytes, received) = &mut self.opened;
        if bytes.is_empty() {
            return None;
        }
        let count = buffer.len().min(bytes.len() - *received);
        buffer[..count].copy_from_slice(&bytes[*received..*received + count]);
        *received += count;
        if *received == bytes.len() {
            self.opened = (Vec::new(), 0);
        }
        Some(count)
    }

    /// How much to ask the wire for, when there is `room` for what that comes to: if it is all
    /// bulk, no more is left here than one record.
    fn wanted(&self, room: usize) -> usize {
        room.saturating_sub(self.unopened.len()).clamp(WIRE_ROOM, SEAL_BYTES_MAX)
    }

    /// Receives from the wire, and puts into `buffer` what there is in it. Ready with how much
    /// that was.
    fn poll_wire(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        buffer::with_wire(|room| {
            let held = self.unopened.len();
            let most = held + self.wanted(buffer.len());
            match ready!(self.wire.poll_receive(cx, &mut room[held..most]))? {
                // The wire has ended, and its peer has not.
                0 if self.cipher.is_ready() && self.unopened.is_empty() => {
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, Left)))
                }
                0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                received => Poll::Ready(Ok(self.open_received(room, received, buffer))),
            }
        })
    }

    /// Opens what is held, into `buffer`; how much that was.
    fn open_held(&mut self, buffer: &mut [u8]) -> usize {
        let mut unopened = mem::take(&mut self.unopened);
        let (used, opened) = self.open(&mut unopened, buffer);
        unopened.drain(..used);
        self.hold(unopened);
        opened
    }

    /// The same for what is held with `received` more bytes, which stand in `room` behind
    /// a gap of its length.
    fn open_received(&mut self, room: &mut [u8], received: usize, buffer: &mut [u8]) -> usize {
        let held = self.unopened.len();
        let all = held + received;
        // What comes byte by byte is not copied to and fro for each of them.
        if received < held / 2 {
            self.unopened.extend_from_slice(&room[held..all]);
            return self.open_held(buffer);
        }
        room[..held].copy_from_slice(&self.unopened);
        let (used, opened) = self.open(&mut room[..all], buffer);
        let mut unopened = mem::take(&mut self.unopened);
        unopened.clear();
        unopened.extend_from_slice(&room[used..all]);
        self.hold(unopened);
        opened
    }

    fn hold(&mut self, unopened: Vec<u8>) {
        if unopened.len() > UNOPENED_MAX && self.inbound == Inbound::Short {
            self.fail(io::ErrorKind::InvalidData.into());
        }
        self.unopened = if unopened.is_empty() { Vec::new() } else { unopened };
    }

    /// Opens `wire` until there is no more in it or `buffer` is full. How much of each that was;
    /// what did not fit is held.
    fn open(&mut self, wire: &mut [u8], buffer: &mut [u8]) -> (usize, usize) {
        let (mut used, mut filled) = (0, 0);
        let mut reply = Vec::new();
        loop {
            let rest = &mut self.opened.0;
            let mut deliver = |bytes: &[u8]| {
                let fitting = bytes.len().min(buffer.len() - filled);
                buffer[filled..filled + fitting].copy_from_slice(&bytes[..fitting]);
                filled += fitting;
                rest.extend_from_slice(&bytes[fitting..]);
            };
            match self.cipher.open(&mut wire[used..], &mut deliver, &mut reply) {
                Err(error) => {
                    self.fail(error);
                    break;
                }
                Ok(opened) => {
                    used += opened.used;
                    self.inbound = match opened.then {
                        Then::Again => Inbound::Unasked,
                        Then::Wire => Inbound::Short,
                        Then::End => Inbound::Ended,
                    };
                    if opened.then != Then::Again || filled == buffer.len() {
                        break;
                    }
                }
            }
        }
        self.reply(&reply);
        (used, filled)
    }

    fn fail(&mut self, error: io::Error) {
        self.inbound = Inbound::Failed;
        self.failure = Some(error);
    }

    /// Sends what the cipher has to say for itself; nothing follows the end of its stream.
    fn reply(&mut self, reply: &[u8]) {
        if reply.is_empty() || self.has_ended {
            return;
        }
        self.unsent.0.extend_from_slice(reply);
        if self.unsent.0.len() - self.unsent.1 > UNSENT_MAX {
            self.fail(io::ErrorKind::InvalidData.into());
        } else if let Err(error) = self.flush_now() {
            self.break_off(error);
        }
    }

    /// The wire takes nothing more: that is told when all that came from it was received.
    fn break_off(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
        self.unsent = (Vec::new(), 0);
    }

    /// Encrypts of `bytes` what fits, which is taken then, and sends what the wire takes at once.
    fn seal(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(SEAL_BYTES_MAX)];
        buffer::with_wire(|room| {
            let length = self.cipher.seal(bytes, &mut room[..bytes.len() + SEAL_ROOM])?;
            let sent = self.wire.send_now(&room[..length])?;
            if sent < length {
                self.unsent = (room[sent..length].to_vec(), 0);
            }
            Ok(bytes.len())
        })
    }

    fn flush_now(&mut self) -> io::Result<()> {
        while !self.unsent.0.is_empty() {
            match self.wire.send_now(&self.unsent.0[self.unsent.1..])? {
                0 => break,
                taken => self.note_sent(taken),
            }
        }
        Ok(())
    }

    fn note_sent(&mut self, taken: usize) {
        let (bytes, sent) = &mut self.unsent;
        *sent += taken;
        if *sent == bytes.len() {
            self.unsent = (Vec::new(), 0);
        }
    }
}

#[cfg(test)]
mod tests;
