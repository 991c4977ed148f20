//! A configuration compiled to run.
//!
//! A plan does not change; sessions keep the one they began with. What does
//! change while it runs (marks and loads of backends, positions of rotations,
//! memories of clients, answers of name servers) is shared by all shards, in
//! words that are read and written without locks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{BackendAddress, Config, Role, SourceAddress, Tcp, Timeouts, UnixName};
use relay::Tick;

use crate::balance::{BackendIndex, Member, Policy};
use crate::chance::text_key;
use crate::load::Load;
use crate::mark::Mark;
use crate::name::Name;
use crate::phase::admit::Access;
use crate::sticky::StickyTable;

/// Everything that sessions are run by.
#[derive(Debug)]
pub struct Plan {
    /// In the order of the configuration.
    pub listeners: Vec<Arc<Listener>>,
    /// The host names of all backends.
    pub names: Vec<Arc<Name>>,
    /// Whether bulk may go through `splice(2)`.
    pub splice: bool,
}

/// A listener, as its sessions need it.
#[derive(Debug)]
pub struct Listener {
    /// How records call it.
    pub name: Arc<str>,
    /// Which clients may come.
    pub access: Access,
    /// Where its sessions go.
    pub pool: Arc<Pool>,
    /// How long the phases may take.
    pub timeouts: Timeouts,
    /// Socket options of both sides.
    pub tcp: Tcp,
}

/// A pool, as sessions need it.
#[derive(Debug)]
pub struct Pool {
    /// How records call it.
    pub name: Arc<str>,
    /// Its members.
    pub backends: Box<[Backend]>,
    /// Picks among those that serve always.
    pub primaries: Policy,
    /// Picks among those that serve when no primary can.
    pub backups: Policy,
    /// The memory of clients, if it is sticky.
    pub sticky: Option<StickyTable>,
    /// How long a backend that could not be reached is left alone.
    pub retry_down: Duration,
    /// How long one that was down takes to get its whole share of sessions.
    pub slow_start: Option<Duration>,
    /// What connections leave from.
    pub source: Option<SourceAddress>,
}

/// A backend, as sessions need it.
#[derive(Debug)]
pub struct Backend {
    /// As configured, for records.
    pub label: Arc<str>,
    /// Where it is reached.
    pub target: Target,
    /// Whether it can be.
    pub mark: Mark,
    /// What it carries.
    pub load: Load,
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
}

impl Plan {
    /// Compiles a configuration that has been checked (`model::check`).
    ///
    /// # Panics
    /// On a listener whose pool does not exist.
    pub fn compile(config: &Config) -> Self {
        let mut names = Names::default();
        let pools: HashMap<&str, Arc<Pool>> = config
            .pools
            .iter()
            .map(|pool| (&*pool.name.value, Arc::new(Pool::compile(pool, &mut names))))
            .collect();
        let listeners = config.listeners.iter().map(|listener| {
            let pool = pools.get(&*listener.pool.value).expect("a checked listener has its pool");
            Arc::new(Listener {
                name: listener.name.as_str().into(),
                access: Access::new(&listener.access),
                pool: Arc::clone(pool),
                timeouts: listener.timeouts,
                tcp: listener.tcp,
            })
        });
        let listeners = listeners.collect();
        Self { listeners, names: names.all, splice: config.runtime.splice }
    }
}

impl Pool {
    fn compile(pool: &model::Pool, names: &mut Names) -> Self {
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
        let backends = pool.backends.iter().map(|backend| Backend {
            label: backend.address.value.to_string().into(),
            target: match &backend.address.value {
                BackendAddress::Ip(address) => Target::Ip(*address),
                BackendAddress::Name { host, port } => Target::Name(names.get(host), *port),
                BackendAddress::Unix(name) => Target::Unix(name.clone()),
            },
            mark: Mark::default(),
            load: Load::new(backend.max),
        });
        Self {
            name: pool.name.value.as_str().into(),
            backends: backends.collect(),
            primaries: members(Role::Primary),
            backups: members(Role::Backup),
            sticky: pool.sticky.map(|sticky| StickyTable::new(sticky, Tick::now())),
            retry_down: pool.retry_down,
            slow_start: pool.slow_start,
            source: pool.source.as_ref().map(|source| source.value.clone()),
        }
    }

    /// A member.
    pub fn backend(&self, index: BackendIndex) -> &Backend {
        &self.backends[index.get()]
    }
}

/// One [`Name`] per host, however many backends have it.
#[derive(Default)]
struct Names {
    all: Vec<Arc<Name>>,
}

impl Names {
    fn get(&mut self, host: &str) -> Arc<Name> {
        let host = host.to_ascii_lowercase();
        if let Some(name) = self.all.iter().find(|name| name.host() == host) {
            return Arc::clone(name);
        }
        let name = Arc::new(Name::new(host));
        self.all.push(Arc::clone(&name));
        name
    }
}
