//! The phases of a session, in the order in which they come.
//!
//! | phase | what it decides |
//! |---|---|
//! | `accept` | who comes in, and which shard serves it |
//! | `proxy_header` | whose connection it is, where a proxy tells that; and telling it to backends |
//! | [`admit`] | whether the client may come |
//! | `tls`, `starttls` | what both sides agree on, where the listener speaks TLS, and what is said before |
//! | `sniff`, `hearing` | what the client says first, where a route depends on it |
//! | `asked` | where the client of a proxy wants to go, and what it is answered |
//! | `route` | which pool |
//! | `connect`, `via`, `originate` | which backend, and what to do when it does not answer; through a proxy and in TLS, if the pool has that |
//! | `carry`, the phase *relay* | how the session ends, while the crate `relay` moves its bytes |
//! | [`account`] | what is written down |
//!
//! `session` walks through them; nothing else calls one phase from another.

pub(crate) mod accept;
pub mod account;
pub mod admit;
pub(crate) mod asked;
pub(crate) mod carry;
pub(crate) mod connect;
pub(crate) mod hearing;
pub(crate) mod originate;
pub(crate) mod proxy_header;
pub(crate) mod route;
pub(crate) mod sniff;
pub(crate) mod starttls;
pub(crate) mod tls;
pub(crate) mod via;
