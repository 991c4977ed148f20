//! The better of two drawn by lot.
//!
//! Nearly as even as looking at all of them (Mitzenmacher, "The Power of Two
//! Choices", IEEE TPDS 2001), for two looks; and sessions that arrive at once do
//! not all run to the same backend.

use std::cmp::Ordering;

use crate::balance::lots::Lots;
use crate::balance::{BackendIndex, Fullness, Member, Occasion};
use crate::load::Load;

/// By what two backends are compared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By sessions for the weight, then by the time to connect.
    Sessions,
    /// By the time to connect, then by sessions for the weight.
    Latency,
}

/// The policies two-choices and latency-two-choices.
#[derive(Debug)]
pub struct Choices {
    lots: Lots,
    by: By,
}

impl Choices {
    /// The policy among `members`.
    pub fn new(members: &[Member], by: By) -> Self {
        Self { lots: Lots::new(members), by }
    }

    pub(super) fn next<'a>(
        &self,
        occasion: &mut Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        let one = self.lots.draw_member(occasion, &look)?;
        let another = |index| if index == one.0.index { None } else { look(index) };
        let Some(two) = self.lots.draw_member(occasion, another) else {
            return Some(one.0.index);
        };
        let better = match self.compare(two, one, occasion) {
            Ordering::Less => two,
            _ => one,
        };
        Some(better.0.index)
    }

    /// `Less`: `a` is the better choice.
    fn compare(
        &self,
        (a, load_a): (&Member, &Load),
        (b, load_b): (&Member, &Load),
        occasion: &Occasion,
    ) -> Ordering {
        let by_sessions = || {
            let (a, b) = (Fullness::of(a, load_a, occasion), Fullness::of(b, load_b, occasion));
            a.compare(b)
        };
        let by_latency = || load_a.connect_us(occasion.now).cmp(&load_b.connect_us(occasion.now));
        match self.by {
            By::Sessions => by_sessions().then_with(by_latency),
            By::Latency => by_latency().then_with(by_sessions),
        }
    }
}
