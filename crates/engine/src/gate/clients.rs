//! How many sessions each client has.
//!
//! A word is the client's mark above its number of sessions; one with no session
//! is free for anybody. The count is exact and never above the limit, although two
//! shards may give a client two words, when its first two sessions arrive at the
//! same moment: what counts is the sum, which is looked at once more after each
//! session is counted, and the session is taken back if the sum is too large. Of
//! two that are counted at once, at least one sees the other (the words are read
//! and written in one order, `SeqCst`).
//!
//! When the words that a client could have are all in use by others, it is not
//! counted, and so not limited: refusing it would let whoever has many addresses
//! lock out the rest. Up to some twenty thousand clients at a time that is as
//! good as impossible, and it is told.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use super::slots::Slots;

/// Bits for sessions: 16 million. The other 40 say whose they are; that two clients of one group
/// have the same is one chance in 10^12.
const COUNT_BITS: u32 = 24;

const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Looks for a session that is to be taken back. One is enough unless others are at it.
const LOOKS_MAX: usize = 10_000;

const _: () = assert!(model::Limits::PER_CLIENT_MAX as u64 <= COUNT_MASK);

/// The sessions of clients.
#[derive(Debug)]
pub struct Clients {
    slots: Slots,
}

/// What became of a session that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is counted: take it back with [`Clients::leave`] at its end.
    Counted,
    /// There is no word for this client; it is not counted.
    Uncounted,
    /// The client has as many as it may.
    Full,
}

impl Clients {
    /// No sessions.
    pub fn new() -> Self {
        Self { slots: Slots::new() }
    }

    /// Counts one more session of `client`, of which it may have `max`.
    pub fn enter(&self, client: IpAddr, max: NonZeroU32) -> Entered {
        let (mark, group) = self.slots.of(client, u64::BITS - COUNT_BITS);
        let max = u64::from(max.get());
        loop {
            if sum(mark, group) >= max {
                return Entered::Full;
            }
            let own = group.iter().find(|slot| whose(slot) == mark);
            let Some(slot) = own.or_else(|| group.iter().find(|slot| count(slot) == 0)) else {
                return Entered::Uncounted;
            };
            let word = slot.load(Ordering::SeqCst);
            let sessions = match (word >> COUNT_BITS == mark, word & COUNT_MASK) {
                (true, sessions) => sessions,
                (false, 0) => 0,
                // Another client has taken it meanwhile.
                (false, _) => continue,
            };
            let more = (mark << COUNT_BITS) | (sessions + 1);
            if slot.compare_exchange(word, more, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                continue;
            }
            if sum(mark, group) <= max {
                return Entered::Counted;
            }
            take_back(mark, group);
        }
    }

    /// Takes back one session that was [`Entered::Counted`].
    pub fn leave(&self, client: IpAddr) {
        let (mark, group) = self.slots.of(client, u64::BITS - COUNT_BITS);
        take_back(mark, group);
    }

    /// The sessions of `client` that are counted.
    pub fn sessions(&self, client: IpAddr) -> u64 {
        let (mark, group) = self.slots.of(client, u64::BITS - COUNT_BITS);
        sum(mark, group)
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::new()
    }
}

fn whose(slot: &AtomicU64) -> u64 {
    slot.load(Ordering::SeqCst) >> COUNT_BITS
}

fn count(slot: &AtomicU64) -> u64 {
    slot.load(Ordering::SeqCst) & COUNT_MASK
}

fn sum(mark: u64, group: &[AtomicU64]) -> u64 {
    let words = group.iter().map(|slot| slot.load(Ordering::SeqCst));
    words.filter(|word| word >> COUNT_BITS == mark).map(|word| word & COUNT_MASK).sum()
}

/// Takes one session of the client off. There is one: whoever calls has counted it. It may be
/// overlooked only while others of this client come and go, so that one of the next looks finds it.
fn take_back(mark: u64, group: &[AtomicU64]) {
    let less = |word: u64| {
        let has_some = word >> COUNT_BITS == mark && word & COUNT_MASK > 0;
        has_some.then(|| word - 1)
    };
    let taken =
        |slot: &AtomicU64| slot.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
    let found = (0..LOOKS_MAX).any(|_| group.iter().any(taken));
    debug_assert!(found, "a session was taken back that was not counted");
}

#[cfg(test)]
mod tests {
    use super::super::slots::CLIENTS_MAX;
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn max(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    #[test]
    fn a_client_has_as_many_as_it_may() {
        let clients = Clients::new();
        assert_eq!(clients.enter(client(1), max(2)), Entered::Counted);
        assert_eq!(clients.enter(client(1), max(2)), Entered::Counted);
        assert_eq!(clients.enter(client(1), max(2)), Entered::Full);
        assert_eq!(clients.enter(client(2), max(2)), Entered::Counted);
        clients.leave(client(1));
        assert_eq!(clients.sessions(client(1)), 1);
        assert_eq!(clients.enter(client(1), max(2)), Entered::Counted);
        assert_eq!(clients.enter(client(1), max(1)), Entered::Full, "a new plan allows fewer");
    }

    #[test]
    fn whoever_has_sessions_is_never_forgotten_and_strangers_are_let_in() {
        let clients = Clients::new();
        let crowd = u32::try_from(CLIENTS_MAX).expect("fits") * 2;
        let all: Vec<_> = (0..crowd).map(|number| clients.enter(client(number), max(1))).collect();
        let mut uncounted = 0;
        for (number, entered) in (0..).zip(&all) {
            match entered {
                Entered::Counted => {
                    assert_eq!(clients.enter(client(number), max(1)), Entered::Full);
                }
                Entered::Uncounted => uncounted += 1,
                Entered::Full => panic!("client {number} has no session yet"),
            }
        }
        assert!(uncounted >= CLIENTS_MAX, "{uncounted} more than there is room for");
        for (number, entered) in (0..).zip(&all) {
            if *entered == Entered::Counted {
                clients.leave(client(number));
            }
            assert_eq!(clients.sessions(client(number)), 0);
        }
    }

    #[test]
    fn twenty_thousand_clients_are_all_counted() {
        let clients = Clients::new();
        let counted =
            (0..20_000).filter(|number| clients.enter(client(*number), max(1)) == Entered::Counted);
        assert!(counted.count() >= 19_990);
    }

    /// A group of words of its own, so that clients meet and words change hands all the time.
    fn crowded() -> Clients {
        let clients = Clients::new();
        let (_, group) = clients.slots.of(client(0), u64::BITS - COUNT_BITS);
        for slot in &group[3..] {
            slot.store((u64::MAX << COUNT_BITS) | 1, Ordering::SeqCst);
        }
        clients
    }

    /// The first `count` clients that hash to the group of client 0.
    fn neighbours(clients: &Clients, count: usize) -> Vec<IpAddr> {
        let group = |client| clients.slots.of(client, u64::BITS - COUNT_BITS).1.as_ptr();
        let all = (0..u32::MAX).map(client);
        all.filter(|other| group(*other) == group(client(0))).take(count).collect()
    }

    #[test]
    fn threads_that_come_and_go_never_pass_the_limit_and_leave_nothing() {
        const MAX: u32 = 2;
        let clients = crowded();
        let them = neighbours(&clients, 3);
        let inside = [(); 3].map(|()| AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (clients, them, inside) = (&clients, &them, &inside);
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let which = (thread + round) % 3;
                        match clients.enter(them[which], max(MAX)) {
                            Entered::Counted => {
                                let before = inside[which].fetch_add(1, Ordering::SeqCst);
                                assert!(before < MAX, "{before} were inside");
                                inside[which].fetch_sub(1, Ordering::SeqCst);
                                clients.leave(them[which]);
                            }
                            Entered::Full | Entered::Uncounted => {}
                        }
                    }
                });
            }
        });
        assert!(them.iter().all(|client| clients.sessions(*client) == 0));
        let (_, group) = clients.slots.of(client(0), u64::BITS - COUNT_BITS);
        assert!(group[..3].iter().all(|slot| count(slot) == 0), "every word is free");
    }

    #[test]
    fn of_two_that_come_at_once_for_one_place_one_gets_it() {
        let clients = crowded();
        let them = neighbours(&clients, 1);
        for _ in 0..500 {
            let barrier = std::sync::Barrier::new(2);
            let entered = std::thread::scope(|scope| {
                let enter = || {
                    barrier.wait();
                    clients.enter(them[0], max(1))
                };
                let threads = [scope.spawn(enter), scope.spawn(enter)];
                threads.map(|thread| thread.join().expect("no panic"))
            });
            let counted = entered.iter().filter(|entered| **entered == Entered::Counted);
            assert_eq!(counted.count(), 1, "{entered:?}");
            clients.leave(them[0]);
        }
    }
}
