//! Sessions of clients that speak TLS which ends here.
//!
//! The clients are OpenSSL's: curl, `openssl s_client`, and `tls/client.py`, which does as it is told
//! with every byte of the wire.

mod handshake;
mod hostile;
mod memory;
mod routes;
mod stream;

use std::fs;
use std::io::{PipeWriter, Write as _, pipe};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rig::{Backend, Forwarder, Program, Scratch};

use crate::path::REPLUG;

/// The client that does as it is told.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/client.py");

/// Replug with a listener that speaks TLS.
struct Site {
    forwarder: Forwarder,
    scratch: Scratch,
}

impl Site {
    /// With one backend, `more` in its table `tls`, and `keys` beside that.
    #[track_caller]
    fn start(more: &str, keys: &str, backend: &Backend) -> Self {
        let keys = format!("pool = \"all\"\n{keys}");
        Self::with_pools(more, &keys, &[("all", backend)])
    }

    /// The same with pools by their names; `[[route]]` is one of the listener.
    #[track_caller]
    fn with_pools(more: &str, keys: &str, pools: &[(&str, &Backend)]) -> Self {
        let scratch = Scratch::new();
        let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let now = i64::try_from(now.as_secs()).expect("not so soon");
        let names = ["a.example", "b.example"].map(str::to_owned);
        let made = tls::self_signed(&names, now - 3_600, now + 86_400).expect("random numbers");
        fs::write(&cert, made.cert).expect("a scratch file can be written");
        fs::write(&key, made.key).expect("a scratch file can be written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let keys = keys.replace("[[route]]", "[[listener.in.route]]");
        let mut text = format!(
            "[listener.in]\nbind = \"127.0.0.1:0\"\n\
             tls = {{ cert = \"{cert}\", key = \"{key}\"{more} }}\n{keys}\n"
        );
        for (name, backend) in pools {
            text += &format!("[pool.{name}]\nbackends = \"{}\"\n", backend.address());
        }
        text += "[log]\nformat = \"json\"\nto = \"-\"\n";
        let path = scratch.join("replug.toml");
        fs::write(&path, text).expect("a scratch file can be written");
        let forwarder =
            Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
        Self { forwarder, scratch }
    }

    fn cert(&self) -> String {
        self.scratch.join("cert.pem")
    }

    fn port(&self) -> String {
        self.forwarder.address().port().to_string()
    }

    /// A client that begins with the handshake.
    #[track_caller]
    fn client(&self, options: &[&str], steps: &[&str]) -> Client {
        let (input, told) = pipe().expect("a pipe");
        let mut command = Command::new("/usr/bin/python3");
        command.args([CLIENT, &self.port()]).args(options).args(["--", "handshake"]).args(steps);
        Client { program: Program::start_on(&mut command, input), told }
    }
}

/// One that is told what to do.
struct Client {
    program: Program,
    told: PipeWriter,
}

impl Client {
    /// Ends its wait.
    fn go_on(&mut self) {
        self.told.write_all(b"\n").expect("it listens");
    }

    /// All that it has said when it has done everything.
    #[track_caller]
    fn said(mut self) -> Vec<String> {
        self.program.expect_exit(0);
        self.program.stdout().all_once_closed()
    }
}

/// What the client pours.
fn pattern(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 251);
    let once: Vec<u8> = (0..251_u32).map(|at| (at * 7 % 251).to_le_bytes()[0]).collect();
    while bytes.len() < count {
        bytes.extend_from_slice(&once);
    }
    bytes.truncate(count);
    bytes
}
