//! A session against a kernel made of dice: whatever order things happen in, no byte is lost,
//! changed or doubled, no FIN is made up, and every buffer comes back, but not before the kernel is
//! done with it.

use std::collections::{BTreeSet, VecDeque};

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
    health: Health,
    got: Vec<u8>,
    got_fin: bool,
    receive: Option<Flight>,
    send: Option<(Part, u16, Flight)>,
}

/// The connection of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Sound,
    /// It was reset, which whoever asks first is told.
    Broken,
    /// Somebody was told. Who receives is told that the stream has ended, as if by a FIN.
    Told,
}

/// The kernel, with one session, and others of which there is only what they hold.
struct Kernel {
    client: Peer,
    backend: Peer,
    memory: Vec<Vec<u8>>,
    free: VecDeque<BufferId>,
    others: Queue,
    dice: u64,
    limit: u16,
}

impl Kernel {
    fn new(script: &Script, buffers: &mut Buffers) -> Self {
        let Script { sent, ends, limit, dice, others_hold, .. } = script;
        let peer = |sent: &Vec<u8>, ends| Peer {
            coming: sent.iter().copied().collect(),
            ends,
            ..Peer::default()
        };
        let mut others = Queue::default();
        for number in 0..*others_hold {
            buffers.push(&mut others, BufferId::new(number).expect("there are as many"), 1);
        }
        Self {
            client: peer(&sent[0], ends[0]),
            backend: peer(&sent[1], ends[1]),
            memory: vec![Vec::new(); usize::from(COUNT)],
            free: (*others_hold..COUNT).filter_map(BufferId::new).collect(),
            others,
            dice: dice | 1,
            limit: *limit,
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

    fn carry_out(&mut self, slot: &mut Slot, tasks: &mut Vec<Task>) {
        while !tasks.is_empty() {
            let task = tasks.remove(0);
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
                    if peer.health == Health::Sound {
                        peer.got_fin = true;
                    } else {
                        slot.broken(side, Errno::NOTCONN, tasks);
                    }
                }
                Task::GiveBack(buffer) => {
                    let sends = [&self.client.send, &self.backend.send].into_iter().flatten();
                    for (part, ..) in sends {
                        assert_ne!(part.buffer, buffer, "the kernel sends from it");
                    }
                    assert!(!self.free.contains(&buffer), "a buffer comes back once");
                    self.free.push_back(buffer);
                }
            }
        }
    }

    /// Something happens, if anything can.
    fn happen(&mut self, slot: &mut Slot, buffers: &mut Buffers, tasks: &mut Vec<Task>) -> bool {
        if self.roll(30) == 0
            && let Some(buffer) = buffers.sent(&mut self.others, 1)
        {
            self.free.push_back(buffer);
        }
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
        let (roll, limit) = (self.roll(5), u64::from(self.limit));
        let size = if self.roll(2) == 0 { limit } else { 1 + self.roll(limit) };
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
        } else if peer.ends && !peer.has_ended && peer.health == Health::Sound {
            peer.has_ended = true;
            (Received::End, false)
        } else if peer.health == Health::Broken {
            peer.health = Health::Told;
            (Received::Failed(Errno::CONNRESET), false)
        } else if peer.health == Health::Told {
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
        let peer = self.peer(side);
        if peer.health != Health::Sound {
            let before = std::mem::replace(&mut peer.health, Health::Told);
            let result = match (sent, before) {
                (1.., _) => Ok(sent),
                (0, Health::Broken) => Err(Errno::CONNRESET),
                (0, _) => Err(Errno::PIPE),
            };
            slot.sent(side, result, buffers, tasks);
            return true;
        }
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

/// What is to happen in a session.
#[derive(Clone, Debug)]
struct Script {
    /// By the client and the backend, who also say whether a FIN comes behind it.
    sent: [Vec<u8>; 2],
    ends: [bool; 2],
    /// Most bytes that come at a time.
    limit: u16,
    dice: u64,
    disturb: Disturb,
    /// Who is reset, and when.
    breaks: Option<(Side, u16)>,
    /// Buffers that others hold at first.
    others_hold: u16,
}

/// Plays a session to its end, and checks what is left of it. Notes where it comes.
fn play(script: &Script, seen: &mut BTreeSet<String>) {
    let Script { sent, disturb, breaks, .. } = script;
    let (mut buffers, mut tasks) = (Buffers::default(), Vec::new());
    let mut kernel = Kernel::new(script, &mut buffers);
    let mut slot = Slot::begin((0, 0), &mut tasks);
    kernel.carry_out(&mut slot, &mut tasks);
    let mut step = 0;
    while !slot.is_over() {
        if let Some((side, at)) = *breaks
            && at == step
        {
            kernel.peer(side).health = Health::Broken;
        }
        match *disturb {
            Disturb::HandOver(at) if at == step => slot.hand_over(Why::HalfClosed, &mut tasks),
            Disturb::Abort(at) if at == step => slot.abort(&mut buffers, &mut tasks),
            _ => {}
        }
        kernel.carry_out(&mut slot, &mut tasks);
        if !kernel.happen(&mut slot, &mut buffers, &mut tasks) && tasks.is_empty() {
            // A side that goes on for ever: somebody has to ask.
            slot.hand_over(Why::HalfClosed, &mut tasks);
        }
        kernel.carry_out(&mut slot, &mut tasks);
        note(&slot, seen);
        step += 1;
    }
    seen.insert(match slot.leaves() {
        Some(Why::Broken(side, _)) => format!("left: Broken {side:?}"),
        Some(why) => format!("left: {why:?}"),
        None if slot.is_done() => "left: done".to_owned(),
        None => "left: given up".to_owned(),
    });
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
        let (has_ended, health) = (kernel.peer(from).has_ended, kernel.peer(from).health);
        let to = kernel.peer(from.other());
        assert_eq!(left.delivered, to.got.len() as u64);
        if !is_aborted {
            let all = [&to.got[..], &rest, &coming].concat();
            assert!(all == sent[index], "bytes of {from:?} are lost, changed or doubled");
        }
        if to.got_fin {
            assert!(left.has_ended && to.got == sent[index], "a FIN comes behind all bytes");
            assert!(has_ended, "a FIN of {from:?} is made up");
        }
        if health == Health::Sound {
            assert_eq!(left.has_fin, has_ended);
        }
    }
    while let Some(buffer) = buffers.sent(&mut kernel.others, 1) {
        kernel.free.push_back(buffer);
    }
    kernel.carry_out(&mut slot, &mut tasks);
    assert_eq!((kernel.free.len(), buffers.held()), (usize::from(COUNT), 0));
}

fn note(slot: &Slot, seen: &mut BTreeSet<String>) {
    let Slot { course, to_backend, to_client, .. } = slot;
    let course = match course {
        Course::Run => "run",
        Course::HandOver(_) => "hand over",
        Course::Abort => "abort",
    };
    for lane in [to_backend, to_client] {
        let Lane { stream, receive, send, .. } = lane;
        seen.insert(format!("{course}: {stream:?}, receive {receive:?}, send {send:?}"));
    }
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
        breaks in proptest::option::of((prop_oneof![Just(Side::Client), Just(Side::Backend)], 0u16..300)),
        others_hold in prop_oneof![Just(0), COUNT - 4..=COUNT],
    ) {
        let small = |length: usize| if limit == 1 { length % 2_000 } else { length };
        let sent = [bytes(small(lengths[0]), 1), bytes(small(lengths[1]), 7)];
        let script = Script { sent, ends, limit, dice, disturb, breaks, others_hold };
        play(&script, &mut BTreeSet::new());
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

/// Of the plays above nobody knows what they meet; these are the same every time, and meet all there
/// is to meet.
#[test]
fn plays_meet_every_state() {
    let (mut seen, mut dice) = (BTreeSet::new(), 1u64);
    let mut roll = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    for _ in 0..1_500 {
        let mut number = |below: u64| u16::try_from(roll(below)).expect("it is small");
        let script = Script {
            sent: [1, 7].map(|seed| bytes(usize::from(number(60_000)), seed)),
            ends: [(); 2].map(|()| number(2) == 0),
            limit: [BYTES, 600, 100][usize::from(number(3))],
            disturb: match number(4) {
                0 => Disturb::HandOver(number(60)),
                1 => Disturb::Abort(number(60)),
                _ => Disturb::Never,
            },
            breaks: match number(3) {
                0 => Some((Side::Client, number(60))),
                1 => Some((Side::Backend, number(60))),
                _ => None,
            },
            others_hold: if number(2) == 0 { 0 } else { COUNT - number(3) },
            dice: number(60_000).into(),
        };
        play(&script, &mut seen);
    }
    let mut all: BTreeSet<_> = [
        "left: Blocked",
        "left: Broken Backend",
        "left: Broken Client",
        "left: Bulk",
        "left: CutShort",
        "left: HalfClosed",
        "left: Starved",
        "left: done",
        "left: given up",
        "run: Ended, receive Landed, send Landed",
        "run: Fin, receive Landed, send Begun",
        "run: Open, receive Begun, send Begun",
        "run: Open, receive Begun, send Landed",
    ]
    .map(str::to_owned)
    .into();
    for course in ["hand over", "abort"] {
        for lane in [
            "Ended, receive Landed, send Landed",
            "Fin, receive Landed, send Cancelling",
            "Fin, receive Landed, send Landed",
            "Open, receive Cancelling, send Cancelling",
            "Open, receive Cancelling, send Landed",
            "Open, receive Landed, send Cancelling",
            "Open, receive Landed, send Landed",
        ] {
            all.insert(format!("{course}: {lane}"));
        }
    }
    assert_eq!(seen, all);
}
