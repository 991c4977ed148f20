//! Which of many ranges covers another as a whole.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::source::Span;

/// Ranges, to be asked which of them covers one.
pub(super) struct Covers {
    ranges: HashMap<IpNet, Option<Span>>,
}

impl Covers {
    /// `ranges` with the places where they are written.
    pub(super) fn of(ranges: impl IntoIterator<Item = (IpNet, Option<Span>)>) -> Self {
        let mut known = HashMap::new();
        for (range, span) in ranges {
            // Of two that are the same, the first counts.
            known.entry(range.trunc()).or_insert(span);
        }
        Self { ranges: known }
    }

    /// Where the narrowest range is written that `range` lies in.
    pub(super) fn covering(&self, range: IpNet) -> Option<Option<Span>> {
        wider(range).find_map(|wider| self.ranges.get(&wider).copied())
    }
}

/// `range` and all that it lies in, the narrowest first.
pub(super) fn wider(range: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(Some(range.trunc()), IpNet::supernet)
}
