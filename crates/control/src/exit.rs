//! How a process ends, and why one does not start.
//!
//! Everything that goes wrong before readiness is told on standard error, as
//! lines that begin with `replug:` and say what, why, and what to do.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::{activation, log, privileges};

/// How a process ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it has done what it was asked to do.
    Done,
    /// 1: it failed while running.
    Failed,
    /// 2: the command line was wrong.
    Usage,
    /// 3: the configuration was wrong.
    Configuration,
    /// 4: it could not bind, or was not permitted to.
    NotPermitted,
    /// 5: there is no running replug to talk to.
    NotRunning,
}

impl Exit {
    const ALL: [Self; 6] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Configuration,
        Self::NotPermitted,
        Self::NotRunning,
    ];

    /// The exit with this code. Any other code is a failure.
    pub(crate) fn of_code(code: Option<i32>) -> Self {
        let known = Self::ALL.into_iter().find(|exit| code == Some(exit.code().into()));
        known.unwrap_or(Self::Failed)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::NotPermitted => 4,
            Self::NotRunning => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a process does not start, and the code it ends with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What a personality tells first: lines as they stand.
    pub(crate) whole: Vec<String>,
    /// What, why and what to do: one line each.
    pub(crate) lines: Vec<String>,
    pub(crate) exit: Exit,
}

impl Fault {
    /// One that is told in one line.
    pub(crate) fn of(line: String, exit: Exit) -> Self {
        Self { whole: Vec::new(), lines: vec![line], exit }
    }

    /// Something of the system that no user has asked for.
    pub(crate) fn failed(what: &str, error: &io::Error) -> Self {
        Self::of(format!("{what}: {error}"), Exit::Failed)
    }

    /// A file that a user has named; `remedy` is what to do.
    pub(crate) fn io(what: &str, error: &io::Error, remedy: &str) -> Self {
        Self::of(format!("{what}: {error}; {remedy}"), exit_of(error))
    }

    pub(crate) fn privileges(fault: privileges::Fault) -> Self {
        use privileges::Fault::{Database, NoGroup, NoUser, NotForGood, NotRoot, Refused};
        let exit = match &fault {
            NoUser(_) | NoGroup(_) => Exit::Configuration,
            NotRoot | Refused(..) => Exit::NotPermitted,
            Database(_) | NotForGood => Exit::Failed,
        };
        Self::of(format!("--user: {fault}"), exit)
    }
}

/// What a process that has failed so ends with.
pub(crate) fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    }
}

/// Tells why there is no start; its exit is the process's.
pub(crate) fn refuse(fault: Fault) -> Exit {
    fault.whole.iter().for_each(|line| tell_whole(line));
    fault.lines.iter().for_each(|line| tell(line));
    fault.exit
}

/// A line on standard error.
pub(crate) fn tell(text: &str) {
    tell_behind("replug: ", text);
}

/// The same, of a personality that says itself who it is.
fn tell_whole(text: &str) {
    tell_behind("", text);
}

fn tell_behind(name: &str, text: &str) {
    let mut line = name.to_owned();
    log::show(&mut line, text);
    line.push('\n');
    complain(&line);
}

/// Lines for standard error; for syslog where that is a client, who must not read them.
pub fn complain(lines: &str) {
    match activation::is_client(rustix::stdio::stderr()) {
        true => log::tell_syslog(model::SyslogLabel::default(), lines),
        // There is nowhere else to tell that this cannot be told.
        false => drop(io::stderr().lock().write_all(lines.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_manual_and_come_back() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5]);
        assert_eq!(Exit::ALL.map(|exit| Exit::of_code(Some(exit.code().into()))), Exit::ALL);
        assert_eq!(Exit::of_code(Some(101)), Exit::Failed);
        assert_eq!(Exit::of_code(None), Exit::Failed);
    }
}
