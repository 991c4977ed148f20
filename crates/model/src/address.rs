//! Where to listen, where to connect, (in [`source`]) what to leave from, and (in [`pattern`]) what
//! clients look like.
//!
//! Each role has its own type, so that a listener's address cannot be handed to
//! something that connects. Each is read from text by a function that returns a
//! typed [`Fault`] with the range of bytes at fault; the dialects turn those
//! into diagnostics.

pub mod pattern;
pub mod source;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Longest unix socket name in bytes: `sun_path` less its final zero (unix(7)).
pub const UNIX_NAME_BYTES_MAX: usize = 107;

/// Longest name of an inherited socket in bytes (sd_listen_fds(3)).
pub const SOCKET_NAME_BYTES_MAX: usize = 255;

/// Longest host name in bytes (RFC 1035 section 2.3.4, less length octets).
pub const HOST_BYTES_MAX: usize = 253;

/// What a listener listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP port on one address, or on every address of both families.
    Tcp {
        /// `None`: every IPv4 and every IPv6 address.
        address: Option<IpAddr>,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// A UDP port, likewise.
    Udp {
        /// `None`: every IPv4 and every IPv6 address.
        address: Option<IpAddr>,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// A unix stream socket.
    Unix(UnixName),
    /// The listening sockets of this name that the service manager hands over
    /// (sd_listen_fds(3)).
    Systemd(String),
    /// The socket that inetd hands over as standard input: a client, or one that listens.
    Inetd,
}

/// Where a backend is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// A numeric address.
    Ip(SocketAddr),
    /// A host name, resolved again and again while replug runs.
    Name {
        /// As written, less a trailing dot.
        host: String,
        /// The port on each of its addresses.
        port: u16,
    },
    /// A unix stream socket.
    Unix(UnixName),
    /// Where the client meant to go before it was diverted to us: of clients of a listener that
    /// is [transparent](crate::Transparent).
    Original,
    /// Where the client says that it wants to go: of clients of a listener that is a
    /// [proxy](crate::ProxyServer).
    Requested,
}

/// A service on another machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPort {
    /// A numeric address.
    Ip(SocketAddr),
    /// A host name.
    Name {
        /// As written, less a trailing dot.
        host: String,
        /// The port on each of its addresses.
        port: u16,
    },
}

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A path in the file system.
    Path(String),
    /// A name in Linux' abstract namespace, without its leading zero byte.
    Abstract(String),
}

/// What is wrong with a text that should be an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The bytes at fault, counted from the start of the text.
    pub range: Range<usize>,
}

/// The kinds of fault of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing was written.
    Empty,
    /// Digits, but not a number from 0 to 65535.
    PortRange,
    /// Not a number at all where a port must stand.
    PortText,
    /// A port must be given.
    PortMissing,
    /// A `[` without its `]`, or text between `]` and `:`.
    Brackets,
    /// An IPv6 address with a port must stand in brackets.
    BareIpv6,
    /// Digits and dots that are no IPv4 address.
    Ipv4,
    /// Not an IPv6 address.
    Ipv6,
    /// Not a host name.
    Host,
    /// A listener needs an address, not a host name.
    ListenName,
    /// A unix name that is empty, too long, or holds a zero byte.
    Unix,
    /// Not a name that a socket can have in the service manager.
    SocketName,
    /// Neither an address nor the name of an interface.
    Source,
    /// Not the name of an interface.
    Interface,
    /// Port 0 cannot be connected to.
    PortZero,
}

impl Bind {
    /// The text before the name of a socket that the service manager hands over.
    const SYSTEMD: &str = "systemd:";

    /// The text for the socket that inetd hands over.
    const INETD: &str = "inetd";

    /// What stands in front of a UDP address.
    pub const UDP: &str = "udp://";

    /// Reads `port`, `:port`, `*:port`, `addr:port`, `[v6]:port`, each also behind `udp://`, and
    /// `unix:/path`, `unix:@abstract`, `systemd:name`, `inetd`.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text == Self::INETD {
            return Ok(Self::Inetd);
        }
        if let Some(name) = text.strip_prefix(Self::SYSTEMD) {
            let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'/');
            let good = (1..=SOCKET_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal);
            let range = Self::SYSTEMD.len()..text.len();
            return match good {
                true => Ok(Self::Systemd(name.to_owned())),
                false => Err(Fault::new(FaultKind::SocketName, range)),
            };
        }
        if let Some(name) = text.strip_prefix("unix:") {
            return UnixName::parse(name).map(Self::Unix).map_err(|fault| fault.shift(5));
        }
        if let Some(behind) = text.strip_prefix(Self::UDP) {
            let (address, port) =
                listen_address(behind).map_err(|fault| fault.shift(Self::UDP.len()))?;
            return Ok(Self::Udp { address, port });
        }
        let (address, port) = listen_address(text)?;
        Ok(Self::Tcp { address, port })
    }

    /// Whether datagrams arrive there.
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// The one address of this machine that it is bound to, if it is bound to one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { address, .. } | Self::Udp { address, .. } => *address,
            Self::Unix(_) | Self::Systemd(_) | Self::Inetd => None,
        }
    }

    /// The port, for targets that name none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } | Self::Udp { port, .. } => Some(*port),
            Self::Unix(_) | Self::Systemd(_) | Self::Inetd => None,
        }
    }
}

impl BackendAddress {
    /// The text for [`BackendAddress::Original`] in native files. [`BackendAddress::parse`] takes
    /// it for a host: whether it is one depends on the dialect.
    pub const ORIGINAL: &str = "original";

    /// The text for [`BackendAddress::Requested`], likewise.
    pub const REQUESTED: &str = "requested";

    /// Reads `host:port`, `host` (then with `default_port`), `[v6]:port`, `unix:/path`.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, Fault> {
        if let Some(name) = text.strip_prefix("unix:") {
            return UnixName::parse(name).map(Self::Unix).map_err(|fault| fault.shift(5));
        }
        let (host, written_port, at) = split(text)?;
        let port = match written_port {
            Some(written) => match port(written, at)? {
                0 => return Err(Fault::new(FaultKind::PortZero, at..text.len())),
                port => port,
            },
            None => match default_port {
                None | Some(0) => return Err(Fault::new(FaultKind::PortMissing, 0..text.len())),
                Some(port) => port,
            },
        };
        match host {
            Host::Bracketed(address) => Ok(Self::Ip(SocketAddr::new(address.into(), port))),
            Host::Bare("" | "*") => Err(Fault::new(FaultKind::Host, 0..text.len().min(1))),
            Host::Bare(host) => Ok(match ip(host, 0)? {
                Some(address) => Self::Ip(SocketAddr::new(address, port)),
                None => Self::Name { host: host_name(host)?, port },
            }),
        }
    }
}

impl HostPort {
    /// Reads `host:port`, `host` (then with `default_port`), `[v6]:port`.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, Fault> {
        match BackendAddress::parse(text, Some(default_port))? {
            BackendAddress::Ip(address) => Ok(Self::Ip(address)),
            BackendAddress::Name { host, port } => Ok(Self::Name { host, port }),
            BackendAddress::Unix(_) | BackendAddress::Original | BackendAddress::Requested => {
                Err(Fault::new(FaultKind::Host, 0..text.len()))
            }
        }
    }
}

impl UnixName {
    /// Reads what stands behind `unix:`.
    ///
    /// # Errors
    /// When it is empty, longer than [`UNIX_NAME_BYTES_MAX`], or holds a zero byte.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (name, room) = match text.strip_prefix('@') {
            Some(name) => (name, UNIX_NAME_BYTES_MAX),
            None => (text, UNIX_NAME_BYTES_MAX),
        };
        if name.is_empty() || name.len() > room || name.contains('\0') {
            return Err(Fault::new(FaultKind::Unix, 0..text.len()));
        }
        Ok(match text.starts_with('@') {
            true => Self::Abstract(name.to_owned()),
            false => Self::Path(name.to_owned()),
        })
    }
}

impl Fault {
    fn new(kind: FaultKind, range: Range<usize>) -> Self {
        Self { kind, range }
    }

    /// The same fault in a longer text that begins `by` bytes earlier.
    #[must_use]
    pub fn shift(self, by: usize) -> Self {
        Self { range: self.range.start + by..self.range.end + by, ..self }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address: None, port } => write!(f, ":{port}"),
            Self::Tcp { address: Some(address), port } => SocketAddr::new(*address, *port).fmt(f),
            Self::Udp { address: None, port } => write!(f, "{}:{port}", Self::UDP),
            Self::Udp { address: Some(address), port } => {
                write!(f, "{}{}", Self::UDP, SocketAddr::new(*address, *port))
            }
            Self::Unix(name) => name.fmt(f),
            Self::Systemd(name) => write!(f, "{}{name}", Self::SYSTEMD),
            Self::Inetd => f.write_str(Self::INETD),
        }
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(name) => name.fmt(f),
            Self::Original => f.write_str(Self::ORIGINAL),
            Self::Requested => f.write_str(Self::REQUESTED),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix:{path}"),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// Reads an address to listen on, and its port.
fn listen_address(text: &str) -> Result<(Option<IpAddr>, u16), Fault> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((None, port(text, 0)?));
    }
    let (host, written_port, at) = split(text)?;
    let Some(written_port) = written_port else {
        return Err(Fault::new(FaultKind::PortMissing, 0..text.len()));
    };
    let port = port(written_port, at)?;
    let address = match host {
        Host::Bare("" | "*") => None,
        Host::Bare(host) => match ip(host, 0)? {
            Some(address) => Some(address),
            None => return Err(Fault::new(FaultKind::ListenName, 0..host.len())),
        },
        Host::Bracketed(address) => Some(IpAddr::V6(address)),
    };
    Ok((address, port))
}

/// The part of an address before its port.
enum Host<'a> {
    Bare(&'a str),
    Bracketed(Ipv6Addr),
}

/// Splits `host[:port]`; the last value is where the port's text begins.
fn split(text: &str) -> Result<(Host<'_>, Option<&str>, usize), Fault> {
    if text.is_empty() {
        return Err(Fault::new(FaultKind::Empty, 0..0));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some(end) = rest.find(']') else {
            return Err(Fault::new(FaultKind::Brackets, 0..text.len()));
        };
        let address =
            rest[..end].parse::<Ipv6Addr>().map_err(|_| Fault::new(FaultKind::Ipv6, 1..1 + end))?;
        let behind = &rest[end + 1..];
        return match behind.strip_prefix(':') {
            Some(port) => Ok((Host::Bracketed(address), Some(port), end + 3)),
            None if behind.is_empty() => Ok((Host::Bracketed(address), None, text.len())),
            None => Err(Fault::new(FaultKind::Brackets, end + 2..text.len())),
        };
    }
    match text.bytes().filter(|&byte| byte == b':').count() {
        0 => Ok((Host::Bare(text), None, text.len())),
        1 => {
            let colon = text.find(':').unwrap_or(text.len());
            Ok((Host::Bare(&text[..colon]), Some(&text[colon + 1..]), colon + 1))
        }
        _ => match text.parse::<Ipv6Addr>() {
            // With several colons, where the address ends and the port begins is a guess.
            Ok(_) => Err(Fault::new(FaultKind::BareIpv6, 0..text.len())),
            Err(_) => Err(Fault::new(FaultKind::Ipv6, 0..text.len())),
        },
    }
}

fn port(text: &str, at: usize) -> Result<u16, Fault> {
    let range = at..at + text.len();
    if text.is_empty() {
        return Err(Fault::new(FaultKind::PortMissing, range));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new(FaultKind::PortText, range));
    }
    text.parse().map_err(|_| Fault::new(FaultKind::PortRange, range))
}

/// An IPv4 address, or `None` for what may be a host name.
fn ip(text: &str, at: usize) -> Result<Option<IpAddr>, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    // `10.0.0.256` is a typing mistake, never a host: no top-level domain is numeric.
    let relative = text.strip_suffix('.').unwrap_or(text);
    let last = relative.rsplit('.').next().unwrap_or(relative);
    match !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Err(Fault::new(FaultKind::Ipv4, at..at + text.len())),
        false => Ok(None),
    }
}

/// A host name as RFC 1123 section 2.1 has it, with `_` allowed as DNS does.
/// Reads a host name without a port; an address is none.
///
/// # Errors
/// The fault of the text.
pub(crate) fn host(text: &str) -> Result<String, Fault> {
    match ip(text, 0)? {
        Some(_) => Err(Fault::new(FaultKind::Host, 0..text.len())),
        None => host_name(text),
    }
}

fn host_name(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label_is_legal = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match name.len() <= HOST_BYTES_MAX && name.split('.').all(label_is_legal) {
        true => Ok(name.to_owned()),
        false => Err(Fault::new(FaultKind::Host, 0..text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_bind(text: &str, expected: &str) {
        let shown = match Bind::parse(text) {
            Ok(bind) => bind.to_string(),
            Err(fault) => format!("{:?} `{}`", fault.kind, &text[fault.range]),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[track_caller]
    fn check_backend(text: &str, expected: &str) {
        let shown = match BackendAddress::parse(text, Some(8080)) {
            Ok(address) => address.to_string(),
            Err(fault) => format!("{:?} `{}`", fault.kind, &text[fault.range]),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn binds() {
        check_bind("8080", ":8080");
        check_bind(":8080", ":8080");
        check_bind("*:8080", ":8080");
        check_bind("192.168.0.14:119", "192.168.0.14:119");
        check_bind("[::1]:80", "[::1]:80");
        check_bind("unix:/run/x.sock", "unix:/run/x.sock");
        check_bind("unix:@name", "unix:@name");
        check_bind(":80800", "PortRange `80800`");
        check_bind("80800", "PortRange `80800`");
        check_bind(":http", "PortText `http`");
        check_bind("127.0.0.1", "PortMissing `127.0.0.1`");
        check_bind("127.0.0.1:", "PortMissing ``");
        check_bind("10.0.0.256:80", "Ipv4 `10.0.0.256`");
        check_bind("localhost:80", "ListenName `localhost`");
        check_bind("::1", "BareIpv6 `::1`");
        check_bind("[::1:80", "Brackets `[::1:80`");
        check_bind("[::1]80", "Brackets `80`");
        check_bind("[::g]:80", "Ipv6 `::g`");
        check_bind("", "Empty ``");
        check_bind("udp://:53", "udp://:53");
        check_bind("udp://53", "udp://:53");
        check_bind("udp://*:53", "udp://:53");
        check_bind("udp://10.0.0.1:53", "udp://10.0.0.1:53");
        check_bind("udp://[::1]:53", "udp://[::1]:53");
        check_bind("udp://10.0.0.1", "PortMissing `10.0.0.1`");
        check_bind("udp://10.0.0.256:53", "Ipv4 `10.0.0.256`");
        check_bind("udp://:65536", "PortRange `65536`");
        check_bind("udp://", "Empty ``");
        check_bind("udp://unix:/x", "PortText `/x`");
        check_bind("unix:", "Unix ``");
        check_bind("systemd:web.socket", "systemd:web.socket");
        check_bind("systemd:80", "systemd:80");
        check_bind("systemd:", "SocketName ``");
        check_bind("systemd:a b", "SocketName `a b`");
        check_bind("systemd:a:b", "SocketName `a:b`");
        check_bind("inetd", "inetd");
    }

    #[test]
    fn backends() {
        check_backend("10.0.0.5:80", "10.0.0.5:80");
        check_backend("10.0.0.5", "10.0.0.5:8080");
        check_backend("db1.example:5432", "db1.example:5432");
        check_backend("db1.example.", "db1.example:8080");
        check_backend("[2001:db8::1]:22", "[2001:db8::1]:22");
        check_backend("[2001:db8::1]", "[2001:db8::1]:8080");
        check_backend("unix:/run/app.sock", "unix:/run/app.sock");
        check_backend("10.0.0.5:0", "PortZero `0`");
        check_backend("10.0.0:80", "Ipv4 `10.0.0`");
        check_backend("10.0.0.5.", "Ipv4 `10.0.0.5.`");
        check_backend("-x.example", "Host `-x.example`");
        check_backend(":80", "Host `:`");
        check_backend("2001:db8::1", "BareIpv6 `2001:db8::1`");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_within_its_bounds(text in "\\PC{0,40}") {
            let faults = [Bind::parse(&text).err(), BackendAddress::parse(&text, None).err()];
            for fault in faults.into_iter().flatten() {
                prop_assert!(text.get(fault.range).is_some());
            }
        }

        #[test]
        fn what_is_shown_reads_back(text in "(:[0-9]{1,4}|[1-9]\\.[0-9]\\.0\\.1:[0-9]{1,4}|\\[::[1-9]\\]:[0-9]{1,4})") {
            let bind = Bind::parse(&text).expect("the pattern writes legal binds only");
            prop_assert_eq!(Bind::parse(&bind.to_string()), Ok(bind));
        }
    }
}
