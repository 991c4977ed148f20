//! rinetd from outside, as its users know it: each case is a fact about rinetd 0.62 or 0.73, by number
//! and name. Where replug differs on purpose, the case asserts what it does, and says why. What is
//! read and what is refused is told case by case in `crates/dialect/tests/golden/rinetd/` as well.
//!
//! * [`log`] (1 to 7): the lines of the log file.
//! * [`access`] (7 to 10): who may come.
//! * [`file`] (11 to 18): rules, and what is wrong with them.
//! * [`reload`] (19 to 22): SIGHUP.
//! * [`storm`]: SIGHUP by the hundred.
//! * [`process`] (23 to 26): signals, pid file, daemon, words.
//! * [`stream`] (27, 28, 32): bytes and ends.
//! * [`udp`] (14, 21, 29 to 31): datagrams.
//! * [`start`]: starts rinetd.

mod access;
mod file;
#[path = "../reload/load.rs"]
mod load;
mod log;
mod process;
mod reload;
mod start;
mod storm;
mod stream;
mod udp;
