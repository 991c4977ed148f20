//! What holds for an address, by the ranges that it is in.
//!
//! Ranges of addresses nest or lie apart, so a list of them cuts the line of addresses into
//! pieces. For each piece the answer is worked out beforehand; asking is a binary search, with
//! ten thousand ranges as with ten.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use ipnet::IpNet;

/// An answer for each address.
#[derive(Clone, Debug)]
pub struct Ranges<T> {
    v4: Pieces<u32, T>,
    v6: Pieces<u128, T>,
}

/// The pieces of one family: where each begins, and its answer. The first begins at 0.
#[derive(Clone, Debug)]
struct Pieces<K, T> {
    starts: Box<[K]>,
    answers: Box<[T]>,
}

/// The ranges that an address is in, by their labels, with how many of them have each.
pub type Within = BTreeMap<u32, usize>;

impl<T: Clone + PartialEq> Ranges<T> {
    /// Works out `answer` for every set of labels that an address can be in the ranges of.
    pub fn new(
        labelled: impl IntoIterator<Item = (IpNet, u32)>,
        mut answer: impl FnMut(&Within) -> T,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (range, label) in labelled {
            match range {
                IpNet::V4(range) => {
                    let end = u32::from(range.broadcast()).checked_add(1);
                    v4.push((Some(u32::from(range.network())), label, true));
                    v4.push((end, label, false));
                }
                IpNet::V6(range) => {
                    let end = u128::from(range.broadcast()).checked_add(1);
                    v6.push((Some(u128::from(range.network())), label, true));
                    v6.push((end, label, false));
                }
            }
        }
        Self { v4: Pieces::new(v4, &mut answer), v6: Pieces::new(v6, &mut answer) }
    }

    /// The answer for an address.
    pub fn get(&self, address: IpAddr) -> &T {
        match address {
            IpAddr::V4(address) => self.v4.get(address.into()),
            IpAddr::V6(address) => self.v6.get(address.into()),
        }
    }
}

impl<K: Copy + Ord + Default, T: Clone + PartialEq> Pieces<K, T> {
    /// `edges`: where a range with this label begins (`true`) or has ended (`false`); `None` is
    /// beyond the last address.
    fn new(mut edges: Vec<(Option<K>, u32, bool)>, answer: &mut impl FnMut(&Within) -> T) -> Self {
        edges.retain(|(at, ..)| at.is_some());
        edges.sort_unstable_by_key(|(at, ..)| *at);
        let mut within = Within::new();
        let (mut starts, mut answers) = (vec![K::default()], Vec::new());
        for edges in edges.chunk_by(|one, next| one.0 == next.0) {
            let at = edges[0].0.unwrap_or_default();
            if at > K::default() {
                let answer = answer(&within);
                if answers.last() == Some(&answer) {
                    starts.pop();
                } else {
                    answers.push(answer);
                }
                starts.push(at);
            }
            for (_, label, begins) in edges {
                match (begins, within.entry(*label)) {
                    (true, label) => *label.or_insert(0) += 1,
                    (false, Entry::Occupied(mut label)) if *label.get() > 1 => {
                        *label.get_mut() -= 1;
                    }
                    (false, Entry::Occupied(label)) => drop(label.remove()),
                    // A range has begun before it ends.
                    (false, Entry::Vacant(_)) => {}
                }
            }
        }
        let last = answer(&within);
        if answers.last() == Some(&last) {
            starts.pop();
        } else {
            answers.push(last);
        }
        Self { starts: starts.into(), answers: answers.into() }
    }

    fn get(&self, address: K) -> &T {
        let behind = self.starts.partition_point(|start| *start <= address);
        &self.answers[behind - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> IpNet {
        text.parse().expect("a legal range")
    }

    /// The labels of the ranges that an address is in.
    fn labels(ranges: &[(IpNet, u32)]) -> Ranges<Vec<u32>> {
        Ranges::new(ranges.iter().copied(), |within| within.keys().copied().collect())
    }

    #[test]
    fn nested_and_adjacent_ranges_answer_to_their_edges() {
        let ranges = [
            (range("0.0.0.0/1"), 0),
            (range("10.0.0.0/8"), 1),
            (range("10.1.0.0/16"), 2),
            (range("10.2.0.0/16"), 2),
            (range("255.255.255.255/32"), 3),
            (range("2001:db8::/32"), 4),
            (range("::/0"), 5),
        ];
        let answers = labels(&ranges);
        for (address, expected) in [
            ("0.0.0.0", &[0][..]),
            ("9.255.255.255", &[0]),
            ("10.0.0.0", &[0, 1]),
            ("10.1.0.0", &[0, 1, 2]),
            ("10.2.255.255", &[0, 1, 2]),
            ("10.3.0.0", &[0, 1]),
            ("11.0.0.0", &[0]),
            ("128.0.0.0", &[]),
            ("255.255.255.255", &[3]),
            ("::", &[5]),
            ("2001:db8::1", &[4, 5]),
            ("ffff::", &[5]),
        ] {
            let address = address.parse().expect("a legal address");
            assert_eq!(answers.get(address), expected, "{address}");
        }
        assert_eq!(answers.v4.answers.len(), 7, "pieces with the same answer are one");
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_every_range(
            ranges in proptest::collection::vec((any::<u32>(), 0u8..=32, 0u32..5), 0..20),
            addresses in proptest::collection::vec(any::<u32>(), 0..20),
        ) {
            // Close together, so that they nest.
            let near = |bits: u32| IpAddr::from((bits & 0xf00f_000f).to_be_bytes());
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|(bits, length, label)| {
                    (IpNet::new(near(bits), length).expect("a legal length").trunc(), label)
                })
                .collect();
            let answers = labels(&ranges);
            let edges = ranges.iter().flat_map(|(range, _)| [range.network(), range.broadcast()]);
            for address in addresses.into_iter().map(near).chain(edges) {
                let mut expected: Vec<_> = ranges
                    .iter()
                    .filter(|(range, _)| range.contains(&address))
                    .map(|(_, label)| *label)
                    .collect();
                expected.sort_unstable();
                expected.dedup();
                prop_assert_eq!(answers.get(address), &expected, "{}", address);
            }
        }
    }
}
