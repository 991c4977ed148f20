//! One run: starts every candidate once, then takes samples in rounds that interleave them all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::Backend;
use crate::candidate::{Candidate, Decider, Kind, Role, Stage, Started};
use crate::options::{NamedProgram, Options};
use crate::sample::{Round, Sample};
use crate::scenario::{Scenario, Way};
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
    let scenarios = options.scenarios();
    let with_tls = scenarios.iter().any(|scenario| scenario.way() == Way::Tls);
    let stage = Stage::new(backend.ports, with_tls)?;
    let started = start(options, nat, &stage, &mut results)?;
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

fn start(
    options: &Options,
    nat: bool,
    stage: &Stage,
    results: &mut Results,
) -> io::Result<Vec<Started>> {
    let mut all = Vec::new();
    let scenarios = options.scenarios();
    for (candidate, index) in candidates(options, nat, &mut results.notes)?.into_iter().zip(1..) {
        let needs = |way: Way| {
            let mut suited = scenarios.iter().filter(|scenario| candidate.suits(**scenario));
            suited.any(|scenario| scenario.way() == way)
        };
        let before = all.len();
        for way in Way::ALL.into_iter().filter(|one| needs(*one)) {
            match stage.start(&candidate, index, way) {
                Ok(running) => {
                    all.push(Started { candidate: candidate.clone(), index, way, running });
                }
                Err(error) => not_started(&candidate, way, &error, results)?,
            }
        }
        if all.len() > before {
            results.versions.push((candidate.name.clone(), candidate.version()));
        }
        let missing = scenarios.iter().any(|scenario| !candidate.suits(*scenario));
        if let Some(why) = candidate.absence().filter(|_| missing) {
            results.notes.push(format!("{}: {why}", candidate.name));
        }
    }
    Ok(all)
}

/// Notes that `candidate` does not forward.
///
/// # Errors
/// When that makes the run worthless.
fn not_started(
    candidate: &Candidate,
    way: Way,
    error: &io::Error,
    results: &mut Results,
) -> io::Result<()> {
    let Candidate { name, program, .. } = candidate;
    if error.kind() == io::ErrorKind::Unsupported {
        results.notes.push(format!("{name} does not know {way}: {error}"));
    } else if candidate.role == Role::Replug {
        let hint = "build it with `cargo build --release` or name one with --replug";
        let program = program.display();
        return Err(io::Error::other(format!("{program} does not run: {error}; {hint}")));
    } else {
        results.not_started |= candidate.role == Role::Peer;
        results.notes.push(format!("{name} does not forward {way}: {error}"));
    }
    Ok(())
}

fn rounds(
    scenario: Scenario,
    options: &Options,
    stage: &Stage,
    started: &[Started],
    ended: &AtomicBool,
) -> Outcome {
    let too_slow = |one: &Started| options.quick && one.candidate.is_slow(scenario);
    let suited: Vec<_> =
        started.iter().filter(|one| one.suits(scenario) && !too_slow(one)).collect();
    let series = |one: &&Started| Series {
        name: one.candidate.name.clone(),
        role: one.candidate.role,
        samples: Vec::new(),
    };
    let mut outcome = Outcome { scenario, series: suited.iter().map(series).collect() };
    for number in 0..options.rounds() {
        let round = Round::begin(scenario, stage, options.length());
        for nth in order(number, suited.len()) {
            if ended.load(Ordering::Relaxed) {
                return outcome;
            }
            let sample = match &round {
                Ok(round) => Sample::take(scenario, stage, suited[nth], *round),
                Err(error) => Sample::failed(error),
            };
            let name = &suited[nth].candidate.name;
            progress(&described(scenario, number, name, &sample));
            outcome.series[nth].samples.push(sample);
        }
    }
    if scenario == Scenario::Idle {
        without_direct(&mut outcome.series);
    }
    outcome
}

/// The order in which a round visits `count` candidates. Another one begins each round, and every other round
/// goes backwards, so that nobody always comes after the same neighbour's load.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let backwards = round % 2 == 1;
    (0..count).map(move |step| (round + if backwards { count - step } else { step }) % count)
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
    let lost = sample.datagrams.map_or(0, |datagrams| datagrams.lost);
    let lost = if lost > 0 { format!("; {lost} lost") } else { String::new() };
    let (scenario, unit) = (scenario.name(), scenario.unit());
    format!("  {scenario} round {} {name}: {value} {unit}{lost}{failed}", round + 1)
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
        for (suffix, decider) in
            [("", Decider::Routes), ("-lua", Decider::Lua), ("-ruby", Decider::Ruby)]
        {
            all.push(Candidate {
                name: format!("{name}{suffix}"),
                kind: Kind::Replug { arguments: arguments.clone(), decider },
                program: path.clone(),
                role: Role::Replug,
            });
        }
    }
    let known = [
        ("haproxy", Kind::Haproxy { splice: false }, Some(options.haproxy.as_path())),
        ("haproxy-splice", Kind::Haproxy { splice: true }, Some(options.haproxy.as_path())),
        ("nginx", Kind::Nginx, Some(options.nginx.as_path())),
        ("stunnel", Kind::Stunnel, Some(Path::new("stunnel4"))),
        ("hitch", Kind::Hitch, Some(Path::new("hitch"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_begins_with_another_and_every_other_one_goes_backwards() {
        let orders: Vec<Vec<usize>> = (0..4).map(|round| order(round, 4).collect()).collect();
        assert_eq!(orders, [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]);
    }
}
