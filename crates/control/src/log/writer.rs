//! One log: takes the entries that it wants, makes lines of them, writes them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use engine::account::{Event, Reason, Record};
use engine::chance::Chance;
use engine::journal::{Entry, Level, Notice, Wants};
use engine::requests::Request;
use model::log::{Sample, SyslogLabel};
use model::{Log, LogFormat, LogTarget, SyslogServer, Verbosity};

use super::output::{Flushed, Output};
use super::redir::Version;
use super::rinetd::Style;
use super::sink::Sink;
use super::syslog::{About, Head, Severity};
use super::text::Columns;
use super::{
    at, haproxy, journald, json, logfmt, plug, proxymachine, redir, rinetd, syslog, tcprelay, text,
    tproxy,
};

/// Where the local syslog daemon listens.
pub(super) const DEV_LOG: &str = "/dev/log";

/// Least time between two notices about entries that were dropped.
const DROPPED_EVERY: Duration = Duration::from_secs(1);

/// What a log is opened by: two of the same write the same into the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) log: Log,
    /// Whether lines for people name the listener: there are several.
    pub(super) names_listener: bool,
    /// Whether another log has standard error, so that one to standard output leaves it alone.
    pub(super) stderr_is_taken: bool,
    /// How often sessions report: the most often that any log wants.
    pub(super) period: Option<Duration>,
}

/// An open log.
#[derive(Debug)]
pub(super) struct Writer {
    setup: Setup,
    wants: Wants,
    shape: Shape,
    records: Output,
    notices: Notices,
    dropped: Dropped,
    /// Entries that never came here, not seen to yet.
    missed: Arc<AtomicU64>,
    entry: String,
    message: String,
}

/// Where notices go.
#[derive(Debug)]
enum Notices {
    /// Where records go.
    Along,
    /// To an output of their own.
    Apart(Output),
    /// Nowhere: another log has them.
    Elsewhere,
}

/// What an entry is made into, around its line.
#[derive(Debug)]
enum Shape {
    /// Nothing.
    Line,
    /// A syslog message.
    Syslog(Head),
    /// An entry of the journal.
    Journald(SyslogLabel),
}

impl Writer {
    /// Opens the target of a log.
    ///
    /// A missing daemon, server or reader of a FIFO is no error: they may come later.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(super) fn open(setup: Setup) -> io::Result<Self> {
        let mut notices = Notices::Along;
        let mut shape = Shape::Line;
        let sink = match &setup.log.to.value {
            LogTarget::Stderr => Sink::stderr(),
            // It writes everything there.
            LogTarget::Stdout if setup.log.format == LogFormat::Proxymachine => Sink::stdout(),
            LogTarget::Stdout => {
                notices = match setup.stderr_is_taken {
                    true => Notices::Elsewhere,
                    false => Notices::Apart(Output::new(Sink::stderr())),
                };
                Sink::stdout()
            }
            LogTarget::File(path) => Sink::file(Path::new(path))?,
            LogTarget::Syslog(syslog) => {
                shape = Shape::Syslog(Head::new(syslog));
                match &syslog.server {
                    SyslogServer::Local => Sink::local(Path::new(DEV_LOG)),
                    SyslogServer::Udp(server) => Sink::udp(server.clone()),
                    SyslogServer::Tcp(server) => Sink::tcp(server.clone()),
                }
            }
            LogTarget::Journald(label) => {
                shape = Shape::Journald(label.clone());
                Sink::local(Path::new(journald::SOCKET))
            }
        };
        let records = match (setup.log.format, &setup.log.to.value) {
            // Their users are used to syslog(3).
            (format, LogTarget::Syslog(_)) if is_of_syslog(format) => Output::letting_go(sink),
            _ => Output::new(sink),
        };
        Ok(Self {
            wants: setup.wants(),
            setup,
            shape,
            records,
            notices,
            dropped: Dropped::default(),
            missed: Arc::default(),
            entry: String::new(),
            message: String::new(),
        })
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Counts entries that never came here; to be told with the next ones.
    pub(super) fn missed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.missed)
    }

    /// Gives a log file to another user, so that it can be opened again without privileges.
    ///
    /// # Errors
    /// What chown(2) says.
    pub(super) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.records.sink().give_to(user, group)
    }

    /// Calls a log file by another path from now on, if `inside` knows one.
    pub(super) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        self.records.sink_mut().rename(inside);
    }

    /// Takes in an entry, if it is one for this log.
    pub(super) fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Session(record) if self.is_wanted(record) => self.session(record),
            Entry::Request(request) if self.wants.requests => self.request(request),
            Entry::Notice(notice) if notice.level() >= self.wants.level => self.notice(notice),
            Entry::Reopen => {
                if let Err(error) = self.records.reopen(Instant::now()) {
                    self.remark(format!(
                        "the log could not be opened anew, the old one stays: {error}"
                    ));
                }
            }
            Entry::Session(_)
            | Entry::Request(_)
            | Entry::Notice(_)
            | Entry::Replace
            | Entry::Close => {}
        }
        if self.records.is_batch() || self.notices.apart().is_some_and(|out| out.is_batch()) {
            self.flush();
        }
    }

    /// Writes what is held, and tells what was lost on the way.
    pub(super) fn flush(&mut self) {
        let now = Instant::now();
        if self.setup.log.format == LogFormat::PlugSession {
            self.records.follow();
        }
        // What happened to standard error is told there and nowhere else.
        if let Some(Flushed::Again { told }) = self.notices.apart().map(|out| out.flush(now)) {
            self.remark(told);
        }
        if let Flushed::Again { told } = self.records.flush(now) {
            self.remark(told);
        }
        self.dropped.count(self.missed.swap(0, Ordering::Relaxed));
        if let Some(told) = self.dropped.tell(now) {
            self.remark(told);
        }
        self.records.flush(now);
        self.notices.apart().map(|out| out.flush(now));
    }

    /// When to flush, though no entry comes.
    pub(super) fn due(&mut self) -> Option<Instant> {
        let notices = self.notices.apart().and_then(|out| out.retry_at());
        [self.records.retry_at(), notices, self.dropped.due()].into_iter().flatten().min()
    }

    /// Writes what it can; tells how many entries were not written.
    pub(super) fn end(mut self) -> u64 {
        self.dropped.hurry();
        self.flush();
        let notices = self.notices.apart().map_or(0, |out| out.unwritten());
        self.records.unwritten() + notices
    }

    fn is_wanted(&self, record: &Record) -> bool {
        let Log { every, sample, .. } = self.setup.log;
        let of_this_kind = match (record.event, every, self.setup.period) {
            (Event::Start, ..) => self.wants.start,
            (Event::Open, Some(every), Some(period)) => passes(record.duration, every, period),
            (Event::Open, ..) => false,
            (Event::End { .. }, ..) => true,
        };
        self.wants.records && of_this_kind && is_sampled(sample, record)
    }

    fn session(&mut self, record: &Record) {
        let (line, columns) = (&mut self.message, self.setup.columns());
        let Log { format, verbosity, .. } = self.setup.log;
        line.clear();
        let mut severity = Some(Severity::Info);
        match format {
            LogFormat::Text => text::session(line, columns, record),
            LogFormat::Json => json::session(line, record),
            LogFormat::Logfmt => logfmt::session(line, record),
            LogFormat::HaproxyTcp => haproxy::session(line, record),
            LogFormat::PlugSession => plug::session_line(line, record),
            LogFormat::PlugSyslog => severity = plug::session(line, verbosity, record),
            LogFormat::Rinetd => rinetd::session(line, Style::Tabs, record),
            LogFormat::RinetdCommon => rinetd::session(line, Style::Common, record),
            LogFormat::RinetdSyslog => severity = rinetd::told_session(line, columns.time, record),
            LogFormat::Tproxy => tproxy::session(line, columns, record),
            LogFormat::TproxySyslog => severity = tproxy::session_to_syslog(line, record),
            LogFormat::RedirSyslog => {
                severity = redir::session(line, Version::Three, verbosity, record);
            }
            LogFormat::Redir2Syslog => {
                severity = redir::session(line, Version::Two, verbosity, record);
            }
            LogFormat::Tcprelay => return,
            LogFormat::Proxymachine => severity = proxymachine::session(line, columns, record),
        }
        // Some formats have none for some sessions.
        let Some(severity) = severity.filter(|_| !line.is_empty()) else { return };
        let entry = &mut self.entry;
        entry.clear();
        match &self.shape {
            Shape::Line => entry.push_str(line),
            Shape::Syslog(head) => {
                head.begin(entry, severity, at(record), About::Session);
                entry.push_str(line);
                syslog::cut(entry);
            }
            Shape::Journald(label) => journald::session(entry, label, severity, record, line),
        }
        self.records.push(entry);
    }

    fn request(&mut self, request: &Request) {
        let (line, columns) = (&mut self.message, self.setup.columns());
        line.clear();
        let mut severity = Severity::Info;
        match self.setup.log.format {
            LogFormat::Text => text::request(line, columns, request),
            LogFormat::Json => json::request(line, request),
            LogFormat::Logfmt => logfmt::request(line, request),
            LogFormat::Tproxy => {
                severity = Severity::Notice;
                tproxy::request(line, columns, request);
            }
            LogFormat::HaproxyTcp
            | LogFormat::PlugSession
            | LogFormat::PlugSyslog
            | LogFormat::TproxySyslog
            | LogFormat::RedirSyslog
            | LogFormat::Redir2Syslog
            | LogFormat::Rinetd
            | LogFormat::RinetdCommon
            | LogFormat::RinetdSyslog
            | LogFormat::Proxymachine
            | LogFormat::Tcprelay => return,
        }
        let entry = &mut self.entry;
        entry.clear();
        match &self.shape {
            Shape::Line => entry.push_str(line),
            Shape::Syslog(head) => {
                head.begin(entry, severity, request.at, About::Request);
                entry.push_str(line);
                syslog::cut(entry);
            }
            Shape::Journald(label) => journald::request(entry, label, severity, request, line),
        }
        self.records.push(entry);
    }

    fn notice(&mut self, notice: &Notice) {
        let (line, columns) = (&mut self.message, self.setup.columns());
        let Log { format, verbosity, .. } = self.setup.log;
        let now = SystemTime::now();
        line.clear();
        let mut severity = Some(notice.level().into());
        match format {
            LogFormat::Text | LogFormat::HaproxyTcp => text::notice(line, columns, now, notice),
            LogFormat::Json => json::notice(line, now, notice),
            LogFormat::Logfmt => logfmt::notice(line, now, notice),
            LogFormat::PlugSession | LogFormat::Tproxy => return,
            LogFormat::PlugSyslog => severity = plug::notice(line, verbosity, notice),
            LogFormat::Rinetd => rinetd::notice(line, Style::Tabs, now, notice),
            LogFormat::RinetdCommon => rinetd::notice(line, Style::Common, now, notice),
            LogFormat::RinetdSyslog => {
                severity = rinetd::told_notice(line, columns.time, verbosity, notice);
            }
            LogFormat::TproxySyslog => severity = tproxy::notice(line, notice),
            LogFormat::RedirSyslog => {
                severity = redir::notice(line, Version::Three, verbosity, notice);
            }
            LogFormat::Redir2Syslog => {
                severity = redir::notice(line, Version::Two, verbosity, notice);
            }
            LogFormat::Tcprelay => severity = tcprelay::notice(line, columns.time, notice),
            LogFormat::Proxymachine => {
                severity = proxymachine::notice(line, columns, now, notice);
            }
        }
        let Some(severity) = severity.filter(|_| !line.is_empty()) else { return };
        let entry = &mut self.entry;
        entry.clear();
        match &self.shape {
            Shape::Line => entry.push_str(line),
            Shape::Syslog(head) => {
                head.begin(entry, severity, now, About::Notice);
                entry.push_str(line);
                syslog::cut(entry);
            }
            Shape::Journald(label) => journald::notice(entry, label, severity, notice, line),
        }
        match &mut self.notices {
            Notices::Along => self.records.push(entry),
            Notices::Apart(output) => output.push(entry),
            Notices::Elsewhere => {}
        }
    }

    fn remark(&mut self, text: String) {
        self.notice(&Notice::Remark { level: Level::Warning, text });
    }
}

impl Setup {
    /// Which entries are worth making for this log.
    pub(super) fn wants(&self) -> Wants {
        let log = &self.log;
        let level = match (log.format, log.verbosity) {
            // Their lines are made from decisions that others tell only at length.
            (
                LogFormat::PlugSyslog
                | LogFormat::TproxySyslog
                | LogFormat::RedirSyslog
                | LogFormat::Redir2Syslog
                | LogFormat::Proxymachine,
                _,
            )
            | (_, Verbosity::Verbose) => Level::Debug,
            (_, Verbosity::Quiet) => return Wants::QUIET,
            (_, Verbosity::Normal) => Level::Info,
        };
        let counts = log.format == LogFormat::HaproxyTcp;
        let requests = log.requests || log.format == LogFormat::Tproxy;
        // These have a line for it.
        let start = log.start
            || matches!(log.format, LogFormat::RedirSyslog | LogFormat::Redir2Syslog)
                && log.verbosity > Verbosity::Quiet;
        let records = log.format.has_records();
        Wants { records, start, every: log.every, counts, requests, level }
    }

    fn columns(&self) -> Columns {
        // Syslog and the journal have the time of their own.
        let time = !matches!(self.log.to.value, LogTarget::Syslog(_) | LogTarget::Journald(_));
        Columns { time, listener: self.names_listener }
    }
}

impl Notices {
    fn apart(&mut self) -> Option<&mut Output> {
        match self {
            Self::Apart(output) => Some(output),
            Self::Along | Self::Elsewhere => None,
        }
    }
}

/// Whether lines are what an old tool tells syslog.
fn is_of_syslog(format: LogFormat) -> bool {
    match format {
        LogFormat::PlugSyslog
        | LogFormat::RinetdSyslog
        | LogFormat::Tcprelay
        | LogFormat::TproxySyslog
        | LogFormat::RedirSyslog
        | LogFormat::Redir2Syslog => true,
        LogFormat::Text
        | LogFormat::Json
        | LogFormat::Logfmt
        | LogFormat::HaproxyTcp
        | LogFormat::PlugSession
        | LogFormat::Rinetd
        | LogFormat::RinetdCommon
        | LogFormat::Proxymachine
        | LogFormat::Tproxy => false,
    }
}

/// Whether a session that reports each `period` has passed a multiple of `every` since it last did.
fn passes(duration: Duration, every: Duration, period: Duration) -> bool {
    let times = |duration: Duration| duration.as_millis() / every.as_millis().max(1);
    every <= period || times(duration) > times(duration.saturating_sub(period))
}

/// Whether a session is of those that are written down: one in so many, and all that failed. Of a
/// session that is not, records on the way are left out as well.
fn is_sampled(sample: Sample, record: &Record) -> bool {
    let went_well = match record.event {
        Event::Start | Event::Open => true,
        Event::End { reason, .. } => reason == Reason::Done,
    };
    // By chance, not in turn: backends that take turns would always have the same of them logged.
    !went_well || Chance::new(record.id).below(sample.get()) == 0
}

/// Entries that never reached the log, to be told now and then.
#[derive(Debug, Default)]
struct Dropped {
    count: u64,
    told: Option<Instant>,
}

impl Dropped {
    fn count(&mut self, more: u64) {
        self.count += more;
    }

    /// What is to be told now.
    fn tell(&mut self, now: Instant) -> Option<String> {
        if self.count == 0 || self.told.is_some_and(|told| now < told + DROPPED_EVERY) {
            return None;
        }
        self.told = Some(now);
        let dropped = std::mem::take(&mut self.count);
        Some(format!("{dropped} log entries were dropped: the log was slower than they came"))
    }

    /// When something is to be told next.
    fn due(&self) -> Option<Instant> {
        self.told.filter(|_| self.count > 0).map(|told| told + DROPPED_EVERY)
    }

    /// Has all told with the next look: there may be no other.
    fn hurry(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use engine::account::By;
    use model::Syslog;
    use std::os::unix::net::UnixDatagram;

    fn setup(log: Log) -> Setup {
        Setup { log, names_listener: false, stderr_is_taken: false, period: None }
    }

    /// What a daemon gets of `entry` by a log to `target`, which listens elsewhere in a test.
    #[track_caller]
    fn received(target: LogTarget, format: LogFormat, entry: &Entry) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("replug-writer-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let daemon = UnixDatagram::bind(&path).expect("a new socket");
        daemon.set_read_timeout(Some(Duration::from_secs(5))).expect("a legal timeout");
        let log = Log { format, requests: format.has_requests(), ..Log::to(target) };
        let opened = Writer::open(setup(log)).expect("a daemon that is missing is no error");
        let mut writer = Writer { records: Output::new(Sink::local(&path)), ..opened };
        writer.take(entry);
        assert_eq!(writer.end(), 0);
        let mut message = [0; 16 * 1024];
        let count = daemon.recv(&mut message).expect("a message");
        let _ = std::fs::remove_file(&path);
        String::from_utf8(message[..count].to_vec()).expect("text")
    }

    #[test]
    fn the_journal_gets_fields_beside_the_line() {
        let target = || LogTarget::Journald(SyslogLabel::default());
        let record = Entry::Session(Box::new(samples::plain()));
        let entry = received(target(), LogFormat::Text, &record);
        assert!(entry.starts_with("MESSAGE=10.0.0.9:51234        -> 10.0.0.11:80 "), "{entry}");
        assert!(entry.contains("\nREPLUG_BACKEND=10.0.0.11:80\n"), "{entry}");
        let entry = received(target(), LogFormat::Text, &Entry::Notice(samples::warning()));
        assert!(entry.contains("is down") && entry.contains("\nPRIORITY=4\n"), "{entry}");
    }

    #[test]
    fn the_local_daemon_gets_its_own_kind_of_head() {
        let target = || LogTarget::Syslog(Syslog::new(SyslogServer::Local));
        let record = Entry::Session(Box::new(samples::plain()));
        let message = received(target(), LogFormat::HaproxyTcp, &record);
        let start = format!("<30>replug[{}]: 10.0.0.9:51234 [30/Jul", std::process::id());
        assert!(message.starts_with(&start), "{message}");
        let message = received(target(), LogFormat::HaproxyTcp, &Entry::Notice(samples::warning()));
        assert!(message.contains("]: warning: 10.0.0.11:80 of pool web is down"), "{message}");
    }

    #[test]
    fn no_format_lets_hostile_text_out_of_its_message() {
        let targets = [
            LogTarget::Syslog(Syslog::new(SyslogServer::Local)),
            LogTarget::Journald(SyslogLabel::default()),
        ];
        for (name, format) in LogFormat::NAMES {
            if format == LogFormat::RinetdSyslog {
                // Of sessions it has addresses and words of its own, and only of those refused.
                continue;
            }
            for target in &targets {
                let mut entries = vec![Entry::Session(Box::new(samples::hostile()))];
                match format {
                    LogFormat::Tproxy => entries.clear(),
                    LogFormat::Tcprelay => {
                        entries = vec![Entry::Notice(samples::hostile_notice())];
                    }
                    LogFormat::TproxySyslog => {
                        let unreached = Record { backend: None, ..samples::hostile() };
                        entries = vec![Entry::Session(Box::new(unreached))];
                    }
                    _ => {}
                }
                if format.has_requests() || format == LogFormat::Tproxy {
                    entries.push(Entry::Request(Box::new(samples::hostile_request())));
                }
                for entry in entries {
                    let message = received(target.clone(), format, &entry);
                    let ends_fields = matches!(target, LogTarget::Journald(_));
                    let own =
                        |c| ends_fields && c == '\n' || format == LogFormat::Rinetd && c == '\t';
                    let escapes = |c: char| c.is_control() && !own(c);
                    assert!(!message.contains(escapes), "{name}: {message:?}");
                    assert!(!message.contains("\n2026 forged"), "{name}: {message}");
                }
            }
        }
    }

    #[test]
    fn a_quiet_log_wants_no_records() {
        let of = |verbosity| {
            let Wants { records, level, .. } = setup(Log { verbosity, ..Log::default() }).wants();
            (records, level)
        };
        assert_eq!(of(Verbosity::Quiet), (false, Level::Warning));
        assert_eq!(of(Verbosity::Normal), (true, Level::Info));
        assert_eq!(of(Verbosity::Verbose), (true, Level::Debug));
        let plug = Log { format: LogFormat::PlugSyslog, ..Log::default() };
        let plug = setup(Log { verbosity: Verbosity::Quiet, ..plug }).wants();
        assert_eq!((plug.records, plug.level), (true, Level::Debug));
    }

    #[test]
    fn only_the_lines_of_haproxy_want_counts() {
        for (name, format) in LogFormat::NAMES {
            let wants = setup(Log { format, ..Log::default() }).wants();
            assert_eq!(wants.counts, format == LogFormat::HaproxyTcp, "{name}");
        }
    }

    #[test]
    fn a_log_that_wants_fewer_reports_leaves_some_out() {
        let seconds = Duration::from_secs;
        let kept = |every| -> Vec<u64> {
            // A session reports at most two sweeps late.
            let late = Duration::from_millis(1_900);
            let reported = (1..=12).map(|times| times * 10);
            let is_kept = |at: &u64| passes(seconds(*at) + late, seconds(every), seconds(10));
            reported.filter(is_kept).collect()
        };
        assert_eq!(kept(10).len(), 12);
        assert_eq!(kept(30), [30, 60, 90, 120]);
        assert_eq!(kept(25), [30, 50, 80, 100]);
        assert_eq!(kept(3_600), [0; 0]);
    }

    #[test]
    fn one_in_so_many_is_written_down_and_each_that_failed() {
        let sample = Sample::one_in(8.try_into().expect("not zero"));
        let count = |event| {
            let record = |id| Record { id, event, ..samples::plain() };
            (0..8_000).filter(|id| is_sampled(sample, &record(*id))).count()
        };
        let done = Event::End { reason: Reason::Done, by: By::Client };
        assert!((900..1_100).contains(&count(done)), "{}", count(done));
        assert_eq!(count(Event::Start), count(done));
        let idle = Event::End { reason: Reason::Idle, by: By::Replug };
        assert_eq!(count(idle), 8_000);
        let all = |event| {
            (0..100).all(|id| is_sampled(Sample::ALL, &Record { id, event, ..samples::plain() }))
        };
        assert!(all(done) && all(Event::Open));
    }
}
