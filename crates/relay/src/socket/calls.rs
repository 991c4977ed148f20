//! Single calls on a socket, none of which waits, and what they find.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

/// Receives into `buffer`. A read that leaves room in it has found all there is, unless it
/// is of a size that bulk has: then asking again usually finds more.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Found> {
    let (_, bytes) =
        rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT))?;
    Ok(Found::of(bytes, buffer.len()))
}

/// The same into a buffer that may be small: only room left over says that there was no more.
pub(super) fn receive_drained(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Found> {
    receive(socket, buffer).map(|found| match found.bytes() {
        bytes if bytes == 0 || bytes == buffer.len() => Found::More(bytes),
        bytes => Found::All(bytes),
    })
}

/// Sends `bytes`, or as many of them as the kernel takes.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::io::retry_on_intr(|| rustix::net::send(socket, bytes, flags))?)
}

pub(super) fn urgent(registered: &AsyncFd<OwnedFd>) -> bool {
    registered.try_io(Interest::PRIORITY, |_| Ok(())).is_ok()
}

pub(super) fn forget_urgent(registered: &AsyncFd<OwnedFd>) {
    // The runtime forgets a readiness when an operation that relied on it would block.
    let _ = registered
        .try_io(Interest::PRIORITY, |_| io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
}
