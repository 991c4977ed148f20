//! Which backend comes next.
//!
//! A [`Rotation`] is shared by all shards and takes no lock: it is a fixed
//! order, written out when the plan is made, and one position in it. Because
//! there is one position, few clients in a row are spread as evenly as many:
//! three backends get A B C A B C, whichever shards the clients arrive at.
//!
//! Nothing here knows what a backend is: they are numbers, and the caller says
//! which of them will do.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Balance, Weight};

/// The place of a backend in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIndex(pub u32);

impl BackendIndex {
    /// For indexing the pool's list.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// An order in which backends take their turns.
#[derive(Debug)]
pub struct Rotation {
    /// Each backend as often as its weight says, evenly spread.
    order: Box<[BackendIndex]>,
    /// Where the next search begins; `None` when each begins at the start.
    position: Option<AtomicUsize>,
}

impl Rotation {
    /// The order of `members` under `balance`.
    pub fn new(balance: Balance, members: &[(BackendIndex, Weight)]) -> Self {
        match balance {
            Balance::RoundRobin => {
                Self { order: spread(members), position: Some(AtomicUsize::new(0)) }
            }
            Balance::First => {
                Self { order: members.iter().map(|(index, _)| *index).collect(), position: None }
            }
        }
    }

    /// The next backend that `will_do`, whose turn is then over; `None` if none will do.
    ///
    /// `will_do` may be asked about one backend more than once.
    pub fn next(&self, will_do: impl Fn(BackendIndex) -> bool) -> Option<BackendIndex> {
        let length = self.order.len();
        let Some(position) = &self.position else {
            return self.order.iter().copied().find(|index| will_do(*index));
        };
        let mut start = position.load(Ordering::Relaxed);
        loop {
            let at = (0..length)
                .map(|step| (start + step) % length)
                .find(|at| will_do(self.order[*at]))?;
            // Relaxed: the position orders nothing but itself. If another shard was faster,
            // this turn is its; look again from where it left off.
            let moved = position.compare_exchange_weak(
                start,
                (at + 1) % length,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match moved {
                Ok(_) => return Some(self.order[at]),
                Err(current) => start = current,
            }
        }
    }
}

/// Writes each member as often as its weight says (divided by what all weights share), with its
/// turns as far from each other as they can be.
///
/// Turn `k` of a member with weight `w` falls at the fraction `(k + 1/2) / w` of the round;
/// sorting the turns of all by that fraction spreads them, and equal fractions keep the order in
/// which the members were written.
fn spread(members: &[(BackendIndex, Weight)]) -> Box<[BackendIndex]> {
    let divisor = members.iter().fold(0, |divisor, (_, weight)| gcd(divisor, weight.get())).max(1);
    let mut turns: Vec<(u64, BackendIndex)> = Vec::new();
    for (index, weight) in members {
        let weight = u64::from(weight.get() / divisor);
        turns.extend((0..weight).map(|turn| ((2 * turn + 1) * FRACTION / (2 * weight), *index)));
    }
    // Stable, so that members with equal fractions stay in written order.
    turns.sort_by_key(|(fraction, _)| *fraction);
    turns.into_iter().map(|(_, index)| index).collect()
}

/// Fractions of a round are compared as multiples of one part in this many: fine enough to tell
/// any two different fractions of weights up to 256 apart.
const FRACTION: u64 = 1 << 32;

fn gcd(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(weights: &[u32]) -> Vec<(BackendIndex, Weight)> {
        let weight = |weight: &u32| Weight::new(*weight).expect("weights in tests are legal");
        (0..).map(BackendIndex).zip(weights.iter().map(weight)).collect()
    }

    /// Takes turns; `down` are letters that will not do.
    #[track_caller]
    fn check(balance: Balance, weights: &[u32], down: &str, expected: &str) {
        let rotation = Rotation::new(balance, &members(weights));
        let letter = |index: BackendIndex| char::from(b'A' + u8::try_from(index.0).expect("few"));
        let turns: String = expected
            .chars()
            .map(|_| rotation.next(|index| !down.contains(letter(index))).map_or('-', letter))
            .collect();
        assert_eq!(turns, expected, "weights {weights:?}, down {down}");
    }

    #[test]
    fn equal_weights_take_turns() {
        check(Balance::RoundRobin, &[1, 1, 1], "", "ABCABCA");
        check(Balance::RoundRobin, &[7, 7, 7], "", "ABCABCA");
        check(Balance::RoundRobin, &[1], "", "AAA");
    }

    #[test]
    fn weights_are_spread_evenly() {
        check(Balance::RoundRobin, &[2, 1], "", "ABAABA");
        check(Balance::RoundRobin, &[5, 1, 1], "", "AAABCAA");
    }

    #[test]
    fn a_backend_that_will_not_do_loses_its_turn_and_nobody_gets_two() {
        check(Balance::RoundRobin, &[1, 1, 1], "B", "ACACAC");
        check(Balance::RoundRobin, &[1, 1], "AB", "--");
    }

    #[test]
    fn first_always_begins_at_the_start() {
        check(Balance::First, &[1, 1, 1], "", "AAAA");
        check(Balance::First, &[1, 1, 1], "A", "BBBB");
    }

    #[test]
    fn no_members_no_turn() {
        check(Balance::RoundRobin, &[], "", "-");
        check(Balance::First, &[], "", "-");
    }

    proptest! {
        #[test]
        fn each_round_gives_exactly_the_weights(weights in prop::collection::vec(1u32..=256, 1..8)) {
            let order = spread(&members(&weights));
            let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight));
            for (index, weight) in members(&weights) {
                let turns = order.iter().filter(|turn| **turn == index).count();
                prop_assert_eq!(turns, (weight.get() / divisor) as usize);
            }
        }
    }
}
