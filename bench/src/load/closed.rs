//! Closed loop: each connection has one request under way; the next starts when the reply is whole.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::hold::served;
use super::{LOOK, PATIENCE, THREADS, Tally, Window, Worker};
use crate::pattern;

/// Workers for request-reply with `size` bytes on `connections` connections to `target`.
pub(crate) fn workers(target: SocketAddr, connections: usize, size: usize) -> Vec<Worker> {
    let threads = THREADS.min(connections);
    (0..threads)
        .map(|thread| -> Worker {
            let mine: Vec<_> = (thread..connections).step_by(threads).collect();
            Box::new(move |window, barrier| work(target, &mine, size, window, barrier))
        })
        .collect()
}

/// A connection and the request it waits for.
#[derive(Debug)]
pub(super) struct Exchange {
    stream: TcpStream,
    number: u64,
    sequence: u64,
    message: Vec<u8>,
    /// Bytes of the reply that have arrived.
    arrived: usize,
    started: Instant,
}

impl Exchange {
    /// Takes a connected stream; it does not block from here on.
    pub(super) fn new(stream: TcpStream, number: u64, size: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let message = vec![0; size];
        Ok(Self { stream, number, sequence: 0, message, arrived: 0, started: Instant::now() })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the next request; it is small enough for any send buffer.
    pub(super) fn request(&mut self) -> io::Result<()> {
        self.sequence += 1;
        self.arrived = 0;
        pattern::fill(&mut self.message, self.number, self.sequence);
        self.started = Instant::now();
        self.stream.write_all(&self.message)
    }

    /// Reads what is there; the duration once the reply is whole and right.
    pub(super) fn reply(&mut self, buffer: &mut [u8]) -> io::Result<Option<Duration>> {
        let missing = self.message.len() - self.arrived;
        let length = match self.stream.read(&mut buffer[..missing]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        if buffer[..length] != self.message[self.arrived..self.arrived + length] {
            return Err(pattern::wrong(format!("reply {} differs", self.sequence)));
        }
        self.arrived += length;
        Ok((self.arrived == self.message.len()).then(|| self.started.elapsed()))
    }
}

fn work(
    target: SocketAddr,
    numbers: &[usize],
    size: usize,
    window: &Window,
    barrier: &Barrier,
) -> Tally {
    let mut tally = Tally::default();
    let opened = open(target, numbers, size);
    barrier.wait();
    let worked = opened.and_then(|(epoll, mut all)| turn(&epoll, &mut all, window, &mut tally));
    if let Err(error) = worked {
        tally.fail(&error);
    }
    tally
}

fn open(
    target: SocketAddr,
    numbers: &[usize],
    size: usize,
) -> io::Result<(OwnedFd, Vec<Exchange>)> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut exchanges = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        let exchange = Exchange::new(served(target, *number as u64)?, *number as u64, size)?;
        let data = EventData::new_u64(index as u64);
        epoll::add(&epoll, exchange.stream(), data, EventFlags::IN)?;
        exchanges.push(exchange);
    }
    Ok((epoll, exchanges))
}

fn turn(
    epoll: &OwnedFd,
    exchanges: &mut [Exchange],
    window: &Window,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut events = Vec::with_capacity(exchanges.len().min(256));
    let mut buffer = vec![0; 16 << 10];
    for exchange in exchanges.iter_mut() {
        exchange.request()?;
    }
    let mut progress = Instant::now();
    while !window.ended() {
        if !wait(epoll, &mut events, Some(LOOK))? {
            if progress.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            continue;
        }
        progress = Instant::now();
        for event in &events {
            let index = usize::try_from(event.data.u64()).expect("an index was stored");
            let exchange = &mut exchanges[index];
            if let Some(elapsed) = exchange.reply(&mut buffer)? {
                if window.counts() {
                    tally.record(elapsed);
                }
                exchange.request()?;
            }
        }
    }
    Ok(())
}

/// Waits for events; `false` when `limit` passed without one.
pub(super) fn wait(
    epoll: &OwnedFd,
    events: &mut Vec<Event>,
    limit: Option<Duration>,
) -> io::Result<bool> {
    events.clear();
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match epoll::wait(epoll, spare_capacity(events), limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!events.is_empty()),
        Err(error) => Err(error.into()),
    }
}
