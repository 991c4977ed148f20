//! A shard: one thread with its runtime, its listening sockets and its sessions.
//!
//! A session never leaves its shard. Only before it exists, at accept, a shard
//! that has clearly more sessions than another hands the client over: the kernel
//! spreads many clients well, but a few long-lived ones by chance.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use model::{Io, Refusal, Timeouts};
use relay::datagram::Batch;
use relay::{Ring, Tick, ring};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::ceiling::Ceiling;
use crate::flow::inlet::Inlets;
use crate::flow::inlet::take_datagrams;
use crate::flow::post::Post;
use crate::journal::{Journal, Level, Notice};
use crate::listen::{DoorId, Opened};
use crate::lookup::Lookups;
use crate::phase::accept::{Duty, accept_clients};
use crate::phase::account::Reason;
use crate::phase::hearing::Undecided;
use crate::plan::{Listener, Plan};
use crate::pulse::{Beat, Pulse};
use crate::script::{Desk, Place, Script};
use crate::seats::{Seats, sweep_period};
use crate::seldom::Seldom;
use crate::session::data::{self, Data};
use crate::session::{self, Arrival};

/// Clients that may be on their way from one shard to another, per receiving shard.
pub(crate) const HANDOVERS_MAX: usize = 1024;

/// A shard hands a client over when it has more than this many sessions more than another,
/// and an eighth more as well.
const LEAD: usize = 2;

/// What the engine is about; told to all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Clients are served.
    Serve,
    /// No new clients; sessions go on.
    Drain,
    /// No new clients, and sessions end for this reason.
    End(Reason),
}

/// What shards know of each other.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) sessions: Arc<AtomicUsize>,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
}

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Commons {
    pub(crate) ceiling: Arc<Ceiling>,
    pub(crate) journal: Journal,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) pulse: Arc<Pulse>,
    /// Where names are looked up that nobody has configured.
    pub(crate) lookups: Lookups,
    pub(crate) ids: AtomicU64,
    pub(crate) at_ceiling: Seldom,
    /// Whether that was told, and not yet that there is room again.
    pub(crate) told_ceiling: AtomicBool,
}

/// One shard, as its own tasks see it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) ceiling: Arc<Ceiling>,
    pub(crate) journal: Journal,
    pub(crate) seats: Seats,
    /// The sessions whose route is not known yet.
    pub(crate) undecided: Undecided,
    /// The scripts of its listeners.
    desks: Desks,
    /// Where the datagrams of clients arrive.
    pub(crate) inlets: Inlets,
    /// What clients have just sent to one of them.
    pub(crate) inbox: RefCell<Batch>,
    /// What backends have answered to them.
    pub(crate) post: Post,
    /// The TCP addresses that the engine listens on; one that stands for all if it is on all.
    pub(crate) own: RefCell<Arc<[SocketAddr]>>,
    /// Whether bulk may go through `splice(2)`.
    pub(crate) splice: Cell<bool>,
    /// Whether there may be sessions that have to end because their backend was removed.
    pub(crate) has_retired: Cell<bool>,
    /// How often sessions are woken to look at their timeouts. Never less often than some plan
    /// asked for: its sessions may still be there.
    sweep_period: Cell<Duration>,
    /// Sessions of this shard, arrivals on their way to it included.
    pub(crate) count: Arc<AtomicUsize>,
    index: usize,
    commons: Arc<Commons>,
    /// Whether somebody waits for the last session to end.
    drains: Cell<bool>,
    emptied: Notify,
}

/// What a shard's thread is started with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) io: Io,
    pub(crate) commons: Arc<Commons>,
    /// Told when the shard has all it needs, and waits for its first plan.
    pub(crate) is_up: oneshot::Sender<()>,
    pub(crate) adoptions: mpsc::UnboundedReceiver<Adoption>,
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) course: watch::Receiver<Course>,
}

/// A plan, and what a shard is to change for it.
#[derive(Debug)]
pub(crate) struct Adoption {
    pub(crate) plan: Arc<Plan>,
    /// The doors that are open from now on, each with the place of its listener in the plan.
    /// Any other is closed.
    pub(crate) doors: Arc<[(DoorId, usize)]>,
    /// The TCP addresses of all of them.
    pub(crate) own: Arc<[SocketAddr]>,
    /// The listening sockets of those that are new.
    pub(crate) sockets: Vec<(Opened, DoorId)>,
    /// When sessions end whose backends are not in the plan any more.
    pub(crate) ends: Arc<[Tick]>,
    /// Dropped when the shard has adopted the plan.
    pub(crate) done: oneshot::Sender<()>,
}

/// Runs a shard on this thread until it has drained.
///
/// # Errors
/// When the runtime cannot be made.
pub(crate) fn run(start: Start) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(ring::parking).on_thread_unpark(ring::unparked);
    let runtime = builder.build_local(LocalOptions::default())?;
    runtime.block_on(start.run());
    Ring::stop();
    Ok(())
}

impl Start {
    async fn run(self) {
        let Self { index, io, commons, is_up, mut adoptions, mut arrivals, mut course } = self;
        start_ring(io, index, &commons.journal);
        let beat = Beat::new(Arc::clone(&commons.pulse), index);
        tokio::task::spawn_local(beat.answer());
        let shard = Rc::new(Shard {
            ceiling: Arc::clone(&commons.ceiling),
            journal: commons.journal.clone(),
            seats: Seats::default(),
            undecided: Undecided::default(),
            desks: Desks::default(),
            inlets: Inlets::default(),
            inbox: RefCell::default(),
            post: Post::default(),
            own: RefCell::new(Arc::new([])),
            splice: Cell::new(true),
            has_retired: Cell::new(false),
            sweep_period: Cell::new(sweep_period([])),
            count: Arc::clone(&commons.neighbours[index].sessions),
            index,
            commons,
            drains: Cell::new(false),
            emptied: Notify::new(),
        });
        let mut doors = Doors::default();
        // Whoever started it waits for this.
        let _ = is_up.send(());
        let Some(first) = adoptions.recv().await else { return };
        shard.adopt(first, &mut doors);
        let sweeping = tokio::task::spawn_local(sweep(Rc::clone(&shard)));
        let posting = tokio::task::spawn_local({
            let shard = Rc::clone(&shard);
            async move { shard.post.deliver().await }
        });
        tokio::task::spawn_local({
            let shard = Rc::clone(&shard);
            async move {
                while let Some(arrival) = arrivals.recv().await {
                    shard.start(arrival);
                }
            }
        });
        loop {
            tokio::select! {
                biased;
                // A sender that is gone means the same as an order to end.
                _ = course.wait_for(|course| *course != Course::Serve) => break,
                Some(adoption) = adoptions.recv() => shard.adopt(adoption, &mut doors),
            }
        }
        doors.close().await;
        shard.drain(&mut course).await;
        sweeping.abort();
        posting.abort();
    }
}

/// The scripts of a shard, each where it runs. Few, so that a look through all is short.
#[derive(Default)]
struct Desks(RefCell<Vec<OneDesk>>);

type OneDesk = (Arc<dyn Script>, Rc<dyn Desk>);

impl Desks {
    /// Keeps those of `scripts`, and makes those that are new.
    fn keep<'a>(&self, scripts: impl Iterator<Item = &'a Arc<dyn Script>>, place: &Place) {
        let before = self.0.take();
        for script in scripts {
            let known = before.iter().find(|(known, _)| Arc::ptr_eq(known, script));
            let desk =
                known.map_or_else(|| script.desk(place.clone()), |(_, desk)| Rc::clone(desk));
            self.put(script, desk);
        }
    }

    fn of(&self, script: &Arc<dyn Script>, place: impl FnOnce() -> Place) -> Rc<dyn Desk> {
        let is_it = |(known, _): &&(Arc<dyn Script>, _)| Arc::ptr_eq(known, script);
        if let Some((_, desk)) = self.0.borrow().iter().find(is_it) {
            return Rc::clone(desk);
        }
        // Of a listener that was replaced after it had accepted the client: until the next one is.
        let desk = script.desk(place());
        self.put(script, Rc::clone(&desk));
        desk
    }

    fn put(&self, script: &Arc<dyn Script>, desk: Rc<dyn Desk>) {
        let mut desks = self.0.borrow_mut();
        if !desks.iter().any(|(known, _)| Arc::ptr_eq(known, script)) {
            desks.push((Arc::clone(script), desk));
        }
    }
}

impl fmt::Debug for Desks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.borrow().iter().map(|(script, _)| script.name())).finish()
    }
}

/// Starts the ring of this shard, if it is to have one.
fn start_ring(io: Io, shard: usize, journal: &Journal) {
    let level = match io {
        Io::Epoll => return,
        Io::Auto => Level::Info,
        Io::Ring => Level::Warning,
    };
    if let Err(why) = Ring::start() {
        let text = format!("shard {shard} moves bytes by epoll, not by io_uring: {why}");
        journal.notice(Notice::Remark { level, text });
    }
}

/// The open listening sockets of a shard.
#[derive(Default)]
struct Doors(HashMap<DoorId, (Rc<Duty>, JoinHandle<()>)>);

impl Doors {
    /// Takes the clients that wait, and closes all.
    async fn close(self) {
        self.0.values().for_each(|(duty, _)| duty.end());
        for (_, task) in self.0.into_values() {
            // One that has panicked is closed as well.
            let _ = task.await;
        }
    }
}

impl Shard {
    /// Carries out a plan from now on. Sessions keep the one they began with.
    fn adopt(self: &Rc<Self>, adoption: Adoption, doors: &mut Doors) {
        let Adoption { plan, doors: open, own, sockets, ends, done } = adoption;
        self.own.replace(own);
        let mut before = std::mem::take(doors);
        let mut sockets: HashMap<_, _> = sockets.into_iter().map(|(open, id)| (id, open)).collect();
        for (id, listener) in open.iter() {
            let listener = Arc::clone(&plan.listeners[*listener]);
            if let Some((duty, task)) = before.0.remove(id) {
                duty.pass_to(listener);
                doors.0.insert(*id, (duty, task));
            } else if let Some(socket) = sockets.remove(id) {
                let duty = Rc::new(Duty::new(listener));
                let shard = Rc::clone(self);
                let task = match socket {
                    Opened::Streams(fd) => {
                        tokio::task::spawn_local(accept_clients(fd, Rc::clone(&duty), shard))
                    }
                    Opened::Datagrams(fd) => {
                        tokio::task::spawn_local(take_datagrams(fd, Rc::clone(&duty), shard))
                    }
                };
                doors.0.insert(*id, (duty, task));
            }
        }
        self.splice.set(plan.runtime.splice);
        let scripted = plan.listeners.iter().filter_map(|listener| listener.script.as_deref());
        self.desks.keep(scripted.map(|scripted| &scripted.script), &self.script_place());
        let timeouts = plan.listeners.iter().flat_map(|listener| {
            let Timeouts { sniff, idle, half_closed, lifetime, .. } = listener.timeouts;
            let sniffs =
                listener.routing.sniffs || listener.script.is_some() || listener.proxy.is_some();
            let sniff = sniffs.then_some(sniff);
            let others = [half_closed, lifetime, sniff];
            [idle.of_session(), idle.of_flow()].into_iter().chain(others).flatten()
        });
        self.sweep_period.set(self.sweep_period.get().min(sweep_period(timeouts)));
        for &end in ends.iter() {
            self.has_retired.set(true);
            let shard = Rc::clone(self);
            tokio::task::spawn_local(async move {
                // The clock of ticks lags behind the one of timers by a moment.
                while Tick::now() < end {
                    tokio::time::sleep(end.since(Tick::now())).await;
                }
                shard.seats.wake_all();
            });
        }
        tokio::task::spawn_local(async move {
            before.close().await;
            drop(done);
        });
    }

    /// The script on this shard.
    pub(crate) fn desk(&self, script: &Arc<dyn Script>) -> Rc<dyn Desk> {
        self.desks.of(script, || self.script_place())
    }

    fn script_place(&self) -> Place {
        let Commons { lookups, journal, .. } = &*self.commons;
        Place { shard: self.index, lookups: lookups.clone(), journal: journal.clone() }
    }

    /// Where names are looked up that nobody has configured.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.commons.lookups
    }

    /// Serves a client here, or hands it to a shard that has clearly fewer sessions.
    pub(crate) fn place(self: &Rc<Self>, arrival: Arrival) {
        let neighbours = &self.commons.neighbours;
        let counts = neighbours.iter().map(|shard| shard.sessions.load(Ordering::Relaxed));
        let Some(lighter) = clearly_lighter(self.index, counts) else {
            self.count.fetch_add(1, Ordering::Relaxed);
            return self.start(arrival);
        };
        let neighbour = &neighbours[lighter];
        neighbour.sessions.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = neighbour.arrivals.try_send(arrival) {
            neighbour.sessions.fetch_sub(1, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
            self.start(refused.into_inner());
        }
    }

    /// An id that no other session of this process has.
    pub(crate) fn next_id(&self) -> u64 {
        self.commons.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells, now and then, what becomes of clients beyond the ceiling.
    pub(crate) fn notice_ceiling(&self, refusal: Option<Refusal>) {
        if self.commons.at_ceiling.happened(Tick::now()).is_some() {
            self.commons.told_ceiling.store(true, Ordering::Relaxed);
            self.journal.notice(Notice::AtCeiling { sessions: self.ceiling.max(), refusal });
        }
    }

    /// Tells that a client has found a place, if the last that was told was that there was none.
    pub(crate) fn notice_room(&self) {
        let told = &self.commons.told_ceiling;
        // Almost always a look is enough, which leaves the word in the caches of all shards.
        if told.load(Ordering::Relaxed) && told.swap(false, Ordering::Relaxed) {
            self.journal.notice(Notice::BelowCeiling);
        }
    }

    /// Tells that a listening socket has failed for good.
    pub(crate) fn listener_lost(&self, listener: &Listener, error: &io::Error) {
        let text = format!("{} no longer accepts clients: {error}", listener.name);
        self.journal.notice(Notice::Remark { level: Level::Error, text });
    }

    /// A data connection begins here, where its control connection is.
    pub(crate) fn start_data(self: &Rc<Self>, data: Data) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let opening = Box::pin(data::open(data, Rc::clone(self)));
        drop(tokio::task::spawn_local(session::serve(opening)));
    }

    /// A flow begins here. It never goes to another shard: the kernel would not follow it.
    pub(crate) fn flow_began(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A session or flow is over.
    pub(crate) fn session_ended(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if self.drains.get() {
            self.emptied.notify_one();
        }
    }

    fn start(self: &Rc<Self>, arrival: Arrival) {
        let shard = Rc::clone(self);
        if arrival.listener.takes_time() {
            let opening = Box::pin(session::open_in_time(arrival, shard));
            drop(tokio::task::spawn_local(session::serve(opening)));
        } else {
            let opening = Box::pin(session::open(arrival, shard));
            drop(tokio::task::spawn_local(session::serve(opening)));
        }
    }

    /// Waits until the last session has ended; passes an order to end on to all of them.
    async fn drain(&self, course: &mut watch::Receiver<Course>) {
        self.drains.set(true);
        let mut is_news = true;
        while self.count.load(Ordering::Relaxed) > 0 {
            if let (true, Course::End(reason)) = (is_news, *course.borrow_and_update()) {
                self.seats.end_all(reason);
            }
            is_news = tokio::select! {
                () = self.emptied.notified() => false,
                // When the engine is gone without an order, sessions go on to their end.
                changed = course.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => {
                        self.emptied.notified().await;
                        false
                    }
                },
            };
        }
    }
}

/// The shard with the fewest sessions, if the one at `own` has clearly more: by more than
/// [`LEAD`] and an eighth.
fn clearly_lighter(own: usize, counts: impl Iterator<Item = usize> + Clone) -> Option<usize> {
    let (lightest, fewest) = counts.clone().enumerate().min_by_key(|(_, count)| *count)?;
    let ours = counts.clone().nth(own)?;
    (ours > fewest + LEAD + fewest / 8).then_some(lightest)
}

/// Wakes sessions whose timeouts have come, or that are to report.
async fn sweep(shard: Rc<Shard>) {
    loop {
        tokio::time::sleep(shard.sweep_period.get()).await;
        shard.seats.sweep(Tick::now(), shard.journal.wants().every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: usize, counts: &[usize], expected: Option<usize>) {
        assert_eq!(clearly_lighter(own, counts.iter().copied()), expected, "{own} of {counts:?}");
    }

    #[test]
    fn a_client_is_handed_over_only_for_a_clear_difference() {
        check(0, &[0, 0], None);
        check(0, &[2, 0], None);
        check(0, &[3, 0], Some(1));
        check(1, &[3, 0], None);
        check(0, &[110, 100], None);
        check(0, &[115, 100], Some(1));
        check(2, &[5, 1, 9], Some(1));
        check(0, &[7], None);
    }

    #[test]
    fn a_few_long_sessions_end_up_evenly_spread() {
        let mut counts = [0, 0];
        for _ in 0..16 {
            // All arrive at the first shard, as the kernel's hash may have it.
            counts[clearly_lighter(0, counts.iter().copied()).unwrap_or(0)] += 1;
        }
        assert!(counts[0].abs_diff(counts[1]) <= LEAD + 1, "{counts:?}");
    }
}
