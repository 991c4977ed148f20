//! Connect, request, reply, close; and a burst of connects at once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::closed::Exchange;
use super::poll::{Poll, Ready};
use super::{LOOK, PATIENCE, Tally, Window, Worker, shares, source_socket, worker};
use crate::pattern::opening::Opening;

/// Bytes of one read; no opening has many more.
const REPLY: usize = 1024;

/// Workers that keep `connections` connections under way: `opening` each way, then the client ends first.
pub(crate) fn workers(target: SocketAddr, connections: usize, opening: Opening) -> Vec<Worker> {
    let thread = |mine: Vec<u64>| {
        let step = connections as u64;
        worker(Poll::new, move |poll, window, tally| {
            turn((target, opening), &poll, &mine, step, window, tally)
        })
    };
    shares(connections).map(thread).collect()
}

/// One connection, from connect to the last FIN.
struct Visit {
    exchange: Exchange,
    started: Instant,
    stage: Stage,
}

/// How far a visit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Asked,
    Served,
    Closed,
}

/// Keeps one visit under way in each of `places`; the number of the next one there is larger by `step`.
fn turn(
    (target, opening): (SocketAddr, Opening),
    poll: &Poll,
    places: &[u64],
    step: u64,
    window: &Window,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut visits: HashMap<u64, Visit> = HashMap::with_capacity(places.len());
    for number in places {
        visits.insert(*number, begin(target, opening, poll, *number)?);
    }
    poll.serve(window, |number| {
        let visit = visits.get_mut(&number).expect("events name open visits");
        match visit.advance(poll, number) {
            Ok(Stage::Closed) if window.counts() => tally.record(visit.started.elapsed()),
            Ok(Stage::Closed) => {}
            Ok(Stage::Served) => match visit.exchange.stream().shutdown(Shutdown::Write) {
                Ok(()) => return Ok(()),
                Err(error) => tally.fail(&error),
            },
            Ok(_) => return Ok(()),
            Err(error) => tally.fail(&error),
        }
        visits.remove(&number);
        visits.insert(number + step, begin(target, opening, poll, number + step)?);
        Ok(())
    })
}

/// Connects without waiting, and sends the opening already if the connection stands.
fn begin(target: SocketAddr, opening: Opening, poll: &Poll, number: u64) -> io::Result<Visit> {
    let started = Instant::now();
    let socket = source_socket(number)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let mut exchange = Exchange::new(TcpStream::from(socket), number, opening.message(number, 1))?;
    let (stage, flags) = match exchange.send() {
        Ok(()) => (Stage::Asked, EventFlags::IN),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            (Stage::Connecting, EventFlags::OUT)
        }
        Err(error) => return Err(error),
    };
    poll.add(exchange.stream(), number, flags)?;
    Ok(Visit { exchange, started, stage })
}

impl Visit {
    /// Goes on after an event; says how far it has come.
    fn advance(&mut self, poll: &Poll, number: u64) -> io::Result<Stage> {
        match self.stage {
            Stage::Connecting => {
                let stream = self.exchange.stream();
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                poll.modify(stream, number, EventFlags::IN)?;
                self.exchange.send()?;
                self.stage = Stage::Asked;
            }
            Stage::Asked if self.exchange.reply(&mut [0; REPLY])?.is_some() => {
                self.stage = Stage::Served;
            }
            Stage::Served => match self.exchange.stream().read(&mut [0]) {
                Ok(0) => self.stage = Stage::Closed,
                Ok(_) => return Err(crate::pattern::wrong("a byte after the reply".into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            },
            Stage::Asked | Stage::Closed => {}
        }
        Ok(self.stage)
    }
}

/// What became of a burst.
#[derive(Debug)]
pub(crate) struct Burst {
    /// Time until the last of the served connections had its reply.
    pub(crate) elapsed: Duration,
    /// One operation per served connection, with its time from the start of the burst.
    pub(crate) tally: Tally,
}

/// Connects `connections` times at once, sends a byte on each and waits until all were served.
///
/// # Errors
/// Those of epoll and of making sockets; a connection that fails is counted instead.
pub(crate) fn burst(target: SocketAddr, connections: u64) -> io::Result<Burst> {
    let poll = Poll::new()?;
    let mut tally = Tally::default();
    let mut waiting: HashMap<u64, Visit> = HashMap::new();
    let mut served = Vec::new();
    let started = Instant::now();
    for number in 0..connections {
        match begin(target, Opening::Byte, &poll, number) {
            Ok(visit) => drop(waiting.insert(number, visit)),
            Err(error) => tally.fail(&error),
        }
    }
    let mut elapsed = Duration::ZERO;
    let mut ready = Ready::default();
    while !waiting.is_empty() && started.elapsed() < PATIENCE {
        poll.wait(&mut ready, LOOK)?;
        for number in ready.keys() {
            // A served connection stays open and may be reset; that is no longer part of the burst.
            let Some(visit) = waiting.get_mut(&number) else { continue };
            match visit.advance(&poll, number) {
                Ok(Stage::Served) => {
                    elapsed = started.elapsed();
                    tally.record(elapsed);
                }
                Ok(_) => continue,
                Err(error) => tally.fail(&error),
            }
            served.extend(waiting.remove(&number));
        }
    }
    for _ in &waiting {
        tally.fail(&io::ErrorKind::TimedOut.into());
    }
    Ok(Burst { elapsed, tally })
}
