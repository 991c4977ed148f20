//! A listener that is a proxy itself: clients tell it where they want to go.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Credentials;
use crate::ftp::PortRange;
use crate::route::pattern::NamePattern;
use crate::source::Spanned;

/// What a listener that is a proxy does for its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyServer {
    /// What it speaks; at least one, none twice.
    pub protocols: Vec<ServedProtocol>,
    /// Who may sign in; empty: nobody has to.
    pub users: Vec<Spanned<Users>>,
    /// Where clients may go; empty: anywhere that nothing else forbids.
    pub allow_to: Vec<Spanned<Destination>>,
    /// Where they may not; wins over `allow_to`.
    pub deny_to: Vec<Spanned<Destination>>,
    /// Whether they may go to addresses that are not of the public network.
    pub private: Private,
}

impl Default for ProxyServer {
    fn default() -> Self {
        Self {
            protocols: ServedProtocol::NAMES.map(|(_, protocol)| protocol).to_vec(),
            users: Vec::new(),
            allow_to: Vec::new(),
            deny_to: Vec::new(),
            private: Private::default(),
        }
    }
}

impl ProxyServer {
    /// Destinations that `allow_to` and `deny_to` may have together: each client is compared with
    /// all of them.
    pub const DESTINATIONS_MAX: usize = 1_000;
}

/// What a proxy speaks, as told apart by the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServedProtocol {
    /// SOCKS 5.
    Socks5,
    /// SOCKS 4 and 4A.
    Socks4,
    /// HTTP: `CONNECT`, and requests for `http://` URLs.
    Http,
}

impl ServedProtocol {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 3] =
        [("socks5", Self::Socks5), ("socks4", Self::Socks4), ("http", Self::Http)];
}

/// Somebody who may sign in, or all those of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// This one, who has a password.
    One(Credentials),
    /// Those of a file, by the name that the configuration has for it.
    File(String, Vec<Credentials>),
}

impl Users {
    /// Each of them.
    pub fn all(&self) -> &[Credentials] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::File(_, all) => all,
        }
    }
}

/// Whether clients may go to addresses that are not of the public network: those of this machine,
/// of private networks and of links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Private {
    /// Only to those that `allow_to` names as a range.
    #[default]
    Refuse,
    /// As to others.
    Allow,
}

impl Private {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("refuse", Self::Refuse), ("allow", Self::Allow)];
}

/// Where clients may or may not go: hosts, and ports of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Which hosts.
    pub hosts: Hosts,
    /// Which of their ports; `None`: any.
    pub ports: Option<PortRange>,
}

/// Hosts by what they are called, or by their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Those that clients call so.
    Named(NamePattern),
    /// Those that have such an address.
    Range(IpNet),
}

impl Destination {
    /// Reads `*.example`, `a.example:443`, `10.0.0.0/8`, `10.0.0.1:80-90`, `[2001:db8::/32]:443`,
    /// `*:443`. `None`: it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let (hosts, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                let (hosts, behind) = rest.split_once(']')?;
                let ports = match behind {
                    "" => None,
                    behind => Some(behind.strip_prefix(':')?),
                };
                (hosts, ports)
            }
            None => match text.rsplit_once(':') {
                // More than one colon: IPv6 without a port.
                Some((hosts, ports)) if !hosts.contains(':') => (hosts, Some(ports)),
                _ => (text, None),
            },
        };
        let ports = match ports {
            Some(text) => Some(PortRange::parse(text)?),
            None => None,
        };
        let address = || hosts.parse::<IpAddr>().map(IpNet::from).ok();
        let range = hosts.parse::<IpNet>().ok().or_else(address);
        let hosts = match range {
            Some(range) => Hosts::Range(range.trunc()),
            None => Hosts::Named(NamePattern::parse(hosts).ok()?),
        };
        Some(Self { hosts, ports })
    }

    /// Whether it has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.is_none_or(|ports| ports.has(port))
    }
}

/// The text that [`Destination::parse`] reads.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.hosts, self.ports) {
            (Hosts::Named(name), _) => name.fmt(f)?,
            (Hosts::Range(IpNet::V6(range)), Some(_)) => write!(f, "[{range}]")?,
            (Hosts::Range(range), _) => range.fmt(f)?,
        }
        self.ports.iter().try_for_each(|ports| write!(f, ":{ports}"))
    }
}

/// What an address is to somebody who would keep strangers away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// An address of the public network.
    Public,
    /// One of this machine, of a private network, or of a link.
    Private,
    /// None that a connection could go to: of many, of nobody, or reserved.
    Nowhere,
}

impl Reach {
    /// What `address` is (RFC 6890, and what its registry has added). An IPv6 address that stands for
    /// an IPv4 address is what that is.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_ipv4(address),
            IpAddr::V6(address) => Self::of_ipv6(address),
        }
    }

    fn of_ipv4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0 | 224..=255, ..] => Self::Nowhere,
            [10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0, _]
            | [192, 168, ..]
            | [198, 18..=19, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_ipv6(address: Ipv6Addr) -> Self {
        let embedded = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_ipv4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            // Of this machine, of a site or a link, by NAT64 of one's own, and Teredo, which goes
            // through anybody's.
            [0, 0, 0, 0, 0, 0, 0, 1]
            | [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..]
            | [0x64, 0xff9b, 1, ..]
            | [0x2001, 0, ..] => Self::Private,
            // Mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d), compatible (::a.b.c.d, and with
            // it ::), by NAT64 (64:ff9b::a.b.c.d), and by 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0, 0, 0, 0, 0, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => embedded(high, low),
            [0xff00..=0xffff, ..] => Self::Nowhere,
            _ => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_shown_as_they_are_read() {
        for text in [
            "*.example",
            "a.example:443",
            "*:443",
            "*",
            "10.0.0.0/8",
            "10.0.0.0/8:80-90",
            "2001:db8::/32",
            "[2001:db8::/32]:443",
            "a-b_c:1-65535",
        ] {
            let read = Destination::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_string(), text);
        }
        for (text, shown) in [
            ("10.0.0.1:80", "10.0.0.1/32:80"),
            ("::1", "::1/128"),
            ("[::1]", "::1/128"),
            ("[::1]:80", "[::1/128]:80"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ] {
            assert_eq!(
                Destination::parse(text).map(|read| read.to_string()).as_deref(),
                Some(shown)
            );
        }
        for text in ["", ":80", "a:b", "a:0", "10.0.0.0/33", "a b", "[::1", "[::1]80", "*x", "a:1-"]
        {
            assert_eq!(Destination::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_that_strangers_have_no_business_with() {
        let check = |expected, texts: &[&str]| {
            for text in texts {
                assert_eq!(Reach::of(text.parse().expect("an address")), expected, "{text}");
            }
        };
        check(
            Reach::Private,
            &[
                "127.0.0.1",
                "127.9.9.9",
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.0.1",
                "169.254.169.254",
                "100.64.0.1",
                "198.18.0.1",
                "192.0.0.1",
                "::1",
                "fe80::1",
                "fd00:ec2::254",
                "fc00::1",
                "fec0::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::127.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "2002:7f00:1::1",
                "2002:a00:1::",
                "2001::1",
                "::ffff:0:127.0.0.1",
            ],
        );
        check(
            Reach::Nowhere,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "ff02::1",
                "::ffff:0.0.0.0",
                "2002:e000:1::",
            ],
        );
        check(
            Reach::Public,
            &[
                "1.1.1.1",
                "100.128.0.1",
                "172.32.0.1",
                "193.0.0.1",
                "223.255.255.255",
                "2606:4700::1111",
                "::ffff:1.1.1.1",
                "64:ff9b::1.1.1.1",
                "2002:101:101::1",
            ],
        );
    }
}
