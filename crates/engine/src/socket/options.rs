//! Options of TCP sockets: set before they listen or connect, so that they take effect.

use std::fs;
use std::io;
use std::time::Duration;

use model::{ByteSize, Interface, Mptcp, Tcp};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Which side of replug a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It listens; the sockets of its clients inherit its options.
    Listens,
    /// It is, or will be, connected: to a backend, or to a client that somebody else accepted.
    Connected,
}

/// An option that the kernel refuses.
#[derive(Debug)]
pub(crate) struct Refused {
    option: &'static str,
    value: String,
    error: io::Error,
}

/// Opens a non-blocking socket with all options of `tcp` for its role.
pub(crate) fn open(domain: Domain, role: Role, tcp: &Tcp) -> Result<Socket, Refused> {
    open_as(Type::STREAM.nonblocking(), domain, role, tcp)
}

/// The same, in blocking mode.
pub(crate) fn open_blocking(domain: Domain, role: Role, tcp: &Tcp) -> Result<Socket, Refused> {
    open_as(Type::STREAM, domain, role, tcp)
}

fn open_as(kind: Type, domain: Domain, role: Role, tcp: &Tcp) -> Result<Socket, Refused> {
    let is_multipath = match role {
        Role::Listens => matches!(tcp.mptcp, Mptcp::Clients | Mptcp::Both),
        Role::Connected => matches!(tcp.mptcp, Mptcp::Backends | Mptcp::Both),
    };
    let opened = match is_multipath {
        true => refuse("mptcp", "on", super::stream(kind, domain, Some(Protocol::MPTCP)))?,
        false => super::stream(kind, domain, Some(Protocol::TCP)).map_err(Refused::of_socket)?,
    };
    apply(&opened, domain, role, tcp)?;
    Ok(opened)
}

/// Gives a socket that somebody else has opened all options of `tcp` for its role. It speaks
/// Multipath TCP if it did before. A unix socket has none of them.
pub(crate) fn set(socket: &Socket, role: Role, tcp: &Tcp) -> Result<(), Refused> {
    match socket.local_addr().map_err(Refused::of_socket)?.domain() {
        Domain::UNIX => Ok(()),
        domain => apply(socket, domain, role, tcp),
    }
}

/// Has a socket take what comes by one interface only, and leave by it.
pub(crate) fn bind_to(socket: &Socket, interface: &Interface) -> Result<(), Refused> {
    let name = interface.as_str();
    refuse("interface", name, socket.bind_device(Some(name.as_bytes())))
}

/// Lets a socket have addresses that are not this machine's: it may be bound to them, and may
/// listen to clients that were diverted from them by `tproxy`.
pub(crate) fn be_transparent(socket: &Socket, domain: Domain) -> Result<(), Refused> {
    let set = match domain {
        Domain::IPV6 => socket.set_ip_transparent_v6(true),
        _ => socket.set_ip_transparent_v4(true),
    };
    refuse("transparent", "", set)
}

/// The names of the network interfaces that there are (proc(5), `/proc/net/dev`).
pub(crate) fn interfaces() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

fn apply(socket: &Socket, domain: Domain, role: Role, tcp: &Tcp) -> Result<(), Refused> {
    if tcp.nodelay {
        refuse("nodelay", true, socket.set_tcp_nodelay(true))?;
    }
    if let Some(idle) = tcp.keepalive {
        // The kernel counts whole seconds from 1 (tcp(7), TCP_KEEPIDLE).
        let idle = idle.max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(idle);
        let shown = || model::unit::show(idle);
        refuse_shown("keepalive", shown, socket.set_tcp_keepalive(&keepalive))?;
    }
    if let Some(time) = tcp.user_timeout {
        let shown = || model::unit::show(time);
        refuse_shown("user_timeout", shown, socket.set_tcp_user_timeout(Some(time)))?;
    }
    if let Some(size) = tcp.notsent_lowat {
        refuse("notsent_lowat", size, socket.set_tcp_notsent_lowat(size.get()))?;
    }
    if let Some(mark) = tcp.mark {
        refuse("mark", mark, socket.set_mark(mark.get()))?;
    }
    if let Some(dscp) = tcp.dscp {
        let class = u32::from(dscp.traffic_class());
        // A socket of both families has an option for each.
        refuse("dscp", dscp, socket.set_tos_v4(class))?;
        if domain == Domain::IPV6 {
            refuse("dscp", dscp, socket.set_tclass_v6(class))?;
        }
    }
    if let Some(name) = tcp.congestion {
        refuse("congestion", name, socket.set_tcp_congestion(name.as_str().as_bytes()))?;
    }
    if let Some(size) = tcp.send_buffer {
        refuse("send_buffer", size, socket.set_send_buffer_size(bytes(size)))?;
    }
    if let Some(size) = tcp.receive_buffer {
        refuse("receive_buffer", size, socket.set_recv_buffer_size(bytes(size)))?;
    }
    if role == Role::Connected {
        return Ok(());
    }
    if let Some(queue) = tcp.fastopen {
        refuse("fastopen", queue, relay::fast_open_queue(socket, queue.get()))?;
    }
    if let Some(time) = tcp.defer_accept {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let shown = || model::unit::show(time);
        refuse_shown("defer_accept", shown, relay::defer_accept(socket, seconds))?;
    }
    Ok(())
}

/// What the kernel granted less of than `tcp` asks for, in words.
pub(crate) fn shortfalls(socket: &Socket, tcp: &Tcp) -> Vec<String> {
    // The kernel keeps twice of what was asked for, for its own accounts (socket(7)).
    let least = |granted: io::Result<usize>| granted.map_or(usize::MAX, |granted| granted / 2);
    let of_size = |option, wanted: Option<ByteSize>, granted: usize, sysctl| {
        let wanted = wanted.filter(|wanted| granted < bytes(*wanted))?;
        Some(format!(
            "tcp.{option} is {granted} bytes instead of {wanted}: raise it with `sysctl {sysctl}={}`",
            wanted.get()
        ))
    };
    let sent = least(socket.send_buffer_size());
    let received = least(socket.recv_buffer_size());
    let fastopen = tcp.fastopen.filter(|_| !serves_fast_open()).map(|_| {
        "tcp.fastopen does nothing yet: allow it with `sysctl net.ipv4.tcp_fastopen=3`".to_owned()
    });
    [
        of_size("send_buffer", tcp.send_buffer, sent, "net.core.wmem_max"),
        of_size("receive_buffer", tcp.receive_buffer, received, "net.core.rmem_max"),
        fastopen,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether listeners may take data with a SYN (`net.ipv4.tcp_fastopen`, ip-sysctl).
fn serves_fast_open() -> bool {
    let setting = setting("net/ipv4/tcp_fastopen");
    setting.and_then(|text| text.parse().ok()).is_none_or(|bits: u32| bits & 2 != 0)
}

impl Refused {
    fn of_socket(error: io::Error) -> Self {
        Self { option: "", value: String::new(), error }
    }

    /// For who only wants to know what the system said.
    pub(crate) fn into_error(self) -> io::Error {
        self.error
    }

    /// The same error, saying which option it is of and what to do. Looks at what the kernel has.
    pub(crate) fn explained(self) -> io::Error {
        let Self { option, value, error } = self;
        if option.is_empty() {
            return error;
        }
        let mut text = format!("the kernel refuses tcp.{option} = {value}: {error}");
        let known = |name| setting(name).unwrap_or_else(|| "it does not say".to_owned());
        match (option, Errno::from_io_error(&error)) {
            ("congestion", Some(Errno::NOENT)) => {
                text = format!("this kernel has no congestion control `{value}`");
                let names = known("net/ipv4/tcp_available_congestion_control");
                text +=
                    &format!("; it has: {names}, and a module may add it: `modprobe tcp_{value}`");
            }
            ("congestion", Some(Errno::PERM)) => {
                let names = known("net/ipv4/tcp_allowed_congestion_control");
                text += &format!(
                    "; without CAP_NET_ADMIN there are: {names} \
                     (net.ipv4.tcp_allowed_congestion_control)"
                );
            }
            ("mark", Some(Errno::PERM)) => {
                text += "; marks need root or CAP_NET_ADMIN (AmbientCapabilities= in a unit), \
                         which whom --user names has not";
            }
            ("interface", Some(Errno::NODEV)) => {
                text = format!(
                    "there is no interface `{value}`; there are: {}",
                    interfaces().join(", ")
                );
            }
            ("interface", _) => {
                text = format!("cannot take clients by `{value}` only: {error}");
            }
            ("transparent", _) => {
                text = format!(
                    "addresses of others (IP_TRANSPARENT) are refused: {error}; they need root, \
                     CAP_NET_ADMIN or CAP_NET_RAW (AmbientCapabilities= in a unit)"
                );
            }
            ("mptcp", _) => {
                text += "; this kernel has no Multipath TCP, or it is off: \
                         `sysctl net.mptcp.enabled=1`";
            }
            (_, Some(Errno::OPNOTSUPP | Errno::NOPROTOOPT)) => {
                text += "; leave it out: Multipath TCP has fewer options than TCP";
            }
            _ => {}
        }
        io::Error::new(error.kind(), text)
    }
}

/// Names the option that `result` is of.
fn refuse<T>(
    option: &'static str,
    value: impl ToString,
    result: io::Result<T>,
) -> Result<T, Refused> {
    refuse_shown(option, || value.to_string(), result)
}

fn refuse_shown<T>(
    option: &'static str,
    value: impl FnOnce() -> String,
    result: io::Result<T>,
) -> Result<T, Refused> {
    result.map_err(|error| Refused { option, value: value(), error })
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.get()).expect("at most a gibibyte")
}

/// A setting of the kernel.
fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Place, listen_tcp};
    use super::*;
    use model::{Congestion, Dscp};
    use std::net::SocketAddr;

    /// All that needs no rights.
    fn tcp() -> Tcp {
        Tcp {
            keepalive: Some(Duration::from_secs(30)),
            user_timeout: Some(Duration::from_secs(90)),
            nodelay: true,
            notsent_lowat: ByteSize::new(16 * 1024),
            dscp: Dscp::parse("af41"),
            congestion: Congestion::parse("reno"),
            send_buffer: ByteSize::new(50_000),
            receive_buffer: ByteSize::new(60_000),
            ..Tcp::default()
        }
    }

    #[track_caller]
    fn check(socket: &Socket, is_ipv6: bool) {
        let seen = (
            socket.tcp_nodelay().expect("nodelay"),
            socket.tcp_keepalive_time().expect("keepalive"),
            socket.tcp_user_timeout().expect("a user timeout"),
            socket.tcp_notsent_lowat().expect("notsent_lowat"),
            socket.send_buffer_size().expect("a send buffer"),
            socket.recv_buffer_size().expect("a receive buffer"),
        );
        let [thirty, ninety] = [30, 90].map(Duration::from_secs);
        assert_eq!(seen, (true, thirty, Some(ninety), 16 * 1024, 100_000, 120_000));
        let congestion = socket.tcp_congestion().expect("a congestion control");
        assert!(congestion.starts_with(b"reno"), "{congestion:?}");
        let class = match is_ipv6 {
            true => socket.tclass_v6().expect("a traffic class"),
            false => socket.tos_v4().expect("a type of service"),
        };
        assert_eq!(class, 34 << 2);
    }

    /// Connects to a listening socket of `address`; checks the sockets of both sides.
    #[track_caller]
    fn check_sides(listen: &str, target: &str) {
        let listen: SocketAddr = listen.parse().expect("an address");
        let place =
            Place { address: listen, dual_stack: true, interface: None, is_transparent: false };
        let listening = listen_tcp(place, &tcp(), model::Backlog::default());
        let listening = Socket::from(listening.expect("a listening socket"));
        let bound = listening.local_addr().expect("a bound address").as_socket();
        let mut target: SocketAddr = target.parse().expect("an address");
        target.set_port(bound.expect("an internet address").port());

        let domain = Domain::for_address(target);
        let connecting = open(domain, Role::Connected, &tcp()).expect("a socket");
        connecting.set_nonblocking(false).expect("it can block");
        connecting.connect(&target.into()).expect("connects");
        check(&connecting, target.is_ipv6());
        listening.set_nonblocking(false).expect("it can block");
        let (accepted, _) = listening.accept().expect("accepts");
        check(&accepted, target.is_ipv6());
    }

    #[test]
    fn both_sides_have_what_was_asked_for() {
        check_sides("127.0.0.1:0", "127.0.0.1:0");
        check_sides("[::1]:0", "[::1]:0");
    }

    #[test]
    fn a_socket_of_both_families_hands_on_the_class_of_either() {
        check_sides("[::]:0", "127.0.0.1:0");
        check_sides("[::]:0", "[::1]:0");
    }

    #[test]
    fn segments_may_wait_for_more() {
        let tcp = Tcp { nodelay: false, ..Tcp::default() };
        let socket = open(Domain::IPV4, Role::Connected, &tcp).expect("a socket");
        assert!(!socket.tcp_nodelay().expect("nodelay"));
    }

    #[test]
    fn an_unknown_congestion_control_is_told_with_those_there_are() {
        let tcp = Tcp { congestion: Congestion::parse("no-such"), ..Tcp::default() };
        let refused = open(Domain::IPV4, Role::Connected, &tcp).expect_err("there is none");
        let told = refused.explained().to_string();
        assert!(told.starts_with("this kernel has no congestion control `no-such`"), "{told}");
        assert!(told.contains("reno"), "{told}");
    }

    #[test]
    fn an_unknown_interface_is_told_with_those_there_are() {
        let socket = open(Domain::IPV4, Role::Listens, &Tcp::default()).expect("a socket");
        let name = Interface::parse("no-such-if").expect("a legal name");
        let told = bind_to(&socket, &name).expect_err("there is none").explained().to_string();
        assert!(told.starts_with("there is no interface `no-such-if`; there are: "), "{told}");
        assert!(told.contains("lo"), "{told}");
    }

    #[test]
    fn less_than_was_asked_for_is_told() {
        let tcp = Tcp { send_buffer: Some(ByteSize::MAX), ..tcp() };
        let socket = open(Domain::IPV4, Role::Connected, &tcp).expect("a socket");
        let told = shortfalls(&socket, &tcp);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("sysctl net.core.wmem_max=1073741824"), "{told:?}");
    }
}
