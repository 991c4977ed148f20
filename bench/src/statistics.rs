//! Medians, and ratios round by round: candidates of one round ran within seconds of each other, so what
//! disturbed the machine for longer cancels out.

use crate::candidate::Role;
use crate::sample::{Datagrams, Sample};
use crate::scenario::Scenario;

/// A median and how far the rounds were from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// Spread of `values`; none without values.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => return None,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    };
    Some(Spread { median, min: sorted[0], max: sorted[sorted.len() - 1] })
}

/// All samples of one candidate in one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The candidate's name.
    pub(crate) name: String,
    /// The candidate's part.
    pub(crate) role: Role,
    /// One for each round.
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// Spread of what `of` takes from each sample.
    pub(crate) fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        spread(self.samples.iter().filter_map(of))
    }

    /// Spread of the ratio to `other` in the same round.
    pub(crate) fn ratio(
        &self,
        other: &Self,
        of: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let pairs = self.samples.iter().zip(&other.samples);
        spread(pairs.filter_map(|(own, other)| Some(of(own)? / of(other)?)))
    }

    /// Datagrams sent and lost in all rounds.
    pub(crate) fn datagrams(&self) -> Datagrams {
        let all = self.samples.iter().filter_map(|sample| sample.datagrams);
        all.fold(Datagrams::default(), |sum, one| Datagrams {
            sent: sum.sent + one.sent,
            lost: sum.lost + one.lost,
        })
    }

    /// Failures in all rounds.
    pub(crate) fn failures(&self) -> u64 {
        self.samples.iter().map(|sample| sample.failures).sum()
    }
}

/// All that was measured in one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// One for each candidate that took part.
    pub(crate) series: Vec<Series>,
}

impl Outcome {
    /// The peer with the best median of the scenario's value; one that failed is none.
    pub(crate) fn best_peer(&self) -> Option<&Series> {
        let lower = self.scenario.lower_is_better();
        self.best(|sample| sample.value, lower)
    }

    /// The peer with the lowest median of p99.
    pub(crate) fn best_tail(&self) -> Option<&Series> {
        self.best(|sample| sample.latency[1], true)
    }

    /// How many times better than `other` the values of `series` are, whichever way is better.
    pub(crate) fn times_better(&self, series: &Series, other: &Series) -> Option<Spread> {
        let Spread { median, min, max } = series.ratio(other, |sample| sample.value)?;
        Some(match self.scenario.lower_is_better() {
            true => Spread { median: 1.0 / median, min: 1.0 / max, max: 1.0 / min },
            false => Spread { median, min, max },
        })
    }

    /// The one without a forwarder.
    pub(crate) fn direct(&self) -> Option<&Series> {
        self.series.iter().find(|series| series.name == "direct")
    }

    fn best(&self, of: impl Fn(&Sample) -> Option<f64>, lower: bool) -> Option<&Series> {
        let peers = self.series.iter().filter(|series| series.role == Role::Peer);
        let fit = peers.filter(|series| series.failures() == 0);
        let medians = fit.filter_map(|series| Some((series, series.spread(&of)?.median)));
        let best = medians.max_by(|(_, a), (_, b)| {
            let order = a.total_cmp(b);
            if lower { order.reverse() } else { order }
        });
        best.map(|(series, _)| series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[f64], failures: u64) -> Series {
        let sample = |value: &f64| Sample { value: Some(*value), failures, ..Sample::default() };
        let role = if name == "replug" { Role::Replug } else { Role::Peer };
        Series { name: name.into(), role, samples: values.iter().map(sample).collect() }
    }

    #[test]
    fn medians() {
        let three = Spread { median: 2.0, min: 1.0, max: 9.0 };
        assert_eq!(spread([9.0, 1.0, 2.0]), Some(three));
        assert_eq!(spread([1.0, 4.0]).unwrap().median, 2.5);
        assert_eq!(spread([f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (own, other) =
            (series("replug", &[10.0, 40.0, 3.0], 0), series("b", &[5.0, 10.0, 1.0], 0));
        let ratio = own.ratio(&other, |sample| sample.value).unwrap();
        assert_eq!(ratio, Spread { median: 3.0, min: 2.0, max: 4.0 });
    }

    #[test]
    fn the_best_peer_has_not_failed() {
        let all = vec![
            series("replug", &[9.0], 0),
            series("slow", &[2.0], 0),
            series("fast", &[3.0], 0),
            series("lossy", &[8.0], 1),
        ];
        let mut outcome = Outcome { scenario: Scenario::Crr, series: all };
        assert_eq!(outcome.best_peer().unwrap().name, "fast");
        outcome.scenario = Scenario::Idle;
        assert_eq!(outcome.best_peer().unwrap().name, "slow");
    }
}
