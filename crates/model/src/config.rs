//! Listeners, pools and limits, with their defaults.
//!
//! A [`Config`] says what is wanted. It is plain data: two configurations that
//! mean the same are equal, wherever and in whatever dialect they were written.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::address::pattern::Clients;
use crate::address::source::{Interface, Source};
use crate::address::{BackendAddress, Bind, UnixName};
use crate::authorize::Authorize;
use crate::backend_tls::BackendTls;
use crate::delay::Delay;
use crate::ftp::Ftp;
use crate::http::Http;
use crate::log::Log;
use crate::proxy::Proxy;
use crate::proxy::server::ProxyServer;
use crate::proxy_header::{AcceptProxy, SendProxy};
use crate::route::Route;
use crate::runtime::Runtime;
use crate::script::Script;
use crate::source::Spanned;
use crate::tcp::Tcp;
use crate::tls::ServerTls;
use crate::unit::Rate;
use crate::unit::bytes::{ByteRate, ByteSize};

/// Everything a running replug needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What to listen on.
    pub listeners: Vec<Listener>,
    /// Where sessions may go.
    pub pools: Vec<Pool>,
    /// Which clients may come to any listener; what the listener says of them holds as well.
    pub access: Access,
    /// Limits of the whole process.
    pub limits: Limits,
    /// How the work is done.
    pub runtime: Runtime,
    /// What is written down about sessions. Unless told, one log, to standard error.
    pub logs: Vec<Log>,
    /// How a running replug is spoken to.
    pub admin: Admin,
}

impl Config {
    /// Whether it needs sockets with addresses that are not this machine's, which the kernel gives
    /// to few (`IP_TRANSPARENT`, ip(7)).
    pub fn needs_transparent_sockets(&self) -> bool {
        let as_client =
            |pool: &Pool| pool.source.as_ref().is_some_and(|source| source.value == Source::Client);
        self.listeners.iter().any(Listener::is_tproxied) || self.pools.iter().any(as_client)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            pools: Vec::new(),
            access: Access::default(),
            limits: Limits::default(),
            runtime: Runtime::default(),
            logs: vec![Log::default()],
            admin: Admin::default(),
        }
    }
}

/// How a running replug is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The unix socket that it listens on; `None`: it takes signals only.
    pub bind: Option<Spanned<UnixName>>,
}

/// A place where clients arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// How records and messages call it.
    pub name: String,
    /// The addresses it listens on; at least one.
    pub bind: Vec<Spanned<Bind>>,
    /// What records of old formats call the place that it listens at, `HOST:PORT`; `None`: its
    /// first bind.
    pub shown_as: Option<String>,
    /// The only network interface by which clients may come; `None`: any.
    pub interface: Option<Spanned<Interface>>,
    /// The name of the pool its sessions go to, unless a route says otherwise; `None`: those that
    /// no route takes are turned away.
    pub pool: Option<Spanned<String>>,
    /// Which sessions go elsewhere; the first that matches counts.
    pub routes: Vec<Route>,
    /// The name of the pool for clients that say nothing before the server does; `None`: where
    /// routes ask for what clients say, these are turned away.
    pub on_silence: Option<Spanned<String>>,
    /// Who decides about sessions that no route takes; `None`: nobody.
    pub script: Option<Spanned<Script>>,
    /// How much of what a client says is looked at to find its route:
    /// [`Listener::SNIFF_BYTES_MIN`] to [`Listener::SNIFF_BYTES_MAX`].
    pub sniff_bytes: ByteSize,
    /// Whose headers of the PROXY protocol are taken; `None`: clients come by themselves.
    pub proxy_protocol: Option<Spanned<AcceptProxy>>,
    /// Which clients may come.
    pub access: Access,
    /// Who is asked about those that may come by [`Listener::access`]; `None`: nobody.
    pub authorize: Option<Spanned<Authorize>>,
    /// How many.
    pub limits: Limits,
    /// How long the phases of a session may take.
    pub timeouts: Timeouts,
    /// Options of the sockets on both sides.
    pub tcp: Tcp,
    /// How long bytes are kept back.
    pub delay: Delay,
    /// Whether its sessions are FTP; `None`: they are just bytes.
    pub ftp: Option<Spanned<Ftp>>,
    /// What a client sees that is not served.
    pub refuse: Refusal,
    /// What becomes of a client beyond the sessions that there may be.
    pub when_full: WhenFull,
    /// How it is known where a client meant to go; `None`: to this listener.
    pub transparent: Option<Spanned<Transparent>>,
    /// Whether it is a proxy, which its clients tell where they want to go.
    pub proxy: Option<Spanned<ProxyServer>>,
    /// What is done with the requests of clients that speak HTTP; `None`: nobody looks at them.
    pub http: Option<Spanned<Http>>,
    /// What its clients speak TLS with; `None`: they do not, or not with us.
    pub tls: Option<Spanned<ServerTls>>,
    /// How many clients the kernel holds who are not accepted yet.
    pub backlog: Backlog,
}

impl Listener {
    /// How much of what a client says is looked at, unless told.
    pub const SNIFF_BYTES: u32 = 16 * 1024;
    /// The least.
    pub const SNIFF_BYTES_MIN: u32 = 512;
    /// The most.
    pub const SNIFF_BYTES_MAX: u32 = 64 * 1024;

    /// A listener with every default, which is not bound to anything yet.
    pub fn new(name: impl Into<String>, pool: Spanned<String>) -> Self {
        Self {
            name: name.into(),
            bind: Vec::new(),
            shown_as: None,
            interface: None,
            pool: Some(pool),
            routes: Vec::new(),
            on_silence: None,
            script: None,
            sniff_bytes: ByteSize::new(Self::SNIFF_BYTES).expect("it is not zero"),
            proxy_protocol: None,
            access: Access::default(),
            authorize: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            tcp: Tcp::default(),
            delay: Delay::default(),
            ftp: None,
            refuse: Refusal::default(),
            when_full: WhenFull::default(),
            transparent: None,
            proxy: None,
            http: None,
            tls: None,
            backlog: Backlog::default(),
        }
    }
}

impl Listener {
    /// Whether its clients are diverted by `tproxy`.
    pub fn is_tproxied(&self) -> bool {
        self.transparent.as_ref().is_some_and(|mode| mode.value == Transparent::Tproxy)
    }

    /// The names of all pools that its sessions may go to: its own first.
    pub fn pools(&self) -> impl Iterator<Item = &Spanned<String>> {
        let routes = self.routes.iter().map(|route| &route.pool);
        self.pool.iter().chain(routes).chain(&self.on_silence)
    }

    /// Whether some route asks for what clients say.
    pub fn sniffs(&self) -> bool {
        self.routes.iter().any(|route| route.when.value.asks_for_content())
    }
}

/// How the kernel diverts clients to a listener that meant to go elsewhere, and tells where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transparent {
    /// By address translation: `redirect` or `dnat` of nftables, `REDIRECT` of iptables. Connection
    /// tracking remembers where to (`SO_ORIGINAL_DST`).
    Redirect,
    /// By `tproxy`, which leaves packets as they are (`IP_TRANSPARENT`, ip(7)): the client's socket
    /// has the address it meant.
    Tproxy,
}

impl Transparent {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("redirect", Self::Redirect), ("tproxy", Self::Tproxy)];
}

/// What a client sees that is not served: it may not come, or no backend could be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// A reset, which nobody takes for an empty answer.
    #[default]
    Reset,
    /// An end of stream, as the old tools have it. The kernel still resets a client that had sent
    /// something.
    Close,
}

impl Refusal {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("reset", Self::Reset), ("close", Self::Close)];
}

/// What becomes of a client beyond the sessions that there may be, at its listener or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits until one ends.
    #[default]
    Wait,
    /// It is accepted and turned away as [`Listener::refuse`] says.
    Refuse,
}

impl WhenFull {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("wait", Self::Wait), ("refuse", Self::Refuse)];
}

/// How many clients the kernel holds who are connected and not accepted yet: at each address, for
/// each shard, and never more than `net.core.somaxconn` (listen(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog(NonZeroU32);

impl Backlog {
    /// The greatest.
    pub const MAX: u32 = i32::MAX.cast_unsigned();
    /// Of a listener that says nothing: what most kernels allow.
    pub const USUAL: u32 = 4096;

    /// A backlog, if `value` is from 1 to [`Backlog::MAX`].
    pub fn new(value: u32) -> Option<Self> {
        NonZeroU32::new(value).filter(|value| value.get() <= Self::MAX).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self(const { NonZeroU32::new(Self::USUAL).expect("not zero") })
    }
}

/// Which clients may come: `deny` wins over `allow`, and an empty `allow` allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Clients that may come.
    pub allow: Vec<Spanned<Clients>>,
    /// Clients that may not.
    pub deny: Vec<Spanned<Clients>>,
}

impl Access {
    /// Patterns that `allow` and `deny` of one place can have together. Ranges are found at once,
    /// however many there are; each pattern is compared with each client that comes.
    pub const PATTERNS_MAX: usize = 1_000;
}

/// How long the phases of a session may take. Zero is written as `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a client is listened to until its route is known, in all. Never unlimited.
    pub sniff: Duration,
    /// The TLS handshake of a client, in all. Never unlimited.
    pub tls: Duration,
    /// One attempt to connect to a backend. Never unlimited.
    pub connect: Duration,
    /// No byte in either direction; for a flow, no datagram.
    pub idle: Idle,
    /// No byte in either direction once one side has sent its FIN.
    pub half_closed: Option<Duration>,
    /// The whole session, from accept on, whatever moves in it.
    pub lifetime: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            sniff: Duration::from_secs(3),
            tls: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            idle: Idle::Usual,
            half_closed: Some(Duration::from_secs(60)),
            lifetime: None,
        }
    }
}

/// When a session or a flow in which nothing moves is ended.
///
/// What is usual differs: a session that is idle can still end by itself, and costs its peers if
/// it is cut; a flow has no end, and nobody misses one that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// After the time that is usual.
    #[default]
    Usual,
    /// After this time.
    After(Duration),
    /// Not at all.
    Never,
}

impl Idle {
    /// What is usual for a session.
    pub const SESSION: Duration = Duration::from_secs(3600);
    /// What is usual for a flow.
    pub const FLOW: Duration = Duration::from_secs(60);

    /// After a time, or never.
    pub fn after(time: Option<Duration>) -> Self {
        time.map_or(Self::Never, Self::After)
    }

    /// The time for sessions; `None`: never.
    pub fn of_session(self) -> Option<Duration> {
        self.time(Self::SESSION)
    }

    /// The time for flows; `None`: never.
    pub fn of_flow(self) -> Option<Duration> {
        self.time(Self::FLOW)
    }

    fn time(self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Usual => Some(usual),
            Self::After(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// A named set of backends with one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How listeners and records call it.
    pub name: Spanned<String>,
    /// Its members; at least one.
    pub backends: Vec<Backend>,
    /// How one of them is picked.
    pub balance: Balance,
    /// Whether a client returns to the backend it had.
    pub sticky: Option<Sticky>,
    /// How many backends one session tries at the most; `None`: each of them.
    pub tries: Option<NonZeroU32>,
    /// How long a backend that could not be reached is left alone.
    pub retry_down: Duration,
    /// What becomes of that when there is no other left.
    pub all_down: AllDown,
    /// Time in which the share of a backend that was down grows from a tenth to the whole;
    /// `None`: it has its whole share at once.
    pub slow_start: Option<Duration>,
    /// What becomes of the sessions of a backend that a reload removes.
    pub on_removed: OnRemoved,
    /// Who may wait while all backends that are up are full; `None`: nobody, they are refused.
    pub queue: Option<Spanned<Queue>>,
    /// What connections to the backends leave from.
    pub source: Option<Spanned<Source>>,
    /// The proxies that the backends are reached through, in order: each is asked for the next one,
    /// and the last for the backend. At most [`Proxy::CHAIN_MAX`]; none: directly.
    pub via: Vec<Spanned<Proxy>>,
    /// The header of the PROXY protocol that a backend gets first; `None`: none.
    pub send_proxy: Option<Spanned<SendProxy>>,
    /// How the backends are spoken to in TLS; `None`: in the clear, or as clients speak to them.
    pub tls: Option<Spanned<BackendTls>>,
}

impl Pool {
    /// How long a backend that could not be reached is left alone, unless told.
    pub const RETRY_DOWN: Duration = Duration::from_secs(10);

    /// A pool with every default.
    pub fn new(name: Spanned<String>, backends: Vec<Backend>) -> Self {
        Self {
            name,
            backends,
            balance: Balance::default(),
            sticky: None,
            tries: None,
            retry_down: Self::RETRY_DOWN,
            all_down: AllDown::default(),
            slow_start: None,
            on_removed: OnRemoved::default(),
            queue: None,
            source: None,
            via: Vec::new(),
            send_proxy: None,
            tls: None,
        }
    }
}

/// Sessions that wait for a place at a backend, first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait, at most [`Queue::LENGTH_MAX`].
    pub length: NonZeroUsize,
    /// How long each may.
    pub wait: Duration,
}

impl Queue {
    /// The greatest length.
    pub const LENGTH_MAX: usize = 100_000;
    /// How long a session may wait, unless told.
    pub const WAIT: Duration = Duration::from_secs(5);
}

/// What becomes of the sessions of a backend that a reload removes from its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemoved {
    /// They go on to their end.
    #[default]
    Keep,
    /// They may go on for this long.
    Drain(Duration),
    /// They end at once.
    Cut,
}

/// What is done when every backend of a pool is down, backups too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllDown {
    /// Each is tried, and stays down until a session has reached it.
    #[default]
    Try,
    /// All count as up again, and the list begins anew: for pools where a backend that is down is
    /// not tried for long, or never.
    Forgive,
}

impl AllDown {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("try", Self::Try), ("forgive", Self::Forgive)];
}

/// One member of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it is reached.
    pub address: Spanned<BackendAddress>,
    /// Its share of the sessions.
    pub weight: Weight,
    /// Sessions that it may have at a time; `None`: any number.
    pub max: Option<NonZeroU32>,
    /// Whether it serves always or only when the others cannot.
    pub role: Role,
}

impl Backend {
    /// A backend with every default.
    pub fn new(address: Spanned<BackendAddress>) -> Self {
        Self { address, weight: Weight::ONE, max: None, role: Role::Primary }
    }
}

/// A backend's share of the sessions, relative to the others of its pool: 1 to 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// The weight of a backend that names none.
    pub const ONE: Self = Self(NonZeroU32::MIN);
    /// The greatest weight.
    pub const MAX: u32 = 256;

    /// A weight, if `value` is from 1 to [`Weight::MAX`].
    pub fn new(value: u32) -> Option<Self> {
        NonZeroU32::new(value).filter(|value| value.get() <= Self::MAX).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// When a backend serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Always.
    #[default]
    Primary,
    /// Only when no primary of its pool can be reached.
    Backup,
}

/// How a backend is picked. All but `First` give each backend sessions by its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn, evenly spread.
    #[default]
    RoundRobin,
    /// The one with the fewest sessions for its weight; those that are equal take turns.
    LeastSessions,
    /// The one with the fewest sessions for its weight; of those that are equal, the first in the
    /// list.
    LeastSessionsInOrder,
    /// Of two drawn at random, the one with fewer sessions for its weight; if they are equal, the
    /// one that connects faster.
    TwoChoices,
    /// Of two drawn at random, the one that connects faster; if they are equal, the one with fewer
    /// sessions for its weight.
    LatencyTwoChoices,
    /// Drawn at random.
    Random,
    /// By the client's address, by rendezvous hashing: a client keeps its backend, and when one is
    /// gone only its clients move.
    SourceHash,
    /// By the client's address, by a Maglev table: nearly as stable, and as fast for thousands of
    /// backends as for two.
    Maglev,
    /// The first in the list that can be reached.
    First,
}

impl Balance {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 9] = [
        ("round-robin", Self::RoundRobin),
        ("least-sessions", Self::LeastSessions),
        ("least-sessions-in-order", Self::LeastSessionsInOrder),
        ("two-choices", Self::TwoChoices),
        ("latency-two-choices", Self::LatencyTwoChoices),
        ("random", Self::Random),
        ("source-hash", Self::SourceHash),
        ("maglev", Self::Maglev),
        ("first", Self::First),
    ];
}

/// A client returns to the backend it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// How long after its last session began a client is remembered.
    pub ttl: Duration,
    /// What counts as one client.
    pub by: StickyKey,
    /// How many clients are remembered, at most [`Sticky::ENTRIES_MAX`]; further ones make the
    /// oldest forgotten.
    pub entries: NonZeroUsize,
}

impl Sticky {
    /// How long a client is remembered, unless told.
    pub const TTL: Duration = Duration::from_secs(3600);
    /// How many clients are remembered, unless told: half a MiB.
    pub const ENTRIES: NonZeroUsize = NonZeroUsize::new(32_768).expect("it is not zero");
    /// The greatest number of clients: 64 MiB.
    pub const ENTRIES_MAX: usize = 4_194_304;
}

impl Default for Sticky {
    fn default() -> Self {
        Self { ttl: Self::TTL, by: StickyKey::default(), entries: Self::ENTRIES }
    }
}

/// What counts as one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StickyKey {
    /// Its address.
    #[default]
    Client,
    /// The network of its address: /24 for IPv4, /64 for IPv6.
    Network,
}

/// How much may come in and pass, at a listener or in the whole process; `None`: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at a time; further clients wait. The whole process has never more than its
    /// descriptors allow.
    pub sessions: Option<NonZeroUsize>,
    /// Sessions at a time of each client, at most [`Limits::PER_CLIENT_MAX`]; one more is refused.
    pub per_client: Option<NonZeroU32>,
    /// New sessions in a while; further clients wait.
    pub rate: Option<Rate>,
    /// New sessions of each client in a while; one more is refused.
    pub rate_per_client: Option<Rate>,
    /// How fast all sessions together may move bytes.
    pub bandwidth: Bandwidth,
    /// How fast each session may move bytes.
    pub session_bandwidth: Bandwidth,
}

/// How fast bytes may move, in each direction on its own; `None`: as fast as they can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// From clients to backends.
    pub to_backend: Option<ByteRate>,
    /// From backends to clients.
    pub to_client: Option<ByteRate>,
}

impl Limits {
    /// The greatest number of sessions per client.
    pub const PER_CLIENT_MAX: u32 = 1_000_000;
}
