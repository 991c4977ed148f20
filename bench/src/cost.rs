//! CPU time: of the whole machine from `/proc/stat`, of a candidate from the processes of its group (proc(5)).
//!
//! The kernel does much of TCP in softirqs that it charges to whoever happened to run, so the figure for
//! the machine is the fair one; the candidate's own shows how much of it is visibly its own.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use crate::process;

/// CPU time up to a moment, or between two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Busy time of all CPUs: user, system and interrupts, without time stolen by the hypervisor.
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
        let candidate = self.group.map(|group| ticks(process::cpu_ticks(group)));
        Cost { system: ticks(busy(&stat)), candidate }
    }
}

/// Busy ticks in the first line of `/proc/stat`: user, nice, system, irq, softirq.
fn busy(stat: &str) -> u64 {
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    [0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum()
}

fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        assert_eq!(busy("cpu  1 2 4 1000 1000 8 16 1000 0 0\ncpu0 9 9 9"), 31);
        assert_eq!(busy(""), 0);
    }
}
