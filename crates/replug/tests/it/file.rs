//! replug as a configuration file tells it to run.

use std::fs;
use std::process::Command;

use rig::{Forwarder, Scratch};

use crate::path::REPLUG;

/// Runs `config`, which has so many binds; records go to its standard output.
#[track_caller]
pub(crate) fn start(config: &str, binds: usize) -> Forwarder {
    // Read once, before it listens: the file may go then.
    let scratch = Scratch::new();
    Forwarder::start_command(&mut command(&scratch, config), binds)
}

/// The command that runs `config`, which is kept in `scratch`.
pub(crate) fn command(scratch: &Scratch, config: &str) -> Command {
    let path = scratch.join("replug.toml");
    let log = "[log]\nformat = \"json\"\nto = \"-\"\n";
    fs::write(&path, format!("{config}\n{log}")).expect("a scratch file can be written");
    let mut command = Command::new(REPLUG);
    command.args(["run", "-c", &path]);
    command
}
