//! A session against a kernel made of dice: whatever order things happen in, no byte is lost,
//! changed or doubled, and every buffer comes back.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::buffers::COUNT;
use super::*;

/// One side: what it will send, and what it has got.
#[derive(Debug, Default)]
struct Peer {
    /// What is still to come from it.
    coming: VecDeque<u8>,
    /// Whether its FIN comes behind that.
    ends: bool,
    has_ended: bool,
    got: Vec<u8>,
    got_fin: bool,
    receive: Option<Flight>,
    send: Option<(Part, u16, Flight)>,
}

/// The kernel, with one session.
struct Kernel {
    client: Peer,
    backend: Peer,
    memory: Vec<Vec<u8>>,
    free: VecDeque<BufferId>,
    dice: u64,
    limit: u16,
}

impl Kernel {
    fn new(sent: [Vec<u8>; 2], ends: [bool; 2], limit: u16, dice: u64) -> Self {
        let peer = |sent: &Vec<u8>, ends| Peer {
            coming: sent.iter().copied().collect(),
            ends,
            ..Peer::default()
        };
        Self {
            client: peer(&sent[0], ends[0]),
            backend: peer(&sent[1], ends[1]),
            memory: vec![Vec::new(); usize::from(COUNT)],
            free: (0..COUNT).filter_map(BufferId::new).collect(),
            dice: dice | 1,
            limit,
        }
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }

    /// A number below `below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    fn carry_out(&mut self, tasks: &mut Vec<Task>) {
        for task in std::mem::take(tasks) {
            match task {
                Task::Receive(side) => {
                    let before = self.peer(side).receive.replace(Flight::Begun);
                    assert_eq!(before, None, "one receive at a time");
                }
                Task::Send(side, part) => {
                    let before = self.peer(side).send.replace((part, 0, Flight::Begun));
                    assert_eq!(before, None, "one send at a time");
                }
                Task::CancelReceive(side) => {
                    if let Some(flight) = &mut self.peer(side).receive {
                        *flight = Flight::Cancelling;
                    }
                }
                Task::CancelSend(side) => {
                    if let Some((_, _, flight)) = &mut self.peer(side).send {
                        *flight = Flight::Cancelling;
                    }
                }
                Task::Shutdown(side) => {
                    let peer = self.peer(side);
                    assert!(!peer.got_fin && peer.send.is_none());
                    peer.got_fin = true;
                }
                Task::GiveBack(buffer) => {
                    assert!(!self.free.contains(&buffer), "a buffer comes back once");
                    self.free.push_back(buffer);
                }
            }
        }
    }

    /// Something happens, if anything can.
    fn happen(&mut self, slot: &mut Slot, buffers: &mut Buffers, tasks: &mut Vec<Task>) -> bool {
        let first = self.roll(4);
        for step in 0..4 {
            let side = if (first + step).is_multiple_of(2) { Side::Client } else { Side::Backend };
            let happened = match (first + step) / 2 % 2 {
                0 => self.receive(side, slot, buffers, tasks),
                _ => self.send(side, slot, buffers, tasks),
            };
            if happened {
                return true;
            }
        }
        false
    }

    fn receive(
        &mut self,
        side: Side,
        slot: &mut Slot,
        buffers: &mut Buffers,
        tasks: &mut Vec<Task>,
    ) -> bool {
        let (roll, size) = (self.roll(5), 1 + self.roll(u64::from(self.limit)));
        let has_free = !self.free.is_empty();
        let peer = self.peer(side);
        let Some(flight) = peer.receive else { return false };
        let (received, goes_on) = if flight == Flight::Cancelling && roll < 3 {
            (Received::Cancelled, false)
        } else if !peer.coming.is_empty() && !has_free {
            (Received::NoBuffer, false)
        } else if !peer.coming.is_empty() {
            let size = usize::try_from(size).unwrap().min(peer.coming.len());
            let bytes: Vec<u8> = peer.coming.drain(..size).collect();
            let buffer = self.free.pop_front().expect("there is one");
            let length = u16::try_from(size).unwrap();
            self.memory[usize::from(buffer.number())] = bytes;
            (Received::Bytes(buffer, length), roll > 0)
        } else if peer.ends && !peer.has_ended {
            peer.has_ended = true;
            (Received::End, false)
        } else if flight == Flight::Cancelling {
            (Received::Cancelled, false)
        } else {
            return false;
        };
        if !goes_on {
            self.peer(side).receive = None;
        }
        slot.received(side, received, goes_on, buffers, tasks);
        true
    }

    fn send(
        &mut self,
        side: Side,
        slot: &mut Slot,
        buffers: &mut Buffers,
        tasks: &mut Vec<Task>,
    ) -> bool {
        let (roll, some) = (self.roll(3), self.roll(u64::from(BYTES)));
        let Some((part, sent, flight)) = self.peer(side).send.take() else { return false };
        let rest = part.length - sent;
        let now = if roll == 0 { rest } else { rest.min(u16::try_from(some).unwrap()) };
        let from = usize::from(part.from + sent);
        let bytes = &self.memory[usize::from(part.buffer.number())][from..][..usize::from(now)];
        let bytes = bytes.to_vec();
        self.peer(side).got.extend(bytes);
        let total = sent + now;
        let result = match flight {
            _ if total == part.length => Ok(total),
            Flight::Cancelling if total == 0 => Err(Errno::CANCELED),
            Flight::Cancelling => Ok(total),
            _ => {
                self.peer(side).send = Some((part, total, flight));
                return true;
            }
        };
        slot.sent(side, result, buffers, tasks);
        true
    }
}

/// How a session is disturbed.
#[derive(Clone, Copy, Debug)]
enum Disturb {
    Never,
    HandOver(u16),
    Abort(u16),
}

/// Plays a session to its end, and checks what is left of it.
fn play(sent: [Vec<u8>; 2], ends: [bool; 2], limit: u16, dice: u64, disturb: Disturb) {
    let mut kernel = Kernel::new(sent.clone(), ends, limit, dice);
    let (mut buffers, mut tasks) = (Buffers::default(), Vec::new());
    let mut slot = Slot::begin((0, 0), &mut tasks);
    kernel.carry_out(&mut tasks);
    let mut step = 0;
    while !slot.is_over() {
        match disturb {
            Disturb::HandOver(at) if at == step => slot.hand_over(Why::HalfClosed, &mut tasks),
            Disturb::Abort(at) if at == step => slot.abort(&mut buffers, &mut tasks),
            _ => {}
        }
        kernel.carry_out(&mut tasks);
        if !kernel.happen(&mut slot, &mut buffers, &mut tasks) && tasks.is_empty() {
            // A side that goes on for ever: somebody has to ask.
            slot.hand_over(Why::HalfClosed, &mut tasks);
        }
        kernel.carry_out(&mut tasks);
        step += 1;
    }
    assert!(kernel.client.receive.is_none() && kernel.backend.receive.is_none());
    assert!(kernel.client.send.is_none() && kernel.backend.send.is_none());
    let is_aborted = slot.course == Course::Abort;
    for (index, from) in [Side::Client, Side::Backend].into_iter().enumerate() {
        let mut rest = Vec::new();
        if is_aborted {
            slot.throw_away(from, &mut buffers, &mut tasks);
        }
        while let Some(part) = slot.next_left(from, &buffers) {
            let memory = &kernel.memory[usize::from(part.buffer.number())];
            rest.extend_from_slice(&memory[usize::from(part.from)..][..usize::from(part.length)]);
            slot.took(from, part, &mut buffers, &mut tasks);
        }
        let left = slot.left(from);
        let coming: Vec<u8> = kernel.peer(from).coming.iter().copied().collect();
        let to = kernel.peer(from.other());
        assert_eq!(left.delivered, to.got.len() as u64);
        if !is_aborted {
            let all = [&to.got[..], &rest, &coming].concat();
            assert!(all == sent[index], "bytes of {from:?} are lost, changed or doubled");
        }
        if to.got_fin {
            assert!(left.has_ended && to.got == sent[index], "a FIN comes behind all bytes");
        }
        assert_eq!(left.has_fin, kernel.peer(from).has_ended);
    }
    kernel.carry_out(&mut tasks);
    assert_eq!((kernel.free.len(), buffers.held()), (usize::from(COUNT), 0));
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| seed.wrapping_add(u8::try_from(at % 251).expect("it is small"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_is_lost_and_every_buffer_comes_back(
        lengths in [0usize..300_000, 0usize..300_000],
        ends: [bool; 2],
        limit in prop_oneof![Just(1u16), 1u16..600, Just(BYTES)],
        dice: u64,
        disturb in prop_oneof![
            Just(Disturb::Never),
            (0u16..400).prop_map(Disturb::HandOver),
            (0u16..400).prop_map(Disturb::Abort),
        ],
    ) {
        let small = |length: usize| if limit == 1 { length % 2_000 } else { length };
        let sent = [bytes(small(lengths[0]), 1), bytes(small(lengths[1]), 7)];
        play(sent, ends, limit, dice, disturb);
    }
}

#[test]
fn both_ends_in_good_order_are_the_end() {
    let mut tasks = Vec::new();
    let mut buffers = Buffers::default();
    let mut slot = Slot::begin((0, 0), &mut tasks);
    assert_eq!(tasks, [Task::Receive(Side::Client), Task::Receive(Side::Backend)]);
    tasks.clear();
    slot.received(Side::Client, Received::End, false, &mut buffers, &mut tasks);
    assert_eq!(tasks, [Task::Shutdown(Side::Backend)]);
    assert!(!slot.is_over());
    tasks.clear();
    slot.received(Side::Backend, Received::End, false, &mut buffers, &mut tasks);
    assert!(slot.is_over() && slot.is_done() && tasks.is_empty());
    assert_eq!(slot.first_fin(), Some(Side::Client));
}

#[test]
fn what_is_difficult_leaves() {
    let id = |number| BufferId::new(number).expect("it is small");
    let mut tasks = Vec::new();
    let mut buffers = Buffers::default();
    let mut bulky = Slot::begin((0, 0), &mut tasks);
    for number in 0..3 {
        let full = Received::Bytes(id(number), BYTES);
        bulky.received(Side::Client, full, true, &mut buffers, &mut tasks);
    }
    assert_eq!(bulky.leaves(), Some(Why::Bulk));
    let mut blocked = Slot::begin((0, 0), &mut tasks);
    for number in 10..18 {
        let little = Received::Bytes(id(number), 1);
        blocked.received(Side::Backend, little, true, &mut buffers, &mut tasks);
    }
    assert_eq!(blocked.leaves(), Some(Why::Blocked));
    let mut broken = Slot::begin((0, 0), &mut tasks);
    let reset = Received::Failed(Errno::CONNRESET);
    broken.received(Side::Client, reset, false, &mut buffers, &mut tasks);
    assert_eq!(broken.leaves(), Some(Why::Broken(Side::Client, Errno::CONNRESET)));
    assert!(!broken.is_over(), "the other receive is in flight");
    broken.received(Side::Backend, Received::Cancelled, false, &mut buffers, &mut tasks);
    assert!(broken.is_over() && !broken.is_done());
}
