//! Kernel NAT of a loopback port, as a limit: an nftables table in the output hook of this namespace.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::scenario::Way;

/// The table's name; only this run's namespace has it.
const TABLE: &str = "ip replug_bench";

/// A rule that sends one port to another, not installed yet.
#[derive(Debug)]
pub(crate) struct Nat {
    rules: String,
}

impl Nat {
    /// Rules that redirect `listen` to `backend` on 127.0.0.1.
    pub(crate) fn new(way: Way, listen: u16, backend: u16) -> Self {
        let protocol = if way == Way::Udp { "udp" } else { "tcp" };
        let rule = format!("ip daddr 127.0.0.1 {protocol} dport {listen} redirect to :{backend}");
        let chain = "type nat hook output priority -100;";
        Self { rules: format!("table {TABLE} {{\nchain output {{\n{chain}\n{rule}\n}}\n}}\n") }
    }

    /// Gives the rules to the kernel.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub(crate) fn install(&self) -> io::Result<()> {
        nft(&self.rules)?;
        // Else the table of connections fills up with closed ones.
        drop(fs::write("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", "1"));
        Ok(())
    }

    /// Takes the rules back.
    pub(crate) fn remove(&self) {
        drop(nft(&format!("delete table {TABLE}\n")));
    }
}

fn nft(rules: &str) -> io::Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().expect("stdin is piped").write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
