//! Scripts that decide where sessions go.
//!
//! What a script is asked and may decide is the engine's ([`engine::script`]); here is what runs
//! it. Read in this order:
//!
//! - [`load`](mod@load): files that are read, tried, and kept for the shards;
//! - [`lua`]: Luau, in one VM per shard; `machine` is that VM with what it may take, `talk` a
//!   session's questions, `decision` what its answers mean;
//! - [`pending`]: how a script waits for others while its shard goes on;
//! - [`library`]: what a script is given beside its language;
//! - [`ruby`]: Ruby files, which run in processes of their own;
//! - [`trial`]: a decision without a session.
//!
//! A script may do what it likes within its VM and nothing without. Whatever it does, it ends with
//! a decision or a failure of one session.

pub mod library;
pub mod load;
pub mod lua;
pub mod pending;
pub mod ruby;
pub mod trial;
