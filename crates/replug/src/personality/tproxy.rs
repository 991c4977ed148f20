//! transproxy: `tproxy [OPTIONS] PROXYHOST PROXYPORT`, of 1.6 and of 0.x.
//!
//! Its words are read in `dialect::tproxy`; here is what becomes of the process, and what it says and
//! ends with. `docs/coming-from-transproxy.md` tells users what is different.

use dialect::line::Words;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

use control::manners::{Ask, Manners, PidfileHolds, PidfileNeed, Signals};
use control::{Exit, Process};
use dialect::convert::{self, Converted};
use dialect::tproxy::{self, Reading, Surroundings, USAGE, Wish};
use model::{Bind, Severity, Sources};

use super::Call;
use super::tcprelay::files;

/// It ends with this whatever has ended it.
const ENDED: u8 = 1;

/// What the words are read with.
const SURROUNDINGS: Surroundings<'_> = Surroundings { service: &files::port_of, host: &address_of };

const OURS: &str = "\
\nOptions of replug:
\t--explain\tprint the configuration that does the same, and end
\t--help\t\tprint this, and end
";

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let words = Words { program, args: call.words };
    let reading = tproxy::read(words, &mut sources, SURROUNDINGS);
    if !control::is_launched() {
        let told = crate::shown(&reading.diagnostics, &sources);
        crate::tell(&complaint(program, &reading));
        crate::tell(&told);
    }
    match reading.wish {
        Wish::Help => crate::say(&format!("usage: {program} {USAGE}{OURS}")),
        _ if !reading.is_sound() => return ENDED.into(),
        Wish::Explain => crate::say(&reading.explain()),
        Wish::Run => return forward(program, reading),
    }
    ExitCode::SUCCESS
}

/// The words behind `replug convert --from tproxy` as native TOML.
pub(crate) fn convert(args: &[OsString], sources: &mut Sources) -> Converted {
    let words = Words { program: tproxy::NAME, args };
    convert::tproxy(words, sources, SURROUNDINGS)
}

fn forward(program: &str, reading: Reading) -> ExitCode {
    let tproxy::Process { inetd, daemon, pidfile, user } = reading.process;
    // Nobody has asked for it, so there may be none.
    let pidfile_need = if pidfile.is_some() { PidfileNeed::Must } else { PidfileNeed::May };
    let usual = || daemon.then(|| PathBuf::from(format!("/var/run/{program}.pid")));
    let process = Process {
        daemon,
        pidfile: pidfile.map(PathBuf::from).or_else(usual),
        user,
        manners: Manners {
            signals: Signals {
                // Connections were processes of their own, which outlived the one that was signalled.
                terminate: Ask::EndWhenDoneOrNow,
                interrupt: if daemon { Ask::Nothing } else { Ask::EndNow },
                quit: Ask::Nothing,
                hangup: Ask::Reopen,
                ..Signals::default()
            },
            pidfile: PidfileHolds::Listening,
            pidfile_need,
            not_bound: Some(not_bound),
            ..Manners::default()
        },
        ..Process::default()
    };
    let has_launched = daemon && !control::is_launched();
    match control::run(reading.config, control::Scripts::default(), None, &process, |_| {}) {
        Exit::Done if inetd || has_launched => ExitCode::SUCCESS,
        _ => ENDED.into(),
    }
}

/// What tproxy says about words that it does not take.
fn complaint(program: &str, reading: &Reading) -> String {
    let wrong = |severity| severity == Severity::Error;
    match reading.diagnostics.iter().find(|fault| wrong(fault.severity())) {
        Some(first) if reading.wish != Wish::Help => {
            let mut message = String::new();
            for c in first.message.chars() {
                match c {
                    ' '..='~' => message.push(c),
                    c => message.extend(c.escape_default()),
                }
            }
            format!("{program}: {message}\nusage: {program} {USAGE}\n")
        }
        _ => String::new(),
    }
}

/// The first address of a host, IPv4 before IPv6: an address of tproxy is IPv4.
fn address_of(host: &str) -> Option<IpAddr> {
    let found: Vec<_> = (host, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
    found.iter().find(|address| address.is_ipv4()).or_else(|| found.first()).copied()
}

/// `bind(): Address already in use`.
fn not_bound(_: &Bind, error: &io::Error) -> String {
    // The number behind the words is Rust's.
    let words = error.to_string();
    format!("bind(): {}", words.split(" (os error").next().unwrap_or_default())
}
