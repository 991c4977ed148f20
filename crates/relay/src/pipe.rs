//! Pipes for `splice(2)`, lent by the thread while they hold bytes.
//!
//! A direction takes a pipe when it is about to move bulk and gives it back as
//! soon as the pipe is empty, so that idle sessions hold none. A pipe that still
//! holds bytes when its session dies is closed, never lent again: the next
//! session would send somebody else's bytes.
//!
//! The kernel may grant less than is asked for: an unprivileged user has 64 MiB
//! of pipes in all (pipe(7), `pipe-user-pages-soft`), and beyond that gets pipes
//! of one or two pages. Such a pipe is slower than copying; then none is lent
//! for a while, and bulk is copied.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size};

use crate::clock::Tick;
use crate::turn::TURN_BYTES_ALONE;

/// Sizes to ask for, in bytes: that of the largest turn, then one of which an unprivileged
/// user's share holds twice as many.
const PIPE_BYTES_WANTED: [usize; 2] = [TURN_BYTES_ALONE, 256 * 1024];

/// The least grant that is worth using: the default size of a pipe.
const PIPE_BYTES_MIN: usize = 64 * 1024;

/// Pipes that a thread may have out and in stock together; each is two descriptors.
pub const PIPES_PER_THREAD_MAX: usize = 64;

/// How long a thread copies after the kernel refused a pipe, before it asks again.
const REST_AFTER_REFUSAL: Duration = Duration::from_secs(1);

thread_local! {
    static STOCK: RefCell<Stock> = RefCell::default();
}

/// The pipes of one thread.
#[derive(Default)]
struct Stock {
    empty: Vec<Ends>,
    lent: usize,
    rest_until: Tick,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe on loan, and how much it holds.
#[derive(Debug)]
pub struct Pipe {
    /// `None` only while it is being dropped.
    ends: Option<Ends>,
    bytes: usize,
}

impl Pipe {
    /// Takes an empty pipe from this thread's stock; `None` when there is none to be had.
    pub fn take() -> Option<Self> {
        STOCK.with_borrow_mut(|stock| {
            let ends = match stock.empty.pop() {
                Some(ends) => ends,
                None => stock.open()?,
            };
            stock.lent += 1;
            Some(Self { ends: Some(ends), bytes: 0 })
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Moves what `socket` has into this pipe, at most `limit` bytes; 0 is end of stream.
    ///
    /// Call it on an empty pipe only: then [`io::ErrorKind::WouldBlock`] can only mean that
    /// the socket has nothing.
    ///
    /// # Errors
    /// As `splice(2)`.
    pub fn fill(&mut self, socket: BorrowedFd<'_>, limit: usize) -> io::Result<usize> {
        debug_assert!(self.is_empty(), "a pipe that holds bytes is emptied before it is filled");
        let moved = retry(|| {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            rustix::pipe::splice(socket, None, self.ends().write.as_fd(), None, limit, flags)
        })?;
        self.bytes = moved;
        Ok(moved)
    }

    /// Moves what this pipe holds into `socket`, as much as it takes.
    ///
    /// # Errors
    /// As `splice(2)`; the pipe keeps what was not moved.
    pub fn empty_into(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let moved = retry(|| {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            rustix::pipe::splice(self.ends().read.as_fd(), None, socket, None, self.bytes, flags)
        })?;
        self.bytes -= moved.min(self.bytes);
        Ok(moved)
    }

    /// Reads everything out, for a socket that takes no splice.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn read_out(&mut self) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; self.bytes];
        let mut at = 0;
        while at < bytes.len() {
            at += match retry(|| rustix::io::read(&self.ends().read, &mut bytes[at..]))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => read,
            };
        }
        self.bytes = 0;
        Ok(bytes.into_boxed_slice())
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("a pipe has its ends until it is dropped")
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take().filter(|_| self.bytes == 0);
        // While a thread ends its stock may be gone already; then the pipe just closes.
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            stock.lent -= 1;
            stock.empty.extend(ends);
        });
    }
}

impl Stock {
    /// Opens one more pipe, within the bounds, unless the kernel refused one just now.
    fn open(&mut self) -> Option<Ends> {
        if self.lent >= PIPES_PER_THREAD_MAX {
            return None;
        }
        if self.rest_until > Tick::default() {
            if Tick::now() < self.rest_until {
                return None;
            }
            self.rest_until = Tick::default();
        }
        let ends = open_pipe();
        if ends.is_none() {
            self.rest_until = Tick::now().after(REST_AFTER_REFUSAL);
        }
        ends
    }
}

/// A non-blocking pipe of a useful size, or `None`.
fn open_pipe() -> Option<Ends> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
    // Refused with EPERM beyond the user's share; what counts is what the pipe has then.
    let resized = PIPE_BYTES_WANTED.iter().find_map(|size| fcntl_setpipe_size(&write, *size).ok());
    let granted = match resized {
        Some(size) => size,
        None => rustix::pipe::fcntl_getpipe_size(&write).ok()?,
    };
    (granted >= PIPE_BYTES_MIN).then_some(Ends { read, write })
}

fn retry<R>(mut call: impl FnMut() -> Result<R, Errno>) -> io::Result<R> {
    Ok(rustix::io::retry_on_intr(&mut call)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn stock() -> (usize, usize) {
        STOCK.with_borrow(|stock| (stock.empty.len(), stock.lent))
    }

    #[test]
    fn an_empty_pipe_is_lent_again_and_a_full_one_never() {
        let (mut near, far) = UnixStream::pair().expect("a socket pair");
        let mut pipe = Pipe::take().expect("a pipe");
        near.write_all(b"abc").expect("three bytes fit");
        assert_eq!(pipe.fill(far.as_fd(), 1024).expect("bytes are there"), 3);
        assert_eq!(stock(), (0, 1));
        drop(pipe);
        assert_eq!(stock(), (0, 0), "a pipe with bytes in it is closed");

        drop(Pipe::take());
        assert_eq!(stock(), (1, 0), "an empty pipe goes back into stock");
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (mut near, far) = UnixStream::pair().expect("a socket pair");
        let mut pipe = Pipe::take().expect("a pipe");
        near.write_all(b"through").expect("seven bytes fit");
        pipe.fill(far.as_fd(), 1024).expect("bytes are there");
        assert_eq!(pipe.empty_into(far.as_fd()).expect("the socket takes them"), 7);
        assert!(pipe.is_empty());
        let mut back = [0; 7];
        near.read_exact(&mut back).expect("they come back");
        assert_eq!(&back, b"through");

        near.write_all(b"read out").expect("eight bytes fit");
        pipe.fill(far.as_fd(), 1024).expect("bytes are there");
        assert_eq!(&*pipe.read_out().expect("a pipe reads"), b"read out");
        assert!(pipe.is_empty());
    }

    #[test]
    fn a_thread_lends_no_more_than_its_share() {
        let mut lent: Vec<_> = (0..PIPES_PER_THREAD_MAX).map_while(|_| Pipe::take()).collect();
        assert_eq!(lent.len(), PIPES_PER_THREAD_MAX);
        assert!(Pipe::take().is_none());
        lent.pop();
        assert!(Pipe::take().is_some());
    }
}
