//! Phase *accept*: clients come in, and go to the shard that serves them.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Refusal, WhenFull};
use relay::{Stamp, Tick, Watched};
use tokio::sync::Notify;

use crate::ceiling::Permit;
use crate::gate::{Place, Scope};
use crate::journal::Notice;
use crate::phase::account::ClientAddress;
use crate::plan::Listener;
use crate::session::Arrival;
use crate::shard::Shard;
use crate::socket::{self, Accepted};

/// How long to rest when descriptors or memory have run out.
pub(crate) const REST: Duration = Duration::from_millis(75);

/// Least time between two notices about the same scarcity.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// Clients that are accepted in a row before other tasks of the shard get their turn.
const ROW: usize = 16;

/// For which listener a listening socket takes clients; its shard says so, and when that is over.
#[derive(Debug)]
pub(crate) struct Duty {
    listener: RefCell<Arc<Listener>>,
    changed: Notify,
    over: Notify,
}

impl Duty {
    /// Takes clients for `listener`.
    pub(crate) fn new(listener: Arc<Listener>) -> Self {
        Self { listener: RefCell::new(listener), changed: Notify::new(), over: Notify::new() }
    }

    /// The listener of the client that comes next.
    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }

    /// Takes clients for `listener` from now on.
    pub(crate) fn pass_to(&self, listener: Arc<Listener>) {
        self.listener.replace(listener);
        self.changed.notify_one();
    }

    /// No more clients than those that wait already.
    pub(crate) fn end(&self) {
        self.over.notify_one();
    }

    /// Waits until it does.
    pub(crate) async fn ended(&self) {
        self.over.notified().await;
    }
}

/// Accepts clients until its duty ends, or the listening socket is gone.
pub(crate) async fn accept_clients(socket: OwnedFd, duty: Rc<Duty>, shard: Rc<Shard>) {
    let watched = match Watched::new(socket) {
        Ok(watched) => watched,
        Err(error) => return shard.listener_lost(&duty.listener(), &error),
    };
    let over = Rc::clone(&duty);
    let mut door = Door { duty, shard, watched, last_notice: None, unnoticed: 0 };
    loop {
        tokio::select! {
            biased;
            () = over.ended() => return door.take_the_waiting(),
            next = door.next() => if let Some(error) = next {
                return door.shard.listener_lost(&over.listener(), &error);
            },
        }
    }
}

/// A listening socket of one shard.
struct Door {
    duty: Rc<Duty>,
    shard: Rc<Shard>,
    watched: Watched,
    last_notice: Option<Instant>,
    unnoticed: u64,
}

/// What a client needs to be accepted.
struct Room {
    place: Place,
    permit: Permit,
}

/// What a door waits for while there is no room; its clients wait in the kernel's queue.
enum Wait {
    /// A place of this listener.
    Place,
    /// A session of the whole process.
    Permit,
    /// The next client's turn by a rate.
    Turn(Duration, Scope),
}

/// What the door calls for next.
enum Next {
    Client,
    Rest,
    Closed(io::Error),
}

impl Door {
    /// Takes in what comes next, and rests if need be. An error is the end.
    async fn next(&mut self) -> Option<io::Error> {
        match self.enter().await {
            Next::Client => None,
            Next::Rest => {
                tokio::time::sleep(REST).await;
                None
            }
            Next::Closed(error) => Some(error),
        }
    }

    /// Waits for clients and a free place, and takes in a row of them.
    async fn enter(&mut self) -> Next {
        if let Err(error) = self.watched.readable().await {
            return Next::Closed(error);
        }
        for _ in 0..ROW {
            if self.shard.ceiling.has_starving() {
                self.notice_rest(&rustix::io::Errno::MFILE.into());
                return Next::Rest;
            }
            let listener = self.duty.listener();
            let room = match self.room(&listener) {
                Ok(room) => room,
                Err(Wait::Place | Wait::Permit) if listener.when_full == WhenFull::Refuse => {
                    match self.turn_away(&listener) {
                        Some(next) => return next,
                        None => continue,
                    }
                }
                Err(wait) => {
                    self.wait(wait, &listener).await;
                    continue;
                }
            };
            let next = match Accepted::from(self.watched.try_read(socket::accept)) {
                Accepted::Client(socket, client) => {
                    self.welcome(socket, client, listener, room);
                    continue;
                }
                Accepted::Empty => Some(Next::Client),
                Accepted::Retry => None,
                Accepted::Rest(error) => {
                    self.notice_rest(&error);
                    Some(Next::Rest)
                }
                Accepted::Closed(error) => Some(Next::Closed(error)),
            };
            listener.gates.put_back();
            if let Some(next) = next {
                return next;
            }
        }
        tokio::task::yield_now().await;
        Next::Client
    }

    /// Room for one more client, if there is any within the limits that make clients wait.
    fn room(&self, listener: &Listener) -> Result<Room, Wait> {
        let gates = &listener.gates;
        let place = gates.enter().ok_or(Wait::Place)?;
        let permit = self.shard.ceiling.enter().ok_or(Wait::Permit)?;
        if gates.have_rates() {
            gates.pass(Stamp::now()).map_err(|(time, scope)| Wait::Turn(time, scope))?;
        }
        Ok(Room { place, permit })
    }

    /// Accepts one client for whom there is no room, and refuses it; `None`: look again.
    fn turn_away(&mut self, listener: &Listener) -> Option<Next> {
        match Accepted::from(self.watched.try_read(socket::accept)) {
            Accepted::Client(socket, _) => {
                match listener.gates.gate(Scope::Listener).sessions_max() {
                    Some(_) => self.notice_full(listener),
                    None => self.shard.notice_ceiling(Some(listener.refuse)),
                }
                let mut client = relay::Socket::new(socket);
                match listener.refuse {
                    Refusal::Reset => {}
                    Refusal::Close => client.close_in_order(),
                }
                None
            }
            Accepted::Empty => Some(Next::Client),
            Accepted::Retry => None,
            Accepted::Rest(error) => {
                self.notice_rest(&error);
                Some(Next::Rest)
            }
            Accepted::Closed(error) => Some(Next::Closed(error)),
        }
    }

    /// Waits, with nothing in hand that another listener could use, until there may be room or
    /// another configuration has other limits.
    async fn wait(&self, wait: Wait, listener: &Listener) {
        let room = async {
            match wait {
                Wait::Permit => {
                    self.shard.notice_ceiling(None);
                    self.shard.ceiling.has_room().await;
                }
                Wait::Place => {
                    self.notice_full(listener);
                    listener.gates.has_room().await;
                }
                Wait::Turn(time, scope) => {
                    self.notice_fast(listener, scope);
                    tokio::time::sleep(time).await;
                }
            }
        };
        tokio::select! {
            () = room => {}
            () = self.duty.changed.notified() => {}
        }
    }

    /// Takes what already waits in the queue, within the limits: closing the socket would reset
    /// these clients.
    fn take_the_waiting(&self) {
        let listener = self.duty.listener();
        while let Ok(room) = self.room(&listener) {
            match Accepted::from(socket::accept(self.watched.descriptor())) {
                Accepted::Client(socket, client) => {
                    self.welcome(socket, client, Arc::clone(&listener), room);
                }
                Accepted::Retry => listener.gates.put_back(),
                Accepted::Empty | Accepted::Rest(_) | Accepted::Closed(_) => {
                    return listener.gates.put_back();
                }
            }
        }
    }

    fn welcome(&self, socket: OwnedFd, client: ClientAddress, listener: Arc<Listener>, room: Room) {
        let (Room { place, permit }, accepted) = (room, Stamp::now());
        self.shard.notice_room();
        self.shard.place(Arrival { socket, client, listener, permit, place, accepted });
    }

    /// Tells, now and then, that clients wait for a place at this listener.
    fn notice_full(&self, listener: &Listener) {
        let gate = listener.gates.gate(Scope::Listener);
        if let (Some(max), Some(_)) = (gate.sessions_max(), gate.full.happened(Tick::now())) {
            let (listener, sessions) = (listener.name.clone(), max.get());
            self.shard.journal.notice(Notice::ListenerFull { listener, sessions });
        }
    }

    /// Tells, now and then, that clients come faster than they may.
    fn notice_fast(&self, listener: &Listener, scope: Scope) {
        let gate = listener.gates.gate(scope);
        if let (Some(rate), Some(_)) = (gate.rate(), gate.fast.happened(Tick::now())) {
            let listener = (scope == Scope::Listener).then(|| listener.name.clone());
            self.shard.journal.notice(Notice::AtRate { listener, rate });
        }
    }

    fn notice_rest(&mut self, error: &io::Error) {
        self.unnoticed += 1;
        if self.last_notice.is_some_and(|last| last.elapsed() < NOTICE_EVERY) {
            return;
        }
        self.last_notice = Some(Instant::now());
        let listener = self.duty.listener();
        self.shard.journal.notice(Notice::AcceptRests {
            listener: listener.name.clone(),
            bind: listener.bind.clone(),
            target: listener.pool.target(),
            error: error.to_string(),
            times: std::mem::take(&mut self.unnoticed),
        });
    }
}
