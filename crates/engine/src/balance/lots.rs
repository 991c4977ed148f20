//! Drawing by lot, by weight.

use crate::balance::{BackendIndex, Member, Occasion};
use crate::load::{Load, Share};

/// Lots that are drawn blindly before all members are looked at: enough that one in three members
/// that will do is found that way nearly always.
const DRAWS_MAX: usize = 16;

/// Members with their lots.
#[derive(Debug)]
pub struct Lots {
    members: Box<[Member]>,
    /// For each member, the lots of all up to and with it.
    ends: Box<[u32]>,
}

impl Lots {
    /// Each of `members` with as many lots as its weight.
    pub fn new(members: &[Member]) -> Self {
        let ends = members.iter().scan(0, |end, member| {
            *end += member.weight.get();
            Some(*end)
        });
        Self { members: members.into(), ends: ends.collect() }
    }

    /// The winner among those that will do.
    pub(super) fn draw<'a>(
        &self,
        occasion: &mut Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        self.draw_member(occasion, look).map(|(member, _)| member.index)
    }

    /// The winner among those that will do, and its load.
    pub(super) fn draw_member<'a>(
        &self,
        occasion: &mut Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<(&Member, &'a Load)> {
        let all = *self.ends.last()?;
        for _ in 0..DRAWS_MAX {
            let lot = occasion.chance.below(all);
            let member = &self.members[self.ends.partition_point(|end| *end <= lot)];
            if let Some(load) = look(member.index) {
                let share = load.share(occasion.now, occasion.slow_start);
                if share == Share::WHOLE || occasion.chance.below(Share::WHOLE.get()) < share.get()
                {
                    return Some((member, load));
                }
            }
        }
        self.draw_among_fit(occasion, look)
    }

    /// Looks at all members and draws among those that will do.
    fn draw_among_fit<'a>(
        &self,
        occasion: &mut Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<(&Member, &'a Load)> {
        let mut winner = None;
        let mut lots = 0_u32;
        for member in &self.members {
            let Some(load) = look(member.index) else {
                continue;
            };
            let share = load.share(occasion.now, occasion.slow_start);
            let own = member.weight.get() * share.get();
            lots = u32::saturating_add(lots, own);
            if occasion.chance.below(lots) < own {
                winner = Some((member, load));
            }
        }
        winner
    }
}
