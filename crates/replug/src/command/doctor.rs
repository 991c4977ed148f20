//! `replug doctor TOPIC`: whether this machine is set up for what a configuration asks of it.
//!
//! There is one topic, `transparent`: what has to be said to the kernel so that clients are diverted
//! to replug, and so that answers to connections that leave from clients' addresses come back
//! ([`need`]), and what of it is there ([`state`]). What is printed is a script for sh: what is there
//! stands in comments, and what is missing as the line that mends it, so that
//! `replug doctor transparent | sh` sets a machine up until it starts anew.

mod need;
mod state;

use std::fmt::Write as _;
use std::path::PathBuf;

use control::Exit;
use model::Config;
use serde_json::json;

use crate::cli::CONFIG;
use crate::{file, say, shown, tell};

use need::{Mend, Need, Numbers};
use state::{State, Verdict};

/// The words behind `replug doctor`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Doctor {
    /// What to look at
    #[arg(value_name = "TOPIC")]
    topic: Topic,
    /// A TOML file, or a directory whose *.toml are read in the order of their names
    #[arg(short, long, value_name = "FILE|DIR", default_value = CONFIG)]
    config: PathBuf,
    /// Ports that clients are diverted from, as 80 or 8000-8010; all if left out
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port)]
    port: Vec<String>,
    /// Print what was found as a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Topic {
    /// Clients that are diverted, connections that leave from their addresses
    Transparent,
}

/// One thing that is needed, and whether it is there.
struct Finding {
    need: Need,
    verdict: Verdict,
}

impl Doctor {
    pub(crate) fn run(&self) -> Exit {
        let reading = file::read(&self.config);
        tell(&shown(&reading.diagnostics, &reading.sources));
        let Some(config) = reading.config else { return Exit::Configuration };
        let findings = match self.topic {
            Topic::Transparent => transparent(&config, &self.port),
        };
        say(&match self.json {
            true => as_json(&findings),
            false => self.as_script(&findings),
        });
        let any =
            |wanted: fn(&Verdict) -> bool| findings.iter().any(|found| wanted(&found.verdict));
        if any(|verdict| matches!(verdict, Verdict::Missing(_))) {
            Exit::Failed
        } else if any(|verdict| matches!(verdict, Verdict::Unknown(_))) {
            Exit::NotPermitted
        } else {
            Exit::Done
        }
    }

    fn as_script(&self, findings: &[Finding]) -> String {
        // All of it must stay a comment.
        let config = self.config.display().to_string().replace(char::is_control, "?");
        let mut text = format!("# replug doctor transparent: {config}\n");
        if findings.is_empty() {
            text += "# nothing in it is transparent\n";
        }
        for Finding { need, verdict } in findings {
            let _ = write!(text, "\n# {}: {}", verdict.as_str(), need.what);
            if let Some(why) = verdict.why() {
                let _ = write!(text, "\n#   ({})", why.trim().replace('\n', "\n#   "));
            }
            text.push('\n');
            let is_to_do = matches!(verdict, Verdict::Missing(_));
            for mend in &need.mend {
                let _ = match mend {
                    Mend::Run(line) if is_to_do => writeln!(text, "{line}"),
                    Mend::Run(line) => writeln!(text, "#   {line}"),
                    Mend::Say(line) if is_to_do => writeln!(text, "#   {line}"),
                    Mend::Say(_) => Ok(()),
                };
            }
        }
        text
    }
}

/// What `config` needs of this machine, and what of it is there.
fn transparent(config: &Config, ports: &[String]) -> Vec<Finding> {
    let state = State::look();
    let numbers = Numbers::beside(config, state.marks());
    let needs = need::needs(config, ports, &|family| {
        let table = state.table(family, numbers.mark);
        Numbers { table: table.unwrap_or(numbers.table), ..numbers }
    });
    let finding = |need: Need| Finding { verdict: state.verdict(&need.of), need };
    needs.into_iter().map(finding).collect()
}

fn as_json(findings: &[Finding]) -> String {
    let finding = |Finding { need, verdict }: &Finding| {
        let lines = |wanted: fn(&Mend) -> Option<&String>| {
            need.mend.iter().filter_map(wanted).cloned().collect::<Vec<_>>()
        };
        json!({
            "item": need.what,
            "status": verdict.as_str(),
            "found": verdict.why(),
            "mend": lines(|mend| match mend { Mend::Run(line) => Some(line), Mend::Say(_) => None }),
            "advice": lines(|mend| match mend { Mend::Say(line) => Some(line), Mend::Run(_) => None }),
        })
    };
    let findings: Vec<_> = findings.iter().map(finding).collect();
    format!("{:#}\n", serde_json::Value::from(findings))
}

/// A port, or a range of them.
fn port(text: &str) -> Result<String, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let good = match text.split_once('-') {
        None => number(text).is_some(),
        Some((from, to)) => {
            matches!((number(from), number(to)), (Some(from), Some(to)) if from < to)
        }
    };
    match good {
        true => Ok(text.to_owned()),
        false => Err("ports are numbers from 1 to 65535, or ranges like 8000-8010".to_owned()),
    }
}
