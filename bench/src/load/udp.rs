//! UDP flows, each a client with a socket of its own: as fast as replies come back, or at a fixed rate.
//!
//! A datagram that is not back after [`LOST_AFTER`] is lost. At the end of the window every worker waits for
//! what is still under way, so that nothing lost is overlooked.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use self::flow::Flow;
use super::poll::{Poll, Ready, sleep_exactly};
use super::{Tally, Window, Worker, pause, shares, worker};
use crate::datagrams::Batch;

mod flow;

/// When a datagram that is not back counts as lost; far above any delay of loopback.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// How often flows are searched for lost datagrams.
const SWEEP: Duration = Duration::from_millis(10);
/// How often datagrams leave at a fixed rate, and replies are looked at; often enough that buffers hold what
/// comes between, seldom enough that waking up costs little beside the datagrams.
const TICK: Duration = Duration::from_micros(250);
/// How far the generator may be behind before it leaves out what it should have sent: a burst of more would
/// measure how long it was not given a CPU.
const BEHIND: Duration = Duration::from_millis(5);
/// Datagrams of one flow that leave together at a fixed rate.
const TRAIN: u32 = 4;
/// Datagrams of one system call; no flow has more under way, or sends more at once.
const BATCH: usize = 16;

/// Workers for `flows` flows of datagrams of `size` bytes, each with `under_way` of them under way: the next
/// leaves when one is back or lost.
pub(crate) fn closed(
    target: SocketAddr,
    flows: usize,
    size: usize,
    under_way: usize,
) -> Vec<Worker> {
    let thread = |numbers: Vec<u64>| {
        let open = move || Flows::open(target, &numbers, size);
        worker(open, move |flows, window, tally| keep(flows, under_way, window, tally))
    };
    shares(flows).map(thread).collect()
}

/// Workers that send `rate` datagrams of `size` bytes a second over `flows` flows, whatever comes back; latency
/// counts from the intended time, in steps of [`TICK`].
pub(crate) fn paced(target: SocketAddr, flows: usize, size: usize, rate: u32) -> Vec<Worker> {
    let threads = u32::try_from(shares(flows).count()).expect("a handful of threads");
    let interval = Duration::from_secs(1) * TRAIN * threads / rate.max(1);
    let thread = |numbers: Vec<u64>| {
        let open = move || Flows::open(target, &numbers, size);
        worker(open, move |flows, window, tally| send_at(flows, interval, window, tally))
    };
    shares(flows).map(thread).collect()
}

/// Sends one datagram to `target` and waits for it to come back.
///
/// # Errors
/// Those of the socket, `InvalidData` where the reply differs, `TimedOut` where none comes soon.
pub(crate) fn served(target: SocketAddr) -> io::Result<()> {
    Flow::new(target, 0, flow::SMALLEST)?.serve(&mut Batch::new(BATCH), LOST_AFTER)
}

/// The flows of one thread.
struct Flows {
    all: Vec<Flow>,
    poll: Poll,
    ready: Ready,
    batch: Batch,
    swept: Instant,
}

fn keep(mut flows: Flows, under_way: usize, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let refill = |flow: &mut Flow, batch: &mut Batch, tally: &mut Tally| {
        flow.send(batch, under_way - flow.under_way(), Instant::now(), window, tally)
    };
    for flow in &mut flows.all {
        refill(flow, &mut flows.batch, tally)?;
    }
    while !window.ended() {
        flows.poll.wait(&mut flows.ready, SWEEP)?;
        flows.replies(window, tally, refill)?;
        flows.sweep(window, tally, refill)?;
    }
    flows.finish(window, tally)
}

fn send_at(
    mut flows: Flows,
    interval: Duration,
    window: &Window,
    tally: &mut Tally,
) -> io::Result<()> {
    sleep_exactly()?;
    let (mut intended, mut tick, mut next) = (Instant::now(), Instant::now(), 0);
    while !window.ended() {
        let now = Instant::now();
        intended = intended.max(now.checked_sub(BEHIND).unwrap_or(now));
        while intended <= now {
            let flow = &mut flows.all[next];
            flow.send(&mut flows.batch, TRAIN as usize, intended, window, tally)?;
            next = (next + 1) % flows.all.len();
            intended += interval;
        }
        flows.poll.wait(&mut flows.ready, Duration::ZERO)?;
        flows.replies(window, tally, |_, _, _| Ok(()))?;
        flows.sweep(window, tally, |_, _, _| Ok(()))?;
        tick = (tick + TICK).max(Instant::now());
        pause(tick.saturating_duration_since(Instant::now()));
    }
    flows.finish(window, tally)
}

impl Flows {
    /// Flows that have been served once, so that whatever their start takes is over.
    fn open(target: SocketAddr, numbers: &[u64], size: usize) -> io::Result<Self> {
        let (poll, mut batch) = (Poll::new()?, Batch::new(BATCH));
        let mut all = Vec::with_capacity(numbers.len());
        for (index, number) in numbers.iter().enumerate() {
            let mut flow = Flow::new(target, *number, size)?;
            flow.serve(&mut batch, super::PATIENCE)?;
            poll.add(flow.socket(), index as u64, EventFlags::IN)?;
            all.push(flow);
        }
        Ok(Self { all, poll, ready: Ready::default(), batch, swept: Instant::now() })
    }

    /// Takes what the ready flows have received, and gives each of them to `then`.
    fn replies(
        &mut self,
        window: &Window,
        tally: &mut Tally,
        mut then: impl FnMut(&mut Flow, &mut Batch, &mut Tally) -> io::Result<()>,
    ) -> io::Result<()> {
        for index in self.ready.keys() {
            let flow = &mut self.all[usize::try_from(index).expect("an index was stored")];
            flow.take(&mut self.batch, window, tally)?;
            then(flow, &mut self.batch, tally)?;
        }
        Ok(())
    }

    /// Now and then counts what is lost, and gives each flow to `then`.
    fn sweep(
        &mut self,
        window: &Window,
        tally: &mut Tally,
        mut then: impl FnMut(&mut Flow, &mut Batch, &mut Tally) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.swept.elapsed() < SWEEP {
            return Ok(());
        }
        self.swept = Instant::now();
        let Some(before) = self.swept.checked_sub(LOST_AFTER) else { return Ok(()) };
        for flow in &mut self.all {
            flow.lose(before, &mut self.batch, window, tally)?;
            then(flow, &mut self.batch, tally)?;
        }
        Ok(())
    }

    /// Waits until nothing is under way.
    fn finish(mut self, window: &Window, tally: &mut Tally) -> io::Result<()> {
        while self.all.iter().any(|flow| flow.under_way() > 0) {
            self.poll.wait(&mut self.ready, SWEEP)?;
            self.replies(window, tally, |_, _, _| Ok(()))?;
            self.sweep(window, tally, |_, _, _| Ok(()))?;
        }
        Ok(())
    }
}
