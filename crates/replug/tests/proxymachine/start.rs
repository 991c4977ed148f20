//! Starts proxymachine with a configuration of a test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use rig::{Address, Backend, Closed, Peer, Program, Scratch};

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// A proxymachine that runs. It is ended when this is dropped.
pub(crate) struct Proxymachine {
    pub(crate) program: Program,
    pub(crate) address: Address,
    pub(crate) scratch: Scratch,
    pub(crate) file: String,
}

impl Proxymachine {
    /// With a file that holds `text`.
    #[track_caller]
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, &[])
    }

    /// The same with further words.
    #[track_caller]
    pub(crate) fn start_with(text: &str, words: &[&str]) -> Self {
        let scratch = Scratch::new();
        let file = scratch.join("route.rb");
        fs::write(&file, text).expect("a file can be written");
        let mut command = Command::new(REPLUG);
        command.arg0("proxymachine").args(["-c", &file, "-h", "127.0.0.1", "-p", "0"]).args(words);
        command.env("PM_TEST", "of the environment").current_dir(scratch.path());
        let program = Program::start(&mut command);
        let line = program.stdout().expect("Listening on ");
        let (_, address) = line.split_once("Listening on ").expect("that was expected");
        Self { program, address: Address::parse(address), scratch, file }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.address)
    }

    /// What a client gets that sends `bytes`, until its stream ends in order.
    #[track_caller]
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let client = self.connect();
        client.send(bytes);
        client.receive_to_fin()
    }

    /// What the test's configuration has written to the file `name`.
    pub(crate) fn written(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.scratch.join(name)).ok()
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub(crate) fn told(&self, words: &str) -> String {
        self.program.stdout().expect(words)
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<i32> {
        children(self.program.pid())
    }
}

/// The processes that were started by the process `pid`.
pub(crate) fn children(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// A block that sends everybody to `backend`.
pub(crate) fn to(backend: &Backend) -> String {
    format!("proxy {{ |data| {{ :remote => '{}' }} }}", backend.address())
}

/// What comes of words that do not lead to a start, as `proxymachine`.
pub(crate) fn run(words: &[&str]) -> Output {
    Command::new(REPLUG).arg0("proxymachine").args(words).output().expect("it can be started")
}

/// `text` with the addresses of `backends` for `ONE`, `TWO` and so on, and of one that is dead for
/// `DEAD`.
pub(crate) fn naming(text: &str, backends: &[&Backend]) -> String {
    let names = ["ONE", "TWO", "THREE"];
    let named = names.iter().zip(backends).fold(text.to_owned(), |text, (name, backend)| {
        text.replace(name, &backend.address().to_string())
    });
    match named.contains("DEAD") {
        true => named.replace("DEAD", &Closed::bind().address().to_string()),
        false => named,
    }
}
