//! CPU time: of the whole machine from `/proc/stat`, of a candidate from the processes of its group (proc(5)).
//!
//! The machine's busy time is what its CPUs were not idle: the kernel measures idle time by the clock, but
//! the kinds of busy time by looking at each tick, which misses short work that follows timers.
//!
//! The kernel does much of TCP in softirqs that it charges to whoever happened to run, so the figure for
//! the machine is the fair one; the candidate's own shows how much of it is visibly its own.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::process;

/// More than CPUs can have been idle before the clock started.
const START: Duration = Duration::from_secs(1 << 40);

/// CPU time up to a moment, or between two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Busy time of all CPUs, interrupts included, without time stolen by the hypervisor.
    pub(crate) system: Duration,
    /// User and system time of the candidate's processes, with children they have waited for.
    pub(crate) candidate: Option<Duration>,
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let candidate = self.candidate.zip(before.candidate).map(|(a, b)| a.saturating_sub(b));
        Self { system: self.system.saturating_sub(before.system), candidate }
    }
}

/// Reads CPU times for one candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    /// The process group of the candidate, if it has one.
    pub(crate) group: Option<rustix::process::Pid>,
}

impl Meter {
    /// CPU time used so far.
    pub(crate) fn read(&self) -> Cost {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let now = clock_gettime(ClockId::Monotonic);
        let (seconds, rest) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        let now = Duration::new(seconds, u32::try_from(rest).expect("below 10^9"));
        let (cpus, idle) = cpus_and_idle(&stat);
        let candidate = self.group.map(|group| ticks(process::cpu_ticks(group)));
        // Any start does, as only differences are used; this one keeps the difference positive.
        let system = (START + now * cpus).saturating_sub(ticks(idle));
        Cost { system, candidate }
    }
}

/// Number of CPUs, and ticks in which they were idle, waited for disks or were not there (idle, iowait,
/// steal) from `/proc/stat`.
fn cpus_and_idle(stat: &str) -> (u32, u64) {
    let mut lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    let fields: Vec<u64> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let idle = [3, 4, 7].iter().filter_map(|index| fields.get(*index)).sum();
    (u32::try_from(lines.count()).unwrap_or(u32::MAX), idle)
}

fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let stat = "cpu  1 2 4 1000 100 8 16 10 0 0\ncpu0 9 9 9\ncpu1 9 9 9\nintr 7\n";
        assert_eq!(cpus_and_idle(stat), (2, 1110));
        assert_eq!(cpus_and_idle(""), (0, 0));
    }

    #[test]
    fn work_is_seen() {
        let meter = Meter { group: None };
        let before = meter.read();
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(100) {}
        let used = meter.read() - before;
        assert!(used.system > Duration::from_millis(40), "{used:?}");
    }
}
