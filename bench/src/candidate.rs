//! What is compared: replug, other forwarders in their best configuration, and the limits (no forwarder at
//! all, and the kernel's NAT).

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cost::Meter;
use crate::load::{self, hold};
use crate::nat::Nat;
use crate::process::Group;

mod configuration;

/// How long a candidate may take until it forwards.
const START: Duration = Duration::from_secs(5);

/// Which part a candidate plays in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What is judged.
    Replug,
    /// What it is compared with.
    Peer,
    /// What no forwarder in user space can be expected to reach.
    Limit,
}

/// How bytes get to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Clients connect to the backend.
    Direct,
    /// The kernel rewrites addresses.
    Nat,
    /// `replug ARGS LISTEN TARGET`.
    Replug(Vec<String>),
    /// HAProxy, with or without splice.
    Haproxy {
        /// Whether `option splice-auto` is on.
        splice: bool,
    },
    /// The stream module of nginx.
    Nginx,
    /// rinetd.
    Rinetd,
    /// redir, a process for each connection.
    Redir,
    /// socat, a process for each connection.
    Socat,
}

/// One of the things compared.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// What tables call it.
    pub(crate) name: String,
    /// How it is set up.
    pub(crate) kind: Kind,
    /// The program; empty for limits.
    pub(crate) program: PathBuf,
    /// Which part it plays.
    pub(crate) role: Role,
}

impl Candidate {
    /// Whether it starts a process for each connection, so that thousands at a time are out of its reach.
    pub(crate) fn forks(&self) -> bool {
        matches!(self.kind, Kind::Redir | Kind::Socat)
    }

    /// What the program says about its version.
    pub(crate) fn version(&self) -> String {
        let option = match self.kind {
            Kind::Direct | Kind::Nat => return kernel(),
            Kind::Haproxy { .. } | Kind::Nginx | Kind::Rinetd | Kind::Redir => "-v",
            Kind::Socat => "-V",
            Kind::Replug(_) => "--version",
        };
        let Ok(output) = Command::new(&self.program).arg(option).output() else {
            return "unknown".into();
        };
        let both = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&both).into_owned();
        let line = match self.kind {
            Kind::Socat => text.lines().find(|line| line.contains("version")),
            _ => text.lines().next(),
        };
        line.unwrap_or("unknown").trim().to_owned()
    }
}

/// The version of the running kernel.
pub(crate) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// Where candidates run: a directory for their files and the backend behind them.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    backend: u16,
}

impl Stage {
    /// Makes the directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(backend: u16) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("replug-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self { directory, backend })
    }

    /// Starts candidate number `index` and waits until it forwards.
    ///
    /// # Errors
    /// When it cannot start or does not forward in [`START`]; says what it wrote.
    pub(crate) fn start(&self, candidate: &Candidate, index: u8) -> io::Result<Running> {
        // An address of its own for each candidate: connections of one do not use up the ports of another.
        let backend = SocketAddr::from((Ipv4Addr::new(127, 0, 1, index), self.backend));
        if candidate.kind == Kind::Direct {
            return Ok(Running { target: backend, process: None, nat: None });
        }
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        if candidate.kind == Kind::Nat {
            let nat = Nat::new(listen.port(), self.backend);
            let running = Running { target: listen, process: None, nat: Some(nat) };
            running.enter()?;
            let tried = hold::open(listen, 1);
            running.leave();
            return tried.map(|_| running);
        }
        let log = self.directory.join(format!("{index}.log"));
        let mut command = configuration::command(candidate, listen, backend, &self.directory)?;
        let mut process = Group::start(&mut command, &log)?;
        let started = Instant::now();
        while let Err(error) = hold::open(listen, 1) {
            if process.ended().is_some() || started.elapsed() > START {
                return Err(io::Error::other(format!("{error}; it wrote: {}", last_lines(&log))));
            }
            load::pause(Duration::from_millis(10));
        }
        Ok(Running { target: listen, process: Some(process), nat: None })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// A candidate that forwards.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where clients connect.
    pub(crate) target: SocketAddr,
    process: Option<Group>,
    nat: Option<Nat>,
}

impl Running {
    /// Reads its CPU time.
    pub(crate) fn meter(&self) -> Meter {
        Meter { group: self.process.as_ref().map(Group::id) }
    }

    /// Before a sample: NAT rules cost every connection of the namespace, so they only exist for theirs.
    ///
    /// # Errors
    /// When the kernel refuses the rules.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.nat.as_ref().map_or(Ok(()), Nat::install)
    }

    /// After a sample.
    pub(crate) fn leave(&self) {
        if let Some(nat) = &self.nat {
            nat.remove();
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
