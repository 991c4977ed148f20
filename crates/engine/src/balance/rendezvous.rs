//! A client keeps its backend: rendezvous hashing.
//!
//! Client and backend are hashed together, and the backend with the greatest
//! value wins (Thaler and Ravishankar, "Using Name-Based Mappings to Increase
//! Hit Rates", 1998). When a backend is gone only its clients move, each to the
//! one that comes next for it; when one comes, it takes its share and no more.
//! With weights the value is `-weight / ln(hash)` (Schindelhauer and Schomaker,
//! "Weighted Distributed Hash Tables", 2005).
//!
//! Looks at every member; for thousands of them there is Maglev.

use std::cmp::Ordering;

use crate::balance::{BackendIndex, Member};
use crate::chance::pair_key;
use crate::load::Load;

/// The policy source-hash.
#[derive(Debug)]
pub struct Rendezvous {
    members: Box<[Member]>,
}

impl Rendezvous {
    /// The policy among `members`.
    pub fn new(members: &[Member]) -> Self {
        Self { members: members.into() }
    }

    pub(super) fn next<'a>(
        &self,
        client: u64,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        let fit = self.members.iter().filter(|member| look(member.index).is_some());
        let bids = fit.map(|member| {
            (member.index, (f64::from(member.weight.get()), pair_key(client, member.key)))
        });
        bids.reduce(|best, bid| if outbids(bid.1, best.1) { bid } else { best })
            .map(|(index, _)| index)
    }
}

/// Whether a bid is worth more than another: each a weight above 0, and the hash of what bids
/// together with what it bids for.
pub fn outbids((a, hash_a): (f64, u64), (b, hash_b): (f64, u64)) -> bool {
    if a == b {
        return hash_a > hash_b;
    }
    // The logarithms are negative: the one nearer to zero wins.
    let cost = |weight: f64, hash| -fraction(hash).ln() / weight;
    let order = cost(a, hash_a).total_cmp(&cost(b, hash_b));
    order == Ordering::Less
}

/// A hash as a number above 0 and below 1, as finely as an `f64` tells them apart.
fn fraction(hash: u64) -> f64 {
    const BITS: u32 = 52;
    // Exact: below 2^52. The half keeps it off both ends.
    let (high, low) = (u32::try_from(hash >> 32), u32::try_from((hash >> 12) & 0xf_ffff));
    let (high, low) = (high.unwrap_or_default(), low.unwrap_or_default());
    let whole = f64::from(high) * f64::from(1_u32 << 20) + f64::from(low);
    (whole + 0.5) / 2_f64.powi(i32::try_from(BITS).unwrap_or_default())
}
