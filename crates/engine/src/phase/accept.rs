//! Phase *accept*: clients come in, and go to the shard that serves them.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::{Stamp, Watched};
use tokio::sync::Notify;

use crate::ceiling::Permit;
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
    over: Notify,
}

impl Duty {
    /// Takes clients for `listener`.
    pub(crate) fn new(listener: Arc<Listener>) -> Self {
        Self { listener: RefCell::new(listener), over: Notify::new() }
    }

    /// The listener of the client that comes next.
    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }

    /// Takes clients for `listener` from now on.
    pub(crate) fn pass_to(&self, listener: Arc<Listener>) {
        self.listener.replace(listener);
    }

    /// No more clients than those that wait already.
    pub(crate) fn end(&self) {
        self.over.notify_one();
    }

    async fn ended(&self) {
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
            let Some(permit) = self.shard.ceiling.enter() else {
                self.shard.notice_ceiling();
                self.shard.ceiling.has_room().await;
                continue;
            };
            match Accepted::from(self.watched.try_read(socket::accept)) {
                Accepted::Client(socket, client) => self.welcome(socket, client, permit),
                Accepted::Empty => return Next::Client,
                Accepted::Retry => {}
                Accepted::Rest(error) => {
                    self.notice_rest(&error);
                    return Next::Rest;
                }
                Accepted::Closed(error) => return Next::Closed(error),
            }
        }
        tokio::task::yield_now().await;
        Next::Client
    }

    /// Takes what already waits in the queue: closing the socket would reset these clients.
    fn take_the_waiting(&self) {
        while let Some(permit) = self.shard.ceiling.enter() {
            match Accepted::from(socket::accept(self.watched.descriptor())) {
                Accepted::Client(socket, client) => self.welcome(socket, client, permit),
                Accepted::Retry => {}
                Accepted::Empty | Accepted::Rest(_) | Accepted::Closed(_) => return,
            }
        }
    }

    fn welcome(&self, socket: OwnedFd, client: ClientAddress, permit: Permit) {
        let (listener, accepted) = (self.duty.listener(), Stamp::now());
        self.shard.place(Arrival { socket, client, listener, permit, accepted });
    }

    fn notice_rest(&mut self, error: &io::Error) {
        self.unnoticed += 1;
        if self.last_notice.is_some_and(|last| last.elapsed() < NOTICE_EVERY) {
            return;
        }
        self.last_notice = Some(Instant::now());
        self.shard.journal.notice(Notice::AcceptRests {
            listener: self.duty.listener().name.clone(),
            error: error.to_string(),
            times: std::mem::take(&mut self.unnoticed),
        });
    }
}
