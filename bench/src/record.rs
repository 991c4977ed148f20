//! Results for machines: everything that was measured, with what it was measured on.

use std::fs;
use std::io;

use serde_json::{Value, json};

use crate::candidate::{Role, kernel};
use crate::goal::{self, Reached, Verdict};
use crate::namespace;
use crate::options::Options;
use crate::run::Results;
use crate::sample::Sample;
use crate::statistics::{Outcome, Series, Spread};

/// The whole run as JSON.
pub(crate) fn json(results: &Results, options: &Options, date: &str) -> Value {
    let outcomes: Vec<Value> = results.outcomes.iter().map(outcome).collect();
    json!({
        "date": date,
        "machine": machine(),
        "congestion_control": namespace::algorithm(),
        "rounds": options.rounds(),
        "seconds": options.length().as_secs_f64(),
        "versions": results.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "notes": results.notes,
        "scenarios": outcomes,
    })
}

/// Today in UTC as YYYY-MM-DD.
///
/// # Errors
/// When `date` cannot be run.
pub(crate) fn today() -> io::Result<String> {
    let output = std::process::Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A line about the machine.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 =
        memory.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    format!("{count} x {model}, {} GiB, {}", kib >> 20, kernel())
}

fn outcome(outcome: &Outcome) -> Value {
    let rows: Vec<Value> = outcome.series.iter().map(|series| row(outcome, series)).collect();
    json!({
        "name": outcome.scenario.name(),
        "title": outcome.scenario.title(),
        "unit": outcome.scenario.unit(),
        "cost_unit": outcome.scenario.cost_unit(),
        "lower_is_better": outcome.scenario.lower_is_better(),
        "best_peer": outcome.best_peer().map(|series| &series.name),
        "verdicts": goal::verdicts(outcome).iter().map(verdict).collect::<Vec<_>>(),
        "candidates": rows,
    })
}

fn verdict(verdict: &Verdict) -> Value {
    json!({
        "name": verdict.name,
        "text": verdict.to_string(),
        "reached": verdict.reached().map(|reached| match reached {
            Reached::Always => "always",
            Reached::Median => "median",
            Reached::Sometimes => "sometimes",
            Reached::Never => "never",
        }),
    })
}

fn row(outcome: &Outcome, series: &Series) -> Value {
    let against = |other: Option<&Series>, of: fn(&Sample) -> Option<f64>| {
        other.and_then(|other| series.ratio(other, of)).map(spread)
    };
    let best = outcome.best_peer();
    json!({
        "name": series.name,
        "role": match series.role {
            Role::Replug => "replug",
            Role::Peer => "peer",
            Role::Limit => "limit",
        },
        "value": series.spread(|sample| sample.value).map(spread),
        "to_best_peer": against(best, |sample| sample.value),
        "to_direct": against(outcome.direct(), |sample| sample.value),
        "cost_to_best_peer": against(best, |sample| sample.system_cost),
        "p99_to_best_p99": against(outcome.best_tail(), |sample| sample.latency[1]),
        "samples": series.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn spread(spread: Spread) -> Value {
    json!({ "median": spread.median, "min": spread.min, "max": spread.max })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "value": sample.value,
        "p50_us": sample.latency[0],
        "p99_us": sample.latency[1],
        "p999_us": sample.latency[2],
        "system_cost": sample.system_cost,
        "candidate_cost": sample.candidate_cost,
        "extra": sample.extra,
        "datagrams_sent": sample.datagrams.map(|datagrams| datagrams.sent),
        "datagrams_lost": sample.datagrams.map(|datagrams| datagrams.lost),
        "failures": sample.failures,
        "damaged": sample.damaged,
        "first_failure": sample.first_failure,
    })
}
