//! What connections to backends leave from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Interface, Source};
use rustix::io::Errno;
use socket2::{Domain, Socket};

/// A source, as connections need it: addresses are apart by family, and take turns.
#[derive(Debug)]
pub struct Sources {
    kind: Kind,
    turn: AtomicUsize,
}

#[derive(Debug)]
enum Kind {
    Addresses { ipv4: Box<[IpAddr]>, ipv6: Box<[IpAddr]> },
    Interface(Interface),
}

/// One of the sources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave<'a> {
    /// From what the kernel chooses.
    Anywhere,
    /// From this address, any port.
    Address(IpAddr),
    /// By this interface.
    Interface(&'a Interface),
}

impl Sources {
    /// Compiles what is configured.
    pub fn new(source: &Source) -> Self {
        let kind = match source {
            Source::Interface(name) => Kind::Interface(name.clone()),
            Source::Addresses(all) => {
                let (ipv4, ipv6): (Vec<_>, Vec<_>) = all.iter().partition(|ip| ip.is_ipv4());
                Kind::Addresses { ipv4: ipv4.into(), ipv6: ipv6.into() }
            }
        };
        Self { kind, turn: AtomicUsize::new(0) }
    }

    /// Whether connections of this family can leave from it.
    pub(crate) fn has_family(&self, is_ipv6: bool) -> bool {
        match &self.kind {
            Kind::Addresses { ipv4, ipv6 } => !if is_ipv6 { ipv6 } else { ipv4 }.is_empty(),
            Kind::Interface(_) => true,
        }
    }

    /// Makes `attempt` from the source whose turn it is, and from the others one after the other
    /// as long as one has no port left for its target, or is not there.
    pub(crate) fn each<T>(
        &self,
        domain: Domain,
        mut attempt: impl FnMut(Leave<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let all = match &self.kind {
            Kind::Interface(name) => return attempt(Leave::Interface(name)),
            Kind::Addresses { ipv6, .. } if domain == Domain::IPV6 => ipv6,
            Kind::Addresses { ipv4, .. } => ipv4,
        };
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut result = Err(Errno::ADDRNOTAVAIL.into());
        for at in 0..all.len() {
            result = attempt(Leave::Address(all[first.wrapping_add(at) % all.len()]));
            let is_over =
                |error: &io::Error| Errno::from_io_error(error) != Some(Errno::ADDRNOTAVAIL);
            if result.as_ref().map_or_else(is_over, |_| true) {
                break;
            }
        }
        result
    }
}

impl Leave<'_> {
    /// Has `socket` leave from there.
    pub(crate) fn apply(self, socket: &Socket) -> io::Result<()> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Address(address) => {
                // The port is chosen at connect, when the target is known: one port can then serve
                // many targets (ip(7), IP_BIND_ADDRESS_NO_PORT).
                relay::bind_address_no_port(socket)?;
                socket.bind(&SocketAddr::new(address, 0).into())
            }
            Self::Interface(name) => socket.bind_device(Some(name.as_str().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(all: &[&str]) -> Sources {
        let all = all.iter().map(|text| text.parse().expect("an address"));
        Sources::new(&Source::Addresses(all.collect()))
    }

    /// What attempts are made from until one does not fail with `fails`.
    fn tried(sources: &Sources, domain: Domain, fails: Errno, works: &str) -> Vec<String> {
        let mut tried = Vec::new();
        let _ = sources.each(domain, |leave| {
            let Leave::Address(address) = leave else { panic!("{leave:?}") };
            tried.push(address.to_string());
            match address.to_string() == works {
                true => Ok(()),
                false => Err(io::Error::from(fails)),
            }
        });
        tried
    }

    #[test]
    fn addresses_of_the_family_take_turns() {
        let sources = sources(&["10.0.0.1", "::1", "10.0.0.2"]);
        let next = |domain| tried(&sources, domain, Errno::CONNREFUSED, "");
        assert_eq!(next(Domain::IPV4), ["10.0.0.1"]);
        assert_eq!(next(Domain::IPV4), ["10.0.0.2"]);
        assert_eq!(next(Domain::IPV6), ["::1"]);
        assert_eq!(next(Domain::IPV4), ["10.0.0.2"]);
        assert_eq!(next(Domain::IPV4), ["10.0.0.1"]);
    }

    #[test]
    fn one_without_a_port_is_followed_by_the_next_and_each_is_tried_once() {
        let sources = sources(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let works = tried(&sources, Domain::IPV4, Errno::ADDRNOTAVAIL, "10.0.0.2");
        assert_eq!(works, ["10.0.0.1", "10.0.0.2"]);
        let none = tried(&sources, Domain::IPV4, Errno::ADDRNOTAVAIL, "");
        assert_eq!(none, ["10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert!(tried(&sources, Domain::IPV6, Errno::ADDRNOTAVAIL, "").is_empty());
    }
}
