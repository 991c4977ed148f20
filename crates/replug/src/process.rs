//! What becomes of the process, as options of a command.
//!
//! The same options stand on the quick command line: their names, letters and words of help
//! come from its table, so that they are described once.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use control::Process;
use dialect::quick::{self, options::Id};

use crate::help;

/// The options, in the order of the help.
const OPTIONS: [Id; 4] = [Id::Pidfile, Id::Daemon, Id::User, Id::Chroot];

/// What they said.
#[derive(Clone, Debug)]
pub(crate) struct Options(pub(crate) Process);

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        command.args(OPTIONS.map(|id| {
            match id {
                Id::Daemon => help::arg(id.opt()),
                _ => help::arg(id.opt())
                    .action(clap::ArgAction::Set)
                    .value_parser(move |text: &str| quick::process_value(id, text)),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |id: Id| matches.get_one::<String>(id.opt().long).cloned();
        Ok(Self(Process {
            daemon: matches.get_flag(Id::Daemon.opt().long),
            pidfile: text(Id::Pidfile).map(PathBuf::from),
            user: text(Id::User),
            chroot: text(Id::Chroot).map(PathBuf::from),
            ..Process::default()
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
