//! Listening sockets, open before anything runs.
//!
//! They are opened on the thread that starts the engine, so that this can happen
//! before rights are given up, and so that a port that cannot be had is a fault
//! of the start. For each TCP address every shard gets its own socket
//! (`SO_REUSEPORT`); a unix socket is shared.
//!
//! A door is one address that is listened on, whatever listener it belongs
//! to. When a configuration is replaced, the doors that it also has stay open:
//! their sockets and the clients that wait in them are not touched.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Bind, Config, Span, Spanned, Tcp, UnixName};

use crate::socket;

/// The doors of a configuration: open, but nobody accepts yet at those that are new.
#[derive(Debug)]
pub struct Bound {
    /// For each shard: the listening sockets of the new doors.
    pub(crate) shards: Vec<Vec<(OwnedFd, DoorId)>>,
    /// In the order of the configuration.
    pub(crate) doors: Vec<Door>,
}

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) opening: Arc<Opening>,
    /// The place of its listener in the configuration.
    pub(crate) listener: usize,
    /// How its listener is called.
    pub(crate) name: Arc<str>,
}

/// What a door keeps from one configuration to the next.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) id: DoorId,
    /// As configured.
    bind: Bind,
    /// As the kernel has it.
    pub(crate) address: String,
    path: Option<UnixPath>,
}

/// Tells the doors of a process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DoorId(u64);

impl DoorId {
    /// One that no other door has.
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
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

/// The file of a unix socket that we listen on; removed when it is dropped. `None`: it cannot be
/// reached any more.
#[derive(Debug)]
pub(crate) struct UnixPath(Option<PathBuf>);

impl Bound {
    /// Opens everything, or tells all that could not be opened.
    ///
    /// # Errors
    /// One failure for each address that could not be had.
    pub fn open(config: &Config) -> Result<Self, Vec<BindFailure>> {
        let shards = config.runtime.shards.map_or_else(cores, NonZeroUsize::get);
        Self::beside(config, shards, &[])
    }

    /// Opens what is not open already.
    pub(crate) fn beside(
        config: &Config,
        shards: usize,
        open: &[Door],
    ) -> Result<Self, Vec<BindFailure>> {
        let mut bound =
            Self { shards: (0..shards).map(|_| Vec::new()).collect(), doors: Vec::new() };
        let mut known: HashMap<&Bind, VecDeque<&Arc<Opening>>> = HashMap::new();
        for Door { opening, .. } in open {
            known.entry(&opening.bind).or_default().push_back(opening);
        }
        let mut failures = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            let name: Arc<str> = listener.name.as_str().into();
            for Spanned { value: bind, span } in &listener.bind {
                let known = known.get_mut(bind).and_then(VecDeque::pop_front).cloned();
                let opening = match known {
                    Some(opening) => Ok(opening),
                    None => bound.open_one(bind, listener.tcp).map(Arc::new),
                };
                match opening {
                    Ok(opening) => {
                        bound.doors.push(Door { opening, listener: index, name: name.clone() });
                    }
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
    pub fn addresses(&self) -> Vec<(Arc<str>, String)> {
        self.doors.iter().map(|door| (door.name.clone(), door.opening.address.clone())).collect()
    }

    /// Whether `door` was opened for this, and not before.
    pub(crate) fn is_new(&self, door: &Door) -> bool {
        self.shards
            .first()
            .is_some_and(|sockets| sockets.iter().any(|(_, id)| *id == door.opening.id))
    }

    /// Calls the files of unix sockets as they are called where the root of the file system is
    /// another one; those that `inside` does not know stay behind.
    pub fn rename_paths(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        // Doors are shared only once an engine runs.
        let openings = self.doors.iter_mut().filter_map(|door| Arc::get_mut(&mut door.opening));
        for path in openings.filter_map(|opening| opening.path.as_mut()) {
            path.0 = path.0.as_deref().and_then(&inside);
        }
    }

    fn open_one(&mut self, bind: &Bind, tcp: Tcp) -> io::Result<Opening> {
        let id = DoorId::next();
        let mut path = None;
        let address = match bind {
            Bind::Unix(name) => {
                self.open_unix(id, name)?;
                if let UnixName::Path(name) = name {
                    path = Some(UnixPath(Some(name.into())));
                }
                name.to_string()
            }
            Bind::Tcp { address: Some(address), port } => {
                let address = SocketAddr::new(*address, *port);
                self.open_tcp(id, address, false, tcp)?.to_string()
            }
            Bind::Tcp { address: None, port } => {
                let all = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port);
                let address = match self.open_tcp(id, all, true, tcp) {
                    Err(error) if lacks_ipv6(&error) => {
                        let all = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port);
                        self.open_tcp(id, all, false, tcp)?
                    }
                    result => result?,
                };
                format!(":{}", address.port())
            }
        };
        Ok(Opening { id, bind: bind.clone(), address, path })
    }

    fn open_tcp(
        &mut self,
        id: DoorId,
        mut address: SocketAddr,
        dual_stack: bool,
        tcp: Tcp,
    ) -> io::Result<SocketAddr> {
        address.set_port(socket::probe_tcp(address, dual_stack)?);
        for shard in &mut self.shards {
            shard.push((socket::listen_tcp(address, dual_stack, tcp)?, id));
        }
        Ok(address)
    }

    fn open_unix(&mut self, id: DoorId, name: &UnixName) -> io::Result<()> {
        let socket = socket::listen_unix(name)?;
        for shard in &mut self.shards {
            shard.push((socket.try_clone()?, id));
        }
        Ok(())
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Somebody may have removed it already; there is nothing to do about any other failure.
            let _ = std::fs::remove_file(path);
        }
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
