//! What the engine has to say, on its way out of the data path.
//!
//! Shards put entries into one bounded queue and never wait: what does not fit
//! is counted and dropped, and the count is told later. `control` takes the
//! entries out, formats them and writes them.

mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::{OnError, OnScriptError, Rate, Refusal};
use wire::http::Foreign;

use crate::authority::Undecided;
use crate::gate::Limit;
use crate::phase::account::{ClientAddress, ConnectFailure, Record};
use crate::requests::Request;

/// Entries that may wait to be written. At 300 bytes each some 5 MiB at the most, and 40 MiB if all
/// are requests with the longest of URLs.
pub const ENTRIES_MAX: usize = 16_384;

/// The way in: cheap to clone, never waits.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dropped: AtomicU64,
    wants: ArcSwap<Wants>,
}

/// Which entries are worth making: the most that any log wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Whether session records are written anywhere.
    pub records: bool,
    /// Whether there is to be a record of [`Event::Start`](crate::account::Event::Start) too.
    pub start: bool,
    /// How often there is to be a record of [`Event::Open`](crate::account::Event::Open).
    pub every: Option<Duration>,
    /// Whether records are to hold [`Counts`](crate::account::Counts).
    pub counts: bool,
    /// Whether requests of HTTP are written anywhere.
    pub requests: bool,
    /// The least level of notices that is written.
    pub level: Level,
}

impl Wants {
    /// Only what needs attention.
    pub const QUIET: Self = Self {
        records: false,
        start: false,
        every: None,
        counts: false,
        requests: false,
        level: Level::Warning,
    };

    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let every = match (self.every, other.every) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self {
            records: self.records || other.records,
            start: self.start || other.start,
            every,
            counts: self.counts || other.counts,
            requests: self.requests || other.requests,
            level: self.level.min(other.level),
        }
    }
}

/// A journal and the end that its entries come out of.
pub fn journal(wants: Wants) -> (Journal, Receiver<Entry>) {
    let (entries, receiver) = mpsc::sync_channel(ENTRIES_MAX);
    let shared = Shared { dropped: AtomicU64::new(0), wants: ArcSwap::from_pointee(wants) };
    (Journal { entries, shared: Arc::new(shared) }, receiver)
}

impl Journal {
    /// Which entries are worth making.
    pub fn wants(&self) -> Wants {
        **self.shared.wants.load()
    }

    /// Changes what is worth making, for all clones of this journal.
    pub fn want(&self, wants: Wants) {
        self.shared.wants.store(Arc::new(wants));
    }

    /// Whether notices of `level` are worth making.
    pub fn wants_notices(&self, level: Level) -> bool {
        level >= self.wants().level
    }

    /// Puts in the record of a session.
    pub fn record(&self, record: Record) {
        self.put(Entry::Session(Box::new(record)));
    }

    /// Puts in a request.
    pub fn request(&self, request: Request) {
        self.put(Entry::Request(Box::new(request)));
    }

    /// Puts in a notice, if its level is wanted.
    pub fn notice(&self, notice: Notice) {
        if self.wants_notices(notice.level()) {
            self.put(Entry::Notice(notice));
        }
    }

    /// Entries dropped since the last call, because the queue was full.
    pub fn take_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }

    /// Waits until the entry is taken in: for the last words of a process, never from a shard.
    pub fn farewell(&self, entry: Entry) {
        // The receiver is gone only when the writer has died; then nobody is left to tell.
        let _ = self.entries.send(entry);
    }

    /// Puts the entry in behind all that was put in before, if there is room; gives it back if not.
    ///
    /// # Errors
    /// The entry, when the queue is full.
    pub fn try_farewell(&self, entry: Entry) -> Result<(), Entry> {
        match self.entries.try_send(entry) {
            // As above.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(entry)) => Err(entry),
        }
    }

    fn put(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One thing to write down.
#[derive(Debug)]
pub enum Entry {
    /// A session has begun, goes on, or has ended.
    Session(Box<Record>),
    /// A client has sent a request.
    Request(Box<Request>),
    /// Something an operator wants to know.
    Notice(Notice),
    /// Open files anew (SIGUSR1).
    Reopen,
    /// Other logs have been opened: go over to them.
    Replace,
    /// Write out what is there, then end.
    Close,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every decision on the way.
    Debug,
    /// The normal course of things.
    Info,
    /// Something is not as it should be, and replug copes.
    Warning,
    /// Something needs a person.
    Error,
}

/// Something an operator wants to know.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A listener is open.
    Listening {
        /// Its name.
        listener: Arc<str>,
        /// Where: with the port the kernel chose, if it did.
        address: String,
        /// Whether it is the socket that inetd has left on standard input.
        by_inetd: bool,
    },
    /// A session begins.
    SessionStart {
        /// Its id.
        id: u64,
        /// The listener.
        listener: Arc<str>,
        /// Who came.
        client: ClientAddress,
    },
    /// A backend is about to be tried.
    Attempt {
        /// The session's id.
        id: u64,
        /// Where its listener listens, as configured.
        bind: Arc<str>,
        /// Who came.
        client: ClientAddress,
        /// What is connected to, as configured: the backend, or the proxy before it.
        dialled: Arc<str>,
        /// The backend, as configured.
        backend: Arc<str>,
    },
    /// An attempt to connect failed.
    AttemptFailed {
        /// The session's id.
        id: u64,
        /// Where its listener listens, as configured.
        bind: Arc<str>,
        /// The backend, as configured.
        backend: Arc<str>,
        /// Why.
        failure: ConnectFailure,
        /// The reason phrase of a proxy that refused; anything that a peer may send.
        phrase: Option<Arc<str>>,
    },
    /// A backend is connected, and bytes begin to move.
    Connected {
        /// The session's id.
        id: u64,
        /// The backend, as configured.
        backend: Arc<str>,
    },
    /// A backend is left alone for a while.
    BackendDown {
        /// The pool.
        pool: Arc<str>,
        /// The backend, as configured.
        backend: Arc<str>,
        /// What it failed with.
        failure: ConnectFailure,
        /// When it is tried again.
        retry: Duration,
    },
    /// A backend that was down has taken a session.
    BackendUp {
        /// The pool.
        pool: Arc<str>,
        /// The backend, as configured.
        backend: Arc<str>,
    },
    /// Accepting rests because something is exhausted.
    AcceptRests {
        /// The listener.
        listener: Arc<str>,
        /// Where it listens, as configured.
        bind: Arc<str>,
        /// Where its sessions go, as configured; the first backend, if there are several.
        target: Arc<str>,
        /// What the system said.
        error: String,
        /// How often since the last such notice.
        times: u64,
    },
    /// The session ceiling is reached.
    AtCeiling {
        /// The ceiling.
        sessions: usize,
        /// How new clients are turned away; `None`: they wait in the kernel's queue.
        refusal: Option<Refusal>,
    },
    /// After [`Notice::AtCeiling`] a new client has found a place.
    BelowCeiling,
    /// All sessions that a listener may have are in use; its new clients wait.
    ListenerFull {
        /// The listener.
        listener: Arc<str>,
        /// Sessions it may have.
        sessions: usize,
    },
    /// Clients come faster than they may; they wait for their turn.
    AtRate {
        /// Whose rate it is; `None`: that of the whole process.
        listener: Option<Arc<str>>,
        /// New sessions that there may be.
        rate: Rate,
    },
    /// More clients are there at a time than can be counted; limits per client do not bind all.
    ClientsUncounted {
        /// The listener.
        listener: Arc<str>,
        /// Sessions that were not counted since the last such notice.
        times: u64,
    },
    /// A session waits for a place at a backend.
    SessionWaits {
        /// Its id.
        id: u64,
        /// The pool whose backends are full.
        pool: Arc<str>,
        /// Sessions that wait already.
        ahead: usize,
    },
    /// As many sessions wait for a place as may; more are refused.
    QueueFull {
        /// The pool whose backends are full.
        pool: Arc<str>,
        /// Sessions that may wait.
        length: usize,
        /// Sessions that were refused since the last such notice.
        times: u64,
    },
    /// More clients are undecided than may be; they are refused.
    TooManyUndecided {
        /// The listener.
        listener: Arc<str>,
        /// Clients that were refused since the last such notice.
        times: u64,
    },
    /// A client was refused.
    ClientLimited {
        /// The session's id.
        id: u64,
        /// What it was over.
        limit: Limit,
    },
    /// A client could not be sent where it meant to go.
    Astray {
        /// The listener.
        listener: Arc<str>,
        /// Who came.
        client: ClientAddress,
        /// Where it meant to go: to us; `None`: it was not diverted.
        original: Option<SocketAddr>,
        /// How often since the last such notice.
        times: u64,
    },
    /// A client does not come to speak TLS.
    NoTls {
        /// The session's id.
        id: u64,
        /// What was wrong, for people.
        why: String,
    },
    /// A program has refused a client.
    ClientRefused {
        /// The session's id.
        id: u64,
        /// The path of the program.
        program: Arc<str>,
        /// What it said about that, if anything.
        comment: Option<String>,
    },
    /// A program has not decided about a client.
    ClientUndecided {
        /// The session's id.
        id: u64,
        /// The path of the program.
        program: Arc<str>,
        /// Why not.
        why: Undecided,
        /// What becomes of the client.
        on_error: OnError,
    },
    /// A script has failed.
    ScriptFailed {
        /// The listener.
        listener: Arc<str>,
        /// The path of its file.
        script: Arc<str>,
        /// How it failed the last time.
        error: String,
        /// What becomes of its clients.
        on_error: OnScriptError,
        /// How often since the last such notice.
        times: u64,
    },
    /// A script wants something to be written down.
    ScriptSays {
        /// How much it matters, as the script has it.
        level: Level,
        /// The listener for which it was called.
        listener: Arc<str>,
        /// The session, if it was called for one.
        session: Option<u64>,
        /// The line, which may hold anything that a client has sent.
        text: String,
        /// Lines before it that were left out, since there were too many.
        unsaid: u64,
    },
    /// What a client has sent is no request that a proxy could have.
    RequestRefused {
        /// The session's id.
        id: u64,
        /// What is wrong with it.
        why: Foreign,
    },
    /// Datagrams of clients were lost before they came to a flow.
    DatagramsLost {
        /// The listener.
        listener: Arc<str>,
        /// How many since the last such notice.
        datagrams: u64,
        /// Why.
        loss: Loss,
    },
    /// The descriptors do not suffice for what was asked.
    CeilingLowered {
        /// Sessions that were asked for.
        wanted: usize,
        /// Sessions there can be.
        sessions: usize,
        /// Descriptors the process may have.
        descriptors: u64,
    },
    /// A name has new addresses.
    NameResolved {
        /// The name.
        name: Arc<str>,
        /// Its addresses.
        addresses: Vec<SocketAddr>,
    },
    /// A name could not be resolved.
    NameFailed {
        /// The name.
        name: Arc<str>,
        /// Why.
        error: String,
        /// Whether an older answer is still in use.
        kept: bool,
    },
    /// No more clients are accepted.
    Draining {
        /// Sessions under way.
        sessions: usize,
        /// How long they may take; `None`: as long as they need.
        within: Option<Duration>,
    },
    /// Anything of the surroundings (signals, files, privileges) that fits nowhere above.
    Remark {
        /// How much it matters.
        level: Level,
        /// The whole text.
        text: String,
    },
}

/// Why datagrams were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They came faster than they were received.
    BufferFull,
    /// There was no flow for them, and none could begin.
    NoFlow,
}

impl Notice {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::SessionStart { .. }
            | Self::Attempt { .. }
            | Self::AttemptFailed { .. }
            | Self::Connected { .. }
            | Self::SessionWaits { .. }
            | Self::ClientLimited { .. }
            | Self::ClientRefused { .. }
            | Self::NoTls { .. }
            | Self::RequestRefused { .. } => Level::Debug,
            Self::Listening { .. }
            | Self::BackendUp { .. }
            | Self::BelowCeiling
            | Self::NameResolved { .. }
            | Self::Draining { .. } => Level::Info,
            Self::BackendDown { .. }
            | Self::ClientUndecided { .. }
            | Self::ScriptFailed { .. }
            | Self::AcceptRests { .. }
            | Self::AtCeiling { .. }
            | Self::Astray { .. }
            | Self::DatagramsLost { .. }
            | Self::CeilingLowered { .. }
            | Self::ListenerFull { .. }
            | Self::AtRate { .. }
            | Self::ClientsUncounted { .. }
            | Self::TooManyUndecided { .. }
            | Self::QueueFull { .. }
            | Self::NameFailed { .. } => Level::Warning,
            Self::Remark { level, .. } | Self::ScriptSays { level, .. } => *level,
        }
    }
}
