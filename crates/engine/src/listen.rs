//! Listening sockets, open before anything runs.
//!
//! They are opened on the thread that starts the engine, so that this can happen
//! before rights are given up, and so that a port that cannot be had is a fault
//! of the start. For each TCP address every shard gets its own socket
//! (`SO_REUSEPORT`); a unix socket is shared.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use model::{Bind, Config, Span, Spanned, Tcp, UnixName};

use crate::socket;

/// The listening sockets of a configuration: open, but nobody accepts yet.
#[derive(Debug)]
pub struct Bound {
    /// For each shard: sockets, each with the place of its listener in the configuration.
    pub(crate) shards: Vec<Vec<(OwnedFd, usize)>>,
    addresses: Vec<(Arc<str>, String)>,
    /// Unix sockets in the file system, to be removed at the end.
    pub(crate) paths: Vec<UnixPath>,
}

/// A listening address that could not be had.
#[derive(Debug)]
pub struct BindFailure {
    /// The listener.
    pub listener: String,
    /// The address.
    pub bind: Bind,
    /// Where it was written.
    pub span: Option<Span>,
    /// What the system said.
    pub error: io::Error,
}

/// The file of a unix socket that we listen on; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct UnixPath(String);

impl Bound {
    /// Opens everything, or tells all that could not be opened.
    ///
    /// # Errors
    /// One failure for each address that could not be had.
    pub fn open(config: &Config) -> Result<Self, Vec<BindFailure>> {
        let shards = config.runtime.shards.map_or_else(cores, NonZeroUsize::get);
        let mut bound = Self {
            shards: (0..shards).map(|_| Vec::new()).collect(),
            addresses: Vec::new(),
            paths: Vec::new(),
        };
        let mut failures = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            for Spanned { value: bind, span } in &listener.bind {
                match bound.open_one(index, bind, listener.tcp) {
                    Ok(address) => bound.addresses.push((listener.name.as_str().into(), address)),
                    Err(error) => failures.push(BindFailure {
                        listener: listener.name.clone(),
                        bind: bind.clone(),
                        span: *span,
                        error,
                    }),
                }
            }
        }
        match failures.is_empty() {
            true => Ok(bound),
            false => Err(failures),
        }
    }

    /// The name of each listener with an address it listens on, as the kernel has it.
    pub fn addresses(&self) -> &[(Arc<str>, String)] {
        &self.addresses
    }

    fn open_one(&mut self, listener: usize, bind: &Bind, tcp: Tcp) -> io::Result<String> {
        match bind {
            Bind::Unix(name) => self.open_unix(listener, name),
            Bind::Tcp { address: Some(address), port } => {
                let address = SocketAddr::new(*address, *port);
                self.open_tcp(listener, address, false, tcp).map(|address| address.to_string())
            }
            Bind::Tcp { address: None, port } => {
                let all = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port);
                let address = match self.open_tcp(listener, all, true, tcp) {
                    Err(error) if lacks_ipv6(&error) => {
                        let all = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port);
                        self.open_tcp(listener, all, false, tcp)?
                    }
                    result => result?,
                };
                Ok(format!(":{}", address.port()))
            }
        }
    }

    fn open_tcp(
        &mut self,
        listener: usize,
        mut address: SocketAddr,
        dual_stack: bool,
        tcp: Tcp,
    ) -> io::Result<SocketAddr> {
        address.set_port(socket::probe_tcp(address, dual_stack)?);
        for shard in &mut self.shards {
            shard.push((socket::listen_tcp(address, dual_stack, tcp)?, listener));
        }
        Ok(address)
    }

    fn open_unix(&mut self, listener: usize, name: &UnixName) -> io::Result<String> {
        let socket = socket::listen_unix(name)?;
        if let UnixName::Path(path) = name {
            self.paths.push(UnixPath(path.clone()));
        }
        for shard in &mut self.shards {
            shard.push((socket.try_clone()?, listener));
        }
        Ok(name.to_string())
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Somebody may have removed it already; there is nothing to do about any other failure.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl fmt::Display for BindFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.bind, self.error)?;
        let hint = match (self.error.kind(), &self.bind) {
            (io::ErrorKind::AddrInUse, Bind::Tcp { port, .. }) => {
                return write!(
                    f,
                    "\n  another process has this port: see `ss -ltnp 'sport = :{port}'`"
                );
            }
            (io::ErrorKind::AddrInUse, Bind::Unix(_)) => {
                "another process answers there, or a file that is no socket is in the way"
            }
            (io::ErrorKind::PermissionDenied, Bind::Tcp { .. }) => {
                "ports below 1024 need root or CAP_NET_BIND_SERVICE \
                 (setcap cap_net_bind_service+ep, or AmbientCapabilities= in a unit)"
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                "this address is not one of this machine's: see `ip address`"
            }
            _ => return Ok(()),
        };
        write!(f, "\n  {hint}")
    }
}

/// Whether an error means that this machine has no IPv6.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
    )
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
