//! redir, versions 1 to 3: `redir [OPTIONS] [ADDRESS]:PORT [HOST]:PORT`, and as it was before.
//!
//! Its words are read in `dialect::redir`; here is what becomes of the process, and what it says and
//! ends with. `docs/coming-from-redir.md` tells users what is different.

use dialect::line::Words;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Shutdown, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use control::manners::{Ask, Manners, Signals};
use control::{Exit, Process};
use dialect::convert::{self, Converted};
use dialect::redir::{self, Failure, NAME, Reading, Surroundings, USAGE, Version, Wish};
use model::{Bind, Severity, Sources};
use rustix::fs::{FileType, fstat};

use super::{Call, tcprelay};

/// It cannot do what it was told to, or does not understand it (version 3).
const FAILED: u8 = 1;

/// It does not understand what it was told (version 2), or was told nothing.
const USAGE_WRONG: u8 = 2;

/// An address without a colon.
const NO_COLON: u8 = 3;

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let words = Words { program, args: call.words };
    let reading = redir::read(words, &mut sources, around());
    if !control::is_launched() {
        crate::tell(&complaint(program, &reading));
        crate::tell(&crate::shown(&reading.diagnostics, &sources));
    }
    match (reading.wish, reading.failure) {
        (Wish::Help, _) => crate::say(&usage(program)),
        (_, Some(failure)) => return refuse(program, failure, reading.version),
        (Wish::Version, None) => {
            crate::say(&format!("3.3, as replug {} has it\n", env!("CARGO_PKG_VERSION")));
        }
        (Wish::Explain, None) => crate::say(&reading.explain()),
        (Wish::Run, None) => return forward(reading),
    }
    ExitCode::SUCCESS
}

/// The words behind `replug convert --from redir`, as native TOML.
pub(crate) fn convert(args: &[OsString], sources: &mut Sources) -> Converted {
    convert::redir(Words { program: NAME, args }, sources, around())
}

fn around() -> Surroundings<'static> {
    Surroundings { service: &tcprelay::port_of, resolve: &resolve }
}

/// The first address of a name, of IPv4 if there is one: redir knows no other.
fn resolve(name: &str) -> Option<IpAddr> {
    let addresses: Vec<_> = (name, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
    addresses.iter().find(|ip| ip.is_ipv4()).or_else(|| addresses.first()).copied()
}

fn usage(program: &str) -> String {
    format!("Usage: {program}{USAGE}")
}

/// Ends as redir does that cannot do what it was told.
fn refuse(program: &str, failure: Failure, version: Version) -> ExitCode {
    let usage = usage(program);
    match (failure, version) {
        (Failure::Unresolved, _) => return FAILED.into(),
        (_, Version::Two) => crate::tell(&usage),
        (_, Version::One | Version::Three) => crate::say(&usage),
    }
    match (failure, version) {
        (Failure::Missing, _) | (_, Version::Two) => USAGE_WRONG,
        (Failure::NoColon, _) => NO_COLON,
        (Failure::Usage | Failure::Unresolved, _) => FAILED,
    }
    .into()
}

/// What redir says about words that it does not take.
fn complaint(program: &str, reading: &Reading) -> String {
    let is_error = |severity| severity == Severity::Error;
    match reading.diagnostics.iter().find(|fault| is_error(fault.severity())) {
        Some(first) if reading.wish != Wish::Help && reading.failure != Some(Failure::Missing) => {
            let plain = |c: char| if c.is_control() { '?' } else { c };
            let message: String = first.message.chars().map(plain).collect();
            format!("{program}: {message}\n")
        }
        _ => String::new(),
    }
}

fn forward(reading: Reading) -> ExitCode {
    let binds = || reading.config.listeners.iter().flat_map(|listener| &listener.bind);
    let answers = match binds().any(|bind| bind.value == Bind::Inetd) {
        false => None,
        true => match stand_in() {
            Ok(answers) => answers,
            Err(error) => {
                crate::tell(&format!("{NAME}: cannot take the client: {error}\n"));
                return FAILED.into();
            }
        },
    };
    let not_bound = match reading.version {
        Version::Three => not_bound_3,
        Version::One | Version::Two => not_bound_2,
    };
    let process = Process {
        daemon: reading.daemon,
        manners: Manners {
            signals: Signals {
                // Sessions were processes of their own, which outlived the one that listened. From
                // a terminal all of them were reached.
                terminate: Ask::EndWhenDoneOrNow,
                hangup: Ask::EndWhenDoneOrNow,
                interrupt: Ask::EndNow,
                quit: Ask::EndNow,
                ..Signals::default()
            },
            not_bound: Some(not_bound),
            unserved: Exit::Failed,
            ..Manners::default()
        },
        ..Process::default()
    };
    if reading.daemon && control::is_launched() {
        // So that no file system is kept from being unmounted; there are no relative paths.
        let _ = std::env::set_current_dir("/");
    }
    let exit = control::run(reading.config, control::Scripts::default(), None, &process, |_| {});
    if let Some(answers) = answers {
        // It ends with the session, whose socket is closed by now.
        let _ = answers.join();
    }
    match exit {
        Exit::Done => ExitCode::SUCCESS,
        _ => FAILED.into(),
    }
}

/// Has a socket be standard input where that is a pipe or a file: what can be read from there goes to
/// the target, and its answers to standard output, on threads of their own. Gives the one that
/// writes the answers.
fn stand_in() -> io::Result<Option<JoinHandle<()>>> {
    let input = rustix::stdio::stdin();
    if FileType::from_raw_mode(fstat(input)?.st_mode) == FileType::Socket {
        return Ok(None);
    }
    let mut source = File::from(input.try_clone_to_owned()?);
    let (client, ours) = UnixStream::pair()?;
    let mut reader = ours.try_clone()?;
    rustix::stdio::dup2_stdin(client.as_fd())?;
    thread::Builder::new().name("redir-in".to_owned()).spawn(move || {
        // Whatever ends the input ends it for the target.
        let _ = io::copy(&mut source, &mut &ours);
        let _ = ours.shutdown(Shutdown::Write);
    })?;
    let answers = thread::Builder::new().name("redir-out".to_owned()).spawn(move || {
        // A reset, or nobody who reads: the session has its own word for it.
        let _ = io::copy(&mut reader, &mut io::stdout());
    })?;
    Ok(Some(answers))
}

/// `Failed binding server socket: Address already in use`.
fn not_bound_3(_: &Bind, error: &io::Error) -> String {
    format!("Failed binding server socket: {}", words(error))
}

/// `server: bind: Address already in use`.
fn not_bound_2(_: &Bind, error: &io::Error) -> String {
    format!("server: bind: {}", words(error))
}

/// What strerror(3) says.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
