//! The backend with the fewest sessions for its weight.
//!
//! Looks at every member: for pools of hundreds, two choices come close to it at
//! the cost of two looks.

use std::cmp::Ordering::Less;

use crate::balance::rotation::Rotation;
use crate::balance::{BackendIndex, Fullness, Member, Occasion};
use crate::load::Load;

/// The policy least-sessions.
#[derive(Debug)]
pub struct LeastSessions {
    /// In the order of their indices.
    members: Box<[Member]>,
    /// Members that are equally full take turns: else the first would get all short sessions.
    /// `None`: it does.
    turns: Option<Rotation>,
}

impl LeastSessions {
    /// The policy among `members`.
    pub fn new(members: &[Member]) -> Self {
        let mut sorted = members.to_vec();
        sorted.sort_by_key(|member| member.index);
        Self { members: sorted.into(), turns: Some(Rotation::new(members)) }
    }

    /// The same, where the first of those that are equally full is picked.
    pub fn in_order(members: &[Member]) -> Self {
        Self { turns: None, ..Self::new(members) }
    }

    pub(super) fn resume(&self, previous: &Self) {
        if let (Some(turns), Some(previous)) = (&self.turns, &previous.turns) {
            turns.resume(previous);
        }
    }

    pub(super) fn next<'a>(
        &self,
        occasion: &Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        let fullness = |member: &Member| {
            let load = look(member.index)?;
            Some((Fullness::of(member, load, occasion), member.index))
        };
        let (least, first) =
            self.members.iter().filter_map(fullness).reduce(|least, fullness| {
                match fullness.0.compare(least.0) {
                    Less => fullness,
                    _ => least,
                }
            })?;
        let Some(turns) = &self.turns else { return Some(first) };
        // Sessions come and go meanwhile; what was not more than the least then will do.
        let among_least = |index: BackendIndex| {
            let load = look(index)?;
            let at = self.members.binary_search_by_key(&index, |member| member.index).ok()?;
            let fullness = Fullness::of(&self.members[at], load, occasion);
            fullness.compare(least).is_le().then_some(load)
        };
        turns.next(occasion, among_least).or_else(|| turns.next(occasion, &look))
    }
}
