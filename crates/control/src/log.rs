//! The logs: entries come out of the journal, become lines, and are written.
//!
//! Threads of their own do this ([`dispatch`]), so that no shard ever waits for a disk or a
//! reader. The parts, in the order an entry passes them: a [`writer`] takes those that its log
//! wants; a format ([`text`], [`json`], [`logfmt`], [`haproxy`], those of old tools) makes a line, out
//! of the [`fields`] of a record or of its own; around it comes what [`syslog`] or [`journald`] want; an
//! [`output`] holds entries until they are written; a [`sink`] writes them to a file, a stream, a
//! daemon of this machine ([`local`]) or one elsewhere ([`remote`]).
//!
//! A sink that fails (disk full, nobody reads, no syslog daemon) never stops
//! its thread: entries are held up to a limit, those beyond it are counted, the
//! sink is tried again and again, and when it works the count is
//! written. Lines are written as soon as no entry waits, or in batches while
//! entries come faster than that.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use engine::account::{ConnectFailure, Record};
use engine::journal::{self, Entry, Journal, Level, Notice, Wants};
use model::{Log, LogTarget, Syslog, SyslogLabel, SyslogServer};

mod clock;
mod dispatch;
mod escape;
mod fields;
mod haproxy;
mod journald;
mod json;
mod local;
mod logfmt;
mod output;
mod plug;
mod proxymachine;
mod redir;
mod remote;
mod rinetd;
#[cfg(test)]
mod samples;
mod sink;
mod syslog;
mod tcprelay;
#[cfg(test)]
mod tests;
mod text;
mod tproxy;
mod writer;

use dispatch::{Dispatcher, Successors};
use local::Local;
use syslog::{About, Head, Severity};
use writer::{DEV_LOG, Setup, Writer};

/// Longest wait, at the end of the process, for what is still to be written.
pub(crate) const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

/// Open logs whose threads do not run yet, so that privileges can be dropped in between.
#[derive(Debug)]
pub(crate) struct Logs {
    opened: Vec<Opened>,
    streams: Streams,
}

/// A log that can be written.
#[derive(Debug)]
enum Opened {
    New(Box<Writer>),
    /// One that runs already, and goes on with what it holds and whom it is connected to.
    Kept(Setup),
}

/// Which standard streams may be logged to; syslog stands in for one that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// A log that could not be opened.
#[derive(Debug)]
pub(crate) struct OpenFailure {
    /// Where it was to go.
    pub(crate) target: String,
    /// What the system said.
    pub(crate) error: io::Error,
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open the log {}: {}", self.target, self.error)
    }
}

impl Logs {
    /// Opens what `logs` name, for sessions of so many `listeners`.
    ///
    /// A missing daemon, server or reader of a FIFO is no error: they may come later.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub(crate) fn open(
        logs: &[Log],
        listeners: usize,
        streams: Streams,
    ) -> Result<Self, OpenFailure> {
        Self::beside(&[], setups(logs, listeners, streams), streams)
    }

    /// Opens those of `wanted` that do not run.
    fn beside(
        running: &[Setup],
        wanted: Vec<Setup>,
        streams: Streams,
    ) -> Result<Self, OpenFailure> {
        let open = |setup: Setup| {
            if running.contains(&setup) {
                return Ok(Opened::Kept(setup));
            }
            let target = match &setup.log.to.value {
                LogTarget::File(path) => path.clone(),
                _ => "its target".to_owned(),
            };
            let writer = Writer::open(setup).map_err(|error| OpenFailure { target, error })?;
            Ok(Opened::New(writer.into()))
        };
        let opened = wanted.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { opened, streams })
    }

    /// The most that any of them wants.
    fn wants(&self) -> Wants {
        self.opened.iter().map(|opened| opened.setup().wants()).fold(Wants::QUIET, Wants::or)
    }

    fn setups(&self) -> Vec<Setup> {
        self.opened.iter().map(|opened| opened.setup().clone()).collect()
    }

    /// Gives log files to another user, so that they can be opened again without privileges.
    ///
    /// # Errors
    /// What chown(2) says.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.opened.iter().try_for_each(|opened| match opened {
            Opened::New(writer) => writer.give_to(user, group),
            Opened::Kept(_) => Ok(()),
        })
    }

    /// Calls log files as they will be called behind `--chroot`, where they can be reached there.
    pub(crate) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        for opened in &mut self.opened {
            if let Opened::New(writer) = opened {
                writer.rename(&inside);
            }
        }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn start(self) -> io::Result<Running> {
        let (journal, entries) = journal::journal(self.wants());
        let (last, end) = mpsc::channel();
        let (setups, streams) = (Mutex::new(self.setups()), self.streams);
        let successors = Successors::default();
        let dispatcher = Dispatcher::start(self, journal.clone(), Arc::clone(&successors))?;
        thread::Builder::new().name("replug-log".to_owned()).spawn(move || {
            // Nobody waits any more if the process took longer than LAST_WORDS_MAX to end.
            let _ = last.send(dispatcher.run(&entries));
        })?;
        Ok(Running { journal, end, setups, streams, successors, reopening: Arc::default() })
    }
}

/// The logs' threads, from outside.
#[derive(Debug)]
pub(crate) struct Running {
    journal: Journal,
    end: Receiver<u64>,
    /// Of the logs that run, or will once [`Running::replace`] has come through.
    setups: Mutex<Vec<Setup>>,
    streams: Streams,
    successors: Successors,
    reopening: Arc<AtomicBool>,
}

impl Running {
    /// The way in.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Has files opened anew. Does not wait for it, nor for room in the queue.
    pub(crate) fn reopen(&self) {
        // One at a time: the first one that is still on its way does what a second would do.
        if self.reopening.swap(true, Ordering::AcqRel) {
            return;
        }
        let (journal, reopening) = (self.journal.clone(), Arc::clone(&self.reopening));
        aside(move || {
            journal.farewell(Entry::Reopen);
            reopening.store(false, Ordering::Release);
        });
    }

    /// Opens other logs, for sessions of so many `listeners`, as far as they do not run already.
    /// Nothing is said to them yet.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub(crate) fn prepare(&self, logs: &[Log], listeners: usize) -> Result<Logs, OpenFailure> {
        let wanted = setups(logs, listeners, self.streams);
        let running = self.setups.lock().unwrap_or_else(PoisonError::into_inner);
        Logs::beside(&running, wanted, self.streams)
    }

    /// Goes over to logs that were prepared since the last time. What was said before goes to the
    /// old ones, what is said after to the new ones. Does not wait for it.
    pub(crate) fn replace(&self, logs: Logs) {
        *self.setups.lock().unwrap_or_else(PoisonError::into_inner) = logs.setups();
        self.successors.lock().unwrap_or_else(PoisonError::into_inner).push(logs);
        // Where there is room it is in at once, so that what is said next comes behind it.
        if let Err(entry) = self.journal.try_farewell(Entry::Replace) {
            let journal = self.journal.clone();
            aside(move || journal.farewell(entry));
        }
    }

    /// Waits until all is written, at most [`LAST_WORDS_MAX`]. Tells how many entries were not
    /// written; `None` when even that cannot be told.
    pub(crate) fn finish(self) -> Option<u64> {
        let journal = self.journal;
        aside(move || journal.farewell(Entry::Close));
        self.end.recv_timeout(LAST_WORDS_MAX).ok()
    }
}

impl Opened {
    fn setup(&self) -> &Setup {
        match self {
            Self::New(writer) => writer.setup(),
            Self::Kept(setup) => setup,
        }
    }
}

/// By what `logs` are opened.
fn setups(logs: &[Log], listeners: usize, streams: Streams) -> Vec<Setup> {
    let mut logs = logs.to_vec();
    for log in &mut logs {
        let stands_in = match log.to.value {
            LogTarget::Stderr => !streams.stderr,
            LogTarget::Stdout => !streams.stdout,
            LogTarget::Syslog(_) | LogTarget::Journald(_) | LogTarget::File(_) => false,
        };
        if stands_in {
            log.to.value = LogTarget::Syslog(Syslog::new(SyslogServer::Local));
        }
    }
    let stderr_is_taken = logs.iter().any(|log| log.to.value == LogTarget::Stderr);
    let period = logs.iter().filter_map(|log| log.every).min();
    let names_listener = listeners > 1;
    let setup = |log| Setup { log, names_listener, stderr_is_taken, period };
    logs.into_iter().map(setup).collect()
}

/// Runs `wait`, which may take long, on a thread of its own.
fn aside(wait: impl FnOnce() + Send + 'static) {
    // Without a thread the request is lost: a file is then not opened anew, or the end comes
    // after LAST_WORDS_MAX. Both are better than a control thread that stands still.
    let _ = thread::Builder::new().name("replug-log-entry".to_owned()).spawn(wait);
}

/// Tells syslog what has gone wrong, as whoever `label` names, each line a message; before there is
/// a log, or about it.
pub fn tell_syslog(label: SyslogLabel, lines: &str) {
    let syslog = Local::new(Path::new(DEV_LOG));
    let head = Head::new(&Syslog { label, ..Syslog::new(SyslogServer::Local) });
    for line in lines.lines() {
        let mut message = String::new();
        head.begin(&mut message, Severity::Error, SystemTime::now(), About::Notice);
        show(&mut message, line);
        // Best effort: there is nowhere else to say it.
        let _ = syslog.send(message.as_bytes(), LAST_WORDS_MAX);
    }
}

/// Appends `text` so that it shows on a terminal as what it is, on one line.
pub fn show(line: &mut String, text: &str) {
    escape::plain(line, text);
}

/// When the event was that a record is written for.
fn at(record: &Record) -> SystemTime {
    record.accepted + record.duration
}

/// The word for a notice's level, in every format.
fn level(notice: &Notice) -> &'static str {
    match notice.level() {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// Why there is no connection, in the words of errno(3), for the formats of old tools.
fn words(failure: ConnectFailure) -> String {
    match failure {
        ConnectFailure::Refused => "Connection refused".to_owned(),
        ConnectFailure::Timeout => "Connection timed out".to_owned(),
        ConnectFailure::Unreachable => "Network is unreachable".to_owned(),
        _ => {
            // The number behind the words is Rust's.
            let words = failure.to_string();
            words.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

/// A duration in milliseconds that shows as a number with at most three decimals.
fn millis(duration: Duration) -> Millis {
    Millis(duration.as_micros())
}

/// See [`millis`]; microseconds.
struct Millis(u128);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1_000, self.0 % 1_000);
        match thousandths {
            0 => write!(f, "{whole}"),
            _ if thousandths % 100 == 0 => write!(f, "{whole}.{}", thousandths / 100),
            _ if thousandths % 10 == 0 => write!(f, "{whole}.{:02}", thousandths / 10),
            _ => write!(f, "{whole}.{thousandths:03}"),
        }
    }
}
