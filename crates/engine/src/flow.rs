//! The life of one flow, from the first datagram of a client to account.
//!
//! A flow is for UDP what a session is for streams: the datagrams of one client
//! at one address of ours, and the answers of one backend to them. It goes
//! through the same phases. Nothing says where it ends, so it ends when nothing
//! has moved for its idle time, or makes room for another when there are too many.
//!
//! Read in this order: [`inlet`] receives what clients send and gives each datagram
//! to its flow; here a flow finds a backend, sends on to it, and takes the answers;
//! [`post`] sends those to clients; [`link`] is the socket towards the backend; [`table`] is where flows are
//! found again, and which is idlest; [`brought`] is what a proxy has told of a flow; [`refusals`] bounds what is told of clients
//! that have no flow.
//!
//! A UDP backend accepts nothing, so *connect* cannot fail by itself. What can be
//! known is told later, by the network: that nobody listens there. Then the
//! backend is marked down, and the next datagram goes to another one; what was
//! sent is lost, unless the backend is on this machine, which tells at once. A
//! backend that was down is up when it answers, or takes datagrams for a while.

mod brought;
pub(crate) mod inlet;
mod link;
pub(crate) mod post;
mod refusals;
mod table;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use model::OnRemoved;
use relay::datagram::{self, Edge, Fate, Left, Local, Parcel, Unreachable};
use relay::{Stamp, Tick};
use rustix::io::Errno;

use crate::balance::BackendIndex;
use crate::ceiling::Permit;
use crate::gate::{self, Held};
use crate::journal::{Level, Notice};
use crate::mark::{Carries, Change};
use crate::phase::account::{
    Attempt, By, ClientAddress, ConnectFailure, Counts, Datagrams, Denial, Event, Reached, Reason,
    Record, Spoken,
};
use crate::phase::carry::{self, Outcome};
use crate::phase::connect::mark_down;
use crate::phase::route::Chosen;
use crate::pick::Pick;
use crate::plan::{Listener, Pool};
use crate::queue::Queue;
use crate::seats::{Order, Seat};
use crate::socket;
use crate::socket::source::Departure;
use brought::Brought;
use inlet::Inlet;
use link::Link;
use table::Key;

/// Failed attempts that a flow remembers for its record.
const ATTEMPTS_MAX: usize = 16;

/// Batches that are received from one socket before others get their turn.
const ROW: usize = 4;

/// One flow.
#[derive(Debug)]
pub(crate) struct Flow {
    inlet: Rc<Inlet>,
    listener: Arc<Listener>,
    key: Key,
    /// As the inlet's socket has it.
    client: SocketAddr,
    /// What the client sends to, and answers leave from.
    local: Option<Local>,
    /// Whom a proxy has brought it for; `None`: its client has come by itself.
    brought: Option<Box<Brought>>,
    /// What proxies call it.
    unique_id: Option<Arc<[u8]>>,
    /// Which of the listener's pools it goes to.
    chosen: Chosen,
    id: u64,
    began: Stamp,
    /// When something moved last.
    active: Cell<Tick>,
    carried: Carried,
    link: RefCell<Option<Rc<Link>>>,
    trail: RefCell<Trail>,
    /// `None`: the flow is over.
    stay: RefCell<Option<Stay>>,
}

/// What a flow has only while it lasts.
#[derive(Debug)]
struct Stay {
    seat: Seat,
    room: Room,
}

/// What a flow takes of the limits, given back when it is dropped.
#[derive(Debug)]
struct Room {
    listener: Arc<Listener>,
    client: IpAddr,
    held: Held,
    place: gate::Place,
    permit: Option<Permit>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.listener.gates.leave(std::mem::take(&mut self.held), Some(self.client));
    }
}

/// What was carried.
#[derive(Debug, Default)]
struct Carried {
    to_backend: Count,
    to_client: Count,
    lost: Cell<u64>,
    first_answer: Cell<Option<Stamp>>,
}

/// Datagrams in one direction.
#[derive(Debug, Default)]
struct Count {
    datagrams: Cell<u64>,
    bytes: Cell<u64>,
}

/// Where a flow has been.
#[derive(Debug, Default)]
struct Trail {
    /// Those that failed, in order, at most [`ATTEMPTS_MAX`].
    attempts: Vec<Attempt>,
    /// Backends that have failed since one has answered.
    failed: Vec<BackendIndex>,
    /// The backend that answered last, or that may do so yet.
    last: Option<(BackendIndex, Option<SocketAddr>)>,
}

/// What the task of a flow has to do next.
enum Next<'a> {
    Receive(Edge<'a>),
    /// The link is another one.
    Look,
    End(Outcome),
    /// Somebody else has ended the flow.
    Over,
}

impl Flow {
    /// Begins a flow: phase *connect*. Why there is none, if no backend will do.
    fn begin(
        inlet: &Rc<Inlet>,
        listener: Arc<Listener>,
        key: Key,
        (client, local, brought): (SocketAddr, Option<Local>, Option<Box<Brought>>),
        chosen: Chosen,
        room: Room,
        now: Tick,
    ) -> Result<Rc<Self>, Refused> {
        let shard = &inlet.shard;
        let id = shard.next_id();
        let unique_id = brought::unique_id(brought.as_deref(), listener.pool_of(chosen), id);
        let flow = Self {
            inlet: Rc::clone(inlet),
            listener,
            key,
            client,
            local,
            brought,
            unique_id,
            chosen,
            id,
            began: Stamp::now(),
            active: Cell::new(now),
            carried: Carried::default(),
            link: RefCell::default(),
            trail: RefCell::default(),
            stay: RefCell::default(),
        };
        if let Err(outcome) = flow.connect(now) {
            let attempts = std::mem::take(&mut flow.trail.borrow_mut().attempts);
            return Err(Refused { outcome, denial: None, attempts });
        }
        flow.stay.replace(Some(Stay { seat: shard.seats.take(), room }));
        flow.listener.load.enter();
        shard.flow_began();
        if shard.journal.wants().start {
            flow.write(Event::Start);
        }
        if shard.journal.wants_notices(Level::Debug) {
            let (id, listener) = (flow.id, flow.listener.name.clone());
            let client = ClientAddress::Ip(flow.of());
            shard.journal.notice(Notice::SessionStart { id, listener, client });
        }
        let flow = Rc::new(flow);
        inlet.flows.borrow_mut().insert(key, Rc::clone(&flow), now);
        drop(tokio::task::spawn_local(live(Carrying(Rc::clone(&flow)))));
        Ok(flow)
    }

    fn pool(&self) -> &Pool {
        self.listener.pool_of(self.chosen)
    }

    /// When something moved last.
    fn active(&self) -> Tick {
        self.active.get()
    }

    /// Sends parcels. If the backend turns out not to be there, they go to the next one.
    fn send(&self, parcels: &[Parcel<'_>], now: Tick) {
        self.active.set(now);
        let mut rest = parcels;
        for _ in 0..=self.pool().backends.len() {
            let link = self.link.borrow().clone();
            let Some(link) = link.or_else(|| self.connect(now).ok()) else { break };
            let tell = |fate| self.carried.count(&self.carried.to_backend, fate);
            match link.send(rest, tell) {
                Ok(()) => {
                    if link.has_endured(now) {
                        self.vouch(&link, now);
                    }
                    return;
                }
                Err(Unreachable { at, error }) => {
                    rest = &rest[at..];
                    self.unlink(&link, &error, now);
                }
            }
        }
        self.lose(rest.iter().map(Parcel::datagrams).sum());
    }

    /// Phase *connect*: finds a backend that has not failed this flow, as long as there is one.
    fn connect(&self, now: Tick) -> Result<Rc<Link>, Outcome> {
        let has_failed = !self.trail.borrow().failed.is_empty();
        self.search(now).or_else(|outcome| {
            if !has_failed {
                return Err(outcome);
            }
            // All of them have. Perhaps the first one is back.
            self.trail.borrow_mut().failed.clear();
            self.search(now)
        })
    }

    fn search(&self, now: Tick) -> Result<Rc<Link>, Outcome> {
        let (pool, journal) = (self.pool(), &self.inlet.shard.journal);
        let client = self.of().ip();
        if pool.queue.as_ref().is_some_and(Queue::is_waiting) {
            // Sessions that came before wait for what becomes free, and a datagram cannot wait.
            return Err(Outcome { reason: Reason::Limited, by: By::Replug });
        }
        let departure =
            Departure { sources: pool.source.as_ref(), client: Some(self.of()), keeps_port: true };
        let mut pick = Pick::new(pool, Some(client), self.id).of_datagrams();
        let mut why = Outcome { reason: Reason::NoBackend, by: By::Replug };
        while let Some(place) = pick.next(now) {
            if self.trail.borrow().failed.contains(&place.index()) {
                continue;
            }
            let backend = place.backend();
            match Link::open(backend, departure, now) {
                Ok(opened) => {
                    if let Some(sticky) = &pool.sticky {
                        sticky.remember(client, backend.number, now);
                    }
                    let link = Rc::new(opened.at(place.keep(), self.header()));
                    self.trail.borrow_mut().last = Some((link.index, link.address));
                    self.link.replace(Some(Rc::clone(&link)));
                    self.wake();
                    return Ok(link);
                }
                Err(link::Failure { address, failure }) => {
                    why = blame(failure);
                    self.note_failure(place.index(), address, failure);
                    mark_down(pool, backend, Carries::Datagrams, failure, journal);
                }
            }
        }
        match pick.found_full() {
            true => Err(Outcome { reason: Reason::Limited, by: By::Replug }),
            false => Err(why),
        }
    }

    /// The backend is not there: it is marked down, and the flow has none for now.
    fn unlink(&self, link: &Rc<Link>, error: &io::Error, now: Tick) {
        let is_current = self.link.borrow().as_ref().is_some_and(|now| Rc::ptr_eq(now, link));
        if !is_current {
            return;
        }
        self.leave();
        if self.carried.first_answer.get().is_none() {
            self.trail.borrow_mut().last = None;
        }
        let (pool, journal) = (self.pool(), &self.inlet.shard.journal);
        let backend = pool.backend(link.index);
        let failure = socket::connect_failure(error, false);
        self.note_failure(link.index, link.address, failure);
        mark_down(pool, backend, Carries::Datagrams, failure, journal);
        self.active.set(now);
    }

    fn note_failure(
        &self,
        index: BackendIndex,
        address: Option<SocketAddr>,
        failure: ConnectFailure,
    ) {
        let backend = self.pool().backend(index).label.clone();
        self.inlet.shard.journal.notice(Notice::AttemptFailed {
            id: self.id,
            bind: self.listener.bind.clone(),
            backend: backend.clone(),
            failure,
            phrase: None,
        });
        let mut trail = self.trail.borrow_mut();
        trail.failed.push(index);
        if trail.attempts.len() < ATTEMPTS_MAX {
            let took = self.began.elapsed();
            trail.attempts.push(Attempt {
                backend,
                is_original: false,
                address,
                took,
                failure,
                phrase: None,
            });
        }
    }

    /// Lets go of the backend.
    fn leave(&self) {
        if let Some(link) = self.link.take() {
            self.pool().leave(link.index);
        }
    }

    /// The backend is there.
    fn vouch(&self, link: &Link, now: Tick) {
        link.is_proven.set(true);
        let pool = self.pool();
        let backend = pool.backend(link.index);
        if backend.mark(Carries::Datagrams).succeeded() == Change::Changed {
            backend.load.came_up(now);
            let (pool, backend) = (pool.name.clone(), backend.label.clone());
            self.inlet.shard.journal.notice(Notice::BackendUp { pool, backend });
        }
    }

    fn lose(&self, datagrams: usize) {
        self.carried.count(&self.carried.to_backend, Fate::Lost { datagrams });
    }

    /// Has the task of the flow look at what has become of it.
    fn wake(&self) {
        if let Some(stay) = &*self.stay.borrow() {
            self.inlet.shard.seats.wake(&stay.seat);
        }
    }
}

/// What a flow has that ends for a failure to get a backend.
fn blame(failure: ConnectFailure) -> Outcome {
    let by = match failure {
        ConnectFailure::Ours(_) | ConnectFailure::Unresolved | ConnectFailure::Source(_) => {
            By::Replug
        }
        _ => By::Backend,
    };
    Outcome { reason: failure.reason(), by }
}

/// Why a flow did not begin.
struct Refused {
    outcome: Outcome,
    denial: Option<Denial>,
    attempts: Vec<Attempt>,
}

impl Refused {
    /// Whether the end of another flow would help: descriptors or ports have run out.
    fn is_for_want_of_room(&self) -> bool {
        let Some(ConnectFailure::Ours(errno)) = self.attempts.last().map(|last| last.failure)
        else {
            return false;
        };
        [Errno::MFILE, Errno::NFILE, Errno::AGAIN].map(Errno::raw_os_error).contains(&errno)
    }
}

/// The task of a flow: carries answers until the flow is over.
async fn live(carrying: Carrying) {
    let flow = &carrying.0;
    loop {
        let link = flow.link.borrow().clone();
        let next = match &link {
            Some(link) => {
                let mut ready = std::pin::pin!(link.socket.ready());
                std::future::poll_fn(|cx| {
                    if let Poll::Ready(next) = flow.poll_ended(cx, Some(link)) {
                        return Poll::Ready(next);
                    }
                    ready.as_mut().poll(cx).map(|edge| match edge {
                        Ok(edge) => Next::Receive(edge),
                        // The runtime is shutting down.
                        Err(_) => Next::End(Outcome { reason: Reason::Killed, by: By::Replug }),
                    })
                })
                .await
            }
            None => std::future::poll_fn(|cx| flow.poll_ended(cx, None)).await,
        };
        match (next, &link) {
            (Next::Receive(edge), Some(link)) => {
                if flow.to_client(link, edge) == Left::Maybe {
                    tokio::task::yield_now().await;
                }
            }
            (Next::Receive(_) | Next::Look, _) => {}
            (Next::End(outcome), _) => return flow.end(outcome),
            (Next::Over, _) => return,
        }
    }
}

impl Flow {
    /// What there is to do apart from datagrams; wakes the task when there may be something.
    fn poll_ended<'a>(&self, cx: &Context<'_>, link: Option<&'a Rc<Link>>) -> Poll<Next<'a>> {
        let seats = &self.inlet.shard.seats;
        let Some(Stay { seat, .. }) = &*self.stay.borrow() else {
            return Poll::Ready(Next::Over);
        };
        match seats.order(seat) {
            Some(Order::End(reason)) => {
                return Poll::Ready(Next::End(Outcome { reason, by: By::Replug }));
            }
            Some(Order::Report) => self.write(Event::Open),
            None => {}
        }
        let is_same = match (link, &*self.link.borrow()) {
            (Some(one), Some(other)) => Rc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            return Poll::Ready(Next::Look);
        }
        if self.inlet.shard.has_retired.get()
            && let Some(reason) = self.removed()
        {
            return Poll::Ready(Next::End(Outcome { reason, by: By::Replug }));
        }
        let now = Tick::now();
        let (life, outcome) = carry::end_of_life(self.began, &self.listener.timeouts);
        if now >= life {
            return Poll::Ready(Next::End(outcome));
        }
        let idle = self.listener.timeouts.idle.of_flow();
        let idle = idle.map_or(Tick::NEVER, |idle| self.active.get().after(idle));
        if now >= idle {
            return Poll::Ready(Next::End(self.ended_idle()));
        }
        seats.wait(seat, cx, idle.min(life));
        Poll::Pending
    }

    /// Why the flow ends, if its backend was removed and it is not to go on without it.
    fn removed(&self) -> Option<Reason> {
        let index = self.link.borrow().as_ref()?.index;
        let pool = self.pool();
        let has_retired = pool.backend(index).load.has_retired(Tick::now());
        has_retired.then_some(match pool.on_removed {
            OnRemoved::Cut => Reason::Killed,
            OnRemoved::Drain(_) | OnRemoved::Keep => Reason::Drained,
        })
    }

    /// What it means that nothing has moved for the idle time.
    fn ended_idle(&self) -> Outcome {
        let now = Tick::now();
        if let Some(link) = self.link.borrow().as_ref() {
            if link.has_endured(now) {
                self.vouch(link, now);
            }
            let was_answered = self.carried.first_answer.get().is_some();
            let reason = if was_answered { Reason::Done } else { Reason::Idle };
            return Outcome { reason, by: By::Replug };
        }
        let trail = self.trail.borrow();
        match trail.attempts.last().map(|last| last.failure) {
            Some(failure) => blame(failure),
            None => Outcome { reason: Reason::NoBackend, by: By::Replug },
        }
    }

    /// Takes what the backend has sent.
    fn to_client(self: &Rc<Self>, link: &Rc<Link>, mut edge: Edge<'_>) -> Left {
        let left = self.receive(link, Tick::now());
        if left == Left::Nothing {
            edge.wait_for_more();
        }
        left
    }

    fn receive(self: &Rc<Self>, link: &Rc<Link>, now: Tick) -> Left {
        let mut errors = 0;
        for _ in 0..ROW {
            match self.inlet.shard.post.receive(self, link) {
                Ok(left) => {
                    self.answered(link, now);
                    if left == Left::Nothing {
                        return Left::Nothing;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Left::Nothing,
                Err(error) if datagram::is_unreachable(&error) => {
                    self.unlink(link, &error, now);
                    return Left::Nothing;
                }
                // Of a datagram that was sent earlier, and was too large for the path, say:
                // there may be answers behind it.
                Err(_) => errors += 1,
            }
        }
        if errors == ROW { Left::Nothing } else { Left::Maybe }
    }

    /// What became of answers.
    fn was_answered(&self, fate: Fate) {
        self.carried.count(&self.carried.to_client, fate);
    }

    /// The backend has sent something.
    fn answered(&self, link: &Link, now: Tick) {
        self.active.set(now);
        if link.is_proven.get() && self.carried.first_answer.get().is_some() {
            return;
        }
        let stamp = Stamp::now();
        if self.carried.first_answer.get().is_none() {
            self.carried.first_answer.set(Some(stamp));
        }
        if !link.is_proven.get() {
            let load = &self.pool().backend(link.index).load;
            load.connected_in(stamp.since(link.opened), now);
            self.trail.borrow_mut().failed.clear();
            self.vouch(link, now);
        }
    }

    /// Phase *account*: the flow is over. Later calls change nothing.
    fn end(self: &Rc<Self>, outcome: Outcome) {
        let Some(Stay { seat, room }) = self.stay.take() else { return };
        let shard = &self.inlet.shard;
        // What has arrived is sent, and counted.
        if let Some(link) = &*self.link.borrow() {
            let _ = shard.post.receive(self, link);
        }
        shard.post.flush();
        self.leave();
        self.inlet.flows.borrow_mut().remove(&self.key);
        shard.seats.wake(&seat);
        shard.seats.leave(&seat);
        drop(room);
        self.listener.load.leave();
        let Outcome { reason, by } = outcome;
        self.write(Event::End { reason, by });
        self.inlet.flow_ended();
        shard.session_ended();
    }

    /// Writes down what is known, if anybody wants that.
    fn write(&self, event: Event) {
        let shard = &self.inlet.shard;
        let wants = shard.journal.wants();
        if !wants.records {
            return;
        }
        let trail = self.trail.borrow();
        let pool = self.pool();
        let duration = self.began.elapsed();
        let Carried { to_backend, to_client, lost, first_answer } = &self.carried;
        shard.journal.record(Record {
            event,
            id: self.id,
            accepted: SystemTime::now() - duration,
            listener: self.listener.name.clone(),
            bind: self.listener.bind.clone(),
            target: pool.target(),
            client: ClientAddress::Ip(self.of()),
            sender: self.brought.as_ref().map(|brought| brought.introduction.sender),
            unique_id: self.unique_id.clone(),
            pool: Some(pool.name.clone()),
            route: self.listener.routing.name_of(self.chosen),
            spoken: Spoken::default(),
            denial: None,
            backend: trail.last.map(|(index, address)| Reached {
                backend: pool.backend(index).label.clone(),
                address,
            }),
            bytes_to_backend: to_backend.bytes.get(),
            bytes_to_client: to_client.bytes.get(),
            duration,
            connect: None,
            first_byte: first_answer.get().map(|first| first.since(self.began)),
            queued: None,
            attempts: trail.attempts.clone(),
            client_tcp: None,
            backend_tcp: None,
            relay: None,
            datagrams: Some(Datagrams {
                to_backend: to_backend.datagrams.get(),
                to_client: to_client.datagrams.get(),
                lost: lost.get(),
            }),
            counts: wants.counts.then(|| {
                let backend = trail.last.map(|(index, _)| pool.backend(index));
                Counts::around(event, shard.ceiling.sessions(), &self.listener, pool, backend)
            }),
        });
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // One that did not begin has its backend still.
        self.leave();
    }
}

/// A flow whose task is gone is over.
struct Carrying(Rc<Flow>);

impl Drop for Carrying {
    fn drop(&mut self) {
        // Nothing to do if it has ended. Else its task was unwound, or never ran.
        self.0.end(Outcome { reason: Reason::Internal, by: By::Replug });
    }
}

impl Carried {
    fn count(&self, direction: &Count, fate: Fate) {
        let add = |count: &Cell<u64>, more: usize| count.set(count.get() + more as u64);
        match fate {
            Fate::Sent { datagrams, bytes } => {
                add(&direction.datagrams, datagrams);
                add(&direction.bytes, bytes);
            }
            Fate::Lost { datagrams } => add(&self.lost, datagrams),
        }
    }
}
