//! Phase *accept*: clients come in, and go to the shard that serves them.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::{Stamp, Watched};
use tokio::sync::watch;

use crate::ceiling::Permit;
use crate::journal::Notice;
use crate::phase::account::ClientAddress;
use crate::plan::Listener;
use crate::session::Arrival;
use crate::shard::{Course, Shard};
use crate::socket::{self, Accepted};

/// How long to rest when descriptors or memory have run out.
pub(crate) const REST: Duration = Duration::from_millis(75);

/// Least time between two notices about the same scarcity.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// Clients that are accepted in a row before other tasks of the shard get their turn.
const ROW: usize = 16;

/// Accepts clients until the engine drains, or the listening socket is gone.
pub(crate) async fn accept_clients(socket: OwnedFd, listener: Arc<Listener>, shard: Rc<Shard>) {
    let mut course = shard.course.clone();
    let watched = match Watched::new(socket) {
        Ok(watched) => watched,
        Err(error) => return shard.listener_lost(&listener, &error),
    };
    let mut door = Door { listener, shard, watched, last_notice: None, unnoticed: 0 };
    loop {
        tokio::select! {
            biased;
            () = drains(&mut course) => return door.take_the_waiting(),
            entered = door.enter() => match entered {
                Next::Client => {}
                Next::Rest => tokio::time::sleep(REST).await,
                Next::Closed(error) => return door.shard.listener_lost(&door.listener, &error),
            },
        }
    }
}

/// Resolves when the engine no longer takes clients.
async fn drains(course: &mut watch::Receiver<Course>) {
    // An engine that is gone takes no clients either.
    let _ = course.wait_for(|course| *course != Course::Serve).await;
}

/// A listening socket of one shard.
struct Door {
    listener: Arc<Listener>,
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
        let (listener, accepted) = (Arc::clone(&self.listener), Stamp::now());
        self.shard.place(Arrival { socket, client, listener, permit, accepted });
    }

    fn notice_rest(&mut self, error: &io::Error) {
        self.unnoticed += 1;
        if self.last_notice.is_some_and(|last| last.elapsed() < NOTICE_EVERY) {
            return;
        }
        self.last_notice = Some(Instant::now());
        self.shard.journal.notice(Notice::AcceptRests {
            listener: self.listener.name.clone(),
            error: error.to_string(),
            times: std::mem::take(&mut self.unnoticed),
        });
    }
}
