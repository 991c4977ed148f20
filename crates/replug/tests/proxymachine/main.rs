//! ProxyMachine from outside, as its users know it: each case is a fact about ProxyMachine 1.2.4, by
//! number and name, with the Ruby of this machine. Where replug differs on purpose, the case asserts
//! what it does, and says why.
//!
//! * [`routing`] (1 to 19): what blocks return, and what becomes of the client.
//! * [`buffer`] (20 to 27): what blocks are given, and what the backend gets.
//! * [`contract`] (28 to 33): what its README promises, and other ways of writing a block.
//! * [`errors`] (34 to 42): blocks that fail, hang or take too much.
//! * [`connect`] (43 to 51): retries, timeouts and callbacks.
//! * [`timeouts`] (52 to 56): backends that do not answer.
//! * [`relay`] (57 to 63): streams and their ends.
//! * [`process`] (64 to 73): words, signals, logs.
//! * [`workers`] (74 to 82): the processes that run Ruby.
//! * [`start`]: starts proxymachine.

mod buffer;
mod connect;
mod contract;
mod errors;
mod process;
mod relay;
mod routing;
mod start;
mod timeouts;
mod workers;
