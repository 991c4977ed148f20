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
use crate::scenario::{Scenario, Way};

mod configuration;

/// How long a candidate may take until it forwards.
const START: Duration = Duration::from_secs(5);
/// The exit codes of a replug that does not know what its command line or its file says.
const USAGE: i32 = 2;
const UNSOUND: i32 = 3;

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
    /// replug.
    Replug {
        /// Words of its command line that come first.
        arguments: Vec<String>,
        /// Who says where sessions go, in `script-*`.
        decider: Decider,
    },
    /// HAProxy, with or without splice.
    Haproxy {
        /// Whether `option splice-auto` is on.
        splice: bool,
    },
    /// The stream module of nginx.
    Nginx,
    /// rinetd.
    Rinetd,
    /// stunnel, a thread for each connection.
    Stunnel,
    /// hitch.
    Hitch,
    /// redir, a process for each connection.
    Redir,
    /// socat, a process for each connection.
    Socat,
}

/// Who says where sessions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decider {
    /// The routes of the configuration. This one takes part in everything.
    Routes,
    /// A script in Lua.
    Lua,
    /// A file in Ruby.
    Ruby,
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
        let way = scenario.way();
        match self.kind {
            Kind::Replug { decider: Decider::Routes, .. } => true,
            Kind::Replug { decider: Decider::Lua, .. } => scenario == Scenario::ScriptLua,
            Kind::Replug { decider: Decider::Ruby, .. } => scenario == Scenario::ScriptRuby,
            // The backend speaks no TLS.
            Kind::Direct | Kind::Nat => way != Way::Tls,
            Kind::Nginx => way != Way::Host,
            // What ends TLS has to copy.
            Kind::Haproxy { splice } => {
                matches!(way, Way::Tcp | Way::Sni) || way == Way::Tls && !splice
            }
            // It makes one datagram of those that a flow sends faster than it passes them on.
            Kind::Rinetd => way == Way::Tcp || scenario == Scenario::UdpRr,
            Kind::Stunnel | Kind::Hitch => way == Way::Tls,
            // A process for each connection: thousands at a time are out of their reach.
            Kind::Redir | Kind::Socat => way == Way::Tcp && !scenario.has_thousands(),
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
            Kind::Replug { .. } => None,
            Kind::Direct | Kind::Nat => Some("not in tls-*: the backend speaks no TLS"),
            Kind::Nginx => Some("not in script-*"),
            Kind::Haproxy { splice: false } => Some("not in script-*, nor udp-*: it has no UDP"),
            Kind::Haproxy { splice: true } => Some("not in script-*, tls-* and udp-*"),
            Kind::Rinetd => {
                Some("of what is not plain TCP only in udp-rr: it joins datagrams that come faster")
            }
            Kind::Stunnel | Kind::Hitch => Some("only in tls-*"),
            Kind::Redir | Kind::Socat => Some(
                "a process for each connection: only plain TCP, without idle, burst, and 1000 connections",
            ),
        }
    }

    /// What the program says about its version.
    pub(crate) fn version(&self) -> String {
        let option = match self.kind {
            Kind::Direct | Kind::Nat => return kernel(),
            Kind::Haproxy { .. } | Kind::Nginx | Kind::Rinetd | Kind::Redir => "-v",
            Kind::Socat => "-V",
            Kind::Stunnel => "-version",
            Kind::Replug { .. } | Kind::Hitch => "--version",
        };
        let Ok(output) = Command::new(&self.program).arg(option).output() else {
            return "unknown".into();
        };
        let both = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&both).into_owned();
        let line = match self.kind {
            Kind::Stunnel => text.lines().find(|line| line.contains(" on ")),
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
    /// Certificate and key of those that end TLS, in one file.
    certificate: Option<PathBuf>,
}

impl Stage {
    /// Makes the directory, and a certificate if there are scenarios `with_tls`.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(crate) fn new(backend: Ports, with_tls: bool) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("replug-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut stage = Self { directory, backend, certificate: None };
        if with_tls {
            stage.certificate = Some(configuration::certificate(&stage.directory)?);
        }
        Ok(stage)
    }

    /// Where the backend is reached by candidate number `index`.
    pub(crate) fn backend(&self, way: Way, index: u8) -> SocketAddr {
        match way {
            Way::Udp => (Ipv4Addr::LOCALHOST, self.backend.udp).into(),
            // An address of its own for each: connections of one do not use up the ports of another.
            Way::Tcp | Way::Sni | Way::Host | Way::Tls => {
                (Ipv4Addr::new(127, 0, 1, index), self.backend.tcp).into()
            }
        }
    }

    /// Starts candidate number `index` and waits until it forwards.
    ///
    /// # Errors
    /// When it cannot start or does not forward in [`START`]; says what it wrote. `Unsupported` when it is a
    /// replug from before there was that.
    pub(crate) fn start(&self, candidate: &Candidate, index: u8, way: Way) -> io::Result<Running> {
        let backend = self.backend(way, index);
        if candidate.kind == Kind::Direct {
            return Ok(Running { target: backend, process: None, nat: None });
        }
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(way)?));
        if candidate.kind == Kind::Nat {
            let nat = Nat::new(way, listen.port(), backend.port());
            let running = Running { target: listen, process: None, nat: Some(nat) };
            running.enter()?;
            let tried = serve_one(way, listen);
            running.leave();
            return tried.map(|()| running);
        }
        let log = self.directory.join(format!("{index}-{way}.log"));
        let link =
            configuration::Link { way, listen, backend, certificate: self.certificate.as_deref() };
        let mut command = configuration::command(candidate, link, &self.directory)?;
        let mut process = Group::start(&mut command, &log)?;
        let started = Instant::now();
        while let Err(error) = serve_one(way, listen) {
            let ended = process.ended();
            if ended.is_some() || started.elapsed() > START {
                let of_old = matches!(candidate.kind, Kind::Replug { .. })
                    && way != Way::Tcp
                    && ended.is_some_and(|status| matches!(status.code(), Some(USAGE | UNSOUND)));
                let kind = if of_old { io::ErrorKind::Unsupported } else { io::ErrorKind::Other };
                let text = format!("{error}; it wrote: {}", last_lines(&log));
                return Err(io::Error::new(kind, text));
            }
            load::pause(Duration::from_millis(10));
        }
        Ok(Running { target: listen, process: Some(process), nat: None })
    }
}

fn serve_one(way: Way, target: SocketAddr) -> io::Result<()> {
    match way {
        Way::Udp => udp::served(target),
        Way::Tcp | Way::Sni | Way::Host | Way::Tls => hold::open(way, target, 1).map(drop),
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
    /// What the instance does.
    pub(crate) way: Way,
    /// The instance.
    pub(crate) running: Running,
}

impl Started {
    /// Whether this instance is the one to measure in `scenario`.
    pub(crate) fn suits(&self, scenario: Scenario) -> bool {
        self.way == scenario.way() && self.candidate.suits(scenario)
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

fn free_port(way: Way) -> io::Result<u16> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let address = match way {
        Way::Udp => UdpSocket::bind(any)?.local_addr()?,
        Way::Tcp | Way::Sni | Way::Host | Way::Tls => TcpListener::bind(any)?.local_addr()?,
    };
    Ok(address.port())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
