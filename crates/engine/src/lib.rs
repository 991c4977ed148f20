//! The life of a connection, from accept to account.
//!
//! [`Bound`] opens the listening sockets of a configuration; [`Engine`] runs it, and puts
//! another in its place while sessions go on ([`Engine::prepare`], [`Engine::succeed`]).
//!
//! A session goes through its phases in [`phase`]; `session` is that story, and `flow` the one of
//! UDP.
//! [`pick`], [`balance`], [`load`], [`mark`] and [`sticky`] decide which backend it tries;
//! [`chance`] is all the chance they have.
//! Around them: [`plan`] is the configuration compiled to run, `shard` a thread
//! with its sessions, `seats` where orders and timeouts reach them, [`ceiling`]
//! how many there may be, [`gate`] how many of each listener and client,
//! `ftp` the sessions in whose bytes there are addresses,
//! [`bandwidth`](mod@bandwidth) how fast they move bytes, [`queue`] who waits for a full
//! pool, [`pulse`] whether shards respond, [`inherit`] what this process was started with,
//! [`name`] the addresses of host names, [`lookup`] those of names that only sessions know, [`script`] who decides
//! where sessions go, [`authority`] the programs that decide about clients,
//! [`requests`](mod@requests) what clients ask of HTTP, [`journal`] the way out for what the
//! engine has to say, `seldom` how often it says it, `socket` and [`listen`] the raw calls,
//! [`probe`](mod@probe) what the kernel refuses of them.
//!
//! Absent on purpose: signals, files, logs, name look-ups. `control` does those.

pub mod authority;
pub mod balance;
pub mod bandwidth;
pub mod ceiling;
pub mod chance;
pub mod gate;
pub mod inherit;
pub mod journal;
pub mod listen;
pub mod load;
pub mod lookup;
pub mod mark;
pub mod name;
pub mod phase;
pub mod pick;
pub mod plan;
pub mod probe;
pub mod pulse;
pub mod queue;
pub mod ranges;
pub mod requests;
pub mod script;
pub mod sticky;

mod flow;
mod ftp;
mod seats;
mod seldom;
mod session;
mod shard;
mod socket;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use model::{Config, Program};
use tokio::sync::{mpsc, oneshot, watch};

pub use authority::Authority;
pub use inherit::Inherited;
pub use listen::{BindFailure, Bound};
pub use lookup::Lookups;
pub use name::Name;
pub use phase::account;
pub use pulse::Pulse;
pub use socket::source::Sources;

use account::Reason;
use ceiling::Ceiling;
use inherit::Client;
use journal::{Journal, Notice};
use listen::Door;
use plan::{Material, Plan};
use relay::Stamp;
use seldom::Seldom;
use session::Arrival;
use shard::{Adoption, Commons, Course, HANDOVERS_MAX, Neighbour, Start};

/// Descriptors of a shard beside its listening sockets: epoll and event descriptors.
const DESCRIPTORS_PER_SHARD: u64 = 4;

/// Descriptors of a child of an authority: its three streams, and one to wait for its end.
const DESCRIPTORS_PER_CHILD: u64 = 4;

/// A running configuration: shards on threads of their own.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    doors: Vec<Door>,
    inherited: Arc<Inherited>,
    ceiling: Arc<Ceiling>,
    pulse: Arc<Pulse>,
    lookups: Lookups,
    journal: Journal,
    course: watch::Sender<Course>,
    /// For each shard, the way to tell it of a new plan.
    adoptions: Vec<mpsc::UnboundedSender<Adoption>>,
    running: watch::Receiver<usize>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// A configuration that is ready to replace the one that runs: compiled, and its new doors open.
#[derive(Debug)]
pub struct Successor {
    plan: Arc<Plan>,
    bound: Bound,
    sessions_max: usize,
}

impl Successor {
    /// Whether it would listen nowhere.
    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    /// The host names that want resolving, those that are resolved already among them.
    pub fn names(&self) -> &[Arc<Name>] {
        &self.plan.names
    }

    /// The programs that want running, those that run already among them.
    pub fn authorities(&self) -> &[Arc<Authority>] {
        &self.plan.authorities
    }
}

impl Engine {
    /// Starts a shard for each set of listening sockets in `bound`, which must have been opened
    /// for this `config`, with what was read for it. Raises the limit of descriptors as far
    /// as it goes. Returns when every shard takes clients; not to be called from a task.
    ///
    /// # Errors
    /// When a shard cannot be started.
    pub fn start(
        mut bound: Bound,
        config: &Config,
        material: Material<'_>,
        journal: Journal,
    ) -> io::Result<Self> {
        let plan = Arc::new(Plan::with(config, material, None));
        let shards = bound.shards.len();
        let ceiling = Ceiling::new(sessions_max(&bound.doors, shards, config, &journal)?);
        let pulse = Arc::new(Pulse::new(shards));
        let (course, course_receiver) = watch::channel(Course::Serve);
        let (arrivals_in, arrivals_out): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(HANDOVERS_MAX)).unzip();
        let neighbour = |arrivals| Neighbour { sessions: Arc::default(), arrivals };
        let lookups = Lookups::default();
        let commons = Arc::new(Commons {
            ceiling: Arc::clone(&ceiling),
            journal: journal.clone(),
            neighbours: arrivals_in.into_iter().map(neighbour).collect(),
            pulse: Arc::clone(&pulse),
            lookups: lookups.clone(),
            ids: AtomicU64::new(1),
            at_ceiling: Seldom::default(),
            told_ceiling: AtomicBool::new(false),
        });
        let (running_sender, running) = watch::channel(shards);
        let running_sender = Arc::new(running_sender);
        let mut engine = Self {
            plan,
            doors: Vec::new(),
            inherited: Arc::clone(&bound.inherited),
            ceiling,
            pulse,
            lookups,
            journal,
            course,
            adoptions: Vec::new(),
            running,
            threads: Vec::new(),
        };
        let client = bound.client.take();
        // Whoever was given one client is where that came to, on whatever address.
        let came_to = client.as_ref().and_then(|(client, _)| {
            let port = socket::local_address(client.socket.as_fd())?.port();
            Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
        });
        let mut ups = Vec::new();
        for (index, arrivals) in arrivals_out.into_iter().enumerate() {
            let (tell, adoptions) = mpsc::unbounded_channel();
            let (is_up, up) = oneshot::channel();
            ups.push(up);
            let start = Start {
                index,
                io: engine.plan.runtime.io,
                commons: Arc::clone(&commons),
                is_up,
                adoptions,
                arrivals,
                course: course_receiver.clone(),
            };
            let running = Running(Arc::clone(&running_sender));
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            engine.adoptions.push(tell);
            engine.threads.push(thread.spawn(move || {
                let _running = running;
                shard::run(start)
            })?);
        }
        engine.open(bound, came_to, ups)?;
        if let Some((client, listener)) = client {
            engine.serve(client, listener, &commons)?;
        }
        Ok(engine)
    }

    /// Has all shards serve what is `bound`, as soon as all are up.
    ///
    /// # Errors
    /// When one does not come up; then all have ended.
    fn open(
        &mut self,
        bound: Bound,
        came_to: Option<SocketAddr>,
        ups: Vec<oneshot::Receiver<()>>,
    ) -> io::Result<()> {
        for up in ups {
            if up.blocking_recv().is_err() {
                // Without a plan to come, the others end as well.
                self.adoptions.clear();
                let threads = std::mem::take(&mut self.threads);
                join_all(threads)?;
                return Err(io::Error::other("a shard has ended"));
            }
        }
        let (adoptions, adopted) = self.adoptions_of(bound, came_to, Arc::default());
        for (shard, adoption) in self.adoptions.iter().zip(adoptions) {
            let _ = shard.send(adoption);
        }
        for adopted in adopted {
            // Never sent, only dropped.
            let _ = adopted.blocking_recv();
        }
        Ok(())
    }

    /// Gives the first shard a client that has come already, and takes no others.
    fn serve(&self, client: Client, listener: usize, commons: &Commons) -> io::Result<()> {
        let listener = Arc::clone(&self.plan.listeners[listener]);
        // The first of a process finds room everywhere, if there is any at all.
        let permit = self.ceiling.enter().ok_or(rustix::io::Errno::MFILE)?;
        let place = listener.gates.enter().ok_or(rustix::io::Errno::MFILE)?;
        // What it refuses of these, the client does without.
        let _ = socket::set_client_options(&client.socket, &listener.tcp);
        let Client { socket, address: client } = client;
        let accepted = Stamp::now();
        let arrival = Arrival { socket, client, listener, permit, place, accepted };
        let shard = &commons.neighbours[0];
        shard.sessions.fetch_add(1, Ordering::Relaxed);
        // A shard that has died takes no client: then it has no session either.
        let _ = shard.arrivals.try_send(arrival);
        self.stop_accepting();
        Ok(())
    }

    /// Compiles `config`, which must have been checked, and opens the doors it has that are not
    /// open yet; tells what could not be opened, one failure for each address. Nothing changes
    /// before [`Engine::succeed`]; to drop the result undoes it all.
    ///
    /// The number of shards stays what it was at the start.
    pub fn prepare(
        &self,
        config: &Config,
        material: Material<'_>,
    ) -> (Successor, Vec<BindFailure>) {
        let shards = self.adoptions.len();
        let (bound, failures) = Bound::beside(config, shards, &self.doors, &self.inherited);
        let sessions_max = sessions_max(&bound.doors, shards, config, &self.journal)
            .unwrap_or_else(|_| self.ceiling.max());
        let plan = Arc::new(Plan::with(config, material, Some(&self.plan)));
        (Successor { plan, bound, sessions_max }, failures)
    }

    /// Puts a configuration in the place of the one that runs. Sessions keep what they began
    /// with; clients that wait at a door that stays open are served by the new one, those at a
    /// door that closes are served first. Resolves when every shard has changed over.
    pub async fn succeed(&mut self, successor: Successor) {
        let Successor { plan, bound, sessions_max } = successor;
        let ends = self.plan.retire(&plan, relay::Tick::now());
        self.plan = plan;
        self.ceiling.set_max(sessions_max);
        let (adoptions, done) = self.adoptions_of(bound, None, ends.into());
        for (shard, adoption) in self.adoptions.iter().zip(adoptions) {
            // A shard that has died takes no clients; the others go on.
            let _ = shard.send(adoption);
        }
        for done in done {
            // Never sent, only dropped.
            let _ = done.await;
        }
    }

    /// What each shard is to change for `bound` to be open, and when it has. `came_to`: where a
    /// client was met that has come already.
    fn adoptions_of(
        &mut self,
        bound: Bound,
        came_to: Option<SocketAddr>,
        ends: Arc<[relay::Tick]>,
    ) -> (Vec<Adoption>, Vec<oneshot::Receiver<()>>) {
        for door in bound.doors.iter().filter(|door| bound.is_new(door)) {
            let (listener, address) = (door.name.clone(), door.opening.address.clone());
            let by_inetd = door.opening.is_of_inetd();
            self.journal.notice(Notice::Listening { listener, address, by_inetd });
        }
        let doors: Arc<[_]> =
            bound.doors.iter().map(|door| (door.opening.id, door.listener)).collect();
        let places = bound.doors.iter().filter_map(|door| door.opening.place);
        let own: Arc<[_]> = places.chain(came_to).collect();
        self.doors = bound.doors;
        let adoption = |sockets| {
            let (done, is_done) = oneshot::channel();
            let (plan, doors) = (Arc::clone(&self.plan), Arc::clone(&doors));
            let (own, ends) = (Arc::clone(&own), Arc::clone(&ends));
            (Adoption { plan, doors, own, sockets, ends, done }, is_done)
        };
        bound.shards.into_iter().map(adoption).unzip()
    }

    /// Where it listens: the name of each listener with an address, as the kernel has it.
    pub fn addresses(&self) -> Vec<(Arc<str>, String)> {
        let address = |door: &Door| (door.name.clone(), door.opening.address.clone());
        self.doors.iter().map(address).collect()
    }

    /// The host names that want resolving: post their answers.
    pub fn names(&self) -> &[Arc<Name>] {
        &self.plan.names
    }

    /// What sessions want looked up: answer their questions.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// The programs that want running: answer their questions.
    pub fn authorities(&self) -> &[Arc<Authority>] {
        &self.plan.authorities
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.ceiling.sessions()
    }

    /// Tells whether all shards respond.
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Sessions that have ended without a backend.
    pub fn unserved(&self) -> u64 {
        self.ceiling.unserved()
    }

    /// The same for others to look at, for as long as they like.
    pub fn gauge(&self) -> Gauge {
        Gauge { ceiling: Arc::clone(&self.ceiling), course: self.course.subscribe() }
    }

    /// Takes the clients that wait already, then closes the listening sockets.
    pub fn stop_accepting(&self) {
        self.course.send_if_modified(|course| {
            let serves = *course == Course::Serve;
            if serves {
                *course = Course::Drain;
            }
            serves
        });
    }

    /// Stops accepting, and ends all sessions by resetting both peers; their records have this
    /// reason ([`Reason::Drained`] or [`Reason::Killed`]).
    pub fn end_sessions(&self, reason: Reason) {
        self.course.send_replace(Course::End(reason));
    }

    /// Resolves once every shard has ended: accepting has stopped, and no session is left.
    pub async fn drained(&self) {
        let mut running = self.running.clone();
        // The senders live in the threads: when all are gone, so are the shards.
        let _ = running.wait_for(|shards| *shards == 0).await;
    }

    /// Resolves once a shard has ended, for whatever reason. While the engine serves that is a
    /// defect: its sessions are lost, and clients go to the shards that are left.
    pub async fn shard_lost(&self) {
        let all = self.threads.len();
        let mut running = self.running.clone();
        let _ = running.wait_for(|shards| *shards < all).await;
    }

    /// Waits for the threads, after [`Engine::drained`].
    ///
    /// # Errors
    /// When a shard failed instead of draining.
    pub fn join(self) -> io::Result<()> {
        join_all(self.threads)
    }
}

/// Waits for all `threads`.
///
/// # Errors
/// What the first of them that failed says.
fn join_all(threads: Vec<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let died = |_| io::Error::other("a shard has died; its sessions are lost");
    let results: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    results.into_iter().try_for_each(|result| result.map_err(died)?)
}

/// What an engine carries, seen from outside.
#[derive(Clone, Debug)]
pub struct Gauge {
    ceiling: Arc<Ceiling>,
    course: watch::Receiver<Course>,
}

impl Gauge {
    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.ceiling.sessions()
    }

    /// Resolves once no more clients are accepted.
    pub async fn closed(&self) {
        let mut course = self.course.clone();
        // An engine that is gone takes no clients either.
        let _ = course.wait_for(|course| *course != Course::Serve).await;
    }
}

/// Counted down when a shard's thread ends, in whatever way.
struct Running(Arc<watch::Sender<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|shards| *shards -= 1);
    }
}

/// How many sessions there may be; tells when that is fewer than was asked for.
fn sessions_max(
    doors: &[Door],
    shards: usize,
    config: &Config,
    journal: &Journal,
) -> io::Result<usize> {
    let descriptors = ceiling::raise_descriptor_limit()?;
    let shards = shards as u64;
    let sockets = doors.len() as u64 * shards;
    let mut programs: Vec<&Program> = Vec::new();
    for listener in &config.listeners {
        let program = listener.authorize.as_ref().map(|authorize| &authorize.value.program);
        programs.extend(program.filter(|program| !programs.contains(program)));
    }
    let children: u64 = programs.iter().map(|one| u64::from(one.children.max().get())).sum();
    let pipes = 2 * relay::pipe::PIPES_PER_THREAD_MAX as u64 * shards;
    let fixed = sockets + shards * DESCRIPTORS_PER_SHARD + children * DESCRIPTORS_PER_CHILD;
    let possible = ceiling::sessions_for(descriptors, fixed, pipes);
    match config.limits.sessions {
        None => Ok(possible),
        Some(wanted) if wanted.get() > possible => {
            let wanted = wanted.get();
            journal.notice(Notice::CeilingLowered { wanted, sessions: possible, descriptors });
            Ok(possible)
        }
        Some(wanted) => Ok(wanted.get()),
    }
}
