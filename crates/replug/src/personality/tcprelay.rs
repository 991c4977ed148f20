//! tcprelay and spawnd: `tcprelay [OPTIONS] CONFIG [ID]`.
//!
//! Its words and files are read in `dialect::tcprelay`; here files are found, and here is what becomes
//! of the process, and what it says and ends with. `docs/coming-from-tcprelay.md` tells users what is
//! different.

mod files;

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use control::manners::{Ask, Manners, PidfileHolds, Signals};
use control::{Exit, Process};
use dialect::render::{Colour, line, render};
use dialect::tcprelay::{self, Options, Order, Reading, Verdict, Wish};
use model::{Bind, Config, Severity, Sources};

use super::Call;

/// The codes of sysexits(3) that the original ends with.
const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
const SOFTWARE: u8 = 70;
const OS_ERROR: u8 = 71;
const TEMPORARY: u8 = 75;
const CONFIGURATION: u8 = 78;

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let order = tcprelay::order(program, call.words, &mut sources);
    if !control::is_launched() {
        crate::tell(&render(&order.diagnostics, &sources, crate::colour()));
    }
    match order.wish {
        Wish::Help => {
            crate::say(&Order::usage(program));
            return ExitCode::SUCCESS;
        }
        _ if !order.is_sound() => {
            crate::tell(&Order::usage(program));
            return USAGE.into();
        }
        Wish::Version => {
            let version = env!("CARGO_PKG_VERSION");
            crate::tell(&format!("{program} version {version}/replug\n"));
            return ExitCode::SUCCESS;
        }
        Wish::Run | Wish::Parse | Wish::Explain => {}
    }
    let mut options = order.options;
    options.inetd = order.wish == Wish::Run && files::is_given_a_listener();
    match read(&order.config, &options, crate::colour()) {
        Ok((reading, told, _)) => {
            if !control::is_launched() {
                crate::tell(&told);
            }
            match (code(reading.verdict), order.wish) {
                (Some(code), _) => code.into(),
                (None, Wish::Explain) => {
                    crate::say(&reading.explain());
                    ExitCode::SUCCESS
                }
                (None, Wish::Run) => forward(program, reading, order.config, options),
                (None, _) => ExitCode::SUCCESS,
            }
        }
        Err(why) => {
            crate::tell(&format!("{program}: {why}\n"));
            NO_INPUT.into()
        }
    }
}

/// The code for what cannot run.
fn code(verdict: Verdict) -> Option<u8> {
    match verdict {
        Verdict::Sound => None,
        Verdict::NoListener => Some(OS_ERROR),
        Verdict::NoRemote => Some(USAGE),
        Verdict::Faulty => Some(CONFIGURATION),
    }
}

/// Reads a configuration file: what it says, the faults for a terminal, and each on one line.
fn read(
    path: &str,
    options: &Options,
    colour: Colour,
) -> Result<(Reading, String, Vec<String>), String> {
    if path.contains("://") {
        return Err(format!(
            "cannot read {path}: configurations are read from files only; fetch it into one first"
        ));
    }
    let text = files::text(Path::new(path)).map_err(|why| format!("cannot read {path}: {why}"))?;
    let mut sources = Sources::default();
    let file = sources.add(path, text);
    let include = |pattern: &str| files::matching(Path::new(path), pattern);
    let surroundings = tcprelay::Surroundings {
        environment: &|name| std::env::var(name).ok(),
        include: &include,
        service: &files::port_of,
    };
    let reading = tcprelay::read(file, options, &mut sources, surroundings);
    let told = render(&reading.diagnostics, &sources, colour);
    let errors = reading.diagnostics.iter().filter(|fault| fault.severity() == Severity::Error);
    let lines = errors.map(|fault| line(fault, &sources)).collect();
    Ok((reading, told, lines))
}

fn forward(program: &str, reading: Reading, path: String, options: Options) -> ExitCode {
    let Reading { config, process, .. } = reading;
    let inetd = options.inetd;
    let wait = !process.daemon || control::is_launched();
    if let Some(delay) = process.bind_retry.filter(|_| wait && !inetd) {
        wait_for_addresses(program, &config, delay);
    }
    let run = Process {
        daemon: process.daemon && !inetd,
        pidfile: process.pidfile.map(Into::into),
        user: process.user,
        manners: Manners {
            signals: Signals {
                // Workers served the sessions they had to their end.
                terminate: Ask::EndWhenDoneOrNow,
                interrupt: Ask::EndWhenDoneOrNow,
                hangup: if inetd { Ask::EndWhenDone } else { Ask::Reload },
                // All workers anew: where there are none, the configuration.
                user_1: Ask::Reload,
                ..Signals::default()
            },
            pidfile: PidfileHolds::Listening,
            not_bound: Some(not_bound),
            ..Manners::default()
        },
        ..Process::default()
    };
    let read = move || again(&path, &options);
    let files = control::Files { read: Box::new(read), watched: Vec::new() };
    match control::run(config, Some(files), &run, |_| {}) {
        Exit::Done => ExitCode::SUCCESS,
        Exit::NotPermitted => {
            crate::tell(&format!("{program}: Failed to bind to any address or port. Exiting.\n"));
            TEMPORARY.into()
        }
        Exit::Configuration => CONFIGURATION.into(),
        Exit::Usage => USAGE.into(),
        _ => SOFTWARE.into(),
    }
}

/// Reads the configuration for a reload.
fn again(path: &str, options: &Options) -> control::Reading {
    match read(path, options, Colour::Never) {
        Ok((reading, told, faults)) => {
            let config = Some(reading.config).filter(|_| reading.verdict == Verdict::Sound);
            control::Reading { config, faults, told, watched: Vec::new() }
        }
        Err(why) => control::Reading {
            config: None,
            told: format!("{why}\n"),
            faults: vec![why],
            watched: Vec::new(),
        },
    }
}

/// Waits until all addresses can be had, which is told once.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing runs yet, and no event tells of a free port"
)]
fn wait_for_addresses(program: &str, config: &Config, delay: Duration) {
    let binds = || config.listeners.iter().flat_map(|listener| &listener.bind);
    let taken = |bind: &Bind| match bind {
        Bind::Tcp { address, port } => {
            let any = std::net::Ipv6Addr::UNSPECIFIED.into();
            TcpListener::bind((address.unwrap_or(any), *port)).err()
        }
        _ => None,
    };
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let mut told = false;
    while let Some(bind) = binds().find(|bind| taken(&bind.value).as_ref().is_some_and(in_use)) {
        if !told {
            let (place, seconds) = (place(&bind.value), delay.as_secs());
            crate::tell(&format!(
                "{program}: bind to {place} failed. Will retry every {seconds} seconds.\n"
            ));
            told = true;
        }
        thread::sleep(delay);
    }
}

/// `bind to [127.0.0.1]:28080 failed.`
fn not_bound(bind: &Bind, _: &io::Error) -> String {
    format!("bind to {} failed.", place(bind))
}

fn place(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { address: Some(address), port } => format!("[{address}]:{port}"),
        Bind::Tcp { address: None, port } => format!("[::]:{port}"),
        other => other.to_string(),
    }
}
