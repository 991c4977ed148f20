//! transproxy from outside, as its users know it: each case is a fact about tproxy 1.6, by number and
//! name. Where replug differs on purpose, the case asserts what it does, and says why.
//!
//! * [`words`] (1, 11): the command line, its faults and exit codes.
//! * [`process`] (2, 9, 10, 12): server, daemon, inetd, users, signals.
//! * [`requests`] (3, 5, 13): what a proxy gets of what clients send.
//! * [`ways`] (4, 6, 14): to the proxy, or to where the client meant to go.
//! * [`log`] (7, 8, 9): who may come, and the access log.
//! * [`programs`]: curl through tinyproxy.
//! * [`start`]: starts tproxy.

mod log;
mod process;
mod programs;
mod requests;
mod start;
mod ways;
mod words;
