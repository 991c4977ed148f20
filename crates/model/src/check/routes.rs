//! A route that no session comes to, because an earlier one takes them all.

use std::collections::HashMap;

use ipnet::IpNet;

use super::ranges::{Covers, wider};
use crate::config::{Listener, Route, When};
use crate::diagnostic::{Code, Diagnostic};

pub(super) fn check(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    // Only routes that have the first range of a route within one of theirs can cover it.
    let mut by_range: HashMap<IpNet, Vec<&Route>> = HashMap::new();
    let mut everybody: Vec<&Route> = Vec::new();
    for route in &listener.routes {
        let first = route.when.value.client.first();
        let near = first.into_iter().flat_map(|range| wider(range.value));
        let near = near.filter_map(|range| by_range.get(&range)).flatten();
        let cover =
            near.chain(&everybody).find(|earlier| covers(&earlier.when.value, &route.when.value));
        if let Some(earlier) = cover {
            faults.push(shadowed(earlier, route));
        }
        for range in &route.when.value.client {
            by_range.entry(range.value.trunc()).or_default().push(route);
        }
        if route.when.value.client.is_empty() {
            everybody.push(route);
        }
    }
}

/// Whether every session of `narrow` is one of `wide`.
fn covers(wide: &When, narrow: &When) -> bool {
    fn all_in<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
        wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|item| wide.contains(item))
    }
    let clients = || {
        let ranges = Covers::of(wide.client.iter().map(|range| (range.value, range.span)));
        wide.client.is_empty()
            || !narrow.client.is_empty()
                && narrow.client.iter().all(|range| ranges.covering(range.value).is_some())
    };
    all_in(&wide.address, &narrow.address) && all_in(&wide.port, &narrow.port) && clients()
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
