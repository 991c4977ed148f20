//! A non-blocking socket of a session.
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

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{buffer, sys};

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub struct Socket {
    state: State,
    farewell: Farewell,
    /// The peer has reset the connection, and the kernel has said so already: it will show an end
    /// of stream behind what is left to read.
    is_cut: bool,
}

#[derive(Debug)]
enum State {
    /// Never registered; an operation may succeed at once.
    Fresh(OwnedFd),
    /// Never registered; its last operation left nothing more to do.
    Tried(OwnedFd),
    Registered(AsyncFd<OwnedFd>),
    /// Only while it changes from one of the others to another.
    Changing,
}

/// What the peer sees when the socket is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Reset,
    Close,
}

/// What an operation on the socket found.
#[derive(Debug)]
pub(crate) enum Found {
    /// This many bytes, and there may be more (or room for more).
    More(usize),
    /// This many bytes, and that was all.
    All(usize),
}

/// A read below this many bytes has drained the socket; one of at least as many is bulk, and
/// more is usually on its way.
pub(crate) const BULK_BYTES: usize = 16 * 1024;

impl Found {
    /// What a read of `bytes` bytes says about the socket, when there was `room` for so many.
    pub(crate) fn of(bytes: usize, room: usize) -> Self {
        match bytes {
            // End of stream stays visible by itself; there is nothing to wait for.
            0 => Self::More(0),
            bytes if bytes < BULK_BYTES && bytes < room => Self::All(bytes),
            bytes => Self::More(bytes),
        }
    }

    /// How many bytes.
    pub(crate) fn bytes(&self) -> usize {
        match *self {
            Self::More(bytes) | Self::All(bytes) => bytes,
        }
    }
}

impl Socket {
    /// Takes in a socket, which must be connected (or connecting) and non-blocking.
    pub fn new(socket: OwnedFd) -> Self {
        Self { state: State::Fresh(socket), farewell: Farewell::Reset, is_cut: false }
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
            State::Changing => unreachable!("a change of state is over before anybody looks"),
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
            Err(errno) if !self.is_cut_behind_bytes(errno) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// Receives what there is into `buffer`, once there is something; 0 is end of stream. For
    /// what is said before a relay takes the socket over.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = |socket: BorrowedFd<'_>| {
            // Unlike the buffer of a relay, this one may be small: only room left over says that
            // there was no more.
            receive(socket, buffer).map(|found| match found.bytes() {
                bytes if bytes == 0 || bytes == buffer.len() => Found::More(bytes),
                bytes => Found::All(bytes),
            })
        };
        std::future::poll_fn(|cx| self.poll_read(cx, &mut read)).await
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
        self.poll_read(cx, |socket| {
            buffer::with(|buffer| {
                let room = room.min(buffer.len());
                let found = receive(socket, &mut buffer[..room])?.bytes();
                bytes.extend_from_slice(&buffer[..found]);
                // As in `receive`.
                Ok(if found == 0 || found == room { Found::More(found) } else { Found::All(found) })
            })
        })
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn send_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut sent = self.write_now(|socket| send(socket, bytes))?;
        while sent < bytes.len() {
            bytes = &bytes[sent..];
            let wait = |cx: &mut Context<'_>| self.poll_write(cx, |socket| send(socket, bytes));
            sent = std::future::poll_fn(wait).await?;
        }
        Ok(())
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
        self.shutdown_write()?;
        let mut taken = 0;
        let mut rest = Vec::new();
        while taken < room {
            rest.clear();
            match std::future::poll_fn(|cx| self.poll_append(cx, &mut rest, room)).await? {
                0 => break,
                bytes => taken += bytes,
            }
        }
        Ok(())
    }

    /// Receives through `read` as soon as there is something to receive; 0 is end of stream.
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
        if matches!(self.state, State::Fresh(_)) {
            return Poll::Ready(Ok(()));
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
        if self.is_cut {
            return Poll::Pending;
        }
        let error = ready!(self.poll_broken(cx));
        match Errno::from_io_error(&error) {
            Some(errno) if self.is_cut_behind_bytes(errno) => Poll::Pending,
            _ => Poll::Ready(error),
        }
    }

    /// Whether a connection that broke by `errno`, which the kernel tells once, has bytes that
    /// were received before. If so, reading them ends in that error.
    fn is_cut_behind_bytes(&mut self, errno: Errno) -> bool {
        let unread = || rustix::io::ioctl_fionread(self.descriptor()).unwrap_or_default();
        self.is_cut = errno == Errno::CONNRESET && unread() > 0;
        self.is_cut
    }

    /// Sends the FIN of this side.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.descriptor(), Shutdown::Write)?)
    }

    /// Bytes sent that the peer has not acknowledged yet. A socket that cannot tell has none.
    pub(crate) fn unacknowledged(&self) -> usize {
        sys::unacknowledged(self.descriptor()).unwrap_or_default()
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
        if self.farewell == Farewell::Reset {
            // Closing with a linger time of zero resets (socket(7)). It can only fail on a
            // socket that has no linger option, and such a socket cannot be reset either.
            let _ =
                rustix::net::sockopt::set_socket_linger(self.descriptor(), Some(Duration::ZERO));
        }
    }
}

/// Receives into `buffer`. A read that leaves room in it has found all there is, unless it
/// is of a size that bulk has: then asking again usually finds more.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Found> {
    let (_, bytes) =
        rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()))?;
    Ok(Found::of(bytes, buffer.len()))
}

/// Sends `bytes`, or as many of them as the kernel takes.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL;
    Ok(rustix::io::retry_on_intr(|| rustix::net::send(socket, bytes, flags))?)
}

fn urgent(registered: &AsyncFd<OwnedFd>) -> bool {
    registered.try_io(Interest::PRIORITY, |_| Ok(())).is_ok()
}

fn forget_urgent(registered: &AsyncFd<OwnedFd>) {
    // The runtime forgets a readiness when an operation that relied on it would block.
    let _ = registered
        .try_io(Interest::PRIORITY, |_| io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    /// A socket whose peer has sent `bytes` and reset the connection before anybody looked.
    fn cut(bytes: &[u8]) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        let (mut far, _) = listener.accept().expect("accepts");
        far.write_all(bytes).expect("there is room");
        rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).expect("linger");
        drop(far);
        near.set_nonblocking(true).expect("non-blocking");
        Socket::new(near.into())
    }

    async fn read(socket: &mut Socket) -> io::Result<usize> {
        let mut buffer = [0; 64];
        std::future::poll_fn(|cx| socket.poll_read(cx, |socket| receive(socket, &mut buffer))).await
    }

    #[tokio::test]
    async fn what_came_before_a_reset_is_read_before_it() {
        let reset = io::ErrorKind::ConnectionReset;
        let mut backend = cut(b"answer");
        backend.connected().await.expect("it stood");
        assert_eq!(read(&mut backend).await.expect("the answer"), 6);
        assert_eq!(read(&mut backend).await.expect_err("the reset").kind(), reset);

        let mut client = cut(b"question");
        let gone = std::future::poll_fn(|cx| Poll::Ready(client.poll_gone(cx).is_ready())).await;
        assert!(!gone, "there is a question to deliver");
        assert_eq!(read(&mut client).await.expect("the question"), 8);
        assert_eq!(read(&mut client).await.expect_err("the reset").kind(), reset);
    }

    #[tokio::test]
    async fn a_reset_behind_nothing_is_a_failure() {
        let reset = io::ErrorKind::ConnectionReset;
        assert_eq!(cut(b"").connected().await.expect_err("the reset").kind(), reset);
        let mut client = cut(b"");
        let gone = std::future::poll_fn(|cx| client.poll_gone(cx)).await;
        assert_eq!(gone.kind(), reset);
    }
}
