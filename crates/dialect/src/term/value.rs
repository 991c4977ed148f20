//! Values of options: durations, rates, numbers, words of a few.
//!
//! Each function reads one word and says what is wrong with it, if anything is.

use std::num::NonZeroUsize;
use std::time::Duration;

use model::unit::{self, DURATION_MAX, DurationFault, RateFault};
use model::{Balance, Code, Diagnostic, Limits, Rate};

use crate::line::Word;
use crate::suggest;

/// Longest keepalive that the kernel takes (`MAX_TCP_KEEPIDLE` of Linux, in whole seconds).
pub(crate) const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// Longest user timeout that the kernel takes (`TCP_USER_TIMEOUT`, an int of milliseconds).
pub(crate) const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// More threads than this help no machine.
pub(crate) const SHARDS_MAX: usize = 1024;

/// More sessions cannot be: each takes two descriptors, of which Linux gives a process 2^30.
pub(crate) const SESSIONS_MAX: usize = 1 << 29;

/// Most sessions per client.
pub(crate) const PER_CLIENT_MAX: usize = Limits::PER_CLIENT_MAX as usize;

/// Longest name of a user or group (useradd(8)).
const ACCOUNT_BYTES_MAX: usize = 32;

/// A duration; 0 is one too.
pub(crate) fn duration(word: Word<'_>) -> Result<Duration, Diagnostic> {
    let text = word.text;
    let why = match unit::duration(text) {
        Ok(duration) => return Ok(duration),
        Err(why) => why,
    };
    let fault = |code, message: String| Diagnostic::new(code, word.span, message);
    Err(match why {
        _ if text.is_empty() => fault(Code::Duration, "the time is empty".to_owned())
            .label("nothing here")
            .help("write a number and a unit, as in `30s`, `5m`, `1h30m`"),
        DurationFault::UnitMissing => fault(Code::UnitMissing, format!("`{text}` has no unit"))
            .label("seconds or minutes?")
            .help(format!("write `{text}s` for seconds, `{text}m` for minutes")),
        DurationFault::UnitUnknown => fault(Code::Duration, format!("`{text}` is not a time"))
            .label("not a unit")
            .help(match unit_meant(text) {
                Some(meant) => format!("write `{meant}`"),
                None => "units are ms, s, m, h and d, without spaces or fractions: `1h30m`".into(),
            }),
        DurationFault::NotANumber => fault(Code::Duration, format!("`{text}` is not a time"))
            .label("must begin with a number")
            .help("write a number and a unit, as in `30s`, `5m`, `1h30m`"),
        DurationFault::TooLong => fault(Code::Duration, format!("`{text}` is too long a time"))
            .label(format!("more than {}", unit::show(DURATION_MAX)))
            .help("a time is at most a year"),
    })
}

/// A duration where 0 means never.
pub(crate) fn duration_or_never(word: Word<'_>) -> Result<Option<Duration>, Diagnostic> {
    duration(word).map(|time| (!time.is_zero()).then_some(time))
}

/// A duration that cannot be 0; `why_not` says what 0 would do.
pub(crate) fn duration_not_zero(word: Word<'_>, why_not: &str) -> Result<Duration, Diagnostic> {
    let time = duration(word)?;
    match time.is_zero() {
        false => Ok(time),
        true => Err(Diagnostic::new(Code::Duration, word.span, "this time cannot be 0")
            .label("must be longer")
            .help(why_not)),
    }
}

/// A duration that cannot be shorter than `least`; `for_none` says how to have none at all.
pub(crate) fn duration_of_at_least(
    word: Word<'_>,
    least: Duration,
    for_none: &str,
) -> Result<Duration, Diagnostic> {
    let time = duration(word)?;
    match time >= least {
        true => Ok(time),
        false => Err(Diagnostic::new(Code::Duration, word.span, "this time is too short")
            .label(format!("less than {}", unit::show(least)))
            .help(for_none)),
    }
}

/// A keepalive: 0 for none, else whole seconds up to [`KEEPALIVE_MAX`].
pub(crate) fn keepalive(word: Word<'_>) -> Result<Option<Duration>, Diagnostic> {
    let time = duration_or_never(word)?;
    let legal = |time: Duration| time.subsec_nanos() == 0 && time <= KEEPALIVE_MAX;
    match time.is_none_or(legal) {
        true => Ok(time),
        false => Err(Diagnostic::new(
            Code::Duration,
            word.span,
            format!("the kernel has no keepalive of `{}`", word.text),
        )
        .label("out of range")
        .help(format!("write whole seconds from 1s to {}", unit::show(KEEPALIVE_MAX)))),
    }
}

/// A user timeout (tcp(7)): 0 for that of the kernel, else up to [`USER_TIMEOUT_MAX`].
pub(crate) fn user_timeout(word: Word<'_>) -> Result<Option<Duration>, Diagnostic> {
    let time = duration_or_never(word)?;
    match time.is_none_or(|time| time <= USER_TIMEOUT_MAX) {
        true => Ok(time),
        false => Err(Diagnostic::new(
            Code::Duration,
            word.span,
            format!("the kernel has no user timeout of `{}`", word.text),
        )
        .label("out of range")
        .help(format!("write at most {}", unit::show(USER_TIMEOUT_MAX)))),
    }
}

/// So many in a while.
pub(crate) fn rate(word: Word<'_>) -> Result<Rate, Diagnostic> {
    let text = word.text;
    let why = match Rate::parse(text) {
        Ok(rate) => return Ok(rate),
        Err(why) => why,
    };
    let fault = |code, message: String| Diagnostic::new(code, word.span, message);
    let example = "write a number and a unit, as in `20/s`, `100/m`, `1000/h`";
    Err(match why {
        _ if text.is_empty() => {
            fault(Code::Rate, "the rate is empty".to_owned()).label("nothing here").help(example)
        }
        RateFault::UnitMissing => fault(Code::UnitMissing, format!("`{text}` has no unit"))
            .label("in a second or a minute?")
            .help(format!("write `{text}/s` for a second, `{text}/m` for a minute")),
        RateFault::UnitUnknown => fault(Code::Rate, format!("`{text}` is not a rate"))
            .label("not a unit")
            .help(match rate_meant(text) {
                Some(meant) => format!("write `{meant}`"),
                None => "units are /s, /m and /h, without spaces or fractions: `20/s`".into(),
            }),
        RateFault::NotANumber => fault(Code::Rate, format!("`{text}` is not a rate"))
            .label("must begin with a number")
            .help(example),
        RateFault::Zero => fault(Code::Rate, "this rate cannot be 0".to_owned())
            .label("nobody could come in")
            .help("leave it out for no limit; to let nobody in, deny them"),
        RateFault::TooMany => fault(Code::Rate, format!("`{text}` is too high a rate"))
            .label(format!("more than {}", Rate::COUNT_MAX))
            .help("write it in a smaller unit, or leave it out for no limit"),
    })
}

/// A number from 1 to `max`.
pub(crate) fn count(word: Word<'_>, max: usize) -> Result<NonZeroUsize, Diagnostic> {
    let text = word.text;
    let fault = |message: String| Diagnostic::new(Code::Number, word.span, message);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        let plain: String = text.chars().filter(|c| !"_,' ".contains(*c)).collect();
        let meant = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
        return Err(fault(format!("`{text}` is not a whole number")).label("digits only").help(
            match meant {
                true => format!("write `{plain}`"),
                false => format!("write a number from 1 to {max}"),
            },
        ));
    }
    let number = text.parse().ok().filter(|number| *number <= max);
    number.and_then(NonZeroUsize::new).ok_or_else(|| {
        fault(format!("`{text}` is out of range"))
            .label(match number {
                Some(_) => "must be at least 1",
                None => "too large",
            })
            .help(format!("write a number from 1 to {max}, or leave it out"))
    })
}

/// One of a few words, for what is called `what`.
pub(crate) fn choice<T: Copy>(
    word: Word<'_>,
    what: &str,
    known: &[(&'static str, T)],
) -> Result<T, Diagnostic> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word.text) {
        return Ok(*value);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let message = format!("`{}` is no {what}", word.text);
    let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
    Err(match suggest::nearest(word.text, names()) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help(format!("write one of {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// How a target is picked.
pub(crate) fn balance(word: Word<'_>) -> Result<Balance, Diagnostic> {
    if let Some((_, balance)) = Balance::NAMES.iter().find(|(name, _)| *name == word.text) {
        return Ok(*balance);
    }
    let message = format!("there is no balancing policy `{}`", word.text);
    let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
    let names = Balance::NAMES.map(|(name, _)| name);
    Err(match policy_meant(word.text).or_else(|| suggest::nearest(word.text, names)) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help(format!("write one of {}", names.join(", "))),
    })
}

/// What policies are called in HAProxy, nginx, Envoy and IPVS.
fn policy_meant(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().replace(['_', '-'], "").as_str() {
        "rr" | "wrr" | "roundrobin" | "staticrr" => "round-robin",
        "leastconn" | "leastconnections" | "leastrequest" | "lc" | "wlc" => "least-sessions",
        "p2c" | "poweroftwo" | "randomtwo" => "two-choices",
        "leasttime" | "ewma" | "peakewma" => "latency-two-choices",
        "source" | "iphash" | "sh" | "hash" | "ringhash" | "rendezvous" => "source-hash",
        "mh" => "maglev",
        "failover" | "priority" => "first",
        _ => return None,
    })
}

/// A file.
pub(crate) fn path(word: Word<'_>) -> Result<String, Diagnostic> {
    let fault = |label: &str| {
        Diagnostic::new(Code::Path, word.span, "this cannot be a file")
            .label(label)
            .help("write the path of a file, as in `/run/replug/main`")
    };
    match word.text {
        "" => Err(fault("empty")),
        text if text.contains('\0') => Err(fault("holds a zero byte")),
        text if text.ends_with('/') => Err(fault("a directory")),
        text => Ok(text.to_owned()),
    }
}

/// A directory.
pub(crate) fn directory(word: Word<'_>) -> Result<String, Diagnostic> {
    let fault = |label: &str| {
        Diagnostic::new(Code::Path, word.span, "this cannot be a directory")
            .label(label)
            .help("write the path of a directory, as in `/var/empty`")
    };
    match word.text {
        "" => Err(fault("empty")),
        text if text.contains('\0') => Err(fault("holds a zero byte")),
        text => Ok(text.to_owned()),
    }
}

/// The name or number of a user or a group; whether there is one is seen when it is needed.
pub(crate) fn owner(word: Word<'_>) -> Result<String, Diagnostic> {
    match account(word) {
        Ok(name) if !name.contains(':') => Ok(name),
        Ok(_) | Err(_) => Err(Diagnostic::new(Code::User, word.span, "this cannot be an owner")
            .label("not a name")
            .help("write the name of a user or a group, as in `nobody`, or a number")),
    }
}

/// `NAME[:GROUP]`; whether they exist is seen when the process changes over.
pub(crate) fn account(word: Word<'_>) -> Result<String, Diagnostic> {
    let fault = |at: Word<'_>, label: &str| {
        Diagnostic::new(Code::User, at.span, "this cannot be a user")
            .label(label)
            .help("write NAME or NAME:GROUP, as in `nobody` or `proxy:adm`")
    };
    let (user, group) = match word.text.find(':') {
        Some(at) => (word.part(0..at), Some(word.from(at + 1))),
        None => (word, None),
    };
    for name in [Some(user), group].into_iter().flatten() {
        let legal = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '/' | ',');
        if name.text.is_empty() {
            return Err(fault(word, "a name is missing"));
        }
        if name.text.len() > ACCOUNT_BYTES_MAX || !name.text.chars().all(legal) {
            return Err(fault(name, "not a name"));
        }
    }
    Ok(word.text.to_owned())
}

/// `20/sec`, `20 / min`, `20rps`, `20r/s`, `20 per second`, rewritten with the unit that was meant.
fn rate_meant(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_prefix('r').unwrap_or(&unit);
    let unit = ["/", "per", "p"].iter().find_map(|sign| unit.strip_prefix(sign));
    let unit = match unit?.trim() {
        "s" | "sec" | "second" | "1s" => "s",
        "m" | "min" | "minute" | "1m" => "m",
        "h" | "hr" | "hour" | "1h" => "h",
        _ => return None,
    };
    let meant = format!("{number}/{unit}");
    Rate::parse(&meant).is_ok().then_some(meant)
}

/// `30sec`, `5 min`, `2H`, rewritten with the unit that was meant.
fn unit_meant(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    let meant = format!("{number}{unit}");
    unit::duration(&meant).is_ok().then_some(meant)
}
