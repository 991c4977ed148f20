//! Host names of backends: resolved at the start, and again whenever an answer
//! has served its time.
//!
//! One task per name asks, posts what it learns where the shards read it, and
//! rests until the answer is due again. Nothing else waits for it. A name that
//! can no longer be resolved keeps its last good answer for as long as that
//! takes; failures are told once, when they begin, and tried again with growing
//! rests. Names that sessions ask for are looked up when they do ([`answers`]).

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Journal, Notice};
use engine::{Engine, Lookups};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

mod answers;
mod resolver;

pub(crate) use resolver::{Resolver, Sources};

/// Least and longest time an answer is used, whatever its TTL. The longest bounds how long a
/// wrong answer lives.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// First rest after a failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// Longest rest after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Longest wait for one answer, all servers and attempts of `resolv.conf` included.
const LOOKUP_MAX: Duration = Duration::from_secs(30);

/// Where the answers about one name go.
pub(crate) trait Listing: Send + Sync + 'static {
    /// The name.
    fn host(&self) -> &str;
    /// Takes a good answer; true if it differs from the last one.
    fn post(&self, addresses: Vec<IpAddr>) -> bool;
    /// Takes note of a failure; true if an older answer stays in use.
    fn fail(&self) -> bool;
}

impl Listing for engine::Name {
    fn host(&self) -> &str {
        self.host()
    }

    fn post(&self, addresses: Vec<IpAddr>) -> bool {
        self.post(addresses)
    }

    fn fail(&self) -> bool {
        self.fail()
    }
}

/// The names under way. Their tasks end when this is dropped.
pub(crate) struct Names {
    again: watch::Sender<()>,
    resolver: Arc<Resolver>,
    journal: Journal,
    /// By host. Those that are not wanted any more end with their handle.
    followed: HashMap<String, JoinSet<()>>,
    /// Answers what sessions ask.
    answering: JoinSet<()>,
}

impl Names {
    /// Starts to follow the names of `engine`, and to answer what its sessions ask, on the runtime
    /// this is called in.
    pub(crate) fn of(engine: &Engine, sources: Sources, journal: &Journal) -> Self {
        let mut names = Self::follow(engine.names(), sources, journal);
        names.answer(engine.lookups());
        names
    }

    /// Starts to follow each of `names`, on the runtime this is called in.
    pub(crate) fn follow<L: Listing>(
        names: &[Arc<L>],
        sources: Sources,
        journal: &Journal,
    ) -> Self {
        let mut followed = Self {
            again: watch::channel(()).0,
            resolver: Arc::new(Resolver::new(sources, journal.clone())),
            journal: journal.clone(),
            followed: HashMap::new(),
            answering: JoinSet::new(),
        };
        followed.add(names);
        followed
    }

    /// Follows each of `names`, those that are followed already as before.
    pub(crate) fn add<L: Listing>(&mut self, names: &[Arc<L>]) {
        for name in names {
            self.followed.entry(name.host().to_owned()).or_insert_with(|| {
                let follower = Follower {
                    name: Arc::clone(name),
                    resolver: Arc::clone(&self.resolver),
                    journal: self.journal.clone(),
                    failures: 0,
                };
                let mut task = JoinSet::new();
                task.spawn(follower.run(self.again.subscribe()));
                task
            });
        }
    }

    /// Looks up what threads ask that may wait for it, on the runtime this is called in.
    pub(crate) fn lookup(&self) -> tls::acme::Lookup {
        let resolver = Arc::clone(&self.resolver);
        let runtime = tokio::runtime::Handle::current();
        Arc::new(move |host| {
            let found =
                runtime.block_on(async { timeout(LOOKUP_MAX, resolver.resolve(host)).await });
            match found {
                Ok(Ok(answer)) => Ok(answer.addresses),
                Ok(Err(why)) => Err(io::Error::other(why)),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }

    /// Answers what sessions ask from now on, if nobody does yet.
    fn answer(&mut self, lookups: &Lookups) {
        if let Some(questions) = lookups.take_questions() {
            self.answering.spawn(answers::answer(questions, Arc::clone(&self.resolver)));
        }
    }

    /// Follows none but `names` any more.
    pub(crate) fn keep<L: Listing>(&mut self, names: &[Arc<L>]) {
        let wanted: HashSet<_> = names.iter().map(|name| name.host()).collect();
        self.followed.retain(|host, _| wanted.contains(&**host));
    }

    /// Has every name resolved again now.
    pub(crate) fn resolve_again(&self) {
        self.again.send_replace(());
    }
}

/// Answers what is looked up where no engine runs, as long as it is kept.
pub struct Answering(#[expect(dead_code, reason = "ends with its tasks")] Names);

impl Answering {
    /// Begins, on the runtime this is called in, with what this system knows of names.
    pub fn begin(lookups: &Lookups, journal: &Journal) -> Self {
        let mut names = Names::follow::<engine::Name>(&[], Sources::system(), journal);
        names.answer(lookups);
        Self(names)
    }
}

/// What one task works with.
struct Follower<L> {
    name: Arc<L>,
    resolver: Arc<Resolver>,
    journal: Journal,
    /// In a row, until now.
    failures: u32,
}

impl<L: Listing> Follower<L> {
    async fn run(mut self, mut again: watch::Receiver<()>) {
        loop {
            let rest = self.resolve().await;
            if let Ok(Err(_)) = timeout(rest, again.changed()).await {
                // Its sender is gone: nobody wants to know any more.
                return;
            }
        }
    }

    /// Asks once; returns how long to rest.
    async fn resolve(&mut self) -> Duration {
        let answer = timeout(LOOKUP_MAX, self.resolver.resolve(self.name.host())).await;
        match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(answer) => {
                let addresses: Vec<_> = answer.addresses.clone();
                let news = self.name.post(answer.addresses);
                if news || self.failures > 0 {
                    self.journal.notice(Notice::NameResolved {
                        name: self.name.host().into(),
                        addresses: addresses
                            .into_iter()
                            .map(|address| SocketAddr::new(address, 0))
                            .collect(),
                    });
                }
                self.failures = 0;
                answer.ttl.clamp(*TTL.start(), *TTL.end())
            }
            Err(error) => {
                let kept = self.name.fail();
                if self.failures == 0 {
                    self.journal.notice(Notice::NameFailed {
                        name: self.name.host().into(),
                        error,
                        kept,
                    });
                }
                self.failures = self.failures.saturating_add(1);
                rest_after(self.failures)
            }
        }
    }
}

/// The rest after so many failures in a row, 1 at least.
fn rest_after(failures: u32) -> Duration {
    // 2^5 seconds are beyond RETRY_MAX already.
    let doubled = failures.saturating_sub(1).min(5);
    (RETRY_MIN * (1 << doubled)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests;
