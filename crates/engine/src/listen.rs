//! Listening sockets, open before anything runs.
//!
//! They are opened on the thread that starts the engine, so that this can happen
//! before rights are given up, and so that a port that cannot be had is a fault
//! of the start. For each TCP or UDP address every shard gets its own socket
//! (`SO_REUSEPORT`); a unix socket is shared.
//!
//! A door is one address that is listened on, whatever listener it belongs
//! to. A bind means one, or those of all sockets that were inherited for it
//! (`inherit`); these come before any that would be opened. When a configuration
//! is replaced, the doors that it also has stay open: their sockets and the
//! clients that wait in them are not touched. Only if their
//! options change are they replaced by others on the same port.

mod failure;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Backlog, Bind, Config, Interface, Listener, Spanned, Tcp, UnixName};

pub use failure::BindFailure;

use crate::inherit::{self, Client, Inherited};
use crate::socket::{self, Place};

/// The doors of a configuration: open, but nobody accepts yet at those that are new.
#[derive(Debug)]
pub struct Bound {
    /// For each shard: the listening sockets of the new doors.
    pub(crate) shards: Vec<Vec<(Opened, DoorId)>>,
    /// In the order of the configuration.
    pub(crate) doors: Vec<Door>,
    pub(crate) inherited: Arc<Inherited>,
    /// A client that has come already, and the place of its listener in the configuration.
    pub(crate) client: Option<(Client, usize)>,
}

/// An open socket of one shard.
#[derive(Debug)]
pub(crate) enum Opened {
    /// To accept sessions from.
    Streams(OwnedFd),
    /// To receive the datagrams of all flows from.
    Datagrams(OwnedFd),
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
    /// What its sockets have.
    tcp: Tcp,
    /// How many clients the kernel holds there.
    backlog: Backlog,
    /// By which their clients come.
    interface: Option<Interface>,
    /// Whether clients are diverted to them by `tproxy`.
    is_transparent: bool,
    /// As the kernel has it, of a TCP socket; an address that stands for all if it is on all.
    pub(crate) place: Option<SocketAddr>,
    /// As the kernel chose it, if it was to; 0 for a socket that has none, or that was inherited.
    port: u16,
    /// As the kernel has it.
    pub(crate) address: String,
    path: Option<UnixPath>,
    /// The place of its socket among those that were inherited, if it was.
    inherited: Option<usize>,
}

impl Opening {
    /// Whether it is what inetd has left on standard input.
    pub(crate) fn is_of_inetd(&self) -> bool {
        self.bind == Bind::Inetd
    }

    /// Whether its sockets are what `listener` wants of them.
    fn serves(&self, listener: &Listener) -> bool {
        matches!(self.bind, Bind::Unix(_) | Bind::Udp { .. })
            || self.tcp == listener.tcp
                && self.backlog == listener.backlog
                && self.is_transparent == listener.is_tproxied()
    }
}

/// Whose a port is that is to be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// Nobody's, or it is a fault.
    Free,
    /// This one, of a door of ours: shared with it until it closes.
    Ours(u16),
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

/// The file of a unix socket that we listen on; removed when it is dropped. `None`: it cannot be
/// reached any more.
#[derive(Debug)]
pub(crate) struct UnixPath(Option<PathBuf>);

impl Bound {
    /// Opens everything that was not `inherited`, and tells what could not be opened: one failure
    /// for each address that could not be had.
    pub fn open(config: &Config, mut inherited: Inherited) -> (Self, Vec<BindFailure>) {
        let shards = match inherited.is_client() {
            true => 1,
            false => config.runtime.shards.map_or_else(cores, NonZeroUsize::get),
        };
        let client = inherited.take_client();
        let (mut bound, failures) = Self::beside(config, shards, &[], &Arc::new(inherited));
        if let Some(client) = client {
            let at = config.listeners.iter().position(waits_for_inetd);
            bound.client = at.map(|at| (client, at));
        }
        (bound, failures)
    }

    /// Whether there is nowhere that a client could come from.
    pub fn is_empty(&self) -> bool {
        self.doors.is_empty() && self.client.is_none()
    }

    /// Opens what is not open already, and tells what could not be opened.
    pub(crate) fn beside(
        config: &Config,
        shards: usize,
        open: &[Door],
        inherited: &Arc<Inherited>,
    ) -> (Self, Vec<BindFailure>) {
        let mut bound = Self {
            shards: (0..shards).map(|_| Vec::new()).collect(),
            doors: Vec::new(),
            inherited: Arc::clone(inherited),
            client: None,
        };
        let mut known: HashMap<_, VecDeque<&Arc<Opening>>> = HashMap::new();
        let ours: HashSet<&Bind> = open.iter().map(|door| &door.opening.bind).collect();
        for Door { opening, .. } in open {
            let key = (&opening.bind, opening.interface.as_ref());
            known.entry(key).or_default().push_back(opening);
        }
        let mut failures = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            let name: Arc<str> = listener.name.as_str().into();
            let by = listener.interface.as_ref().map(|interface| &interface.value);
            // What the kernel refuses to all of its sockets is told once.
            let first = listener.bind.iter().find(|bind| matches!(bind.value, Bind::Tcp { .. }));
            if let Some(Spanned { value: bind, span }) = first
                && let Err(error) =
                    socket::probe_listening(&listener.tcp, by, listener.is_tproxied())
            {
                let (listener, bind, span) = (listener.name.clone(), bind.clone(), *span);
                failures.push(BindFailure { listener, bind, span, error });
                continue;
            }
            for Spanned { value: bind, span } in &listener.bind {
                if *bind == Bind::Inetd && inherited.is_client() {
                    // Its client is inside: nobody else will come.
                    continue;
                }
                let known = known.get_mut(&(bind, by)).map(of_one_bind).unwrap_or_default();
                let port = match (known.first(), bind.port()) {
                    (Some(opening), _) => Port::Ours(opening.port),
                    (None, Some(port)) if port > 0 && ours.contains(bind) => Port::Ours(port),
                    (None, _) => Port::Free,
                };
                let openings = match known.first() {
                    Some(opening) if opening.serves(listener) => Ok(known),
                    _ => bound.open_bind(bind, listener, port),
                };
                match openings.and_then(|openings| bound.not_taken(openings)) {
                    Ok(openings) => {
                        let door = |opening| Door { opening, listener: index, name: name.clone() };
                        bound.doors.extend(openings.into_iter().map(door));
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
        bound.close_what_is_half_open();
        (bound, failures)
    }

    /// Where one shard could have its socket and another could not, there is no door.
    fn close_what_is_half_open(&mut self) {
        let doors: HashSet<_> = self.doors.iter().map(|door| door.opening.id).collect();
        for sockets in &mut self.shards {
            sockets.retain(|(_, id)| doors.contains(id));
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

    /// What those are that were inherited and that no bind means, for people.
    pub fn unused(&self) -> Vec<String> {
        let used: Vec<_> = self.doors.iter().filter_map(|door| door.opening.inherited).collect();
        self.inherited.others(&used)
    }

    /// Whether this is for one client only, which has come already.
    pub fn is_client(&self) -> bool {
        self.inherited.is_client()
    }

    /// Two doors at one inherited socket would take its clients by chance.
    fn not_taken(&self, openings: Vec<Arc<Opening>>) -> io::Result<Vec<Arc<Opening>>> {
        let is_taken = |opening: &Arc<Opening>| {
            let same = |door: &Door| door.opening.inherited == opening.inherited;
            opening.inherited.is_some() && self.doors.iter().any(same)
        };
        match openings.iter().any(is_taken) {
            true => Err(inherit::Fault::Taken.into()),
            false => Ok(openings),
        }
    }

    /// Opens what `bind` means: the inherited sockets, or one of our own.
    fn open_bind(
        &mut self,
        bind: &Bind,
        listener: &Listener,
        port: Port,
    ) -> io::Result<Vec<Arc<Opening>>> {
        let inherited = self.inherited.meant_by(bind)?;
        match inherited.is_empty() {
            true => Ok(vec![self.open_one(bind, listener, port)?]),
            false => inherited.into_iter().map(|index| self.adopt(bind, index, listener)).collect(),
        }
    }

    fn adopt(
        &mut self,
        bind: &Bind,
        index: usize,
        listener: &Listener,
    ) -> io::Result<Arc<Opening>> {
        let inherited = Arc::clone(&self.inherited);
        let (socket, address) = inherited.socket(index)?;
        let (tcp, is_transparent) = (listener.tcp, listener.is_tproxied());
        socket::adopt_listening(socket, &tcp, is_transparent)?;
        let place = socket.local_addr()?.as_socket();
        let id = DoorId::next();
        for shard in &mut self.shards {
            shard.push((Opened::Streams(socket.try_clone()?.into()), id));
        }
        Ok(Arc::new(Opening {
            id,
            bind: bind.clone(),
            tcp,
            backlog: listener.backlog,
            interface: None,
            is_transparent,
            place,
            port: 0,
            address,
            path: None,
            inherited: Some(index),
        }))
    }

    fn open_one(
        &mut self,
        bind: &Bind,
        listener: &Listener,
        port: Port,
    ) -> io::Result<Arc<Opening>> {
        let id = DoorId::next();
        let interface = listener.interface.as_ref().map(|interface| &interface.value);
        let is_transparent = listener.is_tproxied();
        let (mut path, mut place) = (None, None);
        let mut open = |address: IpAddr, port_number, dual_stack| {
            let address = SocketAddr::new(address, port_number);
            let wanted = Place { address, dual_stack, interface, is_transparent };
            let opened = self.open_tcp(id, wanted, listener, port)?;
            place = Some(opened);
            Ok(opened)
        };
        let (address, port) = match bind {
            Bind::Unix(name) => {
                self.open_unix(id, name, listener.backlog)?;
                if let UnixName::Path(name) = name {
                    path = Some(UnixPath(Some(name.into())));
                }
                (name.to_string(), 0)
            }
            Bind::Tcp { address: Some(address), port } => {
                let address = open(*address, *port, false)?;
                (address.to_string(), address.port())
            }
            Bind::Tcp { address: None, port } => {
                let address = on_all_addresses(|ip, dual| open(ip, *port, dual))?;
                (format!(":{}", address.port()), address.port())
            }
            Bind::Udp { address, port: number } => {
                let opened = self.open_datagrams(id, *address, *number, interface, port)?;
                let shown = match address {
                    Some(_) => format!("{}{opened}", Bind::UDP),
                    None => format!("{}:{}", Bind::UDP, opened.port()),
                };
                (shown, opened.port())
            }
            Bind::Systemd(_) | Bind::Inetd => {
                unreachable!("these are never opened: that they were not inherited is a fault")
            }
        };
        Ok(Arc::new(Opening {
            id,
            bind: bind.clone(),
            tcp: listener.tcp,
            backlog: listener.backlog,
            interface: interface.cloned(),
            is_transparent,
            place,
            port,
            address,
            path,
            inherited: None,
        }))
    }

    /// Opens a UDP port on one address, or on all.
    fn open_datagrams(
        &mut self,
        id: DoorId,
        address: Option<IpAddr>,
        number: u16,
        interface: Option<&Interface>,
        port: Port,
    ) -> io::Result<SocketAddr> {
        let mut open = |address: IpAddr, dual_stack| {
            let address = SocketAddr::new(address, number);
            let place = Place { address, dual_stack, interface, is_transparent: false };
            self.open_udp(id, place, port)
        };
        match address {
            Some(address) => open(address, false),
            None => on_all_addresses(open),
        }
    }

    fn open_tcp(
        &mut self,
        id: DoorId,
        mut place: Place<'_>,
        listener: &Listener,
        port: Port,
    ) -> io::Result<SocketAddr> {
        place.address.set_port(match port {
            Port::Free => socket::probe_tcp(place)?,
            Port::Ours(port) => port,
        });
        for shard in &mut self.shards {
            let socket = socket::listen_tcp(place, &listener.tcp, listener.backlog)?;
            shard.push((Opened::Streams(socket), id));
        }
        Ok(place.address)
    }

    fn open_udp(&mut self, id: DoorId, mut place: Place<'_>, port: Port) -> io::Result<SocketAddr> {
        place.address.set_port(match port {
            Port::Free => socket::probe_udp(place)?,
            Port::Ours(port) => port,
        });
        for shard in &mut self.shards {
            shard.push((Opened::Datagrams(socket::listen_udp(place)?), id));
        }
        Ok(place.address)
    }

    fn open_unix(&mut self, id: DoorId, name: &UnixName, backlog: Backlog) -> io::Result<()> {
        let socket = socket::listen_unix(name, backlog)?;
        for shard in &mut self.shards {
            shard.push((Opened::Streams(socket.try_clone()?), id));
        }
        Ok(())
    }
}

/// Takes what one bind has opened: one door, or as many as it has inherited.
fn of_one_bind(known: &mut VecDeque<&Arc<Opening>>) -> Vec<Arc<Opening>> {
    let inherited = known.front().is_some_and(|opening| opening.inherited.is_some());
    let count = if inherited { known.len() } else { known.len().min(1) };
    known.drain(..count).cloned().collect()
}

fn waits_for_inetd(listener: &Listener) -> bool {
    listener.bind.iter().any(|bind| bind.value == Bind::Inetd)
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Somebody may have removed it already; there is nothing to do about any other failure.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens a port on every address of both families, or of IPv4 where there is nothing else.
fn on_all_addresses(
    mut open: impl FnMut(IpAddr, bool) -> io::Result<SocketAddr>,
) -> io::Result<SocketAddr> {
    match open(Ipv6Addr::UNSPECIFIED.into(), true) {
        Err(error) if lacks_ipv6(&error) => open(Ipv4Addr::UNSPECIFIED.into(), false),
        result => result,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str, tcp: Tcp) -> Config {
        let name = || Spanned::default_of("main".to_owned());
        let bind = Spanned::default_of(Bind::parse(bind).expect("a legal bind"));
        let listener = Listener { bind: vec![bind], tcp, ..Listener::new("main", name()) };
        Config { listeners: vec![listener], ..Config::default() }
    }

    fn beside(config: &Config, open: &[Door]) -> Result<Bound, Vec<BindFailure>> {
        let (bound, failures) = Bound::beside(config, 1, open, &Arc::default());
        if failures.is_empty() { Ok(bound) } else { Err(failures) }
    }

    #[test]
    fn what_can_be_opened_is_although_something_else_cannot() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address").to_string();
        let mut both = config(&address, Tcp::default());
        both.listeners.push(config("127.0.0.1:0", Tcp::default()).listeners[0].clone());
        let (bound, failures) = Bound::beside(&both, 2, &[], &Arc::default());
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].bind.to_string(), address);
        assert!(!bound.is_empty());
        assert_eq!(bound.doors.iter().map(|door| door.listener).collect::<Vec<_>>(), [1]);
        assert!(bound.shards.iter().all(|sockets| sockets.len() == 1));
    }

    #[test]
    fn a_door_stays_open_unless_its_options_change() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let bind = free.local_addr().expect("its address").to_string();
        drop(free);
        let first = config(&bind, Tcp::default());
        let open = beside(&first, &[]).expect("a free port");
        let same = beside(&first, &open.doors).expect("nothing to open");
        assert!(!same.is_new(&same.doors[0]));
        let by_lo = {
            let mut config = first.clone();
            let lo = Interface::parse("lo").expect("a legal name");
            config.listeners[0].interface = Some(Spanned::default_of(lo));
            config
        };
        let by_lo = beside(&by_lo, &open.doors).expect("our own port");
        assert!(by_lo.is_new(&by_lo.doors[0]));
        let changed = Tcp { dscp: model::Dscp::parse("ef"), ..Tcp::default() };
        let other = beside(&config(&bind, changed), &open.doors).expect("our own port");
        assert!(other.is_new(&other.doors[0]));
        assert_eq!(other.doors[0].opening.address, bind);
        beside(&first, &[]).expect_err("a port that somebody else has");
        let mut longer = first.clone();
        longer.listeners[0].backlog = Backlog::new(7).expect("a legal backlog");
        let longer = beside(&longer, &open.doors).expect("our own port");
        assert!(longer.is_new(&longer.doors[0]));
        // Ports that the kernel chooses are as many as binds, whatever changes.
        let free = config("127.0.0.1:0", Tcp::default());
        let mut two = free.clone();
        two.listeners.push(free.listeners[0].clone());
        let open = beside(&free, &[]).expect("a free port");
        let two = beside(&two, &open.doors).expect("another one");
        assert_ne!(two.doors[0].opening.address, two.doors[1].opening.address);
    }
}
