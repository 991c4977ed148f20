//! What a process uses, from `/proc` (proc(5)).

use std::fs;
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

#[track_caller]
fn entries(pid: u32, folder: &str) -> Vec<String> {
    let path = format!("/proc/{pid}/{folder}");
    fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
