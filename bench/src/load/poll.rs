//! Waiting for many sockets at once (epoll(7)), and the loop that workers with many sockets share.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{LOOK, PATIENCE, Window};

/// Events taken at once.
const EVENTS: usize = 256;

/// Sockets that are waited for, each under a key.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    /// Waits for nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Waits for `socket` too, until it is closed.
    pub(super) fn add(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, EventData::new_u64(key), flags)?)
    }

    /// Waits for something else of `socket`.
    pub(super) fn modify(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.0, socket, EventData::new_u64(key), flags)?)
    }

    /// Takes what is ready, waiting at most for `limit`; `false` when that passed without anything.
    pub(super) fn wait(&self, ready: &mut Ready, limit: Duration) -> io::Result<bool> {
        ready.0.clear();
        match epoll::wait(&self.0, spare_capacity(&mut ready.0), Some(&timespec(limit))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!ready.0.is_empty()),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Self::wait`], but exact: `ppoll` has nanoseconds where `epoll_wait` has milliseconds.
    pub(super) fn sleep(&self, ready: &mut Ready, limit: Duration) -> io::Result<bool> {
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timespec(limit))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.wait(ready, Duration::ZERO),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the key of each ready socket to `serve` until the window ends.
    ///
    /// # Errors
    /// Those of `serve`, and `TimedOut` when nothing was ready for [`PATIENCE`].
    pub(super) fn serve(
        &self,
        window: &Window,
        mut serve: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut ready = Ready::default();
        let mut progress = Instant::now();
        while !window.ended() {
            if self.wait(&mut ready, LOOK)? {
                progress = Instant::now();
                ready.keys().try_for_each(&mut serve)?;
            } else if progress.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

/// What was ready last.
pub(super) struct Ready(Vec<Event>);

impl Default for Ready {
    fn default() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }
}

impl Ready {
    /// The keys of what was ready.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|event| event.data.u64())
    }
}

/// Has this thread sleep to the nanosecond; the kernel rounds up by 50 us otherwise.
pub(super) fn sleep_exactly() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?)
}

fn timespec(limit: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    }
}
