//! Process groups: each candidate runs in its own, so that its children are counted and stopped with it.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// A running program and its children; dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    /// Starts `command` in a group of its own; what it writes goes to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot start.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let log = File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(Self { child: command.spawn()? })
    }

    /// The number of the group.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How the program ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_process_group(self.id(), Signal::KILL);
        drop(self.child.wait());
    }
}

/// Clock ticks that the processes of a group and children they waited for have used.
pub(crate) fn cpu_ticks(group: Pid) -> u64 {
    members(group).iter().map(|member| member.ticks).sum()
}

/// Bytes of memory of a group's processes, shared pages divided among their users (`Pss`).
pub(crate) fn pss(group: Pid) -> u64 {
    let sizes = members(group).into_iter().filter_map(|member| {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", member.pid)).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    sizes.sum::<u64>() * 1024
}

struct Member {
    pid: u32,
    ticks: u64,
}

fn members(group: Pid) -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (its_group, ticks) = group_and_ticks(&stat)?;
        (its_group == group.as_raw_nonzero().get()).then_some(Member { pid, ticks })
    })
    .collect()
}

/// Group and used ticks (own and of children waited for) in a line of `/proc/PID/stat`.
fn group_and_ticks(stat: &str) -> Option<(i32, u64)> {
    // The name of the program is in parentheses and may contain anything, so start after the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let group = fields.get(2)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((group, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_after_the_name() {
        let line = "7 (a) b) S 1 42 3 0 -1 4 0 0 0 0 10 20 30 40 20 0";
        assert_eq!(group_and_ticks(line), Some((42, 100)));
    }

    #[test]
    fn a_group_ends_with_its_children() {
        let log = std::env::temp_dir().join(format!("bench-group-{}", std::process::id()));
        let mut shell = Command::new("sh");
        let group = Group::start(shell.args(["-c", "sleep 100 & sleep 100; :"]), &log).unwrap();
        let id = group.id();
        while members(id).len() < 3 {
            std::thread::yield_now();
        }
        assert!(pss(id) > 0);
        drop(group);
        while members(id).iter().any(|member| alive(member.pid)) {
            std::thread::yield_now();
        }
        fs::remove_file(log).unwrap();
    }

    fn alive(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }
}
