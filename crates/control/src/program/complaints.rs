//! What a child says on its standard error, or on another stream, line by line in the log.
//!
//! It is read to its end whatever happens, so that a child never waits for us. Of many lines only
//! some are told, and the rest counted; one that never stops is read with rests, so that it takes
//! little of the processor.

use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Journal, Level, Notice};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::Instant;

/// The while in which so many lines are told.
const WHILE: Duration = Duration::from_secs(10);

/// What is told of one line, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// Bytes that are read at a time.
const READ_BYTES: usize = 16 * 1_024;

/// The rest after each read of more lines than are told: 1.6 MB a second are left.
const REST: Duration = Duration::from_millis(10);

/// Tells `journal` what comes out of `stream`, until that ends.
pub(crate) async fn tell(
    mut stream: impl AsyncRead + Unpin,
    program: Arc<str>,
    pid: u32,
    mut budget: Budget,
    journal: Journal,
) {
    let remark = |level, text: String| journal.notice(Notice::Remark { level, text });
    let tell_more = |lines: u64| {
        if lines > 0 {
            let text = format!("{program} (process {pid}) has said {lines} more lines");
            remark(Level::Warning, text);
        }
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut lines = Lines::default();
    // An error is an end, too.
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let now = Instant::now();
        let mut is_flood = false;
        lines.push(&buffer[..length], |line| match budget.take(now) {
            Taken::Told { before } => {
                tell_more(before);
                remark(Level::Info, format!("{program} (process {pid}): {line}"));
            }
            Taken::Counted => is_flood = true,
        });
        if is_flood {
            tokio::time::sleep(REST).await;
        }
    }
    lines.end(|line| remark(Level::Info, format!("{program} (process {pid}): {line}")));
    tell_more(budget.left_out);
}

/// Makes lines of pieces.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES_MAX - self.begun.len();
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end(&mut each);
            }
        }
    }

    /// What has begun ends here.
    fn end(&mut self, mut each: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.begun);
        if !line.trim().is_empty() {
            each(line.trim_end());
        }
        self.begun.clear();
    }
}

/// How many lines may still be told.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In a while.
    lines_max: u32,
    /// When the while began; `None`: none has been told yet.
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// The line is told; so many were left out before.
    Told {
        before: u64,
    },
    Counted,
}

impl Budget {
    /// For a program that has little to say.
    pub(crate) const FEW: Self = Self::new(20);

    /// So many lines in ten seconds.
    pub(crate) const fn new(lines_max: u32) -> Self {
        Self { lines_max, since: None, told: 0, left_out: 0 }
    }

    fn take(&mut self, now: Instant) -> Taken {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WHILE) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told == self.lines_max {
            self.left_out += 1;
            return Taken::Counted;
        }
        self.told += 1;
        Taken::Told { before: std::mem::take(&mut self.left_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_made_of_pieces() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        let long = [b'x'; 3 * LINE_BYTES_MAX];
        for piece in [&b"on"[..], b"e\ntwo\r\n\n  \nth", b"ree", &long, b"\nfo"] {
            lines.push(piece, |line| told.push(line.to_owned()));
        }
        lines.end(|line| told.push(line.to_owned()));
        let three = format!("three{}", "x".repeat(LINE_BYTES_MAX - 5));
        assert_eq!(told, ["one", "two", &*three, "fo"]);
    }

    #[test]
    fn of_many_lines_some_are_told_and_the_rest_counted() {
        let now = Instant::now();
        let mut budget = Budget::new(20);
        let taken: Vec<_> = (0..25).map(|_| budget.take(now)).collect();
        let told = taken.iter().filter(|taken| **taken == Taken::Told { before: 0 }).count();
        assert_eq!(told, 20);
        assert_eq!(budget.take(now + WHILE), Taken::Told { before: 5 });
    }
}
