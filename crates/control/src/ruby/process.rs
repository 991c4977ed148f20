//! One process that runs a Ruby file: it is asked and answers over the socket that is its standard
//! input, and gets the shim by that first.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream as Pair;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use engine::journal::Journal;
use model::Program;
use script::ruby::{Ask, Question, Source, Title};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::Parse;
use wire::ruby::{Foreign, Said};

use crate::program::Life;
use crate::program::complaints::{self, Budget};
use crate::program::end;
use crate::program::start::start;

/// What defines the words of a file, and answers.
const SHIM: &str = include_str!("shim.rb");

/// What gets the shim over the socket, and hands that on.
const BOOT: &str = "\
    $stdin.binmode; eval($stdin.read($stdin.gets.to_i).force_encoding('UTF-8'), TOPLEVEL_BINDING, \
    'replug/shim.rb'); Replug.boot";

/// Questions that are on their way to a process at a time: it answers them one after the other, and
/// need not wait for us between two.
pub(super) const AT_ONCE: usize = 32;

/// Lines on standard output and standard error that are told in ten seconds.
const LINES_MAX: u32 = 10_000;

/// What is read at a time, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// A process that runs.
#[derive(Debug)]
pub(super) struct Process {
    process: tokio::process::Child,
    pub(super) pid: u32,
    began: Instant,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    listeners: [JoinHandle<()>; 2],
    /// What is still to be written to it.
    out: Vec<u8>,
    /// What it has said that is not a whole frame yet.
    said: Vec<u8>,
    /// Whether its file is loaded.
    pub(super) is_ready: bool,
    /// What it was asked and has not answered, in the order of asking.
    pub(super) asked: VecDeque<Asked>,
    /// Since when it is at the first of those.
    pub(super) since: Instant,
    has_answered: bool,
}

/// A question on its way to a process.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// What it is called between the two.
    pub(super) id: u64,
    /// Whether a process was at it before, and ended.
    pub(super) is_repeated: bool,
}

impl Process {
    /// Starts one, which loads the file.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    pub(super) fn start(
        source: &Source,
        name: &Arc<str>,
        journal: &Journal,
    ) -> Result<Self, String> {
        let (ours, theirs) = Pair::pair().map_err(|error| error.to_string())?;
        ours.set_nonblocking(true).map_err(|error| error.to_string())?;
        let socket = UnixStream::from_std(ours).map_err(|error| error.to_string())?;
        let mut process = start(&program(source), Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .map_err(|why| match which_is_missing(&why) {
                true => format!(
                    "{why}: install Ruby (Debian: apt install ruby); behind --chroot it has to be within"
                ),
                false => why,
            })?;
        let lost = || "it has lost its streams".to_owned();
        let pid = process.id().ok_or_else(lost)?;
        let stdout = process.stdout.take().ok_or_else(lost)?;
        let stderr = process.stderr.take().ok_or_else(lost)?;
        let budget = || Budget::new(LINES_MAX);
        let listeners = [
            tokio::spawn(complaints::tell(
                stdout,
                Arc::clone(name),
                pid,
                budget(),
                journal.clone(),
            )),
            tokio::spawn(complaints::tell(
                stderr,
                Arc::clone(name),
                pid,
                budget(),
                journal.clone(),
            )),
        ];
        let (from, to) = socket.into_split();
        let now = Instant::now();
        Ok(Self {
            process,
            pid,
            began: now,
            from,
            to,
            listeners,
            out: format!("{}\n{SHIM}", SHIM.len()).into_bytes(),
            said: Vec::new(),
            is_ready: false,
            asked: VecDeque::new(),
            since: now,
            has_answered: false,
        })
    }

    /// Whether it takes another question.
    pub(super) fn has_room(&self) -> bool {
        self.is_ready && self.asked.len() < AT_ONCE
    }

    /// Puts a question to it.
    pub(super) fn ask(&mut self, asked: Asked, now: Instant) {
        if self.asked.is_empty() {
            self.since = now;
        }
        let question = match &asked.question.ask {
            Ask::Route { client, server, data } => {
                wire::ruby::Question::Route { client, server, data }
            }
            Ask::ConnectError(remote) => wire::ruby::Question::ConnectError(remote.as_bytes()),
            Ask::Inactivity(remote) => wire::ruby::Question::Inactivity(remote.as_bytes()),
            Ask::Filter(data) => wire::ruby::Question::Filter(data),
        };
        question.write(asked.id, &mut self.out);
        self.asked.push_back(asked);
    }

    /// Calls it so.
    pub(super) fn entitle(&mut self, title: &Title) {
        let Title { sessions, text } = title;
        let told = wire::ruby::Question::Title { sessions: *sessions, title: text };
        told.write(0, &mut self.out);
    }

    /// Takes back the question with this id, which was answered: it must be the first.
    pub(super) fn answered(&mut self, id: u64, now: Instant) -> Option<Question> {
        let is_next = self.asked.front().is_some_and(|asked| asked.id == id);
        let asked = is_next.then(|| self.asked.pop_front()).flatten()?;
        self.since = now;
        self.has_answered = true;
        Some(asked.question)
    }

    /// Writes and reads until something was read. Loses nothing when it is dropped before.
    ///
    /// # Errors
    /// It has closed its end, so it has ended or is about to.
    pub(super) async fn exchange(&mut self) -> io::Result<()> {
        self.said.reserve(READ_BYTES);
        loop {
            tokio::select! {
                biased;
                read = self.from.read_buf(&mut self.said) => {
                    return match read? {
                        0 => Err(io::ErrorKind::UnexpectedEof.into()),
                        _ => Ok(()),
                    };
                }
                written = self.to.write(&self.out), if !self.out.is_empty() => {
                    match written? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        written => drop(self.out.drain(..written)),
                    }
                }
            }
        }
    }

    /// Looks at each whole frame that it has said, until `look` says that it is enough.
    ///
    /// # Errors
    /// What it said is no frame.
    pub(super) fn hear(
        &mut self,
        mut look: impl FnMut(&mut Self, Said<'_>) -> Result<(), Foreign>,
    ) -> Result<(), Foreign> {
        let said = std::mem::take(&mut self.said);
        let mut at = 0;
        let heard = loop {
            match wire::ruby::read(&said[at..]) {
                Parse::Partial => break Ok(()),
                Parse::Foreign(why) => break Err(why),
                Parse::Whole { value, length } => {
                    at += length;
                    if let Err(why) = look(self, value) {
                        break Err(why);
                    }
                }
            }
        };
        self.said = said;
        self.said.drain(..at);
        heard
    }

    /// What it was good for.
    pub(super) fn life(&self) -> Life {
        match self.has_answered {
            true => Life::Useful,
            false => Life::Idle(self.began.elapsed()),
        }
    }

    /// How long it has been loading its file.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Ends it: in order if it has time for that, else at once. What the system says of its end, and
    /// what it had not answered.
    pub(super) async fn end(self, in_order: bool) -> (Option<ExitStatus>, VecDeque<Asked>) {
        let Self { mut process, from, to, listeners, asked, .. } = self;
        drop((from, to));
        let status = match in_order {
            true => end::in_order(&mut process).await,
            false => end::at_once(&mut process).await,
        };
        for listener in listeners {
            end::hear_out(listener).await;
        }
        (status, asked)
    }
}

/// The command that runs `source`.
fn program(source: &Source) -> Program {
    let path = source.path.to_string_lossy().into_owned();
    let strict = if source.strict { "strict" } else { "" };
    let words = ["ruby", "-e", BOOT, "--", &*path, strict];
    Program::new(words.map(str::to_owned).to_vec())
}

fn which_is_missing(why: &str) -> bool {
    why.starts_with("No such file")
}
