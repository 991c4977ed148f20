//! The life of a connection, from accept to account.
//!
//! [`Bound`] opens the listening sockets of a configuration; [`Engine`] runs it.
//!
//! A session goes through its phases in [`phase`]; `session` is that story.
//! [`pick`], [`balance`], [`load`], [`mark`] and [`sticky`] decide which backend it tries;
//! [`chance`] is all the chance they have.
//! Around them: [`plan`] is the configuration compiled to run, `shard` a thread
//! with its sessions, `seats` where orders and timeouts reach them, [`ceiling`]
//! how many there may be, [`name`] the addresses of host names, [`journal`] the
//! way out for what the engine has to say, `socket` and [`listen`] the raw calls.
//!
//! Absent on purpose: signals, files, logs, name look-ups. `control` does those.

pub mod balance;
pub mod ceiling;
pub mod chance;
pub mod journal;
pub mod listen;
pub mod load;
pub mod mark;
pub mod name;
pub mod phase;
pub mod pick;
pub mod plan;
pub mod sticky;

mod seats;
mod session;
mod shard;
mod socket;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use model::Config;
use tokio::sync::{mpsc, watch};

pub use listen::{BindFailure, Bound};
pub use name::Name;
pub use phase::account;

use account::Reason;
use ceiling::Ceiling;
use journal::{Journal, Notice};
use listen::UnixPath;
use plan::Plan;
use shard::{Commons, Course, HANDOVERS_MAX, Neighbour, Start};

/// Descriptors of a shard beside its listening sockets: epoll and event descriptors.
const DESCRIPTORS_PER_SHARD: u64 = 4;

/// A running configuration: shards on threads of their own.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    ceiling: Arc<Ceiling>,
    course: watch::Sender<Course>,
    running: watch::Receiver<usize>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    _paths: Vec<UnixPath>,
}

impl Engine {
    /// Starts a shard for each set of listening sockets in `bound`, which must have been opened
    /// for this `config`. Raises the limit of descriptors as far as it goes.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(bound: Bound, config: &Config, journal: Journal) -> io::Result<Self> {
        let plan = Arc::new(Plan::compile(config, None));
        let ceiling = Ceiling::new(sessions_max(&bound, config, &journal)?);
        let addresses = bound.addresses().to_vec();
        let (course, course_receiver) = watch::channel(Course::Serve);
        let (arrivals_in, arrivals_out): (Vec<_>, Vec<_>) =
            bound.shards.iter().map(|_| mpsc::channel(HANDOVERS_MAX)).unzip();
        let neighbour = |arrivals| Neighbour { sessions: Arc::default(), arrivals };
        let commons = Arc::new(Commons {
            plan: Arc::clone(&plan),
            ceiling: Arc::clone(&ceiling),
            journal: journal.clone(),
            neighbours: arrivals_in.into_iter().map(neighbour).collect(),
            ids: AtomicU64::new(1),
            ceiling_noticed: AtomicU64::new(0),
        });
        let (running_sender, running) = watch::channel(bound.shards.len());
        let running_sender = Arc::new(running_sender);
        let mut threads = Vec::new();
        for (index, (listening, arrivals)) in bound.shards.into_iter().zip(arrivals_out).enumerate()
        {
            let listener = |(socket, at): (_, usize)| (socket, Arc::clone(&plan.listeners[at]));
            let start = Start {
                index,
                commons: Arc::clone(&commons),
                listening: listening.into_iter().map(listener).collect(),
                arrivals,
                course: course_receiver.clone(),
            };
            let running = Running(Arc::clone(&running_sender));
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            threads.push(thread.spawn(move || {
                let _running = running;
                shard::run(start)
            })?);
        }
        for (listener, address) in addresses {
            journal.notice(Notice::Listening { listener, address });
        }
        Ok(Self { plan, ceiling, course, running, threads, _paths: bound.paths })
    }

    /// The host names that want resolving: post their answers.
    pub fn names(&self) -> &[Arc<Name>] {
        &self.plan.names
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.ceiling.sessions()
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
        for thread in self.threads {
            thread
                .join()
                .map_err(|_| io::Error::other("a shard has died; its sessions are lost"))??;
        }
        Ok(())
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
fn sessions_max(bound: &Bound, config: &Config, journal: &Journal) -> io::Result<usize> {
    let descriptors = ceiling::raise_descriptor_limit()?;
    let shards = bound.shards.len() as u64;
    let sockets: usize = bound.shards.iter().map(Vec::len).sum();
    let pipes = 2 * relay::pipe::PIPES_PER_THREAD_MAX as u64 * shards;
    let fixed = sockets as u64 + shards * DESCRIPTORS_PER_SHARD;
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
