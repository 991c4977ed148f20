//! Phase *admit*: which clients may come, and how many.

use std::net::IpAddr;

use relay::Stamp;

use crate::gate::{self, Gates, Held, Limit};
use crate::ranges::Ranges;

const ALLOWED: u32 = 0;
const DENIED: u32 = 1;

/// Compiled access rules: `deny` wins over `allow`, and an empty `allow` allows all.
#[derive(Clone, Debug)]
pub struct Access {
    verdicts: Ranges<Verdict>,
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may come.
    In,
    /// It may come, and was not counted against every limit: there was no room to.
    Uncounted,
    /// The access rules refuse it.
    Denied,
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
        Verdict::Deny => Admission::Denied,
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
    Deny,
}

impl Access {
    /// Compiles the rules of a listener.
    pub fn new(rules: &model::Access) -> Self {
        let allow = rules.allow.iter().map(|rule| (rule.value, ALLOWED));
        let deny = rules.deny.iter().map(|rule| (rule.value, DENIED));
        let allows_all = rules.allow.is_empty();
        let verdicts = Ranges::new(allow.chain(deny), |within| {
            match !within.contains_key(&DENIED) && (allows_all || within.contains_key(&ALLOWED)) {
                true => Verdict::Allow,
                false => Verdict::Deny,
            }
        });
        Self { verdicts }
    }

    /// What the rules say to `client`. A client without an address (unix socket) is let in by
    /// the permissions of the socket's file; rules on addresses say nothing about it.
    pub fn verdict(&self, client: Option<IpAddr>) -> Verdict {
        let Some(client) = client else {
            return Verdict::Allow;
        };
        *self.verdicts.get(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Spanned;

    #[track_caller]
    fn check(allow: &[&str], deny: &[&str], client: &str, expected: Verdict) {
        let ranges = |texts: &[&str]| {
            let range = |text: &&str| Spanned::default_of(text.parse().expect("a legal range"));
            texts.iter().map(range).collect()
        };
        let access = Access::new(&model::Access { allow: ranges(allow), deny: ranges(deny) });
        let client = client.parse().expect("a legal address");
        assert_eq!(access.verdict(Some(client)), expected, "{client}");
    }

    #[test]
    fn no_rules_allow_all() {
        check(&[], &[], "192.0.2.1", Verdict::Allow);
    }

    #[test]
    fn deny_wins_over_allow() {
        check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.0.0.1", Verdict::Allow);
        check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1", Verdict::Deny);
        check(&["10.0.0.0/8"], &["10.0.0.0/7"], "10.0.0.1", Verdict::Deny);
    }

    #[test]
    fn whoever_is_not_allowed_is_denied() {
        check(&["10.0.0.0/8"], &[], "192.0.2.1", Verdict::Deny);
        check(&["10.0.0.0/8"], &[], "2001:db8::1", Verdict::Deny);
        check(&[], &["2001:db8::/32"], "2001:db8::1", Verdict::Deny);
    }
}
