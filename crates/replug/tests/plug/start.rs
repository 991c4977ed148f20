//! Starts plug, in the foreground unless told otherwise, and the backends and clients it is tried with.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Closed, DevLog, Peer, Program, Serving, figures};

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// A plug that listens on a port of 127.0.0.1.
pub(crate) struct Plug {
    pub(crate) program: Program,
    pub(crate) address: Address,
    /// Keeps the port from everybody else.
    _port: Closed,
}

impl Plug {
    /// `plug -n -i 127.0.0.1 OPTIONS PORT TARGETS`, once it listens.
    #[track_caller]
    pub(crate) fn start(options: &[&str], targets: &[&str]) -> Self {
        let mut command = Command::new(REPLUG);
        command.arg0("plug");
        Self::start_as(&mut command, options, targets)
    }

    #[track_caller]
    fn start_as(command: &mut Command, options: &[&str], targets: &[&str]) -> Self {
        // Nobody else may have the port at any address that it listens on.
        let on = if options.contains(&"0.0.0.0") { "0.0.0.0" } else { "127.0.0.1" };
        let port = Closed::bind_to(&Address::parse(&format!("{on}:0")));
        let place = port.address().tcp();
        let address = Address::parse(&format!("127.0.0.1:{}", place.port()));
        command.args(["-n", "-i", "127.0.0.1"]).args(options);
        command.arg(place.port().to_string()).args(targets);
        let program = Program::start(command);
        until("plug to listen", || figures::is_listened_on(place));
        Self { program, address, _port: port }
    }

    /// What one client gets: the letter of its backend, or `-` if it is closed without a byte.
    #[track_caller]
    pub(crate) fn ask(&self) -> char {
        letter(&Peer::connect(&self.address))
    }

    /// What so many clients get, one after the other.
    #[track_caller]
    pub(crate) fn ask_times(&self, times: usize) -> String {
        (0..times).map(|_| self.ask()).collect()
    }

    /// What clients get that come from 127.0.0.N, one after the other.
    #[track_caller]
    pub(crate) fn ask_from(&self, last: &[u8]) -> String {
        let from = |last: &u8| IpAddr::from([127, 0, 0, *last]);
        last.iter().map(|last| letter(&Peer::connect_from(from(last), &self.address))).collect()
    }
}

#[track_caller]
fn letter(client: &Peer) -> char {
    client.half_close();
    client.receive_to_fin().first().map_or('-', |byte| char::from(*byte))
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

/// A backend that reads to the end and tells how much that was.
#[track_caller]
pub(crate) fn count() -> Serving {
    Backend::bind().serve(|peer| {
        let bytes = peer.receive_to_fin().len();
        peer.send(format!("GOT {bytes}").as_bytes());
    })
}

/// A plug that sees a syslog daemon of its own.
pub(crate) struct Logged {
    pub(crate) plug: Plug,
    daemon: DevLog,
}

impl Logged {
    #[track_caller]
    pub(crate) fn start(options: &[&str], targets: &[&str]) -> Self {
        let daemon = DevLog::open();
        let plug = Plug::start_as(&mut daemon.command(REPLUG, "plug"), options, targets);
        Self { plug, daemon }
    }

    /// The next message, with `PID` for the process and `PORT` for the port.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        let port = self.plug.address.port().to_string();
        self.daemon.next(self.plug.program.pid()).replace(&port, "PORT")
    }
}

/// Runs `plug WORDS` to its end: exit code, standard output and standard error.
#[track_caller]
pub(crate) fn run(words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    let mut command = Command::new(REPLUG);
    command.arg0("/usr/local/bin/plug").args(words);
    let output = command.output().expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}
