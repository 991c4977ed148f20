//! One sample of one candidate: how it is taken, and what is in it.

use std::io;
use std::time::Duration;

use crate::candidate::{Stage, Started};
use crate::cost::Meter;
use crate::load::{self, Measured, Tally, connect, hold};
use crate::scenario::{IDLE, Scenario, Way, burst_size};
use crate::{memory, process};

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
    /// Datagrams that were sent and that were lost, if the scenario has any.
    pub(crate) datagrams: Option<Datagrams>,
    /// Operations that failed, bytes that differed.
    pub(crate) failures: u64,
    /// Failures that were bytes lost, added, changed or mixed up.
    pub(crate) damaged: u64,
    /// What the first of the failures was.
    pub(crate) first_failure: Option<String>,
}

/// What became of datagrams, on the way there and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Datagrams {
    /// Sent in the window.
    pub(crate) sent: u64,
    /// Of those, not back soon enough.
    pub(crate) lost: u64,
}

/// What all samples of a round have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// How long each sample counts.
    length: Duration,
    /// Datagrams a second of `udp-half`; 0 in other scenarios.
    rate: u32,
}

impl Round {
    /// Begins a round of samples of `length`; for `udp-half` it measures what is possible without a forwarder.
    ///
    /// # Errors
    /// When that cannot be measured.
    pub(crate) fn begin(scenario: Scenario, stage: &Stage, length: Duration) -> io::Result<Self> {
        let rate = match scenario {
            Scenario::UdpHalf => {
                let to = stage.backend(Way::Udp, 0);
                let groups = Scenario::UdpPps.groups(to, 0);
                let measured = load::measure(groups, &Meter { group: None }, length);
                half_rate(&measured)?
            }
            _ => 0,
        };
        Ok(Self { length, rate })
    }
}

fn half_rate(direct: &Measured) -> io::Result<u32> {
    let tally = &direct.tallies[0];
    if let Some(what) = &tally.first_failure {
        return Err(io::Error::other(format!("the backend alone: {what}")));
    }
    let half = u128::from(tally.operations) * 500 / direct.elapsed.as_millis().max(1);
    u32::try_from(half).map_err(io::Error::other)
}

impl Sample {
    /// Takes one sample of a running candidate; failures are in it.
    pub(crate) fn take(scenario: Scenario, stage: &Stage, started: &Started, round: Round) -> Self {
        let Started { running, .. } = started;
        let taken = running.enter().and_then(|()| match scenario {
            Scenario::Idle | Scenario::TlsIdleMemory => idle(stage, started),
            Scenario::Burst => connect::burst(running.target, burst_size()).map(|burst| {
                let value = rate(burst.tally.operations, burst.elapsed);
                let mut sample = Self { value, ..Self::default() };
                sample.count(&burst.tally);
                sample
            }),
            _ => {
                let groups = scenario.groups(running.target, round.rate);
                Ok(Self::from(scenario, &load::measure(groups, &running.meter(), round.length)))
            }
        });
        running.leave();
        taken.unwrap_or_else(|error| Self::failed(&error))
    }

    /// A sample that could not be taken.
    pub(crate) fn failed(error: &io::Error) -> Self {
        let mut tally = Tally::default();
        tally.fail(error);
        let mut sample = Self::default();
        sample.count(&tally);
        sample
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
        sample.extra = match scenario {
            Scenario::Fairness => gigabits(last, measured),
            Scenario::UdpHalf => rate(first.sent, measured.elapsed),
            _ => None,
        };
        let (counted, scale) = if scenario.is_bulk() { (last, 1e9) } else { (first, 1e6) };
        if counted.operations > 0 {
            let operations = float(counted.operations);
            let per = |time: Duration| time.as_secs_f64() * scale / operations;
            sample.system_cost = Some(per(measured.cost.system));
            sample.candidate_cost = measured.cost.candidate.map(per);
        }
        sample
    }

    fn count(&mut self, tally: &Tally) {
        if tally.sent > 0 {
            self.datagrams = Some(Datagrams { sent: tally.sent, lost: tally.lost });
        }
        self.failures += tally.failures;
        self.damaged += tally.damaged;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&tally.first_failure);
        }
        self.latency = [50.0, 99.0, 99.9].map(|percent| tally.microseconds(percent));
    }
}

/// Memory of idle sessions through an instance of its own, which has served nothing before.
fn idle(stage: &Stage, started: &Started) -> io::Result<Sample> {
    let Started { candidate, index, way, running } = started;
    let fresh;
    let (target, group) = match running.meter().group {
        None => (running.target, None),
        Some(_) => {
            fresh = stage.start(candidate, *index, *way)?;
            (fresh.target, fresh.meter().group)
        }
    };
    let user = || group.map(process::pss);
    let (user_before, kernel_before) = (user(), memory::kernel_objects());
    let sessions = hold::open(*way, target, IDLE.into())?;
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

fn rate(operations: u64, elapsed: Duration) -> Option<f64> {
    (operations > 0).then(|| float(operations) / elapsed.as_secs_f64())
}

/// `count` as a fraction.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a sample are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
