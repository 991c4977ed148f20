//! Which backend comes next.
//!
//! | policy | module | a search looks at | slow start |
//! |---|---|---|---|
//! | round-robin | [`rotation`] | the next turn | skips turns |
//! | least-sessions | [`least`] | every member | compares by it |
//! | two-choices, on sessions or latency | [`choices`] | two members | draws and compares by it |
//! | random | [`lots`] | one member | draws by it |
//! | source-hash | [`rendezvous`] | every member | no: a client would move twice |
//! | maglev | [`maglev`] | one entry of a table | no: likewise |
//! | first | here | the first member | no: there is an order |
//!
//! What changes (a position, the loads of backends) is shared by all shards and
//! takes no lock. Time and chance come in an [`Occasion`]. Nothing here knows
//! what a backend is: they are numbers, and the caller says which will do.

pub mod choices;
pub mod least;
pub mod lots;
pub mod maglev;
pub mod rendezvous;
pub mod rotation;

use std::time::Duration;

use model::{Balance, Weight};
use relay::Tick;

use crate::chance::Chance;
use crate::load::Load;
use choices::{By, Choices};
use least::LeastSessions;
use lots::Lots;
use maglev::Maglev;
use rendezvous::Rendezvous;
use rotation::Rotation;

/// The place of a backend in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIndex(pub u32);

impl BackendIndex {
    /// For indexing the pool's list.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A backend among which a policy picks.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its place in the pool.
    pub index: BackendIndex,
    /// Its share of the sessions.
    pub weight: Weight,
    /// The hash of what it is called, wherever it stands in whichever pool.
    pub key: u64,
}

/// One session's search, as far as policies care.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    /// The present.
    pub now: Tick,
    /// The hash of the client ([`crate::chance::client_key`]); a random one if it has no address.
    pub client: u64,
    /// The session's own.
    pub chance: Chance,
    /// How long a backend that was down takes to get its whole share.
    pub slow_start: Option<Duration>,
}

/// How one member of several is picked.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described by its module")]
pub enum Policy {
    Rotation(Rotation),
    LeastSessions(LeastSessions),
    Choices(Choices),
    Random(Lots),
    Rendezvous(Rendezvous),
    Maglev(Maglev),
    /// The first that will do.
    First(Box<[Member]>),
}

impl Policy {
    /// The policy called `balance`, among `members`.
    pub fn new(balance: Balance, members: &[Member]) -> Self {
        match balance {
            Balance::RoundRobin => Self::Rotation(Rotation::new(members)),
            Balance::LeastSessions => Self::LeastSessions(LeastSessions::new(members)),
            Balance::LeastSessionsInOrder => Self::LeastSessions(LeastSessions::in_order(members)),
            Balance::TwoChoices => Self::Choices(Choices::new(members, By::Sessions)),
            Balance::LatencyTwoChoices => Self::Choices(Choices::new(members, By::Latency)),
            Balance::Random => Self::Random(Lots::new(members)),
            Balance::SourceHash => Self::Rendezvous(Rendezvous::new(members)),
            Balance::Maglev => Self::Maglev(Maglev::new(members)),
            Balance::First => Self::First(members.into()),
        }
    }

    /// Goes on where `previous` is, if it takes turns as this does.
    pub fn resume(&self, previous: &Self) {
        match (self, previous) {
            (Self::Rotation(rotation), Self::Rotation(previous)) => rotation.resume(previous),
            (Self::LeastSessions(least), Self::LeastSessions(previous)) => least.resume(previous),
            _ => {}
        }
    }

    /// The next member that will do; `None` if none will.
    ///
    /// `look` gives the load of a member that will do, and `None` for any other. It may be asked
    /// about one member more than once.
    pub fn next<'a>(
        &self,
        occasion: &mut Occasion,
        look: impl Fn(BackendIndex) -> Option<&'a Load>,
    ) -> Option<BackendIndex> {
        match self {
            Self::Rotation(rotation) => rotation.next(occasion, look),
            Self::LeastSessions(least) => least.next(occasion, look),
            Self::Choices(choices) => choices.next(occasion, look),
            Self::Random(lots) => lots.draw(occasion, look),
            Self::Rendezvous(rendezvous) => rendezvous.next(occasion.client, look),
            Self::Maglev(maglev) => maglev.next(occasion.client, look),
            Self::First(members) => {
                members.iter().map(|member| member.index).find(|index| look(*index).is_some())
            }
        }
    }
}

impl Policy {
    /// Begins anew, where there is an order that has a position.
    pub fn restart(&self) {
        if let Self::Rotation(rotation) = self {
            rotation.restart();
        }
    }

    /// Passes over one turn, where there are turns.
    pub fn skip(&self) {
        if let Self::Rotation(rotation) = self {
            rotation.skip();
        }
    }
}

/// How full a backend is: sessions for its weight, of which only a share may count yet. Compared
/// without division, so that it is exact.
#[derive(Clone, Copy, Debug)]
struct Fullness {
    sessions: u64,
    weight: u64,
}

impl Fullness {
    fn of(member: &Member, load: &Load, occasion: &Occasion) -> Self {
        let share = load.share(occasion.now, occasion.slow_start);
        let weight = u64::from(member.weight.get()) * u64::from(share.get());
        Self { sessions: load.sessions().into(), weight }
    }

    fn compare(self, other: Self) -> std::cmp::Ordering {
        // At most 2^32 sessions times a weight of 256,000.
        (self.sessions * other.weight).cmp(&(other.sessions * self.weight))
    }
}

#[cfg(test)]
mod tests;
