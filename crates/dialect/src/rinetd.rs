//! The configuration of rinetd: a forwarding rule a line, and what is said about them.
//!
//! `words` reads the command line; `parse` steps through the lines of a file, `cursor` through one
//! of them, `end` reads addresses and ports, `option` what stands in brackets behind them, and `map`
//! makes a [`Config`] of it all. Read is what 0.62 and 0.73 took, what their users wrote and expected,
//! and what the fork rinetd-uv has added. `docs/coming-from-rinetd.md` lists what differs on purpose.
//!
//! As in the original a line that cannot be read is an error. Its message is the original's, and
//! what is wrong with it stands under the word.

mod cursor;
mod end;
mod map;
mod option;
mod parse;
mod words;

use std::fmt;
use std::net::IpAddr;

use model::{Config, Diagnostic, SourceId, Sources};

use crate::native;

pub use crate::tcprelay::Included;
pub use words::{Options, Order, Wish, order};

/// What the program is called, to users and to syslog.
pub const NAME: &str = "rinetd";

/// The file that is read unless another is named.
pub const CONFIG: &str = "/etc/rinetd.conf";

/// Where a daemon writes its process id unless told otherwise.
pub const PIDFILE: &str = "/var/run/rinetd.pid";

/// What carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// As it stands behind a port, and in services(5).
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a configuration is read in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The files that a pattern names which stands in the file of this name, in their order.
    pub include: &'a dyn Fn(&str, &str) -> Vec<Included>,
    /// The port of a service, if it has one.
    pub service: &'a dyn Fn(&str, Transport) -> Option<u16>,
    /// The first address of a host, or why there is none.
    pub address: &'a dyn Fn(&str) -> Result<IpAddr, String>,
}

/// What a file says.
#[derive(Debug)]
pub struct Reading {
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// What becomes of the process.
    pub process: Process,
    /// All faults, in the order in which they stand.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration cannot hold, a line each.
    pub notes: Vec<String>,
    /// Whether it can run.
    pub is_sound: bool,
}

/// What becomes of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Go to the background.
    pub daemon: bool,
    /// Where the process id is written.
    pub pidfile: Option<String>,
}

impl Reading {
    /// The configuration as native TOML, and above it what it cannot hold.
    pub fn explain(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("# {note}\n")).collect();
        let config = native::write(&self.config);
        match config.is_empty() {
            true => notes,
            false => format!("{notes}\n{config}"),
        }
    }
}

/// Reads the file `file` and what it includes.
pub fn read(
    file: SourceId,
    options: &Options,
    sources: &mut Sources,
    surroundings: Surroundings<'_>,
) -> Reading {
    let lines = parse::read(file, sources, surroundings);
    map::finish(lines, options, surroundings)
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}
