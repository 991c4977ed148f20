//! Round-robin, by weight, evenly spread.
//!
//! A fixed order, written out when the plan is made, and one position in it.
//! Because there is one position, few clients in a row are spread as evenly as
//! many: three backends get A B C A B C, whichever shards the clients arrive at.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::balance::{BackendIndex, Member, Occasion};
use crate::load::{Load, Share};

/// An order in which backends take their turns.
#[derive(Debug)]
pub struct Rotation {
    /// Each backend as often as its weight says, evenly spread.
    order: Box<[BackendIndex]>,
    /// Turns that are over; the next search begins there.
    position: AtomicU64,
}

impl Rotation {
    /// The turns of `members`.
    pub fn new(members: &[Member]) -> Self {
        Self { order: spread(members), position: AtomicU64::new(0) }
    }

    /// Goes on where `previous` is: in a plan that is replaced again and again, the first would
    /// else have most turns.
    pub(super) fn resume(&self, previous: &Self) {
        self.position.store(previous.position.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Begins anew with the first turn.
    pub(super) fn restart(&self) {
        self.position.store(0, Ordering::Relaxed);
    }

    /// Passes over one turn.
    pub(super) fn skip(&self) {
        self.position.fetch_add(1, Ordering::Relaxed);
    }

    /// The next backend that will do, whose turn is then over.
    pub(super) fn next<'a>(
        &self,
        occasion: &Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        let length = self.order.len() as u64;
        let backend = |turn: u64| self.order[usize::try_from(turn % length).unwrap_or_default()];
        let mut start = self.position.load(Ordering::Relaxed);
        loop {
            let mut passed_over = None;
            let is_its_turn = |turn: &u64| {
                let Some(load) = look(backend(*turn)) else {
                    return false;
                };
                let share = load.share(occasion.now, occasion.slow_start);
                let takes = takes_turn(turn / length, share);
                if !takes {
                    passed_over.get_or_insert(*turn);
                }
                takes
            };
            // If all that will do start slowly, somebody has to take the turn.
            let found = (start..start + length).find(is_its_turn);
            let turn = found.or(passed_over)?;
            // Relaxed: the position orders nothing but itself. If another shard was faster,
            // this turn is its; look again from where it left off.
            let moved = self.position.compare_exchange_weak(
                start,
                turn + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match moved {
                Ok(_) => return Some(backend(turn)),
                Err(current) => start = current,
            }
        }
    }
}

/// Whether a backend with this share takes its turn in this round: evenly spread, and as often as
/// the share says.
fn takes_turn(round: u64, share: Share) -> bool {
    if share == Share::WHOLE {
        return true;
    }
    let (share, whole) = (u64::from(share.get()), u64::from(Share::WHOLE.get()));
    let place = round % whole;
    (place + 1) * share / whole > place * share / whole
}

/// Writes each member as often as its weight says (divided by what all weights share), with its
/// turns as far from each other as they can be.
///
/// Turn `k` of a member with weight `w` falls at the fraction `(k + 1/2) / w` of the round;
/// sorting the turns of all by that fraction spreads them, and equal fractions keep the order in
/// which the members were written.
fn spread(members: &[Member]) -> Box<[BackendIndex]> {
    let divisor = members.iter().fold(0, |divisor, member| gcd(divisor, member.weight.get()));
    let mut turns: Vec<(u64, BackendIndex)> = Vec::new();
    for member in members {
        let weight = u64::from(member.weight.get() / divisor.max(1));
        let turn = |turn| ((2 * turn + 1) * FRACTION / (2 * weight), member.index);
        turns.extend((0..weight).map(turn));
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
    use crate::balance::tests::members;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_the_part_of_rounds_in_which_a_turn_is_taken() {
        let taken = (0..1000).filter(|round| takes_turn(*round, Share::LEAST)).count();
        assert_eq!(taken, 100);
        let gap = (0..1000).filter(|round| takes_turn(*round, Share::LEAST)).nth(1);
        assert_eq!(gap, Some(19), "evenly spread");
        assert!((0..1000).all(|round| takes_turn(round, Share::WHOLE)));
    }

    proptest! {
        #[test]
        fn each_round_gives_exactly_the_weights(weights in prop::collection::vec(1u32..=256, 1..8)) {
            let order = spread(&members(&weights));
            let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight));
            for member in members(&weights) {
                let turns = order.iter().filter(|turn| **turn == member.index).count();
                prop_assert_eq!(turns, (member.weight.get() / divisor) as usize);
            }
        }
    }
}
