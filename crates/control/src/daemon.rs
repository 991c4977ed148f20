//! `--daemon`: to the background, and success only once clients are accepted.
//!
//! ```text
//!   launcher                         daemon (the same program, the same words)
//!   ────────                         ──────
//!   start it, with a pipe as its     leave the terminal's session
//!   standard input and LAUNCHER set  start up; what goes wrong is told on standard error,
//!   wait ...                         which is still the launcher's
//!      ... "ready" comes      ◀───── clients are accepted
//!   exit 0                           /dev/null becomes 0, 1 and 2
//!      ... or the pipe ends   ◀───── it could not start
//!   exit with its code
//! ```
//!
//! The program is started a second time rather than forked: a fork of a process
//! that has threads is a trap, and needs `unsafe`. The working directory stays,
//! so that relative paths mean what they meant.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Names the process id of the launcher, in the environment of the daemon.
const LAUNCHER: &str = "REPLUG_LAUNCHER";

/// What the daemon writes once it accepts clients.
const READY: &[u8] = b"ready\n";

/// How a launch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    /// The daemon accepts clients.
    Ready,
    /// The daemon ended before that, with this code; `None`: by a signal.
    Ended(Option<i32>),
}

/// The way from a daemon back to its launcher: its standard input.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// `/dev/null`, opened while the file system is still all there.
    null: File,
}

impl Launcher {
    /// The launcher of this process, if it has one; then the terminal's session is left.
    ///
    /// # Errors
    /// When that fails, or there is no `/dev/null`.
    pub(crate) fn of_this_process() -> io::Result<Option<Self>> {
        if !is_launched() {
            return Ok(None);
        }
        let null = File::options().read(true).write(true).open("/dev/null")?;
        rustix::process::setsid()?;
        Ok(Some(Self { null }))
    }

    /// Lets the launcher end, and lets go of everything that it had from its user.
    ///
    /// # Errors
    /// When the launcher has not waited.
    pub(crate) fn ready(self) -> io::Result<()> {
        // Seven bytes into an empty pipe: never short.
        rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdin(), READY))?;
        rustix::stdio::dup2_stdin(&self.null)?;
        rustix::stdio::dup2_stdout(&self.null)?;
        rustix::stdio::dup2_stderr(&self.null)?;
        Ok(())
    }
}

/// Starts this program a second time, as a daemon, and waits until it accepts clients or ends.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn launch() -> io::Result<Launch> {
    let mut words = env::args_os();
    let mut command = Command::new(env::current_exe()?);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command.args(words);
    wait_for_ready(command)
}

fn wait_for_ready(mut command: Command) -> io::Result<Launch> {
    let (mut reader, writer) = io::pipe()?;
    command.env(LAUNCHER, std::process::id().to_string());
    let mut daemon = command.stdin(writer).spawn()?;
    // It holds our copy of the writing end, without which the pipe would never end.
    drop(command);
    let mut word = [0; READY.len()];
    match reader.read_exact(&mut word) {
        Ok(()) if word == READY => Ok(Launch::Ready),
        _ => Ok(Launch::Ended(daemon.wait()?.code())),
    }
}

/// Whether a launcher has started this process: what is wrong with its words, that one has told.
pub fn is_launched() -> bool {
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
    let named = env::var(LAUNCHER).ok().and_then(|pid| pid.parse().ok());
    // A variable that has come from further up does not make a daemon.
    named.is_some() && named == parent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: Launch) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        assert_eq!(wait_for_ready(command).expect("sh starts"), expected, "{script}");
    }

    #[test]
    fn launches() {
        check("echo ready >&0", Launch::Ready);
        check(&format!("test ${LAUNCHER} = $PPID && echo ready >&0"), Launch::Ready);
        check("exit 4", Launch::Ended(Some(4)));
        check("echo read >&0; exit 3", Launch::Ended(Some(3)));
        check("kill -9 $$", Launch::Ended(None));
    }

    #[test]
    fn a_process_without_a_launcher_is_no_daemon() {
        let launcher = Launcher::of_this_process().expect("nothing is tried");
        assert!(launcher.is_none());
    }
}
