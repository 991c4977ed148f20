//! plug from outside, as its users know it: each case is a fact about plugdaemon 2.5.5, by number
//! and name. Where replug differs on purpose, the case asserts what it does, and says why.
//!
//! * [`words`] (1 to 4): the command line, its faults and exit codes.
//! * [`balance`] (5 to 11): whose turn it is, who is down, who comes back.
//! * [`access`] (12): who may come.
//! * [`log`] (13, 14, 23): syslog, the session file, debug lines.
//! * [`process`] (15, 16): pid file, signals, daemon.
//! * [`stream`] (17 to 20): bytes, half-close, and the bugs that are not copied.
//! * [`proxy`] (21, 22): through an HTTP proxy, and from a source address.
//! * [`start`]: starts plug.

mod access;
mod balance;
mod log;
mod process;
mod proxy;
mod start;
mod stream;
mod words;
