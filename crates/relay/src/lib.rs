//! Moves bytes between two sockets, and ends each direction as its sender ended it.
//!
//! Read in this order:
//!
//! - [`relay`](mod@relay): a session's two directions, and how they end together;
//! - [`direction`](mod@direction): one direction: receive, deliver, FIN;
//! - `pace`: whether its bytes are copied or spliced;
//! - [`socket`](mod@socket): a non-blocking socket that registers with the runtime
//!   when something first has to wait on it, and resets its peer unless it was
//!   closed in good order;
//! - `sealed` and [`cipher`](mod@cipher): one whose bytes are encrypted on the wire;
//! - [`pipe`](mod@pipe) and [`buffer`](mod@buffer): what a thread lends to the
//!   direction that is moving bytes right now;
//! - [`ring`](mod@ring): sessions whose bytes the kernel moves, many at a time;
//! - [`throttle`](mod@throttle): when it may move them, if that is limited;
//! - [`delay`](mod@delay): pauses before it does;
//! - [`rewrite`](mod@rewrite): what they are turned into, if they do not stay what they were;
//! - [`turn`](mod@turn): how much a direction moves before others get their turn;
//! - [`clock`](mod@clock): time in one word;
//! - [`watched`](mod@watched): the same for a listening socket;
//! - [`datagram`](mod@datagram): datagrams in batches, for flows;
//! - `sys`: the calls that need `unsafe`. It stands nowhere else.
//!
//! Absent on purpose: addresses, policies, timeouts, logs. Whoever owns a
//! [`Relay`] decides how long it may go on, by looking at its stamps.
//!
//! Rules that hold for every mechanism (copy, splice, ring), throttled, rewritten, encrypted or not:
//!
//! 1. Each direction ends on its own; the session ends when both have.
//! 2. A FIN is sent only for a FIN received. A reset is passed on as a reset,
//!    after everything that was received before it has been acknowledged.
//! 3. Nothing is read while the other side does not take. What is held per
//!    direction is at most one buffer or one pipe; in the ring, a few of its buffers.

pub mod buffer;
pub mod cipher;
pub mod clock;
pub mod datagram;
pub mod delay;
pub mod direction;
mod pace;
pub mod pipe;
pub mod relay;
pub mod rewrite;
pub mod ring;
mod sealed;
pub mod socket;
mod sys;
pub mod throttle;
pub mod turn;
pub mod watched;

pub use cipher::Cipher;
pub use clock::{Stamp, Tick};
pub use datagram::DatagramSocket;
pub use delay::Delay;
pub use direction::Direction;
pub use relay::{Carrier, End, Relay};
pub use rewrite::{Next, Rewrite};
pub use ring::Ring;
pub use socket::Socket;
pub use sys::{
    TcpFigures, bind_address_no_port, defer_accept, fast_open_queue, local_offset, take_inherited,
    tcp_figures,
};
pub use throttle::{Meter, Throttle};
pub use watched::Watched;

/// One of the two peers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer that connected to us.
    Client,
    /// The peer that we connected to.
    Backend,
}

impl Side {
    /// The other peer.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Backend,
            Self::Backend => Self::Client,
        }
    }
}
