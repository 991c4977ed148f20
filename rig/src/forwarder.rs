//! What stands between client and backend: the program under test, or nothing.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::address::Address;
use crate::figures;
use crate::program::{Lines, Program};
use crate::record::Record;
use crate::wait::{self, PATIENCE};

/// What a line says in front of each address that is listened on.
const ANNOUNCES: &str = "listens on ";

/// The way from client to backend. A program is ended when this is dropped, and the end checked.
pub struct Forwarder {
    program: Option<Program>,
    addresses: Vec<Address>,
}

impl Forwarder {
    /// No forwarder at all: what direct TCP does is what a forwarder is measured by.
    pub fn direct(backend: &Address) -> Self {
        Self { program: None, addresses: vec![backend.clone()] }
    }

    /// Starts `binary` with `arguments`, logging JSON records to its stdout, and waits until it
    /// listens.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`].
    #[track_caller]
    pub fn start(binary: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary.as_ref());
        command.args(["--log", "json", "--log-to", "-"]).args(arguments);
        Self::start_command(&mut command, 1)
    }

    /// Starts any command that says on stderr on which addresses it listens, and waits for `count`
    /// of these.
    ///
    /// # Panics
    /// When they do not come within [`PATIENCE`].
    #[track_caller]
    pub fn start_command(command: &mut Command, count: usize) -> Self {
        Self::of(Program::start(command), count)
    }

    /// A program that was started already: waits for `count` of the addresses on which it listens.
    ///
    /// # Panics
    /// As [`Forwarder::start_command`].
    #[track_caller]
    pub fn of(program: Program, count: usize) -> Self {
        let lines = program.stderr().expect_count(count, |line| line.contains(ANNOUNCES));
        let addresses = lines.iter().filter_map(|line| announced(line)).collect();
        Self { program: Some(program), addresses }
    }

    /// Where clients connect: the first address, if there are several.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// All addresses.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Whether there is nothing between client and backend.
    pub fn is_direct(&self) -> bool {
        self.program.is_none()
    }

    /// The process.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn program(&self) -> &Program {
        self.program.as_ref().expect("direct has no process")
    }

    /// The process, to be waited for.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn program_mut(&mut self) -> &mut Program {
        self.program.as_mut().expect("direct has no process")
    }

    /// Its process id.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.program().pid()
    }

    /// Its messages.
    ///
    /// # Panics
    /// When there is no process.
    #[track_caller]
    pub fn messages(&self) -> &Lines {
        self.program().stderr()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When there is no process.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.program().signal(signal);
    }

    /// Waits until `count` sessions have ended since the start, and returns their records.
    ///
    /// # Panics
    /// When they do not come within [`PATIENCE`], or more have come.
    #[track_caller]
    pub fn records(&self, count: usize) -> Vec<Record> {
        let is_record = |line: &str| Record::read(line).is_some();
        let lines = self.program().stdout().expect_count(count, is_record);
        assert_eq!(lines.len(), count, "more records than sessions: {lines:#?}");
        lines.iter().filter_map(|line| Record::read(line)).collect()
    }

    /// The record of the only session so far.
    ///
    /// # Panics
    /// As [`Forwarder::records`].
    #[track_caller]
    pub fn record(&self) -> Record {
        self.records(1).remove(0)
    }

    /// CPU time used so far.
    ///
    /// # Panics
    /// When there is no process.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        figures::cpu_time(self.pid())
    }

    /// Descriptors that are open.
    ///
    /// # Panics
    /// When there is no process.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        figures::descriptors(self.pid())
    }

    /// Waits until it has no more than `baseline` descriptors open.
    ///
    /// # Panics
    /// When it still has more after [`PATIENCE`].
    #[track_caller]
    pub fn expect_descriptors(&self, baseline: usize) {
        let what = format!("descriptors to be back at {baseline}");
        wait::until(&what, || self.descriptors() <= baseline);
    }

    /// Ends it now, sessions or not, and waits for that. Its exit code does not matter.
    fn end(program: &mut Program) {
        if let Some(status) = program.exit_status() {
            let crashed = status.code().is_none() && !thread::panicking();
            assert!(!crashed, "{program} crashed: {status}");
            return;
        }
        // The first asks to drain, the second not to. Two different ones: equal ones may merge.
        program.signal(Signal::TERM);
        program.signal(Signal::INT);
        let ended = program.wait_exit_within_patience().is_some();
        if !thread::panicking() {
            assert!(ended, "{program} did not end within {PATIENCE:?} of TERM and INT");
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            Self::end(program);
        }
    }
}

/// The address that a line announces, in any format of the log. Where that is a port of all
/// addresses, the one of 127.0.0.1.
///
/// # Panics
/// When what it announces is no address.
#[track_caller]
pub fn announced(line: &str) -> Option<Address> {
    let (_, behind) = line.split_once(ANNOUNCES)?;
    let word = behind.split([' ', '"', ',']).next()?;
    let (scheme, word) = word.split_at(word.find("//").map_or(0, |at| at + 2));
    let host = if word.starts_with(':') { "127.0.0.1" } else { "" };
    Some(Address::parse(&format!("{scheme}{host}{word}")))
}
