//! tcprelay from outside, as its users know it: each case is a fact about tcprelay and spawnd of
//! event-driven-servers, by number and name. Where replug differs on purpose, the case asserts what
//! it does, and says why. What is read and what is refused is told case by case in
//! `crates/dialect/tests/golden/tcprelay/` (3).
//!
//! * [`words`] (1, 2, 4): the command line, faults and exit codes.
//! * [`authorize`]: a program that decides who may come.
//! * [`listen`] (5, 11, 12, 15, 16, 20): where clients arrive, how many, and who.
//! * [`balance`] (6 to 8, 10): whose turn it is, who is down, who comes back.
//! * [`process`] (13, 14, 18): pid file, signals, daemon.
//! * [`stream`] (9, 12, 19, 21): bytes, ends, and the bugs that are not copied.
//! * [`tls`] (17): listeners with TLS.
//! * [`log`] (2.9, 2.11): its lines, to syslog and to the terminal.
//! * [`url`] (2.2): configurations from elsewhere.
//! * [`start`]: starts tcprelay.

mod authorize;
mod balance;
mod listen;
mod log;
mod process;
mod start;
mod stream;
mod tls;
mod url;
mod words;
