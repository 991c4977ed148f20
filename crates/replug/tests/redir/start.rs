//! Starts redir, in the foreground unless told otherwise, and the backends and clients it is tried
//! with.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Backend, Closed, PATIENCE, Peer, Program, Scratch, Serving, figures};

pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// A redir that listens on a port of 127.0.0.1.
pub(crate) struct Redir {
    pub(crate) program: Program,
    pub(crate) address: Address,
    /// Keeps the port from everybody else.
    _port: Closed,
}

impl Redir {
    /// `redir -n OPTIONS 127.0.0.1:PORT TARGET`, once it listens.
    #[track_caller]
    pub(crate) fn start(options: &[&str], target: &Address) -> Self {
        let line = |port: u16| {
            let more = [format!("127.0.0.1:{port}"), target.to_string()];
            ["-n"].iter().chain(options).map(|word| (*word).to_owned()).chain(more).collect()
        };
        Self::start_line(line)
    }

    /// The words that `line` makes of a port, once it listens there.
    #[track_caller]
    pub(crate) fn start_line(line: impl FnOnce(u16) -> Vec<String>) -> Self {
        let mut command = Command::new(REPLUG);
        command.arg0("redir");
        Self::start_as(&mut command, line)
    }

    #[track_caller]
    fn start_as(command: &mut Command, line: impl FnOnce(u16) -> Vec<String>) -> Self {
        // Of all addresses: some lines listen on all of them.
        let port = Closed::bind_to(&Address::parse("0.0.0.0:0"));
        let address = Address::parse(&format!("127.0.0.1:{}", port.address().port()));
        command.args(line(address.port()));
        let program = Program::start(command);
        let any = ([0, 0, 0, 0], address.port()).into();
        let is_there = || figures::is_listened_on(address.tcp()) || figures::is_listened_on(any);
        until("redir to listen", is_there);
        Self { program, address, _port: port }
    }

    /// A client and its peer, who have heard of each other.
    #[track_caller]
    pub(crate) fn session(&self, backend: &Backend) -> (Peer, Peer) {
        let client = Peer::connect(&self.address);
        client.send(b"ask");
        let peer = backend.accept();
        peer.expect(b"ask");
        peer.send(b"answer");
        client.expect(b"answer");
        (client, peer)
    }

    /// A session from beginning to end.
    #[track_caller]
    pub(crate) fn serves(&self, backend: &Backend) {
        let (client, peer) = self.session(backend);
        end(&client, &peer);
    }
}

/// Ends a session from the client's side.
#[track_caller]
pub(crate) fn end(client: &Peer, peer: &Peer) {
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

/// A backend that reads to the end and tells how much that was.
#[track_caller]
pub(crate) fn count() -> Serving {
    Backend::bind().serve(|peer| {
        let bytes = peer.receive_to_fin().len();
        peer.send(format!("GOT {bytes}").as_bytes());
    })
}

/// A redir that sees a syslog daemon of its own.
pub(crate) struct Logged {
    pub(crate) redir: Redir,
    daemon: UnixDatagram,
    _scratch: Scratch,
}

impl Logged {
    /// Starts redir, by the name of a link, where `/dev/log` is ours. Needs root, as every new
    /// view of the file system does.
    #[track_caller]
    pub(crate) fn start(line: impl FnOnce(u16) -> Vec<String>) -> Self {
        assert!(rustix::process::geteuid().is_root(), "run this test as root: it replaces /dev");
        let scratch = Scratch::new();
        let dev = scratch.join("dev");
        std::fs::create_dir(&dev).expect("a new folder");
        std::fs::write(format!("{dev}/null"), "").expect("a new file");
        let daemon = UnixDatagram::bind(format!("{dev}/log")).expect("a new socket");
        daemon.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        let link = scratch.join("redir");
        std::os::unix::fs::symlink(REPLUG, &link).expect("a new link");
        let script =
            "mount --bind /dev/null \"$0/null\" && mount --rbind \"$0\" /dev && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, &dev, &link]);
        let redir = Redir::start_as(&mut command, line);
        Self { redir, daemon, _scratch: scratch }
    }

    /// The next message, with `PID` for the process.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        let mut message = [0; 2048];
        let count = self.daemon.recv(&mut message).expect("a message within PATIENCE");
        let text = String::from_utf8_lossy(&message[..count]).into_owned();
        text.replace(&format!("[{}]", self.redir.program.pid()), "[PID]")
    }

    /// Whether there is no message so far.
    pub(crate) fn is_silent(&self) -> bool {
        self.daemon.set_nonblocking(true).expect("a socket can be");
        let is_silent = self.daemon.recv(&mut [0; 1]).is_err();
        self.daemon.set_nonblocking(false).expect("a socket can be");
        is_silent
    }
}

/// Words as strings.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs `redir WORDS` to its end: exit code, standard output and standard error.
#[track_caller]
pub(crate) fn run(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(REPLUG);
    command.arg0("/usr/bin/redir").args(words);
    let output = command.output().expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}
