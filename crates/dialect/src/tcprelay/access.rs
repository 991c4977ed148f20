//! Ordered `permit` and `deny` as two sets, of which deny wins.
//!
//! The first rule that a client matches decides, and one that matches none may not come. Two sets
//! say the same when from every denied range that is taken out which an earlier rule permits: then
//! a client is in no denied range exactly if a permitting rule comes first for it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::{Access, Span, Spanned};

/// Most ranges that rules may become.
pub(super) const RANGES_MAX: usize = 10_000;

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) permit: bool,
    /// Whom it is about: those inside these ranges.
    pub(super) ranges: Vec<IpNet>,
    pub(super) span: Span,
}

/// The sets that say the same as `rules`; `None`: they would be too many ranges.
pub(super) fn access(rules: &[Rule]) -> Option<Access> {
    let Sets { allow, deny } = sets(rules)?;
    let clients = |ranges: Vec<Spanned<IpNet>>| {
        let clients =
            |range: Spanned<IpNet>| Spanned { value: range.value.into(), span: range.span };
        ranges.into_iter().map(clients).collect()
    };
    Some(Access { allow: clients(allow), deny: clients(deny) })
}

/// The same as ranges.
#[derive(Debug, Default)]
struct Sets {
    allow: Vec<Spanned<IpNet>>,
    deny: Vec<Spanned<IpNet>>,
}

fn sets(rules: &[Rule]) -> Option<Sets> {
    let mut access = Sets::default();
    let mut permitted: Vec<IpNet> = Vec::new();
    for rule in rules {
        for range in &rule.ranges {
            if rule.permit {
                access.allow.push(Spanned::at(*range, rule.span));
                permitted.push(*range);
            } else {
                let left = without(vec![*range], &permitted)?;
                access.deny.extend(left.into_iter().map(|range| Spanned::at(range, rule.span)));
            }
        }
        if access.allow.len() + access.deny.len() > RANGES_MAX {
            return None;
        }
    }
    // Who is in no allowed range need not be in a denied one.
    let meet = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    access.deny.retain(|deny| permitted.iter().any(|allow| meet(&deny.value, allow)));
    if let Some(last) = rules.last().filter(|_| access.allow.is_empty()) {
        // An empty list would let everybody in.
        access.deny = everybody().map(|range| Spanned::at(range, last.span)).to_vec();
    }
    Some(access)
}

/// All clients that are not in `range`.
pub(super) fn outside(range: IpNet) -> Vec<IpNet> {
    everybody().into_iter().flat_map(|all| cut(all, range)).collect()
}

fn everybody() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

fn without(mut ranges: Vec<IpNet>, holes: &[IpNet]) -> Option<Vec<IpNet>> {
    for hole in holes {
        ranges = ranges.into_iter().flat_map(|range| cut(range, *hole)).collect();
        if ranges.len() > RANGES_MAX {
            return None;
        }
    }
    Some(ranges)
}

/// What of `range` is not in `hole`: halves of halves, in their order.
fn cut(range: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&range) {
        return Vec::new();
    }
    if !range.contains(&hole) {
        return vec![range];
    }
    let halves = range.subnets(range.prefix_len() + 1);
    let halves = halves.expect("a range that holds a smaller one can be halved");
    halves.flat_map(|half| cut(half, hole)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SourceId, Sources};
    use std::net::IpAddr;

    fn source() -> SourceId {
        Sources::default().add("", "")
    }

    fn rules(text: &str) -> Vec<Rule> {
        let rule = |rule: &str| {
            let (verb, range) = rule.split_once(' ').expect("a verb and a range");
            let range = range.parse().expect("a range");
            Rule { permit: verb == "permit", ranges: vec![range], span: Span::new(source(), 0..0) }
        };
        text.split(", ").map(rule).collect()
    }

    #[track_caller]
    fn check(text: &str, allow: &[&str], deny: &[&str]) {
        let access = super::sets(&rules(text)).expect("few ranges");
        let shown = |list: &[Spanned<IpNet>]| -> Vec<String> {
            list.iter().map(|range| range.value.to_string()).collect()
        };
        assert_eq!(
            (shown(&access.allow), shown(&access.deny)),
            (
                allow.iter().map(ToString::to_string).collect(),
                deny.iter().map(ToString::to_string).collect(),
            ),
            "{text}"
        );
    }

    #[test]
    fn sets() {
        check("permit 10.0.0.0/8", &["10.0.0.0/8"], &[]);
        check("deny 10.1.0.0/16, permit 10.0.0.0/8", &["10.0.0.0/8"], &["10.1.0.0/16"]);
        check("permit 10.0.0.0/8, deny 10.1.0.0/16", &["10.0.0.0/8"], &[]);
        check(
            "permit 10.0.0.0/30, deny 10.0.0.0/28, permit 10.0.0.0/8",
            &["10.0.0.0/30", "10.0.0.0/8"],
            &["10.0.0.4/30", "10.0.0.8/29"],
        );
        check("deny 10.0.0.0/8", &[], &["0.0.0.0/0", "::/0"]);
        check("permit 0.0.0.0/0", &["0.0.0.0/0"], &[]);
        check("permit 10.0.0.0/8, deny 0.0.0.0/0", &["10.0.0.0/8"], &[]);
    }

    /// Rules drawn by a fixed rule of three bits each, against the first match, address by address.
    #[test]
    fn sets_and_rules_say_the_same() {
        let mut seed = 7_u64;
        let mut draw = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let rules: Vec<Rule> = (0..=draw(6))
                .map(|_| {
                    let length = 28 + u8::try_from(draw(5)).expect("small");
                    let address = IpAddr::from([10, 0, 0, u8::try_from(draw(16)).expect("small")]);
                    let range = IpNet::new(address, length).expect("a length").trunc();
                    Rule {
                        permit: draw(2) == 0,
                        ranges: vec![range],
                        span: Span::new(source(), 0..0),
                    }
                })
                .collect();
            let access = super::sets(&rules).expect("few ranges");
            for last in 0..18 {
                let client = IpAddr::from([10, 0, 0, last]);
                let matches =
                    |rule: &&Rule| rule.ranges.iter().any(|range| range.contains(&client));
                let first = rules.iter().find(matches).is_some_and(|rule| rule.permit);
                let within = |list: &[Spanned<IpNet>]| {
                    list.iter().any(|range| range.value.contains(&client))
                };
                let comes =
                    (access.allow.is_empty() || within(&access.allow)) && !within(&access.deny);
                assert_eq!(comes, first, "{client} {rules:?}");
            }
        }
    }
}
