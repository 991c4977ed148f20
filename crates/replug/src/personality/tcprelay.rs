//! tcprelay and spawnd: `tcprelay [OPTIONS] CONFIG [ID]`.
//!
//! Its words and files are read in `dialect::tcprelay`; here files are found, and here is what becomes
//! of the process, and what it says and ends with. `docs/coming-from-tcprelay.md` tells users what is
//! different.

pub(super) mod files;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use control::manners::{Ask, Lenient, Manners, PidfileHolds, Signals, Words};
use control::{Exit, Process};
use dialect::convert::Converted;
use dialect::tcprelay::{self, Options, Order, Reading, Surroundings, Verdict, Wish};
use model::{Bind, Code, Diagnostic, Severity, SourceId, Sources};

use super::Call;
use crate::fetch::{self, Visit};
use crate::file;

pub(super) use files::port_of;

/// The codes of sysexits(3) that the original ends with.
const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
const SOFTWARE: u8 = 70;
const OS_ERROR: u8 = 71;
const TEMPORARY: u8 = 75;
const CONFIGURATION: u8 = 78;

/// What the log begins with.
const STARTED: [&str; 2] =
    [concat!("startup (version ", env!("CARGO_PKG_VERSION"), "/replug)"), MECHANISM];

/// The same for one whom inetd has started.
const STARTED_BY_INETD: [&str; 2] =
    [concat!("startup via inetd (version ", env!("CARGO_PKG_VERSION"), "/replug)"), MECHANISM];

/// What it says of signals.
const SIGNALLED: Words = Words {
    terminate: Some("SIGTERM: exiting"),
    interrupt: Some("SIGINT: exiting"),
    hangup: Some("SIGHUP: restarting"),
    user_1: Some("SIGUSR1: restarting"),
    ..Words::NONE
};

/// The same for one whom inetd has started.
const SIGNALLED_BY_INETD: Words =
    Words { hangup: Some("SIGHUP: No longer accepting new connections."), ..SIGNALLED };

const MECHANISM: &str = "epoll event notification mechanism is being used";

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let order = tcprelay::order(program, call.words, &mut sources);
    if !control::is_launched() {
        crate::tell(&crate::shown(&order.diagnostics, &sources));
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
    match read(&order.config, &options, &mut sources) {
        Ok(reading) => {
            let reading = match order.wish {
                // It may be for another machine.
                Wish::Explain => reading,
                _ => with_certificates(reading),
            };
            if !control::is_launched() {
                crate::tell(&crate::shown(&reading.diagnostics, &sources));
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

/// Reads a configuration file, whose text is added to `sources`.
fn read(path: &str, options: &Options, sources: &mut Sources) -> Result<Reading, String> {
    within(path, sources, |file, sources, surroundings| {
        tcprelay::read(file, options, sources, surroundings)
    })
}

/// Looks at the certificates that it names.
fn with_certificates(mut reading: Reading) -> Reading {
    if reading.verdict == Verdict::Sound {
        let faults = tls::check(&reading.config, tls::Surroundings::of_this_process());
        if faults.iter().any(|fault| fault.severity() == Severity::Error) {
            reading.verdict = Verdict::Faulty;
        }
        reading.diagnostics.extend(faults);
    }
    reading
}

/// The words behind `replug convert --from tcprelay`, which are those of tcprelay, as native TOML.
pub(crate) fn convert(words: &[OsString], sources: &mut Sources) -> Converted {
    let order = tcprelay::order(tcprelay::NAME, words, sources);
    if !order.is_sound() {
        return Converted { text: None, diagnostics: order.diagnostics };
    }
    let converted = within(&order.config, sources, |file, sources, surroundings| {
        dialect::convert::tcprelay(file, &order.options, sources, surroundings)
    });
    converted.unwrap_or_else(|why| {
        let help = "name the configuration: `replug convert --from tcprelay FILE|URL`";
        let diagnostics = vec![Diagnostic::new(Code::File, None, why).help(help)];
        Converted { text: None, diagnostics }
    })
}

/// Has `read` read what is at `path`, a file or a URL, in the surroundings that this process has.
fn within<T>(
    path: &str,
    sources: &mut Sources,
    read: impl FnOnce(SourceId, &mut Sources, Surroundings<'_>) -> T,
) -> Result<T, String> {
    let visit = Visit::begin();
    let shown = fetch::shown(path);
    let text = files::text(path, &visit).map_err(|why| format!("cannot read {shown}: {why}"))?;
    let file = sources.add(shown, text);
    let include = |pattern: &str| files::matching(path, pattern, &visit);
    let surroundings = Surroundings {
        environment: &|name| std::env::var(name).ok(),
        include: &include,
        service: &port_of,
    };
    Ok(read(file, sources, surroundings))
}

fn forward(program: &str, reading: Reading, path: String, options: Options) -> ExitCode {
    let Reading { config, process, .. } = reading;
    let inetd = options.inetd;
    let run = Process {
        daemon: process.daemon,
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
            lenient: Some(Lenient { retry: process.bind_retry, told: is_missing }),
            started: if inetd { &STARTED_BY_INETD } else { &STARTED },
            signalled: if inetd { &SIGNALLED_BY_INETD } else { &SIGNALLED },
            ended: Some("Terminating, no longer needed."),
            ..Manners::default()
        },
        ..Process::default()
    };
    let read = move || again(&path, &options);
    let files = control::Files { read: Arc::new(read), watched: Vec::new() };
    match control::run(config, control::Scripts::default(), Some(files), &run, |_| {}) {
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
    let mut sources = Sources::default();
    let reading = match read(path, options, &mut sources) {
        Ok(Reading { config, diagnostics, verdict, .. }) => file::Reading {
            config: Some(config).filter(|_| verdict == Verdict::Sound),
            diagnostics,
            ..file::Reading::default()
        },
        Err(why) => file::Reading {
            diagnostics: vec![Diagnostic::new(Code::File, None, why)],
            ..file::Reading::default()
        },
    };
    file::Reading { sources, ..reading }.in_lines(file::Watched::Lists)
}

/// `bind to [127.0.0.1]:28080 failed.`
fn not_bound(bind: &Bind, _: &io::Error) -> String {
    format!("bind to {} failed.", place(bind))
}

/// The same of one that the others can do without.
fn is_missing(bind: &Bind, retry: Option<Duration>) -> String {
    let place = place(bind);
    match retry {
        None => format!("bind to {place} failed."),
        Some(retry) => {
            format!("bind to {place} failed. Will retry every {} seconds.", retry.as_secs())
        }
    }
}

fn place(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { address: Some(address), port } => format!("[{address}]:{port}"),
        Bind::Tcp { address: None, port } => format!("[::]:{port}"),
        other => other.to_string(),
    }
}
