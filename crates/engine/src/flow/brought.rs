//! Whose flow it is, where a proxy tells that in its first datagram; and what its backend is told.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use model::ProxyTlv;
use relay::Tick;
use relay::datagram::Parcel;
use wire::proxy_header::Transport;

use super::Flow;
use crate::phase::account::ClientAddress;
use crate::phase::proxy_header::{About, Introduction};
use crate::plan::Pool;
use crate::session::introduction::unique_name;
use crate::socket;

/// What a proxy has told of a flow.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) introduction: Introduction,
    /// Whose flow it is.
    pub(super) client: SocketAddr,
    /// How many bytes of the first datagram are the header, until that is sent on.
    pub(super) header: Cell<usize>,
}

impl Brought {
    /// What the header of so many bytes that `peer` has sent is about.
    pub(super) fn new(peer: SocketAddr, introduction: Introduction, header: usize) -> Self {
        let client = match introduction.client() {
            ClientAddress::Ip(client) => client,
            // Nobody sends datagrams over IP from there.
            ClientAddress::Unix => peer,
        };
        Self { introduction, client, header: Cell::new(header) }
    }
}

/// What a flow is called by proxies, if it has a name or backends are told one.
pub(super) fn unique_id(brought: Option<&Brought>, pool: &Pool, id: u64) -> Option<Arc<[u8]>> {
    let told = brought.and_then(|brought| brought.introduction.unique_id.clone());
    told.or_else(|| {
        let name = || unique_name(SystemTime::now(), id).into_bytes().into();
        pool.send_proxy.as_ref()?.tells(ProxyTlv::UniqueId).then(name)
    })
}

impl Flow {
    /// Whose flow it is.
    pub(super) fn of(&self) -> SocketAddr {
        let told = self.brought.as_ref().map(|brought| brought.client);
        told.unwrap_or_else(|| socket::canonical(self.client))
    }

    /// The PROXY header that a backend gets first, if backends of its pool do.
    pub(super) fn header(&self) -> Option<Box<[u8]>> {
        let sends = self.pool().send_proxy.as_ref()?;
        let introduction = self.brought.as_ref().map(|brought| &brought.introduction);
        let server = introduction.and_then(Introduction::server);
        Some(sends.header(&About {
            transport: Transport::Datagram,
            client: ClientAddress::Ip(self.of()),
            server: server.or_else(|| self.inlet.here(self.local)),
            ended: None,
            introduction,
            spoken: None,
            unique_id: self.unique_id.as_deref(),
        }))
    }

    /// Sends what the client has sent: at most a batch of parcels, the first of which may begin with
    /// the header that has told of the flow.
    pub(super) fn to_backend(&self, parcels: &[Parcel<'_>], now: Tick) {
        let header = self.brought.as_ref().map_or(0, |brought| brought.header.take());
        let (true, Some((first, others))) = (header > 0, parcels.split_first()) else {
            return self.send(parcels, now);
        };
        let said = first.first().get(header..).unwrap_or_default();
        self.send(&[Parcel::single(said)], now);
        if let Some(behind) = first.behind_first() {
            self.send(&[behind], now);
        }
        self.send(others, now);
    }
}
