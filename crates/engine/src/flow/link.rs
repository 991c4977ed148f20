//! The socket of one flow towards its backend.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use relay::datagram::{Fate, Letter, Parcel, Unreachable, is_unreachable};
use relay::{DatagramSocket, Stamp, Tick};

use crate::balance::BackendIndex;
use crate::phase::account::ConnectFailure;
use crate::plan::{Backend, Target};
use crate::socket;
use crate::socket::source::Departure;

/// A backend that has taken datagrams for this long, and of which the network has told nothing,
/// is there, even if it never answers: a log server, say.
const ENDURANCE: Duration = Duration::from_secs(1);

/// A connected socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: DatagramSocket,
    /// The backend, which counts this flow while the link is there.
    pub(super) index: BackendIndex,
    /// Where it is, if it is configured by name.
    pub(super) address: Option<SocketAddr>,
    pub(super) opened: Stamp,
    since: Tick,
    /// The PROXY header that the first datagram begins with, until that is sent.
    header: RefCell<Option<Box<[u8]>>>,
    /// Whether something was sent.
    is_used: Cell<bool>,
    /// Whether the backend is known to be there.
    pub(super) is_proven: Cell<bool>,
}

/// Why there is no link.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) address: Option<SocketAddr>,
    pub(super) failure: ConnectFailure,
}

/// A link that nobody counts yet.
pub(super) struct Opened {
    socket: DatagramSocket,
    address: Option<SocketAddr>,
    since: Tick,
}

impl Link {
    /// Opens a socket to a backend: at its address, or the first of its name that will do.
    pub(super) fn open(
        backend: &Backend,
        departure: Departure<'_>,
        now: Tick,
    ) -> Result<Opened, Failure> {
        let opened = |socket, address| Opened { socket, address, since: now };
        let (name, port) = match &backend.target {
            Target::Ip(target) => {
                return socket::dial_udp(*target, departure)
                    .map(|socket| opened(socket, None))
                    .map_err(|error| Failure { address: None, failure: error.failure(false) });
            }
            Target::Name(name, port) => (name, *port),
            // A checked configuration has none.
            Target::Unix(_) | Target::Beyond | Target::Original | Target::Requested => {
                return Err(Failure { address: None, failure: ConnectFailure::Unresolved });
            }
        };
        let mut addresses = name.addresses_now();
        if let Some(sources) = departure.sources {
            addresses.retain(|address| sources.has_family(address.is_ipv6()));
        }
        let mut last = Failure { address: None, failure: ConnectFailure::Unresolved };
        for address in addresses {
            let target = SocketAddr::new(address, port);
            match socket::dial_udp(target, departure) {
                Ok(socket) => return Ok(opened(socket, Some(target))),
                Err(error) => {
                    last = Failure { address: Some(target), failure: error.failure(false) };
                }
            }
        }
        Err(last)
    }

    /// Sends parcels. A refusal of the first ones by this machine is known at once, so that they
    /// can go to another backend.
    pub(super) fn send(
        &self,
        parcels: &[Parcel<'_>],
        mut tell: impl FnMut(Fate),
    ) -> Result<(), Unreachable> {
        let Some((first, others)) = parcels.split_first() else { return Ok(()) };
        let Some(header) = self.header.take() else { return self.send_on(parcels, tell) };
        let whole = [&*header, first.first()].concat();
        self.send_on(&[Parcel::single(&whole)], |fate| {
            // The header is none of the client's bytes.
            tell(match fate {
                Fate::Sent { datagrams, bytes } => {
                    Fate::Sent { datagrams, bytes: bytes.saturating_sub(header.len()) }
                }
                lost @ Fate::Lost { .. } => lost,
            });
        })?;
        if let Some(behind) = first.behind_first() {
            self.send_on(&[behind], &mut tell)?;
        }
        let sent = self.send_on(others, tell);
        sent.map_err(|Unreachable { at, error }| Unreachable { at: at + 1, error })
    }

    fn send_on(
        &self,
        parcels: &[Parcel<'_>],
        mut tell: impl FnMut(Fate),
    ) -> Result<(), Unreachable> {
        let send = |tell: &mut dyn FnMut(Fate)| {
            let letter = |at: usize| Letter::plain(parcels[at]);
            self.socket.send(parcels.len(), letter, |_, fate| tell(fate))
        };
        if self.is_used.replace(true) {
            return send(&mut tell);
        }
        let mut fates = Vec::new();
        send(&mut |fate| fates.push(fate))?;
        if let Some(error) = self.socket.take_error().filter(is_unreachable) {
            return Err(Unreachable { at: 0, error });
        }
        fates.into_iter().for_each(tell);
        Ok(())
    }

    /// Whether the backend is newly known to be there, since nothing speaks against it.
    pub(super) fn has_endured(&self, now: Tick) -> bool {
        !self.is_proven.get() && now.since(self.since) >= ENDURANCE
    }
}

impl Opened {
    /// The link of a flow that counts as one of this backend, which gets `header` first.
    pub(super) fn at(self, index: BackendIndex, header: Option<Box<[u8]>>) -> Link {
        let Self { socket, address, since } = self;
        let opened = Stamp::now();
        Link {
            socket,
            index,
            address,
            opened,
            since,
            header: RefCell::new(header),
            is_used: Cell::default(),
            is_proven: Cell::default(),
        }
    }
}
