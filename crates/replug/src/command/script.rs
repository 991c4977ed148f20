//! `replug script test`: what a script decides about a client that is not there.
//!
//! The script is loaded and asked as a listener's is, look-ups and all, a file of Ruby in a process that
//! ends again; nothing is connected to. What it decides is data, on standard output; what it logs goes to
//! standard error.

mod data;
mod report;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use control::{Answering, Exit, NotRun, Rubies, Scripts};
use engine::Lookups;
use engine::account::{ClientAddress, Spoken};
use engine::journal::{Entry, Level, Notice, Wants, journal};
use engine::script::{About, Decision, Place};
use model::Language;
use script::load::Loader;
use script::trial::{self, Client};

use crate::{file, say, tell};

/// What is told of a script that does not load.
const CANNOT_RUN: &str = "the script cannot run";

/// The words behind `replug script`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Script {
    #[command(subcommand)]
    order: Order,
}

#[derive(Clone, Debug, Subcommand)]
enum Order {
    /// Ask a script about a client: exit code 0 if it decides, 1 if it fails or waits for more
    Test(Test),
}

#[derive(Clone, Debug, Args)]
struct Test {
    /// The script
    #[arg(value_name = "FILE")]
    script: PathBuf,
    /// What the client says; \r \n \t \0 \\ and \xff stand for bytes
    #[arg(long, value_name = "BYTES", value_parser = data::unescape, conflicts_with = "data_file")]
    data: Option<data::Bytes>,
    /// A file with what it says, as it is; - is standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// Let it come N bytes at a time
    #[arg(long, value_name = "N")]
    split: Option<NonZeroUsize>,
    /// Let the client end its stream behind that
    #[arg(long)]
    eof: bool,
    /// Where the client comes from
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "192.0.2.1:49152")]
    peer: SocketAddr,
    /// Where it came to
    #[arg(long, value_name = "ADDRESS:PORT")]
    local: Option<SocketAddr>,
    /// The listener it came to
    #[arg(long, value_name = "NAME", default_value = "test")]
    listener: String,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Script {
    pub(crate) fn run(&self) -> Exit {
        match &self.order {
            Order::Test(test) => test.run(),
        }
    }
}

impl Test {
    fn run(&self) -> Exit {
        let (data, script) = match self.said().and_then(|data| Ok((data, self.script()?))) {
            Ok(ready) => ready,
            Err((why, exit)) => {
                tell(&format!("{why}\n"));
                return exit;
            }
        };
        let client = Client {
            about: About {
                id: 1,
                client: ClientAddress::Ip(self.peer),
                local: self.local,
                listener: self.listener.as_str().into(),
                spoken: Spoken::default(),
            },
            piece: self.split.unwrap_or(NonZeroUsize::MAX),
            data,
            has_end: self.eof,
        };
        let (journal, entries) = journal(Wants { level: Level::Debug, ..Wants::QUIET });
        let place = Place { shard: 0, lookups: Lookups::default(), journal };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tell(&format!("nothing can wait here: {error}\n"));
                return Exit::Failed;
            }
        };
        let tried = runtime.block_on(async {
            let _answering = Answering::begin(&place.lookups, &place.journal);
            let mut rubies = Rubies::new(place.journal.clone());
            rubies.add(&script::ruby::all(&self.as_listeners(&script))).await?;
            let desk = script.desk(place.clone());
            let tried = trial::run(&desk, &client).await;
            rubies.end().await;
            Ok::<_, NotRun>(tried)
        });
        // A page that nobody waits for any more must not hold the process.
        runtime.shutdown_timeout(Duration::ZERO);
        let tried = match tried {
            Ok(tried) => tried,
            Err(not_run) => {
                tell(&format!("{}: {CANNOT_RUN}: {}\n", self.script.display(), not_run.why()));
                return Exit::Configuration;
            }
        };
        let lines: Vec<_> = entries.try_iter().filter_map(line).collect();
        match self.json {
            true => say(&report::json(&tried, &client, &lines)),
            false => {
                for (level, text) in &lines {
                    tell(&format!("{}: {text}\n", report::level(*level)));
                }
                say(&report::text(&tried, &client));
            }
        }
        match tried.outcome {
            Ok(Decision::Go(_) | Decision::Close(_)) => Exit::Done,
            Ok(Decision::Wait | Decision::Greet(_)) | Err(_) => Exit::Failed,
        }
    }

    /// All that the client says.
    fn said(&self) -> Result<Vec<u8>, (String, Exit)> {
        match (&self.data, &self.data_file) {
            (Some(data), _) => Ok(data.0.clone()),
            (None, Some(path)) => data::read(path)
                .map_err(|error| (format!("{}: {error}", path.display()), Exit::Failed)),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The script, or why it cannot run.
    fn script(&self) -> Result<Arc<dyn engine::script::Script>, (String, Exit)> {
        let name = self.script.display().to_string();
        let wrong = |why: &str| (format!("{name}: {why}"), Exit::Configuration);
        let Some(language) = Language::of(&name) else {
            return Err(wrong("a script ends in .lua or .rb"));
        };
        let read = |path: &Path| file::text(path).map_err(|error| error.to_string());
        let configured = model::Script::new(name.clone(), language);
        Loader::default()
            .one(&configured, &read, &mut Vec::new())
            .map_err(|why| wrong(&format!("{CANNOT_RUN}: {why}")))
    }

    /// The script as that of the listener that the client comes to.
    fn as_listeners(&self, script: &Arc<dyn engine::script::Script>) -> Scripts {
        let mut scripts = Scripts::default();
        scripts.insert(self.listener.as_str(), Arc::clone(script));
        scripts
    }
}

/// A line of the script's own.
fn line(entry: Entry) -> Option<(Level, String)> {
    match entry {
        Entry::Notice(Notice::ScriptSays { level, text, .. } | Notice::Remark { level, text }) => {
            Some((level, data::shown(text.as_bytes())))
        }
        _ => None,
    }
}
