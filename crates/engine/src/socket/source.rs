//! What connections to backends leave from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Interface, Source};
use rustix::io::Errno;
use socket2::{Domain, Socket};

use super::Undialled;
use super::options::{self, Refused};

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
    Client,
}

/// What one connection may leave from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure<'a> {
    /// What its pool says; `None`: nothing.
    pub(crate) sources: Option<&'a Sources>,
    /// Whom it is for; `None`: somebody without an address.
    pub(crate) client: Option<SocketAddr>,
    /// Whether it may have that client's port too, if it leaves from its address.
    pub(crate) keeps_port: bool,
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
    /// From this address of the client, and this port of its, if it is not 0.
    Client(SocketAddr),
}

impl Sources {
    /// Compiles what is configured.
    pub fn new(source: &Source) -> Self {
        let kind = match source {
            Source::Interface(name) => Kind::Interface(name.clone()),
            Source::Client => Kind::Client,
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
            Kind::Interface(_) | Kind::Client => true,
        }
    }
}

impl Departure<'_> {
    /// From what the kernel chooses.
    #[cfg(test)]
    pub(crate) const ANYWHERE: Self = Departure { sources: None, client: None, keeps_port: false };

    /// Makes `attempt` from the source whose turn it is, and from the others one after the other
    /// as long as one has no port left for its target, or is not there.
    pub(crate) fn each<T>(
        self,
        domain: Domain,
        mut attempt: impl FnMut(Leave<'_>) -> Result<T, Undialled>,
    ) -> Result<T, Undialled> {
        let Some(sources) = self.sources else { return attempt(Leave::Anywhere) };
        let all = match &sources.kind {
            Kind::Interface(name) => return attempt(Leave::Interface(name)),
            Kind::Client => return self.as_client(domain, attempt),
            Kind::Addresses { ipv6, .. } if domain == Domain::IPV6 => ipv6,
            Kind::Addresses { ipv4, .. } => ipv4,
        };
        let first = sources.turn.fetch_add(1, Ordering::Relaxed);
        let mut result = Err(Undialled::System(Errno::ADDRNOTAVAIL.into()));
        for at in 0..all.len() {
            result = attempt(Leave::Address(all[first.wrapping_add(at) % all.len()]));
            let is_over = |error: &Undialled| error.errno() != Some(Errno::ADDRNOTAVAIL);
            if result.as_ref().map_or_else(is_over, |_| true) {
                break;
            }
        }
        result
    }

    /// From the client's own address and port; from another port if that one is in use already,
    /// or is one that we may not have.
    fn as_client<T>(
        self,
        domain: Domain,
        mut attempt: impl FnMut(Leave<'_>) -> Result<T, Undialled>,
    ) -> Result<T, Undialled> {
        let client = self.client.filter(|client| Domain::for_address(*client) == domain);
        let Some(mut client) = client else {
            return Err(Undialled::Source(Errno::AFNOSUPPORT.into()));
        };
        if self.keeps_port {
            match attempt(Leave::Client(client)) {
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::ACCESS)
                    ) => {}
                result => return result,
            }
        }
        client.set_port(0);
        attempt(Leave::Client(client))
    }
}

impl Leave<'_> {
    /// Has `socket` leave from there.
    pub(crate) fn apply(self, socket: &Socket) -> Result<(), Undialled> {
        match self {
            Self::Client(client) => as_if(socket, client).map_err(Undialled::Source),
            _ => self.hold(socket).map_err(Undialled::System),
        }
    }

    fn hold(self, socket: &Socket) -> io::Result<()> {
        match self {
            Self::Anywhere | Self::Client(_) => Ok(()),
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

/// Has `socket` leave from the address of somebody else.
fn as_if(socket: &Socket, client: SocketAddr) -> io::Result<()> {
    options::be_transparent(socket, Domain::for_address(client)).map_err(Refused::into_error)?;
    match client.port() {
        0 => relay::bind_address_no_port(socket)?,
        // One client may have sessions with several backends, and what is left of old ones is not
        // in the way.
        _ => socket.set_reuse_address(true)?,
    }
    socket.bind(&client.into())
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
        let departure = Departure { sources: Some(sources), ..Departure::ANYWHERE };
        let _ = departure.each(domain, |leave| {
            let Leave::Address(address) = leave else { panic!("{leave:?}") };
            tried.push(address.to_string());
            match address.to_string() == works {
                true => Ok(()),
                false => Err(Undialled::System(fails.into())),
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

    /// What is left from on behalf of `client`, when `fails` is what the first attempt meets.
    #[track_caller]
    fn check_client(client: &str, keeps_port: bool, fails: Errno, expected: &[&str]) {
        let sources = Sources::new(&Source::Client);
        let client = client.parse().ok();
        let departure = Departure { sources: Some(&sources), client, keeps_port };
        let mut tried = Vec::new();
        let result = departure.each(Domain::IPV4, |leave| {
            let Leave::Client(from) = leave else { panic!("{leave:?}") };
            tried.push(from.to_string());
            match tried.len() {
                1 => Err(Undialled::Source(fails.into())),
                _ => Ok(()),
            }
        });
        assert_eq!(tried, expected);
        assert_eq!(result.is_ok(), expected.len() > 1);
    }

    #[test]
    fn a_client_keeps_its_port_if_that_is_free() {
        let both = ["10.0.0.1:5000", "10.0.0.1:0"];
        check_client("10.0.0.1:5000", true, Errno::ADDRINUSE, &both);
        check_client("10.0.0.1:5000", true, Errno::ADDRNOTAVAIL, &both);
        check_client("10.0.0.1:5000", true, Errno::PERM, &both[..1]);
        check_client("10.0.0.1:5000", false, Errno::ADDRINUSE, &both[1..]);
        check_client("[::1]:5000", true, Errno::ADDRINUSE, &[]);
        check_client("a unix socket", true, Errno::ADDRINUSE, &[]);
    }
}
