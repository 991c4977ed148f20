//! The backends that one session tries, in order.
//!
//! Each is tried at most once. First the one the client had, if the pool is
//! sticky; then the primaries that are up, as the rotation has them; then the
//! backups that are up; and when all of these have failed, everything that was
//! thought to be down: a wrong guess costs a moment, a refusal costs a session.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use relay::Tick;

use crate::balance::{BackendIndex, Rotation};
use crate::mark::Standing;
use crate::plan::Pool;

/// The search of one session for a backend.
#[derive(Debug)]
pub struct Pick<'a> {
    pool: &'a Pool,
    client: Option<IpAddr>,
    tried: RefCell<Vec<BackendIndex>>,
    /// The backend whose trial this session has claimed: down for all others, to be tried by us.
    claimed: Cell<Option<BackendIndex>>,
    stage: Stage,
}

/// Where the search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Remembered,
    Primaries,
    Backups,
    DownPrimaries,
    DownBackups,
    Exhausted,
}

impl<'a> Pick<'a> {
    /// A search that has tried nothing yet. `client`: for stickiness, if it has an address.
    pub fn new(pool: &'a Pool, client: Option<IpAddr>) -> Self {
        Self {
            pool,
            client,
            tried: RefCell::default(),
            claimed: Cell::new(None),
            stage: Stage::Remembered,
        }
    }

    /// The next backend to try; `None` when each was tried.
    pub fn next(&mut self, now: Tick) -> Option<BackendIndex> {
        loop {
            let found = match self.stage {
                Stage::Remembered => self.remembered(now),
                Stage::Primaries => self.turn(&self.pool.primaries, Some(now)),
                Stage::Backups => self.turn(&self.pool.backups, Some(now)),
                Stage::DownPrimaries => self.turn(&self.pool.primaries, None),
                Stage::DownBackups => self.turn(&self.pool.backups, None),
                Stage::Exhausted => return None,
            };
            match found {
                Some(index) => {
                    self.tried.borrow_mut().push(index);
                    return Some(index);
                }
                None => self.stage = self.stage.next(),
            }
        }
    }

    fn remembered(&self, now: Tick) -> Option<BackendIndex> {
        let index = self.pool.sticky.as_ref()?.recall(self.client?, now)?;
        // A plan that replaced the one the memory is from may have fewer backends.
        (index.get() < self.pool.backends.len() && self.will_do(index, Some(now))).then_some(index)
    }

    /// Whose turn it is in a rotation; `now`: only among those that may be given sessions.
    fn turn(&self, rotation: &Rotation, now: Option<Tick>) -> Option<BackendIndex> {
        rotation.next(|index| self.will_do(index, now))
    }

    fn will_do(&self, index: BackendIndex, now: Option<Tick>) -> bool {
        if self.tried.borrow().contains(&index) {
            return false;
        }
        if self.claimed.get() == Some(index) {
            return true;
        }
        let mark = &self.pool.backend(index).mark;
        now.is_none_or(|now| match mark.standing(now) {
            Standing::Up => true,
            Standing::Down => false,
            Standing::DueForTrial => {
                let is_ours = mark.claim_trial(now, self.pool.retry_down);
                if is_ours {
                    self.claimed.set(Some(index));
                }
                is_ours
            }
        })
    }
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Remembered => Self::Primaries,
            Self::Primaries => Self::Backups,
            Self::Backups => Self::DownPrimaries,
            Self::DownPrimaries => Self::DownBackups,
            Self::DownBackups | Self::Exhausted => Self::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use model::{
        Backend, BackendAddress, Balance, Config, Listener, Role, Spanned, Sticky, Weight,
    };

    use crate::plan::Plan;

    const RETRY: Duration = Duration::from_secs(10);

    fn now() -> Tick {
        Tick::from_millis(1_000_000)
    }

    /// A pool with a backend per letter; lower-case letters are backups.
    fn plan(letters: &str, balance: Balance, sticky: Option<Sticky>) -> Plan {
        let backend = |letter: char| Backend {
            address: Spanned::default_of(BackendAddress::Name {
                host: format!("{letter}.example"),
                port: 80,
            }),
            weight: Weight::ONE,
            role: if letter.is_lowercase() { Role::Backup } else { Role::Primary },
        };
        let pool = Spanned::default_of("main".to_owned());
        Plan::compile(&Config {
            listeners: vec![Listener {
                name: "main".to_owned(),
                bind: Vec::new(),
                pool,
                access: model::Access::default(),
                timeouts: model::Timeouts::default(),
                tcp: model::Tcp::default(),
            }],
            pools: vec![model::Pool {
                name: "main".to_owned(),
                backends: letters.chars().map(backend).collect(),
                balance,
                sticky,
                retry_down: RETRY,
                source: None,
            }],
            ..Config::default()
        })
    }

    fn letters(pool: &Pool, picked: impl IntoIterator<Item = BackendIndex>) -> String {
        picked.into_iter().filter_map(|index| pool.backend(index).label.chars().next()).collect()
    }

    /// All that one session tries, when nothing answers it.
    fn all(pool: &Pool, client: Option<IpAddr>) -> String {
        let mut pick = Pick::new(pool, client);
        letters(pool, std::iter::from_fn(|| pick.next(now())))
    }

    fn down(pool: &Pool, which: &str) {
        for backend in &pool.backends {
            if which.contains(&backend.label[..1]) {
                backend.mark.failed(now(), RETRY);
            }
        }
    }

    #[test]
    fn each_backend_is_tried_once_and_backups_last() {
        let plan = plan("ABxC", Balance::RoundRobin, None);
        let pool = &plan.listeners[0].pool;
        assert_eq!(all(pool, None), "ABCx");
        assert_eq!(all(pool, None), "ABCx");
    }

    #[test]
    fn what_is_down_is_tried_only_after_all_else() {
        let plan = plan("ABxC", Balance::First, None);
        let pool = &plan.listeners[0].pool;
        down(pool, "Ax");
        assert_eq!(all(pool, None), "BCAx");
        down(pool, "BC");
        assert_eq!(all(pool, None), "ABCx");
    }

    #[test]
    fn one_session_gets_the_trial_of_a_backend_that_rested() {
        let plan = plan("AB", Balance::First, None);
        let pool = &plan.listeners[0].pool;
        down(pool, "A");
        let later = now().after(RETRY);
        assert_eq!(Pick::new(pool, None).next(later), Some(BackendIndex(0)));
        assert_eq!(Pick::new(pool, None).next(later), Some(BackendIndex(1)));
    }

    #[test]
    fn a_remembered_backend_comes_first_while_it_is_up() {
        let plan = plan("ABC", Balance::RoundRobin, Some(Sticky { ttl: Duration::from_secs(60) }));
        let pool = &plan.listeners[0].pool;
        let client = IpAddr::from([192, 0, 2, 1]);
        let memory = pool.sticky.as_ref().expect("a sticky pool");
        memory.remember(client, BackendIndex(1), now());
        assert!(all(pool, Some(client)).starts_with('B'));
        assert!(all(pool, Some(IpAddr::from([192, 0, 2, 2]))).starts_with('A'));
        down(pool, "B");
        assert!(!all(pool, Some(client)).starts_with('B'));
    }
}
