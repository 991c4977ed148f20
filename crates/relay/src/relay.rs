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
//! the other direction had ended before, such a session has ended well. It may also end without
//! that, by a mere FIN ([`End::Left`]): towards the other side that is a reset.
//!
//! The wait for the acknowledgement matters: resetting a socket throws away
//! what it has not sent yet, and a slow reader would lose bytes that its peer
//! had sent in good order before the connection broke.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::Side;
use crate::clock::{Stamp, Tick};
use crate::direction::{Broken, Direction, Fault, Socketward};
use crate::ring::{self, Landed, Ride, Why};
use crate::sealed::Left;
use crate::socket::Socket;
use crate::sys::{self, TcpFigures};

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
    means: Means,
    /// On its own on the heap, where it fills a gap that the allocator leaves between the
    /// runtime's words of two sockets: as part of a task it would cost its size.
    state: Box<State>,
}

/// By what the bytes move.
#[derive(Debug)]
enum Means {
    /// By calls of its own, when the runtime says that there is something.
    Sockets { client: Socket, backend: Socket },
    /// By the ring of the thread, which has the sockets.
    Ring(Ride),
    /// Only while it changes from one to the other.
    Changing,
}

/// Which relay has carried a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The ring of its thread, to its end. What was received before it boarded, and what was left
    /// when a side broke, may have gone by epoll.
    Ring,
    /// The one over epoll.
    Epoll,
    /// It has changed over from the ring, maybe more than once.
    Both,
}

/// Whether a session may use the ring of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rides {
    Never,
    /// After so many deliveries that were small, with nothing else between.
    After(u8),
}

/// Small deliveries that bring a session back to the ring that has left it.
const SMALL_RUN: u8 = 64;

/// A delivery below this many bytes is small.
const SMALL_BYTES: u64 = 8 * 1024;

/// How far a session has come.
#[derive(Debug)]
struct State {
    rides: Rides,
    carrier: Carrier,
    to_backend: Direction,
    to_client: Direction,
    breaking: Option<Box<Breaking>>,
    last_activity: Tick,
    /// The default until there was one.
    first_byte: Stamp,
    first_fin: Option<Side>,
    /// Whether anything has come from the other side since.
    was_answered: bool,
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
    /// The connection of one side, which is encrypted, has ended and its stream has not: the other
    /// peer has been, or is about to be, reset.
    Left {
        /// The side that left.
        by: Side,
        /// Whether nothing is missing, as far as that can be known: the other side had ended its
        /// stream, this one was sent all of it, and has said nothing since; and if it is the backend,
        /// something before.
        was_over: bool,
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
            rides: Rides::Never,
            carrier: Carrier::Epoll,
            to_backend,
            to_client,
            breaking: None,
            last_activity: Tick::now(),
            first_byte: Stamp::default(),
            first_fin: None,
            was_answered: false,
        };
        Self { means: Means::Sockets { client, backend }, state: state.into() }
    }

    /// The same, using the ring of this thread where there is one and it does better.
    #[must_use]
    pub fn riding(mut self) -> Self {
        let is_plain = match &self.means {
            Means::Sockets { client, backend } => client.is_plain() && backend.is_plain(),
            _ => false,
        };
        let State { to_backend, to_client, .. } = &*self.state;
        if is_plain && to_backend.is_untreated() && to_client.is_untreated() {
            self.state.rides = Rides::After(0);
        }
        self
    }

    /// Moves what can be moved. Ready once, when the session has ended; drop the relay then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Means::Ring(ride) = &mut self.means {
                let landed = ready!(ride.poll(cx));
                if let Some(end) = self.land(landed) {
                    return Poll::Ready(end);
                }
            }
            if self.board() {
                continue;
            }
            let (before, first_fin) = (self.delivered(), self.state.first_fin);
            let polled = self.poll_directions(cx);
            self.stamp(before, first_fin);
            self.note(before);
            if polled.is_ready() || !self.may_board() {
                return polled.map(|end| self.judge(end));
            }
        }
    }

    /// Takes the sockets out again. What is on its way between them is lost.
    ///
    /// # Panics
    /// When the ring has them: see [`Relay::riding`].
    pub fn part(self) -> (Socket, Socket) {
        match self.means {
            Means::Sockets { client, backend } => (client, backend),
            _ => panic!("a relay that rides is not parted"),
        }
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
        match &self.means {
            Means::Ring(ride) => ride.delivered(),
            _ => (self.state.to_backend.delivered(), self.state.to_client.delivered()),
        }
    }

    /// When a byte was last delivered, a FIN received, or found to wait for nothing but bandwidth or a pause;
    /// at first, when the relay began.
    pub fn last_activity(&self) -> Tick {
        match &self.means {
            Means::Ring(ride) => ride.last_activity(),
            _ => self.state.last_activity,
        }
    }

    /// When the client got the first byte of the backend.
    pub fn first_byte(&self) -> Option<Stamp> {
        let first_byte = match &self.means {
            Means::Ring(ride) if self.state.first_byte == Stamp::default() => ride.first_byte(),
            _ => self.state.first_byte,
        };
        (first_byte > Stamp::default()).then_some(first_byte)
    }

    /// The side whose FIN came first, if one came.
    pub fn half_closed(&self) -> Option<Side> {
        match &self.means {
            Means::Ring(ride) => ride.first_fin(),
            _ => self.state.first_fin,
        }
    }

    /// Whether one side is gone and the other still gets what came from it. The relay then ends
    /// by itself, after [`FLUSH_PATIENCE`] without progress at the latest.
    pub fn is_breaking(&self) -> bool {
        self.state.breaking.is_some()
    }

    /// What the kernel has to say about the connection of one side (tcp(7)).
    pub fn tcp_figures(&self, side: Side) -> Option<TcpFigures> {
        let figures = match (&self.means, side) {
            (Means::Sockets { client, .. }, Side::Client) => sys::tcp_figures(client.descriptor()),
            (Means::Sockets { backend, .. }, Side::Backend) => {
                sys::tcp_figures(backend.descriptor())
            }
            (Means::Ring(ride), side) => ride.with_socket(side, |socket| sys::tcp_figures(socket)),
            (Means::Changing, _) => return None,
        };
        figures.ok()
    }

    /// Whether the ring of the thread moves its bytes.
    pub fn rides(&self) -> bool {
        matches!(self.means, Means::Ring(_))
    }

    /// Which relay has carried it by now.
    pub fn carrier(&self) -> Carrier {
        self.state.carrier
    }

    /// Lets what was delivered since `before` speak for or against the ring.
    fn note(&mut self, before: (u64, u64)) {
        let after = self.delivered();
        let Rides::After(left) = &mut self.state.rides else { return };
        *left = match after.0 - before.0 + after.1 - before.1 {
            0 => *left,
            1..SMALL_BYTES => left.saturating_sub(1),
            _ => SMALL_RUN,
        };
    }

    /// Whether the ring does better from here on, if there is one.
    fn may_board(&self) -> bool {
        let State { rides, to_backend, to_client, breaking, first_fin, .. } = &*self.state;
        *rides == Rides::After(0)
            && breaking.is_none()
            && first_fin.is_none()
            && to_backend.may_ride()
            && to_client.may_ride()
    }

    /// Goes over to the ring, if that does better from here on.
    fn board(&mut self) -> bool {
        if self.state.rides != Rides::After(0) {
            return false;
        }
        if let Means::Sockets { client, backend } = &mut self.means {
            self.state.to_backend.begin(backend);
            self.state.to_client.begin(client);
        }
        if !self.may_board() {
            return false;
        }
        let after = self.delivered();
        let Some(ring) = ring::current() else {
            self.state.rides = Rides::Never;
            return false;
        };
        let Means::Sockets { client, backend } =
            std::mem::replace(&mut self.means, Means::Changing)
        else {
            return false;
        };
        match (client.take_out(), backend.take_out()) {
            (Ok(client), Ok(backend)) => {
                self.means = Means::Ring(ring.board(client, backend, after));
                if self.state.carrier == Carrier::Epoll {
                    self.state.carrier = Carrier::Ring;
                }
                true
            }
            (client, backend) => {
                self.state.rides = Rides::Never;
                let back = |taken: Result<OwnedFd, Socket>| match taken {
                    Ok(socket) => Socket::new(socket),
                    Err(socket) => socket,
                };
                let (client, backend) = (back(client), back(backend));
                self.means = Means::Sockets { client, backend };
                false
            }
        }
    }

    /// Goes on from where the ring has left it; the end, if that was it.
    fn land(&mut self, landed: Landed) -> Option<End> {
        let Landed { client, backend, why, to_backend, to_client, .. } = landed;
        let (mut client, mut backend) = (Socket::blocking(client), Socket::blocking(backend));
        let state = &mut *self.state;
        state.last_activity = landed.last_activity;
        state.first_fin = landed.first_fin;
        if state.first_byte == Stamp::default() {
            state.first_byte = landed.first_byte;
        }
        let doubts = [
            (&backend, Side::Backend, to_backend.left.was_cut_short),
            (&client, Side::Client, to_client.left.was_cut_short),
        ]
        .map(|(socket, side, was_cut_short)| (side, was_cut_short && socket.is_closed()));
        state.to_backend.go_on(to_backend);
        state.to_client.go_on(to_client);
        state.rides = Rides::After(SMALL_RUN);
        let end = match why {
            None => {
                client.close_in_order();
                backend.close_in_order();
                Some(End::Done { first: landed.first_fin.unwrap_or(Side::Client) })
            }
            Some(Why::Broken(side, errno)) => {
                self.start_breaking(side, Fault::Socket(errno.into()));
                None
            }
            Some(Why::Bulk | Why::Blocked | Why::Starved | Why::HalfClosed | Why::CutShort) => {
                // The kernel tells once that a connection is broken; a send may have been told, and
                // has not passed it on.
                if let Some((side, _)) = doubts.into_iter().find(|(_, is_closed)| *is_closed) {
                    let error = io::ErrorKind::ConnectionReset.into();
                    self.start_breaking(side, Fault::Socket(error));
                } else {
                    self.state.carrier = Carrier::Both;
                }
                None
            }
        };
        self.means = Means::Sockets { client, backend };
        end
    }

    fn poll_directions(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.state.breaking.is_none() {
            match self.poll_open(cx) {
                Ok(true) => {
                    if let Means::Sockets { client, backend } = &mut self.means {
                        client.close_in_order();
                        backend.close_in_order();
                    }
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
        let Self { means: Means::Sockets { client, backend }, state } = self else {
            unreachable!("what rides is not polled here");
        };
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
        let Self { means: Means::Sockets { client, backend }, state } = self else {
            unreachable!("what rides is not polled here");
        };
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
                // It may have ended its own direction only, and be reading still.
                if breaking.had_all && breaking.has_left() {
                    from.close_in_order();
                }
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

    /// What is known of the end of one that has left.
    fn judge(&self, end: End) -> End {
        let has_spoken = |side| side == Side::Client || self.state.to_client.delivered() > 0;
        match end {
            End::Left { by, was_over } => {
                let was_over = was_over && !self.state.was_answered && has_spoken(by);
                End::Left { by, was_over }
            }
            End::Done { .. } | End::Reset { .. } | End::Refused { .. } => end,
        }
    }

    fn stamp(&mut self, before: (u64, u64), first_fin: Option<Side>) {
        // Whose turn has not come yet is not idle.
        if self.state.to_backend.is_held_back() || self.state.to_client.is_held_back() {
            self.state.last_activity = Tick::now();
        }
        let after = self.delivered();
        self.state.was_answered |= match first_fin {
            Some(Side::Client) => after.1 != before.1,
            Some(Side::Backend) => after.0 != before.0,
            None => false,
        };
        if after != before {
            self.state.last_activity = Tick::now();
            if before.1 == 0 && after.1 > 0 {
                self.state.first_byte = Stamp::now();
            }
        }
    }
}

impl Carrier {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Epoll => "epoll",
            Self::Both => "both",
        }
    }
}

impl Breaking {
    /// Whether its side has ended its connection without a word.
    fn has_left(&self) -> bool {
        match &self.fault {
            Some(Fault::Socket(error)) => error.get_ref().is_some_and(|error| error.is::<Left>()),
            Some(Fault::Refused) | None => false,
        }
    }

    fn end(&mut self) -> End {
        let by = self.side;
        if self.has_left() {
            return End::Left { by, was_over: self.had_all };
        }
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
