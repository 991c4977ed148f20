//! The data connection of an FTP session, which has been accepted: a session of its own.
//!
//! It belongs to the listener of its control connection, is held against the same limits and
//! timeouts, and has a record of its own. Its client is the FTP client and its backend the server,
//! whichever of them has connected.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use relay::{Side, Socket};
use socket2::SockAddr;

use super::{Arrival, Carried, Carry, Rewriters, Session, micros};
use crate::balance::BackendIndex;
use crate::phase::account::{Attempt, By, ClientAddress, Event, Reason};
use crate::phase::carry::Outcome;
use crate::phase::connect::{self, FirstWord, Search, Trail};
use crate::phase::route::Chosen;
use crate::phase::via::Goal;
use crate::shard::Shard;
use crate::socket::source::{Departure, Sources};

/// A data connection that has come.
#[derive(Debug)]
pub(crate) struct Data {
    /// Its client is that of the control connection, whoever has come.
    pub(crate) arrival: Arrival,
    /// The pool of the control connection.
    pub(crate) chosen: Chosen,
    /// Its backend.
    pub(crate) backend: BackendIndex,
    pub(crate) way: Way,
}

/// Where a data connection goes on to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// The client has come. The server waits at this port of `to`, which is the server itself or
    /// the proxy before it.
    ToBackend { to: SocketAddr, port: u16 },
    /// The server has come, and the client waits at `to`, where it expects somebody `from` where
    /// it has its control connection to.
    ToClient { to: SocketAddr, from: SocketAddr },
}

impl Way {
    /// The side that has come.
    fn came(self) -> Side {
        match self {
            Self::ToBackend { .. } => Side::Client,
            Self::ToClient { .. } => Side::Backend,
        }
    }
}

/// Phases *admit* to *connect*. `None`: the session has ended there, and is accounted.
pub(crate) async fn open(data: Data, shard: Rc<Shard>) -> Option<Carry> {
    let Data { arrival, chosen, backend, way } = data;
    let (mut session, mut came) = Session::begin(arrival, shard);
    if let Err(outcome) = session.admit() {
        session.turn_away(&mut came, outcome);
        return None;
    }
    session.chosen = chosen;
    session.is_routed = true;
    match session.go_on(&mut came, backend, way).await {
        Ok((other, early)) => {
            let (client, server) = match way.came() {
                Side::Client => (came, other),
                Side::Backend => (other, came),
            };
            let relay =
                session.join((client, Box::default()), (server, early), Rewriters::default());
            if session.shard.journal.wants().start {
                session.write(Event::Start, &Carried::default());
            }
            Some(Carry { session: Box::new(session), relay })
        }
        Err(outcome) => {
            session.account(outcome, &Carried::default());
            None
        }
    }
}

impl Session {
    /// Phase *connect*: the other side is connected to, once.
    async fn go_on(
        &mut self,
        came: &mut Socket,
        backend: BackendIndex,
        way: Way,
    ) -> Result<(Socket, Box<[u8]>), Outcome> {
        let pool = std::sync::Arc::clone(self.listener.pool_of(self.chosen));
        let label = &pool.backend(backend).label;
        let begun = Instant::now();
        let from;
        let (to, departure, asked) = match way {
            Way::ToBackend { to, port } => {
                let sources = pool.source.as_ref();
                let client = match self.client {
                    ClientAddress::Ip(address) => Some(address),
                    ClientAddress::Unix => None,
                };
                let departure = Departure { sources, client, keeps_port: true };
                (to, departure, at_port(label, port))
            }
            Way::ToClient { to, from: here } => {
                from = Sources::new(&model::Source::Addresses(vec![here.ip()]));
                let departure = Departure { sources: Some(&from), client: None, keeps_port: false };
                (to, departure, label.to_string())
            }
        };
        let found = {
            let search = Search {
                listener: &self.listener,
                pool: &pool,
                patience: self.listener.timeouts.connect,
                header: None,
                first_word: FirstWord::Unknown,
                client: self.client,
                original: None,
                asked: None,
                id: self.id,
                journal: &self.shard.journal,
                ceiling: &self.shard.ceiling,
            };
            let target = SockAddr::from(to);
            let goal = asked.parse().map_or(Goal::Name(&asked), Goal::Ip);
            let through = pool.via.as_ref().map(|via| (via, goal));
            let opening = connect::open(&target, through, None, departure, search);
            self.attend(came, way.came(), opening).await?
        };
        // It is one more of the backend's, whatever that may have: the control connection is let in.
        pool.backend(backend).load.join();
        self.backend = Some(backend);
        let mut trail = Trail { address: Some(to), ..Trail::default() };
        let result = match found {
            Ok(reached) => {
                self.connect_us = micros(self.accepted.elapsed());
                Ok((reached.socket, reached.early))
            }
            Err(refused) => {
                let (failure, phrase) = (refused.failure, refused.phrase);
                trail.attempts.push(Attempt {
                    backend: label.clone(),
                    is_original: false,
                    address: Some(to),
                    took: begun.elapsed(),
                    failure,
                    phrase,
                });
                let by = match (failure.reason(), way.came()) {
                    (Reason::Internal, _) => By::Replug,
                    (_, Side::Client) => By::Backend,
                    (_, Side::Backend) => By::Client,
                };
                Err(Outcome { reason: failure.reason(), by })
            }
        };
        self.trail = Some(trail.into());
        result
    }
}

/// `host:port` with another port.
fn at_port(label: &str, port: u16) -> String {
    let host = label.rsplit_once(':').map_or(label, |(host, _)| host);
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_for_at_another_port() {
        assert_eq!(at_port("ftp.example:21", 50_000), "ftp.example:50000");
        assert_eq!(at_port("[2001:db8::1]:21", 50_000), "[2001:db8::1]:50000");
    }
}
