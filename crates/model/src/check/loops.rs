//! A session that comes back to a listener it has passed would go round until descriptors run out.

use std::collections::{HashMap, HashSet};

use crate::address::{BackendAddress, Bind};
use crate::config::{Config, Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

pub(super) fn check(config: &Config, faults: &mut Vec<Diagnostic>) {
    let mut told = HashSet::new();
    // What comes by UDP goes on by UDP, and all else by streams.
    for is_udp in [false, true] {
        rounds(config, &Ways::of(config, is_udp), &mut told, faults);
    }
}

fn rounds(
    config: &Config,
    ways: &Ways<'_>,
    told: &mut HashSet<*const BackendAddress>,
    faults: &mut Vec<Diagnostic>,
) {
    for start in 0..config.listeners.len() {
        for way in ways.from(start).filter(|way| way.to == start) {
            if told.insert(std::ptr::from_ref(way.target)) {
                faults.push(to_itself(way));
            }
        }
    }
    // Depth first; where a way leads to a listener that the walk has come through, it is a loop.
    let mut state = vec![State::New; config.listeners.len()];
    for start in 0..config.listeners.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state[start] == State::New {
            state[start] = State::OnPath;
            path.push((start, 0));
        }
        while let Some((at, next)) = path.last_mut() {
            let Some(way) = ways.from(*at).nth(*next) else {
                state[*at] = State::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match state[way.to] {
                State::New => {
                    state[way.to] = State::OnPath;
                    path.push((way.to, 0));
                }
                State::OnPath if way.to != *at => {
                    if told.insert(std::ptr::from_ref(way.target)) {
                        let begin = path.iter().position(|(at, _)| *at == way.to).unwrap_or(0);
                        let round = path[begin..].iter().map(|(at, _)| &config.listeners[*at]);
                        faults.push(round_about(way, round.collect()));
                    }
                }
                State::OnPath | State::Done => {}
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnPath,
    Done,
}

/// What a pool connects to, where that is the bind of a listener.
struct Way<'a> {
    target: &'a BackendAddress,
    span: Option<Span>,
    to: usize,
}

/// All ways from listeners to listeners.
struct Ways<'a> {
    by_pool: HashMap<&'a str, Vec<Way<'a>>>,
    pools: Vec<Vec<&'a str>>,
}

impl<'a> Ways<'a> {
    fn of(config: &'a Config, is_udp: bool) -> Self {
        let mut by_port: HashMap<Option<u16>, Vec<(usize, &Bind)>> = HashMap::new();
        for (listener, bind) in config
            .listeners
            .iter()
            .enumerate()
            .flat_map(|(at, listener)| listener.bind.iter().map(move |bind| (at, &bind.value)))
            .filter(|(_, bind)| bind.is_udp() == is_udp)
        {
            by_port.entry(bind.port()).or_default().push((listener, bind));
        }
        let mut by_pool: HashMap<&str, Vec<Way<'_>>> = HashMap::new();
        for pool in &config.pools {
            let ways = by_pool.entry(&pool.name.value).or_default();
            for (target, span) in dialled(pool) {
                let binds = by_port.get(&port(target)).into_iter().flatten();
                let reached = binds.filter(|(_, bind)| reaches(target, bind));
                ways.extend(reached.map(|(to, _)| Way { target, span, to: *to }));
            }
        }
        let pools = config.listeners.iter().map(|listener| {
            let goes_on = listener.bind.iter().any(|bind| bind.value.is_udp() == is_udp);
            let pools = listener.pools().filter(|_| goes_on);
            let mut pools: Vec<_> = pools.map(|pool| &*pool.value).collect();
            pools.sort_unstable();
            pools.dedup();
            pools
        });
        Self { by_pool, pools: pools.collect() }
    }

    /// The ways that begin at a listener.
    fn from(&self, listener: usize) -> impl Iterator<Item = &Way<'a>> {
        let pools = self.pools[listener].iter().filter_map(|pool| self.by_pool.get(pool));
        pools.flatten()
    }
}

fn port(address: &BackendAddress) -> Option<u16> {
    match address {
        BackendAddress::Ip(address) => Some(address.port()),
        BackendAddress::Name { port, .. } => Some(*port),
        BackendAddress::Unix(_) | BackendAddress::Original | BackendAddress::Requested => None,
    }
}

/// Whether connecting to `address` arrives at `bind`, as far as can be told without looking.
fn reaches(address: &BackendAddress, bind: &Bind) -> bool {
    match (address, bind) {
        (BackendAddress::Unix(to), Bind::Unix(at)) => to == at,
        (BackendAddress::Ip(to), Bind::Tcp { address, port } | Bind::Udp { address, port }) => {
            to.port() == *port
                && match address {
                    Some(at) => {
                        *at == to.ip()
                            || at.is_unspecified()
                                && to.ip().is_loopback()
                                && at.is_ipv4() == to.is_ipv4()
                    }
                    None => to.ip().is_loopback() || to.ip().is_unspecified(),
                }
        }
        (
            BackendAddress::Name { host, port: to },
            Bind::Tcp { address, port } | Bind::Udp { address, port },
        ) => host == "localhost" && to == port && address.is_none_or(|at| at.is_loopback()),
        _ => false,
    }
}

/// What sessions of `pool` connect to: its backends, or the proxy before them.
pub(super) fn dialled(
    pool: &Pool,
) -> impl Iterator<Item = (&BackendAddress, Option<Span>)> + use<'_> {
    let backends = pool.backends.iter().filter(|_| pool.via.is_empty());
    let backends = backends.map(|backend| (&backend.address.value, backend.address.span));
    backends.chain(pool.via.first().map(|via| (&via.value.address, via.span)))
}

fn to_itself(way: &Way<'_>) -> Diagnostic {
    let message = format!("`{}` is this listener itself", way.target);
    Diagnostic::new(Code::Loop, way.span, message)
        .label("leads back to the listener")
        .help("name the address of the service, not the one replug listens on")
}

/// `round`: the listeners that a session goes through; the backend leads to the first of them.
fn round_about(way: &Way<'_>, round: Vec<&Listener>) -> Diagnostic {
    let names = round.iter().chain(round.first()).map(|listener| &*listener.name);
    let names = names.collect::<Vec<_>>().join(" to ");
    let message = format!("`{}` leads round in a circle", way.target);
    let fault = Diagnostic::new(Code::Loop, way.span, message)
        .label(format!("from {names}"))
        .help("name the address of the service, not the one replug listens on");
    let first = round.first().and_then(|listener| Some((listener.bind.first()?.span?, listener)));
    match first {
        Some((span, listener)) => fault.related(span, format!("{} listens here", listener.name)),
        None => fault,
    }
}
