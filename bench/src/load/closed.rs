//! Closed loop: each connection has one request under way; the next starts when the reply is whole.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::hold::served;
use super::poll::Poll;
use super::{Tally, Window, Worker, shares, worker};
use crate::pattern;
use crate::pattern::opening::Opening;

/// Bytes of one read; no reply is larger.
const BUFFER: usize = 16 << 10;

/// Workers for request-reply with `size` bytes on `connections` connections to `target`.
pub(crate) fn workers(target: SocketAddr, connections: usize, size: usize) -> Vec<Worker> {
    let thread = |numbers: Vec<u64>| worker(move || open(target, &numbers, size), turn);
    shares(connections).map(thread).collect()
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
    /// Takes a connected stream, which does not block from here on, and what goes over it.
    pub(super) fn new(stream: TcpStream, number: u64, message: Vec<u8>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, number, sequence: 0, message, arrived: 0, started: Instant::now() })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the next request.
    pub(super) fn request(&mut self) -> io::Result<()> {
        pattern::fill(&mut self.message, self.number, self.sequence + 1);
        self.send()
    }

    /// Sends the message as it is; it is small enough for any send buffer.
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.sequence += 1;
        self.arrived = 0;
        self.started = Instant::now();
        self.stream.write_all(&self.message)
    }

    /// Reads what is there; the duration once the reply is whole and right.
    pub(super) fn reply(&mut self, buffer: &mut [u8]) -> io::Result<Option<Duration>> {
        let missing = buffer.len().min(self.message.len() - self.arrived);
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

fn open(target: SocketAddr, numbers: &[u64], size: usize) -> io::Result<Vec<Exchange>> {
    let exchange = |number: &u64| {
        Exchange::new(served(target, *number, Opening::Byte)?, *number, vec![0; size])
    };
    numbers.iter().map(exchange).collect()
}

fn turn(mut exchanges: Vec<Exchange>, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let poll = Poll::new()?;
    for (index, exchange) in exchanges.iter_mut().enumerate() {
        poll.add(exchange.stream(), index as u64, EventFlags::IN)?;
        exchange.request()?;
    }
    let mut buffer = vec![0; BUFFER];
    poll.serve(window, |index| {
        let exchange = &mut exchanges[usize::try_from(index).expect("an index was stored")];
        if let Some(elapsed) = exchange.reply(&mut buffer)? {
            if window.counts() {
                tally.record(elapsed);
            }
            exchange.request()?;
        }
        Ok(())
    })
}
