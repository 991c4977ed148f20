//! Certificates: who a listener is to its clients, and who they are to it.
//!
//! The clients are `openssl s_client`, and so is the authority that signs for both sides.

mod authority;
mod clients;
mod command;
mod files;
mod names;
mod resumption;

use std::fs;
use std::process::{Command, Stdio};

use rig::backend::Serving;
use rig::{Backend, Forwarder};

use crate::path::REPLUG;
use authority::Authority;

/// What backends say.
const ANSWER: &str = "served by the backend";

/// Replug with listeners that speak TLS, and a backend that ends each session with its answer.
struct Site {
    forwarder: Forwarder,
    path: String,
    pools: String,
    _backend: Serving,
}

impl Site {
    /// With listeners at ports of the kernel's choice; in their tables, one after the other, stands
    /// `listeners`.
    #[track_caller]
    fn start(authority: &Authority, listeners: &[&str]) -> Self {
        let backend = Backend::bind().serve(|peer| {
            peer.send(format!("{ANSWER}\n").as_bytes());
            peer.half_close();
            let _ = peer.wait_end();
        });
        let pools = ["all", "pay"]
            .map(|name| format!("[pool.{name}]\nbackends = \"{}\"\n", backend.address()));
        let pools = pools.concat() + "[log]\nformat = \"json\"\nto = \"-\"\n";
        let path = authority.path("replug.toml");
        write(&path, listeners, &pools);
        let forwarder = Forwarder::start_command(
            Command::new(REPLUG).args(["run", "-c", &path]),
            listeners.len(),
        );
        Self { forwarder, path, pools, _backend: backend }
    }

    /// Writes the file anew.
    fn rewrite(&self, listeners: &[&str]) {
        write(&self.path, listeners, &self.pools);
    }

    /// What a client has to say that was told `words`, at a listener.
    #[track_caller]
    fn client(&self, listener: usize, words: &[&str]) -> String {
        let address = self.forwarder.addresses()[listener].to_string();
        let mut command = Command::new("timeout");
        command.args(["20", "openssl", "s_client", "-ign_eof", "-connect", &address]);
        let output = command.args(words).stdin(Stdio::null()).output().expect("openssl runs");
        assert_ne!(output.status.code(), Some(124), "{words:?}: it took too long");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn write(path: &str, listeners: &[&str], pools: &str) {
    let listeners = listeners.iter().enumerate().map(|(at, keys)| {
        let keys = keys.replace("[[route]]", &format!("[[listener.l{at}.route]]"));
        format!("[listener.l{at}]\nbind = \"127.0.0.1:0\"\npool = \"all\"\n{keys}\n")
    });
    let text = listeners.collect::<String>() + pools;
    fs::write(path, text).expect("a scratch file can be written");
}

#[track_caller]
fn expect_served(said: &str) {
    assert!(said.contains(ANSWER), "{said}");
}

/// It is not, and is told so by an alert of this name.
#[track_caller]
fn expect_alert(said: &str, alert: &str) {
    assert!(!said.contains(ANSWER), "{said}");
    assert!(said.contains(alert), "{said}");
}
