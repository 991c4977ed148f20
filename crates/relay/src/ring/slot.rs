//! One session in the ring: what has happened to it, and what is to be done next.
//!
//! ```text
//!            receive ─▶ queue ─▶ send ─▶ … ─▶ end of stream ─▶ shutdown
//! Run ───────────────────────────────────────────────────────────────────▶ over, both ended
//!  │  bulk, blocked, starved, broken, or asked to
//!  ├──▶ HandOver: what is in flight is cancelled; when nothing is, what is queued goes along
//!  └──▶ Abort: the same, and what is queued is thrown away
//! ```
//!
//! There is no descriptor here and no system call: whoever drives the ring carries out what is
//! asked for, so everything can be played through with a kernel made of dice (the tests below).
//! At most one receive for each side is in flight, and one send.

use rustix::io::Errno;

use super::buffers::{BYTES, BufferId, Buffers, Part, Queue};
use crate::Side;
use crate::clock::{Stamp, Tick};

/// Full buffers in a row that make a direction bulk, for which splicing is better.
const BULK_RUN: u8 = 3;

/// Buffers that a direction may hold: its receiver does not keep up.
const QUEUE_MAX: u16 = 8;

/// Something to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Receive from this side, again and again.
    Receive(Side),
    /// Send all of this to this side.
    Send(Side, Part),
    /// Cancel receiving from this side.
    CancelReceive(Side),
    /// Cancel sending to this side.
    CancelSend(Side),
    /// Send a FIN to this side; that is done at once.
    Shutdown(Side),
    /// The kernel may have this buffer again.
    GiveBack(BufferId),
}

/// What came of a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, in this buffer.
    Bytes(BufferId, u16),
    /// The sender's FIN.
    End,
    /// The kernel had no buffer for what has come.
    NoBuffer,
    /// It was cancelled.
    Cancelled,
    /// The socket is broken.
    Failed(Errno),
}

/// Why a session leaves the ring before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// So much comes that splicing it is better.
    Bulk,
    /// A receiver does not keep up.
    Blocked,
    /// All buffers hold bytes of others.
    Starved,
    /// One side is half-closed, and its death would go unnoticed here.
    HalfClosed,
    /// Less was sent than there was. A connection that breaks in the middle of a send says no more
    /// than that, and what is received from it then looks like a FIN.
    CutShort,
    /// The socket of one side is broken.
    Broken(Side, Errno),
}

/// Where it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Run,
    HandOver(Why),
    Abort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    Open,
    /// The FIN was received, and not everything before it was sent.
    Fin,
    /// The FIN was passed on, or will be when the sockets are closed.
    Ended,
}

/// An operation that the kernel may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flight {
    #[default]
    Landed,
    Begun,
    Cancelling,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: Queue,
    stream: Stream,
    receive: Flight,
    send: Flight,
    /// Whether a send has ended before all was sent.
    was_cut_short: bool,
    bulk: u8,
    delivered: u64,
}

/// One session.
#[derive(Debug)]
pub(super) struct Slot {
    course: Course,
    to_backend: Lane,
    to_client: Lane,
    last_activity: Tick,
    first_byte: Stamp,
    first_fin: Option<Side>,
}

/// What one direction has left when a session leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) delivered: u64,
    /// Whether the sender's FIN was received.
    pub(crate) has_fin: bool,
    /// Whether it was passed on.
    pub(crate) has_ended: bool,
    /// Whether a send has ended early, be it that it was cancelled, or that its socket is broken.
    pub(crate) was_cut_short: bool,
}

impl Slot {
    /// Begins with both sides open. `delivered`: what was carried before.
    pub(super) fn begin(delivered: (u64, u64), tasks: &mut Vec<Task>) -> Self {
        let mut slot = Self {
            course: Course::Run,
            to_backend: Lane { delivered: delivered.0, ..Lane::default() },
            to_client: Lane { delivered: delivered.1, ..Lane::default() },
            last_activity: Tick::now(),
            first_byte: Stamp::default(),
            first_fin: None,
        };
        for side in [Side::Client, Side::Backend] {
            slot.receive(side, tasks);
        }
        slot
    }

    /// Why it is about to leave.
    pub(super) fn leaves(&self) -> Option<Why> {
        match self.course {
            Course::HandOver(why) => Some(why),
            Course::Run | Course::Abort => None,
        }
    }

    /// Whether nothing is left to be done here: both directions have ended, or nothing is in
    /// flight any more of one that leaves.
    pub(super) fn is_over(&self) -> bool {
        let lanes = [&self.to_backend, &self.to_client];
        let has_landed =
            |lane: &&Lane| lane.receive == Flight::Landed && lane.send == Flight::Landed;
        let has_ended = |lane: &&Lane| lane.stream == Stream::Ended;
        lanes.iter().all(has_landed) && (self.course != Course::Run || lanes.iter().all(has_ended))
    }

    /// Whether both directions have ended in good order.
    pub(super) fn is_done(&self) -> bool {
        self.to_backend.stream == Stream::Ended && self.to_client.stream == Stream::Ended
    }

    pub(super) fn delivered(&self) -> (u64, u64) {
        (self.to_backend.delivered, self.to_client.delivered)
    }

    pub(super) fn last_activity(&self) -> Tick {
        self.last_activity
    }

    pub(super) fn first_byte(&self) -> Stamp {
        self.first_byte
    }

    pub(super) fn first_fin(&self) -> Option<Side> {
        self.first_fin
    }

    /// A receive from `from` has something to say. `goes_on`: it will say more by itself.
    pub(super) fn received(
        &mut self,
        from: Side,
        received: Received,
        goes_on: bool,
        buffers: &mut Buffers,
        tasks: &mut Vec<Task>,
    ) {
        if !goes_on {
            self.lane(from).receive = Flight::Landed;
        }
        match received {
            Received::Bytes(buffer, length) => {
                self.last_activity = Tick::now();
                if self.course == Course::Abort {
                    return tasks.push(Task::GiveBack(buffer));
                }
                let lane = self.lane(from);
                buffers.push(&mut lane.queue, buffer, length);
                lane.bulk = if length == BYTES { lane.bulk + 1 } else { 0 };
                let (bulk, count) = (lane.bulk, lane.queue.count());
                if self.course != Course::Run {
                    return;
                }
                if bulk == BULK_RUN {
                    self.leave(Course::HandOver(Why::Bulk), tasks);
                } else if count == QUEUE_MAX {
                    self.leave(Course::HandOver(Why::Blocked), tasks);
                } else {
                    self.send(from, buffers, tasks);
                    if !goes_on {
                        self.receive(from, tasks);
                    }
                }
            }
            Received::End => {
                let first = self.first_fin.get_or_insert(from);
                if *first == from {
                    self.last_activity = Tick::now();
                }
                self.lane(from).stream = Stream::Fin;
                self.finish(from, tasks);
            }
            Received::NoBuffer if self.course == Course::Run => match buffers.held() {
                // Some came back since.
                held if held < super::buffers::COUNT => self.receive(from, tasks),
                _ => self.leave(Course::HandOver(Why::Starved), tasks),
            },
            Received::NoBuffer | Received::Cancelled => {}
            Received::Failed(errno) => self.broken(from, errno, tasks),
        }
    }

    /// A send to `to` has ended.
    pub(super) fn sent(
        &mut self,
        to: Side,
        sent: Result<u16, Errno>,
        buffers: &mut Buffers,
        tasks: &mut Vec<Task>,
    ) {
        let from = to.other();
        let lane = self.lane(from);
        lane.send = Flight::Landed;
        match sent {
            Ok(bytes) => {
                let was_cut_short =
                    buffers.first(&lane.queue).is_some_and(|part| bytes < part.length);
                lane.was_cut_short |= was_cut_short;
                lane.delivered += u64::from(bytes);
                tasks.extend(buffers.sent(&mut lane.queue, bytes).map(Task::GiveBack));
                let is_first = to == Side::Client && lane.delivered == u64::from(bytes);
                if is_first && bytes > 0 {
                    self.first_byte = Stamp::now();
                }
                self.last_activity = Tick::now();
                if self.course == Course::Run && was_cut_short {
                    self.leave(Course::HandOver(Why::CutShort), tasks);
                } else if self.course == Course::Run {
                    self.send(from, buffers, tasks);
                    self.finish(from, tasks);
                }
            }
            Err(Errno::CANCELED) => {}
            Err(errno) => self.broken(to, errno, tasks),
        }
    }

    /// Has it leave the ring, if it is not about to already.
    pub(super) fn hand_over(&mut self, why: Why, tasks: &mut Vec<Task>) {
        if self.course == Course::Run && !self.is_done() {
            self.leave(Course::HandOver(why), tasks);
        }
    }

    /// Nobody wants it any more.
    pub(super) fn abort(&mut self, buffers: &mut Buffers, tasks: &mut Vec<Task>) {
        self.leave(Course::Abort, tasks);
        // What a send has in its hands stays there until that has landed.
        for side in [Side::Client, Side::Backend] {
            if self.lane(side).send == Flight::Landed {
                self.throw_away(side, buffers, tasks);
            }
        }
    }

    /// Takes the next bytes that a session which leaves has from `from`. They stay where they are
    /// until [`Slot::took`].
    pub(super) fn next_left(&self, from: Side, buffers: &Buffers) -> Option<Part> {
        buffers.first(&self.lane_of(from).queue)
    }

    /// Those of [`Slot::next_left`] are not needed any more.
    pub(super) fn took(
        &mut self,
        from: Side,
        part: Part,
        buffers: &mut Buffers,
        tasks: &mut Vec<Task>,
    ) {
        let queue = &mut self.lane(from).queue;
        tasks.extend(buffers.sent(queue, part.length).map(Task::GiveBack));
    }

    /// How far the direction from `from` has come.
    pub(super) fn left(&self, from: Side) -> Left {
        let lane = self.lane_of(from);
        Left {
            delivered: lane.delivered,
            has_fin: lane.stream != Stream::Open,
            has_ended: lane.stream == Stream::Ended,
            was_cut_short: lane.was_cut_short,
        }
    }

    /// Throws away what is queued of one that was aborted and whose sends have landed.
    pub(super) fn throw_away(&mut self, from: Side, buffers: &mut Buffers, tasks: &mut Vec<Task>) {
        while let Some(part) = self.next_left(from, buffers) {
            self.took(from, part, buffers, tasks);
        }
    }

    fn receive(&mut self, from: Side, tasks: &mut Vec<Task>) {
        self.lane(from).receive = Flight::Begun;
        tasks.push(Task::Receive(from));
    }

    /// Sends what is first in the queue, unless a send is in flight.
    fn send(&mut self, from: Side, buffers: &Buffers, tasks: &mut Vec<Task>) {
        let lane = self.lane(from);
        if lane.send == Flight::Landed
            && let Some(part) = buffers.first(&lane.queue)
        {
            lane.send = Flight::Begun;
            tasks.push(Task::Send(from.other(), part));
        }
    }

    /// Passes the FIN on, if there is one and everything before it was sent.
    fn finish(&mut self, from: Side, tasks: &mut Vec<Task>) {
        let other_has_ended = self.lane_of(from.other()).stream == Stream::Ended;
        let is_running = self.course == Course::Run;
        let lane = self.lane(from);
        if !is_running || lane.stream != Stream::Fin || !lane.queue.is_empty() {
            return;
        }
        lane.stream = Stream::Ended;
        // Else the closing of the sockets says it, and saves a system call.
        if !other_has_ended {
            tasks.push(Task::Shutdown(from.other()));
        }
    }

    pub(super) fn broken(&mut self, side: Side, errno: Errno, tasks: &mut Vec<Task>) {
        match self.course {
            Course::Abort | Course::HandOver(Why::Broken(..)) => {}
            Course::Run | Course::HandOver(_) => {
                self.leave(Course::HandOver(Why::Broken(side, errno)), tasks);
            }
        }
    }

    /// Cancels what is in flight.
    fn leave(&mut self, course: Course, tasks: &mut Vec<Task>) {
        self.course = course;
        for side in [Side::Client, Side::Backend] {
            let lane = self.lane(side);
            if lane.receive == Flight::Begun {
                lane.receive = Flight::Cancelling;
                tasks.push(Task::CancelReceive(side));
            }
            if lane.send == Flight::Begun {
                lane.send = Flight::Cancelling;
                tasks.push(Task::CancelSend(side.other()));
            }
        }
    }

    /// The direction that receives from `from`.
    fn lane(&mut self, from: Side) -> &mut Lane {
        match from {
            Side::Client => &mut self.to_backend,
            Side::Backend => &mut self.to_client,
        }
    }

    fn lane_of(&self, from: Side) -> &Lane {
        match from {
            Side::Client => &self.to_backend,
            Side::Backend => &self.to_client,
        }
    }
}

#[cfg(test)]
mod tests;
