//! Entries on their way into a sink.
//!
//! An output holds whole entries and how far into them the sink has come, so that
//! a write that ends in the middle of one (a disk that fills up) goes on
//! right there when the sink works again, and a sink that was opened anew gets
//! the entry from its beginning.
//!
//! ```text
//!            a write fails
//!   working ───────────────▶ in trouble ─┐ after each pause: open again, write again;
//!      ▲                         │    ▲  │ entries beyond HELD_BYTES_MAX are counted, not held
//!      └─────────────────────────┘    └──┘
//!            all is written
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::sink::{Framing, Opened, Sink};

/// Entries that are written together while they come faster than writes.
const BATCH_BYTES: usize = 64 * 1024;

/// Entries that are held for a sink that fails: some 5,000.
const HELD_BYTES_MAX: usize = 1024 * 1024;

// Else a batch would not fit and entries were lost without any trouble.
const _: () = assert!(BATCH_BYTES * 4 <= HELD_BYTES_MAX);

/// Longest wait for a sink that works but takes nothing at the moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Output {
    sink: Sink,
    /// Entries as they are written, the first of which may be taken in part.
    held: Vec<u8>,
    /// Their lengths.
    lengths: VecDeque<usize>,
    /// Where the first that is not taken whole begins in `held`.
    start: usize,
    /// Bytes of `held` that the sink has taken.
    taken: usize,
    /// Entries that were not held.
    lost: u64,
    trouble: Option<Trouble>,
    on_failure: OnFailure,
}

/// What becomes of entries that a sink does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    /// They are held, and the trouble is told.
    Hold,
    /// They are let go, and nobody is told.
    LetGo,
}

/// A sink that fails.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    retry_at: Instant,
    pause: Duration,
    error: io::Error,
}

/// What came of a flush.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All is written, as before.
    Whole,
    /// The sink fails, or is not to be tried yet.
    Held,
    /// All is written, for the first time since the sink began to fail.
    Again {
        /// What to tell about it.
        told: String,
    },
}

impl Output {
    /// An output that is in trouble from the start only if nobody is behind its sink yet.
    pub(super) fn new(sink: Sink) -> Self {
        let mut output = Self::letting_go(sink);
        output.on_failure = OnFailure::Hold;
        if let Some(error) = output.sink.absent() {
            output.failed(error, Instant::now());
        }
        output
    }

    /// An output that lets go, without a word, of what its sink does not take: as syslog(3) does
    /// where there is no daemon.
    pub(super) fn letting_go(sink: Sink) -> Self {
        Self {
            sink,
            held: Vec::new(),
            lengths: VecDeque::new(),
            start: 0,
            taken: 0,
            lost: 0,
            trouble: None,
            on_failure: OnFailure::LetGo,
        }
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.sink
    }

    pub(super) fn sink_mut(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Takes in an entry, which is not framed yet.
    pub(super) fn push(&mut self, entry: &str) {
        let begin = self.held.len();
        if begin - self.start + entry.len() >= HELD_BYTES_MAX {
            self.lost += 1;
            return;
        }
        match self.sink.framing() {
            Framing::Lines | Framing::Messages => {}
            Framing::Counted => self.held.extend_from_slice(format!("{} ", entry.len()).as_bytes()),
        }
        self.held.extend_from_slice(entry.as_bytes());
        match self.sink.framing() {
            Framing::Lines => self.held.push(b'\n'),
            Framing::Messages | Framing::Counted => {}
        }
        self.lengths.push_back(self.held.len() - begin);
    }

    /// Whether enough is held to be written at once.
    pub(super) fn is_batch(&self) -> bool {
        self.trouble.is_none() && self.held.len() >= BATCH_BYTES
    }

    /// When a sink that fails is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry_at)
    }

    /// Entries that were lost, and those that are still held.
    pub(super) fn unwritten(&self) -> u64 {
        self.lost + self.lengths.len() as u64
    }

    /// Writes what is held.
    pub(super) fn flush(&mut self, now: Instant) -> Flushed {
        let mut patience = PATIENCE;
        if let Some(trouble) = &self.trouble {
            if now < trouble.retry_at {
                return Flushed::Held;
            }
            patience = Duration::ZERO;
            // A reader that is merely slow goes on in the middle of an entry.
            if trouble.error.kind() != io::ErrorKind::WouldBlock {
                match self.sink.reopen() {
                    Ok(Opened::Other) => self.taken = self.start,
                    Err(error) if self.sink.is_connection() => {
                        self.failed(error, now);
                        return Flushed::Held;
                    }
                    // The file that is open may well work again.
                    Ok(Opened::Same) | Err(_) => {}
                }
            }
        }
        match self.write_or_connect(patience) {
            Ok(()) => self.recovered(now),
            Err(_) if self.on_failure == OnFailure::LetGo => {
                self.held.clear();
                self.lengths.clear();
                (self.start, self.taken) = (0, 0);
                Flushed::Whole
            }
            Err(error) => {
                self.failed(error, now);
                Flushed::Held
            }
        }
    }

    /// Opens the sink anew, at an operator's wish, after what is held has gone to the old one.
    ///
    /// # Errors
    /// When that fails; the old one stays.
    pub(super) fn reopen(&mut self, now: Instant) -> io::Result<()> {
        self.flush(now);
        if self.sink.reopen()? == Opened::Other {
            self.taken = self.start;
            // The new one may work at once.
            if let Some(trouble) = &mut self.trouble {
                trouble.retry_at = now;
            }
        }
        Ok(())
    }

    /// Goes over to the file that its path names now, if that is another: for formats whose users
    /// rename the file and tell nobody. A line that was begun stays in the old one.
    pub(super) fn follow(&mut self) {
        if self.taken == self.start && !self.lengths.is_empty() && self.sink.has_moved() {
            // On failure the old file stays, and takes the lines.
            let _ = self.sink.reopen();
        }
    }

    /// Writes; if nobody is connected, connects once and writes again.
    fn write_or_connect(&mut self, patience: Duration) -> io::Result<()> {
        match self.write(patience) {
            Err(error) if self.trouble.is_none() && self.sink.is_gone(&error) => {
                if self.sink.reopen()? == Opened::Other {
                    self.taken = self.start;
                }
                self.write(patience)
            }
            outcome => outcome,
        }
    }

    fn write(&mut self, patience: Duration) -> io::Result<()> {
        while let Some(&length) = self.lengths.front() {
            let first = self.start + length - self.taken;
            match self.sink.write(&self.held[self.taken..], first, patience) {
                Ok(count) => self.take(count),
                Err(error) if Sink::is_too_long(&error) => {
                    self.take(first);
                    self.lost += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.held.clear();
        (self.start, self.taken) = (0, 0);
        Ok(())
    }

    /// Goes on by `count` bytes.
    fn take(&mut self, count: usize) {
        self.taken += count;
        while let Some(&length) = self.lengths.front()
            && self.start + length <= self.taken
        {
            self.start += length;
            self.lengths.pop_front();
        }
    }

    fn recovered(&mut self, now: Instant) -> Flushed {
        let Some(trouble) = self.trouble.take() else {
            return Flushed::Whole;
        };
        let lost = std::mem::take(&mut self.lost);
        let told = format!(
            "the log is written again after {} ({}); {lost} entries are lost",
            model::unit::show(Duration::from_secs(
                now.duration_since(trouble.since).as_secs().max(1)
            )),
            trouble.error,
        );
        Flushed::Again { told }
    }

    fn failed(&mut self, error: io::Error, now: Instant) {
        self.held.drain(..self.start);
        self.taken -= self.start;
        self.start = 0;
        let pauses = self.sink.pauses();
        match &mut self.trouble {
            Some(trouble) => {
                trouble.pause = (trouble.pause * 2).min(pauses.most);
                trouble.retry_at = now + trouble.pause;
                trouble.error = error;
            }
            None => {
                self.sink.complain(&error);
                let (pause, retry_at) = (pauses.first, now + pauses.first);
                self.trouble = Some(Trouble { since: now, retry_at, pause, error });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::{Path, PathBuf};

    /// Of the sinks in these tests.
    const RETRY_EVERY: Duration = Duration::from_secs(1);

    #[test]
    fn what_nobody_takes_is_let_go_if_nobody_minds() {
        let dir = Directory::new("letgo");
        let path = dir.path("log");
        let mut output = Output::letting_go(Sink::local(&path));
        output.push("lost");
        assert_eq!(output.flush(Instant::now()), Flushed::Whole);
        assert_eq!((output.unwritten(), output.retry_at()), (0, None));
        let daemon = std::os::unix::net::UnixDatagram::bind(&path).expect("a new socket");
        output.push("heard");
        assert_eq!(output.flush(Instant::now()), Flushed::Whole);
        let mut message = [0; 64];
        let count = daemon.recv(&mut message).expect("it is there");
        assert_eq!(&message[..count], b"heard");
    }

    #[test]
    fn a_full_disk_is_waited_out_and_what_was_lost_is_told() {
        let dir = Directory::new("full");
        let path = dir.path("log");
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link to /dev/full");
        let mut output = Output::new(Sink::file(&path).expect("/dev/full opens"));
        let start = Instant::now();
        output.push("first");
        assert_eq!(output.flush(start), Flushed::Held);
        assert_eq!(output.retry_at(), Some(start + RETRY_EVERY));

        let long = "x".repeat(1023);
        for _ in 0..2_000 {
            output.push(&long);
        }
        assert!(output.held.len() <= HELD_BYTES_MAX);
        assert_eq!(output.flush(start), Flushed::Held, "not to be tried yet");
        assert_eq!(output.unwritten(), 2_001);

        fs::remove_file(&path).expect("the link is ours");
        let later = start + RETRY_EVERY;
        let told = "the log is written again after 1s (No space left on device (os error 28)); \
                    977 entries are lost"
            .to_owned();
        assert_eq!(output.flush(later), Flushed::Again { told });
        let written = fs::read_to_string(&path).expect("the new file");
        assert_eq!(written.lines().count(), 2_001 - 977);
        assert!(written.starts_with("first\nx"), "{}", &written[..20]);
        assert_eq!(output.flush(later), Flushed::Whole);
    }

    #[test]
    fn a_line_that_was_cut_goes_on_where_it_was_cut() {
        let dir = Directory::new("cut");
        let path = dir.path("log");
        let mut output = Output::new(Sink::file(&path).expect("a new file"));
        output.push("one");
        output.push("two");
        // As if a write had taken `one`, its line end and `t`, and the next had failed.
        fs::write(&path, "one\nt").expect("the file is ours");
        output.take(5);
        let now = Instant::now();
        output.failed(io::Error::from_raw_os_error(28), now);
        assert_eq!((output.held.as_slice(), output.taken), (&b"two\n"[..], 1));
        assert!(matches!(output.flush(now + RETRY_EVERY), Flushed::Again { .. }));
        assert_eq!(fs::read_to_string(&path).expect("the file"), "one\ntwo\n");
    }

    #[test]
    fn reopening_after_a_rename_loses_nothing() {
        let dir = Directory::new("rename");
        let (path, old) = (dir.path("log"), dir.path("log.1"));
        let mut output = Output::new(Sink::file(&path).expect("a new file"));
        output.push("one");
        fs::rename(&path, &old).expect("the file is ours");
        output.push("two");
        output.reopen(Instant::now()).expect("a file can be made");
        output.push("three");
        assert_eq!(output.flush(Instant::now()), Flushed::Whole);
        assert_eq!(fs::read_to_string(&old).expect("the old file"), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).expect("the new file"), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_stays_in_use() {
        let dir = Directory::new("gone");
        let below = dir.path("below");
        fs::create_dir(&below).expect("a directory");
        let mut output = Output::new(Sink::file(&below.join("log")).expect("a new file"));
        let moved = dir.path("moved");
        fs::rename(&below, &moved).expect("the directory is ours");
        output.reopen(Instant::now()).expect_err("there is no such directory");
        output.push("still");
        assert_eq!(output.flush(Instant::now()), Flushed::Whole);
        assert_eq!(fs::read_to_string(moved.join("log")).expect("the file"), "still\n");
    }

    #[test]
    fn a_fifo_is_waited_for_and_its_readers_get_whole_lines() {
        let dir = Directory::new("fifo");
        let path = dir.path("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
        let mut output = Output::new(Sink::file(&path).expect("no reader is no error"));
        let start = Instant::now();
        assert!(output.retry_at().is_some(), "it is told at once that nobody reads");
        output.push("early");
        assert_eq!(output.flush(start), Flushed::Held);

        let mut reader = read_end(&path);
        assert!(matches!(output.flush(start + RETRY_EVERY), Flushed::Again { .. }));
        let mut read = [0; 64];
        let count = reader.read(&mut read).expect("the line is there");
        assert_eq!(&read[..count], b"early\n");

        drop(reader);
        output.push("alone");
        let later = start + RETRY_EVERY * 2;
        assert_eq!(output.flush(later), Flushed::Held);
        let mut reader = read_end(&path);
        assert!(matches!(output.flush(later + RETRY_EVERY), Flushed::Again { .. }));
        let count = reader.read(&mut read).expect("the line is there");
        assert_eq!(&read[..count], b"alone\n");
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_for_long() {
        let dir = Directory::new("stuck");
        let path = dir.path("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
        let mut reader = read_end(&path);
        let mut output = Output::new(Sink::file(&path).expect("it has a reader"));
        let line = "y".repeat(99);
        for _ in 0..2_000 {
            output.push(&line);
        }
        let start = Instant::now();
        assert_eq!(output.flush(start), Flushed::Held, "200 kB do not fit into a pipe");
        assert_eq!(output.flush(start + RETRY_EVERY), Flushed::Held);

        let mut read = Vec::new();
        let mut times = 1;
        while read.len() < 200_000 {
            times += 1;
            let mut part = [0; 64 * 1024];
            let count = reader.read(&mut part).expect("there is something to read");
            read.extend_from_slice(&part[..count]);
            output.flush(start + RETRY_EVERY * times);
        }
        assert!(output.held.is_empty());
        let text = String::from_utf8(read).expect("what was written");
        let mut lines = text.lines();
        assert!(lines.by_ref().take(2_000).all(|read| read == line));
    }

    fn read_end(path: &Path) -> fs::File {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(nonblocking).open(path).expect("the FIFO opens")
    }

    /// A directory of one test, removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("replug-output-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a new directory");
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
