//! A real program with its output, which does not outlive the test.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::wait::{Deadline, PATIENCE};

/// A running program. Killed when dropped; if the test fails, its output is shown.
pub struct Program {
    child: Child,
    name: String,
    stdout: Lines,
    stderr: Lines,
}

impl Program {
    /// Starts it, with nothing on its standard input.
    ///
    /// # Panics
    /// When it cannot be started: where it is missing, with what to do about that.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_on(command, Stdio::null())
    }

    /// Starts it, with `input` as its standard input.
    ///
    /// # Panics
    /// As [`Program::start`].
    #[track_caller]
    pub fn start_on(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} cannot be started: {error}; install it: ./test does")
            });
        // The command holds our copy of the input, without which a socket there would never end.
        command.stdin(Stdio::null());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        Self { child, name, stdout: Lines::of(stdout), stderr: Lines::of(stderr) }
    }

    /// Starts it, waits for its end, and expects success. What it wrote to stdout, line by line.
    ///
    /// # Panics
    /// When it fails, or does not end within [`PATIENCE`].
    #[track_caller]
    pub fn run(command: &mut Command) -> Vec<String> {
        let mut program = Self::start(command);
        let status = program.wait_exit();
        assert!(status.success(), "{program} ended with {status}");
        program.stdout.all_once_closed()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> &Lines {
        &self.stdout
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        if let Err(error) = kill_process(pid, signal) {
            panic!("{self} cannot be signalled: {error}");
        }
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.wait_exit_within_patience()
            .unwrap_or_else(|| panic!("{self} did not end in {PATIENCE:?}"))
    }

    /// Waits for its end, and expects this exit code.
    ///
    /// # Panics
    /// When it ends otherwise, or not within [`PATIENCE`].
    #[track_caller]
    pub fn expect_exit(&mut self, code: i32) {
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(code), "{self} ended with {status}");
    }

    pub(crate) fn wait_exit_within_patience(&mut self) -> Option<ExitStatus> {
        if let Some(status) = self.exit_status() {
            return Some(status);
        }
        let fd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .expect("a child that was not waited for has a pidfd");
        let mut watched = [PollFd::new(&fd, PollFlags::IN)];
        let time = PATIENCE.try_into().expect("seconds fit in any timespec");
        poll(&mut watched, Some(&time)).expect("poll works on a pidfd");
        self.exit_status()
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "the harness shows it below the failed test")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {self} ended: {}", Shown(&status));
            for (stream, lines) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
                eprintln!("--- its {stream}:");
                lines.so_far().iter().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.child.id())
    }
}

struct Shown<'a>(&'a std::io::Result<ExitStatus>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(status) if status.signal() == Some(9) => {
                f.write_str("killed at the end of the test")
            }
            Ok(status) => status.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

/// The lines of a stream, as they come.
#[derive(Clone, Debug)]
pub struct Lines(Arc<(Mutex<Received>, Condvar)>);

#[derive(Debug, Default)]
struct Received {
    lines: Vec<String>,
    closed: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.change(|read| read.lines.push(line));
            }
            writer.change(|read| read.closed = true);
        });
        lines
    }

    /// What there is.
    pub fn so_far(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits until a line contains `words`, and returns that line.
    ///
    /// # Panics
    /// When the stream ends without, or there is none within [`PATIENCE`].
    #[track_caller]
    pub fn expect(&self, words: &str) -> String {
        let found = |read: &Received| read.lines.iter().find(|line| line.contains(words)).cloned();
        match self.wait(|read| found(read).is_some()) {
            Ok(read) => found(&read).expect("this is what was waited for"),
            Err(read) => panic!("no line says {words:?}: {:#?}", read.lines),
        }
    }

    /// Waits until `count` lines satisfy `wanted`, and returns these.
    ///
    /// # Panics
    /// When the stream ends with fewer, or they do not come within [`PATIENCE`].
    #[track_caller]
    pub fn expect_count(&self, count: usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        // Each line is looked at once: there may be many, and they come one at a time.
        let (mut seen, mut have) = (0, Vec::new());
        let waited = self.wait(|read| {
            have.extend(read.lines[seen..].iter().filter(|line| wanted(line)).cloned());
            seen = read.lines.len();
            have.len() >= count
        });
        if let Err(read) = waited {
            panic!("{} of {count} lines came: {:#?}", have.len(), read.lines);
        }
        have
    }

    /// Waits until the stream has ended, and returns all of it.
    ///
    /// # Panics
    /// When it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn all_once_closed(&self) -> Vec<String> {
        match self.wait(|read| read.closed) {
            Ok(read) => read.lines.clone(),
            Err(read) => panic!("the stream does not end: {:#?}", read.lines),
        }
    }

    /// Waits until `done`; `Err` when the stream has ended or the deadline has passed before.
    fn wait(
        &self,
        mut done: impl FnMut(&Received) -> bool,
    ) -> Result<MutexGuard<'_, Received>, MutexGuard<'_, Received>> {
        let deadline = Deadline::new();
        let mut read = self.lock();
        loop {
            if done(&read) {
                return Ok(read);
            }
            if read.closed || deadline.is_over() {
                return Err(read);
            }
            let woken = self.0.1.wait_timeout(read, deadline.left());
            read = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
