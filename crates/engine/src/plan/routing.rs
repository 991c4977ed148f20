//! Where the sessions of a listener go, other than to its own pool.

use std::sync::Arc;

use super::Pool;
use crate::phase::route::{Chosen, Routes};

/// The routes of a listener with their pools.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) routes: Routes,
    /// Where those of each route go; behind them the pool for silent clients.
    pub(super) pools: Box<[Arc<Pool>]>,
    /// What records call each of them.
    names: Box<[Arc<str>]>,
    /// Whether sessions that no route takes are turned away.
    pub(crate) closes_others: bool,
    /// Where clients go that say nothing.
    pub(crate) on_silence: Option<Chosen>,
    /// How much of what a client says is looked at, in bytes.
    pub(crate) sniff_bytes: usize,
    /// Whether a route asks for that.
    pub(crate) sniffs: bool,
}

impl Routing {
    /// `pool` finds pools by their names.
    pub(super) fn new(listener: &model::Listener, pool: impl Fn(&str) -> Arc<Pool>) -> Self {
        let routes = &listener.routes;
        let pools = routes.iter().map(|route| &route.pool).chain(&listener.on_silence);
        let silence = listener.on_silence.as_ref();
        Self {
            routes: Routes::new(routes.iter().map(|route| &route.when.value)),
            pools: pools.map(|name| pool(&name.value)).collect(),
            names: names(listener).collect(),
            closes_others: listener.pool.is_none(),
            on_silence: silence.map(|_| Chosen::silence(routes.len())),
            sniff_bytes: usize::try_from(listener.sniff_bytes.get()).unwrap_or(usize::MAX),
            sniffs: listener.sniffs(),
        }
    }

    /// What records call the route that was chosen.
    pub(crate) fn name_of(&self, chosen: Chosen) -> Option<Arc<str>> {
        chosen.route().and_then(|route| self.names.get(route)).cloned()
    }
}

fn names(listener: &model::Listener) -> impl Iterator<Item = Arc<str>> {
    let named = (1..).zip(&listener.routes).map(|(place, route): (usize, _)| match &route.name {
        Some(name) => name.as_str().into(),
        None => place.to_string().into(),
    });
    named.chain(listener.on_silence.iter().map(|_| "on_silence".into()))
}
