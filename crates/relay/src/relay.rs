//! A session's two directions, and how they end together.
//!
//! ```text
//!             both directions have ended
//!   Open ───────────────────────────────────────────────▶ End::Done
//!     │
//!     │ one socket broke (reset, timed out, unreachable), or its bytes are refused
//!     ▼
//!   Breaking ───────────────────────────────▶ End::Reset, End::Refused
//!             what had come from it is delivered and
//!             acknowledged; then the other peer is reset
//! ```
//!
//! One that is encrypted may break behind the end of its stream, which its cipher has told. If
//! the other direction had ended before, such a session has ended well.
//!
//! The wait for the acknowledgement matters: resetting a socket throws away
//! what it has not sent yet, and a slow reader would lose bytes that its peer
//! had sent in good order before the connection broke.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::Side;
use crate::clock::{Stamp, Tick};
use crate::direction::{Broken, Direction, Fault, Socketward};
use crate::socket::Socket;

/// How long a peer may take without acknowledging a single byte of what is left for it, once
/// the other peer is gone.
pub const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

/// First and longest pause between two looks at what a peer has acknowledged: there is no
/// event for it.
const FLUSH_LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Two connected sockets and the bytes on their way between them.
///
/// Drop it at any time: peers whose session has not ended in good order are reset.
#[derive(Debug)]
pub struct Relay {
    client: Socket,
    backend: Socket,
    /// On its own on the heap, where it fills a gap that the allocator leaves between the
    /// runtime's words of two sockets: as part of a task it would cost its size.
    state: Box<State>,
}

/// How far a session has come.
#[derive(Debug)]
struct State {
    to_backend: Direction,
    to_client: Direction,
    breaking: Option<Box<Breaking>>,
    last_activity: Tick,
    /// The default until there was one.
    first_byte: Stamp,
    first_fin: Option<Side>,
}

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// Both directions ended with a FIN.
    Done {
        /// The side whose FIN came first.
        first: Side,
    },
    /// A connection broke, and the other peer has been, or is about to be, reset.
    Reset {
        /// The side that broke.
        by: Side,
        /// What its socket said.
        error: io::Error,
    },
    /// A rewriter refuses what one side has sent; both peers have been, or are about to be, reset.
    Refused {
        /// The side that sent it.
        by: Side,
    },
}

/// One side is gone; the other still has to get what came from it.
#[derive(Debug)]
struct Breaking {
    side: Side,
    /// Whether everything it was to get had been sent before.
    had_all: bool,
    fault: Option<Fault>,
    look: Pin<Box<Sleep>>,
    pause: Duration,
    unacknowledged: usize,
    patience_ends: Tick,
}

impl Relay {
    /// Joins two sockets; bytes move when it is polled.
    pub fn new(
        client: Socket,
        backend: Socket,
        to_backend: Direction,
        to_client: Direction,
    ) -> Self {
        let state = State {
            to_backend,
            to_client,
            breaking: None,
            last_activity: Tick::now(),
            first_byte: Stamp::default(),
            first_fin: None,
        };
        Self { client, backend, state: state.into() }
    }

    /// Moves what can be moved. Ready once, when the session has ended; drop the relay then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let before = self.delivered();
        let polled = self.poll_directions(cx);
        self.stamp(before);
        polled
    }

    /// Takes the sockets out again. What is on its way between them is lost.
    pub fn part(self) -> (Socket, Socket) {
        (self.client, self.backend)
    }

    /// What a rewriter has kept of the backend's bytes.
    pub fn kept(&self) -> Option<&[u8]> {
        self.state.to_client.kept()
    }

    /// Delivers `bytes` to the client in the place of those. Poll it again then.
    pub fn release(&mut self, bytes: Box<[u8]>) {
        self.state.to_client.release(bytes);
    }

    /// Whether anything has come from the backend, delivered or not.
    pub fn has_answer(&self) -> bool {
        let to_client = &self.state.to_client;
        to_client.delivered() > 0 || to_client.holds()
    }

    /// Whether anything has come from the client beyond a prefix of `length` bytes that its
    /// direction began with.
    pub fn has_more_than(&self, length: usize) -> bool {
        let (to_backend, length) = (&self.state.to_backend, length as u64);
        to_backend.delivered() > length || to_backend.delivered() == length && to_backend.holds()
    }

    /// Bytes that the backend and the client have taken.
    pub fn delivered(&self) -> (u64, u64) {
        (self.state.to_backend.delivered(), self.state.to_client.delivered())
    }

    /// When a byte was last delivered, a FIN received, or found to wait for nothing but bandwidth or a pause;
    /// at first, when the relay began.
    pub fn last_activity(&self) -> Tick {
        self.state.last_activity
    }

    /// When the client got the first byte of the backend.
    pub fn first_byte(&self) -> Option<Stamp> {
        (self.state.first_byte > Stamp::default()).then_some(self.state.first_byte)
    }

    /// The side whose FIN came first, if one came.
    pub fn half_closed(&self) -> Option<Side> {
        self.state.first_fin
    }

    /// Whether one side is gone and the other still gets what came from it. The relay then ends
    /// by itself, after [`FLUSH_PATIENCE`] without progress at the latest.
    pub fn is_breaking(&self) -> bool {
        self.state.breaking.is_some()
    }

    /// The socket of one side, to ask the kernel about it.
    pub fn socket(&self, side: Side) -> &Socket {
        match side {
            Side::Client => &self.client,
            Side::Backend => &self.backend,
        }
    }

    fn poll_directions(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.state.breaking.is_none() {
            match self.poll_open(cx) {
                Ok(true) => {
                    self.client.close_in_order();
                    self.backend.close_in_order();
                    return Poll::Ready(End::Done {
                        first: self.state.first_fin.unwrap_or(Side::Client),
                    });
                }
                Ok(false) => return Poll::Pending,
                Err((side, fault)) => self.start_breaking(side, fault),
            }
        }
        self.poll_breaking(cx)
    }

    /// Both sides alive: whether both directions have ended, or which side broke.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Result<bool, (Side, Fault)> {
        let Self { client, backend, state } = self;
        let State { to_backend, to_client, first_fin, last_activity, .. } = &mut **state;
        if !to_backend.has_ended() {
            let by_close = to_client.has_ended();
            if let Poll::Ready(Err(broken)) = to_backend.poll(cx, client, backend, by_close) {
                return Err(broken.on(Side::Client));
            }
        }
        if !to_client.has_ended() {
            let by_close = to_backend.has_ended();
            if let Poll::Ready(Err(broken)) = to_client.poll(cx, backend, client, by_close) {
                return Err(broken.on(Side::Backend));
            }
        }
        if first_fin.is_none() {
            *first_fin = match (to_backend.has_fin(), to_client.has_fin()) {
                (true, _) => Some(Side::Client),
                (false, true) => Some(Side::Backend),
                (false, false) => return Ok(false),
            };
            *last_activity = Tick::now();
        }
        // A side from which nothing more is read would break unnoticed.
        if to_backend.has_fin()
            && !to_client.has_ended()
            && !to_client.holds()
            && let Poll::Ready(error) = client.poll_broken(cx)
        {
            return Err((Side::Client, Fault::Socket(error)));
        }
        if to_client.has_fin()
            && !to_backend.has_ended()
            && !to_backend.holds()
            && let Poll::Ready(error) = backend.poll_broken(cx)
        {
            return Err((Side::Backend, Fault::Socket(error)));
        }
        Ok(to_backend.has_ended() && to_client.has_ended())
    }

    fn start_breaking(&mut self, side: Side, fault: Fault) {
        let (from_it, to_it) = match side {
            Side::Client => (&mut self.state.to_backend, &mut self.state.to_client),
            Side::Backend => (&mut self.state.to_client, &mut self.state.to_backend),
        };
        from_it.cut();
        let had_all = to_it.has_ended();
        to_it.abandon();
        self.state.breaking = Some(Box::new(Breaking {
            side,
            had_all,
            fault: Some(fault),
            look: Box::pin(sleep(FLUSH_LOOKS.0)),
            pause: FLUSH_LOOKS.0,
            unacknowledged: usize::MAX,
            patience_ends: Tick::now().after(FLUSH_PATIENCE),
        }));
    }

    fn poll_breaking(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Self { client, backend, state } = self;
        let State { to_backend, to_client, breaking, last_activity, first_fin, .. } = &mut **state;
        let Some(breaking) = breaking else {
            return Poll::Pending;
        };
        let (direction, from, to) = match breaking.side {
            Side::Client => (to_backend, client, backend),
            Side::Backend => (to_client, backend, client),
        };
        if !direction.has_ended() {
            match direction.poll(cx, from, to, true) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                // The survivor is gone as well: nobody is left to deliver to.
                Poll::Ready(Err(_)) => return Poll::Ready(breaking.end()),
            }
        }
        // It has ended its stream, got the other, and then left without taking the end of that.
        if breaking.had_all && direction.has_fin() {
            from.close_in_order();
            to.close_in_order();
            return Poll::Ready(End::Done { first: first_fin.unwrap_or(breaking.side) });
        }
        loop {
            let unacknowledged = to.unacknowledged();
            if unacknowledged == 0 || to.take_error().is_some() {
                return Poll::Ready(breaking.end());
            }
            let now = Tick::now();
            if unacknowledged < breaking.unacknowledged {
                breaking.unacknowledged = unacknowledged;
                breaking.patience_ends = now.after(FLUSH_PATIENCE);
                *last_activity = now;
            } else if now >= breaking.patience_ends {
                return Poll::Ready(breaking.end());
            }
            match breaking.look.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    breaking.look.set(sleep(breaking.pause));
                    breaking.pause = (breaking.pause * 2).min(FLUSH_LOOKS.1);
                }
            }
        }
    }

    fn stamp(&mut self, before: (u64, u64)) {
        // Whose turn has not come yet is not idle.
        if self.state.to_backend.is_held_back() || self.state.to_client.is_held_back() {
            self.state.last_activity = Tick::now();
        }
        let after = self.delivered();
        if after != before {
            self.state.last_activity = Tick::now();
            if before.1 == 0 && after.1 > 0 {
                self.state.first_byte = Stamp::now();
            }
        }
    }
}

impl Breaking {
    fn end(&mut self) -> End {
        let by = self.side;
        match self.fault.take() {
            Some(Fault::Refused) => End::Refused { by },
            Some(Fault::Socket(error)) => End::Reset { by, error },
            None => End::Reset { by, error: io::ErrorKind::ConnectionReset.into() },
        }
    }
}

impl Broken {
    /// Which side broke, for a direction that receives from `from`.
    fn on(self, from: Side) -> (Side, Fault) {
        let side = match self.end {
            Socketward::From => from,
            Socketward::To => from.other(),
        };
        (side, self.fault)
    }
}

#[cfg(test)]
mod tests;
