//! Servers that show certificates, and replug in front of them.

use std::process::Command;

use rig::{Address, Forwarder, Program};

use super::certificates::Certificates;
use crate::file;

/// A server of `servers.py`; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) address: Address,
}

impl Server {
    /// One that shows the certificate `name`.
    #[track_caller]
    pub(crate) fn start(kind: &str, of: &Certificates, name: &str, options: &[&str]) -> Self {
        const SCRIPT: &str =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls_backend/servers.py");

        let [pem, key] = ["pem", "key"].map(|end| of.path(&format!("{name}.{end}")));
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-u", SCRIPT, kind, &pem, &key]).args(options);
        let program = Program::start(&mut command);
        let line = program.stdout().expect("PORT ");
        let port = line.trim_start_matches("PORT ").parse().expect("it prints its port");
        let address = Address::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        Self { program, address }
    }
}

/// replug before `backends` (a list of TOML), with `tls` for them, and more keys of the pool.
#[track_caller]
pub(crate) fn before(backends: &str, tls: &str, more: &str) -> Forwarder {
    file::start(&configured(backends, tls, more), 1)
}

pub(crate) fn configured(backends: &str, tls: &str, more: &str) -> String {
    format!(
        "[listener.in]\nbind = \"127.0.0.1:0\"\npool = \"out\"\n\
         [pool.out]\nbackends = {backends}\ntls = {{ {tls} }}\n{more}\n"
    )
}

/// The list of one backend.
pub(crate) fn only(server: &Server) -> String {
    format!("\"{}\"", server.address)
}

/// `ca = ..., name = "db.example"`.
pub(crate) fn trusting(certificates: &Certificates) -> String {
    format!("ca = \"{}\", name = \"db.example\"", certificates.path("ca.pem"))
}
