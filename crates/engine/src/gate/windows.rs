//! How fast each client comes in, for limits that refuse.
//!
//! A client's while begins with its first session, and holds as many as its rate
//! says; the next one begins with the first session after that. So a client that
//! keeps to its rate is never refused, whether its sessions come one by one or all
//! at once, and one that does not gets exactly its rate.
//!
//! A word is the client's mark, the begin of its while, and the sessions in it. A
//! while that is over is free for anybody. When none of a client's words is, the
//! one that began first makes room: whoever has that many addresses is not held
//! by a limit per client anyway.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Rate;
use relay::Stamp;

use super::slots::Slots;

/// Bits for sessions in a while.
const COUNT_BITS: u32 = 17;

/// Bits for the begin of a while. It comes round after a hundred thousand whiles (a day and a half
/// of seconds); who used up the last one, and comes back in that very second, has to wait it out.
const BEGIN_BITS: u32 = 23;

/// Bits that say whose it is, 24. Even in a full table, that a client has to share the rate of
/// another is one chance in a million.
const MARK_BITS: u32 = 64 - BEGIN_BITS - COUNT_BITS;

/// Parts of a while, in which its begin is counted.
const STEPS: u64 = 64;

const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const BEGIN_MASK: u64 = (1 << BEGIN_BITS) - 1;

const _: () = assert!(Rate::COUNT_MAX as u64 <= COUNT_MASK);

/// The whiles of clients, all of one length.
#[derive(Debug)]
pub struct Windows {
    slots: Slots,
    period: Duration,
}

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    mark: u64,
    begin: u64,
    sessions: u64,
}

impl Windows {
    /// No sessions, for rates of this period.
    pub fn new(period: Duration) -> Self {
        Self { slots: Slots::new(), period }
    }

    /// The length of a while.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Counts one more session of `client`, unless it has had `count` in this while.
    pub fn take(&self, client: IpAddr, count: u32, now: Stamp) -> bool {
        let (mark, group) = self.slots.of(client, MARK_BITS);
        let now = self.steps(now);
        loop {
            let own = group.iter().find_map(|slot| live(slot, mark, now));
            let (slot, before, after) = match own {
                Some((_, _, window)) if window.sessions >= u64::from(count) => return false,
                Some((slot, word, window)) => {
                    (slot, word, Window { sessions: window.sessions + 1, ..window })
                }
                None => {
                    let words = group.iter().map(|slot| (slot, slot.load(Ordering::Relaxed)));
                    let oldest = words.max_by_key(|(_, word)| {
                        let window = Window::unpack(*word);
                        // Free ones first, and of these its own: then no other is left behind.
                        (window.is_over(now), window.mark == mark, window.age(now))
                    });
                    let Some((slot, word)) = oldest else { return true };
                    (slot, word, Window { mark, begin: now, sessions: 1 })
                }
            };
            let after = after.pack();
            // If it fails another session was counted meanwhile: look again.
            if slot.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
    }

    /// Takes back one [`Windows::take`], for a session that did not come to be after all.
    pub fn put_back(&self, client: IpAddr, now: Stamp) {
        let (mark, group) = self.slots.of(client, MARK_BITS);
        let now = self.steps(now);
        for slot in group {
            let less = |word: u64| {
                let window = Window::unpack(word);
                let counts = window.mark == mark && !window.is_over(now);
                counts.then(|| Window { sessions: window.sessions - 1, ..window }.pack())
            };
            if slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                return;
            }
        }
    }

    fn steps(&self, now: Stamp) -> u64 {
        let step = self.period.as_nanos() / u128::from(STEPS);
        let steps = u128::from(now.nanos()) / step.max(1);
        u64::try_from(steps).unwrap_or_default() & BEGIN_MASK
    }
}

impl Window {
    fn unpack(word: u64) -> Self {
        Self {
            mark: word >> (BEGIN_BITS + COUNT_BITS),
            begin: (word >> COUNT_BITS) & BEGIN_MASK,
            sessions: word & COUNT_MASK,
        }
    }

    fn pack(self) -> u64 {
        (self.mark << (BEGIN_BITS + COUNT_BITS)) | (self.begin << COUNT_BITS) | self.sessions
    }

    /// Steps since its begin; 0 for a session that arrived up to a while before it, and was counted
    /// only now because it went to another shard.
    fn age(self, now: u64) -> u64 {
        let age = now.wrapping_sub(self.begin) & BEGIN_MASK;
        if age > BEGIN_MASK - STEPS { 0 } else { age }
    }

    fn is_over(self, now: u64) -> bool {
        self.sessions == 0 || self.age(now) >= STEPS
    }
}

/// The window in `slot`, if it is this client's and not over.
fn live(slot: &AtomicU64, mark: u64, now: u64) -> Option<(&AtomicU64, u64, Window)> {
    let word = slot.load(Ordering::Relaxed);
    let window = Window::unpack(word);
    (window.mark == mark && !window.is_over(now)).then_some((slot, word, window))
}

#[cfg(test)]
mod tests {
    use super::super::slots::CLIENTS_MAX;
    use super::*;

    const BEGIN: u64 = 5_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn at(nanos: u64) -> Stamp {
        Stamp::from_nanos(BEGIN + nanos)
    }

    fn windows() -> Windows {
        Windows::new(Duration::from_secs(1))
    }

    #[test]
    fn a_flood_gets_exactly_its_rate() {
        for count in [1_u32, 20, 500, 5_000, 10_000] {
            let windows = windows();
            let step = (SECOND / u64::from(count) / 3).min(900_000);
            let tries = (0..10 * SECOND / step).map(|number| at(number * step));
            let came = tries.filter(|now| windows.take(client(1), count, *now)).count();
            let expected = 10 * usize::try_from(count).expect("fits");
            assert!(came.abs_diff(expected) * 20 <= expected, "{came} at {count}/s");
        }
    }

    #[test]
    fn whoever_keeps_to_its_rate_is_never_refused() {
        let windows = windows();
        // All of them at once, every second and a little; one by one; and after a long rest.
        for round in 0..50 {
            let now = at(round * SECOND * 101 / 100);
            assert!((0..5).all(|_| windows.take(client(1), 5, now)), "round {round}");
            assert!(!windows.take(client(1), 5, now));
        }
        assert!((0..500).all(|number| windows.take(client(2), 5, at(number * SECOND / 5))));
        assert!((0..5).all(|_| windows.take(client(2), 5, at(3600 * SECOND))));
    }

    #[test]
    fn sessions_may_be_counted_in_another_order_than_they_arrived_in() {
        let windows = windows();
        assert!(windows.take(client(1), 2, at(SECOND)));
        assert!(windows.take(client(1), 2, at(SECOND / 4)));
        assert!(
            !windows.take(client(1), 2, at(SECOND / 4)) && !windows.take(client(1), 2, at(SECOND))
        );
    }

    #[test]
    fn clients_have_each_their_own() {
        let windows = windows();
        assert!(windows.take(client(1), 1, at(0)) && windows.take(client(2), 1, at(0)));
        assert!(!windows.take(client(1), 1, at(SECOND / 2)));
        assert!(windows.take(client(1), 1, at(SECOND)));
    }

    #[test]
    fn what_is_put_back_was_not_there() {
        let windows = windows();
        for _ in 0..10 {
            assert!(windows.take(client(1), 1, at(0)));
            windows.put_back(client(1), at(1));
        }
        assert!(windows.take(client(1), 1, at(1)) && !windows.take(client(1), 1, at(2)));
        windows.put_back(client(1), at(5 * SECOND));
        windows.put_back(client(2), at(0));
    }

    #[test]
    fn a_crowd_of_clients_is_let_in_and_the_newest_are_remembered() {
        let windows = windows();
        let crowd = u32::try_from(CLIENTS_MAX).expect("fits") * 3;
        let come = |number: &u32| windows.take(client(*number), 1, at(u64::from(*number) * 1_000));
        let came = (0..crowd).filter(come).count();
        assert!(came + 8 >= 3 * CLIENTS_MAX, "{came}: marks that are the same are rare");
        let now = at(u64::from(crowd) * 1_000);
        let newest = crowd - 64..crowd;
        assert!(newest.filter(|number| windows.take(client(*number), 1, now)).count() <= 1);
    }

    #[test]
    fn threads_share_one_count() {
        let windows = windows();
        let came: usize = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope
                    .spawn(|| (0..10_000).filter(|_| windows.take(client(1), 9_000, at(0))).count())
            });
            threads.map(|thread| thread.join().expect("no panic")).iter().sum()
        });
        // The very first may come at the same moment, and be counted in two words.
        assert!((9_000..=9_003).contains(&came), "{came}");
    }
}
