//! What is measured, and how one sample of it is taken.

use std::io;

use clap::ValueEnum;

use crate::candidate::{Candidate, Running, Stage};
use crate::load::bulk::Direction;
use crate::load::{self, Measured, Tally, Worker, bulk, closed, connect, hold, open};
use crate::{memory, process};

/// Connections of the scenarios with many.
const MANY: usize = 64;
/// Flows of the scenarios with many.
const FLOWS: usize = 16;
/// Sessions that `idle` holds.
const IDLE: u16 = 3000;
/// Requests in each second of `latency`.
const RATE: u32 = 5000;

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Memory of sessions that do nothing. First, while the kernel's caches are as they were.
    Idle,
    /// Request-reply of one byte on one connection.
    Rr1,
    /// Request-reply of one byte on 64 connections.
    Rr64,
    /// Request-reply of one byte on 1,000 connections.
    Rr1000,
    /// Request-reply of 1 KiB on 64 connections.
    #[value(name = "rr64-1k")]
    Rr64Kib,
    /// Latency at a fixed rate.
    Latency,
    /// One flow to the backend.
    #[value(name = "bulk1-up")]
    Bulk1Up,
    /// One flow to the client.
    #[value(name = "bulk1-down")]
    Bulk1Down,
    /// Sixteen flows to the backend.
    #[value(name = "bulk16-up")]
    Bulk16Up,
    /// Sixteen flows to the client.
    #[value(name = "bulk16-down")]
    Bulk16Down,
    /// One connection with request-reply beside sixteen flows.
    Fairness,
    /// Thousands of connects at once.
    Burst,
    /// Connect, one byte each way, close.
    Crr,
}

impl Scenario {
    /// What options and tables call it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no scenario is hidden");
        value.get_name().to_owned()
    }

    /// A line about it.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Idle => format!(
                "memory of each of {IDLE} idle sessions (extra: KiB of the kernel beyond direct)"
            ),
            Self::Rr1 => "request-reply, 1 connection, 1 byte".into(),
            Self::Rr64 => format!("request-reply, {MANY} connections, 1 byte"),
            Self::Rr1000 => "request-reply, 1000 connections, 1 byte".into(),
            Self::Rr64Kib => format!("request-reply, {MANY} connections, 1 KiB"),
            Self::Latency => format!("latency, {RATE} requests a second on {MANY} connections"),
            Self::Bulk1Up => "bulk, 1 flow to the backend".into(),
            Self::Bulk1Down => "bulk, 1 flow to the client".into(),
            Self::Bulk16Up => format!("bulk, {FLOWS} flows to the backend"),
            Self::Bulk16Down => format!("bulk, {FLOWS} flows to the client"),
            Self::Fairness => {
                format!("1 connection beside {FLOWS} bulk flows to the client (extra: Gbit/s)")
            }
            Self::Burst => format!("{} connects at once, until all were served", burst_size()),
            Self::Crr => format!("connect, 1 byte each way, close; {MANY} at a time"),
        }
    }

    /// What the value of a sample is in.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Idle => "KiB",
            Self::Latency => "us p50",
            Self::Bulk1Up | Self::Bulk1Down | Self::Bulk16Up | Self::Bulk16Down => "Gbit/s",
            Self::Burst | Self::Crr => "conn/s",
            Self::Rr1 | Self::Rr64 | Self::Rr1000 | Self::Rr64Kib | Self::Fairness => "req/s",
        }
    }

    /// What CPU time is divided by.
    pub(crate) fn cost_unit(self) -> &'static str {
        if self.is_bulk() { "s/GB" } else { "us/op" }
    }

    /// Whether a smaller value is the better one.
    pub(crate) fn lower_is_better(self) -> bool {
        matches!(self, Self::Idle | Self::Latency)
    }

    /// Whether a candidate takes part; not those that would need thousands of processes.
    pub(crate) fn suits(self, candidate: &Candidate) -> bool {
        !(candidate.forks() && matches!(self, Self::Rr1000 | Self::Idle | Self::Burst))
    }

    fn is_bulk(self) -> bool {
        matches!(self.unit(), "Gbit/s") || self == Self::Fairness
    }

    fn groups(self, running: &Running) -> Vec<Vec<Worker>> {
        let to = running.target;
        match self {
            Self::Rr1 => vec![closed::workers(to, 1, 1)],
            Self::Rr64 => vec![closed::workers(to, MANY, 1)],
            Self::Rr1000 => vec![closed::workers(to, 1000, 1)],
            Self::Rr64Kib => vec![closed::workers(to, MANY, 1024)],
            Self::Latency => vec![open::workers(to, MANY, RATE)],
            Self::Bulk1Up => vec![bulk::workers(to, 1, Direction::Up)],
            Self::Bulk1Down => vec![bulk::workers(to, 1, Direction::Down)],
            Self::Bulk16Up => vec![bulk::workers(to, FLOWS, Direction::Up)],
            Self::Bulk16Down => vec![bulk::workers(to, FLOWS, Direction::Down)],
            Self::Fairness => {
                vec![closed::workers(to, 1, 1), bulk::workers(to, FLOWS, Direction::Down)]
            }
            Self::Crr => vec![connect::workers(to, MANY)],
            Self::Idle | Self::Burst => Vec::new(),
        }
    }
}

/// Connects of `burst`: 5,000 where a process may have both ends of them open, else 2,000.
fn burst_size() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if limit.is_none_or(|limit| limit >= 16_000) { 5000 } else { 2000 }
}

/// One measurement of one candidate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// In the unit of the scenario; missing when nothing could be measured.
    pub(crate) value: Option<f64>,
    /// Microseconds that 50 %, 99 % and 99.9 % of the operations did not exceed.
    pub(crate) latency: [Option<f64>; 3],
    /// CPU time of the machine for one operation.
    pub(crate) system_cost: Option<f64>,
    /// CPU time of the candidate's processes for one operation.
    pub(crate) candidate_cost: Option<f64>,
    /// A second value, if the scenario has one (see its title).
    pub(crate) extra: Option<f64>,
    /// Operations that failed, bytes that differed.
    pub(crate) failures: u64,
    /// Failures that were bytes lost, added, changed or mixed up.
    pub(crate) damaged: u64,
    /// What the first of the failures was.
    pub(crate) first_failure: Option<String>,
}

impl Sample {
    /// Takes one sample of a running candidate; failures are in it.
    pub(crate) fn take(
        scenario: Scenario,
        stage: &Stage,
        (candidate, index): (&Candidate, u8),
        running: &Running,
        length: std::time::Duration,
    ) -> Self {
        let taken = running.enter().and_then(|()| match scenario {
            Scenario::Idle => idle(stage, candidate, index, running),
            Scenario::Burst => connect::burst(running.target, burst_size()).map(|burst| {
                let value = rate(burst.tally.operations, burst.elapsed);
                let mut sample = Self { value, ..Self::default() };
                sample.count(&burst.tally);
                sample
            }),
            _ => {
                let groups = scenario.groups(running);
                Ok(Self::from(scenario, &load::measure(groups, &running.meter(), length)))
            }
        });
        running.leave();
        taken.unwrap_or_else(|error| {
            let mut tally = Tally::default();
            tally.fail(&error);
            let mut sample = Self::default();
            sample.count(&tally);
            sample
        })
    }

    fn from(scenario: Scenario, measured: &Measured) -> Self {
        let mut sample = Self::default();
        let first = &measured.tallies[0];
        let last = measured.tallies.last().expect("every scenario has a group");
        sample.value = match scenario.unit() {
            "Gbit/s" => gigabits(first, measured),
            "us p50" => first.microseconds(50.0),
            _ => rate(first.operations, measured.elapsed),
        };
        for tally in &measured.tallies {
            sample.count(tally);
        }
        if first.operations == 0 && sample.failures == 0 {
            sample.failures = 1;
            sample.first_failure = Some("nothing completed".into());
        }
        sample.latency = [50.0, 99.0, 99.9].map(|percent| first.microseconds(percent));
        if scenario == Scenario::Fairness {
            sample.extra = gigabits(last, measured);
        }
        let (counted, scale) = if scenario.is_bulk() { (last, 1e9) } else { (first, 1e6) };
        if counted.operations > 0 {
            let operations = float(counted.operations);
            let per = |time: std::time::Duration| time.as_secs_f64() * scale / operations;
            sample.system_cost = Some(per(measured.cost.system));
            sample.candidate_cost = measured.cost.candidate.map(per);
        }
        sample
    }

    fn count(&mut self, tally: &Tally) {
        self.failures += tally.failures;
        self.damaged += tally.damaged;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&tally.first_failure);
        }
        self.latency = [50.0, 99.0, 99.9].map(|percent| tally.microseconds(percent));
    }
}

/// Memory of idle sessions through an instance of its own, which has served nothing before.
fn idle(stage: &Stage, candidate: &Candidate, index: u8, running: &Running) -> io::Result<Sample> {
    let fresh;
    let (target, group) = match running.meter().group {
        None => (running.target, None),
        Some(_) => {
            fresh = stage.start(candidate, index)?;
            (fresh.target, fresh.meter().group)
        }
    };
    let user = || group.map(process::pss);
    let (user_before, kernel_before) = (user(), memory::kernel_objects());
    let sessions = hold::open(target, IDLE.into())?;
    let (user_after, kernel_after) = (user(), memory::kernel_objects());
    drop(sessions);
    let each = |after: u64, before: u64| (float(after) - float(before)) / 1024.0 / f64::from(IDLE);
    Ok(Sample {
        value: user_after.zip(user_before).map(|(after, before)| each(after, before)),
        extra: Some(each(kernel_after, kernel_before)),
        ..Sample::default()
    })
}

fn gigabits(tally: &Tally, measured: &Measured) -> Option<f64> {
    rate(tally.operations, measured.elapsed).map(|bytes| bytes * 8.0 / 1e9)
}

fn rate(operations: u64, elapsed: std::time::Duration) -> Option<f64> {
    (operations > 0).then(|| float(operations) / elapsed.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a sample are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
