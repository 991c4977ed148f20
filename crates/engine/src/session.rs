//! The life of one client's connection, from accept to account.
//!
//! The phases are the functions of this file, in the order in which they come:
//! [`serve`] is the story, and each phase says in its result what comes next.
//! Whatever happens, a session ends in one record: if its task dies, the record
//! is written when the session is dropped.

mod asked;
pub(crate) mod data;
pub(crate) mod introduction;
mod opening;
mod scripted;

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use model::{HttpRequests, OnRemoved, Refusal};
use relay::{Carrier, Delay, Direction, End, Relay, Rewrite, Side, Socket, Stamp, Tick};

use crate::balance::BackendIndex;
use crate::ceiling::Permit;
use crate::chance::Chance;
use crate::ftp;
use crate::gate::{Held, Place, Scope};
use crate::journal::{Level, Notice};
use crate::phase::account::{
    By, ClientAddress, ConnectFailure, Counts, Denial, Event, Reached, Reason, Record, TcpFigures,
};
use crate::phase::admit::{self, Admission};
use crate::phase::asked::Asked;
use crate::phase::carry::{self, Outcome, Rest};
use crate::phase::connect::{self, Connected, FirstWord, Search, Trail, Unreached};
use crate::phase::route::condition::{Around, Moment};
use crate::phase::route::seen::{Answered, Seen};
use crate::phase::route::{Chosen, Routed};
use crate::phase::sniff::Hello;
use crate::phase::tls::Agreed;
use crate::plan::{Listener, Pool, Target};
use crate::requests::{Aim, Requests, Told};
use crate::seats::{Order, Seat};
use crate::shard::Shard;
use crate::socket;
use crate::socket::original::Original;
use opening::Opened;

/// A client that was accepted, on its way to the shard that serves it.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: OwnedFd,
    pub(crate) client: ClientAddress,
    pub(crate) listener: Arc<Listener>,
    pub(crate) permit: Permit,
    pub(crate) place: Place,
    pub(crate) accepted: Stamp,
}

/// What is known about a session while it lasts. Kept small: every idle session has one.
struct Session {
    shard: Rc<Shard>,
    listener: Arc<Listener>,
    client: ClientAddress,
    id: u64,
    accepted: Stamp,
    seat: Seat,
    /// Which of the listener's pools it goes to.
    chosen: Chosen,
    /// Counts this session in its load, until it is accounted.
    backend: Option<BackendIndex>,
    /// From accept to the backend's connection, in microseconds, at most an hour.
    connect_us: u32,
    trail: Option<Box<Trail>>,
    is_recorded: bool,
    denial: Option<Denial>,
    /// Whether it got as far as to have a pool.
    is_routed: bool,
    held: Held,
    /// `None`: it is accounted.
    permit: Option<Permit>,
}

/// How long a peer is not watched from which nothing is read yet: most of what is done for one
/// takes less, and watching costs as much as that.
const WATCHED_AFTER: Duration = Duration::from_millis(50);

/// What the bytes of a session go through.
#[derive(Default)]
pub(crate) struct Rewriters {
    pub(crate) to_backend: Option<Box<dyn Rewrite>>,
    pub(crate) to_client: Option<Box<dyn Rewrite>>,
}

/// What the relay has to say.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    delivered: (u64, u64),
    first_byte: Option<Stamp>,
    client_tcp: Option<TcpFigures>,
    backend_tcp: Option<TcpFigures>,
    carrier: Option<Carrier>,
}

impl Carried {
    /// What `relay` has to say by now.
    fn of(relay: &Relay) -> Self {
        let figures = |side| {
            let figures = relay.tcp_figures(side)?;
            Some(TcpFigures { rtt_us: figures.rtt_us, retrans: figures.retrans })
        };
        Self {
            delivered: relay.delivered(),
            first_byte: relay.first_byte(),
            client_tcp: figures(Side::Client),
            backend_tcp: figures(Side::Backend),
            carrier: Some(relay.carrier()),
        }
    }
}

/// One client's life. `opening` is the part of it before bytes move, on the heap, so that the
/// future of a session in relay, where it spends its life, stays small.
pub(crate) async fn serve(opening: Pin<Box<impl Future<Output = Option<Carry>>>>) {
    if let Some(carry) = opening.await {
        carry.await;
    }
}

/// Phases *admit* to *connect*. `None`: the session has ended there, and is accounted.
pub(crate) async fn open(arrival: Arrival, shard: Rc<Shard>) -> Option<Carry> {
    let (mut session, mut client) = Session::begin(arrival, shard);
    match session.decide(&client) {
        Ok(original) => session.reach(client, original, Hello::default()).await,
        Err(outcome) => {
            session.turn_away(&mut client, outcome);
            None
        }
    }
}

/// The same for a listener of which [`Listener::takes_time`] holds. While it is decided where they
/// go, many clients may be here, and the rest of the way is not on their heap yet.
pub(crate) async fn open_in_time(arrival: Arrival, shard: Rc<Shard>) -> Option<Carry> {
    let (mut session, mut client) = Session::begin(arrival, shard);
    match session.decide_in_time(&mut client).await {
        Ok((original, Opened::Routed(hello))) => {
            Box::pin(session.reach(client, original, hello)).await
        }
        Ok((original, Opened::ByScript(hello))) => {
            Box::pin(scripted::open(session, client, original, hello)).await
        }
        Err(outcome) => {
            session.turn_away(&mut client, outcome);
            None
        }
    }
}

/// Phases *relay* and *account*.
pub(crate) struct Carry {
    session: Box<Session>,
    relay: Relay,
}

impl Future for Carry {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { session, relay } = &mut *self;
        let outcome = std::task::ready!(session.poll_relay(cx, relay));
        session.account_relay(outcome, relay);
        Poll::Ready(())
    }
}

impl Session {
    fn begin(arrival: Arrival, shard: Rc<Shard>) -> (Self, Socket) {
        let Arrival { socket, client, listener, permit, place, accepted } = arrival;
        listener.load.enter();
        let session = Self {
            id: shard.next_id(),
            seat: shard.seats.take(),
            shard,
            listener,
            client,
            accepted,
            chosen: Chosen::default(),
            backend: None,
            connect_us: 0,
            trail: None,
            is_recorded: false,
            denial: None,
            is_routed: false,
            held: place.keep(),
            permit: Some(permit),
        };
        (session, Socket::blocking(socket))
    }

    /// Phases *admit* and *route*: where the client meant to go, if the listener is one that has
    /// such clients.
    fn decide(&mut self, client: &Socket) -> Result<Option<Original>, Outcome> {
        self.admit()?;
        let original = self.original(client);
        let routed = self.route(client, original, None);
        self.settle(routed)?;
        Ok(original)
    }

    /// Phase *admit*: whether the client may come.
    fn admit(&mut self) -> Result<(), Outcome> {
        let (id, listener, journal) = (self.id, &*self.listener, &self.shard.journal);
        if journal.wants_notices(Level::Debug) {
            let (listener, client) = (listener.name.clone(), self.client);
            journal.notice(Notice::SessionStart { id, listener, client });
        }
        let (access, gates, client) = (&listener.access, &listener.gates, self.client_ip());
        let refused = |reason| Err(Outcome { reason, by: By::Replug });
        match admit::admit(access, gates, client, self.accepted, &mut self.held) {
            Admission::In => Ok(()),
            Admission::Uncounted => {
                if let Some(times) = gates.gate(Scope::Listener).uncounted.happened(Tick::now()) {
                    let listener = listener.name.clone();
                    journal.notice(Notice::ClientsUncounted { listener, times });
                }
                Ok(())
            }
            Admission::Denied(denial) => {
                self.denial = Some(denial);
                refused(Reason::Denied)
            }
            Admission::Limited(limit) => {
                journal.notice(Notice::ClientLimited { id, limit });
                refused(Reason::Limited)
            }
        }
    }

    /// Does `work` for a peer that nothing is read from yet. Ends early if that has reset its
    /// connection, unless it has brought something that is to be delivered, and at an order.
    async fn attend<T>(
        &self,
        peer: &mut Socket,
        side: Side,
        work: impl Future<Output = T>,
    ) -> Result<T, Outcome> {
        let mut work = std::pin::pin!(work);
        let watched_from = Tick::now().after(WATCHED_AFTER);
        std::future::poll_fn(|cx| {
            // Told to report, it has nothing to say yet.
            if let Some(Order::End(reason)) = self.shard.seats.order(&self.seat) {
                return Poll::Ready(Err(Outcome { reason, by: By::Replug }));
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if Tick::now() < watched_from {
                self.shard.seats.wait(&self.seat, cx, watched_from);
                return Poll::Pending;
            }
            if let Poll::Ready(error) = peer.poll_gone(cx) {
                return Poll::Ready(Err(Outcome::of(&End::Reset { by: side, error })));
            }
            self.shard.seats.wait(&self.seat, cx, Tick::NEVER);
            Poll::Pending
        })
        .await
    }

    /// Where the client meant to go, if the listener is one that has such clients.
    fn original(&self, client: &Socket) -> Option<Original> {
        let transparent = self.listener.transparent?;
        Some(Original::of(client.descriptor(), transparent, &self.shard.own.borrow()))
    }

    /// Phase *route*, as far as it goes by what is known at once.
    fn route(
        &self,
        client: &Socket,
        original: Option<Original>,
        agreed: Option<&Agreed>,
    ) -> Routed {
        let here = || self.came_to(client, original);
        let told = agreed.map(|agreed| &agreed.hello).or_else(|| self.introduced_hello());
        let seen = Seen::of_stream(&[], Answered::default(), false).with_hello(told);
        let around = Around::new(self.client_ip(), &here, &this_moment).proven(agreed);
        self.listener.routing.routes.decide(&around, &seen)
    }

    /// Takes the route that was found, if the session goes anywhere.
    fn settle(&mut self, routed: Routed) -> Result<(), Outcome> {
        match routed {
            Routed::Route(chosen) => self.chosen = chosen,
            Routed::None | Routed::Wait if self.listener.routing.closes_others => {
                return Err(Outcome { reason: Reason::Denied, by: By::Replug });
            }
            Routed::None | Routed::Wait => {}
        }
        self.is_routed = true;
        Ok(())
    }

    /// Phase *connect*, and what is there for phase *relay* then.
    async fn reach(
        mut self,
        mut client: Socket,
        original: Option<Original>,
        hello: Hello,
    ) -> Option<Carry> {
        let Hello { early: hello, first_word, asked } = hello;
        match self.connect_to(&mut client, original, first_word, asked.as_deref()).await {
            Ok((backend, early)) => {
                self.forget_introduction();
                if let Some(asked) = asked
                    && let Err(outcome) = Box::pin(self.grant(&mut client, &asked)).await
                {
                    self.turn_away(&mut client, outcome);
                    return None;
                }
                let rewriters = self.rewriters(&client, &backend, original);
                let relay = self.join((client, hello), (backend, early), rewriters);
                let relay = self.let_ride(relay);
                if self.shard.journal.wants().start {
                    self.write(Event::Start, &Carried::default());
                }
                Some(Carry { session: Box::new(self), relay })
            }
            Err(outcome) => {
                if let Some(asked) = asked {
                    Box::pin(self.decline(&mut client, &asked, outcome)).await;
                }
                self.turn_away(&mut client, outcome);
                None
            }
        }
    }

    /// Phase *connect*, for a client that does not say where it wants to go.
    async fn connect(
        &mut self,
        client: &mut Socket,
        original: Option<Original>,
        first_word: FirstWord,
    ) -> Result<(Socket, Box<[u8]>), Outcome> {
        self.connect_to(client, original, first_word, None).await
    }

    /// Phase *connect*. A client that has only sent its FIN still wants its answer.
    async fn connect_to(
        &mut self,
        client: &mut Socket,
        original: Option<Original>,
        first_word: FirstWord,
        asked: Option<&Asked>,
    ) -> Result<(Socket, Box<[u8]>), Outcome> {
        let header = self.header(client, original);
        let first_word = match first_word {
            FirstWord::Unknown if client.has_unread() => FirstWord::Client,
            known => known,
        };
        let mut trail = self.trail.take().map(|trail| *trail).unwrap_or_default();
        let instead = trail.instead.clone();
        let patience = instead.as_ref().and_then(|instead| instead.patience);
        let found = {
            let search = Search {
                listener: &self.listener,
                pool: match &instead {
                    Some(instead) => &instead.pool,
                    None => self.listener.pool_of(self.chosen),
                },
                patience: patience.unwrap_or(self.listener.timeouts.connect),
                header: header.as_deref(),
                first_word,
                client: self.client,
                original,
                asked,
                id: self.id,
                journal: &self.shard.journal,
                ceiling: &self.shard.ceiling,
            };
            self.attend(client, Side::Client, connect::connect(search, &mut trail)).await
        };
        // From here on the session counts as one of its backend, until it is accounted.
        let found = found.map(|found| {
            found.map(|Connected { socket, place, early }| {
                self.backend = Some(place.keep());
                (socket, early)
            })
        });
        let last = trail.last_failure().map(ConnectFailure::reason);
        self.trail = (!trail.is_empty()).then(|| trail.into());
        match found? {
            Ok((socket, early)) => {
                self.connect_us = micros(self.accepted.elapsed());
                Ok((socket, early))
            }
            Err(why) => Err(match (last, why) {
                (Some(reason @ (Reason::Internal | Reason::Denied)), _) => {
                    Outcome { reason, by: By::Replug }
                }
                (_, Unreached::Full) => Outcome { reason: Reason::Limited, by: By::Replug },
                (Some(reason), Unreached::Failed) => Outcome { reason, by: By::Backend },
                (None, Unreached::Failed) => Outcome { reason: Reason::NoBackend, by: By::Replug },
            }),
        }
    }

    /// The end of a session whose client gets no backend.
    fn turn_away(&mut self, client: &mut Socket, outcome: Outcome) {
        // One that is cut short is reset.
        let is_cut = matches!(outcome.reason, Reason::Killed | Reason::Drained);
        // One without a handshake was told why, which a reset would take back. Where it is the
        // backend that has none, nobody has told the client anything.
        let is_told = outcome.reason == Reason::TlsError && outcome.by != By::Backend;
        match self.listener.refuse {
            _ if is_told => client.close_in_order(),
            Refusal::Close if !is_cut => client.close_in_order(),
            Refusal::Reset | Refusal::Close => {}
        }
        self.account(outcome, &Carried::default());
    }

    /// What the listener has its sessions' bytes go through.
    fn rewriters(
        &self,
        client: &Socket,
        backend: &Socket,
        original: Option<Original>,
    ) -> Rewriters {
        if let (Some(_), Some(index)) = (&self.listener.ftp, self.backend) {
            let sockets = (client, backend);
            return ftp::rewriters(&self.shard, &self.listener, self.chosen, index, sockets);
        }
        Rewriters { to_backend: self.requests(client, original), to_client: None }
    }

    /// Lets a relay use the ring, if both connections are TCP: of others the kernel does not tell
    /// what the ring may have to ask.
    fn let_ride(&self, relay: Relay) -> Relay {
        let is_unix = self.client == ClientAddress::Unix
            || self
                .backend
                .is_some_and(|index| matches!(self.pool().backend(index).target, Target::Unix(_)));
        if is_unix { relay } else { relay.riding() }
    }

    /// Both sides with what they have sent already.
    fn join(
        &self,
        (client, hello): (Socket, Box<[u8]>),
        (backend, early): (Socket, Box<[u8]>),
        rewriters: Rewriters,
    ) -> Relay {
        let by = |direction: Direction| match self.shard.splice.get() {
            true => direction,
            false => direction.copy_only(),
        };
        let bandwidth = &self.listener.bandwidth;
        let model::Delay { to_backend, to_client, chunk } = self.listener.delay;
        let mut chance = Chance::new(self.id);
        let mut delay = |mean: Option<Duration>| {
            mean.map(|mean| Delay::new(mean, chunk.get() as usize, chance.bits()))
        };
        let to_backend = Direction::with_prefix(hello)
            .throttled(bandwidth.to_backend())
            .delayed(delay(to_backend))
            .rewritten(rewriters.to_backend);
        let to_client = Direction::with_prefix(early)
            .throttled(bandwidth.to_client())
            .delayed(delay(to_client))
            .rewritten(rewriters.to_client);
        Relay::new(client, backend, by(to_backend), by(to_client))
    }

    /// What reads the client's requests on their way, if anything is to be done with them.
    fn requests(&self, client: &Socket, original: Option<Original>) -> Option<Box<dyn Rewrite>> {
        let http = self.listener.http.as_ref()?;
        let journal = &self.shard.journal;
        let pool = self.pool();
        let aim = match http.requests {
            // Where the client meant to go there is no proxy.
            HttpRequests::Translate if pool.backend(self.backend?).is_original() => Aim::Watch,
            HttpRequests::Translate => Aim::Proxy {
                destination: original
                    .and_then(Original::address)
                    .or_else(|| socket::local_address(client.descriptor())),
                force_url: http.force_url.clone(),
            },
            HttpRequests::Watch => Aim::Watch,
        };
        if aim == Aim::Watch && !journal.wants().requests {
            return None;
        }
        let told = Told {
            journal: journal.clone(),
            id: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client,
            count: 0,
        };
        Some(Box::new(Requests::new(aim, told)))
    }

    /// Phase *relay*: bytes move until both directions have ended, time is up, or an order comes.
    fn poll_relay(&self, cx: &mut Context<'_>, relay: &mut Relay) -> Poll<Outcome> {
        match self.shard.seats.order(&self.seat) {
            Some(Order::End(reason)) => return Poll::Ready(Outcome { reason, by: By::Replug }),
            Some(Order::Report) => self.write(Event::Open, &Carried::of(relay)),
            None => {}
        }
        if let Poll::Ready(end) = relay.poll(cx) {
            return Poll::Ready(Outcome::of(&end));
        }
        if self.shard.has_retired.get()
            && let Some(reason) = self.removed()
        {
            return Poll::Ready(Outcome { reason, by: By::Replug });
        }
        let timeouts = &self.listener.timeouts;
        let rest = Rest::of(relay).deadline(timeouts);
        let life = carry::end_of_life(self.accepted, timeouts);
        let (due, outcome) = if life.0 < rest.0 { life } else { rest };
        if Tick::now() >= due {
            return Poll::Ready(outcome);
        }
        self.shard.seats.wait(&self.seat, cx, due);
        Poll::Pending
    }

    /// Why the session ends, if its backend was removed and it is not to go on without it.
    fn removed(&self) -> Option<Reason> {
        let pool = self.pool();
        let has_retired = pool.backend(self.backend?).load.has_retired(Tick::now());
        has_retired.then_some(match pool.on_removed {
            OnRemoved::Cut => Reason::Killed,
            OnRemoved::Drain(_) | OnRemoved::Keep => Reason::Drained,
        })
    }

    /// Phase *account*, for a session that got as far as relay.
    fn account_relay(&mut self, outcome: Outcome, relay: &Relay) {
        let carried = match self.shard.journal.wants().records {
            true => Carried::of(relay),
            false => Carried::default(),
        };
        self.account(outcome, &carried);
    }

    /// Phase *account*.
    fn account(&mut self, outcome: Outcome, carried: &Carried) {
        self.is_recorded = true;
        // Every session comes here once, dropped or not. Before its record is written, so that
        // whoever reads that finds the place free.
        match self.backend {
            Some(index) => self.pool().leave(index),
            None => self.shard.ceiling.note_unserved(),
        }
        self.listener.gates.leave(std::mem::take(&mut self.held), self.client_ip());
        self.listener.load.leave();
        self.permit = None;
        let Outcome { reason, by } = outcome;
        self.write(Event::End { reason, by }, carried);
    }

    /// Writes down what is known, if anybody wants that.
    fn write(&self, event: Event, carried: &Carried) {
        let journal = &self.shard.journal;
        let wants = journal.wants();
        if !wants.records {
            return;
        }
        let trail = self.trail.as_deref();
        let pool = self.pool();
        let duration = self.accepted.elapsed();
        let backend = self.backend.map(|index| pool.backend(index));
        journal.record(Record {
            event,
            id: self.id,
            accepted: SystemTime::now() - duration,
            listener: self.listener.name.clone(),
            bind: self.listener.bind.clone(),
            target: pool.target(),
            client: self.client,
            sender: trail.and_then(|trail| trail.sender),
            unique_id: trail.and_then(|trail| trail.unique_id.clone()),
            pool: self.is_routed.then(|| pool.name.clone()),
            route: self.listener.routing.name_of(self.chosen),
            spoken: trail.map(|trail| trail.spoken.clone()).unwrap_or_default(),
            connect: backend.map(|_| Duration::from_micros(self.connect_us.into())),
            denial: self.denial,
            backend: backend.map(|backend| Reached {
                backend: trail
                    .and_then(|trail| trail.original.clone())
                    .unwrap_or_else(|| backend.label.clone()),
                address: trail.and_then(|trail| trail.address),
            }),
            queued: trail.and_then(|trail| trail.queued),
            bytes_to_backend: carried.delivered.0,
            bytes_to_client: carried.delivered.1,
            duration,
            first_byte: carried.first_byte.map(|first| first.since(self.accepted)),
            attempts: trail.map(|trail| trail.attempts.clone()).unwrap_or_default(),
            client_tcp: carried.client_tcp,
            backend_tcp: carried.backend_tcp,
            relay: carried.carrier,
            datagrams: None,
            counts: wants.counts.then(|| {
                Counts::around(event, self.shard.ceiling.sessions(), &self.listener, pool, backend)
            }),
        });
    }

    /// The pool that it goes to.
    fn pool(&self) -> &Arc<Pool> {
        let instead = self.trail.as_deref().and_then(|trail| trail.instead.as_ref());
        instead.map_or_else(|| self.listener.pool_of(self.chosen), |instead| &instead.pool)
    }

    fn client_ip(&self) -> Option<IpAddr> {
        match self.client {
            ClientAddress::Ip(address) => Some(address.ip()),
            ClientAddress::Unix => None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_recorded {
            // The task was unwound or thrown away half-way.
            let outcome = Outcome { reason: Reason::Internal, by: By::Replug };
            self.account(outcome, &Carried::default());
        }
        self.shard.seats.leave(&self.seat);
        self.shard.session_ended();
    }
}

/// Now, as routes by hours have it.
pub(crate) fn this_moment() -> Moment {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(seconds.as_secs()).unwrap_or_default();
    Moment::of_seconds(seconds + relay::local_offset(seconds))
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_session_that_is_not_decided_about_is_small() {
        let size = size_of_future(open_in_time);
        assert!(size <= 1_536, "{size} bytes");
    }

    #[test]
    fn an_idle_session_is_small() {
        // The allocator spaces the runtime's words of each socket 384 bytes apart and leaves 104
        // of them free: a session up to that size costs nothing beside its sockets.
        assert!(size_of::<Session>() <= 104, "{} bytes", size_of::<Session>());
        // With the runtime's own 96 bytes, and those of `serve`, a task stays within 256.
        assert!(size_of::<Carry>() <= 104, "{} bytes", size_of::<Carry>());
    }
}
