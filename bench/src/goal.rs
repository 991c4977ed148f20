//! What replug is meant to reach, as data, and whether it did.

use std::fmt;

use crate::candidate::Role;
use crate::sample::Datagrams;
use crate::scenario::Scenario;
use crate::statistics::{Outcome, Series, Spread};

/// What is meant to be reached in a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// So many times better than the best peer, at the median of the rounds.
    Times(f64),
    /// Every datagram comes back.
    NothingLost,
}

/// The goals; scenarios that are not here have none.
const GOALS: [(Scenario, Goal); 17] = [
    (Scenario::Rr64, Goal::Times(1.12)),
    (Scenario::Bulk1Up, Goal::Times(1.05)),
    (Scenario::Bulk1Down, Goal::Times(1.05)),
    (Scenario::Bulk16Up, Goal::Times(1.05)),
    (Scenario::Bulk16Down, Goal::Times(1.05)),
    (Scenario::Crr, Goal::Times(1.05)),
    (Scenario::Sni, Goal::Times(1.1)),
    (Scenario::TlsIdleMemory, Goal::Times(1.67)),
    (Scenario::TlsHandshake, Goal::Times(1.3)),
    (Scenario::TlsBulk1Up, Goal::Times(1.1)),
    (Scenario::TlsBulk1Down, Goal::Times(1.1)),
    (Scenario::TlsBulk16Up, Goal::Times(1.1)),
    (Scenario::TlsBulk16Down, Goal::Times(1.1)),
    (Scenario::UdpRr, Goal::Times(1.2)),
    (Scenario::UdpPps, Goal::Times(1.2)),
    (Scenario::UdpPpsLarge, Goal::Times(1.2)),
    (Scenario::UdpHalf, Goal::NothingLost),
];

/// What a change keeps of what was before, where two replugs are compared.
const KEPT: Goal = Goal::Times(0.97);

/// What Lua keeps of what routes do.
const KEPT_BY_LUA: Goal = Goal::Times(0.95);

/// How one replug did in a scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// The replug.
    pub(crate) name: String,
    /// What was found.
    pub(crate) finding: Finding,
    /// What was meant to be found.
    pub(crate) goal: Option<Goal>,
}

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// So many times better than another one.
    Times {
        /// The other one.
        than: String,
        /// How many times.
        times: Spread,
    },
    /// Datagrams that did and did not come back.
    Datagrams(Datagrams),
    /// No peer took part that could be compared with.
    Alone,
    /// Operations failed, so the rest means nothing.
    Failed(u64),
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// In every round.
    Always,
    /// At the median of the rounds.
    Median,
    /// In some rounds, not at the median.
    Sometimes,
    /// In no round.
    Never,
}

/// One verdict for each replug against the best peer, and one for each but the first against the first.
pub(crate) fn verdicts(outcome: &Outcome) -> Vec<Verdict> {
    let goal = GOALS.iter().find(|(scenario, _)| *scenario == outcome.scenario);
    let goal = goal.map(|(_, goal)| *goal);
    let replugs: Vec<&Series> =
        outcome.series.iter().filter(|series| series.role == Role::Replug).collect();
    let to_peers = replugs.iter().map(|series| {
        let finding = match (goal, outcome.best_peer()) {
            (Some(Goal::NothingLost), _) => Finding::Datagrams(series.datagrams()),
            (_, Some(best)) => times(outcome, series, best),
            (_, None) => Finding::Alone,
        };
        verdict(series, finding, goal)
    });
    let kept = match outcome.scenario {
        Scenario::ScriptLua => Some(KEPT_BY_LUA),
        Scenario::ScriptRuby => None,
        _ => Some(KEPT),
    };
    let to_first = replugs
        .iter()
        .skip(1)
        .map(|series| verdict(series, times(outcome, series, replugs[0]), kept));
    to_peers.chain(to_first).collect()
}

fn times(outcome: &Outcome, series: &Series, than: &Series) -> Finding {
    match outcome.times_better(series, than) {
        Some(times) => Finding::Times { than: than.name.clone(), times },
        None => Finding::Alone,
    }
}

fn verdict(series: &Series, finding: Finding, goal: Option<Goal>) -> Verdict {
    let finding = match series.failures() {
        0 => finding,
        failures => Finding::Failed(failures),
    };
    Verdict { name: series.name.clone(), finding, goal }
}

impl Verdict {
    /// Whether the goal was reached; none without a goal or a comparison.
    pub(crate) fn reached(&self) -> Option<Reached> {
        match (&self.finding, self.goal?) {
            (Finding::Times { times, .. }, Goal::Times(least)) => Some(match times {
                Spread { min, .. } if *min >= least => Reached::Always,
                Spread { median, .. } if *median >= least => Reached::Median,
                Spread { max, .. } if *max >= least => Reached::Sometimes,
                _ => Reached::Never,
            }),
            (Finding::Datagrams(Datagrams { sent: 0, .. }), _) => None,
            (Finding::Datagrams(Datagrams { lost: 0, .. }), Goal::NothingLost) => {
                Some(Reached::Always)
            }
            (Finding::Failed(_), _) | (Finding::Datagrams(_), Goal::NothingLost) => {
                Some(Reached::Never)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, finding, goal } = self;
        match finding {
            Finding::Times { than, times: Spread { median, min, max } } => {
                write!(formatter, "{name} is {median:.3} [{min:.3}..{max:.3}] times {than}")?;
            }
            Finding::Datagrams(Datagrams { sent, lost }) => {
                write!(formatter, "{name} lost {lost} of {sent} datagrams")?;
            }
            Finding::Alone => write!(formatter, "{name} has no peer to be compared with")?,
            Finding::Failed(failures) => write!(formatter, "{name} failed {failures} times")?,
        }
        match goal {
            Some(Goal::Times(least)) => write!(formatter, "; goal {least}: ")?,
            Some(Goal::NothingLost) => write!(formatter, "; goal 0: ")?,
            None => return Ok(()),
        }
        formatter.write_str(match self.reached() {
            Some(Reached::Always) => "met in every round",
            Some(Reached::Median) => "met at the median",
            Some(Reached::Sometimes) => "missed at the median, met in some rounds",
            Some(Reached::Never) => "missed",
            None => "open",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn series(name: &str, role: Role, values: &[f64]) -> Series {
        let sample = |value: &f64| Sample { value: Some(*value), ..Sample::default() };
        Series { name: name.into(), role, samples: values.iter().map(sample).collect() }
    }

    fn lines(outcome: &Outcome) -> Vec<String> {
        verdicts(outcome).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_replug_is_held_against_the_best_peer_and_the_first_replug() {
        let all = vec![
            series("old", Role::Replug, &[10.5, 10.6, 10.7]),
            series("new", Role::Replug, &[11.0, 10.5, 8.0]),
            series("slow", Role::Peer, &[1.0, 1.0, 1.0]),
            series("fast", Role::Peer, &[10.0, 10.0, 10.0]),
        ];
        let expected = [
            "old is 1.060 [1.050..1.070] times fast; goal 1.05: met in every round",
            "new is 1.050 [0.800..1.100] times fast; goal 1.05: met at the median",
            "new is 0.991 [0.748..1.048] times old; goal 0.97: met at the median",
        ];
        let mut outcome = Outcome { scenario: Scenario::Crr, series: all };
        assert_eq!(lines(&outcome), expected);
        outcome.scenario = Scenario::Rr64;
        assert!(lines(&outcome)[0].ends_with("goal 1.12: missed"));
        outcome.scenario = Scenario::Fairness;
        assert_eq!(lines(&outcome)[0], "old is 1.060 [1.050..1.070] times fast");
        outcome.scenario = Scenario::Idle;
        assert_eq!(lines(&outcome)[0], "old is 0.094 [0.093..0.095] times slow");
    }

    #[test]
    fn nothing_may_be_lost_at_half_the_rate() {
        let mut replug = series("replug", Role::Replug, &[1.0]);
        replug.samples[0].datagrams = Some(Datagrams { sent: 9, lost: 0 });
        let mut outcome = Outcome { scenario: Scenario::UdpHalf, series: vec![replug] };
        assert_eq!(lines(&outcome), ["replug lost 0 of 9 datagrams; goal 0: met in every round"]);
        outcome.series[0].samples[0].datagrams = Some(Datagrams { sent: 9, lost: 1 });
        assert_eq!(lines(&outcome), ["replug lost 1 of 9 datagrams; goal 0: missed"]);
        outcome.series[0].samples[0].failures = 2;
        assert_eq!(lines(&outcome), ["replug failed 2 times; goal 0: missed"]);
    }

    #[test]
    fn without_a_peer_a_goal_stays_open() {
        let alone = vec![series("replug", Role::Replug, &[1.0])];
        let outcome = Outcome { scenario: Scenario::Crr, series: alone };
        assert_eq!(lines(&outcome), ["replug has no peer to be compared with; goal 1.05: open"]);
    }
}
