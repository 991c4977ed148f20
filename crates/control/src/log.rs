//! The log: takes entries out of the journal, makes lines of them, writes them.
//!
//! One thread of its own does this, so that no shard ever waits for a disk or a
//! reader. Its parts, in the order an entry passes them: a format ([`text`],
//! [`json`], [`logfmt`]) makes a line; an [`output`] holds lines until they are
//! written; a [`sink`] writes them to a file, a stream or [`syslog`].
//!
//! A sink that fails (disk full, nobody reads, no syslog daemon) never stops
//! the thread: lines are held up to a limit, entries beyond it are counted, the
//! sink is tried again once a second, and when it works again the count is
//! written. Lines are written as soon as no entry waits, or in batches while
//! entries come faster than that.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use engine::account::Record;
use engine::journal::{self, Entry, Journal, Level, Notice, Wants};
use model::config::Verbosity;
use model::{LogFormat, LogTarget};

mod clock;
mod escape;
mod json;
mod logfmt;
mod output;
#[cfg(test)]
mod samples;
mod sink;
mod syslog;
mod text;

use output::{Flushed, Output};
use sink::Sink;
use text::Columns;

/// Longest wait, at the end of the process, for what is still to be written.
pub(crate) const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

/// Least time between two notices about entries that were dropped.
const DROPPED_EVERY: Duration = Duration::from_secs(1);

/// An open log whose thread does not run yet, so that privileges can be dropped in between.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Lines,
    records: Output,
    /// `None`: notices go where records go.
    notices: Option<Output>,
    wants: Wants,
}

impl Log {
    /// Opens the target that `log` names.
    ///
    /// A missing syslog daemon or reader of a FIFO is no error: they may come later.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(crate) fn open(log: &model::Log, listeners: usize) -> io::Result<Self> {
        let (records, notices) = match &log.to {
            LogTarget::Stderr => (Sink::stderr(), None),
            LogTarget::Stdout => (Sink::stdout(), Some(Sink::stderr())),
            LogTarget::Syslog => (Sink::syslog(Path::new(syslog::DEV_LOG)), None),
            LogTarget::File(path) => (Sink::file(Path::new(path))?, None),
        };
        let columns = Columns {
            time: log.to != LogTarget::Syslog,
            listener: listeners > 1,
        };
        Ok(Self {
            lines: Lines {
                format: log.format,
                columns,
                syslog: log.to == LogTarget::Syslog,
            },
            records: Output::new(records),
            notices: notices.map(Output::new),
            wants: Wants {
                records: log.verbosity != Verbosity::Quiet,
                level: match log.verbosity {
                    Verbosity::Quiet => Level::Warning,
                    Verbosity::Normal => Level::Info,
                    Verbosity::Verbose => Level::Debug,
                },
            },
        })
    }

    /// Gives a log file to another user, so that it can be opened again without privileges.
    ///
    /// # Errors
    /// What chown(2) says.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.records.sink().give_to(user, group)
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(self) -> io::Result<Running> {
        let (journal, entries) = journal::journal(self.wants);
        let (last, end) = mpsc::channel();
        let writer = Writer {
            lines: self.lines,
            records: self.records,
            notices: self.notices,
            journal: journal.clone(),
            dropped: 0,
            told: None,
        };
        thread::Builder::new()
            .name("replug-log".to_owned())
            .spawn(move || {
                // Nobody waits any more if the process took longer than LAST_WORDS_MAX to end.
                let _ = last.send(writer.run(&entries));
            })?;
        Ok(Running {
            journal,
            end,
            reopening: Arc::default(),
        })
    }
}

/// The log's thread, from outside.
#[derive(Debug)]
pub(crate) struct Running {
    journal: Journal,
    end: Receiver<u64>,
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

    /// Waits until all is written, at most [`LAST_WORDS_MAX`]. Tells how many entries were not
    /// written; `None` when even that cannot be told.
    pub(crate) fn finish(self) -> Option<u64> {
        let journal = self.journal;
        aside(move || journal.farewell(Entry::Close));
        self.end.recv_timeout(LAST_WORDS_MAX).ok()
    }
}

/// Runs `wait`, which may take long, on a thread of its own.
fn aside(wait: impl FnOnce() + Send + 'static) {
    // Without a thread the request is lost: a file is then not opened anew, or the end comes
    // after LAST_WORDS_MAX. Both are better than a control thread that stands still.
    let _ = thread::Builder::new()
        .name("replug-log-entry".to_owned())
        .spawn(wait);
}

/// How an entry becomes a line.
#[derive(Clone, Copy, Debug)]
struct Lines {
    format: LogFormat,
    columns: Columns,
    syslog: bool,
}

impl Lines {
    fn session(self, line: &mut String, record: &Record) {
        if self.syslog {
            syslog::head(line, Level::Info);
        }
        match self.format {
            LogFormat::Text => text::session(line, self.columns, record),
            LogFormat::Json => json::session(line, record),
            LogFormat::Logfmt => logfmt::session(line, record),
        }
    }

    fn notice(self, line: &mut String, notice: &Notice) {
        if self.syslog {
            syslog::head(line, notice.level());
        }
        let now = SystemTime::now();
        match self.format {
            LogFormat::Text => text::notice(line, self.columns, now, notice),
            LogFormat::Json => json::notice(line, now, notice),
            LogFormat::Logfmt => logfmt::notice(line, now, notice),
        }
    }
}

/// What the thread works with.
struct Writer {
    lines: Lines,
    records: Output,
    notices: Option<Output>,
    journal: Journal,
    /// Entries the queue had no room for, not told yet.
    dropped: u64,
    /// When that was last told.
    told: Option<Instant>,
}

impl Writer {
    /// Writes until [`Entry::Close`]; tells how many entries were not written.
    fn run(mut self, entries: &Receiver<Entry>) -> u64 {
        let mut line = String::new();
        loop {
            let mut next = match self.wait(entries) {
                Wake::Entry(entry) => Some(entry),
                Wake::Due => None,
                Wake::End => return self.end(),
            };
            while let Some(entry) = next {
                if self.take(entry, &mut line) == Next::End {
                    return self.end();
                }
                next = entries.try_recv().ok();
            }
            self.flush(&mut line);
        }
    }

    /// Waits for an entry, or until a sink is to be tried again or dropped entries are to be told.
    fn wait(&self, entries: &Receiver<Entry>) -> Wake {
        let retries = [Some(&self.records), self.notices.as_ref()];
        let retries = retries.into_iter().flatten().filter_map(Output::retry_at);
        let dropped = (self.dropped > 0).then(|| self.told.map(|told| told + DROPPED_EVERY));
        let Some(due) = retries.chain(dropped.flatten()).min() else {
            return entries.recv().map_or(Wake::End, Wake::Entry);
        };
        match entries.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(entry) => Wake::Entry(entry),
            Err(RecvTimeoutError::Timeout) => Wake::Due,
            Err(RecvTimeoutError::Disconnected) => Wake::End,
        }
    }

    fn take(&mut self, entry: Entry, line: &mut String) -> Next {
        line.clear();
        match entry {
            Entry::Session(record) => {
                self.lines.session(line, &record);
                self.records.push(line);
            }
            Entry::Notice(notice) => {
                self.lines.notice(line, &notice);
                self.notices
                    .as_mut()
                    .unwrap_or(&mut self.records)
                    .push(line);
            }
            Entry::Reopen => {
                let outcome = self.records.reopen(Instant::now());
                if let Err(error) = outcome {
                    self.remark(
                        line,
                        format!("the log could not be opened anew, the old one stays: {error}"),
                    );
                }
            }
            Entry::Close => return Next::End,
        }
        if self.records.is_batch() || self.notices.as_ref().is_some_and(Output::is_batch) {
            self.flush(line);
        }
        Next::Go
    }

    /// Writes what is held, and tells what was lost on the way.
    fn flush(&mut self, line: &mut String) {
        let now = Instant::now();
        if let Some(notices) = &mut self.notices {
            // What happened to standard error is told there and nowhere else.
            if let Flushed::Again { told } = notices.flush(now) {
                self.remark(line, told);
            }
        }
        if let Flushed::Again { told } = self.records.flush(now) {
            self.remark(line, told);
        }
        self.dropped += self.journal.take_dropped();
        if self.dropped > 0 && self.told.is_none_or(|told| now >= told + DROPPED_EVERY) {
            let dropped = std::mem::take(&mut self.dropped);
            self.told = Some(now);
            self.remark(
                line,
                format!("{dropped} log entries were dropped: the log was slower than they came"),
            );
        }
        for output in [Some(&mut self.records), self.notices.as_mut()]
            .into_iter()
            .flatten()
        {
            output.flush(now);
        }
    }

    fn remark(&mut self, line: &mut String, text: String) {
        line.clear();
        let level = Level::Warning;
        self.lines.notice(line, &Notice::Remark { level, text });
        self.notices
            .as_mut()
            .unwrap_or(&mut self.records)
            .push(line);
    }

    fn end(mut self) -> u64 {
        self.flush(&mut String::new());
        let unwritten =
            self.records.unwritten() + self.notices.as_ref().map_or(0, Output::unwritten);
        self.dropped + unwritten
    }
}

/// Why a wait is over.
enum Wake {
    Entry(Entry),
    Due,
    End,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

/// When a session ended.
fn ended(record: &Record) -> SystemTime {
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

/// A duration in milliseconds that shows as a number with at most three decimals.
fn millis(duration: Duration) -> Millis {
    Millis(duration.as_micros())
}

/// See [`millis`]; microseconds.
struct Millis(u128);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, thousandths) = (self.0 / 1_000, self.0 % 1_000);
        match thousandths {
            0 => write!(f, "{whole}"),
            _ if thousandths % 100 == 0 => write!(f, "{whole}.{}", thousandths / 100),
            _ if thousandths % 10 == 0 => write!(f, "{whole}.{:02}", thousandths / 10),
            _ => write!(f, "{whole}.{thousandths:03}"),
        }
    }
}
