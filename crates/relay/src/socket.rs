//! A socket of a session, whose calls never wait.
//!
//! A socket begins unregistered: an operation is simply tried. Only when one
//! would block is the socket registered with the runtime, once and for all it
//! can tell (each registration costs two system calls over a session's life).
//!
//! Readiness is edge-triggered. After a read that found less than a buffer
//! full the socket is taken to be drained, without asking the kernel for its
//! `EAGAIN`: whatever arrives later raises a new edge, and an end of stream
//! stays visible because the runtime never clears it. The one thing that
//! shortens a read while more is queued is urgent data (tcp(7)); while the
//! kernel reports some, sockets are read until `EAGAIN`.
//!
//! A socket resets its peer when it is dropped, unless it was told that its
//! session ended in good order: a stream that was cut must never look complete.

mod calls;

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::io::unix::AsyncFd;

use crate::cipher::Cipher;
use crate::sealed::Sealed;
use crate::{buffer, ring, sys};
pub(crate) use calls::{BULK_BYTES, Found};
use calls::{forget_urgent, receive, receive_drained, send, urgent};

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub struct Socket {
    state: State,
    farewell: Farewell,
    /// The peer has reset the connection, and the kernel has said so already: it will show an end
    /// of stream behind what is left to read.
    is_cut: bool,
    mode: Mode,
}

/// Whether the kernel waits in calls that do not say whether it may. Those here say that it may
/// not; splice(2) cannot, and what the ring begins has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Unknown,
    Blocking,
    NonBlocking,
}

#[derive(Debug)]
enum State {
    /// Never registered; an operation may succeed at once.
    Fresh(OwnedFd),
    /// Never registered; its last operation left nothing more to do.
    Tried(OwnedFd),
    Registered(AsyncFd<OwnedFd>),
    /// What is received and sent goes through a cipher.
    Sealed(Box<Sealed>),
    /// Only while it changes from one of the others to another.
    Changing,
}

/// What the peer sees when the socket is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Reset,
    Close,
}

impl Socket {
    /// Takes in a socket, which must be connected (or connecting).
    pub fn new(socket: OwnedFd) -> Self {
        Self::in_mode(socket, Mode::Unknown)
    }

    /// The same for one that is known to be in blocking mode.
    pub fn blocking(socket: OwnedFd) -> Self {
        Self::in_mode(socket, Mode::Blocking)
    }

    /// One in blocking mode whose connect has ended so. As in [`Socket::connected`], a connection
    /// that brought something before it was reset is a connection.
    pub(crate) fn dialled(socket: OwnedFd, result: Result<(), Errno>) -> Result<Self, Errno> {
        let mut socket = Self::blocking(socket);
        match result {
            Err(errno) if !socket.is_cut_behind_bytes(errno, false) => Err(errno),
            _ => Ok(socket),
        }
    }

    fn in_mode(socket: OwnedFd, mode: Mode) -> Self {
        Self { state: State::Fresh(socket), farewell: Farewell::Reset, is_cut: false, mode }
    }

    /// Gives the descriptor away, in blocking mode, as the ring needs it: a short wait of the
    /// kernel's own is what the ring is about.
    ///
    /// # Errors
    /// The socket itself, when it cannot be had.
    pub(crate) fn take_out(mut self) -> Result<OwnedFd, Self> {
        if !self.is_plain() || self.is_cut {
            return Err(self);
        }
        let socket = match mem::replace(&mut self.state, State::Changing) {
            State::Fresh(socket) | State::Tried(socket) => socket,
            State::Registered(registered) => registered.into_inner(),
            state @ (State::Sealed(_) | State::Changing) => {
                self.state = state;
                return Err(self);
            }
        };
        if self.mode != Mode::Blocking && rustix::io::ioctl_fionbio(&socket, false).is_err() {
            self.state = State::Fresh(socket);
            return Err(self);
        }
        Ok(socket)
    }

    /// Has calls return that cannot say by themselves that they may not wait.
    pub(crate) fn be_non_blocking(&mut self) -> io::Result<()> {
        if self.mode != Mode::NonBlocking {
            rustix::io::ioctl_fionbio(self.descriptor(), true)?;
            self.mode = Mode::NonBlocking;
        }
        Ok(())
    }

    /// From now on, dropping the socket closes it in good order: its session has ended well.
    pub fn close_in_order(&mut self) {
        self.farewell = Farewell::Close;
    }

    /// The socket itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.state {
            State::Fresh(socket) | State::Tried(socket) => socket.as_fd(),
            State::Registered(registered) => registered.as_fd(),
            State::Sealed(sealed) => sealed.wire().descriptor(),
            State::Changing => unreachable!("a change of state is over before anybody looks"),
        }
    }

    /// From now on, what is received and sent goes through `cipher`; `early` was received before,
    /// and not used. Both sides have to agree first: see [`Socket::handshake`].
    pub fn seal(&mut self, cipher: Box<dyn Cipher>, early: Vec<u8>) {
        let state = mem::replace(&mut self.state, State::Changing);
        let is_cut = mem::take(&mut self.is_cut);
        // How it ends is decided out here.
        let wire = Self { state, farewell: Farewell::Close, is_cut, mode: self.mode };
        self.state = State::Sealed(Sealed::new(wire, cipher, early).into());
    }

    /// The cipher that it was sealed with last.
    pub fn cipher(&self) -> Option<&dyn Cipher> {
        match &self.state {
            State::Sealed(sealed) => Some(sealed.cipher()),
            _ => None,
        }
    }

    /// What is behind a socket that was sealed.
    #[cfg(test)]
    pub(crate) fn sealed(&mut self) -> Option<&mut Sealed> {
        match &mut self.state {
            State::Sealed(sealed) => Some(sealed),
            _ => None,
        }
    }

    /// Whether nothing stands between the socket and its bytes, so that they may go by it
    /// directly.
    pub(crate) fn is_plain(&self) -> bool {
        !matches!(self.state, State::Sealed(_))
    }

    /// Waits until both sides of a sealed socket have agreed. The caller bounds the time.
    ///
    /// # Errors
    /// When they do not, with what the cipher has to say as the inner error; the peer was told then. When the
    /// connection breaks or ends meanwhile.
    pub async fn handshake(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_handshake(cx)).await
    }

    /// The same, to be polled.
    ///
    /// # Errors
    /// As [`Socket::handshake`].
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.poll_handshake(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits until a connect under way has come to its end, and says which. A connection that
    /// stood, brought something and was reset before anybody looked is a connection.
    ///
    /// # Errors
    /// Why the connection could not be made.
    pub async fn connected(&mut self) -> io::Result<()> {
        let is_sound = std::future::poll_fn(|cx| {
            let registered = self.registered()?;
            let mut guard = ready!(registered.poll_write_ready(cx))?;
            let is_sound = !guard.ready().is_write_closed();
            guard.retain_ready();
            Poll::Ready(io::Result::Ok(is_sound))
        })
        .await?;
        if is_sound {
            return Ok(());
        }
        // Failed, or ended again already: the kernel tells which.
        match rustix::net::sockopt::socket_error(self.descriptor())? {
            Err(errno) if !self.is_cut_behind_bytes(errno, false) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// Receives what there is into `buffer`, once there is something; 0 is end of stream. For
    /// what is said before a relay takes the socket over.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| match &mut self.state {
            State::Sealed(sealed) => sealed.poll_receive(cx, buffer),
            _ => self.poll_read(cx, |socket| receive_drained(socket, buffer)),
        })
        .await
    }

    /// Appends to `bytes` what there is, at most `room` and at most a buffer full, once there is
    /// something; 0 is end of stream, which stays one. `bytes` grows only by what has come.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        buffer::with(|buffer| {
            let room = room.min(buffer.len());
            let buffer = &mut buffer[..room];
            let found = ready!(match &mut self.state {
                State::Sealed(sealed) => sealed.poll_receive(cx, buffer),
                _ => self.poll_read(cx, |socket| receive_drained(socket, buffer)),
            })?;
            bytes.extend_from_slice(&buffer[..found]);
            Poll::Ready(Ok(found))
        })
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn send_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut sent = self.send_now(bytes)?;
        while sent < bytes.len() {
            bytes = &bytes[sent..];
            sent = std::future::poll_fn(|cx| self.poll_send(cx, bytes)).await?;
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends `bytes` and the FIN, and takes what the peer still sends until it has ended as well, at
    /// most `room` of that: whoever closes with something unread resets, and a reset destroys what
    /// is on its way. The caller bounds the time, and drops the socket then.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn take_leave(&mut self, bytes: &[u8], room: usize) -> io::Result<()> {
        self.send_all(bytes).await?;
        self.close_in_order();
        std::future::poll_fn(|cx| self.poll_shutdown(cx)).await?;
        // Nobody wants to know what it says, which may be no longer to be understood.
        let wire = self.innermost();
        let mut taken = 0;
        let mut rest = Vec::new();
        while taken < room {
            rest.clear();
            match std::future::poll_fn(|cx| wire.poll_append(cx, &mut rest, room)).await? {
                0 => break,
                bytes => taken += bytes,
            }
        }
        Ok(())
    }

    /// Receives into `buffer` as soon as there is something; 0 is end of stream. A buffer that is
    /// small has to be filled again and again until nothing is left.
    #[inline]
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.poll_receive(cx, buffer),
            _ => self.poll_read(cx, |socket| receive(socket, buffer)),
        }
    }

    /// The socket behind all ciphers.
    fn innermost(&mut self) -> &mut Self {
        match self.state {
            State::Sealed(ref mut sealed) => sealed.wire_mut().innermost(),
            _ => self,
        }
    }

    /// Receives what a broken connection still has; 0 when that was all.
    pub(crate) fn receive_rest(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Sealed(sealed) => Ok(sealed.receive_rest(buffer)),
            _ => receive(self.descriptor(), buffer).map(|found| found.bytes()),
        }
    }

    /// Sends of `bytes` what is taken at once, without asking for readiness; 0 when that is nothing.
    #[inline]
    pub(crate) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.send_now(bytes),
            _ => self.write_now(|socket| send(socket, bytes)),
        }
    }

    /// Sends of `bytes` what is taken as soon as there is room. Only after [`Socket::send_now`]
    /// has found none.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.poll_send(cx, bytes),
            _ => self.poll_write(cx, |socket| send(socket, bytes)),
        }
    }

    /// Whether it has received an end of stream that no break of the connection takes back: that of
    /// a cipher.
    pub(crate) fn has_told_end(&self) -> bool {
        matches!(&self.state, State::Sealed(sealed) if sealed.has_told_end())
    }

    /// Whether something was taken that the kernel does not have yet.
    pub(crate) fn is_flushing(&self) -> bool {
        matches!(&self.state, State::Sealed(sealed) if sealed.is_flushing())
    }

    /// Ready when the kernel has all that was taken.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ends the stream towards the peer; ready when its FIN is sent.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Sealed(sealed) => sealed.poll_shutdown(cx),
            _ => Poll::Ready(self.shutdown_write()),
        }
    }

    /// Receives through `read` as soon as there is something to receive; 0 is end of stream. Only
    /// from a plain socket, like all that is given a descriptor.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<Found>,
    ) -> Poll<io::Result<usize>> {
        let is_cut = self.is_cut;
        let mut read = |socket: BorrowedFd<'_>| match read(socket) {
            Ok(Found::More(0)) if is_cut => Err(Errno::CONNRESET.into()),
            result => result,
        };
        if let Some(result) = self.first_try(&mut read) {
            return Poll::Ready(result);
        }
        let registered = self.registered()?;
        loop {
            let mut guard = ready!(registered.poll_read_ready(cx))?;
            match read(registered.as_fd()) {
                Ok(Found::More(bytes)) => return Poll::Ready(Ok(bytes)),
                Ok(Found::All(bytes)) => {
                    if !urgent(registered) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    forget_urgent(registered);
                    guard.clear_ready();
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ready when a read may find something, as far as can be told without reading.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Fresh(_) => return Poll::Ready(Ok(())),
            State::Sealed(sealed) => return sealed.poll_readable(cx),
            _ => {}
        }
        ready!(self.registered()?.poll_read_ready(cx))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Sends through `write` what the kernel takes at once, without asking for readiness; 0
    /// when it takes nothing.
    pub(crate) fn write_now(
        &self,
        write: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match write(self.descriptor()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Sends through `write` as soon as there is room. Only after [`Socket::write_now`] has
    /// found none: the kernel tells about room once, after it was missed.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let registered = self.registered()?;
        loop {
            let mut guard = ready!(registered.poll_write_ready(cx))?;
            match write(registered.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                result => return Poll::Ready(result),
            }
        }
    }

    /// Whether the kernel has announced urgent data that was not yet read past.
    pub(crate) fn has_urgent(&self) -> bool {
        matches!(&self.state, State::Registered(registered) if urgent(registered))
    }

    /// Looks out for the death of a peer from which nothing is read now: ready with the error
    /// once the connection is broken. A peer that has sent its FIN is not.
    pub fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let State::Sealed(sealed) = &mut self.state {
            return sealed.poll_broken(cx);
        }
        let registered = match self.registered() {
            Ok(registered) => registered,
            Err(error) => return Poll::Ready(error),
        };
        loop {
            let mut guard = match registered.poll_write_ready(cx) {
                Poll::Ready(Ok(guard)) => guard,
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => return Poll::Pending,
            };
            if guard.ready().is_write_closed() {
                guard.retain_ready();
                // A unix peer that closed in good order hangs up without an error.
                return match rustix::net::sockopt::socket_error(registered) {
                    Ok(Err(errno)) => Poll::Ready(errno.into()),
                    _ => Poll::Pending,
                };
            }
            // Being writable is no news. Sending is tried without asking for this readiness
            // first (`write_now`), so forgetting it loses nothing.
            guard.clear_ready();
        }
    }

    /// Looks out for the death of a peer, from which nothing is read yet: ready with the error
    /// once the connection is broken and has brought nothing that is to be delivered first.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.poll_gone_behind(cx, false)
    }

    /// The same; `has_bytes` says whether something was received before and is to be delivered.
    pub(crate) fn poll_gone_behind(
        &mut self,
        cx: &mut Context<'_>,
        has_bytes: bool,
    ) -> Poll<io::Error> {
        if self.is_cut {
            return Poll::Pending;
        }
        if let State::Sealed(sealed) = &mut self.state {
            return sealed.poll_gone(cx, has_bytes);
        }
        let error = ready!(self.poll_broken(cx));
        match Errno::from_io_error(&error) {
            Some(errno) if self.is_cut_behind_bytes(errno, has_bytes) => Poll::Pending,
            _ => Poll::Ready(error),
        }
    }

    /// Whether a connection that broke by `errno`, which the kernel tells once, has bytes that
    /// were received before. If so, reading them ends in that error.
    fn is_cut_behind_bytes(&mut self, errno: Errno, has_bytes: bool) -> bool {
        self.is_cut = errno == Errno::CONNRESET && (has_bytes || self.has_unread());
        self.is_cut
    }

    /// Sends the FIN of this side.
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.descriptor(), Shutdown::Write)?)
    }

    /// Bytes sent that the peer has not acknowledged yet. A socket that cannot tell has none.
    pub(crate) fn unacknowledged(&self) -> usize {
        if let State::Sealed(sealed) = &self.state {
            return sealed.unacknowledged();
        }
        sys::unacknowledged(self.descriptor()).unwrap_or_default()
    }

    /// Whether something has come that was not received yet. A socket that cannot tell has nothing.
    pub fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self.descriptor()).unwrap_or_default() > 0
    }

    /// Whether its connection is no more, whoever was told so (tcp(7)).
    pub(crate) fn is_closed(&self) -> bool {
        sys::is_closed(self.descriptor())
    }

    /// Takes the pending error of the connection, if it is broken.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        rustix::net::sockopt::socket_error(self.descriptor()).ok()?.err().map(Into::into)
    }

    /// Runs an operation without asking for readiness, as long as nothing speaks against it.
    fn first_try(
        &mut self,
        read: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<Found>,
    ) -> Option<io::Result<usize>> {
        let State::Fresh(socket) = &self.state else {
            return None;
        };
        match read(socket.as_fd()) {
            Ok(found) => {
                if matches!(found, Found::All(_)) {
                    self.mark_tried();
                }
                Some(Ok(found.bytes()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.mark_tried();
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn mark_tried(&mut self) {
        if let State::Fresh(socket) = mem::replace(&mut self.state, State::Changing) {
            self.state = State::Tried(socket);
        }
    }

    /// The socket in its registered state; registers it if this is the first wait.
    fn registered(&mut self) -> io::Result<&AsyncFd<OwnedFd>> {
        debug_assert!(self.is_plain(), "it would go past the cipher");
        if !matches!(self.state, State::Registered(_)) {
            self.register()?;
        }
        match &self.state {
            State::Registered(registered) => Ok(registered),
            _ => unreachable!("registration has just succeeded"),
        }
    }

    fn register(&mut self) -> io::Result<()> {
        if let State::Fresh(socket) | State::Tried(socket) =
            mem::replace(&mut self.state, State::Changing)
        {
            match sys::register(socket) {
                Ok(registered) => self.state = State::Registered(registered),
                Err((socket, error)) => {
                    self.state = State::Tried(socket);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.farewell == Farewell::Reset && !matches!(self.state, State::Changing) {
            // Closing with a linger time of zero resets (socket(7)). It can only fail on a
            // socket that has no linger option, and such a socket cannot be reset either.
            let _ =
                rustix::net::sockopt::set_socket_linger(self.descriptor(), Some(Duration::ZERO));
        }
        match mem::replace(&mut self.state, State::Changing) {
            State::Fresh(socket) | State::Tried(socket) => ring::close(socket),
            State::Registered(registered) => ring::close(registered.into_inner()),
            // Its wire is a socket as well.
            State::Sealed(_) | State::Changing => {}
        }
    }
}

#[cfg(test)]
mod tests;
