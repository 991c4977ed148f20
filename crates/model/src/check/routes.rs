//! Routes that no session comes to: an earlier one takes them all, or none can be like that.

mod possible;

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;

use super::ranges::{Covers, wider};
use crate::config::Listener;
use crate::diagnostic::{Code, Diagnostic};
use crate::route::pattern::NamePattern;
use crate::route::{Route, When};

pub(super) fn check(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let mut earlier = Earlier::default();
    for route in &listener.routes {
        if let Some(fault) = possible::fault(listener, route) {
            faults.push(fault);
            continue;
        }
        if let Some(cover) = earlier.cover(route) {
            faults.push(shadowed(cover, route));
        }
        earlier.put(route);
    }
    silence(listener, faults);
    nobody(listener, faults);
}

/// A listener that turns everybody away.
fn nobody(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    if listener.pool.is_none() && listener.routes.is_empty() && listener.script.is_none() {
        let span = listener.bind.first().and_then(|bind| bind.span);
        let message = format!("listener `{}` leads nowhere", listener.name);
        let fault = Diagnostic::new(Code::KeyMissing, span, message);
        faults.push(
            fault
                .label("every client is turned away")
                .help("write `to = \"10.0.0.11:80\"`, `pool = \"NAME\"`, a route, or a script"),
        );
    }
}

/// A pool for silent clients where nobody waits for them to speak.
fn silence(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(pool) = &listener.on_silence else { return };
    let only_datagrams =
        !listener.bind.is_empty() && listener.bind.iter().all(|bind| bind.value.is_udp());
    if (listener.sniffs() || listener.script.is_some()) && !only_datagrams {
        return;
    }
    let message = format!("no session ever goes to `{}` by silence", pool.value);
    let help = match only_datagrams {
        true => "a flow begins with what its client says: leave it out",
        false => "it is for listeners whose routes ask what clients say: `when = { sni = ... }`",
    };
    let fault = Diagnostic::new(Code::Conflict, pool.span, message);
    faults.push(fault.label("nobody waits for clients to speak").help(help));
}

/// Routes, to be found by what a later one must have in common with one that covers it.
#[derive(Default)]
struct Earlier<'a> {
    /// Those that ask for a host in the ClientHello, by each that they name.
    by_sni: HashMap<NamePattern, Vec<&'a Route>>,
    /// Those that ask for the host of a request, and for none in the ClientHello.
    by_host: HashMap<NamePattern, Vec<&'a Route>>,
    /// Of the others, those that ask for ranges of clients.
    by_range: HashMap<IpNet, Vec<&'a Route>>,
    others: Vec<&'a Route>,
}

impl<'a> Earlier<'a> {
    fn put(&mut self, route: &'a Route) {
        let when = &route.when.value;
        if !when.sni.is_empty() {
            for name in &when.sni {
                self.by_sni.entry(name.clone()).or_default().push(route);
            }
        } else if !when.host.is_empty() {
            for name in &when.host {
                self.by_host.entry(name.clone()).or_default().push(route);
            }
        } else if when.client.is_empty() {
            self.others.push(route);
        } else {
            for range in &when.client {
                self.by_range.entry(range.value.trunc()).or_default().push(route);
            }
        }
    }

    /// One that takes every session of `route`.
    fn cover(&self, route: &Route) -> Option<&'a Route> {
        let when = &route.when.value;
        let sni = when.sni.first().into_iter().flat_map(NamePattern::wider);
        let sni = sni.filter_map(|name| self.by_sni.get(&name)).flatten();
        let host = when.host.first().into_iter().flat_map(NamePattern::wider);
        let host = host.filter_map(|name| self.by_host.get(&name)).flatten();
        let ranges = when.client.first().into_iter().flat_map(|range| wider(range.value));
        let ranges = ranges.filter_map(|range| self.by_range.get(&range)).flatten();
        let near = sni.chain(host).chain(ranges).chain(&self.others);
        near.copied().find(|earlier| covers(&earlier.when.value, when))
    }
}

/// Whether every session of `narrow` is one of `wide`, as far as can be told.
fn covers(wide: &When, narrow: &When) -> bool {
    all_in(&wide.address, &narrow.address, PartialEq::eq)
        && all_in(&wide.port, &narrow.port, PartialEq::eq)
        && all_in(&wide.time, &narrow.time, PartialEq::eq)
        && all_in(&wide.protocol, &narrow.protocol, PartialEq::eq)
        && all_in(&wide.alpn, &narrow.alpn, PartialEq::eq)
        && all_in(&wide.tls_version, &narrow.tls_version, PartialEq::eq)
        && all_in(&wide.client_cert, &narrow.client_cert, |wide, narrow| wide.covers(narrow))
        && all_in(&wide.san, &narrow.san, |wide, narrow| wide.covers(narrow))
        && all_in(&wide.path, &narrow.path, |wide, narrow| wide.covers(narrow))
        && all_in(&wide.method, &narrow.method, PartialEq::eq)
        && all_in(&wide.header, &narrow.header, |wide, narrow| wide.covers(narrow))
        && all_in(&wide.user, &narrow.user, PartialEq::eq)
        && all_in(&wide.database, &narrow.database, PartialEq::eq)
        && all_in(&wide.git_repository, &narrow.git_repository, |wide, narrow| wide.covers(narrow))
        && all_in(&wide.prefix, &narrow.prefix, |wide, narrow| {
            narrow.bytes().starts_with(wide.bytes())
        })
        && all_in(&wide.regex, &narrow.regex, PartialEq::eq)
        && same(&wide.not, &narrow.not)
        && same(&wide.any, &narrow.any)
        && same(&wide.all, &narrow.all)
        && clients(wide, narrow)
        && names(&wide.sni, &narrow.sni)
        && names(&wide.host, &narrow.host)
}

/// Whether each of `narrow` is within one of `wide`, which says nothing if it is empty.
fn all_in<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    let is_within = |narrow: &T| wide.iter().any(|wide| covers(wide, narrow));
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(is_within)
}

fn same(wide: &[When], narrow: &[When]) -> bool {
    wide.is_empty() || wide == narrow
}

fn clients(wide: &When, narrow: &When) -> bool {
    if wide.client.is_empty() {
        return true;
    }
    let ranges = Covers::of(wide.client.iter().map(|range| (range.value, range.span)));
    !narrow.client.is_empty()
        && narrow.client.iter().all(|range| ranges.covering(range.value).is_some())
}

fn names(wide: &[NamePattern], narrow: &[NamePattern]) -> bool {
    if wide.is_empty() {
        return true;
    }
    let known: HashSet<_> = wide.iter().collect();
    let is_within = |name: &NamePattern| name.wider().any(|wider| known.contains(&wider));
    !narrow.is_empty() && narrow.iter().all(is_within)
}

fn shadowed(earlier: &Route, route: &Route) -> Diagnostic {
    let message = format!("no session comes to this route to `{}`", route.pool.value);
    let fault = Diagnostic::new(Code::RouteShadowed, route.when.span, message)
        .label("never reached")
        .help("the first route that matches counts: put the narrower one first");
    match earlier.when.span {
        Some(span) => fault.related(span, "this one takes them all"),
        None => fault,
    }
}
