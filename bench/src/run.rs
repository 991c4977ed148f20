//! One run: starts every candidate once, then takes samples in rounds that interleave them all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::Backend;
use crate::candidate::{Candidate, Kind, Role, Running, Stage};
use crate::options::{NamedProgram, Options};
use crate::scenario::{Sample, Scenario};
use crate::statistics::{Outcome, Series};

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// One for each scenario.
    pub(crate) outcomes: Vec<Outcome>,
    /// Name and version of each candidate that ran.
    pub(crate) versions: Vec<(String, String)>,
    /// What a reader must know about this run.
    pub(crate) notes: Vec<String>,
    /// Whether somebody ended the run early.
    pub(crate) interrupted: bool,
    /// Whether something was started and did not forward.
    pub(crate) not_started: bool,
}

impl Results {
    /// Whether the run is complete, every candidate started, no payload was damaged and no operation of replug failed.
    pub(crate) fn sound(&self) -> bool {
        let fine = |series: &Series| {
            let judged = series.role == Role::Replug;
            series
                .samples
                .iter()
                .all(|sample| sample.damaged == 0 && (!judged || sample.failures == 0))
        };
        !self.interrupted
            && !self.not_started
            && self.outcomes.iter().flat_map(|outcome| &outcome.series).all(fine)
    }
}

/// Runs everything that `options` ask for, until `ended` is set.
///
/// # Errors
/// When the backend or replug itself cannot be started, or a name in `options` does not exist.
pub(crate) fn run(options: &Options, nat: bool, ended: &AtomicBool) -> io::Result<Results> {
    let mut results = Results::default();
    let backend = Backend::start()?;
    let stage = Stage::new(backend.port)?;
    let started = start(options, nat, &stage, &mut results)?;
    let scenarios = options.scenarios();
    for (nth, scenario) in scenarios.iter().enumerate() {
        progress(&format!("{}/{} {}", nth + 1, scenarios.len(), scenario.name()));
        let outcome = rounds(*scenario, options, &stage, &started, ended);
        results.outcomes.push(outcome);
        if ended.load(Ordering::Relaxed) {
            results.interrupted = true;
            results
                .notes
                .push("interrupted: the last scenario is not complete, no file is written".into());
            break;
        }
    }
    Ok(results)
}

type Started = Vec<(Candidate, u8, Running)>;

fn start(
    options: &Options,
    nat: bool,
    stage: &Stage,
    results: &mut Results,
) -> io::Result<Started> {
    let mut started = Vec::new();
    for (candidate, index) in candidates(options, nat, &mut results.notes)?.into_iter().zip(1..) {
        match stage.start(&candidate, index) {
            Ok(running) => {
                results.versions.push((candidate.name.clone(), candidate.version()));
                started.push((candidate, index, running));
            }
            Err(error) if candidate.role == Role::Replug => {
                let program = candidate.program.display();
                let hint = "build it with `cargo build --release` or name one with --replug";
                return Err(io::Error::other(format!("{program} does not run: {error}; {hint}")));
            }
            Err(error) => {
                results.not_started |= candidate.role == Role::Peer;
                results.notes.push(format!("{} does not run: {error}", candidate.name));
            }
        }
    }
    if started.iter().any(|(candidate, _, _)| candidate.forks()) {
        let why = "redir and socat start a process for each connection: not in rr1000, idle, burst";
        results.notes.push(why.into());
    }
    Ok(started)
}

fn rounds(
    scenario: Scenario,
    options: &Options,
    stage: &Stage,
    started: &Started,
    ended: &AtomicBool,
) -> Outcome {
    let suited: Vec<_> = started.iter().filter(|(one, _, _)| scenario.suits(one)).collect();
    let series = |(one, _, _): &&(Candidate, u8, Running)| Series {
        name: one.name.clone(),
        role: one.role,
        samples: Vec::new(),
    };
    let mut outcome = Outcome { scenario, series: suited.iter().map(series).collect() };
    for round in 0..options.rounds() {
        for position in 0..suited.len() {
            if ended.load(Ordering::Relaxed) {
                return outcome;
            }
            // Another one begins each round, so that nobody always comes after the same neighbour's load.
            let nth = (position + round) % suited.len();
            let (candidate, index, running) = suited[nth];
            let of = (candidate, *index);
            let sample = Sample::take(scenario, stage, of, running, options.length());
            progress(&described(scenario, round, &candidate.name, &sample));
            outcome.series[nth].samples.push(sample);
        }
    }
    if scenario == Scenario::Idle {
        without_direct(&mut outcome.series);
    }
    outcome
}

/// Takes the kernel's memory of `direct` from that of the others: client and backend have that anyway.
fn without_direct(all: &mut [Series]) {
    let Some(direct) = all.iter().find(|series| series.name == "direct") else { return };
    let known: Vec<_> = direct.samples.iter().map(|sample| sample.extra).collect();
    for series in all.iter_mut().filter(|series| series.name != "direct") {
        for (sample, direct) in series.samples.iter_mut().zip(&known) {
            sample.extra = sample.extra.zip(*direct).map(|(extra, direct)| extra - direct);
        }
    }
}

fn described(scenario: Scenario, round: usize, name: &str, sample: &Sample) -> String {
    let value = sample.value.map_or_else(|| "-".into(), |value| format!("{value:.1}"));
    let failed = sample
        .first_failure
        .as_ref()
        .map_or_else(String::new, |what| format!("; {} failed: {what}", sample.failures));
    format!("  {} round {} {name}: {value} {}{failed}", scenario.name(), round + 1, scenario.unit())
}

fn progress(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Everything that takes part, replug first and limits last.
fn candidates(options: &Options, nat: bool, notes: &mut Vec<String>) -> io::Result<Vec<Candidate>> {
    let mut all = Vec::new();
    let beside = std::env::current_exe()?.with_file_name("replug");
    let default = NamedProgram { name: "replug".into(), path: beside, arguments: Vec::new() };
    let named = if options.replug.is_empty() { vec![default] } else { options.replug.clone() };
    for NamedProgram { name, path, arguments } in named {
        all.push(Candidate {
            name,
            kind: Kind::Replug(arguments),
            program: path,
            role: Role::Replug,
        });
    }
    let known = [
        ("haproxy", Kind::Haproxy { splice: false }, Some(options.haproxy.as_path())),
        ("haproxy-splice", Kind::Haproxy { splice: true }, Some(options.haproxy.as_path())),
        ("nginx", Kind::Nginx, Some(options.nginx.as_path())),
        ("rinetd", Kind::Rinetd, Some(Path::new("rinetd"))),
        ("redir", Kind::Redir, Some(Path::new("redir"))),
        ("socat", Kind::Socat, Some(Path::new("socat"))),
        ("direct", Kind::Direct, None),
        ("nat", Kind::Nat, None),
    ];
    let wanted = options.peers.as_deref();
    for name in wanted.unwrap_or_default() {
        if !known.iter().any(|(other, _, _)| other == name) {
            let names = known.map(|(name, _, _)| name).join(" ");
            return Err(io::Error::other(format!("no peer is called {name}; there are: {names}")));
        }
    }
    for (name, kind, program) in known {
        if wanted.is_some_and(|wanted| !wanted.iter().any(|other| other == name)) {
            continue;
        }
        let role = if program.is_none() { Role::Limit } else { Role::Peer };
        let found = program.map_or_else(|| Some(PathBuf::new()), installed);
        match found {
            Some(_) if kind == Kind::Nat && !nat => {
                notes.push("nat: not measured, needs root for a namespace of its own".into());
            }
            Some(program) => all.push(Candidate { name: name.into(), kind, program, role }),
            None => notes.push(format!("{name}: not installed, not measured")),
        }
    }
    Ok(all)
}

/// Where a program is: itself if it has a slash, else on PATH or where Debian keeps daemons.
fn installed(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.exists().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}
