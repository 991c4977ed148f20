//! Tables for people.

use std::fmt::Write as _;

use crate::candidate::Role;
use crate::goal;
use crate::sample::{Datagrams, Sample, float};
use crate::statistics::{Outcome, Series, Spread};

/// One scenario as an aligned table.
pub(crate) fn table(outcome: &Outcome) -> String {
    let scenario = outcome.scenario;
    let mut text = format!("{}: {}", scenario.name(), scenario.title());
    if scenario.lower_is_better() {
        text.push_str("; lower is better");
    }
    if let Some(best) = outcome.best_peer() {
        write!(text, "; best peer: {}", best.name).expect("a String takes everything");
    }
    text.push('\n');
    let cost = scenario.cost_unit();
    let head = [
        "",
        scenario.unit(),
        "x best peer",
        "x direct",
        &format!("cpu {cost}"),
        "x best",
        &format!("own {cost}"),
        "p50 us",
        "p99 us",
        "x best p99",
        "p99.9 us",
        "extra",
        "lost",
        "failed",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(outcome.series.iter().map(|series| row(outcome, series)));
    text.push_str(&aligned(rows));
    for verdict in goal::verdicts(outcome) {
        writeln!(text, "  verdict: {verdict}").expect("a String takes everything");
    }
    for series in &outcome.series {
        if let Some(what) = series.samples.iter().find_map(|sample| sample.first_failure.as_ref()) {
            writeln!(text, "  {} failed: {what}", series.name).expect("a String takes everything");
        }
    }
    text
}

fn row(outcome: &Outcome, series: &Series) -> Vec<String> {
    let best = outcome.best_peer();
    let against = |other: Option<&Series>, of: fn(&Sample) -> Option<f64>| {
        other.and_then(|other| series.ratio(other, of))
    };
    let median = |of: fn(&Sample) -> Option<f64>| figure(series.spread(of));
    let mark = if series.role == Role::Limit { " (limit)" } else { "" };
    vec![
        format!("{}{mark}", series.name),
        median(|sample| sample.value),
        ratio(against(best, |sample| sample.value)),
        ratio(against(outcome.direct(), |sample| sample.value)),
        median(|sample| sample.system_cost),
        short_ratio(against(best, |sample| sample.system_cost)),
        median(|sample| sample.candidate_cost),
        median(|sample| sample.latency[0]),
        median(|sample| sample.latency[1]),
        short_ratio(against(outcome.best_tail(), |sample| sample.latency[1])),
        median(|sample| sample.latency[2]),
        median(|sample| sample.extra),
        lost(series),
        match series.failures() {
            0 => String::new(),
            failures => failures.to_string(),
        },
    ]
}

/// Datagrams lost in all rounds, and which part of those sent that is.
fn lost(series: &Series) -> String {
    let Datagrams { sent, lost } = series.datagrams();
    match (lost, sent) {
        (_, 0) => String::new(),
        (0, _) => "0".into(),
        (lost, sent) => format!("{lost} ({:.3} %)", float(lost) * 100.0 / float(sent)),
    }
}

fn figure(spread: Option<Spread>) -> String {
    match spread.map(|spread| spread.median) {
        None => String::new(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |Spread { median, min, max }| {
        format!("{median:.2} [{min:.2}..{max:.2}]")
    })
}

fn short_ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |spread| format!("{:.2}", spread.median))
}

/// Rows with every column as wide as it needs to be; columns without a figure are left out.
fn aligned(rows: Vec<Vec<String>>) -> String {
    let columns = rows[0].len();
    let used = |column: usize| rows.iter().skip(1).any(|row| !row[column].is_empty());
    let widths: Vec<(usize, usize)> = (0..columns)
        .filter(|column| used(*column))
        .map(|column| (column, rows.iter().map(|row| row[column].len()).max().unwrap_or(0)))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, width) in &widths {
            let cell = &row[*column];
            let padding = " ".repeat(width - cell.len());
            line.push_str("  ");
            match column {
                0 => line.extend([cell.as_str(), &padding]),
                _ => line.extend([&padding, cell.as_str()]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_table_names_the_best_peer_and_leaves_out_empty_columns() {
        let sample = |value| Sample { value: Some(value), ..Sample::default() };
        let series = |name: &str, role, value| Series {
            name: name.into(),
            role,
            samples: vec![sample(value)],
        };
        let series = vec![
            series("replug", Role::Replug, 3000.0),
            series("other", Role::Peer, 1500.0),
            series("direct", Role::Limit, 6000.0),
        ];
        let text = table(&Outcome { scenario: Scenario::Crr, series });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("best peer: other"), "{text}");
        assert_eq!(lines[1].split_whitespace().last(), Some("direct"), "{text}");
        assert!(lines[2].contains("2.00 [2.00..2.00]  0.50 [0.50..0.50]"), "{text}");
        assert!(lines[4].starts_with("  direct (limit)"), "{text}");
        assert!(lines[5].starts_with("  verdict: replug is 2.000 "), "{text}");
    }
}
