//! Results as a picture: for each scenario a bar for how many times better than the best peer replug is.

use std::fmt::Write as _;

use crate::candidate::Role;
use crate::statistics::{Outcome, Series, Spread};

/// Width of the picture.
const WIDTH: f64 = 800.0;
/// Where bars start and end; names are left of them.
const BARS: (f64, f64) = (150.0, 640.0);
/// Height of a row.
const ROW: f64 = 30.0;
/// Where the first row starts; the title is above.
const TOP: f64 = 66.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-size:16px;font-weight:600}.faint{fill:#6e7781;font-size:12px}\
.better{fill:#1a7f37}.worse{fill:#bc4c00}.one{stroke:#24292f;stroke-dasharray:3 3}\
.spread{stroke:#24292f;stroke-width:1.5}.back{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#8d96a0}.better{fill:#3fb950}\
.worse{fill:#f0883e}.one,.spread{stroke:#e6edf3}.back{fill:#0d1117}}";

/// A row: what is compared, with which peer, and how many times better it is.
struct Bar {
    label: String,
    peer: String,
    times: Spread,
}

/// The picture as SVG; `about` is a line on the machine and the day.
pub(crate) fn svg(outcomes: &[Outcome], about: &str) -> String {
    let bars: Vec<Bar> = outcomes.iter().flat_map(bars).collect();
    let most = bars.iter().map(|bar| bar.times.max).fold(1.25, f64::max);
    let scale = (BARS.1 - BARS.0) / most;
    let mut text = String::new();
    let mut top = TOP;
    for bar in &bars {
        draw(&mut text, bar, top, scale);
        top += ROW;
    }
    let one = BARS.0 + scale;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>replug compared with the best other forwarder</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"26\">Times better than the best other forwarder \
         of each scenario</text>\n<text class=\"faint\" x=\"16\" y=\"46\">{about}</text>\n\
         {text}<line class=\"one\" x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"{from:.1}\" \
         y2=\"{top:.1}\"/>\n<text class=\"faint\" x=\"{one:.1}\" y=\"{below:.1}\" \
         text-anchor=\"middle\">1.0 = as good as the best</text>\n</svg>\n",
        about = escaped(about),
        height = top + 28.0,
        from = TOP - 4.0,
        below = top + 16.0,
    )
}

/// One bar for each replug that was measured.
fn bars(outcome: &Outcome) -> Vec<Bar> {
    let Some(best) = outcome.best_peer() else { return Vec::new() };
    let judged: Vec<&Series> =
        outcome.series.iter().filter(|series| series.role == Role::Replug).collect();
    let bar = |series: &&Series| {
        let Spread { median, min, max } = series.ratio(best, |sample| sample.value)?;
        let times = match outcome.scenario.lower_is_better() {
            true => Spread { median: 1.0 / median, min: 1.0 / max, max: 1.0 / min },
            false => Spread { median, min, max },
        };
        let scenario = outcome.scenario.name();
        let label = match judged.len() {
            1 => scenario,
            _ => format!("{scenario} {}", series.name),
        };
        Some(Bar { label, peer: best.name.clone(), times })
    };
    judged.iter().filter_map(bar).collect()
}

fn draw(text: &mut String, bar: &Bar, top: f64, scale: f64) {
    let Bar { label, peer, times } = bar;
    let class = if times.median < 1.0 { "worse" } else { "better" };
    let (middle, baseline) = (top + ROW / 2.0, top + ROW / 2.0 + 4.5);
    let at = |times: f64| BARS.0 + times * scale;
    write!(
        text,
        "<text x=\"{name:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{label}</text>\n\
         <rect class=\"{class}\" x=\"{left:.1}\" y=\"{bar_top:.1}\" width=\"{width:.1}\" \
         height=\"{bar_height:.1}\" rx=\"2\"/>\n\
         <line class=\"spread\" x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{middle:.1}\" \
         y2=\"{middle:.1}\"/>\n\
         <text x=\"{figure:.1}\" y=\"{baseline:.1}\">{median:.2} <tspan class=\"faint\">\
         {peer}</tspan></text>\n",
        name = BARS.0 - 10.0,
        label = escaped(label),
        left = BARS.0,
        bar_top = top + 5.0,
        width = times.median * scale,
        bar_height = ROW - 10.0,
        min = at(times.min),
        max = at(times.max),
        figure = BARS.1 + 10.0,
        median = times.median,
        peer = escaped(peer),
    )
    .expect("a String takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use crate::scenario::Scenario;

    #[test]
    fn a_smaller_value_is_a_longer_bar_where_lower_is_better() {
        let series = |name: &str, role, value| Series {
            name: name.into(),
            role,
            samples: vec![Sample { value: Some(value), ..Sample::default() }],
        };
        let series = vec![series("a<b", Role::Replug, 2.0), series("c&d", Role::Peer, 5.0)];
        let idle = Outcome { scenario: Scenario::Idle, series: series.clone() };
        let crr = Outcome { scenario: Scenario::Crr, series };
        let picture = svg(&[idle, crr], "a & b");
        assert!(picture.contains(">2.50 <"), "{picture}");
        assert!(picture.contains(">0.40 <"), "{picture}");
        assert!(picture.contains("c&amp;d") && picture.contains("a &amp; b"), "{picture}");
    }
}
