//! The engine's sockets: opened to listen, accepted from, and sent out to connect.
//!
//! Raw calls and their error numbers stand here and nowhere else in the engine;
//! what leaves this module are outcomes that say what to do next.

pub(crate) mod options;
pub(crate) mod original;
pub(crate) mod source;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use model::{Backlog, Interface, Tcp, UnixName};
use relay::{DatagramSocket, datagram, ring};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use options::{Refused, Role};
use source::Departure;

use crate::phase::account::{ClientAddress, ConnectFailure};

/// How many may wait to be accepted where one connection is awaited: it, and whoever tries the port.
const DATA_BACKLOG: i32 = 4;

/// What an attempt to accept calls for next.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A client arrived.
    Client(OwnedFd, ClientAddress),
    /// The queue is empty; wait until the listener is readable.
    Empty,
    /// That client is gone already; take the next one.
    Retry,
    /// Out of descriptors or memory; rest a while, then go on.
    Rest(io::Error),
    /// The listener itself is gone.
    Closed(io::Error),
}

/// Takes the next client from a listening socket's queue (accept(2)).
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, ClientAddress)> {
    // In blocking mode: `relay::Socket` never waits in a call, and the ring wants it so.
    let (client, address) = rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    Ok((client, client_address(address)))
}

impl From<io::Result<(OwnedFd, ClientAddress)>> for Accepted {
    fn from(result: io::Result<(OwnedFd, ClientAddress)>) -> Self {
        let error = match result {
            Ok((client, address)) => return Self::Client(client, address),
            Err(error) => error,
        };
        if is_scarcity(&error) {
            return Self::Rest(error);
        }
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::Empty,
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT) => {
                Self::Closed(error)
            }
            // ECONNABORTED, EPROTO, EINTR, and the network errors that Linux hands over from the
            // client's connection: the next client is not to blame for them.
            _ => Self::Retry,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) address: SocketAddr,
    /// Whether an IPv6 address that stands for all stands for those of IPv4 as well.
    pub(crate) dual_stack: bool,
    /// The only one by which clients may come.
    pub(crate) interface: Option<&'a Interface>,
    /// Whether clients are diverted to it by `tproxy`.
    pub(crate) is_transparent: bool,
}

/// Opens a TCP socket that listens at `place`. The options that clients inherit from it spare
/// a system call per session. All shards listen on their own socket of the same address.
pub(crate) fn listen_tcp(place: Place<'_>, tcp: &Tcp, backlog: Backlog) -> io::Result<OwnedFd> {
    let domain = Domain::for_address(place.address);
    let socket = options::open(domain, Role::Listens, tcp).map_err(Refused::explained)?;
    socket.set_reuse_port(true)?;
    bind_tcp(&socket, place)?;
    socket.listen(length(backlog))?;
    Ok(socket.into())
}

/// Opens a TCP socket that listens at `place` for the one connection that was announced.
pub(crate) fn listen_data(place: Place<'_>, tcp: &Tcp) -> io::Result<OwnedFd> {
    // Whoever comes may wait for the other side to speak first.
    let tcp = Tcp { defer_accept: None, fastopen: None, ..*tcp };
    let domain = Domain::for_address(place.address);
    let socket = options::open(domain, Role::Listens, &tcp).map_err(Refused::explained)?;
    bind_tcp(&socket, place)?;
    socket.listen(DATA_BACKLOG)?;
    Ok(socket.into())
}

/// Has a listening socket listen no more: its port is free, and whoever waits there is reset.
pub(crate) fn stop_listening(socket: BorrowedFd<'_>) {
    // It fails for one that does not listen any more.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

/// As listen(2) takes it.
fn length(backlog: Backlog) -> i32 {
    backlog.get().cast_signed()
}

/// Fails if another process listens at `place`: binding with `SO_REUSEPORT` would succeed and
/// share the clients with it. Gives the port, which the kernel chooses for port 0. Does not listen:
/// clients would come who are not served.
pub(crate) fn probe_tcp(place: Place<'_>) -> io::Result<u16> {
    let socket = stream(
        Type::STREAM.nonblocking(),
        Domain::for_address(place.address),
        Some(Protocol::TCP),
    )?;
    bind_tcp(&socket, place)?;
    Ok(socket.local_addr()?.as_socket().map_or(0, |address| address.port()))
}

/// Fails if the kernel refuses what the listening sockets of a listener are to have, with what to do.
pub(crate) fn probe_listening(
    tcp: &Tcp,
    interface: Option<&Interface>,
    is_transparent: bool,
) -> io::Result<()> {
    let probe = || {
        let socket = options::open(Domain::IPV4, Role::Listens, tcp)?;
        if is_transparent {
            options::be_transparent(&socket, Domain::IPV4)?;
        }
        interface.map_or(Ok(()), |name| options::bind_to(&socket, name))
    };
    probe().map_err(Refused::explained)
}

fn bind_tcp(socket: &Socket, place: Place<'_>) -> io::Result<()> {
    let Place { address, dual_stack, interface, is_transparent } = place;
    // A restart need not wait for old connections of this port to be forgotten.
    socket.set_reuse_address(true)?;
    if let Some(name) = interface {
        options::bind_to(socket, name).map_err(Refused::explained)?;
    }
    if is_transparent {
        let domain = Domain::for_address(address);
        options::be_transparent(socket, domain).map_err(Refused::explained)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.bind(&address.into())
}

/// What the kernel may hold for a UDP socket that clients send to, in bytes: some thousand small
/// datagrams, so that a burst is not lost while the shard is at something else.
const CLIENTS_BUFFER: usize = 4 * 1024 * 1024;

/// The same for the socket of one flow: a burst of answers to one client.
const FLOW_BUFFER: usize = 1024 * 1024;

/// Opens a UDP socket that receives at `place`. All shards have their own socket of the same
/// address, and the kernel gives each client to one of them.
pub(crate) fn listen_udp(place: Place<'_>) -> io::Result<OwnedFd> {
    let socket = bound_udp(place, true)?;
    let address = place.address;
    if address.ip().is_unspecified() {
        datagram::tell_local(&socket, address.is_ipv6())?;
    }
    datagram::take_joined(&socket);
    datagram::tell_overflow(&socket)?;
    datagram::make_room(&socket, CLIENTS_BUFFER)?;
    datagram::make_room_to_send(&socket, CLIENTS_BUFFER)?;
    Ok(socket.into())
}

/// Fails if another process receives at `place`, as [`probe_tcp`] does.
pub(crate) fn probe_udp(place: Place<'_>) -> io::Result<u16> {
    let socket = bound_udp(place, false)?;
    Ok(socket.local_addr()?.as_socket().map_or(0, |address| address.port()))
}

/// Without `SO_REUSEADDR`: with it two UDP sockets may have one port, and one of them hears nothing.
fn bound_udp(place: Place<'_>, shared: bool) -> io::Result<Socket> {
    let Place { address, dual_stack, interface, .. } = place;
    let socket = datagrams(Domain::for_address(address))?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if let Some(name) = interface {
        options::bind_to(&socket, name).map_err(Refused::explained)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A UDP socket that is connected to `target`: it sends to it, and hears nobody else.
pub(crate) fn dial_udp(
    target: SocketAddr,
    departure: Departure<'_>,
) -> Result<DatagramSocket, Undialled> {
    let domain = Domain::for_address(target);
    let socket = departure.each(domain, |leave| {
        let socket = datagrams(domain).map_err(Undialled::System)?;
        leave.apply(&socket)?;
        socket.connect(&target.into()).map_err(Undialled::System)?;
        Ok(socket)
    })?;
    datagram::take_joined(&socket);
    let made = datagram::make_room(&socket, FLOW_BUFFER);
    made.and_then(|()| DatagramSocket::new(socket.into())).map_err(Undialled::System)
}

/// Opens a unix socket that listens at `name`. A file that a dead process left behind is
/// replaced; anything else at that path is left alone.
pub(crate) fn listen_unix(name: &UnixName, backlog: Backlog) -> io::Result<OwnedFd> {
    let address = unix_address(name)?;
    let socket = stream(Type::STREAM.nonblocking(), Domain::UNIX, None)?;
    match (socket.bind(&address), name) {
        (Ok(()), _) => {}
        (Err(error), UnixName::Path(path))
            if error.kind() == io::ErrorKind::AddrInUse && !is_served(&address) =>
        {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        (Err(error), _) => return Err(error),
    }
    socket.listen(length(backlog))?;
    Ok(socket.into())
}

/// Whether somebody answers at a unix address, or something that is no socket lies there.
fn is_served(address: &SockAddr) -> bool {
    let refused = stream(Type::STREAM.nonblocking(), Domain::UNIX, None)
        .and_then(|probe| probe.connect(address));
    !matches!(refused, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A connect under way.
pub(crate) enum Dialled {
    /// The connection stands.
    Connected(OwnedFd),
    /// It will stand, or fail, in a while.
    Connecting(OwnedFd),
    /// The ring is to connect it; it is in blocking mode.
    Prepared(OwnedFd),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Undialled {
    /// It cannot leave from the client's address.
    Source(io::Error),
    /// Anything else that the system has said.
    System(io::Error),
}

impl Undialled {
    pub(crate) fn errno(&self) -> Option<Errno> {
        let (Self::Source(error) | Self::System(error)) = self;
        Errno::from_io_error(error)
    }

    /// See [`is_scarcity`].
    pub(crate) fn is_scarcity(&self) -> bool {
        let (Self::Source(error) | Self::System(error)) = self;
        is_scarcity(error)
    }

    /// What it says about the backend.
    pub(crate) fn failure(&self, is_unix: bool) -> ConnectFailure {
        match self {
            Self::Source(_) => ConnectFailure::Source(self.errno().map_or(0, Errno::raw_os_error)),
            Self::System(error) => connect_failure(error, is_unix),
        }
    }
}

/// Who speaks first on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// We do, as soon as the connection stands.
    Ours,
    /// That is not known.
    Unknown,
}

/// Begins to connect to `target`.
pub(crate) fn dial(
    target: &SockAddr,
    departure: Departure<'_>,
    tcp: &Tcp,
    first: First,
) -> Result<Dialled, Undialled> {
    let domain = target.domain();
    if domain == Domain::UNIX {
        let connecting = stream(Type::STREAM.nonblocking(), domain, None)
            .and_then(|socket| connect(socket, target));
        return connecting.map_err(Undialled::System);
    }
    // Of several sources one is tried after another, by what connect(2) itself says.
    if departure.sources.is_none() && ring::is_here() {
        let socket = options::open_blocking(domain, Role::Connected, tcp);
        let socket = socket.map_err(Refused::into_error).map_err(Undialled::System)?;
        first.prepare(&socket);
        return Ok(Dialled::Prepared(socket.into()));
    }
    departure.each(domain, |leave| {
        let socket = options::open(domain, Role::Connected, tcp).map_err(Refused::into_error);
        let socket = socket.map_err(Undialled::System)?;
        leave.apply(&socket)?;
        first.prepare(&socket);
        connect(socket, target).map_err(Undialled::System)
    })
}

impl First {
    /// Has what we say carry the last word of the handshake as well, instead of a packet of its own
    /// before (tcp(7), TCP_QUICKACK). Where nothing is said after all, the kernel sends it soon.
    fn prepare(self, socket: &Socket) {
        if self == Self::Ours {
            // Refused, it is as good without.
            let _ = socket.set_tcp_quickack(false);
        }
    }
}

fn connect(socket: Socket, target: &SockAddr) -> io::Result<Dialled> {
    match socket.connect(target) {
        Ok(()) => Ok(Dialled::Connected(socket.into())),
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {
            Ok(Dialled::Connecting(socket.into()))
        }
        Err(error) => Err(error),
    }
}

/// The address of a unix socket.
pub(crate) fn unix_address(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => SockAddr::unix(format!("\0{name}")),
    }
}

/// The name of a unix socket that has one which is text.
pub(crate) fn unix_name(address: &SockAddr) -> Option<UnixName> {
    match address.as_pathname() {
        Some(path) => Some(UnixName::Path(path.to_str()?.to_owned())),
        None => {
            let name = std::str::from_utf8(address.as_abstract_namespace()?).ok()?;
            Some(UnixName::Abstract(name.to_owned()))
        }
    }
}

/// Makes an inherited socket that listens as one of [`listen_tcp`], whoever shares it.
pub(crate) fn adopt_listening(socket: &Socket, tcp: &Tcp, is_transparent: bool) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if is_transparent {
        let domain = socket.local_addr()?.domain();
        options::be_transparent(socket, domain).map_err(Refused::explained)?;
    }
    options::set(socket, Role::Listens, tcp).map_err(Refused::explained)
}

/// Makes an inherited client as one that was accepted; who it is.
pub(crate) fn adopt_client(client: &Socket) -> io::Result<ClientAddress> {
    client.set_nonblocking(false)?;
    Ok(client_address(client.peer_addr()?.as_socket()))
}

/// Gives an inherited client the options that accepted ones have from their listener.
pub(crate) fn set_client_options(client: &OwnedFd, tcp: &Tcp) -> io::Result<()> {
    options::set(&SockRef::from(client), Role::Connected, tcp).map_err(Refused::into_error)
}

/// Whether an error says that descriptors or memory have run out, which may be over in a moment.
pub(crate) fn is_scarcity(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// What an error of connecting says about the backend.
pub(crate) fn connect_failure(error: &io::Error, is_unix: bool) -> ConnectFailure {
    let errno = Errno::from_io_error(error);
    match errno {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => ConnectFailure::Refused,
        Some(Errno::TIMEDOUT) => ConnectFailure::Timeout,
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => {
            ConnectFailure::Unreachable
        }
        // A unix listener whose queue is full; for TCP it means that no port is left.
        Some(Errno::AGAIN) if is_unix => ConnectFailure::Other(Errno::AGAIN.raw_os_error()),
        Some(
            errno @ (Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::NOBUFS
            | Errno::ADDRNOTAVAIL
            | Errno::AGAIN
            | Errno::NOSPC),
        ) => ConnectFailure::Ours(errno.raw_os_error()),
        errno => ConnectFailure::Other(errno.map_or(0, Errno::raw_os_error)),
    }
}

/// A socket of this kind, which may say that it is non-blocking: that spares a call.
fn stream(kind: Type, domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new_raw(domain, kind.cloexec(), protocol)
}

fn datagrams(domain: Domain) -> io::Result<Socket> {
    Socket::new_raw(domain, Type::DGRAM.cloexec().nonblocking(), Some(Protocol::UDP))
}

/// The address that a client of a TCP listener came to; IPv4 ones of a dual-stack listener as
/// such. `None` for one of a unix socket.
pub(crate) fn local_address(client: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address = rustix::net::getsockname(client).ok()?;
    let address = SocketAddr::try_from(address).ok();
    match client_address(address) {
        ClientAddress::Ip(address) => Some(address),
        ClientAddress::Unix => None,
    }
}

/// The address of the peer of a TCP connection; IPv4 as such. `None` for a unix socket, or one
/// that is gone.
pub(crate) fn peer_address(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address = rustix::net::getpeername(socket).ok()?;
    match client_address(SocketAddr::try_from(address?).ok()) {
        ClientAddress::Ip(address) => Some(address),
        ClientAddress::Unix => None,
    }
}

fn client_address(address: Option<SocketAddr>) -> ClientAddress {
    match address {
        Some(address) => ClientAddress::Ip(canonical(address)),
        None => ClientAddress::Unix,
    }
}

/// An IPv4 address as such, also where an IPv6 socket has told it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}
