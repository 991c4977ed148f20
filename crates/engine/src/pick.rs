//! The backends that one session tries, in order.
//!
//! Each is tried at most once. First the one the client had, if the pool is
//! sticky; then the primaries that are up, as the policy has them; then the
//! backups that are up; and when all of these have failed, everything that was
//! thought to be down: a wrong guess costs a moment, a refusal costs a session.
//! A pool may forgive instead ([`AllDown::Forgive`]): all count as up again, and
//! the list begins anew. One that has as many sessions as it may is passed over
//! throughout. In a pool with a queue these are worth a wait, and so come before
//! those that are down. A pool may bound how many one session tries.

use std::cell::Cell;
use std::net::IpAddr;

use model::AllDown;
use relay::Tick;

use crate::balance::{BackendIndex, Occasion, Policy};
use crate::chance::{Chance, client_key};
use crate::load::Load;
use crate::mark::{Carries, Standing};
use crate::plan::{Backend, Pool};

/// The search of one session for a backend.
#[derive(Debug)]
pub struct Pick<'a> {
    pool: &'a Pool,
    client: Option<IpAddr>,
    carries: Carries,
    /// Of the policies; its time is that of the last look.
    occasion: Occasion,
    tried: Vec<BackendIndex>,
    found_full: Cell<bool>,
    stage: Stage,
}

/// A place at a backend: counts as one of its sessions until it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    pool: &'a Pool,
    index: BackendIndex,
}

/// Where the search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Remembered,
    Primaries,
    Backups,
    /// Whether all is to be forgiven.
    AllDown,
    DownPrimaries,
    DownBackups,
    Exhausted,
}

/// Which backends a stage asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// Those that may be given sessions.
    Up,
    /// All, whatever is thought of them.
    All,
}

impl<'a> Pick<'a> {
    /// A search that has tried nothing yet. `client`: for stickiness and hashing, if it has an
    /// address; `seed`: of all chance in it.
    pub fn new(pool: &'a Pool, client: Option<IpAddr>, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let occasion = Occasion {
            now: Tick::default(),
            client: client.map_or_else(|| chance.bits(), client_key),
            chance,
            slow_start: pool.slow_start,
        };
        Self {
            pool,
            client,
            carries: Carries::Streams,
            occasion,
            tried: Vec::new(),
            found_full: Cell::new(false),
            stage: Stage::Remembered,
        }
    }

    /// The same for a flow of datagrams.
    #[must_use]
    pub fn of_datagrams(self) -> Self {
        Self { carries: Carries::Datagrams, ..self }
    }

    /// A place at the next backend to try; `None` when each was tried or is full, or as many were
    /// tried as the pool allows. With a queue also when one that is up is full, whatever is thought
    /// of those that are down.
    pub fn next(&mut self, now: Tick) -> Option<Place<'a>> {
        self.occasion.now = now;
        let pool = self.pool;
        if self.tried.len() >= pool.tries {
            // No wait would bring another try.
            self.found_full.set(false);
            return None;
        }
        loop {
            let stage = self.stage;
            let (found, among) = match stage {
                Stage::Remembered => (self.remembered(now), Among::Up),
                Stage::Primaries => (self.turn(&pool.primaries, Among::Up), Among::Up),
                Stage::Backups => (self.turn(&pool.backups, Among::Up), Among::Up),
                Stage::AllDown => {
                    self.stage = self.stage.next();
                    (self.begin_anew(now), Among::All)
                }
                Stage::DownPrimaries => (self.turn(&pool.primaries, Among::All), Among::All),
                Stage::DownBackups => (self.turn(&pool.backups, Among::All), Among::All),
                Stage::Exhausted => return None,
            };
            let Some(index) = found else {
                if stage == Stage::Backups && pool.queue.is_some() && self.found_full() {
                    return None;
                }
                // The one stage that has moved on already goes on to all that is down.
                if stage == self.stage {
                    self.stage = self.stage.next();
                }
                continue;
            };
            // If another session was faster, for a trial or for the last place, look again.
            if let Some(place) = self.take(index, among, now) {
                self.tried.push(index);
                return Some(place);
            }
        }
    }

    /// The same from the beginning, without those that were tried: some may not be full any more.
    pub fn again(&mut self, now: Tick) -> Option<Place<'a>> {
        self.found_full.set(false);
        self.stage = Stage::Remembered;
        self.next(now)
    }

    /// Whether a backend was passed over because it had as many sessions as it may.
    pub fn found_full(&self) -> bool {
        self.found_full.get()
    }

    fn remembered(&self, now: Tick) -> Option<BackendIndex> {
        let number = self.pool.sticky.as_ref()?.recall(self.client?, now)?;
        // The backend may have been removed since.
        let index = self.pool.numbered(number)?;
        self.look(index, Among::Up, now).map(|_| index)
    }

    /// If everything is down and that is to be forgiven: the first that was not tried yet. The
    /// search after this one begins behind the second, as it does in plug, whose order this is.
    fn begin_anew(&mut self, now: Tick) -> Option<BackendIndex> {
        let pool = self.pool;
        let carries = self.carries;
        let is_down = |backend: &Backend| backend.mark(carries).standing(now) == Standing::Down;
        let forgives = pool.all_down == AllDown::Forgive
            && self.tried.len() < pool.backends.len()
            && pool.backends.iter().all(is_down);
        if !forgives {
            return None;
        }
        pool.backends.iter().for_each(|backend| backend.mark(carries).forgive());
        pool.primaries.restart();
        let first = self.turn(&pool.primaries, Among::All);
        pool.primaries.skip();
        first
    }

    /// Whose turn it is by a policy.
    fn turn(&mut self, policy: &Policy, among: Among) -> Option<BackendIndex> {
        let (mut occasion, now) = (self.occasion, self.occasion.now);
        let index = policy.next(&mut occasion, |index| self.look(index, among, now));
        self.occasion = occasion;
        index
    }

    /// The load of a backend that will do.
    fn look(&self, index: BackendIndex, among: Among, now: Tick) -> Option<&'a Load> {
        let backend = self.pool.backend(index);
        let (mark, load) = (backend.mark(self.carries), &backend.load);
        let is_asked_for = !self.tried.contains(&index)
            && (among == Among::All || mark.standing(now) != Standing::Down);
        if is_asked_for && !load.has_room() {
            self.found_full.set(true);
            return None;
        }
        is_asked_for.then_some(load)
    }

    /// Takes a place at a backend that would do a moment ago, and its trial if one is due.
    fn take(&self, index: BackendIndex, among: Among, now: Tick) -> Option<Place<'a>> {
        let backend = self.pool.backend(index);
        let place = backend.load.enter().then(|| Place { pool: self.pool, index })?;
        let mark = backend.mark(self.carries);
        let may_try = among == Among::All
            || match mark.standing(now) {
                Standing::Up => true,
                Standing::DueForTrial => mark.claim_trial(now, self.pool.retry_down),
                Standing::Down => false,
            };
        may_try.then_some(place)
    }
}

impl<'a> Place<'a> {
    /// The backend it is at.
    pub fn backend(&self) -> &'a Backend {
        self.pool.backend(self.index)
    }

    /// Its place in the pool.
    pub fn index(&self) -> BackendIndex {
        self.index
    }

    /// Leaves the count to a session, which takes itself back with [`Pool::leave`] at its end.
    pub fn keep(self) -> BackendIndex {
        std::mem::ManuallyDrop::new(self).index
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.leave(self.index);
    }
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Remembered => Self::Primaries,
            Self::Primaries => Self::Backups,
            Self::Backups => Self::AllDown,
            Self::AllDown => Self::DownPrimaries,
            Self::DownPrimaries => Self::DownBackups,
            Self::DownBackups | Self::Exhausted => Self::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use model::{
        Backend, BackendAddress, Balance, Config, Listener, Role, Spanned, Sticky, StickyKey,
    };

    use crate::plan::Plan;
    use crate::sticky::BackendNumber;

    const STICKY: Sticky =
        Sticky { ttl: Duration::from_secs(60), by: StickyKey::Client, entries: Sticky::ENTRIES };
    const RETRY: Duration = Duration::from_secs(10);

    fn now() -> Tick {
        Tick::from_millis(1_000_000)
    }

    fn plan(letters: &str, balance: Balance, sticky: Option<Sticky>) -> Plan {
        Plan::compile(&config(letters, balance, sticky), None)
    }

    fn plan_with(letters: &str, with: impl FnOnce(model::Pool) -> model::Pool) -> Plan {
        Plan::compile(&config_with(letters, with), None)
    }

    fn config(letters: &str, balance: Balance, sticky: Option<Sticky>) -> Config {
        config_with(letters, |pool| model::Pool { balance, sticky, ..pool })
    }

    /// A pool with a backend per letter; lower-case letters are backups.
    fn config_with(letters: &str, with: impl FnOnce(model::Pool) -> model::Pool) -> Config {
        let backend = |letter: char| Backend {
            role: if letter.is_lowercase() { Role::Backup } else { Role::Primary },
            ..Backend::new(Spanned::default_of(BackendAddress::Name {
                host: format!("{letter}.example"),
                port: 80,
            }))
        };
        let pool = Spanned::default_of("main".to_owned());
        Config {
            listeners: vec![Listener::new("main", pool.clone())],
            pools: vec![with(model::Pool {
                retry_down: RETRY,
                ..model::Pool::new(pool, letters.chars().map(backend).collect())
            })],
            ..Config::default()
        }
    }

    fn letters(pool: &Pool, picked: impl IntoIterator<Item = BackendIndex>) -> String {
        picked.into_iter().filter_map(|index| pool.backend(index).label.chars().next()).collect()
    }

    /// All that one session tries, when nothing answers it.
    fn all(pool: &Pool, client: Option<IpAddr>) -> String {
        let mut pick = Pick::new(pool, client, 1);
        letters(pool, std::iter::from_fn(|| pick.next(now()).map(|place| place.index())))
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
        let first = || Pick::new(pool, None, 1).next(later).map(|place| place.index());
        assert_eq!(first(), Some(BackendIndex(0)));
        assert_eq!(first(), Some(BackendIndex(1)));
    }

    #[test]
    fn a_remembered_backend_comes_first_while_it_is_up() {
        let plan = plan("ABC", Balance::RoundRobin, Some(STICKY));
        let pool = &plan.listeners[0].pool;
        let client = IpAddr::from([192, 0, 2, 1]);
        let memory = pool.sticky.as_ref().expect("a sticky pool");
        memory.remember(client, BackendNumber(1), now());
        assert!(all(pool, Some(client)).starts_with('B'));
        assert!(all(pool, Some(IpAddr::from([192, 0, 2, 2]))).starts_with('A'));
        down(pool, "B");
        assert!(!all(pool, Some(client)).starts_with('B'));
    }

    /// What one session tries when nothing answers it, each of which is then marked.
    fn all_failing(pool: &Pool) -> String {
        let mut pick = Pick::new(pool, None, 1);
        let mut tried = Vec::new();
        while let Some(place) = pick.next(now()) {
            place.backend().mark.failed(now(), RETRY);
            tried.push(place.index());
        }
        letters(pool, tried)
    }

    #[test]
    fn a_session_tries_no_more_than_it_may() {
        let plan = plan_with("ABC", |pool| model::Pool { tries: NonZeroU32::new(2), ..pool });
        let pool = &plan.listeners[0].pool;
        assert_eq!(all(pool, None), "AB");
        assert_eq!(all(pool, None), "CA");
    }

    #[test]
    fn what_is_down_is_forgiven_once_all_is_in_the_order_of_plug() {
        let plan = |tries| {
            let all_down = AllDown::Forgive;
            plan_with("ABC", |pool| model::Pool { all_down, tries, ..pool })
        };
        let all = plan(None);
        let pool = &all.listeners[0].pool;
        for expected in ["ABC", "ACB", "ACB"] {
            assert_eq!(all_failing(pool), expected);
        }
        // One at a time makes no difference.
        let one = plan(NonZeroU32::new(1));
        let pool = &one.listeners[0].pool;
        let each: String = (0..9).map(|_| all_failing(pool)).collect();
        assert_eq!(each, "ABCACBACB");
    }

    #[test]
    fn what_else_is_down_is_forgiven_when_the_last_one_fails() {
        let all_down = AllDown::Forgive;
        let plan = plan_with("AB", |pool| model::Pool { all_down, ..pool });
        let pool = &plan.listeners[0].pool;
        down(pool, "A");
        assert_eq!(all_failing(pool), "BA", "nobody is turned away while one was not tried");
        pool.backends.iter().for_each(|backend| {
            backend.mark.succeeded();
        });
        down(pool, "B");
        assert_eq!(all(pool, None).chars().next(), Some('A'), "one that is up stands for all");
        assert_eq!(pool.backends[1].mark.standing(now()), Standing::Down);
    }

    /// A plan whose first backend may have one session.
    fn limited(letters: &str) -> Plan {
        let plan = plan(letters, Balance::First, None);
        plan.pools[0].backends[0].load.take_on(NonZeroU32::new(1));
        plan
    }

    #[test]
    fn a_full_backend_is_not_tried_even_when_all_else_has_failed() {
        let plan = limited("AB");
        let pool = &plan.listeners[0].pool;
        let held = Pick::new(pool, None, 1).next(now()).expect("a place");
        assert_eq!(all(pool, None), "B");
        down(pool, "AB");
        assert_eq!(all(pool, None), "B");
        drop(held);
        assert_eq!(all(pool, None), "AB");
    }

    #[test]
    fn a_search_tells_that_it_found_one_full() {
        let plan = limited("A");
        let pool = &plan.listeners[0].pool;
        let mut first = Pick::new(pool, None, 1);
        let place = first.next(now()).expect("a place");
        assert!(!first.found_full());
        let mut second = Pick::new(pool, None, 2);
        assert!(second.next(now()).is_none() && second.found_full());
        assert_eq!(place.keep(), BackendIndex(0));
        assert_eq!(pool.backends[0].load.sessions(), 1, "left to its session");
        pool.backends[0].load.leave();
        assert_eq!(all(pool, None), "A");
    }

    #[test]
    fn with_a_queue_one_that_is_full_is_worth_more_than_one_that_is_down() {
        let mut config = config("ABx", Balance::First, None);
        let length = std::num::NonZeroUsize::MIN;
        config.pools[0].queue =
            Some(Spanned::default_of(model::Queue { length, wait: Duration::from_secs(1) }));
        config.pools[0].backends[0].max = NonZeroU32::new(1);
        let plan = Plan::compile(&config, None);
        let pool = &plan.listeners[0].pool;
        down(pool, "B");
        let held = Pick::new(pool, None, 1).next(now()).expect("a place at A");
        let mut pick = Pick::new(pool, None, 2);
        assert_eq!(pick.next(now()).expect("the backup").index(), BackendIndex(2));
        assert!(pick.next(now()).is_none() && pick.found_full());
        assert!(pick.again(now()).is_none() && pick.found_full());
        drop(held);
        assert_eq!(pick.again(now()).expect("A, now").index(), BackendIndex(0));
        // Nothing is full any more: what is down is tried in the end, and each only once.
        assert_eq!(pick.again(now()).expect("B").index(), BackendIndex(1));
        assert!(pick.again(now()).is_none() && !pick.found_full());
    }

    #[test]
    fn every_policy_tries_each_once_from_many_threads_and_counts_end_at_0() {
        for (name, balance) in Balance::NAMES {
            let plan = plan("ABCxyD", balance, None);
            let pool = &plan.listeners[0].pool;
            down(pool, "By");
            std::thread::scope(|scope| {
                for thread in 0..4_u8 {
                    scope.spawn(move || {
                        for client in 0..200_u8 {
                            let client = IpAddr::from([10, 0, thread, client]);
                            let mut tried = all(pool, Some(client)).into_bytes();
                            tried.sort_unstable();
                            assert_eq!(tried, b"ABCDxy", "{name}");
                        }
                    });
                }
            });
            assert!(pool.backends.iter().all(|backend| backend.load.sessions() == 0), "{name}");
        }
    }
}
