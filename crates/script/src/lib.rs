//! Scripts that decide where sessions go.
//!
//! What a script is asked and may decide is the engine's ([`engine::script`]); here is what runs
//! it. Read in this order:
//!
//! - [`pending`]: how a script waits for others while its shard goes on;
//! - [`library`]: what a script is given beside its language.

pub mod library;
pub mod pending;
