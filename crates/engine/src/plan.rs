//! A configuration compiled to run.
//!
//! A plan does not change; sessions keep the one they began with. What does
//! change while it runs (marks and loads of backends, positions of rotations,
//! memories of clients, answers of name servers) is shared by all shards, in
//! words that are read and written without locks, and is taken over by the plan
//! that comes next.

mod routing;
mod scripted;
mod served;
mod via;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AllDown, BackendAddress, Config, Delay, HttpRequests, Interface, Limits, OnRemoved, Program,
    Refusal, Role, Runtime, ServerName, StartTls, Tcp, Timeouts, Transparent, UnixName, WhenFull,
};
use relay::Tick;
use tls::{Loaded, Server};

use crate::authority::{Authority, Authorize};
use crate::balance::{BackendIndex, Member, Policy};
use crate::bandwidth::{Bandwidth, Shared};
use crate::chance::text_key;
use crate::ftp::Ftp;
use crate::gate::{Gate, Gates, Scope};
use crate::load::Load;
use crate::mark::{Carries, Mark};
use crate::name::Name;
use crate::phase::admit::{Access, Rules};
use crate::phase::proxy_header::{Accepts, Sends};
use crate::phase::route::Chosen;
use crate::phase::starttls::Clear;
use crate::queue::Queue;
use crate::script::Scripts;
use crate::seldom::Seldom;
use crate::socket::source::Sources;
use crate::sticky::{BackendNumber, StickyTable};
use routing::Routing;
pub(crate) use scripted::Scripted;
pub(crate) use served::{ByName, Served};
pub use via::{Hop, Via};

/// What was read for a configuration from files of their own.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The scripts of its listeners.
    pub scripts: &'a Scripts,
    /// Certificates and keys.
    pub tls: &'a Loaded,
}

/// Everything that sessions are run by.
#[derive(Debug)]
pub struct Plan {
    /// In the order of the configuration.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order of the configuration.
    pub pools: Vec<Arc<Pool>>,
    /// The limits of the whole process, those of [`crate::ceiling`] apart.
    pub gate: Arc<Gate>,
    /// The host names of all backends.
    pub names: Vec<Arc<Name>>,
    /// The programs that decide about clients.
    pub authorities: Vec<Arc<Authority>>,
    /// How the work is done; what is only for a start is as it was then.
    pub runtime: Runtime,
    /// How fast all sessions together may move bytes.
    pub bandwidth: Shared,
}

/// A listener, as its sessions need it.
#[derive(Debug)]
pub struct Listener {
    /// How records call it.
    pub name: Arc<str>,
    /// Whose PROXY headers are taken; `None`: clients come by themselves.
    pub proxy_protocol: Option<Accepts>,
    /// Which clients may come.
    pub access: Access,
    /// Who decides about those; `None`: nobody else.
    pub authorize: Option<Authorize>,
    /// How many, here and in the whole process.
    pub gates: Gates,
    /// Where its sessions go, unless a route or a script says otherwise. If those that no route
    /// takes are turned away, it is the pool of the first route, and nobody goes there; without
    /// routes it is an empty one.
    pub pool: Arc<Pool>,
    /// Which sessions go elsewhere, and where.
    pub(crate) routing: Routing,
    /// Who decides about sessions that no route takes.
    pub(crate) script: Option<Box<Scripted>>,
    /// How long the phases may take.
    pub timeouts: Timeouts,
    /// Socket options of both sides.
    pub tcp: Tcp,
    /// What a client sees that is not served.
    pub refuse: Refusal,
    /// What becomes of a client beyond the sessions that there may be.
    pub when_full: WhenFull,
    /// How its clients are diverted to it that meant to go elsewhere.
    pub transparent: Option<Transparent>,
    /// What it does if it is a proxy itself.
    pub(crate) proxy: Option<Box<Served>>,
    /// Clients that could not be sent where they meant to go.
    pub(crate) astray: Seldom,
    /// Where it listens, as records show it: as configured; the first place, if there are several.
    pub bind: Arc<str>,
    /// What it carries.
    pub load: Arc<Load>,
    /// How fast its sessions may move bytes.
    pub bandwidth: Bandwidth,
    /// What is done with requests of HTTP; `None`: nobody looks at them.
    pub http: Option<Http>,
    /// How long bytes are kept back.
    pub delay: Delay,
    /// The only network interface by which clients may come.
    pub(crate) interface: Option<Interface>,
    /// What becomes of addresses in its sessions, if they are FTP.
    pub(crate) ftp: Option<Ftp>,
    /// How it speaks TLS, if it does.
    pub tls: Option<Arc<Server>>,
    /// What its clients say before TLS, if they begin in the clear.
    pub(crate) starttls: Option<Clear>,
}

/// What is done with requests of HTTP.
#[derive(Debug)]
pub struct Http {
    /// Whether they are changed.
    pub requests: HttpRequests,
    /// What the target of each becomes then.
    pub force_url: Option<Arc<str>>,
}

impl From<&model::Http> for Http {
    fn from(http: &model::Http) -> Self {
        let force_url = http.force_url.as_ref().map(|url| url.value.as_str().into());
        Self { requests: http.requests, force_url }
    }
}

/// A pool, as sessions need it.
#[derive(Debug)]
pub struct Pool {
    /// How records call it.
    pub name: Arc<str>,
    /// Its members.
    pub backends: Box<[Backend]>,
    /// Where each of them stands; sorted.
    numbers: Box<[(BackendNumber, BackendIndex)]>,
    /// What the next new backend is called.
    next_number: u32,
    /// Picks among those that serve always.
    pub primaries: Policy,
    /// Picks among those that serve when no primary can.
    pub backups: Policy,
    /// The memory of clients, if it is sticky.
    pub sticky: Option<Arc<StickyTable>>,
    /// How many of them one session tries at the most.
    pub tries: usize,
    /// How long a backend that could not be reached is left alone.
    pub retry_down: Duration,
    /// What becomes of that when all are down.
    pub all_down: AllDown,
    /// How long one that was down takes to get its whole share of sessions.
    pub slow_start: Option<Duration>,
    /// Who waits while all backends that are up are full; `None`: nobody.
    pub queue: Option<Queue>,
    /// What becomes of the sessions of a backend that is removed from it.
    pub on_removed: OnRemoved,
    /// What connections leave from.
    pub source: Option<Sources>,
    /// The proxies before them.
    pub via: Option<Via>,
    /// The header that they get first; `None`: none.
    pub send_proxy: Option<Sends>,
    /// What is said to them in the clear before TLS, if they are spoken to in that.
    pub(crate) starttls: Option<StartTls>,
    /// Whether it was made for one session, and is forgotten with it.
    pub(crate) is_passing: bool,
}

/// A backend, as sessions need it.
#[derive(Debug)]
pub struct Backend {
    /// As configured, for records.
    pub label: Arc<str>,
    /// Where it is reached.
    pub target: Target,
    /// What the memory of clients calls it.
    pub number: BackendNumber,
    /// Whether it can be.
    pub mark: Arc<Mark>,
    /// The same for datagrams: a DNS server, say, may hear them and refuse connections.
    pub datagram_mark: Arc<Mark>,
    /// What it carries.
    pub load: Arc<Load>,
    /// How it is spoken to in TLS, if it is.
    pub(crate) tls: Option<tls::Backend>,
}

/// Where a backend is reached.
#[derive(Debug)]
pub enum Target {
    /// At this address.
    Ip(SocketAddr),
    /// At the addresses of this name, on this port.
    Name(Arc<Name>, u16),
    /// At this unix socket.
    Unix(UnixName),
    /// By the proxy before it, which takes its label for an address.
    Beyond,
    /// Where the client meant to go; by the proxies of its pool, if that has some.
    Original,
    /// Where the client says that it wants to go, likewise.
    Requested,
}

impl Target {
    fn compile(address: &BackendAddress, names: &mut Names<'_>) -> Self {
        match address {
            BackendAddress::Ip(address) => Self::Ip(*address),
            BackendAddress::Name { host, port } => Self::Name(names.get(host), *port),
            BackendAddress::Unix(name) => Self::Unix(name.clone()),
            BackendAddress::Original => Self::Original,
            BackendAddress::Requested => Self::Requested,
        }
    }
}

impl Backend {
    /// Whether it is another one for each client: where that meant to go, or wants to.
    pub(crate) fn is_original(&self) -> bool {
        matches!(self.target, Target::Original | Target::Requested)
    }

    /// Whether it can be reached with what is to be carried.
    pub fn mark(&self, carries: Carries) -> &Mark {
        match carries {
            Carries::Streams => &self.mark,
            Carries::Datagrams => &self.datagram_mark,
        }
    }
}

impl Plan {
    /// Compiles a configuration that has been checked (`model::check`). What `previous` counted
    /// and remembered goes on where it is about the same: listeners and pools are the same by their
    /// names, and backends by their pool and their address.
    ///
    /// # Panics
    /// On a listener or a route whose pool does not exist, and on a listener with a script.
    pub fn compile(config: &Config, previous: Option<&Self>) -> Self {
        let (scripts, tls) = (Scripts::default(), Loaded::default());
        Self::with(config, Material { scripts: &scripts, tls: &tls }, previous)
    }

    /// The same with what was read for it, of which nothing may be missing.
    ///
    /// # Panics
    /// As [`Plan::compile`], and on a listener whose script is not among those of `material`.
    pub fn with(config: &Config, material: Material<'_>, previous: Option<&Self>) -> Self {
        let Material { scripts, tls } = material;
        let mut authorities = Authorities::new(previous.map_or(&[], |plan| &plan.authorities));
        let mut names = Names::new(previous.map_or(&[], |plan| &plan.names));
        let before = previous.iter().flat_map(|plan| &plan.pools);
        let pools_before: HashMap<&str, &Pool> =
            before.map(|pool| (&*pool.name, &**pool)).collect();
        let pools = config.pools.iter().map(|pool| {
            let before = pools_before.get(&*pool.name.value).copied();
            Arc::new(Pool::compile(pool, Some(tls), before, &mut names))
        });
        let pools: Vec<_> = pools.collect();
        let by_name = pools.iter().map(|pool| (Arc::clone(&pool.name), Arc::clone(pool)));
        let by_name: Arc<HashMap<_, _>> = Arc::new(by_name.collect());
        let bandwidth = Shared::new(config.limits.bandwidth, previous.map(|plan| &plan.bandwidth));
        // The sessions of the whole process are counted by their ceiling.
        let process = Limits { sessions: None, ..config.limits };
        let process = Arc::new(Gate::new(&process, previous.map(|plan| &*plan.gate)));
        let access = Arc::new(Rules::new(&config.access));
        let before = previous.iter().flat_map(|plan| &plan.listeners);
        let listeners_before: HashMap<&str, &Listener> =
            before.map(|listener| (&*listener.name, &**listener)).collect();
        let pool = |name: &str| {
            Arc::clone(by_name.get(name).expect("a checked configuration has its pools"))
        };
        let listeners = config.listeners.iter().map(|listener| {
            let before = listeners_before.get(&*listener.name).copied();
            let gate_before = before.map(|before| before.gates.gate(Scope::Listener));
            let gate = Gate::new(&listener.limits, gate_before);
            Arc::new(Listener {
                name: listener.name.as_str().into(),
                authorize: authorities.of(listener),
                proxy_protocol: listener.proxy_protocol.as_ref().map(|it| Accepts::new(&it.value)),
                access: Access::new(&access, &listener.access),
                gates: Gates::new(gate, Arc::clone(&process)),
                pool: match listener.pools().next() {
                    Some(name) => pool(&name.value),
                    None => Arc::new(Pool::of_nobody()),
                },
                script: Scripted::new(listener, scripts, &by_name),
                routing: Routing::new(listener, pool),
                timeouts: listener.timeouts,
                tcp: listener.tcp,
                refuse: listener.refuse,
                when_full: listener.when_full,
                transparent: listener.transparent.as_ref().map(|mode| mode.value),
                proxy: listener.proxy.as_ref().map(|proxy| Served::new(&proxy.value)),
                astray: Seldom::default(),
                bind: shown(listener),
                load: before.map_or_else(Arc::default, |before| Arc::clone(&before.load)),
                bandwidth: Bandwidth::new(
                    &listener.limits,
                    (&config.limits, &bandwidth),
                    before.map(|before| &before.bandwidth),
                ),
                http: listener.http.as_ref().map(|http| Http::from(&http.value)),
                delay: listener.delay,
                interface: listener.interface.as_ref().map(|name| name.value.clone()),
                ftp: listener.ftp.as_ref().map(|ftp| Ftp::new(ftp.value)),
                tls: tls.server(&listener.name).map(Arc::clone),
                starttls: listener.tls.as_ref().and_then(|tls| Clear::new(&tls.value)),
            })
        });
        Self {
            listeners: listeners.collect(),
            names: names.all,
            authorities: authorities.all,
            runtime: config.runtime,
            pools,
            gate: process,
            bandwidth,
        }
    }

    /// Has the sessions end of backends that this plan had and `next` has not, as the pool says
    /// that they were in. Gives the times at which there are such sessions.
    pub fn retire(&self, next: &Self, now: Tick) -> Vec<Tick> {
        let stays: HashSet<*const Load> = next
            .pools
            .iter()
            .flat_map(|pool| &pool.backends)
            .map(|backend| Arc::as_ptr(&backend.load))
            .collect();
        let mut times = Vec::new();
        for pool in &self.pools {
            let end = match pool.on_removed {
                OnRemoved::Keep => continue,
                OnRemoved::Drain(time) => now.after(time),
                OnRemoved::Cut => now,
            };
            let gone = |backend: &&Backend| !stays.contains(&Arc::as_ptr(&backend.load));
            for backend in pool.backends.iter().filter(gone) {
                backend.load.retire(end);
                times.push(end);
            }
        }
        times.sort_unstable();
        times.dedup();
        times
    }
}

impl Listener {
    /// All that sessions may go to.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.pool).chain(&self.routing.pools).map(|pool| &**pool)
    }

    /// Whether a backend gets what clients say as it comes: nothing waits for more of it, or may
    /// refuse it.
    pub(crate) fn hands_on_at_once(&self) -> bool {
        let is_read = self.ftp.is_some() || self.http.is_some();
        !is_read && self.delay.to_backend.is_none() && self.starttls.is_none()
    }

    /// Whether it may take a while until it is known where a session goes, if anywhere.
    pub(crate) fn takes_time(&self) -> bool {
        let decides = self.routing.sniffs || self.script.is_some() || self.proxy.is_some();
        let speaks = self.proxy_protocol.is_some() || self.tls.is_some();
        self.authorize.is_some() || decides || speaks
    }

    /// The pool that was chosen.
    pub(crate) fn pool_of(&self, chosen: Chosen) -> &Arc<Pool> {
        chosen.route().map_or(&self.pool, |route| &self.routing.pools[route])
    }
}

impl Pool {
    fn compile(
        pool: &model::Pool,
        loaded: Option<&Loaded>,
        previous: Option<&Self>,
        names: &mut Names<'_>,
    ) -> Self {
        let members = |role: Role| {
            let members = (0..).map(BackendIndex).zip(&pool.backends);
            let members = members.filter(|(_, backend)| backend.role == role);
            let member = |(index, backend): (_, &model::Backend)| Member {
                index,
                weight: backend.weight,
                key: text_key(&backend.address.value.to_string()),
            };
            Policy::new(pool.balance, &members.map(member).collect::<Vec<_>>())
        };
        let mut known = Known::of(previous);
        let tls = loaded.and_then(|loaded| loaded.backends(&pool.name.value));
        let backends = pool.backends.iter().map(|backend| {
            let label: Arc<str> = backend.address.value.to_string().into();
            let (number, marks, load) = known.take(&label);
            let [mark, datagram_mark] = marks;
            load.take_on(backend.max);
            let before = pool.via.last().map(|via| via.value.protocol);
            let target = Target::behind(&backend.address.value, before, names);
            let tls = tls.map(|tls| tls.backend(host(&backend.address.value).as_ref()));
            Backend { label, target, number, mark, datagram_mark, load, tls }
        });
        let backends: Box<[_]> = backends.collect();
        let mut numbers: Box<[_]> =
            backends.iter().map(|backend| backend.number).zip((0..).map(BackendIndex)).collect();
        numbers.sort_unstable();
        let (primaries, backups) = (members(Role::Primary), members(Role::Backup));
        if let Some(previous) = previous {
            primaries.resume(&previous.primaries);
            backups.resume(&previous.backups);
        }
        let proxies = loaded.map_or(&[][..], |loaded| loaded.proxies(&pool.name.value));
        let via = Via::compile(&pool.via, proxies, names);
        let memory = |sticky| {
            let known = previous.and_then(|pool| pool.sticky.clone());
            let known = known.filter(|table| table.is_for(sticky));
            known.unwrap_or_else(|| Arc::new(StickyTable::new(sticky, Tick::now())))
        };
        Self {
            name: pool.name.value.as_str().into(),
            backends,
            numbers,
            next_number: known.next_number,
            primaries,
            backups,
            sticky: pool.sticky.map(memory),
            tries: pool.tries.map_or(usize::MAX, |tries| tries.get() as usize),
            retry_down: pool.retry_down,
            all_down: pool.all_down,
            slow_start: pool.slow_start,
            queue: pool.queue.as_ref().map(|queue| {
                let before = previous.and_then(|pool| pool.queue.as_ref());
                Queue::new(queue.value, before)
            }),
            on_removed: pool.on_removed,
            source: pool.source.as_ref().map(|source| Sources::new(&source.value)),
            via,
            send_proxy: pool.send_proxy.as_ref().map(|send| Sends::new(&send.value)),
            starttls: pool.tls.as_ref().and_then(|tls| tls.value.starttls),
            is_passing: false,
        }
    }

    /// Its first backend, as configured.
    pub fn target(&self) -> Arc<str> {
        self.backends.first().map(|backend| backend.label.clone()).unwrap_or_default()
    }

    /// Sessions of all its backends.
    pub fn sessions(&self) -> u32 {
        self.backends.iter().map(|backend| backend.load.sessions()).sum()
    }

    /// Takes back one [`Load::enter`] of a member, and tells those who wait for a place.
    pub fn leave(&self, index: BackendIndex) {
        self.backend(index).load.leave();
        if let Some(queue) = &self.queue {
            queue.freed();
        }
    }

    /// A member.
    pub fn backend(&self, index: BackendIndex) -> &Backend {
        &self.backends[index.get()]
    }

    /// The place of the member with this number, if it still is one.
    pub fn numbered(&self, number: BackendNumber) -> Option<BackendIndex> {
        let at = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.numbers[at].1)
    }
}

/// Who the certificate of a backend is for, unless its pool says so.
fn host(address: &BackendAddress) -> Option<ServerName> {
    match address {
        BackendAddress::Ip(address) => Some(ServerName::Ip(address.ip())),
        BackendAddress::Name { host, .. } => Some(ServerName::Host(host.clone())),
        BackendAddress::Unix(_) | BackendAddress::Original | BackendAddress::Requested => None,
    }
}

/// What records call the place that a listener listens at.
fn shown(listener: &model::Listener) -> Arc<str> {
    let bind = || listener.bind.first().map(|bind| bind.value.to_string());
    listener.shown_as.clone().or_else(bind).unwrap_or_default().into()
}

/// What is known of the backends of a pool that is compiled anew.
struct Known<'a> {
    /// By label. The same may stand there twice; they are the same in their order.
    backends: HashMap<&'a str, VecDeque<&'a Backend>>,
    next_number: u32,
}

impl<'a> Known<'a> {
    fn of(previous: Option<&'a Pool>) -> Self {
        let mut backends: HashMap<_, VecDeque<_>> = HashMap::new();
        for backend in previous.iter().flat_map(|pool| &pool.backends) {
            backends.entry(&*backend.label).or_default().push_back(backend);
        }
        Self { backends, next_number: previous.map_or(0, |pool| pool.next_number) }
    }

    fn take(&mut self, label: &str) -> (BackendNumber, [Arc<Mark>; 2], Arc<Load>) {
        if let Some(known) = self.backends.get_mut(label).and_then(VecDeque::pop_front) {
            let marks = [&known.mark, &known.datagram_mark].map(Arc::clone);
            return (known.number, marks, Arc::clone(&known.load));
        }
        let number = BackendNumber(self.next_number);
        // Never the number of one that was removed, whose clients are not to move to this one.
        // Beyond a million of them they are not remembered any more.
        self.next_number = self.next_number.saturating_add(1);
        (number, [Arc::default(), Arc::default()], Arc::default())
    }
}

/// One [`Name`] per host, however many backends have it.
struct Names<'a> {
    /// Those of the previous plan, with their answers.
    known: HashMap<&'a str, &'a Arc<Name>>,
    by_host: HashMap<String, Arc<Name>>,
    all: Vec<Arc<Name>>,
}

impl<'a> Names<'a> {
    fn new(known: &'a [Arc<Name>]) -> Self {
        let known = known.iter().map(|name| (name.host(), name)).collect();
        Self { known, by_host: HashMap::new(), all: Vec::new() }
    }

    fn get(&mut self, host: &str) -> Arc<Name> {
        let host = host.to_ascii_lowercase();
        if let Some(name) = self.by_host.get(&host) {
            return Arc::clone(name);
        }
        let known = self.known.get(&*host).copied().cloned();
        let name = known.unwrap_or_else(|| Arc::new(Name::new(host.clone())));
        self.by_host.insert(host, Arc::clone(&name));
        self.all.push(Arc::clone(&name));
        name
    }
}

/// One [`Authority`] per program, however many listeners have it asked.
struct Authorities<'a> {
    /// Those of the previous plan, with their questions.
    known: &'a [Arc<Authority>],
    all: Vec<Arc<Authority>>,
}

impl<'a> Authorities<'a> {
    fn new(known: &'a [Arc<Authority>]) -> Self {
        Self { known, all: Vec::new() }
    }

    /// How the clients of `listener` are asked about.
    fn of(&mut self, listener: &model::Listener) -> Option<Authorize> {
        let authorize = &listener.authorize.as_ref()?.value;
        Some(Authorize::new(authorize, &listener.name, self.get(&authorize.program)))
    }

    fn get(&mut self, program: &Program) -> Arc<Authority> {
        let mut there = self.all.iter().chain(self.known);
        let there = there.find(|authority| authority.program() == program);
        let there = there.map_or_else(|| Arc::new(Authority::new(program.clone())), Arc::clone);
        if !self.all.iter().any(|other| Arc::ptr_eq(other, &there)) {
            self.all.push(Arc::clone(&there));
        }
        there
    }
}

#[cfg(test)]
mod tests;
