//! An authority that gives certificates by ACME: pebble, which Let's Encrypt tests with, and a
//! name server of its own that says that all names are here.

use std::cell::Cell;
use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Program, Scratch, figures};
use rustix::process::Signal;

use crate::REPLUG;

/// The key of an account that is known, as the authority shows it.
pub(super) const ACCOUNT_KEY: &str =
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
/// What it is called.
pub(super) const ACCOUNT_ID: &str = "kid-1";

/// What the authority asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing but proof.
    Nobody,
    /// An account that it knows already.
    ForAccount,
}

/// An authority, and where it looks for proof.
pub(super) struct Authority {
    scratch: Scratch,
    asks: Asks,
    program: Option<Program>,
    names: Program,
    ports: [Closed; 4],
    /// Where names are proven: the port that is 443 elsewhere.
    proof: Closed,
    /// Orders that were counted already.
    seen: Cell<usize>,
    seconds: u32,
}

impl Authority {
    /// Starts it.
    pub(super) fn start() -> Self {
        let mut authority = Self::absent(Asks::Nobody);
        authority.come();
        authority
    }

    /// One that cannot be reached yet.
    pub(super) fn absent(asks: Asks) -> Self {
        let scratch = Scratch::new();
        let ports = [(); 4].map(|()| Closed::bind());
        let at = |port: &Closed| port.address().to_string();
        let names = Program::start(
            Command::new("pebble-challtestsrv")
                .args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
                .args(["-dns01", &at(&ports[2]), "-management", &at(&ports[3])]),
        );
        until("the name server", || figures::is_listened_on(ports[3].address().tcp()));
        let words = ["cert", "self-signed", "localhost", "127.0.0.1", "--out"];
        let mut command = Command::new(REPLUG);
        Program::run(command.args(words).arg(scratch.path()));
        let proof = Closed::bind();
        Self {
            scratch,
            asks,
            program: None,
            names,
            ports,
            proof,
            seen: Cell::new(0),
            seconds: 90 * 86_400,
        }
    }

    /// From when it comes on, its certificates are valid for so long.
    pub(super) fn gives_seconds(&mut self, seconds: u32) {
        self.seconds = seconds;
    }

    /// It can be reached, and has forgotten everything.
    pub(super) fn come(&mut self) {
        let [own, management, names, _] = &self.ports;
        let accounts = match self.asks {
            Asks::Nobody => "false".to_owned(),
            Asks::ForAccount => format!(
                "true, \"externalAccountMACKeys\": {{ \"{ACCOUNT_ID}\": \"{ACCOUNT_KEY}\" }}"
            ),
        };
        let config = format!(
            "{{ \"pebble\": {{ \"listenAddress\": \"{}\", \"managementListenAddress\": \"{}\", \
             \"certificate\": \"{}\", \"privateKey\": \"{}\", \"httpPort\": 1, \"tlsPort\": {}, \
             \"certificateValidityPeriod\": {}, \"externalAccountBindingRequired\": {accounts} }} }}",
            own.address(),
            management.address(),
            self.path("localhost.pem"),
            self.path("localhost.key"),
            self.proof.address().port(),
            self.seconds,
        );
        let file = self.path("pebble.json");
        fs::write(&file, config).expect("a scratch file");
        let mut command = Command::new("pebble");
        command.args(["-config", &file, "-dnsserver", &names.address().to_string()]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        // What it has believed once it would not ask for again.
        command.env("PEBBLE_AUTHZREUSE", "0");
        self.program = Some(Program::start(&mut command));
        for port in [own, management] {
            until("the authority", || figures::is_listened_on(port.address().tcp()));
        }
        self.seen.set(0);
    }

    /// It cannot be reached any more.
    pub(super) fn go(&mut self) {
        self.program = None;
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        self.program.as_ref().expect("it runs").signal(signal);
    }

    /// The path of a file of its directory.
    pub(super) fn path(&self, name: &str) -> String {
        self.scratch.join(name)
    }

    /// Where names are proven.
    pub(super) fn proof(&self) -> &Address {
        self.proof.address()
    }

    /// What a listener says to have certificates for `names`, with `more` keys.
    pub(super) fn acme(&self, names: &[&str], more: &str) -> String {
        self.acme_at(&self.ports[0].address().port().to_string(), names, more)
    }

    /// The same with somebody else at `port` for the authority.
    pub(super) fn acme_at(&self, port: &str, names: &[&str], more: &str) -> String {
        format!(
            "acme = {{ names = {names:?}, email = \"ops@example.org\", ca = \"{}\", \
             directory = \"https://127.0.0.1:{port}/dir\", store = \"{}\"{more} }}",
            self.path("localhost.pem"),
            self.store(),
        )
    }

    /// The folder that replug keeps everything in.
    pub(super) fn store(&self) -> String {
        self.path("store")
    }

    /// The files of the store, in the order of their names, without the lock.
    pub(super) fn kept(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder()) else { return Vec::new() };
        let name = |file: std::io::Result<fs::DirEntry>| {
            file.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = files.map(name).filter(|name| name != "_lock").collect();
        names.sort();
        names
    }

    /// The folder of this authority in the store.
    pub(super) fn folder(&self) -> String {
        let own = self.ports[0].address().to_string().replace(':', "_");
        format!("{}/{own}_dir", self.store())
    }

    /// A file with its own certificate, by which those that it gives are verified.
    pub(super) fn root(&self) -> String {
        let url = format!("https://{}/roots/0", self.ports[1].address());
        let lines = Program::run(Command::new("curl").args(["-sfk", "--max-time", "20", &url]));
        let file = self.path("root.pem");
        fs::write(&file, lines.join("\n") + "\n").expect("a scratch file");
        file
    }

    /// How many orders have come since it was asked last.
    pub(super) fn new_orders(&self) -> usize {
        let Some(program) = &self.program else { return 0 };
        let is_order = |line: &&String| line.contains("POST /order-plz");
        let all = program.stdout().so_far().iter().filter(is_order).count();
        all - self.seen.replace(all)
    }

    /// From now on all names are at `address`.
    pub(super) fn all_names_are_at(&self, address: &str) {
        let url = format!("http://{}/set-default-ipv4", self.ports[3].address());
        let body = format!("{{\"ip\":\"{address}\"}}");
        Program::run(Command::new("curl").args(["-sf", "--max-time", "20", "-d", &body, &url]));
        assert!(!self.names.to_string().is_empty());
    }
}
