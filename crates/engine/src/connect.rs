//! Phase *connect*: a session gets its backend.
//!
//! The backends of the pool are tried in the order of [`Pick`], each at most
//! once, each for at most the listener's connect timeout. A backend that fails
//! is left alone by later sessions for a while; a failure that is our own (no
//! descriptor, no port) says nothing about it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay::{Socket, Tick};
use socket2::SockAddr;
use tokio::time::timeout;

use crate::account::{Attempt, ClientAddress, ConnectFailure};
use crate::balance::BackendIndex;
use crate::journal::{Journal, Notice};
use crate::mark::Change;
use crate::pick::Pick;
use crate::plan::{Backend, Listener, Pool, Target};
use crate::socket::{self, Dialled};

/// Longest time that a client is kept waiting for a backend, however many there are to try.
pub(crate) const CONNECT_PHASE_MAX: Duration = Duration::from_secs(60);

/// A backend that was reached.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    pub(crate) backend: BackendIndex,
    /// Where it was reached, if it is configured by name.
    pub(crate) address: Option<SocketAddr>,
}

/// Tries the backends of the listener's pool. `attempts` takes those that fail.
pub(crate) async fn connect(
    listener: &Listener,
    client: ClientAddress,
    id: u64,
    journal: &Journal,
    attempts: &mut Vec<Attempt>,
) -> Option<Connected> {
    let pool = &*listener.pool;
    let address = match client {
        ClientAddress::Ip(address) => Some(address.ip()),
        ClientAddress::Unix => None,
    };
    let begin = Instant::now();
    let mut pick = Pick::new(pool, address);
    while begin.elapsed() < CONNECT_PHASE_MAX {
        let Some(index) = pick.next(Tick::now()) else {
            break;
        };
        let backend = pool.backend(index);
        let first_attempt = attempts.len();
        if let Some((socket, reached)) = reach(listener, backend, attempts).await {
            if backend.mark.succeeded() == Change::Changed {
                let (pool, backend) = (pool.name.clone(), backend.label.clone());
                journal.notice(Notice::BackendUp { pool, backend });
            }
            if let (Some(sticky), Some(address)) = (&pool.sticky, address) {
                sticky.remember(address, index, Tick::now());
            }
            return Some(Connected { socket, backend: index, address: reached });
        }
        for attempt in &attempts[first_attempt..] {
            let (backend, failure) = (attempt.backend.clone(), attempt.failure);
            journal.notice(Notice::AttemptFailed { id, backend, failure });
        }
        if let Some(last) = attempts.last() {
            mark_down(pool, backend, last.failure, journal);
        }
    }
    None
}

/// Tries one backend: its address, or those of its name in turn.
async fn reach(
    listener: &Listener,
    backend: &Backend,
    attempts: &mut Vec<Attempt>,
) -> Option<(Socket, Option<SocketAddr>)> {
    let patience = listener.timeouts.connect;
    let source = listener.pool.source.as_ref();
    let begin = Instant::now();
    let mut failed = |address, failure| {
        let (backend, took) = (backend.label.clone(), begin.elapsed());
        attempts.push(Attempt { backend, address, took, failure });
    };
    let (name, port) = match &backend.target {
        Target::Name(name, port) => (name, *port),
        Target::Ip(address) => {
            let target = SockAddr::from(*address);
            return match open(&target, source, listener, patience).await {
                Ok(socket) => Some((socket, None)),
                Err(failure) => {
                    failed(None, failure);
                    None
                }
            };
        }
        Target::Unix(name) => {
            let opened = match socket::unix_address(name) {
                Ok(target) => open(&target, source, listener, patience).await,
                Err(error) => Err(socket::connect_failure(&error, true)),
            };
            return opened
                .map(|socket| (socket, None))
                .map_err(|failure| failed(None, failure))
                .ok();
        }
    };
    let mut addresses = timeout(patience, name.addresses()).await.unwrap_or_default();
    if let Some(model::SourceAddress::Address(source)) = source {
        addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
    }
    if addresses.is_empty() {
        failed(None, ConnectFailure::Unresolved);
    }
    for address in addresses {
        let address = SocketAddr::new(address, port);
        match open(&address.into(), source, listener, patience).await {
            Ok(socket) => return Some((socket, Some(address))),
            Err(failure) => failed(Some(address), failure),
        }
    }
    None
}

/// Connects to one address.
async fn open(
    target: &SockAddr,
    source: Option<&model::SourceAddress>,
    listener: &Listener,
    patience: Duration,
) -> Result<Socket, ConnectFailure> {
    let failure = |error| socket::connect_failure(&error, target.is_unix());
    let mut socket = match socket::dial(target, source, listener.tcp).map_err(failure)? {
        Dialled::Connected(socket) => return Ok(Socket::new(socket)),
        Dialled::Connecting(socket) => Socket::new(socket),
    };
    match timeout(patience, socket.connected()).await {
        Ok(Ok(())) => Ok(socket),
        Ok(Err(error)) => Err(failure(error)),
        Err(_) => Err(ConnectFailure::Timeout),
    }
}

fn mark_down(pool: &Pool, backend: &Backend, failure: ConnectFailure, journal: &Journal) {
    match failure {
        // Says nothing about the backend, or will be over as soon as the name is resolved.
        ConnectFailure::Ours(_) | ConnectFailure::Unresolved => return,
        ConnectFailure::Refused
        | ConnectFailure::Timeout
        | ConnectFailure::Unreachable
        | ConnectFailure::Other(_) => {}
    }
    if backend.mark.failed(Tick::now(), pool.retry_down) == Change::Changed {
        journal.notice(Notice::BackendDown {
            pool: pool.name.clone(),
            backend: backend.label.clone(),
            failure,
            retry: pool.retry_down,
        });
    }
}
