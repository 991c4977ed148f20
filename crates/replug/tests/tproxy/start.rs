//! Starts tproxy, in the foreground unless told otherwise.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Peer, Program, figures};

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// A tproxy that listens on a port of 127.0.0.1.
pub(crate) struct Tproxy {
    pub(crate) program: Program,
    pub(crate) address: Address,
    /// Keeps the port from everybody else.
    _port: Closed,
}

impl Tproxy {
    /// `tproxy -s PORT -d -b 127.0.0.1 OPTIONS HOST PORT`, once it listens.
    #[track_caller]
    pub(crate) fn start(options: &[&str], proxy: &Address) -> Self {
        let port = proxy.port().to_string();
        Self::start_to(options, &["127.0.0.1", &port])
    }

    #[track_caller]
    pub(crate) fn start_to(options: &[&str], others: &[&str]) -> Self {
        let port = Closed::bind();
        let address = port.address().clone();
        let mut command = Command::new(REPLUG);
        command.arg0("tproxy").args(["-s", &address.port().to_string(), "-d", "-b", "127.0.0.1"]);
        let program = Program::start(command.args(options).args(others));
        until("tproxy to listen", || figures::is_listened_on(address.tcp()));
        Self { program, address, _port: port }
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Runs `tproxy WORDS` to its end: exit code, standard output and standard error.
#[track_caller]
pub(crate) fn run(words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    let mut command = Command::new(REPLUG);
    command.arg0("/usr/sbin/tproxy").args(words);
    let output = command.output().expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}
