//! Certificates by ACME, given by pebble, which looks for its proofs at the listeners themselves.

mod authority;
mod failing;
mod process;
mod proof;

use std::fs;
use std::process::{Command, Stdio};

use rig::backend::Serving;
use rig::{Address, Backend, Forwarder};

use authority::Authority;

const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// What backends say.
const ANSWER: &str = "served by the backend";

/// Replug with certificates of an authority, and a backend that ends each session with its answer.
struct Site {
    forwarder: Forwarder,
    backend: Serving,
}

impl Site {
    /// With one listener, at which names are proven; `tls` is what it says of TLS.
    #[track_caller]
    fn start(authority: &Authority, tls: &str) -> Self {
        Self::start_with(authority, &listener(authority, tls), 1, &[])
    }

    /// With `listeners`, which have a pool `all`, and more words for replug.
    #[track_caller]
    fn start_with(authority: &Authority, listeners: &str, count: usize, words: &[&str]) -> Self {
        let backend = Backend::bind().serve(|peer| {
            peer.send(format!("{ANSWER}\n").as_bytes());
            peer.half_close();
            let _ = peer.wait_end();
        });
        let path = authority.path("replug.toml");
        write(&path, listeners, backend.address());
        let mut command = Command::new(REPLUG);
        command.args(["run", "-c", &path]).args(words);
        Self { forwarder: Forwarder::start_command(&mut command, count), backend }
    }

    /// With a backend that is not served by anybody yet.
    #[track_caller]
    fn start_before(authority: &Authority, listeners: &str, backend: &Backend) -> Forwarder {
        let path = authority.path("replug.toml");
        write(&path, listeners, backend.address());
        Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
    }

    /// Writes the file anew, and has it read.
    fn reload(&self, authority: &Authority, listeners: &str) {
        write(&authority.path("replug.toml"), listeners, self.backend.address());
        self.forwarder.signal(rustix::process::Signal::HUP);
    }

    /// Waits for a message with these words.
    #[track_caller]
    fn expect(&self, words: &str) -> String {
        self.forwarder.messages().expect(words)
    }

    /// Waits until a name has its certificate.
    #[track_caller]
    fn expect_certificate(&self, name: &str) {
        self.expect(&format!("{name}: has a new certificate"));
    }
}

/// A listener at which names are proven.
fn listener(authority: &Authority, tls: &str) -> String {
    format!(
        "[listener.site]\nbind = \"{}\"\npool = \"all\"\ntls = {{ {tls} }}\n",
        authority.proof()
    )
}

fn write(path: &str, listeners: &str, backend: &Address) {
    let text = format!(
        "{listeners}\n[pool.all]\nbackends = \"{backend}\"\n\
         [log]\nformat = \"json\"\nto = \"-\"\n"
    );
    fs::write(path, text).expect("a scratch file");
}

/// What a client has to say that was told `words`, at a listener.
#[track_caller]
fn client(at: &Address, words: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.args(["20", "openssl", "s_client", "-ign_eof", "-connect", &at.to_string()]);
    let output = command.args(words).stdin(Stdio::null()).output().expect("openssl runs");
    assert_ne!(output.status.code(), Some(124), "{words:?}: it took too long");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A client is served that asks for `name`, and verifies it by `root`.
#[track_caller]
fn expect_verified(at: &Address, name: &str, root: &str) -> String {
    let verify = ["-verify_return_error", "-verify_hostname", name, "-CAfile", root];
    let said = client(at, &[&["-servername", name][..], &verify].concat());
    assert!(said.contains(ANSWER), "{name}: {said}");
    said
}
