//! Starts rinetd, in the foreground unless told otherwise, and the backends it is tried with.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rig::wait::until;
use rig::{Address, Backend, Closed, Forwarder, Program, Scratch, Serving};
use rustix::process::Signal;

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// What it says once it listens.
const STARTED: &str = "rinetd: starting redirections...";

/// A rinetd that listens on a port of 127.0.0.1.
pub(crate) struct Rinetd {
    pub(crate) program: Program,
    pub(crate) address: Address,
    pub(crate) scratch: Scratch,
    /// Keeps the port from everybody else.
    _port: Closed,
}

impl Rinetd {
    /// Runs the configuration `text`, in which `BIND` stands for address and port of a rule and `LOG`
    /// for a file in its folder.
    #[track_caller]
    pub(crate) fn start(text: &str) -> Self {
        Self::start_by(Command::new(REPLUG).arg0("rinetd"), text)
    }

    /// The same by a command to which only the options are added.
    #[track_caller]
    pub(crate) fn start_by(command: &mut Command, text: &str) -> Self {
        let (scratch, port) = (Scratch::new(), Closed::bind());
        let address = port.address().clone();
        write(&scratch, &address, text);
        let program = Program::start(command.args(["-f", "-c", &scratch.join("rinetd.conf")]));
        program.stderr().expect(STARTED);
        Self { program, address, scratch, _port: port }
    }

    /// Writes another configuration for the next HUP.
    pub(crate) fn rewrite(&self, text: &str) {
        write(&self.scratch, &self.address, text);
    }

    /// Has it read the configuration again, and waits until it says this.
    #[track_caller]
    pub(crate) fn hang_up(&self, told: &str) -> String {
        self.program.signal(Signal::HUP);
        self.program.stderr().expect(told)
    }

    /// The lines of its log once there are so many, with `PORT` for its port.
    #[track_caller]
    pub(crate) fn log(&self, count: usize) -> Vec<String> {
        let file = self.scratch.join("log");
        let read = || fs::read_to_string(&file).unwrap_or_default();
        until("the lines of the log", || read().lines().count() >= count);
        let port = self.address.port().to_string();
        let lines: Vec<_> = read().lines().map(|line| line.replace(&port, "PORT")).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// The last field of each.
    #[track_caller]
    pub(crate) fn results(&self, count: usize) -> Vec<String> {
        let last = |line: &String| line.rsplit('\t').next().unwrap_or_default().to_owned();
        self.log(count).iter().map(last).collect()
    }
}

fn write(scratch: &Scratch, address: &Address, text: &str) {
    let bind = format!("127.0.0.1 {}", address.port());
    let text = text.replace("BIND", &bind).replace("LOG", &scratch.join("log"));
    let (draft, path) = (scratch.join("draft"), scratch.join("rinetd.conf"));
    // As editors do: no reader ever sees half of it.
    fs::write(&draft, text).expect("a file in a new folder");
    fs::rename(&draft, &path).expect("a file can be renamed");
}

/// Runs a configuration whose rules listen on port 0, and tells where that is.
#[track_caller]
pub(crate) fn announced(text: &str, rules: usize) -> (Forwarder, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.join("rinetd.conf");
    fs::write(&file, text).expect("a file in a new folder");
    let mut command = Command::new(REPLUG);
    command.arg0("rinetd").args(["-f", "-d", "-c", &file]);
    (Forwarder::start_command(&mut command, rules), scratch)
}

/// Host and port as a rule has them.
pub(crate) fn end(address: &Address) -> String {
    format!("127.0.0.1 {}", address.port())
}

/// A backend that sends back what it gets, until its peer has sent five bytes; then it waits for the
/// end.
#[track_caller]
pub(crate) fn echo() -> Serving {
    Backend::bind().serve(|peer| {
        let bytes = peer.receive(5);
        peer.send(&bytes);
        let _ = peer.wait_end();
    })
}

/// A backend that sends one letter and holds the connection until its peer ends.
#[track_caller]
pub(crate) fn name(letter: char) -> Serving {
    let letter = u8::try_from(letter).expect("letters are ASCII");
    Backend::bind().serve(move |peer| {
        // A client may be gone already.
        if peer.try_send(&[letter]).is_ok() {
            let _ = peer.wait_end();
        }
    })
}

/// Runs `rinetd WORDS` to its end: exit code, standard output and standard error.
#[track_caller]
pub(crate) fn run(words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    run_by(Command::new(REPLUG).arg0("rinetd"), words)
}

#[track_caller]
pub(crate) fn run_by(command: &mut Command, words: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    let output = command.args(words).stdin(Stdio::null()).output();
    let output = output.expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}

/// What is told of a configuration in the foreground that cannot run.
#[track_caller]
pub(crate) fn refused(text: &str) -> String {
    let scratch = Scratch::new();
    let file = scratch.join("rinetd.conf");
    fs::write(&file, text).expect("a file in a new folder");
    let (code, said, told) = run(&["-f", "-c", &file]);
    assert_eq!((code, &*said), (1, ""), "{text:?}: {told}");
    told
}

/// The native configuration that does the same.
#[track_caller]
pub(crate) fn explained(text: &str) -> String {
    let scratch = Scratch::new();
    let file = scratch.join("rinetd.conf");
    fs::write(&file, text).expect("a file in a new folder");
    let (code, said, told) = run(&["--explain", "-c", &file]);
    assert_eq!(code, 0, "{text:?}: {told}");
    said
}
