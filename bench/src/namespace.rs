//! A network namespace for one run: its own ports, sockets in TIME_WAIT, NAT rules and settings of TCP.
//!
//! This program makes it (root only), runs itself inside, waits, and removes it whatever happened.

use std::fs;
use std::io;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::load::pause;

/// Set for the process inside, to the name of the namespace.
const MARKER: &str = "REPLUG_BENCH_NAMESPACE";
/// What TCP is measured with: the algorithm most systems use.
const ALGORITHM: &str = "cubic";

/// Settings of the namespace: ports and queues for many short connections.
const SETTINGS: [(&str, &str); 6] = [
    ("net/ipv4/ip_local_port_range", "10000 65000"),
    ("net/core/somaxconn", "8192"),
    ("net/ipv4/tcp_max_syn_backlog", "16384"),
    ("net/ipv4/tcp_max_tw_buckets", "1000000"),
    ("net/ipv4/tcp_tw_reuse", "2"),
    ("net/ipv4/tcp_congestion_control", ALGORITHM),
];

/// Whether this process is the one inside.
pub(crate) fn inside() -> bool {
    std::env::var_os(MARKER).is_some()
}

/// A flag that is set when somebody wants the run to end.
///
/// # Errors
/// When a handler cannot be set.
pub(crate) fn ended_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Runs this program with the same arguments inside a namespace made for it.
///
/// # Errors
/// When the namespace cannot be made or the program not be run.
pub(crate) fn run_inside() -> io::Result<ExitCode> {
    // A namespace only takes an algorithm that the first one allows everybody; root may say so.
    let allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    let before = fs::read_to_string(allowed).unwrap_or_default();
    if !before.split_whitespace().any(|algorithm| algorithm == ALGORITHM) {
        drop(fs::write(allowed, format!("{} {ALGORITHM}", before.trim())));
    }
    let ended = ended_flag()?;
    let namespace = Namespace::new()?;
    let mut child = Command::new("ip")
        .args(["netns", "exec", &namespace.name])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARKER, &namespace.name)
        .spawn()?;
    let mut told = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !told && ended.load(Ordering::Relaxed) {
            told = true;
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        }
        pause(Duration::from_millis(50));
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let name = format!("bench{}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing is left inside, unless the process there was killed before it could end its children.
        if let Ok(output) = Command::new("ip").args(["netns", "pids", &self.name]).output() {
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                if let Some(pid) = line.trim().parse().ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
        drop(ip(&["netns", "del", &self.name]));
    }
}

/// Prepares the namespace from inside; returns what could not be set.
///
/// # Errors
/// When loopback cannot be brought up.
pub(crate) fn prepare() -> io::Result<Vec<String>> {
    ip(&["link", "set", "lo", "up"])?;
    let refused = SETTINGS.iter().filter_map(|(name, value)| {
        let error = fs::write(format!("/proc/sys/{name}"), value).err()?;
        Some(format!("{name} cannot be set to {value}: {error}"))
    });
    Ok(refused.collect())
}

/// The congestion control algorithm that new connections use.
pub(crate) fn algorithm() -> String {
    let name = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    name.unwrap_or_default().trim().to_owned()
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}
