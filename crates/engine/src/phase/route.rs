//! Phase *route*: which pool a session goes to.
//!
//! The routes of a listener are asked in their order, and the first that matches counts; if none
//! does, it is the listener's pool. Of a thousand routes by the client's address only those are
//! looked at whose ranges the client is in. The address that the client came to is asked for
//! only where one of these wants to know it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use model::When;

use crate::ranges::{Ranges, Within};

/// Which of a listener's pools: its own, or that of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen(u16);

impl Chosen {
    /// The place of the route; `None`: the listener's own pool.
    pub(crate) fn route(self) -> Option<usize> {
        self.0.checked_sub(1).map(usize::from)
    }

    fn of(route: u16) -> Self {
        Self(route + 1)
    }
}

const _: () = assert!(model::Route::COUNT_MAX < u16::MAX as usize, "a route fits into `Chosen`");

/// The routes of a listener, compiled.
#[derive(Debug)]
pub(crate) struct Routes {
    /// What each asks of the address that the client came to.
    arrivals: Box<[Arrived]>,
    /// The routes to look at for a client with this address, in their order. None stands behind
    /// one that asks for nothing more.
    by_client: Ranges<Arc<[u16]>>,
    /// The same for a client without an address.
    by_nobody: Arc<[u16]>,
}

/// What a route asks of the address that the client came to.
#[derive(Debug)]
struct Arrived {
    address: Box<[IpAddr]>,
    port: Box<[u16]>,
}

impl Arrived {
    fn is_anywhere(&self) -> bool {
        self.address.is_empty() && self.port.is_empty()
    }

    fn matches(&self, here: SocketAddr) -> bool {
        (self.address.is_empty() || self.address.contains(&here.ip()))
            && (self.port.is_empty() || self.port.contains(&here.port()))
    }
}

impl Routes {
    /// Compiles the conditions of a listener's routes, at most [`model::Route::COUNT_MAX`].
    pub(crate) fn new<'a>(conditions: impl IntoIterator<Item = &'a When>) -> Self {
        let conditions: Vec<_> = (0u16..).zip(conditions).collect();
        let arrivals: Box<[_]> = conditions
            .iter()
            .map(|(_, when)| Arrived {
                address: when.address.iter().copied().collect(),
                port: when.port.iter().copied().collect(),
            })
            .collect();
        let everybody = conditions.iter().filter(|(_, when)| when.client.is_empty());
        let everybody: Vec<u16> = everybody.map(|(route, _)| *route).collect();
        let some = conditions.iter().flat_map(|(route, when)| {
            when.client.iter().map(|range| (range.value, u32::from(*route)))
        });
        // Many pieces have the same list.
        let mut known: HashSet<Arc<[u16]>> = HashSet::new();
        let mut to_look_at = |within: &Within| {
            let mut routes: Vec<u16> =
                within.keys().filter_map(|route| u16::try_from(*route).ok()).collect();
            routes.extend(&everybody);
            routes.sort_unstable();
            let certain =
                routes.iter().position(|route| arrivals[usize::from(*route)].is_anywhere());
            routes.truncate(certain.map_or(routes.len(), |at| at + 1));
            if let Some(known) = known.get(&*routes) {
                return Arc::clone(known);
            }
            let routes: Arc<[u16]> = routes.into();
            known.insert(Arc::clone(&routes));
            routes
        };
        let by_nobody = to_look_at(&Within::new());
        let by_client = Ranges::<Arc<[u16]>>::new(some.collect::<Vec<(IpNet, u32)>>(), to_look_at);
        Self { arrivals, by_client, by_nobody }
    }

    /// The first route that matches. `here` tells the address that the client came to; `None`:
    /// there is none, as on a unix socket.
    pub(crate) fn choose(
        &self,
        client: Option<IpAddr>,
        here: impl FnOnce() -> Option<SocketAddr>,
    ) -> Chosen {
        let routes = client.map_or(&self.by_nobody, |client| self.by_client.get(client));
        let mut here = Asked::NotYet(here);
        for &route in routes.iter() {
            let arrived = &self.arrivals[usize::from(route)];
            if arrived.is_anywhere() || here.get().is_some_and(|here| arrived.matches(here)) {
                return Chosen::of(route);
            }
        }
        Chosen::default()
    }
}

/// Something that is asked for once, if at all.
enum Asked<F> {
    NotYet(F),
    Answered(Option<SocketAddr>),
}

impl<F: FnOnce() -> Option<SocketAddr>> Asked<F> {
    fn get(&mut self) -> Option<SocketAddr> {
        match std::mem::replace(self, Self::Answered(None)) {
            Self::NotYet(ask) => *self = Self::Answered(ask()),
            answered @ Self::Answered(_) => *self = answered,
        }
        match self {
            Self::Answered(answer) => *answer,
            Self::NotYet(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Spanned;

    fn when(client: &[&str], address: &[&str], port: &[u16]) -> When {
        let range = |text: &&str| Spanned::default_of(text.parse().expect("a legal range"));
        When {
            client: client.iter().map(range).collect(),
            address: address.iter().map(|text| text.parse().expect("a legal address")).collect(),
            port: port.to_vec(),
        }
    }

    fn routes(conditions: &[When]) -> Routes {
        Routes::new(conditions)
    }

    /// Checks which route is chosen, and whether the address had to be asked for.
    #[track_caller]
    fn check(routes: &Routes, client: &str, here: &str, expected: Option<usize>, asks: bool) {
        let mut asked = false;
        let chosen = routes.choose(client.parse().ok(), || {
            asked = true;
            here.parse().ok()
        });
        assert_eq!((chosen.route(), asked), (expected, asks), "{client} at {here}");
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
        assert_eq!(routes.by_client.get(client).len(), 1);
    }
}
