//! Ways of writing a configuration: text to [`model::Config`], with diagnostics.
//!
//! A *dialect* reads what a user wrote and never fails: it returns the
//! configuration as far as it could be read, and every fault it met on the way,
//! each with the words that caused it. Read in this order:
//!
//! - [`line`](mod@line): the words of a command line, and where each is shown;
//! - [`quick`]: the command line `replug [OPTIONS] LISTEN[/SOURCE] TARGET...`;
//! - [`native`]: TOML, read and written;
//! - [`plug`]: the command line of plugdaemon;
//! - [`redir`]: the three command lines of redir;
//! - [`tcprelay`]: the file of tcprelay and spawnd, and their command line;
//! - [`rinetd`]: the file of rinetd, and its command line;
//! - [`tproxy`]: the command line of transproxy;
//! - [`proxymachine`]: the command line of ProxyMachine;
//! - [`render`]: diagnostics as text for a terminal;
//! - [`convert`]: other dialects as native TOML;
//! - [`json`]: diagnostics as data, for programs;
//! - [`explain`](mod@explain): what each code means, with an example;
//! - [`suggest`]: which word was meant by one that is not known.
//!
//! What a value looks like (addresses, ranges, durations) is the same in every
//! dialect and is read in `term`.
//!
//! Absent on purpose: clap (the program makes its help from [`quick::options`]),
//! files, sockets, name lookups. A dialect sees text and nothing else.

pub mod convert;
pub mod explain;
pub mod json;
pub mod line;
pub mod native;
pub mod plug;
pub mod proxymachine;
pub mod quick;
pub mod redir;
pub mod render;
pub mod rinetd;
pub mod suggest;
pub mod tcprelay;
mod term;
pub mod tproxy;
