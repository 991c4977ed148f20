//! Sessions of which a script decides where they go.

mod decide;
mod examples;
mod failure;
mod jail;
mod reload;
mod remote;
mod ruby;

use std::fs;
use std::process::Command;

use rig::{Backend, Forwarder, Peer, Record, Scratch};

use crate::path::REPLUG;

/// What every script of a test may take: its processor is shared with other tests.
const DEADLINE: &str = "300ms";

/// A replug with a script, and the files that it was started with.
struct Scripted {
    forwarder: Forwarder,
    scratch: Scratch,
}

impl Scripted {
    /// Starts it with this script, and these keys of its listener behind it.
    fn start(script: &str, keys: &str) -> Self {
        let scratch = Scratch::new();
        let set_up = Self::write(&scratch, script, keys);
        let forwarder =
            Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &set_up]), 1);
        Self { forwarder, scratch }
    }

    /// Writes both files; gives the path of the configuration.
    fn write(scratch: &Scratch, script: &str, keys: &str) -> String {
        let path = scratch.join("replug.toml");
        let text = format!(
            "[listener.in]\nbind = \"127.0.0.1:0\"\n\
             script.file = \"route.lua\"\nscript.deadline = \"{DEADLINE}\"\n{keys}\n\
             [log]\nformat = \"json\"\nto = \"-\"\n[runtime]\nshards = 1\n"
        );
        fs::write(&path, text).expect("a scratch file can be written");
        fs::write(scratch.join("route.lua"), script).expect("a scratch file can be written");
        path
    }

    fn connect(&self) -> Peer {
        Peer::connect(self.forwarder.address())
    }

    /// How the only session has ended.
    fn reason(&self) -> String {
        self.forwarder.record().reason().to_owned()
    }

    /// The records of so many sessions, in the order in which these began.
    fn records(&self, count: usize) -> Vec<Record> {
        let mut records = self.forwarder.records(count);
        records.sort_by_key(|record| record.field("id").as_u64());
        records
    }
}

/// The session of `client` goes on at `backend`, which got `hello` first.
#[track_caller]
fn goes_on(client: &Peer, backend: &Backend, hello: &[u8]) {
    let peer = backend.accept();
    peer.expect(hello);
    finish(client, &peer);
}

/// Bytes go both ways, and both sides end in good order.
#[track_caller]
fn finish(client: &Peer, peer: &Peer) {
    peer.send(b"welcome");
    client.expect(b"welcome");
    client.send(b"and on");
    client.half_close();
    peer.expect(b"and on");
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}
