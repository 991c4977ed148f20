//! A client keeps its backend: a Maglev table.
//!
//! Each entry of a table belongs to a member, and a client's hash is its entry.
//! The members fill the table in turn, each by its own permutation of the
//! entries, which makes their shares equal to a hundredth and moves few entries
//! when a member comes or goes (Eisenbud et al., "Maglev", NSDI 2016, section
//! 3.4). A member with a smaller weight sits out turns.
//!
//! A search is one look, however many members there are.

use crate::balance::{BackendIndex, Member};
use crate::chance::pair_key;
use crate::load::Load;

/// Entries for pools of up to a hundredth of as many members; 4 bytes each. A prime.
const ENTRIES: usize = 65_537;

/// Entries for greater pools. A prime.
const ENTRIES_GREAT: usize = 655_373;

/// Entries that are looked at before the table is gone through: enough for all but pools of which
/// nearly all is down.
const PROBES_MAX: u64 = 64;

/// The policy maglev.
#[derive(Debug)]
pub struct Maglev {
    members: Box<[Member]>,
    table: Box<[BackendIndex]>,
}

impl Maglev {
    /// The policy among `members`.
    pub fn new(members: &[Member]) -> Self {
        let entries = match members.len() * 100 <= ENTRIES {
            true => ENTRIES,
            false => ENTRIES_GREAT,
        };
        Self { members: members.into(), table: fill(members, entries) }
    }

    pub(super) fn next<'a>(
        &self,
        client: u64,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        if self.table.is_empty() {
            return None;
        }
        let will_do = |index: BackendIndex| look(index).is_some();
        let entry = |hash: u64| usize::try_from(hash % self.table.len() as u64).unwrap_or_default();
        let first = self.table[entry(client)];
        if will_do(first) {
            return Some(first);
        }
        // Else it would be found out only at the end of the whole table.
        if !self.members.iter().any(|member| will_do(member.index)) {
            return None;
        }
        // Each by a hash of its own, so that all others share the clients of one that is down.
        let mut probes = (1..PROBES_MAX).map(|probe| self.table[entry(pair_key(client, probe))]);
        probes.find(|index| will_do(*index)).or_else(|| {
            let (before, behind) = self.table.split_at(entry(client));
            behind.iter().chain(before).copied().find(|index| will_do(*index))
        })
    }
}

/// The order in which a member claims entries: all of them, since their number is a prime.
struct Claims {
    next: usize,
    skip: usize,
}

impl Claims {
    fn of(member: &Member, entries: usize) -> Self {
        let below = |bound: usize, salt| {
            usize::try_from(pair_key(member.key, salt) % bound as u64).unwrap_or_default()
        };
        Self { next: below(entries, 1), skip: below(entries - 1, 2) + 1 }
    }

    fn take_next(&mut self, entries: usize) -> usize {
        let entry = self.next;
        self.next = (entry + self.skip) % entries;
        entry
    }
}

fn fill(members: &[Member], entries: usize) -> Box<[BackendIndex]> {
    // In the order of their keys, not as written: instances that list them differently agree.
    let mut members = members.to_vec();
    members.sort_by_key(|member| (member.key, member.index));
    let Some(heaviest) = members.iter().map(|member| member.weight.get()).max() else {
        return Box::default();
    };
    let mut claims: Vec<_> = members.iter().map(|member| Claims::of(member, entries)).collect();
    // Who has gathered the heaviest weight takes a turn.
    let mut gathered = vec![0; members.len()];
    let mut table = vec![None; entries];
    let mut free = entries;
    while free > 0 {
        for ((member, claims), gathered) in members.iter().zip(&mut claims).zip(&mut gathered) {
            *gathered += member.weight.get();
            if *gathered < heaviest || free == 0 {
                continue;
            }
            *gathered -= heaviest;
            // Ends: some entry is free, and the claims come to each.
            loop {
                let entry = &mut table[claims.take_next(entries)];
                if entry.is_none() {
                    *entry = Some(member.index);
                    break;
                }
            }
            free -= 1;
        }
    }
    table.into_iter().flatten().collect()
}
