//! One flow: a socket, and what became of each datagram that left through it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::super::{Tally, Window};
use crate::datagrams::{self, Batch, Wait};
use crate::pattern::{self, datagram};

/// Bytes of the smallest datagram, which is only a header.
pub(super) const SMALLEST: usize = datagram::HEADER;
/// How long the first datagram of a flow is waited for before another one leaves.
const RETRY: Duration = Duration::from_millis(50);

/// A client with a socket of its own.
#[derive(Debug)]
pub(super) struct Flow {
    socket: UdpSocket,
    number: u64,
    size: usize,
    sent: Sent,
}

impl Flow {
    /// A flow of datagrams of `size` bytes to `target`; nothing has been sent.
    pub(super) fn new(target: SocketAddr, number: u64, size: usize) -> io::Result<Self> {
        let socket = datagrams::socket()?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(RETRY))?;
        Ok(Self { socket, number, size, sent: Sent::default() })
    }

    /// Sends datagrams until one is back, for at most `patience`.
    pub(super) fn serve(&mut self, batch: &mut Batch, patience: Duration) -> io::Result<()> {
        let (window, mut tally) = (Window::default(), Tally::default());
        let started = Instant::now();
        let mut again = started;
        while started.elapsed() < patience {
            let now = Instant::now();
            if now >= again {
                self.send(batch, 1, now, &window, &mut tally)?;
                again = now + RETRY;
            }
            batch.take(&self.socket, Wait::First)?;
            if self.replies(batch, &window, &mut tally)? > 0 {
                // The others may still come.
                self.sent.lose(Instant::now());
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// How many datagrams are neither back nor lost.
    pub(super) fn under_way(&self) -> usize {
        self.sent.under_way
    }

    /// Sends `count` datagrams that were meant to leave at `intended`.
    pub(super) fn send(
        &mut self,
        batch: &mut Batch,
        count: usize,
        intended: Instant,
        window: &Window,
        tally: &mut Tally,
    ) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let departure = Departure { intended, left: Instant::now(), counts: window.counts() };
        batch.clear();
        for _ in 0..count {
            let sequence = self.sent.begin(departure);
            datagram::fill(batch.add(self.size), self.number, sequence);
        }
        tally.sent += if departure.counts { count as u64 } else { 0 };
        batch.send(&self.socket)
    }

    /// Takes and checks what has come back.
    pub(super) fn take(
        &mut self,
        batch: &mut Batch,
        window: &Window,
        tally: &mut Tally,
    ) -> io::Result<()> {
        batch.take(&self.socket, Wait::No)?;
        self.replies(batch, window, tally).map(drop)
    }

    /// Gives up what left before `before` and is not back, after another look at what is.
    pub(super) fn lose(
        &mut self,
        before: Instant,
        batch: &mut Batch,
        window: &Window,
        tally: &mut Tally,
    ) -> io::Result<()> {
        if self.sent.is_due(before) {
            self.take(batch, window, tally)?;
            tally.lost += self.sent.lose(before);
        }
        Ok(())
    }

    /// Checks every datagram of `batch`; returns how many of them were waited for.
    fn replies(&mut self, batch: &Batch, window: &Window, tally: &mut Tally) -> io::Result<usize> {
        let (now, counts) = (Instant::now(), window.counts());
        let mut expected = 0;
        for bytes in batch.datagrams() {
            if bytes.is_empty() {
                tally.fail(&io::Error::other("an empty datagram that nobody sent"));
                continue;
            }
            let sequence = datagram::sequence(bytes, self.number, self.size)?;
            let Some(departure) = self.sent.back(sequence)? else { continue };
            expected += 1;
            if counts {
                tally.record(now.saturating_duration_since(departure.intended));
            }
        }
        Ok(expected)
    }
}

/// How a datagram left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Departure {
    /// When it was meant to leave.
    intended: Instant,
    /// When it left.
    left: Instant,
    /// Whether that was in the window.
    counts: bool,
}

/// What became of the datagrams of a flow, by the number that each carries.
#[derive(Debug, Default)]
struct Sent {
    /// The number of the first one in `recent`; all before it are back or lost.
    first: u64,
    /// Those that are under way, and between them those that are not any more.
    recent: VecDeque<Option<Departure>>,
    /// How many of `recent` are under way.
    under_way: usize,
    /// Numbers of the lost ones, which may still come late.
    lost: HashSet<u64>,
}

impl Sent {
    /// The number for a datagram that leaves now.
    fn begin(&mut self, departure: Departure) -> u64 {
        self.recent.push_back(Some(departure));
        self.under_way += 1;
        self.first + self.recent.len() as u64 - 1
    }

    /// Number `sequence` has come back; how it left, unless it was given up as lost before.
    ///
    /// # Errors
    /// `InvalidData` when it never left or is back already.
    fn back(&mut self, sequence: u64) -> io::Result<Option<Departure>> {
        if self.lost.remove(&sequence) {
            return Ok(None);
        }
        let index = sequence.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let recent = index.and_then(|index| self.recent.get_mut(index));
        let Some(departure) = recent.and_then(Option::take) else {
            return Err(pattern::wrong(format!("datagram {sequence} is back without being away")));
        };
        self.under_way -= 1;
        self.forget();
        Ok(Some(departure))
    }

    /// Whether something that left before `before` is not back.
    fn is_due(&self, before: Instant) -> bool {
        self.recent.front().is_some_and(|one| one.is_none_or(|one| one.left < before))
    }

    /// Gives up what left before `before`; returns how many of those that were in the window.
    fn lose(&mut self, before: Instant) -> u64 {
        let mut counted = 0;
        self.forget();
        while let Some(Some(departure)) = self.recent.front()
            && departure.left < before
        {
            counted += u64::from(departure.counts);
            self.lost.insert(self.first);
            self.recent[0] = None;
            self.under_way -= 1;
            self.forget();
        }
        counted
    }

    /// Forgets those before the first one that is under way.
    fn forget(&mut self) {
        while let Some(None) = self.recent.front() {
            self.recent.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, milliseconds: u64, counts: bool) -> Departure {
        let left = start + Duration::from_millis(milliseconds);
        Departure { intended: start, left, counts }
    }

    #[test]
    fn datagrams_come_back_in_any_order_and_once() {
        let start = Instant::now();
        let mut sent = Sent::default();
        let numbers: Vec<u64> = (0..3).map(|time| sent.begin(at(start, time, true))).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(sent.back(1).unwrap(), Some(at(start, 1, true)));
        assert_eq!(sent.back(0).unwrap(), Some(at(start, 0, true)));
        assert_eq!(sent.under_way, 1);
        assert_eq!(sent.begin(at(start, 3, true)), 3);
        for wrong in [0, 1, 4, u64::MAX] {
            assert_eq!(sent.back(wrong).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn what_is_lost_counts_where_it_left_in_the_window_and_may_come_late_once() {
        let start = Instant::now();
        let mut sent = Sent::default();
        for (time, counts) in [(0, false), (1, true), (2, true), (3, true)] {
            sent.begin(at(start, time, counts));
        }
        sent.back(1).unwrap();
        assert_eq!(sent.lose(start + Duration::from_millis(3)), 1);
        assert_eq!(sent.under_way, 1);
        assert_eq!(sent.back(2).unwrap(), None);
        assert!(sent.back(2).is_err());
        assert_eq!(sent.back(3).unwrap(), Some(at(start, 3, true)));
        assert_eq!(sent.lose(start + Duration::from_secs(9)), 0);
    }
}
