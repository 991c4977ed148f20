//! Scripts: who decides where a session goes, if routes do not.
//!
//! A [`Script`] belongs to listeners and is shared by all shards; each shard has a [`Desk`] of it,
//! made on the shard's thread, and each session a [`Counsel`] at that desk, who is asked
//! [`Question`]s and answers with [`Decision`]s. What runs a script stands in crate `script`; here
//! is only what sessions know of it. An answer may take time, in which other sessions go on.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{BackendAddress, ProxyVersion};

use crate::journal::Journal;
use crate::lookup::Lookups;
use crate::phase::account::{ClientAddress, Spoken};

/// Remotes that one decision can name.
pub const REMOTES_MAX: usize = 64;

/// How often each of them may be tried again.
pub const RETRIES_MAX: u32 = 100;

/// A script that was loaded.
pub trait Script: Any + fmt::Debug + Send + Sync {
    /// What messages call it: the path of its file.
    fn name(&self) -> &str;

    /// Tells texts apart: two scripts of the same configuration are the same if these are equal.
    fn fingerprint(&self) -> u64;

    /// Begins on a shard, whose thread this is called on.
    fn desk(&self, place: Place) -> Rc<dyn Desk>;
}

/// A shard, as scripts see it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its number, from 0 on.
    pub shard: usize,
    /// Where names are looked up that nobody has configured.
    pub lookups: Lookups,
    /// Where to say something.
    pub journal: Journal,
}

/// A script on one shard.
pub trait Desk {
    /// Which questions it wants to be asked beside [`Question::Route`].
    fn answers(&self) -> Answers;

    /// Takes on a session.
    fn attend(&self, about: About) -> Box<dyn Counsel>;
}

/// Which callbacks a script has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// [`Question::Connect`].
    pub connect: bool,
    /// [`Question::ConnectError`].
    pub connect_error: bool,
    /// [`Question::Inactivity`].
    pub inactivity: bool,
}

/// What a script has to say about one session. Dropped when the session is decided for good.
pub trait Counsel {
    /// Asks. Whoever drops the answer before it is there takes the question back.
    fn ask<'a>(&'a mut self, question: Question<'a>, now: Now) -> Asking<'a>;

    /// Whether it is to be asked what the first bytes of a backend become.
    fn filters(&self) -> bool {
        false
    }

    /// What these first bytes of a backend become; nothing else of it is asked about.
    fn filter<'a>(&'a mut self, first: &'a [u8]) -> Filtering<'a> {
        Box::pin(std::future::ready(Ok(first.into())))
    }
}

/// Bytes in the place of others, which may take time.
pub type Filtering<'a> = Pin<Box<dyn Future<Output = Result<Box<[u8]>, Failure>> + 'a>>;

/// An answer that may take time.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Decision, Failure>> + 'a>>;

/// What a script may know of a session from its beginning.
#[derive(Clone, Debug)]
pub struct About {
    /// The session's id.
    pub id: u64,
    /// Who came.
    pub client: ClientAddress,
    /// The address that the client came to, or meant to; `None`: a unix socket.
    pub local: Option<SocketAddr>,
    /// The listener.
    pub listener: Arc<str>,
    /// What the client has said of itself already.
    pub spoken: Spoken,
}

/// What changes while a session is decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the client was accepted.
    pub elapsed: Duration,
    /// Decisions that were followed, and led to no backend that answers.
    pub attempt: u32,
    /// Whether the client has ended its stream.
    pub has_ended: bool,
}

/// What a script is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// The client has come, and has said nothing yet.
    Connect,
    /// This is all that the client has said so far; each time it begins with what it was before.
    Route(&'a [u8]),
    /// This remote could not be reached, or ended before its first byte; then it is too late to
    /// decide anything.
    ConnectError(&'a str),
    /// This remote has not answered within its time.
    Inactivity(&'a str),
}

/// What a script decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet: it is asked again when the client has said more. Of a callback about a remote:
    /// nothing at all.
    Wait,
    /// The same, after this has been sent to the client.
    Greet(Vec<u8>),
    /// The session goes on.
    Go(Box<Way>),
    /// The session ends, after this has been sent to the client.
    Close(Vec<u8>),
}

/// Where a session goes on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where to.
    pub to: Whither,
    /// What the backend gets in the place of what the client has said; `None`: just that.
    pub data: Option<Vec<u8>>,
    /// What the client gets before anything is connected to.
    pub reply: Vec<u8>,
    /// How long each attempt to connect may take; `None`: as for all sessions of the listener.
    pub connect_timeout: Option<Duration>,
    /// How long the backend may take for its first byte; `None`: any time.
    pub inactivity_timeout: Option<Duration>,
    /// What is told about the client by a PROXY header, in which version; for remotes only: a pool
    /// says itself what it is told.
    pub proxy: Option<ProxyVersion>,
    /// How often all remotes are tried again, [`RETRY_PAUSE`] after the last has failed: at most
    /// [`RETRIES_MAX`].
    pub retries: u32,
}

/// Pause before remotes are tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Way {
    /// A way without anything special.
    pub fn new(to: Whither) -> Self {
        Self {
            to,
            data: None,
            reply: Vec::new(),
            connect_timeout: None,
            inactivity_timeout: None,
            proxy: None,
            retries: 0,
        }
    }
}

/// Where a session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whither {
    /// Where it would go without a script.
    Default,
    /// To the pool of this name.
    Pool(String),
    /// To the first of these that can be reached: from 1 to [`REMOTES_MAX`].
    Remotes(Vec<BackendAddress>),
}

/// Why a script has not decided, in a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// The scripts of a configuration, by the names of their listeners.
#[derive(Clone, Debug, Default)]
pub struct Scripts(HashMap<String, Arc<dyn Script>>);

impl Scripts {
    /// Gives a listener its script.
    pub fn insert(&mut self, listener: impl Into<String>, script: Arc<dyn Script>) {
        self.0.insert(listener.into(), script);
    }

    /// The script of a listener.
    pub fn get(&self, listener: &str) -> Option<&Arc<dyn Script>> {
        self.0.get(listener)
    }

    /// All of them, with the names of their listeners.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Script>)> {
        self.0.iter().map(|(listener, script)| (&**listener, script))
    }
}
