//! A new configuration in the place of the one that runs.
//!
//! ```text
//! read ─▶ check ─▶ compare ─▶ open what is new ─▶ resolve new names ─▶ swap ─▶ close what is gone
//! ```
//!
//! Up to the swap nothing has changed, and whatever fails leaves everything as
//! it was. Sessions keep what they began with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Level, Notice};
use engine::plan::Material;
use engine::probe::probe;
use engine::script::Scripts;
use engine::{BindFailure, Engine, Successor};
use model::{Bind, Config, Diagnostic, Listener, Severity};
use tls::{Loaded, Surroundings};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admin::{Asked, Desk, Door};
use crate::authority::Authorities;
use crate::certificates::{self, Certificates};
use crate::exit::{Exit, exit_of};
use crate::log;
use crate::missing::Missing;
use crate::names::Names;
use crate::ruby::Rubies;
use crate::systemd::Manager;

/// Longest wait for the first answers about names that are new. Sessions wait for later ones.
const NAMES_MAX: Duration = Duration::from_secs(3);

/// What there is to read a configuration from.
pub struct Files {
    /// Reads it, as it is now. It is called on a thread of its own, and may wait for others.
    pub read: Arc<dyn Fn() -> Reading + Send + Sync>,
    /// What was read for the configuration that runs, if it is to be read again by itself when
    /// one of these changes.
    pub watched: Vec<PathBuf>,
}

/// What was read.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, if it is without errors.
    pub config: Option<Config>,
    /// The scripts of its listeners.
    pub scripts: Scripts,
    /// Each fault on one line.
    pub faults: Vec<String>,
    /// All faults, each under its words, for a terminal.
    pub told: String,
    /// What was read, if changes of it matter.
    pub watched: Vec<PathBuf>,
}

/// What becomes of an order to reload.
#[derive(Debug)]
pub(crate) enum Reloaded {
    /// It runs now. Each difference on one line; none: it is the same.
    Done(Vec<String>),
    /// Nothing has changed.
    Refused(Refusal),
}

/// Why a configuration was not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What to say in a log, line by line.
    pub(crate) lines: Vec<String>,
    /// What to say to a person.
    pub(crate) told: String,
    pub(crate) exit: Exit,
}

/// Whether to change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Do it.
    All,
    /// Only tell what it would do.
    DryRun,
}

/// What a reload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody wants it.
    Ordered,
    /// Files have changed.
    Watched,
}

/// What runs, and what it was read from.
pub(crate) struct Running<'a> {
    pub(crate) engine: Engine,
    /// Addresses of the configuration that could not be had.
    pub(crate) missing: Missing,
    pub(crate) names: Names,
    pub(crate) authorities: Authorities,
    /// What listeners speak TLS with.
    pub(crate) loaded: Loaded,
    pub(crate) certificates: Certificates,
    pub(crate) rubies: Rubies,
    pub(crate) log: &'a log::Running,
    /// Told when it begins to reload, and when that has ended.
    pub(crate) manager: Arc<Manager>,
    pub(crate) config: Config,
    pub(crate) scripts: Scripts,
    /// `None`: it was written on a command line.
    pub(crate) files: Option<Files>,
    /// Where orders come in, and where they go.
    pub(crate) desk: Option<Desk>,
    pub(crate) orders: mpsc::Sender<Asked>,
}

/// What is new in a configuration, opened.
struct Next {
    successor: Successor,
    missing: Vec<BindFailure>,
    loaded: Loaded,
    logs: log::Logs,
    desk: NextDesk,
}

/// What becomes of the place where orders come in.
enum NextDesk {
    /// It stays as it is.
    Same,
    Closed,
    Open(Desk),
}

impl Running<'_> {
    /// Reads the configuration again and lets it run, unless it has to wait for files of Ruby when the
    /// process is `told_to_end`.
    pub(crate) async fn reload(
        &mut self,
        extent: Extent,
        told_to_end: impl Future<Output = ()>,
    ) -> Reloaded {
        let Some(files) = &mut self.files else {
            return Reloaded::Refused(Refusal::of(
                "the configuration is a command line, which cannot be read again; \
                 `replug run` runs a file",
                Exit::Failed,
            ));
        };
        let read = Arc::clone(&files.read);
        let Ok(reading) = tokio::task::spawn_blocking(move || read()).await else {
            let text = "the configuration could not be read: reading it failed within replug";
            return Reloaded::Refused(Refusal::of(text, Exit::Failed));
        };
        let Reading { config, mut scripts, faults: lines, told, watched } = reading;
        if extent == Extent::All {
            files.watched = watched;
        }
        let Some(config) = config else {
            return Reloaded::Refused(Refusal { lines, told, exit: Exit::Configuration });
        };
        let mut lines = dialect::native::difference(&self.config, &config);
        lines.extend(self.new_scripts(&config, &mut scripts));
        lines.extend(self.waits_for_a_start(&config));
        let probed = probe(&config);
        if !probed.failures.is_empty() {
            let told = probed.failures.iter().map(|line| format!("replug: {line}\n")).collect();
            let exit = Exit::NotPermitted;
            return Reloaded::Refused(Refusal { lines: probed.failures, told, exit });
        }
        let known = probe(&self.config).remarks;
        let new = probed.remarks.into_iter().filter(|remark| !known.contains(remark));
        lines.extend(new.map(|remark| format!("! {remark}")));
        if extent == Extent::DryRun {
            // Whether the new addresses can be had is part of the answer.
            return match self.open(&config, &scripts) {
                Ok(_) => Reloaded::Done(lines),
                Err(refusal) => Reloaded::Refused(refusal),
            };
        }
        let rubies = script::ruby::all(&scripts);
        let added = tokio::select! {
            biased;
            added = self.rubies.add(&rubies) => {
                added.map_err(|why| Refusal::of(why.to_string(), Exit::Configuration))
            }
            () = told_to_end => {
                let text = "it is told to end, and waits for no file of Ruby any more";
                Err(Refusal::of(text, Exit::Failed))
            }
        };
        if let Err(refusal) = added {
            return Reloaded::Refused(refusal);
        }
        match self.prepare(&config, &scripts) {
            Ok(next) => {
                self.swap(config, scripts, next).await;
                Reloaded::Done(lines)
            }
            Err(refusal) => {
                self.rubies.keep(&script::ruby::all(&self.scripts));
                Reloaded::Refused(refusal)
            }
        }
    }

    /// Opens all that is new.
    fn prepare(&self, config: &Config, scripts: &Scripts) -> Result<Next, Refusal> {
        let desk = match &config.admin.bind {
            bind if *bind == self.config.admin.bind => NextDesk::Same,
            None => NextDesk::Closed,
            Some(bind) => {
                let open = || Desk::open(Door::open(&bind.value)?, &self.orders);
                NextDesk::Open(open().map_err(|error| {
                    let text = format!("cannot listen on {} for orders: {error}", bind.value);
                    Refusal::of(text, Exit::NotPermitted)
                })?)
            }
        };
        let (successor, missing, loaded) = self.open(config, scripts)?;
        let logs = self.log.prepare(&config.logs, config.listeners.len());
        let logs = logs.map_err(|failure| {
            let exit = exit_of(&failure.error);
            Refusal::of(failure.to_string(), exit)
        })?;
        Ok(Next { successor, missing, loaded, logs, desk })
    }

    /// Reads the files of certificates, and opens the addresses that are not open yet, as far as
    /// that must be possible.
    fn open(
        &self,
        config: &Config,
        scripts: &Scripts,
    ) -> Result<(Successor, Vec<BindFailure>, Loaded), Refusal> {
        let around = Surroundings::of_this_process();
        let loaded = Loaded::read(config, around, &self.loaded);
        let (loaded, _) = loaded.map_err(|faults| Refusal::of_faults(&faults))?;
        let material = Material { scripts, tls: &loaded };
        let (successor, missing) = self.engine.prepare(config, material);
        match self.missing.may_be(&missing, successor.is_empty()) {
            true => Ok((successor, missing, loaded)),
            false => Err(Refusal::of_binds(&missing)),
        }
    }

    /// Tries again what could not be had, and tells nobody if it still cannot.
    pub(crate) async fn open_missing(&mut self) {
        self.missing.try_now();
        let (config, scripts) = (self.config.clone(), self.scripts.clone());
        match self.prepare(&config, &scripts) {
            Ok(next) if next.missing.len() < self.missing.len() => {
                self.swap(config, scripts, next).await;
            }
            Ok(_) | Err(_) => {}
        }
    }

    async fn swap(&mut self, config: Config, scripts: Scripts, next: Next) {
        let Next { successor, missing, loaded, logs, desk } = next;
        self.missing.replace(missing, self.log.journal());
        self.names.add(successor.names());
        self.authorities.add(successor.authorities());
        let looked_up = async {
            for name in successor.names() {
                name.looked_up().await;
            }
        };
        // One that takes longer is waited for by its sessions.
        let _ = timeout(NAMES_MAX, looked_up).await;
        self.log.replace(logs);
        self.engine.succeed(successor).await;
        self.names.keep(self.engine.names());
        self.authorities.keep(self.engine.authorities());
        self.certificates.replace(&loaded);
        self.loaded = loaded;
        self.rubies.keep(&script::ruby::all(&scripts));
        let addresses = self.engine.addresses();
        self.rubies.entitle(&scripts, addresses, self.engine.gauge());
        match desk {
            NextDesk::Same => {}
            NextDesk::Closed => self.desk = None,
            NextDesk::Open(desk) => self.desk = Some(desk),
        }
        self.config = config;
        self.scripts = scripts;
    }

    /// Which scripts have other texts. Those that have not go on with what they know, unless their
    /// listener says something else about them.
    fn new_scripts(&self, config: &Config, scripts: &mut Scripts) -> Vec<String> {
        let mut lines = Vec::new();
        for listener in &config.listeners {
            let same_name = |old: &&Listener| old.name == listener.name;
            let before = self.config.listeners.iter().find(same_name);
            let texts = (self.scripts.get(&listener.name), scripts.get(&listener.name));
            let (Some(before), (Some(old), Some(new))) = (before, texts) else { continue };
            if old.fingerprint() != new.fingerprint() {
                lines.push(format!("~ listener.{}.script: its text", listener.name));
            } else if before.script == listener.script {
                scripts.insert(listener.name.as_str(), Arc::clone(old));
            }
        }
        lines
    }

    /// What `config` asks for that only a start can do.
    fn waits_for_a_start(&self, config: &Config) -> Vec<String> {
        let mut lines = Vec::new();
        let mut waits = |key: &str| lines.push(format!("! {key}: only at the next start"));
        if config.runtime.shards != self.config.runtime.shards {
            waits("runtime.shards");
        }
        if config.runtime.io != self.config.runtime.io {
            waits("runtime.io");
        }
        // The file of a unix socket is one, so it is not opened anew beside the old one.
        let is_unix = |listener: &Listener| {
            listener.bind.iter().any(|bind| matches!(bind.value, Bind::Unix(_)))
        };
        for listener in config.listeners.iter().filter(|listener| is_unix(listener)) {
            let same_name = |old: &&Listener| old.name == listener.name;
            let old = self.config.listeners.iter().find(same_name);
            if old.is_some_and(|old| old.backlog != listener.backlog) {
                waits(&format!("listener.{}.backlog", listener.name));
            }
        }
        lines
    }

    /// Tells a log what became of a reload, which somebody ordered or nobody.
    pub(crate) fn report(&self, reloaded: &Reloaded, why: Why) {
        let remark = |level, text| self.log.journal().notice(Notice::Remark { level, text });
        match reloaded {
            Reloaded::Done(lines) if lines.is_empty() => {
                let level = match why {
                    Why::Ordered => Level::Info,
                    Why::Watched => Level::Debug,
                };
                remark(level, "reloaded: nothing has changed".to_owned());
            }
            Reloaded::Done(lines) => {
                for line in lines {
                    remark(Level::Info, format!("reloaded: {line}"));
                }
            }
            Reloaded::Refused(Refusal { lines, .. }) => {
                for line in lines {
                    remark(Level::Error, format!("not reloaded, all is as it was: {line}"));
                }
            }
        }
    }
}

impl Refusal {
    pub(crate) fn of(text: impl Into<String>, exit: Exit) -> Self {
        let line = text.into();
        Self { told: format!("replug: {line}\n"), lines: vec![line], exit }
    }

    fn of_faults(faults: &[Diagnostic]) -> Self {
        let errors = faults.iter().filter(|fault| fault.severity() == Severity::Error);
        let lines: Vec<_> = errors.map(certificates::told).collect();
        let told = lines.iter().map(|line| format!("replug: {line}\n")).collect();
        Self { lines, told, exit: Exit::Configuration }
    }

    fn of_binds(failures: &[BindFailure]) -> Self {
        let told = failures.iter().map(|failure| format!("replug: {failure}\n")).collect();
        // The second line of each says what to do.
        let line = |failure: &BindFailure| failure.to_string().replace("\n ", ";");
        let lines = failures.iter().map(line).collect();
        Self { lines, told, exit: Exit::NotPermitted }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("watched", &self.watched).finish_non_exhaustive()
    }
}
