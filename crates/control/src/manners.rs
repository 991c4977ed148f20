//! How the process behaves towards whoever runs it, where old tools have other habits than replug.
//!
//! A personality fills in a [`Manners`]; what is not filled in is replug's own. Nothing here knows
//! any tool by name.

use std::io;
use std::path::Path;
use std::time::Duration;

use engine::BindFailure;
use model::Bind;

use crate::exit::Exit;

/// The habits of a process.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// What each signal asks for.
    pub signals: Signals,
    /// What the pid file holds.
    pub pidfile: PidfileHolds,
    /// What becomes of a start without one.
    pub pidfile_need: PidfileNeed,
    /// What is told first, as it stands, of an address that cannot be listened on.
    pub not_bound: Option<fn(&Bind, &io::Error) -> String>,
    /// How a process ends that inetd has started for one client, if that reached no backend.
    pub unserved: Exit,
    /// How it does with some addresses when others cannot be had; `None`: all of them or none.
    pub lenient: Option<Lenient>,
    /// What is told first, as it stands, of a pid file that cannot be written.
    pub no_pidfile: Option<fn(&Path, &io::Error) -> String>,
    /// What its logs say first, a line each.
    pub started: &'static [&'static str],
    /// What they say when a signal has come, before anything is done about it.
    pub signalled: &'static Words,
    /// What they say last, when it ends as it should; `None`: that it does.
    pub ended: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            signals: Signals::default(),
            pidfile: PidfileHolds::Process,
            pidfile_need: PidfileNeed::Must,
            not_bound: None,
            unserved: Exit::Done,
            lenient: None,
            no_pidfile: None,
            started: &[],
            signalled: &Words::NONE,
            ended: None,
        }
    }
}

/// How a process does with some of its addresses.
#[derive(Clone, Copy, Debug)]
pub struct Lenient {
    /// How often those are tried again that could not be had, and then it may begin with none;
    /// `None`: whenever it reloads, and it begins with one at least.
    pub retry: Option<Duration>,
    /// What its logs say of one that could not be had, once.
    pub told: fn(&Bind, Option<Duration>) -> String,
}

impl Lenient {
    /// Whether there is enough to go on with: nothing is `missing`, or the rest is of use.
    pub(crate) fn suffices(lenient: Option<Self>, missing: &[BindFailure], is_empty: bool) -> bool {
        match lenient {
            None => missing.is_empty(),
            Some(Self { retry, .. }) => missing.is_empty() || retry.is_some() || !is_empty,
        }
    }
}

/// What the pid file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileHolds {
    /// The process, until it ends.
    Process,
    /// The process, until no more clients are accepted.
    Listening,
    /// The process, and a line with it again for each session; until no more clients are accepted.
    Sessions,
}

/// What becomes of a start whose pid file cannot be had: another process has it, or the system
/// says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileNeed {
    /// There is no start.
    Must,
    /// It is told, and there is none.
    May,
}

/// What each signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a signal of signal(7)")]
pub struct Signals {
    pub terminate: Ask,
    pub interrupt: Ask,
    pub quit: Ask,
    pub hangup: Ask,
    pub user_1: Ask,
    pub user_2: Ask,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            terminate: Ask::End,
            interrupt: Ask::End,
            quit: Ask::EndWhenDone,
            hangup: Ask::Reload,
            user_1: Ask::Reopen,
            user_2: Ask::Upgrade,
        }
    }
}

/// What is said about each signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a signal of signal(7)")]
pub struct Words {
    pub terminate: Option<&'static str>,
    pub interrupt: Option<&'static str>,
    pub quit: Option<&'static str>,
    pub hangup: Option<&'static str>,
    pub user_1: Option<&'static str>,
    pub user_2: Option<&'static str>,
}

impl Words {
    /// Nothing about any.
    pub const NONE: Self = Self {
        terminate: None,
        interrupt: None,
        quit: None,
        hangup: None,
        user_1: None,
        user_2: None,
    };
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Accept no more clients and end soon; a second time: now.
    End,
    /// Accept no more clients and end when the last session has.
    EndWhenDone,
    /// The same; a second time: now.
    EndWhenDoneOrNow,
    /// End now.
    EndNow,
    /// Look again at whatever may have changed outside.
    Reload,
    /// Open log files anew.
    Reopen,
    /// Give way to another version.
    Upgrade,
    /// Nothing at all.
    Nothing,
}

impl Ask {
    /// Whether it leads to the end of the process.
    pub(crate) fn is_end(self) -> bool {
        match self {
            Self::End | Self::EndWhenDone | Self::EndWhenDoneOrNow | Self::EndNow => true,
            Self::Reload | Self::Reopen | Self::Upgrade | Self::Nothing => false,
        }
    }
}
