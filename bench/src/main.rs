//! Compares replug with other TCP forwarders: `cargo run --release -p bench`. See `README.md` beside.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod backend;
mod candidate;
mod chart;
mod cost;
mod datagrams;
mod goal;
mod load;
mod memory;
mod namespace;
mod nat;
mod options;
mod pattern;
mod process;
mod record;
mod report;
mod run;
mod sample;
mod scenario;
mod statistics;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some(backend::ARGUMENT) => backend::serve().map(|()| ExitCode::SUCCESS),
        _ => compare(&options::Options::parse()),
    };
    result.unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "bench: {error}"));
        ExitCode::FAILURE
    })
}

fn compare(options: &options::Options) -> io::Result<ExitCode> {
    let root = rustix::process::geteuid().is_root();
    if root && !namespace::inside() {
        return namespace::run_inside();
    }
    allow_descriptors()?;
    let mut notes = match root {
        true => namespace::prepare()?,
        false => {
            vec!["not root: measured beside everything else on this machine's loopback".into()]
        }
    };
    notes.push(format!("congestion control: {}", namespace::algorithm()));
    let ended = namespace::ended_flag()?;
    let mut results = run::run(options, root, &ended)?;
    notes.append(&mut results.notes);
    results.notes = notes;
    let mut stdout = io::stdout().lock();
    for outcome in &results.outcomes {
        writeln!(stdout, "{}", report::table(outcome))?;
    }
    writeln!(stdout, "machine: {}", record::machine())?;
    for (name, version) in &results.versions {
        writeln!(stdout, "{name}: {version}")?;
    }
    for note in &results.notes {
        writeln!(stdout, "note: {note}")?;
    }
    if !results.interrupted {
        save(options, &results)?;
    }
    Ok(if results.sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the files that `options` ask for.
fn save(options: &options::Options, results: &run::Results) -> io::Result<()> {
    let date = record::today()?;
    let saved = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results").join(&date);
    let wanted = |given: &Option<PathBuf>, extension: &str| {
        let saved = options.save.then(|| saved.with_extension(extension));
        given.clone().into_iter().chain(saved)
    };
    let write = |file: PathBuf, text: &str| {
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&file, text))
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
    };
    for file in wanted(&options.json, "json") {
        let json = record::json(results, options, &date);
        write(file, &format!("{json:#}\n"))?;
    }
    for file in wanted(&options.svg, "svg") {
        let about = format!("{date}, {}", record::machine());
        write(file, &chart::svg(&results.outcomes, &about))?;
    }
    Ok(())
}

/// As many descriptors as this process may have; what it starts inherits that.
fn allow_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
