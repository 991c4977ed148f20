//! Which of many ranges covers another as a whole.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::source::Spanned;

/// Ranges, to be asked which of them covers one.
pub(super) struct Covers<'a> {
    ranges: HashMap<IpNet, &'a Spanned<IpNet>>,
}

impl<'a> Covers<'a> {
    pub(super) fn of(ranges: &'a [Spanned<IpNet>]) -> Self {
        // Of two that are the same, the first counts.
        let ranges = ranges.iter().rev().map(|range| (range.value.trunc(), range));
        Self { ranges: ranges.collect() }
    }

    /// The narrowest range that `range` lies in.
    pub(super) fn covering(&self, range: IpNet) -> Option<&'a Spanned<IpNet>> {
        wider(range).find_map(|wider| self.ranges.get(&wider).copied())
    }
}

/// `range` and all that it lies in, the narrowest first.
pub(super) fn wider(range: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(Some(range.trunc()), IpNet::supernet)
}
