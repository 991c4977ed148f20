//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::scenario::{Scenario, Way};

/// Seconds of a sample of `--quick`.
const QUICK: f64 = 0.3;

/// Compares replug with other forwarders of TCP and UDP on this machine, over loopback.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// A replug to measure, repeatable, for before-and-after comparisons [default: the one beside bench]
    #[arg(long, value_name = "NAME=PATH[ ARGS]", value_parser = named_program)]
    pub(crate) replug: Vec<NamedProgram>,
    /// Another HAProxy than the one on PATH
    #[arg(long, value_name = "PATH", default_value = "haproxy")]
    pub(crate) haproxy: PathBuf,
    /// Another nginx than the one on PATH
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    pub(crate) nginx: PathBuf,
    /// Only these, of: haproxy haproxy-splice nginx stunnel hitch rinetd redir socat direct nat
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) peers: Option<Vec<String>>,
    /// Only these
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    pub(crate) scenario: Option<Vec<Scenario>>,
    /// How often each candidate is measured in each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// How long each sample counts, after a warm-up
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Half a minute: idle, rr64, bulk16-down, crr and all of UDP, one round of 0.3 seconds
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    pub(crate) quick: bool,
    /// Write all samples there
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a chart there
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write both to bench/results/YYYY-MM-DD.json and .svg
    #[arg(long)]
    pub(crate) save: bool,
}

impl Options {
    /// The scenarios asked for, in the order they run, each once.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let tcp = [Scenario::Idle, Scenario::Rr64, Scenario::Bulk16Down, Scenario::Crr];
        let quick = |one: &Scenario| one.way() == Way::Udp || tcp.contains(one);
        let all = <Scenario as clap::ValueEnum>::value_variants().iter().copied();
        let mut scenarios = match &self.scenario {
            Some(scenarios) => scenarios.clone(),
            None if self.quick => all.filter(quick).collect(),
            None => all.collect(),
        };
        scenarios.sort_unstable();
        scenarios.dedup();
        scenarios
    }

    /// Rounds to run.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.into() }
    }

    /// Length of a sample.
    pub(crate) fn length(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(if self.quick { QUICK } else { self.seconds })
    }
}

/// A program with a name for the tables and arguments of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedProgram {
    /// What tables call it.
    pub(crate) name: String,
    /// The program.
    pub(crate) path: PathBuf,
    /// Arguments before the addresses.
    pub(crate) arguments: Vec<String>,
}

fn named_program(text: &str) -> Result<NamedProgram, String> {
    let (name, command) = text.split_once('=').ok_or("expected NAME=PATH, such as old=./replug")?;
    let mut words = command.split_whitespace().map(str::to_owned);
    let path = words.next().ok_or("expected a path after '='")?.into();
    if name.is_empty() {
        return Err("expected a name before '='".into());
    }
    Ok(NamedProgram { name: name.into(), path, arguments: words.collect() })
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds between 0.05 and 600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
    }

    #[test]
    fn everything_by_default() {
        let options = parse("").unwrap();
        assert_eq!(options.scenarios().len(), 29);
        assert_eq!(options.rounds(), 5);
        assert_eq!(options.length().as_secs(), 1);
    }

    #[test]
    fn quick_is_some_scenarios_and_one_round() {
        let options = parse("--quick").unwrap();
        let names: Vec<String> =
            options.scenarios().iter().map(|scenario| scenario.name()).collect();
        let quick = "idle rr64 bulk16-down crr udp-rr udp-pps udp-pps-1200 udp-half";
        assert_eq!(names.join(" "), quick);
        assert_eq!(options.rounds(), 1);
        assert!(parse("--quick --rounds 3").is_err());
    }

    #[test]
    fn scenarios_run_in_their_own_order_and_once() {
        let options = parse("--scenario crr,rr64-1k,crr").unwrap();
        assert_eq!(options.scenarios(), [Scenario::Rr64Kib, Scenario::Crr]);
        assert!(parse("--scenario rr65").is_err());
    }

    #[test]
    fn a_named_program_may_have_arguments() {
        let named = named_program("new=./replug --copy always").unwrap();
        assert_eq!(named.path, PathBuf::from("./replug"));
        assert_eq!(named.arguments, ["--copy", "always"]);
        assert!(named_program("./replug").is_err());
        assert!(named_program("new=").is_err());
    }
}
