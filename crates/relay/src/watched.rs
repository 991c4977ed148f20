//! A descriptor whose readiness somebody waits for: a listening socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A non-blocking descriptor that is registered with the runtime of this thread.
#[derive(Debug)]
pub struct Watched {
    registered: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Registers `descriptor`, which must be non-blocking.
    ///
    /// # Errors
    /// When the kernel has no room for one more registration.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let registered = sys::register(descriptor).map_err(|(_, error)| error)?;
        Ok(Self { registered })
    }

    /// The descriptor itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.registered.as_fd()
    }

    /// Waits until reading may succeed. It stays so until a read would block.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.registered.readable().await?.retain_ready();
        Ok(())
    }

    /// Reads, by whatever call; notes when it would block.
    ///
    /// # Errors
    /// Those of the call; `WouldBlock` also when there is known to be nothing to read.
    pub fn try_read<R>(&self, read: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        self.registered.try_io(Interest::READABLE, |descriptor| read(descriptor.as_fd()))
    }
}
