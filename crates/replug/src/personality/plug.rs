//! plug (plugdaemon 2.5.5): `plug [OPTIONS] PORT TARGET...`.
//!
//! Its words are read in `dialect::plug`; here is what becomes of the process, and what it says and
//! ends with. `docs/coming-from-plug.md` tells users what is different.

use dialect::line::Words;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use control::manners::{Ask, Manners, PidfileHolds, Signals};
use control::{Exit, Process};
use dialect::plug::{self, Reading, USAGE, Wish};
use model::{Bind, Severity, Sources};

use super::Call;

/// It cannot do what it was told to, or could not go on.
const FATAL: u8 = 4;

/// It does not understand what it was told.
const USAGE_WRONG: u8 = 5;

const OURS: &str = "\
\nOptions of replug:
\t--no-retry\ta client that finds a dead server is closed, as by plug
\t--names\t\ttargets behind it may be host names
\t--explain\tprint the configuration that does the same, and end
\t--help\t\tprint this, and end
";

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let reading = plug::read(Words { program, args: call.words }, &mut sources);
    if !control::is_launched() {
        let told = crate::shown(&reading.diagnostics, &sources);
        crate::tell(&complaint(program, &reading));
        crate::tell(&told);
    }
    match reading.wish {
        Wish::Help => crate::say(&format!("Usage: {program} {USAGE}{OURS}")),
        _ if !reading.is_sound() => return USAGE_WRONG.into(),
        Wish::Version => {
            let version = env!("CARGO_PKG_VERSION");
            crate::say(&format!("{program}: plugdaemon V2.5.5, as replug {version} has it\n"));
        }
        Wish::Explain => crate::say(&reading.explain()),
        Wish::Run => return forward(reading),
    }
    ExitCode::SUCCESS
}

fn forward(reading: Reading) -> ExitCode {
    let process = Process {
        daemon: reading.process.daemon,
        pidfile: reading.process.pidfile.map(PathBuf::from),
        manners: Manners {
            signals: Signals {
                // Sessions were processes of their own, which outlived the one that was signalled;
                // `kill $(cat pidfile)` reached them too.
                terminate: Ask::EndWhenDoneOrNow,
                interrupt: Ask::EndNow,
                quit: Ask::EndNow,
                hangup: Ask::EndNow,
                ..Signals::default()
            },
            pidfile: PidfileHolds::Sessions,
            not_bound: Some(not_bound),
            no_pidfile: Some(no_pidfile),
            ..Manners::default()
        },
        ..Process::default()
    };
    match control::run(reading.config, control::Scripts::default(), None, &process, |_| {}) {
        Exit::Done => ExitCode::SUCCESS,
        _ => FATAL.into(),
    }
}

/// What plug says about words that it does not take.
fn complaint(program: &str, reading: &Reading) -> String {
    let wrong = |severity| severity == Severity::Error;
    match reading.diagnostics.iter().find(|fault| wrong(fault.severity())) {
        Some(first) if reading.wish != Wish::Help => {
            let message: String = first.message.escape_debug().collect();
            format!("{program}: {message}\nUsage: {program} {USAGE}\n")
        }
        _ => String::new(),
    }
}

/// `(127.0.0.1 8080): server bind: Address already in use`.
fn not_bound(bind: &Bind, error: &io::Error) -> String {
    let place = match bind {
        Bind::Tcp { address: Some(address), port } if !address.is_unspecified() => {
            format!("{address} {port}")
        }
        Bind::Tcp { port, .. } => port.to_string(),
        Bind::Udp { .. } | Bind::Unix(_) | Bind::Systemd(_) | Bind::Inetd => bind.to_string(),
    };
    format!("({place}): server bind: {}", words(error))
}

/// `plug: PID file /x/y: Error 2: No such file or directory`.
fn no_pidfile(path: &Path, error: &io::Error) -> String {
    let number = error.raw_os_error().map(|number| format!("Error {number}: "));
    let number = number.unwrap_or_default();
    format!("plug: PID file {}: {number}{}", path.display(), words(error))
}

/// What strerror(3) says.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
