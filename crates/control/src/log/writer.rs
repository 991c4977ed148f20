//! The log's thread: entries in, lines out.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use engine::account::Record;
use engine::journal::{Entry, Journal, Level, Notice};
use model::LogFormat;
use model::config::Verbosity;

use super::output::{Flushed, Output};
use super::text::Columns;
use super::{json, logfmt, plug, syslog, text};

/// Least time between two notices about entries that were dropped.
const DROPPED_EVERY: Duration = Duration::from_secs(1);

/// How an entry becomes a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) format: LogFormat,
    pub(super) columns: Columns,
    /// Whether each begins with the head of a syslog message.
    pub(super) syslog: bool,
    /// How much is said, where the format decides that.
    pub(super) verbosity: Verbosity,
}

impl Lines {
    /// Leaves the line empty where the format has none for a session.
    fn session(self, line: &mut String, record: &Record) {
        if self.format == LogFormat::PlugSyslog {
            return self.plug(line, |line| plug::session(line, self.verbosity, record));
        }
        if self.syslog {
            syslog::head(line, Level::Info);
        }
        match self.format {
            LogFormat::Text => text::session(line, self.columns, record),
            LogFormat::Json => json::session(line, record),
            LogFormat::Logfmt => logfmt::session(line, record),
            LogFormat::PlugSession => plug::session_line(line, record),
            LogFormat::PlugSyslog => {}
        }
    }

    /// Leaves the line empty where the format has none for a notice.
    fn notice(self, line: &mut String, notice: &Notice) {
        match self.format {
            LogFormat::PlugSession => return,
            LogFormat::PlugSyslog => {
                return self.plug(line, |line| plug::notice(line, self.verbosity, notice));
            }
            LogFormat::Text | LogFormat::Json | LogFormat::Logfmt => {}
        }
        if self.syslog {
            syslog::head(line, notice.level());
        }
        let now = SystemTime::now();
        match self.format {
            LogFormat::Json => json::notice(line, now, notice),
            LogFormat::Logfmt => logfmt::notice(line, now, notice),
            _ => text::notice(line, self.columns, now, notice),
        }
    }

    /// The severity is known only when the text is.
    fn plug(self, line: &mut String, write: impl FnOnce(&mut String) -> Option<plug::Severity>) {
        let mut text = String::new();
        if let Some(severity) = write(&mut text) {
            if self.syslog {
                syslog::head_of(line, "plug", severity as u8);
            }
            line.push_str(&text);
        }
    }
}

/// What the thread works with.
pub(super) struct Writer {
    lines: Lines,
    records: Output,
    /// `None`: notices go where records go.
    notices: Option<Output>,
    journal: Journal,
    /// Entries the queue had no room for, not told yet.
    dropped: u64,
    /// When that was last told.
    told: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        lines: Lines,
        records: Output,
        notices: Option<Output>,
        journal: Journal,
    ) -> Self {
        Self { lines, records, notices, journal, dropped: 0, told: None }
    }

    /// Writes until [`Entry::Close`]; tells how many entries were not written.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) -> u64 {
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
                if !line.is_empty() {
                    self.records.push(line);
                }
            }
            Entry::Notice(notice) => {
                self.lines.notice(line, &notice);
                if !line.is_empty() {
                    self.notices.as_mut().unwrap_or(&mut self.records).push(line);
                }
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
        if self.lines.format == LogFormat::PlugSession {
            self.records.follow();
        }
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
        for output in [Some(&mut self.records), self.notices.as_mut()].into_iter().flatten() {
            output.flush(now);
        }
    }

    fn remark(&mut self, line: &mut String, text: String) {
        line.clear();
        let level = Level::Warning;
        self.lines.notice(line, &Notice::Remark { level, text });
        if !line.is_empty() {
            self.notices.as_mut().unwrap_or(&mut self.records).push(line);
        }
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
