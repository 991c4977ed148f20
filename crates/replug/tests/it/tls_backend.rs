//! Backends that are spoken to in TLS, `tls = { ... }` of a pool.
//!
//! * [`certificates`]: authorities, and who they know; [`servers`] that show them.
//! * [`trust`]: who is believed, and what becomes of a session whose backend is not.
//! * [`streams`]: what a stream promises, within TLS as without.
//! * [`between`]: clients that speak TLS too.
//! * [`openings`]: what is said in the clear before.
//! * [`programs`] that people use.

mod between;
pub(crate) mod certificates;
mod openings;
mod programs;
pub(crate) mod servers;
mod streams;
mod trust;
