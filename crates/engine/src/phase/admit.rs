//! Phase *admit*: which clients may come, and how many.

use std::net::IpAddr;
use std::sync::Arc;

use model::{AddressPattern, Clients, Spanned};
use relay::Stamp;

use crate::gate::{self, Gates, Held, Limit};
use crate::phase::account::Denial;
use crate::ranges::Ranges;

/// Compiled access rules of a listener, behind those of the whole process: a client must pass both.
#[derive(Clone, Debug)]
pub struct Access {
    process: Arc<Rules>,
    own: Rules,
}

/// Compiled access rules: `deny` wins over `allow`, and an empty `allow` allows all.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `None`: all.
    allow: Option<Set>,
    deny: Set,
}

/// A set of clients. Ranges are found at once; patterns, of which there are few, one by one.
#[derive(Clone, Debug)]
struct Set {
    ranges: Ranges<bool>,
    patterns: Box<[AddressPattern]>,
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may come.
    In,
    /// It may come, and was not counted against every limit: there was no room to.
    Uncounted,
    /// The access rules refuse it.
    Denied(Denial),
    /// It is over this limit.
    Limited(Limit),
}

/// Decides about a client that arrived at `now`; `held` takes what it holds of the gates, to be
/// given back with [`Gates::leave`] whatever the decision is.
pub fn admit(
    access: &Access,
    gates: &Gates,
    client: Option<IpAddr>,
    now: Stamp,
    held: &mut Held,
) -> Admission {
    match access.verdict(client) {
        Verdict::Deny(denial) => Admission::Denied(denial),
        Verdict::Allow => match gates.admit(client, now, held) {
            gate::Admission::In => Admission::In,
            gate::Admission::Uncounted => Admission::Uncounted,
            gate::Admission::Over(limit) => Admission::Limited(limit),
        },
    }
}

/// What the rules say to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may come.
    Allow,
    /// It may not.
    Deny(Denial),
}

impl Access {
    /// Compiles the rules of a listener.
    pub fn new(process: &Arc<Rules>, own: &model::Access) -> Self {
        Self { process: Arc::clone(process), own: Rules::new(own) }
    }

    /// What the rules say to `client`. A client without an address (unix socket) is let in by
    /// the permissions of the socket's file; rules on addresses say nothing about it.
    pub fn verdict(&self, client: Option<IpAddr>) -> Verdict {
        let Some(client) = client else {
            return Verdict::Allow;
        };
        match self.process.denial(client).or_else(|| self.own.denial(client)) {
            Some(denial) => Verdict::Deny(denial),
            None => Verdict::Allow,
        }
    }
}

impl Rules {
    /// Compiles rules.
    pub fn new(rules: &model::Access) -> Self {
        let allow = (!rules.allow.is_empty()).then(|| Set::new(&rules.allow));
        Self { allow, deny: Set::new(&rules.deny) }
    }

    /// Why `client` may not come, if it may not.
    pub(crate) fn denial(&self, client: IpAddr) -> Option<Denial> {
        if self.allow.as_ref().is_some_and(|allow| !allow.contains(client)) {
            return Some(Denial::NotAllowed);
        }
        self.deny.contains(client).then_some(Denial::Denied)
    }
}

impl Set {
    fn new(clients: &[Spanned<Clients>]) -> Self {
        let (mut ranges, mut patterns) = (Vec::new(), Vec::new());
        for one in clients {
            match &one.value {
                Clients::Range(range) => ranges.push((*range, 0)),
                Clients::Pattern(pattern) => patterns.push(pattern.clone()),
            }
        }
        let ranges = Ranges::new(ranges, |within| !within.is_empty());
        Self { ranges, patterns: patterns.into() }
    }

    fn contains(&self, client: IpAddr) -> bool {
        *self.ranges.get(client) || self.patterns.iter().any(|pattern| pattern.matches(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> model::Access {
        let one = |text: &&str| {
            let pattern = || AddressPattern::parse(text).map(Clients::Pattern);
            let range = text.parse().ok().map(Clients::Range);
            Spanned::default_of(range.or_else(pattern).expect("a range or a pattern"))
        };
        let list = |texts: &[&str]| texts.iter().map(one).collect();
        model::Access { allow: list(allow), deny: list(deny) }
    }

    #[track_caller]
    fn check_both(process: &model::Access, own: &model::Access, client: &str, expected: Verdict) {
        let access = Access::new(&Arc::new(Rules::new(process)), own);
        let client = client.parse().expect("a legal address");
        assert_eq!(access.verdict(Some(client)), expected, "{client}");
    }

    #[track_caller]
    fn check(allow: &[&str], deny: &[&str], client: &str, expected: Verdict) {
        let (none, rules) = (model::Access::default(), rules(allow, deny));
        check_both(&none, &rules, client, expected);
        check_both(&rules, &none, client, expected);
    }

    const ALLOW: Verdict = Verdict::Allow;
    const NOT_ALLOWED: Verdict = Verdict::Deny(Denial::NotAllowed);
    const DENIED: Verdict = Verdict::Deny(Denial::Denied);

    #[test]
    fn no_rules_allow_all() {
        check(&[], &[], "192.0.2.1", ALLOW);
    }

    #[test]
    fn deny_wins_over_allow() {
        check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.0.0.1", ALLOW);
        check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1", DENIED);
        check(&["10.0.0.0/8"], &["10.0.0.0/7"], "10.0.0.1", DENIED);
        check(&["10.*.1"], &["10.0.0.0/8"], "10.0.0.1", DENIED);
        check(&["10.0.0.0/8"], &["*.?"], "10.0.0.1", DENIED);
    }

    #[test]
    fn whoever_is_not_allowed_is_denied() {
        check(&["10.0.0.0/8"], &[], "192.0.2.1", NOT_ALLOWED);
        check(&["10.0.0.0/8", "192.*"], &[], "192.0.2.1", ALLOW);
        check(&["10.0.0.0/8"], &["192.0.2.1/32"], "192.0.2.1", NOT_ALLOWED);
        check(&["10.0.0.0/8"], &[], "2001:db8::1", NOT_ALLOWED);
        check(&[], &["2001:db8::/32"], "2001:db8::1", DENIED);
    }

    #[test]
    fn a_client_must_pass_both() {
        let process = rules(&["127.*"], &["127.0.0.3/32"]);
        let own = rules(&["127.0.0.0/30", "10.0.0.0/8"], &["127.0.0.2/32"]);
        check_both(&process, &own, "127.0.0.1", ALLOW);
        check_both(&process, &own, "127.0.0.2", DENIED);
        check_both(&process, &own, "127.0.0.3", DENIED);
        check_both(&process, &own, "127.0.0.4", NOT_ALLOWED);
        check_both(&process, &own, "10.0.0.1", NOT_ALLOWED);
    }
}
