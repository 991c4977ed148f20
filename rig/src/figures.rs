//! What a process uses, and what the kernel knows of a socket, from `/proc` (proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// CPU time of all its threads that still run, user and system.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn cpu_time(pid: u32) -> Duration {
    let nanoseconds = entries(pid, "task")
        .iter()
        // A thread may end between the listing and the reading.
        .filter_map(|thread| {
            fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()
        })
        .map(|text| {
            let first = text.split_whitespace().next().expect("schedstat has three numbers");
            first.parse::<u64>().expect("schedstat holds numbers")
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Bytes of its memory, without the pages of files (`Pss_Anon`, proc(5)): its share in those grows when
/// somebody else who runs the same program ends.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn memory(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line =
        text.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("proc(5) has it");
    let kibibytes: u64 =
        line.trim().trim_end_matches(" kB").parse().expect("proc(5) says how it looks");
    kibibytes * 1024
}

/// Descriptors that are open.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn descriptors(pid: u32) -> usize {
    entries(pid, "fd").len()
}

/// Descriptors that are pipes; each pipe counts twice.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn pipes(pid: u32) -> usize {
    entries(pid, "fd")
        .iter()
        .filter_map(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok())
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .count()
}

/// Whether anybody listens on this address. TCP over IPv4 only. Unlike connecting, looking leaves
/// no trace.
///
/// # Panics
/// When the address is none of IPv4.
#[track_caller]
pub fn is_listened_on(address: SocketAddr) -> bool {
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    tcp_socket(address, nobody).is_some()
}

/// The line of the connection between these two, seen from the first.
#[track_caller]
pub(crate) fn tcp_socket(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let ends = format!("{} {}", listed(local), listed(remote));
    // What this thread sees: it may be in a network of its own.
    let list = fs::read_to_string("/proc/thread-self/net/tcp");
    let list = list.expect("/proc/thread-self/net/tcp can be read");
    list.lines().find(|line| line.contains(&ends)).map(str::to_owned)
}

/// As `/proc/net/tcp` writes it: the address as the number it is in memory, then the port.
#[track_caller]
fn listed(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else {
        panic!("{address} is not in /proc/net/tcp");
    };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())
}

#[track_caller]
fn entries(pid: u32, folder: &str) -> Vec<String> {
    let path = format!("/proc/{pid}/{folder}");
    fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
