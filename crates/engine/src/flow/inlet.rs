//! A UDP socket that clients send to, in one shard.
//!
//! It receives a batch, finds the flow of each datagram, and gives each flow all
//! that the batch has for it. It is also what answers leave by. When its listener
//! is gone, or the engine drains, no new flow begins here; those there are go on,
//! and with the last of them the socket is closed.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relay::datagram::{BATCH, Batch, Left, Local, Parcel};
use relay::{DatagramSocket, Stamp, Tick};
use tokio::sync::Notify;
use wire::Parse;
use wire::proxy_header::read;

use super::brought::Brought;
use super::refusals::Refusals;
use super::table::{Key, Table};
use super::{Flow, ROW, Refused, Room};
use crate::gate::{Held, Place, Scope};
use crate::journal::{Loss, Notice};
use crate::phase::accept::{Duty, REST};
use crate::phase::account::{By, ClientAddress, Counts, Datagrams, Event, Reason, Record, Spoken};
use crate::phase::admit::{Admission, admit};
use crate::phase::carry::Outcome;
use crate::phase::proxy_header::{Introduction, NOT_LISTED, Standing};
use crate::phase::route::condition::Around;
use crate::phase::route::seen::Seen;
use crate::phase::route::{Chosen, Routed};
use crate::plan::{Listener, Pool, Target};
use crate::session::this_moment;
use crate::shard::Shard;
use crate::socket;

/// Least time between two notices about losses of one kind.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(super) shard: Rc<Shard>,
    pub(super) socket: DatagramSocket,
    duty: Rc<Duty>,
    /// Whether new flows may begin.
    is_open: Cell<bool>,
    /// Those that have begun here and are not over.
    pub(super) flows: RefCell<Table<Rc<Flow>>>,
    emptied: Notify,
    refusals: RefCell<Refusals>,
    buffer_full: Losses,
    no_flow: Losses,
    /// What the socket told last of its losses.
    overflow: Cell<u32>,
}

/// The inlets of a shard.
#[derive(Debug, Default)]
pub(crate) struct Inlets(RefCell<Vec<Weak<Inlet>>>);

impl Inlets {
    /// Ends the idlest flow of the shard.
    fn end_idlest(&self) {
        let inlets = self.0.borrow();
        let idlest = inlets.iter().filter_map(Weak::upgrade).filter_map(|inlet| {
            let since = inlet.flows.borrow_mut().idlest(|flow| flow.active())?.0;
            Some((since, inlet))
        });
        if let Some((_, inlet)) = idlest.min_by_key(|(since, _)| *since) {
            inlet.end_idlest();
        }
    }
}

/// Receives datagrams until its duty ends; those of flows that there are then, until they are over.
pub(crate) async fn take_datagrams(socket: OwnedFd, duty: Rc<Duty>, shard: Rc<Shard>) {
    let socket = match DatagramSocket::new(socket) {
        Ok(socket) => socket,
        Err(error) => return shard.listener_lost(&duty.listener(), &error),
    };
    let inlet = Rc::new(Inlet {
        shard,
        socket,
        duty: Rc::clone(&duty),
        is_open: Cell::new(true),
        flows: RefCell::default(),
        emptied: Notify::new(),
        refusals: RefCell::default(),
        buffer_full: Losses::new(Loss::BufferFull),
        no_flow: Losses::new(Loss::NoFlow),
        overflow: Cell::new(0),
    });
    inlet.shard.inlets.0.borrow_mut().push(Rc::downgrade(&inlet));
    // A task of its own, since it is woken by each datagram and the end of a duty comes once.
    let serving = tokio::task::spawn_local(Rc::clone(&inlet).serve());
    duty.ended().await;
    inlet.is_open.set(false);
    tokio::task::spawn_local(async move {
        while inlet.flows.borrow().len() > 0 {
            inlet.emptied.notified().await;
        }
        serving.abort();
        inlet
            .shard
            .inlets
            .0
            .borrow_mut()
            .retain(|other| !Weak::ptr_eq(other, &Rc::downgrade(&inlet)));
    });
}

impl Inlet {
    async fn serve(self: Rc<Self>) {
        names_looked_up(&self.duty.listener()).await;
        loop {
            let mut edge = match self.socket.ready().await {
                Ok(edge) => edge,
                Err(error) => return self.shard.listener_lost(&self.duty.listener(), &error),
            };
            match self.receive() {
                Ok(Left::Nothing) => edge.wait_for_more(),
                Ok(Left::Maybe) => tokio::task::yield_now().await,
                // No memory, say. What waits in the kernel waits on.
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    /// Receives a row of batches.
    fn receive(self: &Rc<Self>) -> io::Result<Left> {
        let batch = &mut *self.shard.inbox.borrow_mut();
        for _ in 0..ROW {
            batch.clear();
            match self.socket.receive(batch) {
                Ok((_, left)) => {
                    self.distribute(batch);
                    if left == Left::Nothing {
                        return Ok(left);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Left::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Left::Maybe)
    }

    /// Gives each flow what the batch has for it.
    fn distribute(self: &Rc<Self>, batch: &Batch) {
        let now = Tick::now();
        if let Some(overflow) = batch.overflow() {
            let lost = overflow.wrapping_sub(self.overflow.replace(overflow));
            self.lose(&self.buffer_full, u64::from(lost), now);
        }
        let mut flows = [const { None }; BATCH];
        for at in 0..batch.len() {
            let Some(client) = batch.from(at) else { continue };
            let local = batch.local(at);
            let key = Key::new(client, local);
            let known = self.flows.borrow().get(&key).cloned();
            flows[at] = known.or_else(|| {
                // To begin a flow may end another one, which is to get its datagrams before.
                deliver(batch, &mut flows[..at], now);
                let first = batch.parcel(at).map_or(&[][..], |parcel| parcel.first());
                self.begin(key, (client, local), first, now)
            });
        }
        deliver(batch, &mut flows[..batch.len()], now);
    }

    /// Begins a flow, if that may be: phases *accept* and *admit*.
    fn begin(
        self: &Rc<Self>,
        key: Key,
        addresses: (SocketAddr, Option<Local>),
        first: &[u8],
        now: Tick,
    ) -> Option<Rc<Flow>> {
        if !self.is_open.get() {
            return None;
        }
        let listener = self.duty.listener();
        let brought = match self.introduce(&listener, socket::canonical(addresses.0), first) {
            Ok(brought) => brought,
            Err(refused) => {
                self.lose(&self.no_flow, 1, now);
                let (pool, peer) = (&listener.pool, socket::canonical(addresses.0));
                self.refuse(&listener, pool, (peer, None), refused, now);
                return None;
            }
        };
        let (peer, brought) = (socket::canonical(addresses.0), brought.map(Box::new));
        let client = brought.as_ref().map_or(peer, |brought| brought.client);
        let sender = brought.as_ref().map(|_| ClientAddress::Ip(peer));
        let chosen = self.choose(&listener, client, addresses.1, (first, brought.as_deref()));
        let begun = self.room(&listener, client.ip()).and_then(|room| {
            let Some(chosen) = chosen else {
                let outcome = Outcome { reason: Reason::Denied, by: By::Replug };
                return Err(Refused { outcome, denial: None, attempts: Vec::new() });
            };
            let who = (addresses.0, addresses.1, brought);
            Flow::begin(self, Arc::clone(&listener), key, who, chosen, room, now)
        });
        let refused = match begun {
            Ok(flow) => return Some(flow),
            Err(refused) => refused,
        };
        if refused.is_for_want_of_room() {
            // The next one is to find some.
            self.shard.inlets.end_idlest();
        }
        if refused.outcome.reason != Reason::Denied {
            self.lose(&self.no_flow, 1, now);
        }
        let pool = listener.pool_of(chosen.unwrap_or_default());
        self.refuse(&listener, pool, (client, sender), refused, now);
        None
    }

    /// Whom a flow is of that begins with the `first` datagram of `peer`, if a proxy has to tell.
    fn introduce(
        &self,
        listener: &Listener,
        peer: SocketAddr,
        first: &[u8],
    ) -> Result<Option<Brought>, Refused> {
        let Some(accepts) = &listener.proxy_protocol else { return Ok(None) };
        let sender = ClientAddress::Ip(peer);
        let why = match accepts.standing(sender) {
            Standing::Plain => return Ok(None),
            Standing::Refused => NOT_LISTED,
            Standing::Sender => match read(first) {
                Parse::Whole { value, length } => {
                    return Ok(Some(Brought::new(peer, Introduction::of(sender, &value), length)));
                }
                // A datagram is whole.
                Parse::Partial => "its first datagram ends within its header",
                Parse::Foreign(fault) => fault.as_str(),
            },
        };
        accepts.tell(&self.shard.journal, &listener.name, sender, why);
        let by = if why == NOT_LISTED { By::Replug } else { By::Client };
        let outcome = Outcome { reason: Reason::ProxyHeader, by };
        Err(Refused { outcome, denial: None, attempts: Vec::new() })
    }

    /// Room for one more flow. Within a limit of sessions the idlest flow makes room; whoever is
    /// over another limit is refused, since a datagram cannot wait.
    fn room(&self, listener: &Arc<Listener>, client: IpAddr) -> Result<Room, Refused> {
        let refused = |reason| Refused {
            outcome: Outcome { reason, by: By::Replug },
            denial: None,
            attempts: Vec::new(),
        };
        let (gates, ceiling) = (&listener.gates, &self.shard.ceiling);
        let mut room = Room {
            listener: Arc::clone(listener),
            client,
            held: Held::default(),
            place: Place::default(),
            permit: None,
        };
        let stamp = Stamp::now();
        match admit(&listener.access, gates, Some(client), stamp, &mut room.held) {
            Admission::In => {}
            Admission::Uncounted => {
                if let Some(times) = gates.gate(Scope::Listener).uncounted.happened(Tick::now()) {
                    let listener = listener.name.clone();
                    self.shard.journal.notice(Notice::ClientsUncounted { listener, times });
                }
            }
            Admission::Denied(denial) => {
                return Err(Refused { denial: Some(denial), ..refused(Reason::Denied) });
            }
            Admission::Limited(_) => return Err(refused(Reason::Limited)),
        }
        if ceiling.has_starving() {
            // What becomes free goes to sessions that are in already.
            return Err(refused(Reason::Limited));
        }
        room.place = gates
            .enter()
            .or_else(|| {
                self.end_idlest();
                gates.enter()
            })
            .ok_or_else(|| refused(Reason::Limited))?;
        room.permit = ceiling.enter().or_else(|| {
            self.shard.inlets.end_idlest();
            ceiling.enter()
        });
        let is_within = room.permit.is_some() && (!gates.have_rates() || gates.pass(stamp).is_ok());
        if is_within { Ok(room) } else { Err(refused(Reason::Limited)) }
    }

    /// Phase *route*: which pool a client goes to that has sent its `first` datagram to `local`;
    /// `None`: it is turned away.
    fn choose(
        &self,
        listener: &Listener,
        client: SocketAddr,
        local: Option<Local>,
        (first, brought): (&[u8], Option<&Brought>),
    ) -> Option<Chosen> {
        let server = brought.and_then(|brought| brought.introduction.server());
        let here = || server.or_else(|| self.here(local));
        let told = brought.and_then(|brought| brought.introduction.hello.as_ref());
        let said = &first[brought.map_or(0, |brought| brought.header.get())..];
        let seen = Seen::of_datagram(said).with_hello(told);
        let client = Some(socket::canonical(client).ip());
        let around = Around::new(client, &here, &this_moment);
        match listener.routing.routes.decide(&around, &seen) {
            Routed::Route(chosen) => Some(chosen),
            Routed::None | Routed::Wait if listener.routing.closes_others => None,
            Routed::None | Routed::Wait => Some(Chosen::default()),
        }
    }

    /// The address that a client has sent to.
    pub(super) fn here(&self, local: Option<Local>) -> Option<SocketAddr> {
        let bound = socket::local_address(self.socket.descriptor())?;
        let ip = local.map_or_else(|| bound.ip(), |local| local.address.to_canonical());
        Some(SocketAddr::new(ip, bound.port()))
    }

    /// Ends the idlest flow that has begun here.
    fn end_idlest(&self) {
        let idlest =
            self.flows.borrow_mut().idlest(|flow| flow.active()).map(|(_, flow)| flow.clone());
        if let Some(flow) = idlest {
            flow.end(Outcome { reason: Reason::Limited, by: By::Replug });
        }
    }

    /// Phase *account* of a client that gets no flow.
    fn refuse(
        &self,
        listener: &Listener,
        pool: &Pool,
        (client, sender): (SocketAddr, Option<ClientAddress>),
        refused: Refused,
        now: Tick,
    ) {
        let Refused { outcome, denial, attempts } = refused;
        let journal = &self.shard.journal;
        let wants = journal.wants();
        if !wants.records || !self.refusals.borrow_mut().is_news(client.ip(), outcome.reason, now) {
            return;
        }
        let is_routed = !matches!(outcome.reason, Reason::Denied | Reason::ProxyHeader);
        let Outcome { reason, by } = outcome;
        let event = Event::End { reason, by };
        journal.record(Record {
            event,
            id: self.shard.next_id(),
            accepted: SystemTime::now(),
            listener: listener.name.clone(),
            bind: listener.bind.clone(),
            target: pool.target(),
            client: ClientAddress::Ip(client),
            sender,
            unique_id: None,
            pool: is_routed.then(|| pool.name.clone()),
            route: None,
            spoken: Spoken::default(),
            denial,
            backend: None,
            bytes_to_backend: 0,
            bytes_to_client: 0,
            duration: Duration::ZERO,
            connect: None,
            first_byte: None,
            queued: None,
            attempts,
            client_tcp: None,
            backend_tcp: None,
            relay: None,
            datagrams: Some(Datagrams { lost: 1, ..Datagrams::default() }),
            counts: wants.counts.then(|| {
                Counts::around(event, self.shard.ceiling.sessions(), listener, pool, None)
            }),
        });
    }

    /// A flow that has begun here is over.
    pub(super) fn flow_ended(&self) {
        if !self.is_open.get() && self.flows.borrow().len() == 0 {
            self.emptied.notify_one();
        }
    }

    /// Counts losses, and tells of them now and then.
    fn lose(&self, losses: &Losses, datagrams: u64, now: Tick) {
        if let Some(datagrams) = losses.add(datagrams, now) {
            let listener = self.duty.listener().name.clone();
            self.shard.journal.notice(Notice::DatagramsLost {
                listener,
                datagrams,
                loss: losses.loss,
            });
        }
    }
}

/// Gives each of `flows` its parcels, in the order in which they came, and forgets it.
fn deliver(batch: &Batch, flows: &mut [Option<Rc<Flow>>], now: Tick) {
    for first in 0..flows.len() {
        let Some(flow) = flows[first].take() else { continue };
        if let ([], Some(parcel)) = (&flows[first + 1..], batch.parcel(first)) {
            return flow.to_backend(&[parcel], now);
        }
        let mut parcels = [Parcel::single(&[]); BATCH];
        let mut count = 0;
        let mut add = |at: usize| {
            if let Some(parcel) = batch.parcel(at) {
                parcels[count] = parcel;
                count += 1;
            }
        };
        add(first);
        for (at, other) in flows.iter_mut().enumerate().skip(first + 1) {
            if other.take_if(|other| Rc::ptr_eq(other, &flow)).is_some() {
                add(at);
            }
        }
        flow.to_backend(&parcels[..count], now);
    }
}

/// Waits until the names of all backends were looked up, unless there are some without a name.
/// What clients send meanwhile waits in the kernel.
async fn names_looked_up(listener: &Listener) {
    let targets =
        || listener.pools().flat_map(|pool| &pool.backends).map(|backend| &backend.target);
    if !targets().all(|target| matches!(target, Target::Name(..))) {
        return;
    }
    let wait = async {
        for target in targets() {
            if let Target::Name(name, _) = target {
                name.looked_up().await;
            }
        }
    };
    // A name that takes longer is one that is not there yet.
    let _ = tokio::time::timeout(listener.timeouts.connect, wait).await;
}

/// Datagrams that were lost for one reason, and when that was told.
#[derive(Debug)]
struct Losses {
    loss: Loss,
    untold: Cell<u64>,
    told: Cell<Tick>,
}

impl Losses {
    fn new(loss: Loss) -> Self {
        Self { loss, untold: Cell::new(0), told: Cell::default() }
    }

    /// How many are to be told of now.
    fn add(&self, datagrams: u64, now: Tick) -> Option<u64> {
        self.untold.set(self.untold.get() + datagrams);
        let is_due =
            self.told.get() == Tick::default() || now.since(self.told.get()) >= NOTICE_EVERY;
        if self.untold.get() == 0 || !is_due {
            return None;
        }
        self.told.set(now);
        Some(self.untold.take())
    }
}
