//! ProxyMachine 1.2.4: `proxymachine -c FILE [-h HOST] [-p PORT]`.
//!
//! Its words are read in `dialect::proxymachine`; here is what becomes of the process, and what it
//! says and ends with. The file is run unchanged by workers of Ruby.
//! `docs/coming-from-proxymachine.md` tells users what is different.

use dialect::line::Words;
use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;

use control::manners::{Ask, Manners, Signals};
use control::{Exit, Files, Process};
use dialect::convert::{self, Converted};
use dialect::proxymachine::{self, NAME, Reading, Surroundings, USAGE, VERSION, Wish};
use dialect::render::{Colour, line, render};
use model::{Severity, Sources};
use script::load::Loader;

use super::Call;
use crate::file;

/// Whatever keeps it from starting, or ends it. ProxyMachine ends with 0 then.
const FAILED: u8 = 1;

/// Set, it means `--compat 1.2.4`.
const STRICT: &str = "PM_STRICT";

/// What it says first.
const STARTED: [&str; 2] = [
    "Send QUIT to quit after waiting for all connections to finish.",
    "Send TERM or INT to quit after waiting for up to 10 seconds for connections to finish.",
];

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let reading = read(program, call.words, &mut sources);
    match reading.wish {
        Wish::Help => crate::say(&format!("Usage: {program}{USAGE}")),
        Wish::Version => {
            let ours = env!("CARGO_PKG_VERSION");
            crate::say(&format!("{NAME} {VERSION}, as replug {ours} has it\n"));
        }
        Wish::Run | Wish::Explain => {
            crate::tell(&crate::shown(&reading.diagnostics, &sources));
            if !reading.is_sound() {
                return FAILED.into();
            }
            if reading.wish == Wish::Run {
                return forward(call, reading, sources);
            }
            crate::say(&reading.explain());
        }
    }
    ExitCode::SUCCESS
}

/// The words behind `replug convert --from proxymachine`, as native TOML.
pub(crate) fn convert(args: &[OsString], sources: &mut Sources) -> Converted {
    let words = Words { program: NAME, args };
    convert::proxymachine(words, sources, surroundings(&address_of))
}

fn read(program: &str, args: &[OsString], sources: &mut Sources) -> Reading {
    proxymachine::read(Words { program, args }, sources, surroundings(&address_of))
}

fn surroundings(host: &dyn Fn(&str) -> Option<IpAddr>) -> Surroundings<'_> {
    let is_strict = std::env::var_os(STRICT).is_some_and(|value| !value.is_empty());
    Surroundings { host, is_strict }
}

fn forward(call: &Call<'_>, reading: Reading, sources: Sources) -> ExitCode {
    let loader = Loader::default();
    let loaded = file::load_scripts(&reading.config, &loader);
    if !loaded.faults.is_empty() {
        crate::tell(&crate::shown(&loaded.faults, &sources));
        return FAILED.into();
    }
    let process = Process {
        manners: Manners {
            signals: Signals { user_1: Ask::Reopen, ..Signals::default() },
            started: &STARTED,
            ..Manners::default()
        },
        ..Process::default()
    };
    let (program, words) = (call.program.clone(), call.words.to_vec());
    let files =
        Files { read: Arc::new(move || again(&program, &words, &loader)), watched: Vec::new() };
    match control::run(reading.config, loaded.scripts, Some(files), &process, |_| {}) {
        Exit::Done => ExitCode::SUCCESS,
        _ => FAILED.into(),
    }
}

/// The same words, with what the file holds now.
fn again(program: &str, words: &[OsString], loader: &Loader) -> control::Reading {
    let mut sources = Sources::default();
    let Reading { config, mut diagnostics, .. } = read(program, words, &mut sources);
    let loaded = file::load_scripts(&config, loader);
    diagnostics.extend(loaded.faults);
    let faults: Vec<_> =
        diagnostics.iter().filter(|fault| fault.severity() == Severity::Error).collect();
    control::Reading {
        config: faults.is_empty().then_some(config),
        scripts: loaded.scripts,
        faults: faults.iter().map(|fault| line(fault, &sources)).collect(),
        told: render(&diagnostics, &sources, Colour::Never),
        watched: Vec::new(),
    }
}

/// The first address of a host, as it is looked up.
fn address_of(host: &str) -> Option<IpAddr> {
    (host, 0).to_socket_addrs().ok()?.next().map(|address| address.ip())
}
