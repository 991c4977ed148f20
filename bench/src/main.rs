//! Compares replug with other TCP forwarders: `cargo run --release -p bench`. See `README.md` beside.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod backend;
mod candidate;
mod cost;
mod load;
mod memory;
mod namespace;
mod nat;
mod options;
mod pattern;
mod process;
mod report;
mod run;
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
    for (name, version) in &results.versions {
        writeln!(stdout, "{name}: {version}")?;
    }
    for note in &results.notes {
        writeln!(stdout, "note: {note}")?;
    }
    Ok(if results.sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As many descriptors as this process may have; what it starts inherits that.
fn allow_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
