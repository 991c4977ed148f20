//! `replug check`: every fault of a configuration, and nothing started but files of Ruby, which tell
//! their faults only so; they end again at once.
//!
//! For people the faults go to standard error, with a closing line on how much was
//! read; `--json` prints them as data instead.

use std::path::PathBuf;

use control::{Exit, try_rubies};
use dialect::render::count;
use model::{Code, Config, Diagnostic};
use script::load::fault;

use crate::cli::CONFIG;
use crate::file::{self, Reading};
use crate::{say, shown, tell};

/// The words behind `replug check`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Check {
    /// A TOML file, or a directory whose *.toml are read in the order of their names
    #[arg(value_name = "FILE|DIR", default_value = CONFIG)]
    config: PathBuf,
    /// Print all that is in effect, defaults too
    #[arg(long)]
    dump: bool,
    /// Print the faults as a JSON array, for editors and scripts
    #[arg(long, conflicts_with = "dump")]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Exit {
        let mut reading = file::read(&self.config);
        load_rubies(&mut reading);
        if self.json {
            say(&dialect::json::write(&reading.diagnostics, &reading.sources));
        } else {
            tell(&shown(&reading.diagnostics, &reading.sources));
        }
        let Some(config) = reading.config else { return Exit::Configuration };
        if self.dump {
            say(&dialect::native::write_effective(&config));
        } else if !self.json {
            let faults = match &*count(&reading.diagnostics) {
                "" => "no faults".to_owned(),
                count => count.to_owned(),
            };
            let apart = if reading.diagnostics.is_empty() { "" } else { "\n" };
            tell(&format!("{apart}{}: {}; {faults}\n", self.config.display(), extent(&config)));
        }
        Exit::Done
    }
}

/// Loads the files of Ruby, as a start would.
fn load_rubies(reading: &mut Reading) {
    let Some(config) = &reading.config else { return };
    let faults: Vec<_> = match try_rubies(&reading.scripts) {
        Ok(not_run) => not_run
            .into_iter()
            .filter_map(|(ruby, not_run)| {
                let its = script::ruby::listeners_of(&reading.scripts, &ruby);
                let mut listeners = config.listeners.iter();
                let first = listeners.find(|listener| its.contains(&&*listener.name))?;
                Some(fault(first.script.as_ref()?, &not_run.why()))
            })
            .collect(),
        Err(error) => {
            let message = format!("files of Ruby cannot be tried: {error}");
            vec![Diagnostic::new(Code::Script, None, message)]
        }
    };
    if !faults.is_empty() {
        reading.config = None;
    }
    reading.diagnostics.extend(faults);
}

/// `2 listeners, 1 pool, 3 backends`.
fn extent(config: &Config) -> String {
    let backends = config.pools.iter().map(|pool| pool.backends.len()).sum();
    let counted =
        [(config.listeners.len(), "listener"), (config.pools.len(), "pool"), (backends, "backend")];
    let counted = counted.map(|(count, noun)| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    });
    counted.join(", ")
}
