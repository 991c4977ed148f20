//! FTP: connections that carry commands, and those for data that they speak of.

use std::fmt;
use std::num::NonZeroU16;

/// Sessions of a listener are control connections of FTP (RFC 959, RFC 2428): the addresses in
/// them become ours, and the data connections pass through as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ftp {
    /// Whose addresses.
    pub modes: FtpModes,
    /// Where data connections come in; `None`: at ports that the kernel chooses.
    pub ports: Option<PortRange>,
}

/// Which data connections pass through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FtpModes {
    /// Those of clients to the server: `PASV`, `EPSV`.
    Passive,
    /// Those of the server to clients: `PORT`, `EPRT`.
    Active,
    /// All of them.
    #[default]
    Both,
}

impl FtpModes {
    /// The modes there are, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("passive", Self::Passive), ("active", Self::Active)];

    /// Whether those of `mode` are among them.
    pub fn has(self, mode: Self) -> bool {
        self == Self::Both || self == mode
    }

    /// These and those of `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// Ports in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

impl PortRange {
    /// The ports from `first` to `last`, if there is one.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        let (first, last) = (NonZeroU16::new(first)?, NonZeroU16::new(last)?);
        (first <= last).then_some(Self { first, last })
    }

    /// Reads `40000-40100`, or one port.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        Self::new(port(first)?, port(last)?)
    }

    /// Whether it has this port.
    pub fn has(self, port: u16) -> bool {
        (self.first.get()..=self.last.get()).contains(&port)
    }

    /// Each of them once, beginning with one that `start` chooses.
    pub fn each_from(self, start: usize) -> impl Iterator<Item = u16> {
        let (first, last) = (self.first.get(), self.last.get());
        let count = usize::from(last - first) + 1;
        (0..count).map(move |at| {
            let offset = start.wrapping_add(at) % count;
            // No more than the difference of two ports.
            first + u16::try_from(offset).unwrap_or_default()
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => self.first.fmt(f),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports() {
        for (text, expected) in [
            ("40000-40100", Some("40000-40100")),
            ("1-65535", Some("1-65535")),
            ("21", Some("21")),
            ("21-21", Some("21")),
            ("2-1", None),
            ("0-1", None),
            ("1-65536", None),
            ("1-", None),
            ("+1-2", None),
            ("", None),
        ] {
            let shown = PortRange::parse(text).map(|range| range.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn each_port_comes_once() {
        let range = PortRange::new(65_533, 65_535).expect("a range");
        let from = |start| range.each_from(start).collect::<Vec<_>>();
        assert_eq!(from(0), [65_533, 65_534, 65_535]);
        assert_eq!(from(2), [65_535, 65_533, 65_534]);
        assert_eq!(from(4), [65_534, 65_535, 65_533]);
        assert_eq!(from(usize::MAX).len(), 3);
    }
}
