//! Starts tcprelay in the foreground, and the backends and clients it is tried with.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rig::wait::until;
use rig::{Address, Backend, Closed, Peer, Program, Scratch, Serving, figures};

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// A tcprelay that listens on a port of 127.0.0.1.
pub(crate) struct Relay {
    pub(crate) program: Program,
    pub(crate) address: Address,
    pub(crate) scratch: Scratch,
    /// Keeps the port from everybody else.
    _port: Closed,
}

impl Relay {
    /// A listener, `spawnd` beside it in its section, and a section of tcprelay with `relay` in it;
    /// once it listens.
    #[track_caller]
    pub(crate) fn start(spawnd: &str, relay: &str) -> Self {
        Self::start_with(&[], "", spawnd, relay)
    }

    /// The same with options, and with `listen` beside address and port.
    #[track_caller]
    pub(crate) fn start_with(options: &[&str], listen: &str, spawnd: &str, relay: &str) -> Self {
        let mut command = Command::new(REPLUG);
        Self::start_as(command.arg0("tcprelay").args(options), listen, spawnd, relay)
    }

    /// The same by a command that lacks its last word.
    #[track_caller]
    pub(crate) fn start_as(command: &mut Command, listen: &str, spawnd: &str, relay: &str) -> Self {
        let (scratch, port) = (Scratch::new(), Closed::bind());
        let address = port.address().clone();
        write(&scratch, &address, listen, spawnd, relay);
        let program = Program::start(command.arg(scratch.join("relay.cfg")));
        until("tcprelay to listen", || figures::is_listened_on(address.tcp()));
        Self { program, address, scratch, _port: port }
    }

    /// Writes another configuration for the next HUP.
    pub(crate) fn rewrite(&self, spawnd: &str, relay: &str) {
        write(&self.scratch, &self.address, "", spawnd, relay);
    }

    /// A client that is served, with the letter of its backend.
    #[track_caller]
    pub(crate) fn hold(&self) -> (Peer, char) {
        let client = Peer::connect(&self.address);
        let letter = char::from(client.receive(1)[0]);
        (client, letter)
    }

    /// The letters that clients get who all stay.
    #[track_caller]
    pub(crate) fn hold_times(&self, times: usize) -> String {
        let held: Vec<_> = (0..times).map(|_| self.hold()).collect();
        held.iter().map(|(_, letter)| letter).collect()
    }

    /// What one client gets: the letter of its backend, or `-` if it is closed without a byte.
    #[track_caller]
    pub(crate) fn ask(&self) -> char {
        let client = Peer::connect(&self.address);
        client.half_close();
        client.receive_to_fin().first().map_or('-', |byte| char::from(*byte))
    }
}

fn write(scratch: &Scratch, address: &Address, listen: &str, spawnd: &str, relay: &str) {
    let port = address.port();
    let text = format!(
        "id = spawnd {{\n  listen = {{ address = 127.0.0.1 port = {port} {listen} }}\n  {spawnd}\n}}\n\
         id = tcprelay {{\n  {relay}\n}}\n"
    );
    fs::write(scratch.join("relay.cfg"), text).expect("a file in a new folder");
}

/// Directives for backends, each with what else is said about it.
pub(crate) fn remotes(backends: &[(&Address, &str)]) -> String {
    let remote = |(address, more): &(&Address, &str)| {
        format!("remote = {{ address = 127.0.0.1 port = {} {more} }}\n", address.port())
    };
    backends.iter().map(remote).collect()
}

/// The same for one.
pub(crate) fn remote(backend: &Address) -> String {
    remotes(&[(backend, "")])
}

/// A backend that sends one letter and holds the connection until its peer ends.
#[track_caller]
pub(crate) fn name(letter: char) -> Serving {
    name_at(letter, Backend::bind())
}

/// The same on a port that was reserved before.
#[track_caller]
pub(crate) fn name_at(letter: char, backend: Backend) -> Serving {
    let letter = u8::try_from(letter).expect("letters are ASCII");
    backend.serve(move |peer| {
        // A client may be gone already.
        if peer.try_send(&[letter]).is_ok() {
            let _ = peer.wait_end();
        }
    })
}

/// Runs `tcprelay WORDS` to its end: exit code, standard output and standard error.
#[track_caller]
pub(crate) fn run(words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    run_as("tcprelay", words)
}

/// The same by another name.
#[track_caller]
pub(crate) fn run_as(name: &str, words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    let mut command = Command::new(REPLUG);
    command.arg0(name).args(words).stdin(Stdio::null());
    let output = command.output().expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}

/// Runs it with `options` on a file that holds `text`.
#[track_caller]
pub(crate) fn run_text(options: &[&str], text: &str) -> (i32, String, String) {
    let scratch = Scratch::new();
    let file = scratch.join("relay.cfg");
    fs::write(&file, text).expect("a file in a new folder");
    let (words, behind) =
        options.split_at(options.iter().position(|o| *o == "FILE").unwrap_or(options.len()));
    let mut all: Vec<_> = words.iter().map(ToString::to_string).collect();
    all.push(file);
    all.extend(behind.iter().skip(1).map(ToString::to_string));
    run(&all)
}
