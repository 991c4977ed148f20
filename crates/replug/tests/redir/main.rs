//! redir from outside, as its users know it: each case is a fact about redir 3 (`r3_NN`), redir 2
//! (`r2_NN`) or programs that inetd starts (`nc_NN`), by number and name. Where replug differs on
//! purpose, the case asserts what it does, and says why.
//!
//! * [`words`]: the command lines, their faults and exit codes.
//! * [`log`]: syslog and the terminal.
//! * [`stream`]: bytes, ends, timeouts, and where connections leave from.
//! * [`shape`]: bandwidth and pauses.
//! * [`proxy`]: through an HTTP proxy.
//! * [`ftp`]: data connections.
//! * [`process`]: daemon, signals, inetd.
//! * [`start`]: starts redir.

mod ftp;
mod log;
mod process;
mod proxy;
mod shape;
mod start;
mod stream;
mod words;
