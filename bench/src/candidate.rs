//! What is compared: replug, other forwarders in their best configuration, and the limits (no forwarder at
//! all, and the kernel's NAT).

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::backend::Ports;
use crate::cost::Meter;
use crate::load::{self, hold, udp};
use crate::nat::Nat;
use crate::process::Group;
use crate::scenario::{Scenario, Transport};

mod configuration;

/// How long a candidate may take until it forwards.
const START: Duration = Duration::from_secs(5);
/// The exit code of a replug that does not know what its command line says.
const USAGE: i32 = 2;

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
    /// Whether it takes part in `scenario`.
    pub(crate) fn suits(&self, scenario: Scenario) -> bool {
        let tcp = scenario.transport() == Transport::Tcp;
        match self.kind {
            Kind::Direct | Kind::Nat | Kind::Replug(_) | Kind::Nginx => true,
            Kind::Haproxy { .. } => tcp,
            // It makes one datagram of those that a flow sends faster than it passes them on.
            Kind::Rinetd => tcp || scenario == Scenario::UdpRr,
            // A process for each connection: thousands at a time are out of their reach.
            Kind::Redir | Kind::Socat => tcp && !scenario.has_thousands(),
        }
    }

    /// Whether `scenario` takes it much longer than the others, too long for a quick run.
    pub(crate) fn is_slow(&self, scenario: Scenario) -> bool {
        // It goes through all its sessions whenever something happens in one.
        self.kind == Kind::Rinetd && scenario == Scenario::Idle
    }

    /// What a reader must know about where it is missing.
    pub(crate) fn absence(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Direct | Kind::Nat | Kind::Replug(_) | Kind::Nginx => None,
            Kind::Haproxy { .. } => Some("not in udp-*: it has no UDP"),
            Kind::Rinetd => Some("of udp-* only in udp-rr: it joins datagrams that come faster"),
            Kind::Redir | Kind::Socat => Some(
                "a process for each connection: not in udp-*, idle, burst, nor with 1000 connections",
            ),
        }
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
    backend: Ports,
}

impl Stage {
    /// Makes the directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(backend: Ports) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("replug-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self { directory, backend })
    }

    /// Where the backend is reached by candidate number `index`.
    pub(crate) fn backend(&self, transport: Transport, index: u8) -> SocketAddr {
        match transport {
            // An address of its own for each: connections of one do not use up the ports of another.
            Transport::Tcp => (Ipv4Addr::new(127, 0, 1, index), self.backend.tcp).into(),
            Transport::Udp => (Ipv4Addr::LOCALHOST, self.backend.udp).into(),
        }
    }

    /// Starts candidate number `index` and waits until it forwards.
    ///
    /// # Errors
    /// When it cannot start or does not forward in [`START`]; says what it wrote. `Unsupported` when it is a
    /// replug from before there was UDP.
    pub(crate) fn start(
        &self,
        candidate: &Candidate,
        index: u8,
        transport: Transport,
    ) -> io::Result<Running> {
        let backend = self.backend(transport, index);
        if candidate.kind == Kind::Direct {
            return Ok(Running { target: backend, process: None, nat: None });
        }
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(transport)?));
        if candidate.kind == Kind::Nat {
            let nat = Nat::new(transport, listen.port(), backend.port());
            let running = Running { target: listen, process: None, nat: Some(nat) };
            running.enter()?;
            let tried = serve_one(transport, listen);
            running.leave();
            return tried.map(|()| running);
        }
        let log = self.directory.join(format!("{index}-{transport}.log"));
        let link = configuration::Link { transport, listen, backend };
        let mut command = configuration::command(candidate, link, &self.directory)?;
        let mut process = Group::start(&mut command, &log)?;
        let started = Instant::now();
        while let Err(error) = serve_one(transport, listen) {
            let ended = process.ended();
            if ended.is_some() || started.elapsed() > START {
                let of_old = matches!(candidate.kind, Kind::Replug(_))
                    && transport == Transport::Udp
                    && ended.is_some_and(|status| status.code() == Some(USAGE));
                let kind = if of_old { io::ErrorKind::Unsupported } else { io::ErrorKind::Other };
                let text = format!("{error}; it wrote: {}", last_lines(&log));
                return Err(io::Error::new(kind, text));
            }
            load::pause(Duration::from_millis(10));
        }
        Ok(Running { target: listen, process: Some(process), nat: None })
    }
}

fn serve_one(transport: Transport, target: SocketAddr) -> io::Result<()> {
    match transport {
        Transport::Tcp => hold::open(target, 1).map(drop),
        Transport::Udp => udp::served(target),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// A candidate that takes part, with one instance of it.
#[derive(Debug)]
pub(crate) struct Started {
    /// What it is.
    pub(crate) candidate: Candidate,
    /// Its number.
    pub(crate) index: u8,
    /// What the instance forwards.
    pub(crate) transport: Transport,
    /// The instance.
    pub(crate) running: Running,
}

impl Started {
    /// Whether this instance is the one to measure in `scenario`.
    pub(crate) fn suits(&self, scenario: Scenario) -> bool {
        self.transport == scenario.transport() && self.candidate.suits(scenario)
    }
}

/// A candidate that forwards.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where clients connect or send.
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

fn free_port(transport: Transport) -> io::Result<u16> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let address = match transport {
        Transport::Tcp => TcpListener::bind(any)?.local_addr()?,
        Transport::Udp => UdpSocket::bind(any)?.local_addr()?,
    };
    Ok(address.port())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
