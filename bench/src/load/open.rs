//! Open loop: requests leave at fixed times whether replies came or not, and latency counts from the
//! intended time, so a stall is seen by every request that it delayed (no coordinated omission).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::poll::{Poll, Ready, sleep_exactly};
use super::{PATIENCE, Tally, Window, Worker, hold, worker};
use crate::pattern;
use crate::pattern::opening::Opening;

/// Requests under way at most; a candidate that is further behind has failed.
const UNDER_WAY: usize = 20_000;

/// The worker that sends `rate` requests of one byte in each second over `connections` connections.
pub(crate) fn workers(target: SocketAddr, connections: usize, rate: u32) -> Vec<Worker> {
    let open = move || (0..connections as u64).map(|number| Line::open(target, number)).collect();
    vec![worker(open, move |lines, window, tally| turn(lines, rate, window, tally))]
}

/// A connection and the requests under way on it, with the times they were meant to leave.
struct Line {
    stream: TcpStream,
    number: u64,
    sent: u64,
    under_way: VecDeque<(u64, Instant)>,
}

impl Line {
    fn open(target: SocketAddr, number: u64) -> io::Result<Self> {
        let stream = hold::served(target, number, Opening::Byte)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, number, sent: 0, under_way: VecDeque::new() })
    }

    fn request(&mut self, intended: Instant) -> io::Result<()> {
        self.sent += 1;
        self.under_way.push_back((self.sent, intended));
        self.stream.write_all(&[pattern::echo_byte(self.number, self.sent, 0)])
    }

    /// Reads the replies that are there, gives the intended time of each to `done`.
    fn replies(&mut self, mut done: impl FnMut(Instant)) -> io::Result<()> {
        let mut buffer = [0; 256];
        let length = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for byte in &buffer[..length] {
            let Some((sequence, intended)) = self.under_way.pop_front() else {
                return Err(pattern::wrong("a reply to nothing".into()));
            };
            if *byte != pattern::echo_byte(self.number, sequence, 0) {
                return Err(pattern::wrong(format!("reply {sequence} differs")));
            }
            done(intended);
        }
        Ok(())
    }
}

fn turn(mut lines: Vec<Line>, rate: u32, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let poll = Poll::new()?;
    for (index, line) in lines.iter().enumerate() {
        poll.add(&line.stream, index as u64, EventFlags::IN)?;
    }
    sleep_exactly()?;
    let interval = Duration::from_secs(1) / rate;
    let mut ready = Ready::default();
    let mut intended = Instant::now();
    let (mut request, mut under_way, mut progress) = (0, 0, Instant::now());
    while !window.ended() {
        let now = Instant::now();
        while intended <= now {
            let line = request % lines.len();
            lines[line].request(intended)?;
            request += 1;
            under_way += 1;
            intended += interval;
        }
        if under_way > UNDER_WAY || progress.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !poll.sleep(&mut ready, intended.saturating_duration_since(Instant::now()))? {
            continue;
        }
        progress = Instant::now();
        for index in ready.keys() {
            let index = usize::try_from(index).expect("an index was stored");
            lines[index].replies(|intended| {
                under_way -= 1;
                if window.counts() {
                    tally.record(intended.elapsed());
                }
            })?;
        }
    }
    Ok(())
}
