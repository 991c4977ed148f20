//! Phase *connect*, its last step where a pool is reached through proxies: each is asked for the
//! next one, and the last for the backend. One that is spoken to in TLS is asked within it, and what is
//! behind it goes within that as well.
//!
//! What the backend has sent behind the answers is kept, and delivered before anything else.
//! Nothing of the client's goes to a proxy before the way is open. The caller bounds the time; what
//! a proxy may send before it has answered is bounded in [`ask`].

mod ask;

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use model::ProxyProtocol;
use relay::Socket;
use socket2::SockAddr;
use tokio::time::timeout;
use wire::socks::v5::Reply;

use crate::phase::account::{Attempt, ConnectFailure, ProxyFailure, TlsFailure};
use crate::phase::connect::{self, Search};
use crate::phase::originate;
use crate::plan::{Backend, Hop, Target, Via};
use crate::socket;

/// A backend that a proxy has connected us to.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) socket: Socket,
    /// What it has sent already.
    pub(crate) early: Box<[u8]>,
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) failure: ConnectFailure,
    /// What a proxy said about it.
    pub(crate) phrase: Option<Arc<str>>,
    pub(crate) about: About,
}

/// What a failure says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The backend: others had better be tried, by later sessions too.
    Backend,
    /// The way to all backends of the pool: there is no use in trying the others.
    Way,
    /// This client and this backend only, or nothing for sure.
    Nothing,
}

impl From<ConnectFailure> for Refused {
    fn from(failure: ConnectFailure) -> Self {
        let about = match failure {
            ConnectFailure::Proxy(_) | ConnectFailure::NoTls => About::Nothing,
            failure if failure.is_of_original() => About::Nothing,
            _ => About::Backend,
        };
        Self { failure, phrase: None, about }
    }
}

impl Refused {
    /// The same, which says this.
    fn about(self, about: About) -> Self {
        Self { about, ..self }
    }
}

/// What a proxy is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal<'a> {
    /// An address.
    Ip(SocketAddr),
    /// A host that the proxy resolves, and a port: `host:port`.
    Name(&'a str),
}

/// Tries one backend through the proxies of its pool: by their addresses, and by its own where it
/// is resolved here. The address of the first proxy is told.
///
/// # Errors
/// What the last failure says something about.
pub(crate) async fn reach(
    search: Search<'_>,
    backend: &Backend,
    via: &Via,
    attempts: &mut Vec<Attempt>,
) -> Result<(Reached, Option<SocketAddr>), About> {
    let label = search.label(backend);
    let begin = Instant::now();
    let mut failed = |address, refused: Refused| {
        let Refused { failure, phrase, about } = refused;
        let (backend_label, is_original) = (label.clone(), backend.is_original());
        let took = begin.elapsed();
        attempts.push(Attempt {
            backend: backend_label,
            is_original,
            address,
            took,
            failure,
            phrase,
        });
        about
    };
    let goals = match goals(search, backend, via, &label).await {
        Ok(goals) => goals,
        Err(refused) => return Err(failed(None, refused)),
    };
    let entrances = match entrances(search, via.first()).await {
        Ok(entrances) => entrances,
        Err(refused) => return Err(failed(None, refused)),
    };
    let (departure, tls) = (search.departure(backend), backend.tls.as_ref());
    let mut last = About::Nothing;
    for goal in goals {
        for (target, address) in &entrances {
            match connect::open(target, Some((via, goal)), tls, departure, search).await {
                Ok(reached) => return Ok((reached, *address)),
                Err(refused) => last = failed(*address, refused),
            }
            if last == About::Backend {
                // Asked at another of its addresses, the proxy would say the same.
                break;
            }
        }
    }
    Err(last)
}

/// What the last proxy is asked for, to get to `backend`.
async fn goals<'a>(
    search: Search<'a>,
    backend: &Backend,
    via: &Via,
    label: &'a str,
) -> Result<Vec<Goal<'a>>, Refused> {
    let unresolved = || Refused::from(ConnectFailure::Unresolved).about(About::Nothing);
    Ok(match &backend.target {
        Target::Beyond => vec![Goal::Name(label)],
        Target::Ip(address) => vec![Goal::Ip(*address)],
        Target::Original => vec![Goal::Ip(search.original()?)],
        Target::Name(name, port) => {
            let mut addresses =
                timeout(search.patience, name.addresses()).await.unwrap_or_default();
            addresses.retain(|ip| ip.is_ipv4() || via.last().protocol.takes_ipv6());
            if addresses.is_empty() {
                return Err(unresolved());
            }
            let goal = |address| Goal::Ip(SocketAddr::new(address, *port));
            addresses.into_iter().map(goal).collect()
        }
        Target::Requested => {
            let is_told = via.last().protocol.takes_names();
            if let (true, Some(asked), Some(served)) =
                (is_told, search.asked, &search.listener.proxy)
                && let Some(name) = asked.name(served)?
            {
                return Ok(vec![Goal::Name(name)]);
            }
            let mut addresses = Box::pin(search.requested()).await?;
            addresses.retain(|to| to.is_ipv4() || via.last().protocol.takes_ipv6());
            if addresses.is_empty() {
                return Err(unresolved());
            }
            addresses.into_iter().map(Goal::Ip).collect()
        }
        // No proxy connects to those; a checked configuration has none.
        Target::Unix(_) => return Err(unresolved()),
    })
}

/// Where the first proxy is reached, with the address that is worth telling.
async fn entrances(
    search: Search<'_>,
    proxy: &Hop,
) -> Result<Vec<(SockAddr, Option<SocketAddr>)>, Refused> {
    let entrance = |address: SocketAddr| (SockAddr::from(address), Some(address));
    let unresolved = || Refused::from(ConnectFailure::Unresolved).about(About::Way);
    match &proxy.target {
        Target::Ip(address) => Ok(vec![entrance(*address)]),
        Target::Unix(name) => {
            let target = socket::unix_address(name).map_err(|error| {
                Refused::from(socket::connect_failure(&error, true)).about(About::Way)
            })?;
            Ok(vec![(target, None)])
        }
        Target::Name(name, port) => {
            let mut addresses =
                timeout(search.patience, name.addresses()).await.unwrap_or_default();
            if let Some(sources) = &search.pool.source {
                addresses.retain(|address| sources.has_family(address.is_ipv6()));
            }
            if addresses.is_empty() {
                return Err(unresolved());
            }
            let address = |ip| entrance(SocketAddr::new(ip, *port));
            Ok(addresses.into_iter().map(address).collect())
        }
        Target::Beyond | Target::Original | Target::Requested => Err(unresolved()),
    }
}

/// Asks each proxy for the next one, beginning with the one behind `socket`, and the last for
/// `goal`.
pub(crate) async fn pass(
    mut socket: Socket,
    via: &Via,
    goal: Goal<'_>,
) -> Result<Reached, Refused> {
    let mut early = Vec::new();
    for (hop, next) in via.hops() {
        if hop.protocol == ProxyProtocol::Https {
            agree(&mut socket, &mut early, hop).await?;
        }
        let asked = match next {
            None => ask::ask(&mut socket, &mut early, hop, goal).await,
            Some(next) => {
                let goal = goal_of(hop, next).await?;
                ask::ask(&mut socket, &mut early, hop, goal).await
            }
        };
        asked.map_err(|refused| {
            let about = about(refused.failure, next.is_none());
            refused.about(about)
        })?;
    }
    Ok(Reached { socket, early: early.into() })
}

/// Begins TLS with a proxy that is to be spoken to in it.
async fn agree(socket: &mut Socket, early: &mut Vec<u8>, hop: &Hop) -> Result<(), Refused> {
    let agreed = match &hop.tls {
        Some(tls) => originate::agree(socket, tls, mem::take(early)).await,
        // A plan has none: nothing is said in the clear to one that is not to hear it.
        None => Err(ConnectFailure::Tls(TlsFailure::Broken)),
    };
    agreed.map_err(|failure| match failure {
        ConnectFailure::Tls(why) => {
            Refused::from(ConnectFailure::Proxy(ProxyFailure::Tls(why))).about(About::Way)
        }
        failure => failure.into(),
    })
}

/// What `proxy` is asked for to get to the `next` one.
async fn goal_of<'a>(proxy: &Hop, next: &'a Hop) -> Result<Goal<'a>, Refused> {
    match &next.target {
        Target::Ip(address) => Ok(Goal::Ip(*address)),
        Target::Name(name, port) => {
            let mut addresses = name.addresses().await.into_iter();
            let address = addresses.find(|ip| ip.is_ipv4() || proxy.protocol.takes_ipv6());
            let address = address
                .ok_or_else(|| Refused::from(ConnectFailure::Unresolved).about(About::Way))?;
            Ok(Goal::Ip(SocketAddr::new(address, *port)))
        }
        Target::Beyond | Target::Unix(_) | Target::Original | Target::Requested => {
            Ok(Goal::Name(&next.label))
        }
    }
}

/// What it means that a proxy did not connect us.
fn about(failure: ConnectFailure, is_last: bool) -> About {
    let ConnectFailure::Proxy(failure) = failure else {
        // The connection to it has broken, or ours is.
        return About::Nothing;
    };
    match failure {
        // Nobody gets further.
        ProxyFailure::Status(407)
        | ProxyFailure::NoMethod
        | ProxyFailure::SignIn
        | ProxyFailure::Tls(_) => About::Way,
        ProxyFailure::Socks5(
            Reply::NetworkUnreachable | Reply::HostUnreachable | Reply::Refused | Reply::Expired,
        ) if is_last => About::Backend,
        ProxyFailure::Closed | ProxyFailure::Malformed => About::Nothing,
        _ if is_last => About::Nothing,
        _ => About::Way,
    }
}
