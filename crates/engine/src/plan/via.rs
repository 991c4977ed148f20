//! The proxies before the backends of a pool.

use std::sync::Arc;

use model::{BackendAddress, Credentials, Proxy, ProxyProtocol, Spanned};

use super::{Names, Target};

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
}

impl Via {
    /// `None`: there are no proxies.
    pub(super) fn compile(proxies: &[Spanned<Proxy>], names: &mut Names<'_>) -> Option<Self> {
        let mut before = None;
        let hops = proxies.iter().map(|Spanned { value: proxy, .. }| Hop {
            target: Target::behind(&proxy.address, before.replace(proxy.protocol), names),
            label: proxy.address.to_string().into(),
            protocol: proxy.protocol,
            credentials: proxy.credentials.clone(),
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
