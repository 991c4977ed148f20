//! The log: takes entries out of the journal, makes lines of them, writes them.
//!
//! One thread of its own ([`writer`]) does this, so that no shard ever waits for a disk or a
//! reader. Its parts, in the order an entry passes them: a format ([`text`],
//! [`json`], [`logfmt`], [`plug`]) makes a line; an [`output`] holds lines until they are
//! written; a [`sink`] writes them to a file, a stream or [`syslog`].
//!
//! A sink that fails (disk full, nobody reads, no syslog daemon) never stops
//! the thread: lines are held up to a limit, entries beyond it are counted, the
//! sink is tried again once a second, and when it works again the count is
//! written. Lines are written as soon as no entry waits, or in batches while
//! entries come faster than that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, SystemTime};

use engine::account::Record;
use engine::journal::{self, Entry, Journal, Level, Notice, Wants};
use model::config::Verbosity;
use model::{LogFormat, LogTarget};

mod clock;
mod escape;
mod json;
mod logfmt;
mod output;
mod plug;
#[cfg(test)]
mod samples;
mod sink;
mod syslog;
mod text;
mod writer;

use output::Output;
use sink::Sink;
use syslog::Syslog;
use text::Columns;
use writer::{Lines, Writer};

/// Longest wait, at the end of the process, for what is still to be written.
pub(crate) const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

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
        let columns = Columns { time: log.to != LogTarget::Syslog, listener: listeners > 1 };
        let records = Output::new(records);
        Ok(Self {
            lines: Lines {
                format: log.format,
                columns,
                syslog: log.to == LogTarget::Syslog,
                verbosity: log.verbosity,
            },
            records,
            notices: notices.map(Output::new),
            wants: wants(log),
        })
    }

    /// Gives a log file to another user, so that it can be opened again without privileges.
    ///
    /// # Errors
    /// What chown(2) says.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.records.sink().give_to(user, group)
    }

    /// Calls a log file as it will be called behind `--chroot`, if it can be reached there.
    pub(crate) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        self.records.sink_mut().rename(inside);
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(self) -> io::Result<Running> {
        let (journal, entries) = journal::journal(self.wants);
        let (last, end) = mpsc::channel();
        let writer = Writer::new(self.lines, self.records, self.notices, journal.clone());
        thread::Builder::new().name("replug-log".to_owned()).spawn(move || {
            // Nobody waits any more if the process took longer than LAST_WORDS_MAX to end.
            let _ = last.send(writer.run(&entries));
        })?;
        Ok(Running { journal, end, reopening: Arc::default() })
    }
}

/// What is worth making for `log`.
fn wants(log: &model::Log) -> Wants {
    match (log.format, log.verbosity) {
        // Its lines are made from decisions that others tell only at length.
        (LogFormat::PlugSyslog, _) | (_, Verbosity::Verbose) => {
            Wants { records: true, level: Level::Debug }
        }
        (_, Verbosity::Quiet) => Wants { records: false, level: Level::Warning },
        (_, Verbosity::Normal) => Wants { records: true, level: Level::Info },
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
    let _ = thread::Builder::new().name("replug-log-entry".to_owned()).spawn(wait);
}

/// Tells syslog what has gone wrong, each line a message; before there is a log, or about it.
pub(crate) fn tell_syslog(lines: &str) {
    let mut syslog = Syslog::new(Path::new(syslog::DEV_LOG));
    for line in lines.lines() {
        let mut message = String::new();
        syslog::head(&mut message, Level::Error);
        show(&mut message, line);
        // Best effort: there is nowhere else to say it.
        let _ = syslog.send_line(message.as_bytes(), LAST_WORDS_MAX);
    }
}

/// Appends `text` so that it shows on a terminal as what it is, on one line.
pub(crate) fn show(line: &mut String, text: &str) {
    escape::plain(line, text);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn entries_come_out_in_order_and_a_renamed_file_is_left_whole() {
        let file = LogFile::new("order");
        let log = Log::open(&file.log(LogFormat::Json), 1).expect("a new file");
        let running = log.start().expect("a thread");
        let journal = running.journal();
        journal.record(samples::plain());
        journal.notice(samples::warning());
        // In order with the rest, unlike `Running::reopen`, so that the test is certain.
        journal.farewell(Entry::Reopen);
        journal.record(samples::denied());
        assert_eq!(running.finish(), Some(0));
        let text = fs::read_to_string(&file.0).expect("the file");
        let shown: Vec<_> = text
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
                let key = if value.get("message").is_some() { "level" } else { "reason" };
                value[key].as_str().expect("a word").to_owned()
            })
            .collect();
        assert_eq!(shown, ["done", "warning", "denied"]);
    }

    #[test]
    fn what_the_queue_had_no_room_for_is_told() {
        let file = LogFile::new("dropped");
        let log = Log::open(&file.log(LogFormat::Text), 1).expect("a new file");
        let (journal, entries) = journal::journal(log.wants);
        for _ in 0..journal::ENTRIES_MAX + 5 {
            journal.notice(samples::warning());
        }
        let writer = Writer::new(log.lines, log.records, log.notices, journal.clone());
        aside(move || journal.farewell(Entry::Close));
        assert_eq!(writer.run(&entries), 0);
        let text = fs::read_to_string(&file.0).expect("the file");
        assert_eq!(text.lines().count(), journal::ENTRIES_MAX + 1);
        let told = "warning: 5 log entries were dropped: the log was slower than they came";
        assert!(text.lines().any(|line| line.ends_with(told)));
    }

    #[test]
    fn what_a_full_disk_never_took_is_counted_at_the_end() {
        let to = LogTarget::File("/dev/full".to_owned());
        let log = model::Log { to, ..model::Log::default() };
        let running = Log::open(&log, 1).expect("/dev/full opens").start().expect("a thread");
        running.journal().record(samples::plain());
        running.journal().record(samples::moved());
        assert_eq!(running.finish(), Some(2));
    }

    #[test]
    fn a_quiet_log_wants_no_records() {
        let file = LogFile::new("quiet");
        for (verbosity, records, level) in [
            (Verbosity::Quiet, false, Level::Warning),
            (Verbosity::Normal, true, Level::Info),
            (Verbosity::Verbose, true, Level::Debug),
        ] {
            let log = model::Log { verbosity, ..file.log(LogFormat::Text) };
            let wants = Log::open(&log, 1).expect("a file").wants;
            assert_eq!(wants, Wants { records, level });
        }
    }

    #[test]
    fn milliseconds() {
        for (micros, expected) in [
            (0, "0"),
            (7, "0.007"),
            (80, "0.08"),
            (412, "0.412"),
            (1_500, "1.5"),
            (3_000, "3"),
            (1_204_050, "1204.05"),
        ] {
            assert_eq!(millis(Duration::from_micros(micros)).to_string(), expected);
        }
    }

    /// The log file of one test, removed at its end.
    struct LogFile(PathBuf);

    impl LogFile {
        fn new(name: &str) -> Self {
            let name = format!("replug-log-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn log(&self, format: LogFormat) -> model::Log {
            let path = self.0.to_str().expect("a path of our own is text");
            model::Log {
                format,
                to: LogTarget::File(path.to_owned()),
                verbosity: Verbosity::Normal,
            }
        }
    }

    impl Drop for LogFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }
}
