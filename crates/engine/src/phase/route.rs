//! Phase *route*: which pool a session goes to.
//!
//! The routes of a listener are asked in their order, and the first that matches counts; if none
//! does, it is the listener's pool. Of a thousand routes by the client's address only those are
//! looked at whose ranges the client is in, and of those by a host only the ones that name it. The
//! address that the client came to is asked for only where one of these wants to know it.
//!
//! What a client says is there only after a while, so there are three answers: a route, none, or
//! that it cannot be told yet. What was told does not change when more comes.

pub(crate) mod condition;
pub(crate) mod names;
pub(crate) mod seen;

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use model::When;
use wire::Verdict;

use crate::ranges::{Ranges, Within};
use condition::{Around, Condition, Of};
use names::Index;
use seen::{Part, Seen};

/// Which of a listener's pools: its own, or that of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen(u16);

impl Chosen {
    /// The place of the route; `None`: the listener's own pool. Behind those of routes stands the
    /// one for silent clients.
    pub(crate) fn route(self) -> Option<usize> {
        self.0.checked_sub(1).map(usize::from)
    }

    /// The pool for silent clients of a listener with so many routes.
    pub(crate) fn silence(routes: usize) -> Self {
        Self::of(u16::try_from(routes).unwrap_or(u16::MAX - 1))
    }

    fn of(route: u16) -> Self {
        Self(route + 1)
    }
}

const _: () = assert!(model::Route::COUNT_MAX + 1 < u16::MAX as usize, "each fits into `Chosen`");

/// What is known of where a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// Where this route leads.
    Route(Chosen),
    /// No route takes it.
    None,
    /// It depends on what the client says next.
    Wait,
}

/// The routes of a listener, compiled.
#[derive(Debug)]
pub(crate) struct Routes {
    /// What each asks besides what it is found by.
    conditions: Box<[Condition]>,
    /// The routes to look at for a client with this address.
    by_client: Ranges<Arc<Candidates>>,
    /// The same for a client without an address.
    by_nobody: Arc<Candidates>,
    by_sni: Index,
    by_host: Index,
    /// Whether a request for TLS by a PostgreSQL client is granted, since a route asks for what
    /// comes behind it.
    pub(crate) grants_tls_to_postgres: bool,
    /// Whether any of them asks where the client came to: that takes a system call.
    pub(crate) asks_for_address: bool,
}

/// The routes to look at for some clients, in their order. None stands behind one that asks for
/// nothing more.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Candidates {
    all: Box<[u16]>,
    /// Those that are not found by a host.
    plain: Box<[u16]>,
    /// The first that is found by the host of a ClientHello.
    first_by_sni: Option<u16>,
    /// The first that is found by the host of a request.
    first_by_host: Option<u16>,
}

/// What a route is found by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    BySni,
    ByHost,
    Plainly,
}

impl Found {
    fn of(when: &When) -> Self {
        // Of PostgreSQL behind a request for TLS there is no telling before that is answered.
        if !when.sni.is_empty() && Of::Tls.within(when) == Of::Tls {
            Self::BySni
        } else if !when.host.is_empty() {
            Self::ByHost
        } else {
            Self::Plainly
        }
    }
}

impl Candidates {
    fn new(all: Vec<u16>, found: &[Found]) -> Self {
        let is = |kind| move |route: &u16| found[usize::from(*route)] == kind;
        Self {
            plain: all.iter().copied().filter(is(Found::Plainly)).collect(),
            first_by_sni: all.iter().copied().find(is(Found::BySni)),
            first_by_host: all.iter().copied().find(is(Found::ByHost)),
            all: all.into(),
        }
    }
}

impl Routes {
    /// Compiles the conditions of a listener's routes, at most [`model::Route::COUNT_MAX`].
    pub(crate) fn new<'a>(conditions: impl IntoIterator<Item = &'a When>) -> Self {
        let whens: Vec<(u16, &When)> = (0u16..).zip(conditions).collect();
        let found: Vec<_> = whens.iter().map(|(_, when)| Found::of(when)).collect();
        let (mut by_sni, mut by_host) = (Index::default(), Index::default());
        let compiled = whens.iter().map(|(route, when)| {
            let mut rest = When { client: Vec::new(), ..(*when).clone() };
            match found[usize::from(*route)] {
                Found::BySni => by_sni.put(&std::mem::take(&mut rest.sni), *route),
                Found::ByHost => by_host.put(&std::mem::take(&mut rest.host), *route),
                Found::Plainly => {}
            }
            Condition::new(&rest, Of::Tls)
        });
        let conditions: Box<[_]> = compiled.collect();
        let everybody = whens.iter().filter(|(_, when)| when.client.is_empty());
        let everybody: Vec<u16> = everybody.map(|(route, _)| *route).collect();
        let some = whens.iter().flat_map(|(route, when)| {
            when.client.iter().map(|range| (range.value, u32::from(*route)))
        });
        // Many pieces have the same list.
        let mut known: HashSet<Arc<Candidates>> = HashSet::new();
        let mut to_look_at = |within: &Within| {
            let mut routes: Vec<u16> =
                within.keys().filter_map(|route| u16::try_from(*route).ok()).collect();
            routes.extend(&everybody);
            routes.sort_unstable();
            let is_certain = |route: &u16| {
                let route = usize::from(*route);
                found[route] == Found::Plainly && conditions[route].is_empty()
            };
            let certain = routes.iter().position(is_certain);
            routes.truncate(certain.map_or(routes.len(), |at| at + 1));
            let candidates = Candidates::new(routes, &found);
            if let Some(known) = known.get(&candidates) {
                return Arc::clone(known);
            }
            let candidates = Arc::new(candidates);
            known.insert(Arc::clone(&candidates));
            candidates
        };
        let by_nobody = to_look_at(&Within::new());
        let by_client =
            Ranges::<Arc<Candidates>>::new(some.collect::<Vec<(IpNet, u32)>>(), to_look_at);
        let grants_tls_to_postgres = conditions.iter().any(Condition::asks_for_tls_of_postgres);
        let asks_for_address = conditions.iter().any(Condition::asks_for_address);
        Self {
            conditions,
            by_client,
            by_nobody,
            by_sni,
            by_host,
            grants_tls_to_postgres,
            asks_for_address,
        }
    }

    /// The first route that matches.
    pub(crate) fn decide(&self, around: &Around<'_>, seen: &Seen<'_>) -> Routed {
        let candidates = match around.client {
            Some(client) => self.by_client.get(client),
            None => &self.by_nobody,
        };
        let mut found = Vec::new();
        // The first of those of which it is not known yet whether they match.
        let mut unsure: Option<u16> = None;
        let mut wait_for = |first: Option<u16>| {
            unsure = unsure.into_iter().chain(first).min();
        };
        if candidates.first_by_sni.is_some() {
            match seen.hello() {
                Part::Known(hello) => {
                    if let Some(name) = &hello.server_name {
                        self.by_sni.find(name, &mut found);
                    }
                }
                Part::Awaited => wait_for(candidates.first_by_sni),
                Part::Absent => {}
            }
        }
        if candidates.first_by_host.is_some() {
            match seen.request() {
                Part::Known(request) => {
                    if let Some(name) = request.host.and_then(names::host) {
                        self.by_host.find(&name, &mut found);
                    }
                }
                Part::Awaited => wait_for(candidates.first_by_host),
                Part::Absent => {}
            }
        }
        found.retain(|route| candidates.all.binary_search(route).is_ok());
        found.sort_unstable();
        found.dedup();
        for route in merged(&candidates.plain, &found) {
            if unsure.is_some_and(|unsure| unsure < route) {
                return Routed::Wait;
            }
            match self.conditions[usize::from(route)].test(around, seen) {
                Verdict::Yes => return Routed::Route(Chosen::of(route)),
                Verdict::Maybe => return Routed::Wait,
                Verdict::No => {}
            }
        }
        if unsure.is_some() { Routed::Wait } else { Routed::None }
    }
}

/// Two sorted lists as one.
fn merged(one: &[u16], other: &[u16]) -> impl Iterator<Item = u16> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if a <= b => one.next().copied(),
        (_, Some(_)) => other.next().copied(),
        (_, None) => one.next().copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use condition::Moment;
    use model::Spanned;
    use model::route::pattern::NamePattern;
    use seen::Answered;
    use std::cell::Cell;
    use std::net::SocketAddr;

    fn when(client: &[&str], address: &[&str], port: &[u16]) -> When {
        let range = |text: &&str| Spanned::default_of(text.parse().expect("a legal range"));
        When {
            client: client.iter().map(range).collect(),
            address: address.iter().map(|text| text.parse().expect("a legal address")).collect(),
            port: port.to_vec(),
            ..When::default()
        }
    }

    fn routes(conditions: &[When]) -> Routes {
        Routes::new(conditions)
    }

    fn decide(
        routes: &Routes,
        client: &str,
        here: &dyn Fn() -> Option<SocketAddr>,
        seen: &Seen<'_>,
    ) -> Routed {
        let now = || Moment { weekday: 0, minute: 600 };
        routes.decide(&Around::new(client.parse().ok(), here, &now), seen)
    }

    /// Checks which route is chosen, and whether the address had to be asked for.
    #[track_caller]
    fn check(routes: &Routes, client: &str, here: &str, expected: Option<usize>, asks: bool) {
        let asked = Cell::new(false);
        let here = || {
            asked.set(true);
            here.parse().ok()
        };
        let seen = Seen::of_stream(b"", Answered::default(), false);
        let decision = decide(routes, client, &here, &seen);
        let route = match decision {
            Routed::Route(chosen) => chosen.route(),
            Routed::None => None,
            Routed::Wait => panic!("nothing depends on what the client says"),
        };
        assert_eq!((route, asked.get()), (expected, asks), "{client}");
    }

    #[test]
    fn the_first_that_matches_counts() {
        let routes = routes(&[
            when(&["10.1.0.0/16", "2001:db8::/32"], &[], &[]),
            when(&["10.0.0.0/8"], &["127.0.0.2"], &[8081, 8082]),
            when(&["10.0.0.0/8"], &[], &[]),
            when(&["10.2.0.0/16"], &[], &[]),
            when(&[], &[], &[9000]),
        ]);
        check(&routes, "10.1.2.3", "127.0.0.2:8081", Some(0), false);
        check(&routes, "2001:db8::7", "[::1]:1", Some(0), false);
        check(&routes, "10.2.0.1", "127.0.0.2:8082", Some(1), true);
        check(&routes, "10.2.0.1", "127.0.0.2:8083", Some(2), true);
        check(&routes, "10.2.0.1", "127.0.0.3:8081", Some(2), true);
        check(&routes, "192.0.2.1", "127.0.0.2:9000", Some(4), true);
        check(&routes, "192.0.2.1", "127.0.0.2:8081", None, true);
        check(&routes, "no address", "no address", None, true);
    }

    #[test]
    fn nothing_is_asked_without_routes() {
        check(&routes(&[]), "10.0.0.1", "127.0.0.1:1", None, false);
        check(&routes(&[]), "no address", "127.0.0.1:1", None, false);
        check(&routes(&[when(&["::/0"], &[], &[])]), "10.0.0.1", "127.0.0.1:1", None, false);
    }

    #[test]
    fn of_a_thousand_routes_few_are_looked_at() {
        let conditions: Vec<_> = (0..1000)
            .map(|n| when(&[&format!("10.{}.{}.0/24", n / 256, n % 256)], &[], &[]))
            .collect();
        let routes = routes(&conditions);
        for n in 0..1000 {
            check(&routes, &format!("10.{}.{}.7", n / 256, n % 256), "", Some(n), false);
        }
        check(&routes, "10.200.0.1", "", None, false);
        let client = "10.1.0.9".parse().expect("a legal address");
        assert_eq!(routes.by_client.get(client).all.len(), 1);
    }

    fn named(sni: &[&str], host: &[&str]) -> When {
        let names = |names: &[&str]| {
            names.iter().map(|name| NamePattern::parse(name).expect("a legal name")).collect()
        };
        When { sni: names(sni), host: names(host), ..When::default() }
    }

    /// Checks what is decided after each byte of `text`, and when nothing more comes: `w` to wait,
    /// `-` for no route, a digit for one.
    #[track_caller]
    fn check_bytes(routes: &Routes, text: &str, expected: &str) {
        let shown = |seen: &Seen<'_>| match decide(routes, "10.0.0.1", &|| None, seen) {
            Routed::Route(chosen) => format!("{}", chosen.route().unwrap_or_default()),
            Routed::None => "-".to_owned(),
            Routed::Wait => "w".to_owned(),
        };
        let seen =
            |end, is_all| Seen::of_stream(&text.as_bytes()[..end], Answered::default(), is_all);
        let mut decisions: String = (0..=text.len()).map(|end| shown(&seen(end, false))).collect();
        while decisions.chars().rev().take(2).collect::<HashSet<_>>().len() == 1
            && decisions.len() > 1
        {
            decisions.pop();
        }
        let last = shown(&seen(text.len(), true));
        assert_eq!(format!("{decisions} {last}"), expected, "{text:?}");
    }

    #[test]
    fn what_is_not_told_yet_is_waited_for() {
        let speaks = |protocol| When { protocol: vec![protocol], ..When::default() };
        let routes = routes(&[
            named(&["*.a.example"], &[]),
            speaks(model::Protocol::Ssh),
            named(&[], &["web.example"]),
            speaks(model::Protocol::Http),
        ]);
        check_bytes(&routes, "SSH-2.0", "wwww1 1");
        check_bytes(&routes, "GET / ", "w -");
        let waits = "w".repeat(24);
        check_bytes(&routes, "GET / HTTP/1.0\r\nX: a\r\n\r\n", &format!("{waits}3 3"));
        let text = "GET / HTTP/1.0\r\nHost: web.example\r\n\r\n";
        check_bytes(&routes, text, &format!("{}2 2", "w".repeat(text.len())));
        check_bytes(&routes, "\0", "w- -");
        check_bytes(&routes, "", "w -");
    }

    #[test]
    fn a_route_that_matches_does_not_wait_for_those_behind_it() {
        let routes = routes(&[when(&["10.0.0.0/8"], &[], &[]), named(&["a.example"], &[])]);
        check_bytes(&routes, "", "0 0");
        let seen = Seen::of_stream(b"", Answered::default(), false);
        assert_eq!(decide(&routes, "192.0.2.1", &|| None, &seen), Routed::Wait);
        let of_others = Routes::new(&[When {
            client: when(&["192.0.2.0/24"], &[], &[]).client,
            ..named(&["a.example"], &[])
        }]);
        check_bytes(&of_others, "", "- -");
    }

    #[test]
    fn of_ten_thousand_hosts_one_is_looked_at() {
        let hosts = |route: usize| -> Vec<String> {
            (0..5).map(|n| format!("h{}.example", 5 * route + n)).collect()
        };
        let conditions: Vec<_> = (0..2_000)
            .map(|route| {
                let hosts = hosts(route);
                named(&[], &hosts.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let routes = routes(&conditions);
        let candidates = &routes.by_nobody;
        assert!(candidates.plain.is_empty(), "none is asked in turn");
        for host in [0, 4_999, 9_999] {
            let text = format!("GET / HTTP/1.1\r\nHost: h{host}.example\r\n\r\n");
            let seen = Seen::of_stream(text.as_bytes(), Answered::default(), false);
            let mut found = Vec::new();
            routes.by_host.find(&format!("h{host}.example"), &mut found);
            assert_eq!(found.len(), 1);
            let decision = decide(&routes, "10.0.0.1", &|| None, &seen);
            assert_eq!(decision, Routed::Route(Chosen::of(found[0])));
            assert_eq!(usize::from(found[0]), host / 5);
        }
    }

    #[test]
    fn hosts_keep_the_order_of_their_routes() {
        let routes = routes(&[
            named(&[], &["*.b.example"]),
            named(&[], &["a.b.example"]),
            named(&[], &["*"]),
        ]);
        for (host, expected) in [("a.b.example", "0"), ("b.example", "2")] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let waits = "w".repeat(text.len());
            check_bytes(&routes, &text, &format!("{waits}{expected} {expected}"));
        }
    }
}
