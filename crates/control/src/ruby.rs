//! Ruby files: their workers, which are run, asked, and ended.
//!
//! Each worker is a process (`process`) with a task of its own (`worker`) that keeps one running,
//! hands it the questions of its line, and answers them. What runs within is the shim beside this
//! file, with the file of the user. Nothing of it is a session: those wait at their shards.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::Gauge;
use engine::journal::{Journal, Wants, journal};
use engine::script::Scripts;
use script::ruby::{Broken, Ruby, Source};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::program::{Course, Orders};

mod process;
mod title;
mod worker;

use worker::Worker;

/// How long all workers of a file may take to load it.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// The files that run. Their processes end when this is dropped; [`Rubies::end`] waits for that.
pub struct Rubies {
    journal: Journal,
    followed: Vec<Followed>,
    /// Those that have just been started.
    starting: Vec<Followed>,
    /// Those that are not wanted any more, on their way to the end.
    retired: Vec<Followed>,
    /// Keeps their titles.
    titles: Option<AbortOnDrop>,
}

/// A task that ends with whoever has it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a file is not run, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
    path: PathBuf,
    why: String,
}

struct Followed {
    ruby: Arc<Ruby>,
    orders: watch::Sender<Orders>,
    tasks: Vec<JoinHandle<()>>,
}

impl Rubies {
    /// None yet. What the files say goes to `journal`.
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            followed: Vec::new(),
            starting: Vec::new(),
            retired: Vec::new(),
            titles: None,
        }
    }

    /// Starts the workers of each of `rubies`, on the runtime this is called in, and waits until all
    /// have loaded their files; those that run already go on as before. Whoever waits no longer may
    /// drop this.
    ///
    /// # Errors
    /// The first file that cannot be loaded; the workers of all that are new are ended then.
    pub async fn add(&mut self, rubies: &[Arc<Ruby>]) -> Result<(), NotRun> {
        for ruby in rubies {
            // One that somebody has taken runs already.
            let Some(lines) = ruby.take_questions() else { continue };
            let (orders, ordered) = watch::channel(Orders::default());
            let workers = lines.into_iter().map(|line| {
                Worker::new(Arc::clone(ruby), line, self.journal.clone()).run(ordered.clone())
            });
            let tasks = workers.map(tokio::spawn).collect();
            self.starting.push(Followed { ruby: Arc::clone(ruby), orders, tasks });
        }
        let mut loaded = Ok(());
        for one in &self.starting {
            let late =
                || Broken(format!("it is not loaded within {}", model::unit::show(LOAD_MAX)));
            let ready = timeout(LOAD_MAX, one.ruby.ready()).await;
            if let Err(Broken(why)) = ready.unwrap_or_else(|_| Err(late())) {
                loaded = Err(NotRun { path: one.ruby.source().path.clone(), why });
                break;
            }
        }
        match loaded {
            Ok(()) => self.followed.append(&mut self.starting),
            Err(_) => end_all(self.starting.drain(..).collect()).await,
        }
        loaded
    }

    /// Ends the workers of all but `rubies`, once nobody has asked them anything for a while.
    pub(crate) fn keep(&mut self, rubies: &[Arc<Ruby>]) {
        let stays = |one: &mut Followed| rubies.iter().any(|ruby| Arc::ptr_eq(ruby, &one.ruby));
        self.retired.retain(|one| !one.tasks.iter().all(JoinHandle::is_finished));
        self.retired.extend(self.followed.extract_if(.., |one| !stays(one)));
        for one in &self.retired {
            one.orders.send_modify(|orders| orders.course = Course::Retire);
        }
    }

    /// Has the titles of the processes follow what there is of sessions. `addresses` are those of all
    /// listeners, by name.
    pub(crate) fn entitle(
        &mut self,
        scripts: &Scripts,
        addresses: Vec<(Arc<str>, String)>,
        gauge: Gauge,
    ) {
        let task = tokio::spawn(title::follow(scripts.clone(), addresses, gauge));
        self.titles = Some(AbortOnDrop(task));
    }

    /// Has what could not be started tried again now.
    pub(crate) fn try_again(&self) {
        for one in &self.followed {
            one.orders.send_modify(|orders| orders.again += 1);
        }
    }

    /// Ends all of them, and waits until no process is left: three seconds at the most.
    pub async fn end(&mut self) {
        let all = [&mut self.followed, &mut self.starting, &mut self.retired];
        end_all(all.into_iter().flat_map(|some| some.drain(..)).collect()).await;
    }
}

/// Loads the Ruby files among `scripts`, each in one process that ends again, and tells those that
/// cannot be run.
///
/// # Errors
/// When this process cannot wait for others.
pub fn try_rubies(scripts: &Scripts) -> io::Result<Vec<(Arc<Ruby>, NotRun)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut faults = Vec::new();
    for ruby in script::ruby::all(scripts) {
        let one = Source { workers: NonZeroU32::MIN, ..ruby.source().clone() };
        let mut rubies = Rubies::new(journal(Wants::QUIET).0);
        let tried = runtime.block_on(async {
            let tried = rubies.add(&[Arc::new(Ruby::new(one))]).await;
            rubies.end().await;
            tried
        });
        if let Err(why) = tried {
            faults.push((ruby, why));
        }
    }
    Ok(faults)
}

impl NotRun {
    /// Why, on one line.
    pub fn why(&self) -> String {
        let lines = self.why.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// With the path of the file.
impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

async fn end_all(all: Vec<Followed>) {
    for one in &all {
        one.orders.send_modify(|orders| orders.course = Course::End);
    }
    for task in all.into_iter().flat_map(|one| one.tasks) {
        // One that has panicked has ended its process as well.
        let _ = task.await;
    }
}

#[cfg(test)]
mod tests;
