//! The proxies before the backends of a pool.

use std::sync::Arc;

use model::{BackendAddress, Credentials, Proxy, ProxyProtocol, Spanned};

use super::{Names, Target, host};

/// The proxies before the backends of a pool, in the order in which they are passed; at least one.
#[derive(Debug)]
pub struct Via(Box<[Hop]>);

/// One proxy.
#[derive(Debug)]
pub struct Hop {
    /// Where it is reached: the first one by us, each other by the one before it. Never
    /// [`Target::Original`].
    pub target: Target,
    /// As what it stands in records, if no address is known.
    pub label: Arc<str>,
    /// How it is asked.
    pub protocol: ProxyProtocol,
    /// As whom.
    pub credentials: Option<Credentials>,
    /// How it is spoken to in TLS. Every one of [`ProxyProtocol::Https`] has that, and no other.
    pub(crate) tls: Option<tls::Backend>,
}

impl Via {
    /// With those at the same places of `tls` that are spoken to in TLS. `None`: there are no
    /// proxies.
    pub(super) fn compile(
        proxies: &[Spanned<Proxy>],
        tls: &[Option<tls::Backends>],
        names: &mut Names<'_>,
    ) -> Option<Self> {
        let mut before = None;
        let tls = tls.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let hops = proxies.iter().zip(tls).map(|(Spanned { value: proxy, .. }, tls)| Hop {
            target: Target::behind(&proxy.address, before.replace(proxy.protocol), names),
            label: proxy.address.to_string().into(),
            protocol: proxy.protocol,
            credentials: proxy.credentials.clone(),
            tls: tls.map(|tls| tls.backend(host(&proxy.address).as_ref())),
        });
        let hops: Box<[_]> = hops.collect();
        (!hops.is_empty()).then_some(Self(hops))
    }

    /// The one that is connected to.
    pub fn first(&self) -> &Hop {
        &self.0[0]
    }

    /// The one that is asked for backends.
    pub fn last(&self) -> &Hop {
        &self.0[self.0.len() - 1]
    }

    /// Each with the one that it is asked for; `None`: the backend.
    pub(crate) fn hops(&self) -> impl Iterator<Item = (&Hop, Option<&Hop>)> {
        self.0.iter().enumerate().map(|(at, hop)| (hop, self.0.get(at + 1)))
    }
}

impl Target {
    /// What is reached through a proxy of this protocol, if there is one before it.
    pub(super) fn behind(
        address: &BackendAddress,
        before: Option<ProxyProtocol>,
        names: &mut Names<'_>,
    ) -> Self {
        match (address, before) {
            (BackendAddress::Name { .. }, Some(proxy)) if proxy.takes_names() => Self::Beyond,
            (address, _) => Self::compile(address, names),
        }
    }
}
