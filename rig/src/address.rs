//! Where a socket is, written as the program under test writes it.

use std::fmt;
use std::net::SocketAddr;

use socket2::{Domain, SockAddr};

/// `127.0.0.1:80`, `[::1]:80`, `udp://127.0.0.1:53`, `unix:/path` or `unix:@abstract`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A UDP address.
    Udp(SocketAddr),
    /// A unix stream socket: a path, or `@` and an abstract name (unix(7)).
    Unix(String),
}

/// What stands in front of a UDP address.
const UDP: &str = "udp://";

impl Address {
    /// Reads what [`Address`] shows.
    ///
    /// # Panics
    /// When `text` is no such thing.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        if let Some(name) = text.strip_prefix("unix:") {
            return Self::Unix(name.to_owned());
        }
        let udp = text.strip_prefix(UDP);
        match udp.unwrap_or(text).parse() {
            Ok(address) if udp.is_some() => Self::Udp(address),
            Ok(address) => Self::Tcp(address),
            Err(error) => panic!("{text:?} is no address: {error}"),
        }
    }

    /// The port.
    ///
    /// # Panics
    /// When it is a unix socket.
    #[track_caller]
    pub fn port(&self) -> u16 {
        match self {
            Self::Udp(address) => address.port(),
            _ => self.tcp().port(),
        }
    }

    /// The UDP address.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn udp(&self) -> SocketAddr {
        match self {
            Self::Udp(address) => *address,
            _ => panic!("{self} is no UDP address"),
        }
    }

    /// The TCP address.
    ///
    /// # Panics
    /// When it is a unix socket.
    #[track_caller]
    pub fn tcp(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            _ => panic!("{self} is no TCP address"),
        }
    }

    pub(crate) fn domain(&self) -> Domain {
        match self {
            Self::Tcp(address) | Self::Udp(address) => Domain::for_address(*address),
            Self::Unix(_) => Domain::UNIX,
        }
    }

    #[track_caller]
    pub(crate) fn for_socket(&self) -> SockAddr {
        match self {
            Self::Tcp(address) | Self::Udp(address) => (*address).into(),
            Self::Unix(name) => {
                let name = match name.strip_prefix('@') {
                    Some(name) => format!("\0{name}"),
                    None => name.clone(),
                };
                SockAddr::unix(&name).unwrap_or_else(|error| panic!("{self}: {error}"))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Udp(address) => write!(f, "{UDP}{address}"),
            Self::Unix(name) => write!(f, "unix:{name}"),
        }
    }
}
