//! Certificates while they are served: read again when their files change, and told about before
//! they end.
//!
//! Each listener that speaks TLS has a task, and each pool whose backends or proxies are spoken to in
//! it, by files. It looks at these files once a second, and at their dates once an hour. A file that cannot be used changes nothing. The first look comes soon
//! after the start, as the user that the process is by then: whoever may read a key only as root
//! is told early that it cannot be renewed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::journal::{Journal, Level, Notice};
use model::{Diagnostic, Severity};
use tls::acme::Lookup;
use tls::{Backends, Held, Loaded, Renewal, Server, Surroundings, moment};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::acme::Acme;
use crate::watch::Watch;

/// How often dates are looked at.
const DATES_EVERY: Duration = Duration::from_secs(3600);

const DAY: i64 = 86_400;

/// The tasks of the listeners and pools.
pub(crate) struct Certificates {
    journal: Journal,
    told: Arc<Mutex<Told>>,
    tasks: Vec<Task>,
    /// Those that authorities give.
    ordered: Acme,
}

/// A task that ends with whoever started it.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Certificates {
    /// Follows those of `loaded`, on the runtime this is called in; `lookup` finds the servers of
    /// authorities.
    pub(crate) fn follow(loaded: &Loaded, lookup: Lookup, journal: &Journal) -> Self {
        let mut followed = Self {
            journal: journal.clone(),
            told: Arc::default(),
            tasks: Vec::new(),
            ordered: Acme::start(lookup, journal),
        };
        followed.replace(loaded);
        followed
    }

    /// Follows those of `loaded`, and no others any more.
    pub(crate) fn replace(&mut self, loaded: &Loaded) {
        self.tasks.clear();
        let servers = loaded
            .servers()
            .map(|(name, server)| (name.to_owned(), Subject::Server(Arc::clone(server))));
        let pools = loaded
            .pools()
            .map(|(name, backends)| (format!("pool {name}"), Subject::Backends(backends.clone())));
        let all: Vec<_> = servers.chain(pools).filter(|(_, of)| !of.files().is_empty()).collect();
        let held = all.iter().flat_map(|(_, of)| of.held());
        let paths = held.map(|held| held.path).collect::<Vec<_>>();
        lock(&self.told).keep(&paths);
        let task = |(name, of)| {
            let (journal, told) = (self.journal.clone(), Arc::clone(&self.told));
            Task(tokio::spawn(Followed { name, of, journal, told }.run()))
        };
        self.tasks = all.into_iter().map(task).collect();
        self.ordered.replace(loaded);
    }

    /// What could not be ordered before may be now.
    pub(crate) fn try_again(&self) {
        self.ordered.try_again();
    }

    /// From now on nothing is ordered: nobody could be shown a proof any more.
    pub(crate) fn order_no_more(&self) {
        self.ordered.stop();
    }
}

/// What is read from files.
#[derive(Clone)]
enum Subject {
    /// How a listener speaks TLS.
    Server(Arc<Server>),
    /// How backends, or a proxy, are spoken to.
    Backends(Backends),
}

impl Subject {
    fn files(&self) -> Vec<PathBuf> {
        let files = match self {
            Self::Server(server) => server.files(),
            Self::Backends(backends) => backends.files(),
        };
        files.into_iter().map(PathBuf::from).collect()
    }

    fn held(&self) -> Vec<Held> {
        match self {
            Self::Server(server) => server.held(),
            Self::Backends(backends) => backends.held().into_iter().collect(),
        }
    }

    fn renew(&self) -> Renewal {
        let around = Surroundings::of_this_process();
        match self {
            Self::Server(server) => server.renew(around),
            Self::Backends(backends) => backends.renew(around),
        }
    }
}

/// A listener or a pool.
struct Followed {
    name: String,
    of: Subject,
    journal: Journal,
    told: Arc<Mutex<Told>>,
}

impl Followed {
    async fn run(self) {
        let mut watch = Watch::new(&self.of.files());
        let mut dates = interval(DATES_EVERY);
        dates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = watch.changed() => {
                    watch.take_note();
                    self.renew().await;
                }
                _ = dates.tick() => self.look_at_dates(),
            }
        }
    }

    /// Reads the files again, on a thread that may wait for them.
    async fn renew(&self) {
        let of = self.of.clone();
        let Ok(renewal) = spawn_blocking(move || of.renew()).await else { return };
        let name = &self.name;
        match renewal {
            Renewal::Same => {}
            Renewal::Renewed(warnings) => {
                let until = self.of.held().iter().map(|held| held.not_after).min();
                let until = until.map(|until| format!("; valid until {} UTC", moment(until)));
                let until = until.unwrap_or_default();
                let text = format!("{name}: certificates read again{until}");
                self.tell(Level::Info, text);
                for warning in &warnings {
                    self.tell(Level::Warning, format!("{name}: {}", told(warning)));
                }
                self.look_at_dates();
            }
            Renewal::Refused(faults) => {
                let errors = faults.iter().filter(|fault| fault.severity() == Severity::Error);
                for fault in errors {
                    let why = told(fault);
                    let text = format!("{name}: certificates stay as they were: {why}");
                    self.tell(Level::Warning, text);
                }
            }
        }
    }

    fn look_at_dates(&self) {
        let now = Surroundings::of_this_process().now;
        for held in self.of.held() {
            if let Some((level, text)) = lock(&self.told).remark(&held, now) {
                self.tell(level, format!("{}: {text}", self.name));
            }
        }
    }

    fn tell(&self, level: Level, text: String) {
        self.journal.notice(Notice::Remark { level, text });
    }
}

/// A fault in one line.
pub(crate) fn told(fault: &Diagnostic) -> String {
    match &fault.help {
        Some(help) => format!("{}; {help}", fault.message),
        None => fault.message.clone(),
    }
}

fn lock(told: &Mutex<Told>) -> std::sync::MutexGuard<'_, Told> {
    // What is in it holds, whoever panicked beside it.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has been told about the end of certificates, by their files.
#[derive(Debug, Default)]
struct Told(HashMap<String, (Stage, i64)>);

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Month,
    Week,
    Over,
}

impl Told {
    fn keep(&mut self, paths: &[String]) {
        self.0.retain(|path, _| paths.contains(path));
    }

    /// What is to be told at `now`: once a day, and when the end has come nearer.
    fn remark(&mut self, held: &Held, now: i64) -> Option<(Level, String)> {
        let Held { path, not_after } = held;
        let left = not_after - now;
        let stage = match left {
            ..0 => Stage::Over,
            _ if left < 7 * DAY => Stage::Week,
            _ if left < 30 * DAY => Stage::Month,
            _ => {
                self.0.remove(path);
                return None;
            }
        };
        let is_told = |(known, at): &(Stage, i64)| *known == stage && now - at < DAY;
        if self.0.get(path).is_some_and(is_told) {
            return None;
        }
        self.0.insert(path.clone(), (stage, now));
        let until = moment(*not_after);
        Some(match (stage, left / DAY) {
            (Stage::Over, _) => {
                (Level::Error, format!("the certificate {path} has expired on {until} UTC"))
            }
            (_, 0) => {
                (Level::Warning, format!("the certificate {path} expires today, {until} UTC"))
            }
            (_, 1) => {
                (Level::Warning, format!("the certificate {path} expires in a day, {until} UTC"))
            }
            (_, days) => {
                let text = format!("the certificate {path} expires in {days} days, {until} UTC");
                (Level::Warning, text)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_once_a_day() {
        let end = 100 * DAY;
        let held = Held { path: "a.pem".to_owned(), not_after: end };
        let mut told = Told::default();
        let mut at = |left: i64| told.remark(&held, end - left).map(|(_, text)| text);
        assert_eq!(at(31 * DAY), None);
        let text = at(29 * DAY).expect("a month before");
        assert_eq!(text, "the certificate a.pem expires in 29 days, 1970-04-11 00:00:00 UTC");
        assert_eq!(at(29 * DAY - 3_600), None, "within a day");
        assert!(at(28 * DAY).is_some(), "the next day");
        assert!(at(7 * DAY - 1).is_some());
        assert_eq!(at(7 * DAY - 3_601), None);
        assert!(at(DAY).is_some_and(|text| text.contains("in a day")));
        assert!(at(0).is_some_and(|text| text.contains("today")));
        assert!(at(-1).is_some_and(|text| text.contains("has expired")), "at once");
        assert_eq!(at(-3_600), None);
        assert!(at(-DAY - 1).is_some());
        // It was renewed, and is old again.
        let renewed = Held { not_after: 2 * end, ..held.clone() };
        assert_eq!(told.remark(&renewed, end), None);
        assert!(told.remark(&held, end - 29 * DAY).is_some());
        told.keep(&[]);
        assert!(told.0.is_empty());
    }
}
