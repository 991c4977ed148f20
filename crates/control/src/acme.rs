//! Certificates that are ordered from authorities, and renewed.
//!
//! One task goes through the names of all listeners, one order at a time: the one that is due
//! first comes first, and when none is it sleeps. When one is due is decided in crate `tls`, by the
//! clock on the wall; this task adds what no clock on the wall can undo: no name is tried twice
//! within a minute, and there is a pause behind each order. A reload gives it other names and does
//! not disturb the order that is under way.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Journal, Level, Notice};
use tls::acme::{Lookup, Refused, Site, Sites};
use tls::{Loaded, Surroundings, moment};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longest time of an order.
const ORDER_MAX: Duration = Duration::from_secs(600);

/// Pause behind each.
const PAUSE: Duration = Duration::from_secs(1);

/// Shortest time from one order for a name to the next, whatever clocks and operators say.
const AGAIN_MIN: Duration = Duration::from_secs(60);

/// How often the clock on the wall is looked at: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// The task that orders. It ends when this is dropped.
pub(crate) struct Acme {
    sites: watch::Sender<Sites>,
    journal: Journal,
    /// Names of which was told that they have no certificate.
    told: HashSet<String>,
    task: JoinHandle<()>,
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Acme {
    /// Orders nothing yet, on the runtime this is called in; `lookup` finds the servers of
    /// authorities.
    pub(crate) fn start(lookup: Lookup, journal: &Journal) -> Self {
        let (sites, receiver) = watch::channel(Sites::default());
        let orders = Orders {
            sites: receiver,
            lookup,
            now: Box::new(|| Surroundings::of_this_process().now),
            journal: journal.clone(),
            tried: HashMap::new(),
        };
        let task = tokio::spawn(orders.run());
        Self { sites, journal: journal.clone(), told: HashSet::new(), task }
    }

    /// Orders for those of `loaded`, and no others any more.
    pub(crate) fn replace(&mut self, loaded: &Loaded) {
        self.tell_missing(loaded);
        self.sites.send_replace(loaded.sites().clone());
    }

    /// Whatever went wrong before may have been mended.
    pub(crate) fn try_again(&self) {
        self.sites.send_modify(|sites| sites.all().iter().for_each(|site| site.forgive()));
    }

    /// Orders no more.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    fn tell_missing(&mut self, loaded: &Loaded) {
        for (listener, server) in loaded.servers() {
            let missing = server.sites().iter().filter(|site| site.valid_until().is_none());
            for site in missing {
                let name = site.name();
                let instead = match server.has_certificates() {
                    true => "its clients get another one of the listener",
                    false => "its clients are refused",
                };
                let text =
                    format!("{listener}: {name} has no certificate yet; until it has, {instead}");
                if self.told.insert(text.clone()) {
                    self.journal.notice(Notice::Remark { level: Level::Warning, text });
                }
            }
        }
    }
}

/// What the task does.
struct Orders {
    sites: watch::Receiver<Sites>,
    lookup: Lookup,
    /// The clock on the wall, in seconds since 1970.
    now: Box<dyn Fn() -> i64 + Send>,
    journal: Journal,
    /// When names were tried last, by a clock that nobody sets.
    tried: HashMap<String, Instant>,
}

impl Orders {
    async fn run(mut self) {
        loop {
            let sites = self.sites.borrow_and_update().clone();
            self.tried.retain(|_, at| at.elapsed() < AGAIN_MIN);
            let now = (self.now)();
            let waits = sites.all().iter().map(|site| (self.wait(site, now), site));
            match waits.min_by_key(|(wait, _)| *wait) {
                Some((Duration::ZERO, site)) => {
                    self.order(site).await;
                    sleep(PAUSE).await;
                }
                next => {
                    let rest = next.map_or(LOOK_EVERY, |(wait, _)| wait.min(LOOK_EVERY));
                    tokio::select! {
                        () = sleep(rest) => {}
                        changed = self.sites.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// How long to wait with the order for a name; it is `now`.
    fn wait(&self, site: &Site, now: i64) -> Duration {
        let wait = u64::try_from(site.due(now).saturating_sub(now)).unwrap_or_default();
        let tried = self
            .tried
            .get(site.name())
            .map_or(Duration::ZERO, |at| AGAIN_MIN.saturating_sub(at.elapsed()));
        tried.max(Duration::from_secs(wait))
    }

    async fn order(&mut self, site: &Arc<Site>) {
        let (name, directory) = (site.name(), site.issuer().directory());
        self.tried.insert(name.to_owned(), Instant::now());
        let now = (self.now)();
        let what = match site.valid_until() {
            Some(until) => format!("a new certificate (the old one ends {} UTC)", moment(until)),
            None => "a certificate".to_owned(),
        };
        self.tell(Level::Info, format!("{name}: orders {what} from {directory}"));
        let ordered = timeout(ORDER_MAX, site.order(Arc::clone(&self.lookup), now)).await;
        let result = ordered.unwrap_or_else(|_| {
            let minutes = ORDER_MAX.as_secs() / 60;
            Err(Refused::Name(format!("it took longer than {minutes} minutes")))
        });
        let now = (self.now)();
        site.note(&result, now, chance());
        let due = moment(site.due(now));
        match (result, site.valid_until()) {
            (Ok(()), until) => {
                let until = until.map(moment).unwrap_or_default();
                self.tell(
                    Level::Info,
                    format!(
                        "{name}: has a new certificate, valid until {until} UTC, renewed {due} UTC"
                    ),
                );
            }
            (Err(why @ Refused::Busy), _) => {
                self.tell(Level::Info, format!("{name}: not ordered: {why}; next look {due} UTC"));
            }
            (Err(why), until) => {
                let (level, state) = match until {
                    Some(until) if until > now => {
                        let until = moment(until);
                        (Level::Warning, format!("the one it has ends {until} UTC"))
                    }
                    Some(_) => (Level::Error, "the one it has is over".to_owned()),
                    None => (Level::Error, "it has none".to_owned()),
                };
                self.tell(
                    level,
                    format!(
                        "{name}: no certificate from {directory}: {why}; {state}; next try {due} UTC"
                    ),
                );
            }
        }
    }

    fn tell(&self, level: Level, text: String) {
        self.journal.notice(Notice::Remark { level, text });
    }
}

/// Any number.
fn chance() -> u32 {
    let [_, _, _, _, low @ ..] = RandomState::new().hash_one(()).to_be_bytes();
    u32::from_be_bytes(low)
}

#[cfg(all(test, feature = "acme"))]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use engine::journal::{Wants, journal};
    use model::acme::Directory;
    use model::{CertificateFiles, Config, Listener, ServerTls, Spanned};
    use rig::Scratch;

    use super::*;

    const NOW: i64 = 1_795_268_220;
    const YEARS: i64 = 10 * 365 * 86_400;

    fn named<T>(value: T) -> Spanned<T> {
        Spanned::default_of(value)
    }

    /// A configuration with three names, of an authority that nobody knows.
    fn loaded(scratch: &Scratch) -> Loaded {
        let ca = scratch.join("ca.pem");
        let made = tls::self_signed(&["ca".to_owned()], NOW, NOW + 86_400).expect("chance");
        std::fs::write(&ca, made.cert).expect("a file");
        let names = ["a.example", "b.example", "c.example"];
        let mut acme = model::Acme::new(names.map(|name| named(name.to_owned())).to_vec());
        acme.directory = Directory::Url("https://ca.example/dir".to_owned());
        acme.ca = vec![named(ca.clone())];
        acme.store = named(scratch.join("store"));
        let mut tls = ServerTls::new(CertificateFiles::new(named(ca)));
        tls.certificates.clear();
        tls.acme = Some(named(acme));
        let mut listener = Listener::new("site", named("all".to_owned()));
        listener.tls = Some(named(tls));
        let config = Config { listeners: vec![listener], ..Config::default() };
        let around = Surroundings { now: NOW, ..Surroundings::of_this_process() };
        let loaded = Loaded::read(&config, around, &Loaded::default());
        loaded.map(|(loaded, _)| loaded).expect("it is sound")
    }

    /// How often the authority is looked for in `hours`, if at the end of each minute `set` says by
    /// how much the clock on the wall is wrong.
    async fn tries(hours: u64, set: impl Fn(u64) -> i64) -> usize {
        let scratch = Scratch::new();
        let loaded = loaded(&scratch);
        let (asked, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicI64::new(0)));
        let (counted, read, begin) = (Arc::clone(&asked), Arc::clone(&wrong), Instant::now());
        let (sites, receiver) = watch::channel(loaded.sites().clone());
        let orders = Orders {
            sites: receiver,
            lookup: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Err(io::Error::other("nobody knows it"))
            }),
            now: Box::new(move || {
                let passed = i64::try_from(begin.elapsed().as_secs()).expect("not that long");
                NOW + passed + read.load(Ordering::Relaxed)
            }),
            journal: journal(Wants::QUIET).0,
            tried: HashMap::new(),
        };
        let task = tokio::spawn(orders.run());
        for minute in 0..hours * 60 {
            sleep(Duration::from_secs(60)).await;
            wrong.store(set(minute), Ordering::Relaxed);
        }
        task.abort();
        drop(sites);
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_that_is_away_is_left_alone() {
        // After 5 minutes, then 10, 20 and so on; six hours at last.
        let tries = tries(24, |_| 0).await;
        assert!((9..=11).contains(&tries), "{tries}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_does_not_make_a_stampede() {
        // One more for each time that it was set.
        let each_hour = tries(24, |minute| if minute / 60 % 2 == 0 { 0 } else { YEARS }).await;
        assert!((9..=11 + 24).contains(&each_hour), "{each_hour}");
        let back = tries(24, |minute| if minute < 60 { YEARS } else { 0 }).await;
        assert!((9..=14).contains(&back), "{back}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_runs_wild_is_no_reason_to_hurry() {
        // Each look finds it further on.
        let tries = tries(1, |minute| i64::try_from(minute).expect("small") * YEARS).await;
        assert!((1..=3 * 60 + 3).contains(&tries), "{tries}");
    }
}
