//! Options of the sockets of a listener's sessions, on both sides (tcp(7), ip(7), socket(7)).
//!
//! Sockets to clients inherit them from the listening socket, so each costs a call per listener and
//! not per session. [`Tcp`] says which side each is for; unix sockets have none of them.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::unit::bytes::ByteSize;

/// Options of the sockets of a session; `None`: as the kernel decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Both sides: silence after which the kernel begins to probe a peer; `None`: it never does.
    pub keepalive: Option<Duration>,
    /// Both sides: how long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// Both sides: small segments leave at once (`TCP_NODELAY`), without waiting for more.
    pub nodelay: bool,
    /// Both sides: unsent bytes in the kernel from which on it takes no more.
    pub notsent_lowat: Option<ByteSize>,
    /// Both sides: the firewall mark of packets (`SO_MARK`), for routing and nftables.
    pub mark: Option<NonZeroU32>,
    /// Both sides: the class of traffic in the header of packets.
    pub dscp: Option<Dscp>,
    /// Both sides: the algorithm of congestion control.
    pub congestion: Option<Congestion>,
    /// Clients only: how many may have sent data with their SYN and not be accepted yet (RFC 7413).
    /// Towards backends there is none: a connect would seem to succeed before anybody has
    /// answered, and the next backend would not be tried.
    pub fastopen: Option<NonZeroU32>,
    /// The sides on which connections may use several paths (RFC 8684).
    pub mptcp: Mptcp,
    /// Clients only: how long a client that has sent nothing is not shown to us, in whole seconds.
    pub defer_accept: Option<Duration>,
    /// Both sides: bytes the kernel may hold that were not acknowledged; ends its own tuning.
    pub send_buffer: Option<ByteSize>,
    /// Both sides: bytes the kernel may hold that were not read; ends its own tuning.
    pub receive_buffer: Option<ByteSize>,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            keepalive: None,
            user_timeout: None,
            nodelay: true,
            notsent_lowat: None,
            mark: None,
            dscp: None,
            congestion: None,
            fastopen: None,
            mptcp: Mptcp::Off,
            defer_accept: None,
            send_buffer: None,
            receive_buffer: None,
        }
    }
}

impl Tcp {
    /// How often a peer is probed before it counts as gone.
    const PROBES: u32 = 4;

    /// Probes a peer after `silence`, and gives it up when it has acknowledged nothing for four
    /// times as long, whether it was silent or owed an acknowledgement.
    #[must_use]
    pub fn probing(self, silence: Option<Duration>) -> Self {
        let user_timeout = silence.map(|silence| silence * Self::PROBES);
        Self { keepalive: silence, user_timeout, ..self }
    }
}

/// On which sides connections may use several paths. A peer that has no Multipath TCP gets TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mptcp {
    /// On none.
    #[default]
    Off,
    /// Between clients and replug.
    Clients,
    /// Between replug and backends.
    Backends,
    /// On both.
    Both,
}

impl Mptcp {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 4] = [
        ("off", Self::Off),
        ("clients", Self::Clients),
        ("backends", Self::Backends),
        ("both", Self::Both),
    ];
}

/// A class of traffic: a differentiated services codepoint, 0 to 63 (RFC 2474).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dscp(u8);

impl Dscp {
    /// The greatest.
    pub const MAX: u8 = 63;

    /// The classes that have names: RFC 2474, 2597, 3246, 5865, 8622.
    #[rustfmt::skip] // a table
    pub const NAMES: [(&str, Self); 23] = [
        ("cs0", Self(0)), ("cs1", Self(8)), ("cs2", Self(16)), ("cs3", Self(24)),
        ("cs4", Self(32)), ("cs5", Self(40)), ("cs6", Self(48)), ("cs7", Self(56)),
        ("af11", Self(10)), ("af12", Self(12)), ("af13", Self(14)),
        ("af21", Self(18)), ("af22", Self(20)), ("af23", Self(22)),
        ("af31", Self(26)), ("af32", Self(28)), ("af33", Self(30)),
        ("af41", Self(34)), ("af42", Self(36)), ("af43", Self(38)),
        ("ef", Self(46)), ("va", Self(44)), ("le", Self(1)),
    ];

    /// A class, if `value` is at most [`Dscp::MAX`].
    pub fn new(value: u8) -> Option<Self> {
        (value <= Self::MAX).then_some(Self(value))
    }

    /// Reads a name or a number.
    pub fn parse(text: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match named {
            Some((_, dscp)) => Some(*dscp),
            None if digits => Self::new(text.parse().ok()?),
            None => None,
        }
    }

    /// The byte of the header that carries it (`IP_TOS`, `IPV6_TCLASS`).
    pub fn traffic_class(self) -> u8 {
        self.0 << 2
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, dscp)| dscp == self) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// The name of an algorithm of congestion control, which this kernel may have or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Congestion {
    name: [u8; Self::BYTES_MAX],
    length: u8,
}

impl Congestion {
    /// Longest name in bytes: `TCP_CA_NAME_MAX` less its final zero.
    pub const BYTES_MAX: usize = 15;

    /// Reads a name: letters, digits, `-` and `_`.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return None;
        }
        let mut name = [0; Self::BYTES_MAX];
        name[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { name, length: u8::try_from(text.len()).ok()? })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = &self.name[..self.length.into()];
        std::str::from_utf8(name).expect("a name is made of ASCII only")
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Congestion({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names_and_numbers() {
        for (text, expected) in [
            ("ef", Some(46)),
            ("EF", Some(46)),
            ("af41", Some(34)),
            ("cs1", Some(8)),
            ("0", Some(0)),
            ("63", Some(63)),
            ("64", None),
            ("af44", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(Dscp::parse(text), expected.and_then(Dscp::new), "{text}");
        }
        for value in 0..=Dscp::MAX {
            let dscp = Dscp::new(value).expect("within the bounds");
            assert_eq!(Dscp::parse(&dscp.to_string()), Some(dscp));
            assert_eq!(dscp.traffic_class(), value * 4);
        }
    }

    #[test]
    fn names_of_algorithms_are_kept_whole() {
        for text in ["bbr", "reno", "a-name_of-15-bs"] {
            assert_eq!(Congestion::parse(text).expect("a legal name").as_str(), text);
        }
        for text in ["", "sixteen-bytes-xx", "b b r", "bbr/2", "bbr\0"] {
            assert!(Congestion::parse(text).is_none(), "{text}");
        }
    }
}
