//! Results as a picture: for each scenario a bar for how many times better than the best peer replug is, and
//! below it a thin one for each peer, measured with the same rule.

use std::fmt::Write as _;

use crate::candidate::Role;
use crate::statistics::{Outcome, Series, Spread};

/// Width of the picture.
const WIDTH: f64 = 800.0;
/// Where bars start and end; names are left of them.
const BARS: (f64, f64) = (150.0, 640.0);
/// Where the first row starts; the title and the legend are above.
const TOP: f64 = 88.0;
/// Height of a bar of replug and of a peer, and of the gap after a scenario.
const HEIGHTS: (f64, f64, f64) = (18.0, 5.0, 12.0);
/// Space between a bar and the next one.
const BETWEEN: f64 = 1.0;
/// Colours of the peers, by name, so that two charts agree; the last one is for all others.
const COLOURS: [(&str, &str); 7] = [
    ("haproxy", "#0969da"),
    ("haproxy-splice", "#54aeff"),
    ("nginx", "#8250df"),
    ("rinetd", "#bf3989"),
    ("redir", "#bf8700"),
    ("socat", "#6e7781"),
    ("", "#afb8c1"),
];
/// Width of an entry of the legend.
const ENTRY: f64 = 112.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-size:16px;font-weight:600}.faint{fill:#6e7781;font-size:12px}\
.better{fill:#1a7f37}.worse{fill:#bc4c00}.one{stroke:#24292f;stroke-dasharray:3 3}\
.spread{stroke:#24292f;stroke-width:1.5}.back{fill:#fff}.failed{opacity:.4}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#8d96a0}.better{fill:#3fb950}\
.worse{fill:#f0883e}.one,.spread{stroke:#e6edf3}.back{fill:#0d1117}}";

/// A candidate in a scenario, and how many times better than the best peer it is.
struct Bar<'a> {
    label: String,
    series: &'a Series,
    times: Spread,
}

/// The picture as SVG; `about` is a line on the machine and the day.
pub(crate) fn svg(outcomes: &[Outcome], about: &str) -> String {
    let groups: Vec<(Vec<Bar<'_>>, String)> = outcomes.iter().filter_map(group).collect();
    let all = || groups.iter().flat_map(|(bars, _)| bars);
    let most = all().map(|bar| bar.times.max).fold(1.25, f64::max);
    let scale = (BARS.1 - BARS.0) / most;
    let mut text = legend(all().map(|bar| bar.series));
    let mut top = TOP;
    for (bars, best) in &groups {
        for bar in bars {
            top += match bar.series.role {
                Role::Replug => replug(&mut text, bar, best, top, scale),
                Role::Peer | Role::Limit => peer(&mut text, bar, top, scale),
            };
        }
        top += HEIGHTS.2;
    }
    let one = BARS.0 + scale;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>replug compared with other forwarders</title>\n<style>{STYLE}</style>\n\
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

/// The bars of a scenario, replugs first, and the name of the best peer.
fn group(outcome: &Outcome) -> Option<(Vec<Bar<'_>>, String)> {
    let best = outcome.best_peer()?;
    let of = |role| outcome.series.iter().filter(move |series| series.role == role);
    let replugs = of(Role::Replug).count();
    let bars = of(Role::Replug).chain(of(Role::Peer)).filter_map(|series| {
        let scenario = outcome.scenario.name();
        let label = match replugs {
            0 | 1 => scenario,
            _ => format!("{scenario} {}", series.name),
        };
        Some(Bar { label, series, times: outcome.times_better(series, best)? })
    });
    Some((bars.collect(), best.name.clone()))
}

/// Draws the bar of a replug below `top`; returns the height it takes.
fn replug(text: &mut String, bar: &Bar<'_>, best: &str, top: f64, scale: f64) -> f64 {
    let Bar { label, times, .. } = bar;
    let class = if times.median < 1.0 { "worse" } else { "better" };
    let (middle, baseline) = (top + HEIGHTS.0 / 2.0, top + HEIGHTS.0 / 2.0 + 4.5);
    let at = |times: f64| BARS.0 + times * scale;
    write!(
        text,
        "<text x=\"{name:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{label}</text>\n\
         <rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"2\"/>\n\
         <line class=\"spread\" x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{middle:.1}\" \
         y2=\"{middle:.1}\"/>\n\
         <text x=\"{figure:.1}\" y=\"{baseline:.1}\">{median:.2} <tspan class=\"faint\">\
         {best}</tspan></text>\n",
        name = BARS.0 - 10.0,
        label = escaped(label),
        left = BARS.0,
        width = times.median * scale,
        height = HEIGHTS.0,
        min = at(times.min),
        max = at(times.max),
        figure = BARS.1 + 10.0,
        median = times.median,
        best = escaped(best),
    )
    .expect("a String takes everything");
    HEIGHTS.0 + BETWEEN
}

/// Draws the bar of a peer below `top`, pale if it failed; returns the height it takes.
fn peer(text: &mut String, bar: &Bar<'_>, top: f64, scale: f64) -> f64 {
    let Bar { series, times, .. } = bar;
    let pale = if series.failures() > 0 { " class=\"failed\"" } else { "" };
    let failed = if series.failures() > 0 { ", with failures" } else { "" };
    writeln!(
        text,
        "<rect{pale} fill=\"{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\"><title>{name}: {median:.2}{failed}</title></rect>",
        colour = colour(&series.name),
        left = BARS.0,
        width = times.median * scale,
        height = HEIGHTS.1,
        name = escaped(&series.name),
        median = times.median,
    )
    .expect("a String takes everything");
    HEIGHTS.1 + BETWEEN
}

/// A line that says which colour is which peer.
fn legend<'a>(drawn: impl Iterator<Item = &'a Series>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for series in drawn.filter(|series| series.role == Role::Peer) {
        if !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    let mut text = String::new();
    let mut left = 16.0;
    for name in names {
        writeln!(
            text,
            "<rect fill=\"{colour}\" x=\"{left}\" y=\"58\" width=\"10\" height=\"10\"/>\
             <text class=\"faint\" x=\"{after}\" y=\"67\">{name}</text>",
            colour = colour(name),
            after = left + 15.0,
            name = escaped(name),
        )
        .expect("a String takes everything");
        left += ENTRY;
    }
    text
}

fn colour(name: &str) -> &'static str {
    let known = COLOURS.iter().find(|(peer, _)| *peer == name);
    known.unwrap_or(&COLOURS[COLOURS.len() - 1]).1
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use crate::scenario::Scenario;

    fn series(name: &str, role: Role, value: f64) -> Series {
        let sample = Sample { value: Some(value), ..Sample::default() };
        Series { name: name.into(), role, samples: vec![sample] }
    }

    #[test]
    fn a_smaller_value_is_a_longer_bar_where_lower_is_better() {
        let series = vec![series("a<b", Role::Replug, 2.0), series("c&d", Role::Peer, 5.0)];
        let idle = Outcome { scenario: Scenario::Idle, series: series.clone() };
        let crr = Outcome { scenario: Scenario::Crr, series };
        let picture = svg(&[idle, crr], "a & b");
        assert!(picture.contains(">2.50 <"), "{picture}");
        assert!(picture.contains(">0.40 <"), "{picture}");
        assert!(picture.contains("c&amp;d") && picture.contains("a &amp; b"), "{picture}");
    }

    #[test]
    fn every_peer_has_a_bar_and_those_that_failed_are_pale() {
        let mut all = vec![
            series("nginx", Role::Peer, 8.0),
            series("haproxy", Role::Peer, 10.0),
            series("rinetd", Role::Peer, 20.0),
            series("replug", Role::Replug, 11.0),
            series("direct", Role::Limit, 30.0),
        ];
        all[2].samples[0].failures = 1;
        let picture = svg(&[Outcome { scenario: Scenario::Crr, series: all }], "");
        for title in ["nginx: 0.80<", "haproxy: 1.00<", "rinetd: 2.00, with failures<"] {
            assert!(picture.contains(title), "{title} in {picture}");
        }
        assert_eq!(picture.matches("class=\"failed\"").count(), 1, "{picture}");
        assert!(picture.contains(">1.10 <") && !picture.contains("direct"), "{picture}");
    }
}
