//! What outgoing connections leave from.

use std::fmt;
use std::net::IpAddr;

use super::{Fault, FaultKind};

/// What the connections to the backends of a pool leave from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// These local addresses in turn, any port; at least one and at most
    /// [`Source::ADDRESSES_MAX`]. Each backend gets those of its own family.
    Addresses(Vec<IpAddr>),
    /// This network interface (`SO_BINDTODEVICE`, socket(7)).
    Interface(Interface),
    /// The address and port of the client itself (`IP_TRANSPARENT`, ip(7)).
    Client,
}

impl Source {
    /// Most addresses: a connect may have to try each of them.
    pub const ADDRESSES_MAX: usize = 64;

    /// The text for [`Source::Client`], which no interface can be called therefore.
    pub const CLIENT: &str = "client";

    /// Whether connections of this family can leave from it.
    pub fn has_family(&self, is_ipv6: bool) -> bool {
        match self {
            Self::Addresses(all) => all.iter().any(|address| address.is_ipv6() == is_ipv6),
            Self::Interface(_) | Self::Client => true,
        }
    }
}

/// One item of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// A local address.
    Address(IpAddr),
    /// A network interface.
    Interface(Interface),
    /// Whatever the client comes from.
    Client,
}

impl SourceAddress {
    /// Reads `client`, an address (IPv6 with or without brackets) or an interface name.
    ///
    /// # Errors
    /// When it can be none of them.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text == Source::CLIENT {
            return Ok(Self::Client);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let interface = Interface::parse(text).map(Self::Interface);
        interface.map_err(|fault| Fault { kind: FaultKind::Source, ..fault })
    }
}

/// The name of a network interface (netdevice(7)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface(String);

impl Interface {
    /// Longest name in bytes: `IFNAMSIZ` less its final zero.
    pub const BYTES_MAX: usize = 15;

    /// Reads a name, which cannot look like an address, or like several words in a list.
    ///
    /// # Errors
    /// When the kernel could not have an interface of this name.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let looks_numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b',');
        let right = (1..=Self::BYTES_MAX).contains(&text.len()) && !looks_numeric;
        match right && text.bytes().all(legal) {
            true => Ok(Self(text.to_owned())),
            false => Err(Fault::new(FaultKind::Interface, 0..text.len())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Interface(name) => name.fmt(f),
            Self::Client => f.write_str(Source::CLIENT),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(all) => {
                for (at, address) in all.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{address}")?;
                }
                Ok(())
            }
            Self::Interface(name) => name.fmt(f),
            Self::Client => f.write_str(Self::CLIENT),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for (text, expected) in [
            ("10.0.3.1", Some("10.0.3.1")),
            ("[::1]", Some("::1")),
            ("eth0", Some("eth0")),
            ("client", Some("client")),
            ("10.0.3", None),
            ("eth0,eth1", None),
            ("a-name-far-too-long", None),
            ("", None),
        ] {
            let shown = SourceAddress::parse(text).ok().map(|source| source.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
