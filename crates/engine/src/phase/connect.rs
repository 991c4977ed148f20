//! Phase *connect*: a session gets its backend.
//!
//! The backends of the pool are tried in the order of [`Pick`], each at most
//! once, each for at most the listener's connect timeout. While all that are up
//! are full a session waits for its turn, if the pool has a [`Queue`]. A backend
//! that fails is left alone by later sessions for a while; a failure that is our
//! own (no descriptor, no port) says nothing about it, and one that may be over
//! in a moment is waited out.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use model::Transparent;
use relay::{Socket, Tick, ring};
use socket2::SockAddr;
use tokio::time::{sleep_until, timeout};

use crate::ceiling::Ceiling;
use crate::journal::{Journal, Level, Notice};
use crate::mark::{Carries, Change};
use crate::phase::accept::REST;
use crate::phase::account::{Attempt, ClientAddress, ConnectFailure, Queued, Spoken};
use crate::phase::asked::Asked;
use crate::phase::proxy_header::{self, Introduction};
use crate::phase::via::{self, About, Goal, Reached, Refused};
use crate::phase::{originate, sniff, starttls};
use crate::pick::{Pick, Place};
use crate::plan::{Backend, Listener, Pool, Target, Via};
use crate::queue::{LOOK_EVERY, Queue};
use crate::socket::original::Original;
use crate::socket::source::Departure;
use crate::socket::{self, Dialled, First, Undialled};

/// Longest time that is spent on trying backends for a client, however many there are. What it
/// waits in a queue comes on top.
pub(crate) const CONNECT_PHASE_MAX: Duration = Duration::from_secs(60);

/// A backend that was reached.
#[derive(Debug)]
pub(crate) struct Connected<'a> {
    pub(crate) socket: Socket,
    pub(crate) place: Place<'a>,
    /// What it has sent already, behind the answer of its proxy.
    pub(crate) early: Box<[u8]>,
}

/// What only some sessions have to remember of their way to a backend.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// The attempts that failed.
    pub(crate) attempts: Vec<Attempt>,
    /// Where the backend was reached, if it is configured by name, or its proxy.
    pub(crate) address: Option<SocketAddr>,
    /// What the backend is called, if it is where the client meant to go.
    pub(crate) original: Option<Arc<str>>,
    /// The wait for a place.
    pub(crate) queued: Option<Queued>,
    /// What the client said before, or its proxy.
    pub(crate) spoken: Spoken,
    /// The proxy that has brought it and told so.
    pub(crate) sender: Option<ClientAddress>,
    /// What the session is called by proxies.
    pub(crate) unique_id: Option<Arc<[u8]>>,
    /// What the proxy has told, until the session has its backend.
    pub(crate) introduction: Option<Box<Introduction>>,
    /// Where a script sends the session instead of the listener's pools.
    pub(crate) instead: Option<Instead>,
}

/// Where a script sends a session.
#[derive(Clone, Debug)]
pub(crate) struct Instead {
    pub(crate) pool: Arc<Pool>,
    /// How long an attempt to connect may take, if not as long as the listener says.
    pub(crate) patience: Option<Duration>,
}

impl Trail {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { attempts, address, original, queued, .. } = self;
        let Self { spoken, sender, unique_id, introduction, instead, .. } = self;
        let is_direct = attempts.is_empty() && address.is_none() && queued.is_none();
        let is_nameless = sender.is_none() && unique_id.is_none() && introduction.is_none();
        let is_plain = original.is_none() && *spoken == Spoken::default() && instead.is_none();
        is_direct && is_nameless && is_plain
    }

    /// Why the search failed, if it did: what the last backend said, rather than that there is none
    /// for this client behind it.
    pub(crate) fn last_failure(&self) -> Option<ConnectFailure> {
        let failures = || self.attempts.iter().rev().map(|attempt| attempt.failure);
        failures().find(|failure| !failure.is_of_original()).or_else(|| failures().next())
    }
}

/// Why none was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// Those that could be tried have failed.
    Failed,
    /// At least one was not tried because it had as many sessions as it may, and nobody may wait
    /// for it, or the wait is over.
    Full,
}

/// What is behind the PROXY header, for a backend to hear first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FirstWord {
    /// Nothing is there yet. It may be the backend that speaks first.
    #[default]
    Unknown,
    /// What the client has said.
    Client,
    /// The question for TLS, as a PostgreSQL client has asked it.
    TlsRequest,
}

/// What a search for a backend is made for, and with.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) listener: &'a Listener,
    pub(crate) pool: &'a Pool,
    /// How long an attempt may take.
    pub(crate) patience: Duration,
    /// The PROXY header that the backend gets first; `None`: none.
    pub(crate) header: Option<&'a [u8]>,
    pub(crate) first_word: FirstWord,
    pub(crate) client: ClientAddress,
    /// Where it meant to go; `None`: to this listener.
    pub(crate) original: Option<Original>,
    /// Where it says that it wants to go, if it came to a proxy.
    pub(crate) asked: Option<&'a Asked>,
    pub(crate) id: u64,
    pub(crate) journal: &'a Journal,
    pub(crate) ceiling: &'a Ceiling,
}

/// Tries the backends of the pool. `trail` takes what is to be told of it.
pub(crate) async fn connect<'a>(
    search: Search<'a>,
    trail: &mut Trail,
) -> Result<Connected<'a>, Unreached> {
    let Search { pool, client, id, journal, .. } = search;
    let address = match client {
        ClientAddress::Ip(address) => Some(address.ip()),
        ClientAddress::Unix => None,
    };
    let mut pick = Pick::new(pool, address, id);
    let mut turns = Turns { search, until: None };
    let mut spent = Duration::ZERO;
    while spent < CONNECT_PHASE_MAX {
        let Some(place) = turns.next(&mut pick, &mut trail.queued).await? else {
            break;
        };
        let backend = place.backend();
        let first_attempt = trail.attempts.len();
        let attempt = Instant::now();
        search.tell_attempt(backend);
        let attempts = &mut trail.attempts;
        let reached = match &pool.via {
            None => reach(search, backend, attempts).await,
            // Boxed: most sessions go without.
            Some(via) => Box::pin(via::reach(search, backend, via, attempts)).await,
        };
        if let Ok((Reached { socket, early }, address_reached)) = reached {
            let now = Tick::now();
            backend.load.connected_in(attempt.elapsed(), now);
            if backend.mark(Carries::Streams).succeeded() == Change::Changed {
                backend.load.came_up(now);
                let (pool, backend) = (pool.name.clone(), backend.label.clone());
                journal.notice(Notice::BackendUp { pool, backend });
            }
            if let (Some(sticky), Some(address)) = (&pool.sticky, address) {
                sticky.remember(address, backend.number, now);
            }
            if journal.wants_notices(Level::Debug) {
                journal.notice(Notice::Connected { id, backend: search.label(backend) });
            }
            trail.original = backend.is_original().then(|| search.label(backend));
            trail.address = address_reached;
            return Ok(Connected { socket, place, early });
        }
        spent += attempt.elapsed();
        search.tell_failed(&trail.attempts[first_attempt..]);
        match (reached, trail.attempts.last().map(|last| last.failure)) {
            (Err(About::Backend), Some(failure)) => {
                mark_down(pool, backend, Carries::Streams, failure, journal);
            }
            (Err(About::Way), _) => break,
            _ => {}
        }
    }
    Err(match pick.found_full() {
        true => Unreached::Full,
        false => Unreached::Failed,
    })
}

/// The places that a session gets, each when it is its turn.
struct Turns<'a> {
    search: Search<'a>,
    /// When it has waited for as long as it may, once it has begun to.
    until: Option<tokio::time::Instant>,
}

impl<'a> Turns<'a> {
    /// The next place, now or after a wait; `None` when there is nothing left to try or wait for.
    async fn next(
        &mut self,
        pick: &mut Pick<'a>,
        queued: &mut Option<Queued>,
    ) -> Result<Option<Place<'a>>, Unreached> {
        let Some(queue) = &self.search.pool.queue else {
            return Ok(pick.next(Tick::now()));
        };
        if !queue.is_waiting() {
            let place = pick.next(Tick::now());
            if place.is_some() || !pick.found_full() {
                return Ok(place);
            }
        }
        self.wait(queue, pick, queued).await
    }

    /// Waits behind those who came before.
    async fn wait(
        &mut self,
        queue: &Queue,
        pick: &mut Pick<'a>,
        queued: &mut Option<Queued>,
    ) -> Result<Option<Place<'a>>, Unreached> {
        let Search { pool, id, journal, .. } = self.search;
        let Some(turn) = queue.join() else {
            if let Some(times) = queue.full.happened(Tick::now()) {
                let (pool, length) = (pool.name.clone(), queue.length());
                journal.notice(Notice::QueueFull { pool, length, times });
            }
            return Err(Unreached::Full);
        };
        if journal.wants_notices(Level::Debug) {
            let (pool, ahead) = (pool.name.clone(), turn.ahead);
            journal.notice(Notice::SessionWaits { id, pool, ahead });
        }
        let ahead = u32::try_from(turn.ahead).unwrap_or(u32::MAX);
        let before = queued.get_or_insert(Queued { ahead, waited: Some(Duration::ZERO) });
        let waited = before.waited.take().unwrap_or_default();
        let now = tokio::time::Instant::now();
        let until = *self.until.get_or_insert_with(|| now + queue.wait());
        let (mut over, mut look) = (pin!(sleep_until(until)), pin!(sleep_until(now)));
        let place = poll_fn(|cx| {
            if turn.poll(cx).is_ready() {
                let place = pick.again(Tick::now());
                if place.is_some() || !pick.found_full() {
                    return Poll::Ready(Ok(place));
                }
                while look.as_mut().poll(cx).is_ready() {
                    look.as_mut().reset(tokio::time::Instant::now() + LOOK_EVERY);
                }
            }
            over.as_mut().poll(cx).map(|()| Err(Unreached::Full))
        })
        .await;
        // One that gave up waiting ends here.
        before.waited = place.is_ok().then(|| waited + now.elapsed());
        place
    }
}

impl Search<'_> {
    /// What records call a backend: its address, if that is where the client meant to go.
    pub(crate) fn label(&self, backend: &Backend) -> Arc<str> {
        match self.original.and_then(Original::address) {
            _ if matches!(backend.target, Target::Requested) => {
                self.asked.map_or_else(|| backend.label.clone(), |asked| asked.label.clone())
            }
            Some(address) if backend.is_original() => address.to_string().into(),
            _ => backend.label.clone(),
        }
    }

    /// Where the client meant to go, if it can be sent there; tells, now and then, if not.
    pub(crate) fn original(&self) -> Result<SocketAddr, ConnectFailure> {
        let (original, failure) = match self.original {
            Some(Original::At(address)) => return Ok(address),
            Some(Original::Ours(address)) => (Some(address), ConnectFailure::Ourselves),
            Some(Original::Undiverted) | None => (None, ConnectFailure::Undiverted),
        };
        if let Some(times) = self.listener.astray.happened(Tick::now()) {
            let (listener, client) = (self.listener.name.clone(), self.client);
            self.journal.notice(Notice::Astray { listener, client, original, times });
        }
        Err(failure)
    }

    /// Where the client wants to go, if it can be sent there: at least one address.
    pub(crate) async fn requested(&self) -> Result<Vec<SocketAddr>, ConnectFailure> {
        let (Some(asked), Some(served)) = (self.asked, &self.listener.proxy) else {
            // A checked configuration has such backends behind proxies only.
            return Err(ConnectFailure::Unresolved);
        };
        asked.addresses(served, self.patience).await
    }

    /// What the connection to `backend`, or to the proxy before it, may leave from.
    pub(crate) fn departure(&self, backend: &Backend) -> Departure<'_> {
        // Behind address translation a packet from there to there is one of the client's, and
        // would be diverted to us like all of them.
        let is_taken = self.listener.transparent == Some(Transparent::Redirect)
            && self.pool.via.is_none()
            && backend.is_original();
        Departure {
            sources: self.pool.source.as_ref(),
            client: match self.client {
                ClientAddress::Ip(address) => Some(address),
                ClientAddress::Unix => None,
            },
            keeps_port: !is_taken,
        }
    }

    fn tell_attempt(&self, backend: &Backend) {
        if self.journal.wants_notices(Level::Debug) {
            let via = self.pool.via.as_ref();
            self.journal.notice(Notice::Attempt {
                id: self.id,
                bind: self.listener.bind.clone(),
                client: self.client,
                dialled: via.map_or_else(|| self.label(backend), |via| via.first().label.clone()),
                backend: self.label(backend),
            });
        }
    }

    fn tell_failed(&self, attempts: &[Attempt]) {
        for attempt in attempts {
            self.journal.notice(Notice::AttemptFailed {
                id: self.id,
                bind: self.listener.bind.clone(),
                backend: attempt.backend.clone(),
                failure: attempt.failure,
                phrase: attempt.phrase.clone(),
            });
        }
    }
}

/// Tries one backend: its address, or those of its name in turn. The address is told where that is
/// news: it belongs to a name.
///
/// # Errors
/// What the last failure says something about.
async fn reach(
    search: Search<'_>,
    backend: &Backend,
    attempts: &mut Vec<Attempt>,
) -> Result<(Reached, Option<SocketAddr>), About> {
    let patience = search.patience;
    let (label, departure) = (search.label(backend), search.departure(backend));
    let tls = backend.tls.as_ref();
    let begin = Instant::now();
    let mut failed = |address, Refused { failure, phrase, about }| {
        let (name, is_original) = (label.clone(), backend.is_original());
        let took = begin.elapsed();
        attempts.push(Attempt { backend: name, is_original, address, took, failure, phrase });
        about
    };
    let several = match &backend.target {
        Target::Name(name, port) => {
            let addresses = timeout(patience, name.addresses()).await.unwrap_or_default();
            let address = |ip| SocketAddr::new(ip, *port);
            Some(Ok(addresses.into_iter().map(address).collect()))
        }
        // Boxed: few listeners are proxies.
        Target::Requested => Some(Box::pin(search.requested()).await),
        _ => None,
    };
    if let Some(found) = several {
        let mut addresses: Vec<_> = found.map_err(|failure| failed(None, failure.into()))?;
        if let Some(sources) = &search.pool.source {
            addresses.retain(|address| sources.has_family(address.is_ipv6()));
        }
        let mut last = None;
        for address in addresses {
            match open(&address.into(), None, tls, departure, search).await {
                Ok(reached) => return Ok((reached, Some(address))),
                Err(why) => last = Some(failed(Some(address), why)),
            }
        }
        return Err(last.unwrap_or_else(|| failed(None, ConnectFailure::Unresolved.into())));
    }
    let target = match &backend.target {
        Target::Original => search.original().map(SockAddr::from),
        Target::Ip(address) => Ok(SockAddr::from(*address)),
        Target::Unix(name) => {
            socket::unix_address(name).map_err(|error| socket::connect_failure(&error, true))
        }
        // Several, or of a pool with a proxy before it.
        Target::Name(..) | Target::Requested | Target::Beyond => Err(ConnectFailure::Unresolved),
    };
    let opened = match target {
        Ok(target) => open(&target, None, tls, departure, search).await,
        Err(failure) => Err(failure.into()),
    };
    opened.map(|reached| (reached, None)).map_err(|why| failed(None, why))
}

/// Connects to one address, and, if there are proxies on the way, through the one there and those
/// behind it to what they are asked for; and begins with TLS, if there is to be any. All of it
/// within the listener's connect timeout.
pub(crate) async fn open(
    target: &SockAddr,
    way: Option<(&Via, Goal<'_>)>,
    tls: Option<&tls::Backend>,
    departure: Departure<'_>,
    search: Search<'_>,
) -> Result<Reached, Refused> {
    let is_by_proxy = |failure: ConnectFailure| match way {
        // Whatever is wrong with the connection to it, all other backends are behind it as well.
        Some(_) => Refused { about: About::Way, ..Refused::from(failure) },
        None => failure.into(),
    };
    let connecting = async {
        let connected = match dial(target, departure, search).await {
            Ok(Dialled::Connected(socket)) => Ok(Socket::new(socket)),
            Ok(Dialled::Prepared(socket)) => {
                let connected = ring::connect(socket, target.clone()).await;
                connected.map_err(Undialled::System)
            }
            Ok(Dialled::Connecting(socket)) => {
                let mut socket = Socket::new(socket);
                let connected = socket.connected().await;
                connected.map(|()| socket).map_err(Undialled::System)
            }
            Err(error) => Err(error),
        };
        let socket = connected.map_err(|error| is_by_proxy(error.failure(target.is_unix())))?;
        // Boxed: most sessions go without.
        let reached = match way {
            None => Reached { socket, early: Box::default() },
            Some((via, goal)) => Box::pin(via::pass(socket, via, goal)).await?,
        };
        let reached = match search.header {
            None => reached,
            Some(header) => Box::pin(proxy_header::send(reached, header)).await?,
        };
        let reached = match tls {
            None => reached,
            Some(tls) => Box::pin(originate::begin(reached, tls, search.pool.starttls)).await?,
        };
        let reached = match search.listener.starttls {
            None => reached,
            Some(clear) => Box::pin(starttls::skip_greeting(reached, clear)).await?,
        };
        match search.first_word {
            FirstWord::Unknown | FirstWord::Client => Ok(reached),
            FirstWord::TlsRequest => Box::pin(sniff::ask_for_tls(reached)).await,
        }
    };
    match timeout(search.patience, connecting).await {
        Ok(result) => result,
        // Behind a proxy it is anybody's fault.
        Err(_) if way.is_some() => {
            Err(Refused { about: About::Nothing, ..ConnectFailure::Timeout.into() })
        }
        Err(_) => Err(ConnectFailure::Timeout.into()),
    }
}

/// Begins to connect; waits while there is no descriptor to do it with.
async fn dial(
    target: &SockAddr,
    departure: Departure<'_>,
    search: Search<'_>,
) -> Result<Dialled, Undialled> {
    let tcp = &search.listener.tcp;
    // Where a greeting comes before TLS, what the client says waits for that.
    let goes_at_once = search.pool.starttls.is_none() && search.listener.hands_on_at_once();
    let first = match (search.header, search.first_word) {
        (Some(_), _) | (None, FirstWord::TlsRequest) => First::Ours,
        (None, FirstWord::Client) if goes_at_once => First::Ours,
        (None, FirstWord::Client | FirstWord::Unknown) => First::Unknown,
    };
    match socket::dial(target, departure, tcp, first) {
        Err(error) if error.is_scarcity() => {}
        result => return result,
    }
    let _starving = search.ceiling.starve();
    let begin = Instant::now();
    loop {
        tokio::time::sleep(REST).await;
        match socket::dial(target, departure, tcp, first) {
            // Given up before the connect timeout says that the backend was slow: it was not.
            Err(error) if error.is_scarcity() && begin.elapsed() + 2 * REST < search.patience => {}
            result => return result,
        }
    }
}

/// Leaves a backend alone for a while, if the failure is its own.
pub(crate) fn mark_down(
    pool: &Pool,
    backend: &Backend,
    carries: Carries,
    failure: ConnectFailure,
    journal: &Journal,
) {
    match failure {
        // What one client cannot reach another may mean to: these are many backends, not one.
        _ if backend.is_original() => return,
        // Nobody else will look at it.
        _ if pool.is_passing => return,
        // Says nothing about the backend, or will be over as soon as the name is resolved.
        ConnectFailure::Ours(_)
        | ConnectFailure::Unresolved
        | ConnectFailure::NoTls
        | ConnectFailure::Source(_)
        | ConnectFailure::Undiverted
        | ConnectFailure::Ourselves
        | ConnectFailure::Forbidden => return,
        ConnectFailure::Refused
        | ConnectFailure::Proxy(_)
        | ConnectFailure::Timeout
        | ConnectFailure::Unreachable
        | ConnectFailure::NoGreeting
        | ConnectFailure::Tls(_)
        | ConnectFailure::Other(_) => {}
    }
    if backend.mark(carries).failed(Tick::now(), pool.retry_down) == Change::Changed {
        journal.notice(Notice::BackendDown {
            pool: pool.name.clone(),
            backend: backend.label.clone(),
            failure,
            retry: pool.retry_down,
        });
    }
}
