//! Scripted peers on real sockets, for tests of anything that forwards.
//!
//! A test plays both sides in one thread: it starts a [`Forwarder`] in front of a [`Backend`],
//! connects a [`Peer`] as the client, accepts the other [`Peer`] from the backend, and then says
//! what each of them does. In the order one meets them:
//!
//! * [`wait`]: every wait has a deadline, and failing it says what was awaited.
//! * [`address`]: where a socket is, TCP, UDP or unix.
//! * [`payload`]: bytes that can be checked one by one without being kept.
//! * [`peer`]: a connected socket and its verbs: send, expect, half-close, reset ...
//! * [`backend`]: a socket that accepts peers; closed and opened again on the same port.
//! * [`datagram`]: the same for UDP.
//! * [`black_hole`]: an address that never answers.
//! * [`namespace`]: a network with its own interfaces and ports.
//! * [`road`]: three of them in a row.
//! * [`program`]: a real program with its output; killed when it is dropped.
//! * [`forwarder`]: the program under test, or nothing at all (`direct`) as the oracle.
//! * [`record`]: a session record as the program wrote it.
//! * [`figures`]: CPU time, memory and descriptors of a process.
//! * [`dev_log`]: a syslog daemon that only the program under test sees.
//! * [`scratch`]: a directory that goes away.
//!
//! A verb that cannot do what it says panics at the line of the test that called it: this crate is
//! for tests, where that is the answer wanted. Threads block; there is no runtime to be confused
//! with the one under test.

pub mod address;
pub mod backend;
pub mod black_hole;
pub mod datagram;
pub mod dev_log;
pub mod figures;
pub mod forwarder;
pub mod namespace;
pub mod payload;
pub mod peer;
pub mod program;
pub mod record;
pub mod road;
pub mod scratch;
pub mod wait;

pub use address::Address;
pub use backend::{Backend, Closed, Serving};
pub use black_hole::BlackHole;
pub use datagram::{UdpBackend, UdpClosed, UdpPeer};
pub use dev_log::DevLog;
pub use forwarder::Forwarder;
pub use namespace::Namespace;
pub use payload::Payload;
pub use peer::{End, Peer};
pub use program::Program;
pub use record::Record;
pub use road::Road;
pub use scratch::Scratch;
pub use wait::PATIENCE;
