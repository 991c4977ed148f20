//! What is heard of a client before it is known where it goes: whatever step of the opening it is
//! for, its bytes, its time and its place are bounded here, and an order to end is obeyed.
//!
//! Bytes are taken from the client's socket as they come, however they trickle in, until the time for
//! all of the step is over. A step uses those that are its own and hands the others on: they are
//! what the next one begins with, and at last what the backend gets first.
//!
//! How many clients may be here at a time is bounded for each shard, and so is what they may hold,
//! which is nothing for those that are silent.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use relay::{End, Side, Socket, Tick};

use crate::journal::Notice;
use crate::phase::account::{By, Reason};
use crate::phase::carry::Outcome;
use crate::plan::Listener;
use crate::seats::{Order, Seat};
use crate::seldom::Seldom;
use crate::shard::Shard;

/// Clients of one shard that may be undecided at a time.
pub(crate) const UNDECIDED_MAX: usize = 8_192;

/// Bytes that they may have said together.
pub(crate) const UNDECIDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where a session is that has no backend yet.
#[derive(Clone, Copy)]
pub(crate) struct Hall<'a> {
    pub(crate) listener: &'a Listener,
    pub(crate) shard: &'a Shard,
    pub(crate) seat: &'a Seat,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// More bytes are there.
    More,
    /// The client has sent its FIN.
    End,
    /// The time is over.
    Late,
}

impl<'a> Hall<'a> {
    /// Begins to listen for `time`, to a client of which `bytes` were heard already.
    ///
    /// # Errors
    /// [`Reason::Limited`]: too many are listened to.
    pub(crate) fn hear(self, time: Duration, bytes: usize) -> Result<Hearing<'a>, Outcome> {
        let place = self.shard.undecided.enter().ok_or_else(|| self.limited())?;
        let due = Tick::now().after(time);
        let mut hearing = Hearing { hall: self, place, due };
        hearing.hold(bytes)?;
        Ok(hearing)
    }

    fn limited(self) -> Outcome {
        if let Some(times) = self.shard.undecided.full.happened(Tick::now()) {
            let listener = self.listener.name.clone();
            self.shard.journal.notice(Notice::TooManyUndecided { listener, times });
        }
        Outcome { reason: Reason::Limited, by: By::Replug }
    }
}

/// A client that is listened to. Its place is free again when this is dropped.
pub(crate) struct Hearing<'a> {
    hall: Hall<'a>,
    place: Place<'a>,
    due: Tick,
}

impl Hearing<'_> {
    /// Waits for more to come to `bytes`, which are never more than `most` then, for the end of the
    /// time, or for an order to end.
    ///
    /// # Errors
    /// How the session ends: the client is gone, an order has come, or there is no room for what
    /// it says.
    pub(crate) async fn more(
        &mut self,
        client: &mut Socket,
        bytes: &mut Vec<u8>,
        most: usize,
    ) -> Result<Heard, Outcome> {
        let room = most.saturating_sub(bytes.len());
        let received = self.until(|cx| client.poll_append(cx, bytes, room)).await?;
        self.hold(bytes.len())?;
        match received {
            None => Ok(Heard::Late),
            Some(Ok(0)) => Ok(Heard::End),
            Some(Ok(_)) => Ok(Heard::More),
            Some(Err(error)) => Err(reset(error)),
        }
    }

    /// Does `work` until it is ready. `None`: the time was over before.
    ///
    /// # Errors
    /// An order to end has come.
    pub(crate) async fn until<T>(
        &self,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<Option<T>, Outcome> {
        let Hall { shard, seat, .. } = self.hall;
        poll_fn(|cx| {
            // Told to report, it has nothing to say yet.
            if let Some(Order::End(reason)) = shard.seats.order(seat) {
                return Poll::Ready(Err(Outcome { reason, by: By::Replug }));
            }
            // Before what there may be to read: whoever sends without a pause is late as well.
            if Tick::now() >= self.due {
                return Poll::Ready(Ok(None));
            }
            shard.seats.wait(seat, cx, self.due);
            work(cx).map(|done| Ok(Some(done)))
        })
        .await
    }

    /// Counts `bytes` that the client has said in all.
    fn hold(&mut self, bytes: usize) -> Result<(), Outcome> {
        if self.place.holds(bytes) { Ok(()) } else { Err(self.hall.limited()) }
    }
}

/// The end of a session whose client's connection has broken.
pub(crate) fn reset(error: std::io::Error) -> Outcome {
    Outcome::of(&End::Reset { by: Side::Client, error })
}

/// The clients of a shard that are undecided.
#[derive(Debug, Default)]
pub(crate) struct Undecided {
    clients: Cell<usize>,
    bytes: Cell<usize>,
    full: Seldom,
}

impl Undecided {
    /// A place for one more, if there is one.
    fn enter(&self) -> Option<Place<'_>> {
        let clients = self.clients.get();
        if clients == UNDECIDED_MAX {
            return None;
        }
        self.clients.set(clients + 1);
        Some(Place { undecided: self, bytes: 0 })
    }
}

/// The place of one client, given back when it is dropped.
struct Place<'a> {
    undecided: &'a Undecided,
    bytes: usize,
}

impl Place<'_> {
    /// Counts `bytes` that the client has said in all; whether there is room for them.
    fn holds(&mut self, bytes: usize) -> bool {
        let others = self.undecided.bytes.get() - self.bytes;
        let has_room = others + bytes <= UNDECIDED_BYTES_MAX;
        if has_room {
            self.undecided.bytes.set(others + bytes);
            self.bytes = bytes;
        }
        has_room
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.undecided.clients.set(self.undecided.clients.get() - 1);
        self.undecided.bytes.set(self.undecided.bytes.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_bytes_are_given_back() {
        let undecided = Undecided::default();
        let mut all: Vec<_> = (0..UNDECIDED_MAX).filter_map(|_| undecided.enter()).collect();
        assert_eq!(all.len(), UNDECIDED_MAX);
        assert!(undecided.enter().is_none());
        assert!(all[0].holds(UNDECIDED_BYTES_MAX - 1));
        assert!(all[1].holds(1));
        assert!(!all[1].holds(2), "there is no room for one more");
        assert!(all[0].holds(UNDECIDED_BYTES_MAX - 2) && all[1].holds(2));
        all.clear();
        assert_eq!((undecided.clients.get(), undecided.bytes.get()), (0, 0));
    }
}
