//! What each policy makes of a pool: shares, stability, and who is passed over.

use std::collections::HashMap;
use std::net::IpAddr;

use super::*;
use crate::chance::{client_key, text_key};

const NOW: Tick = Tick::from_millis(1_000_000);

const ALL: [Balance; 9] = {
    let mut all = [Balance::First; 9];
    let mut at = 0;
    while at < all.len() {
        all[at] = Balance::NAMES[at].1;
        at += 1;
    }
    all
};

pub(super) fn members(weights: &[u32]) -> Vec<Member> {
    let weight = |weight: &u32| Weight::new(*weight).expect("weights in tests are legal");
    let members = (0..).map(BackendIndex).zip(weights.iter().map(weight));
    members.map(|(index, weight)| Member { index, weight, key: key_of(index) }).collect()
}

fn key_of(index: BackendIndex) -> u64 {
    text_key(&format!("10.0.0.{}:80", index.0))
}

/// The search of session `id`, whose client is its own.
fn occasion(id: u32) -> Occasion {
    Occasion {
        now: NOW,
        client: client_key(IpAddr::from(id.to_be_bytes())),
        chance: Chance::new(id.into()),
        slow_start: None,
    }
}

struct Bench {
    policy: Policy,
    members: Vec<Member>,
    loads: Vec<Load>,
}

impl Bench {
    fn new(balance: Balance, weights: &[u32]) -> Self {
        let members = members(weights);
        let loads = members.iter().map(|_| Load::default()).collect();
        Self { policy: Policy::new(balance, &members), members, loads }
    }

    /// Whom session `id` gets when those in `down` will not do.
    fn next(&self, id: u32, down: &[u32]) -> Option<BackendIndex> {
        self.next_on(&mut occasion(id), down)
    }

    fn next_on(&self, occasion: &mut Occasion, down: &[u32]) -> Option<BackendIndex> {
        let look =
            |index: BackendIndex| (!down.contains(&index.0)).then(|| &self.loads[index.get()]);
        self.policy.next(occasion, look)
    }

    /// The sessions of each member once `count` have come and stayed.
    fn fill(&self, count: u32, occasion: impl Fn(u32) -> Occasion) -> Vec<u32> {
        for id in 0..count {
            let index = self.next_on(&mut occasion(id), &[]).expect("all will do");
            assert!(self.loads[index.get()].enter());
        }
        self.loads.iter().map(Load::sessions).collect()
    }
}

/// Takes turns; `down` are letters that will not do.
#[track_caller]
fn check(balance: Balance, weights: &[u32], down: &str, expected: &str) {
    let bench = Bench::new(balance, weights);
    let letter = |index: BackendIndex| char::from(b'A' + u8::try_from(index.0).expect("few"));
    let down: Vec<u32> = down.bytes().map(|letter| u32::from(letter - b'A')).collect();
    let turns: String =
        (0..expected.len()).map(|_| bench.next(7, &down).map_or('-', letter)).collect();
    assert_eq!(turns, expected, "weights {weights:?}, down {down:?}");
}

/// Each share is within 5 % of what the weights say, over 100,000 sessions.
#[track_caller]
fn assert_shares(seen: &[u32], weights: &[u32], what: &str) {
    let sessions = f64::from(seen.iter().sum::<u32>());
    let all = f64::from(weights.iter().sum::<u32>());
    for (seen_here, weight) in seen.iter().zip(weights) {
        let expected = sessions * f64::from(*weight) / all;
        let off = (f64::from(*seen_here) - expected).abs() / expected;
        assert!(off <= 0.05, "{what}: {seen:?} for weights {weights:?}");
    }
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
fn the_least_are_filled_first_and_equals_take_turns() {
    check(Balance::LeastSessions, &[1, 1, 1], "", "ABCABC");
    check(Balance::LeastSessionsInOrder, &[1, 1, 1], "", "AAAAAA");
    let bench = Bench::new(Balance::LeastSessions, &[2, 1, 1]);
    for (index, sessions) in [(0, 5), (1, 3), (2, 2)] {
        (0..sessions).for_each(|_| assert!(bench.loads[index].enter()));
    }
    // 5/2, 3/1 and 2/1: the third, then (5/2, 3, 3) the first.
    assert_eq!(bench.next(0, &[]), Some(BackendIndex(2)));
    assert!(bench.loads[2].enter());
    assert_eq!(bench.next(0, &[]), Some(BackendIndex(0)));
    assert_eq!(bench.next(0, &[0]).map(|index| index.0 > 0), Some(true));
}

#[test]
fn two_choices_prefer_fewer_sessions_then_the_faster() {
    let bench = Bench::new(Balance::TwoChoices, &[1, 1]);
    bench.loads[0].connected_in(Duration::from_millis(5), NOW);
    bench.loads[1].connected_in(Duration::from_millis(1), NOW);
    assert!((0..50).all(|id| bench.next(id, &[]) == Some(BackendIndex(1))));
    assert!(bench.loads[1].enter());
    assert!((0..50).all(|id| bench.next(id, &[]) == Some(BackendIndex(0))));

    let bench = Bench::new(Balance::LatencyTwoChoices, &[1, 1]);
    bench.loads[0].connected_in(Duration::from_millis(5), NOW);
    bench.loads[1].connected_in(Duration::from_millis(1), NOW);
    assert!(bench.loads[1].enter());
    assert!((0..50).all(|id| bench.next(id, &[]) == Some(BackendIndex(1))));
}

#[test]
fn every_policy_gives_each_its_weight() {
    for balance in ALL.into_iter().filter(|balance| *balance != Balance::First) {
        for weights in [&[1, 1, 1][..], &[1, 2, 3, 4], &[10, 1, 5]] {
            let seen = Bench::new(balance, weights).fill(100_000, occasion);
            assert_shares(&seen, weights, &format!("{balance:?}"));
        }
    }
}

#[test]
fn what_is_down_is_passed_over_until_nothing_is_left() {
    for balance in ALL {
        for weights in [&[1; 5][..], &[256, 1, 1, 1, 1]] {
            let bench = Bench::new(balance, weights);
            for id in 0..50 {
                let mut tried = Vec::new();
                while let Some(index) = bench.next(id, &tried) {
                    assert!(!tried.contains(&index.0), "{balance:?}");
                    tried.push(index.0);
                }
                assert_eq!(tried.len(), 5, "{balance:?}: {tried:?}");
            }
            assert!(Bench::new(balance, &[]).next(0, &[]).is_none());
        }
    }
}

#[test]
fn the_sessions_of_a_backend_that_is_down_are_shared_by_the_others() {
    for balance in [Balance::Random, Balance::SourceHash, Balance::Maglev] {
        let bench = Bench::new(balance, &[1; 5]);
        let mut seen = [0; 4];
        for id in 0..100_000 {
            let index = bench.next(id, &[2]).expect("four are left");
            seen[index.get() - usize::from(index.0 > 2)] += 1;
        }
        assert_shares(&seen, &[1; 4], &format!("{balance:?}"));
    }
}

#[test]
fn few_clients_move_when_a_backend_is_removed() {
    const CLIENTS: u32 = 10_000;
    for balance in [Balance::SourceHash, Balance::Maglev] {
        for count in [10_u32, 23, 50] {
            let whole = Bench::new(balance, &vec![1; count as usize]);
            let mut rest = members(&vec![1; count as usize]);
            rest.remove(count as usize / 2);
            let rest = Bench {
                policy: Policy::new(balance, &rest),
                members: rest,
                ..Bench::new(balance, &vec![1; count as usize])
            };
            let moved = (0..CLIENTS).filter(|id| whole.next(*id, &[]) != rest.next(*id, &[]));
            let moved = f64::from(u32::try_from(moved.count()).expect("few"));
            let bound = f64::from(CLIENTS) * (1.0 / f64::from(count) + 0.05);
            assert!(moved <= bound, "{balance:?}, {count}: {moved} of {CLIENTS} moved");
            assert!(moved > 0.0);
        }
    }
}

#[test]
fn instances_that_list_the_backends_differently_agree() {
    for balance in [Balance::SourceHash, Balance::Maglev] {
        let bench = Bench::new(balance, &[3, 1, 2, 1]);
        let mut reversed: Vec<Member> = bench.members.iter().rev().copied().collect();
        let names: HashMap<BackendIndex, u64> =
            (0..).map(BackendIndex).zip(reversed.iter().map(|member| member.key)).collect();
        (0..).zip(&mut reversed).for_each(|(at, member)| member.index = BackendIndex(at));
        let other =
            Bench { policy: Policy::new(balance, &reversed), ..Bench::new(balance, &[1; 4]) };
        for id in 0..1000 {
            let here = bench.next(id, &[]).expect("all will do");
            let there = other.next(id, &[]).expect("all will do");
            assert_eq!(key_of(here), names[&there], "{balance:?}, client {id}");
        }
    }
}

#[test]
fn a_slow_start_gets_a_tenth_at_first() {
    let policies = [Balance::RoundRobin, Balance::LeastSessions, Balance::Random];
    for balance in policies.into_iter().chain([Balance::TwoChoices]) {
        let bench = Bench::new(balance, &[1; 5]);
        bench.loads[3].came_up(NOW);
        let slow = Some(Duration::from_secs(60));
        let seen = bench.fill(100_000, |id| Occasion { slow_start: slow, ..occasion(id) });
        assert_shares(&seen, &[10, 10, 10, 1, 10], &format!("{balance:?}"));
    }
}

#[test]
fn backends_that_all_start_slowly_still_serve() {
    for balance in ALL {
        let bench = Bench::new(balance, &[1; 3]);
        bench.loads.iter().for_each(|load| load.came_up(NOW));
        let slow_start = Some(Duration::from_secs(60));
        for id in 0..100 {
            let mut occasion = Occasion { slow_start, ..occasion(id) };
            assert!(bench.next_on(&mut occasion, &[]).is_some(), "{balance:?}");
        }
    }
}
