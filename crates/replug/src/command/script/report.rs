//! What came of a trial, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use engine::journal::Level;
use engine::script::{Decision, Way, Whither};
use model::ProxyVersion;
use script::trial::{Client, Trial};
use serde_json::{Map, Value, json};

use super::data::shown;

/// In words, one fact a line.
pub(super) fn text(trial: &Trial, client: &Client) -> String {
    let mut text = String::new();
    if !trial.greeting.is_empty() {
        line(&mut text, "greeting", &shown(&trial.greeting));
    }
    match &trial.outcome {
        Ok(Decision::Go(way)) => {
            line(&mut text, "decision", &whither(&way.to));
            for (name, value) in details(way) {
                line(&mut text, name, &value);
            }
        }
        Ok(Decision::Close(last)) => {
            line(&mut text, "decision", "close");
            if !last.is_empty() {
                line(&mut text, "reply", &shown(last));
            }
        }
        Ok(Decision::Wait | Decision::Greet(_)) => {
            let waits = match client.has_end {
                true => "none: the client goes where it would go without a script",
                false => "none yet: the script waits for more",
            };
            line(&mut text, "decision", waits);
        }
        Err(failure) => line(&mut text, "failure", &failure.0),
    }
    let times = match trial.questions {
        1 => "asked once".to_owned(),
        times => format!("asked {times} times"),
    };
    let (came, all) = (trial.bytes, client.data.len());
    line(&mut text, "after", &format!("{came} of {all} bytes, {times}"));
    line(&mut text, "took", &duration(trial.took));
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name:<20}{value}");
}

/// `pool web`.
fn whither(to: &Whither) -> String {
    match to {
        Whither::Default => "as without a script".to_owned(),
        Whither::Pool(name) => format!("pool {name}"),
        Whither::Remotes(remotes) => {
            let remotes: Vec<_> = remotes.iter().map(ToString::to_string).collect();
            format!("remote {}", remotes.join(", then "))
        }
    }
}

/// What is not as usual.
fn details(way: &Way) -> Vec<(&'static str, String)> {
    let bytes = |bytes: &Vec<u8>| shown(bytes);
    let proxy = way.proxy.and_then(|version| {
        let mut names = ProxyVersion::NAMES.into_iter();
        names.find(|(_, known)| *known == version).map(|(name, _)| name.to_owned())
    });
    let all = [
        ("data", way.data.as_ref().map(bytes)),
        ("reply", (!way.reply.is_empty()).then(|| shown(&way.reply))),
        ("connect_timeout", way.connect_timeout.map(duration)),
        ("inactivity_timeout", way.inactivity_timeout.map(duration)),
        ("proxy", proxy),
        ("retries", (way.retries > 0).then(|| way.retries.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn duration(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros}us"),
        _ => model::unit::show(Duration::from_millis(
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        )),
    }
}

/// `warning`.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// As an object, on one line. Bytes are texts with escapes, as `--data` takes them.
pub(super) fn json(trial: &Trial, client: &Client, lines: &[(Level, String)]) -> String {
    let mut object = Map::new();
    let decision = match &trial.outcome {
        Ok(Decision::Go(way)) => match way.to {
            Whither::Default => "default",
            Whither::Pool(_) => "pool",
            Whither::Remotes(_) => "remote",
        },
        Ok(Decision::Close(_)) => "close",
        Ok(Decision::Wait | Decision::Greet(_)) => "wait",
        Err(_) => "failure",
    };
    object.insert("decision".to_owned(), decision.into());
    match &trial.outcome {
        Ok(Decision::Go(way)) => {
            match &way.to {
                Whither::Default => {}
                Whither::Pool(name) => drop(object.insert("pool".to_owned(), json!(name))),
                Whither::Remotes(remotes) => {
                    let remotes = remotes.iter().map(ToString::to_string);
                    object.insert("remotes".to_owned(), remotes.collect::<Vec<_>>().into());
                }
            }
            for (name, value) in details(way) {
                object.insert(name.to_owned(), value.into());
            }
        }
        Ok(Decision::Close(last)) => drop(object.insert("reply".to_owned(), shown(last).into())),
        Ok(Decision::Wait | Decision::Greet(_)) => {}
        Err(failure) => drop(object.insert("error".to_owned(), json!(failure.0))),
    }
    if !trial.greeting.is_empty() {
        object.insert("greeting".to_owned(), shown(&trial.greeting).into());
    }
    object.insert("bytes".to_owned(), trial.bytes.into());
    object.insert("of".to_owned(), client.data.len().into());
    object.insert("questions".to_owned(), trial.questions.into());
    let micros = u64::try_from(trial.took.as_micros()).unwrap_or(u64::MAX);
    object.insert("took_us".to_owned(), micros.into());
    let log = lines.iter().map(|(at, text)| json!({ "level": level(*at), "text": text }));
    object.insert("log".to_owned(), log.collect::<Vec<_>>().into());
    format!("{}\n", Value::Object(object))
}
