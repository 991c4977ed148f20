//! Durations and rates as a person writes them: `30s`, `1h30m`, `250ms`; `20/s`, `100/m`.
//!
//! A bare number is refused: whether `30` means seconds or milliseconds is the
//! one thing its reader cannot know. Amounts of bytes stand in [`bytes`].

pub mod bytes;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Longest duration that can be configured: a year.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What is wrong with a text that should be a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationFault {
    /// A number with no unit behind it.
    UnitMissing,
    /// A unit that is not known.
    UnitUnknown,
    /// No number where one must stand.
    NotANumber,
    /// Longer than [`DURATION_MAX`].
    TooLong,
}

/// Reads a sum of numbers with units: `ms`, `s`, `m`, `h`, `d`. A plain `0` is zero.
///
/// # Errors
/// The first fault of the text.
pub fn duration(text: &str) -> Result<Duration, DurationFault> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if number.is_empty() => return Err(DurationFault::NotANumber),
            Err(_) => return Err(DurationFault::TooLong),
        };
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if behind.is_empty() => return Err(DurationFault::UnitMissing),
            _ => return Err(DurationFault::UnitUnknown),
        };
        total = number
            .checked_mul(milliseconds)
            .and_then(|milliseconds| total.checked_add(Duration::from_millis(milliseconds)))
            .filter(|total| *total <= DURATION_MAX)
            .ok_or(DurationFault::TooLong)?;
        rest = behind;
    }
    match text.is_empty() {
        true => Err(DurationFault::NotANumber),
        false => Ok(total),
    }
}

/// Writes a duration the way [`duration`] reads it, in as few words as are exact.
pub fn show(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut left = duration.as_millis();
    if left == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (size, unit) in UNITS {
        if left >= size {
            text += &format!("{}{unit}", left / size);
            left %= size;
        }
    }
    text
}

/// So many of something in a while: `20/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Per,
}

/// The while of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

/// What is wrong with a text that should be a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateFault {
    /// A number with no unit behind it.
    UnitMissing,
    /// A unit that is not known.
    UnitUnknown,
    /// No number where one must stand.
    NotANumber,
    /// None in a while is no rate.
    Zero,
    /// More than [`Rate::COUNT_MAX`].
    TooMany,
}

impl Rate {
    /// The greatest number in front of any unit.
    pub const COUNT_MAX: u32 = 100_000;

    /// A rate, if `count` is from 1 to [`Rate::COUNT_MAX`].
    pub fn new(count: u32, per: Per) -> Option<Self> {
        let count = NonZeroU32::new(count).filter(|count| count.get() <= Self::COUNT_MAX)?;
        Some(Self { count, per })
    }

    /// Reads a number with a unit: `/s`, `/m`, `/h`.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn parse(text: &str) -> Result<Self, RateFault> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(RateFault::NotANumber);
        }
        let per = match unit {
            "/s" => Per::Second,
            "/m" => Per::Minute,
            "/h" => Per::Hour,
            "" => return Err(RateFault::UnitMissing),
            _ => return Err(RateFault::UnitUnknown),
        };
        let count = number.parse().unwrap_or(u32::MAX);
        Self::new(count, per).ok_or(match count {
            0 => RateFault::Zero,
            _ => RateFault::TooMany,
        })
    }

    /// How many in a while, 1 to [`Rate::COUNT_MAX`].
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// The while.
    pub fn period(self) -> Duration {
        Duration::from_secs(match self.per {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3600,
        })
    }

    /// The time from one to the next, when they come evenly spread.
    pub fn interval(self) -> Duration {
        self.period() / self.count()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, DurationFault>) {
        assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations() {
        check("0", Ok(0));
        check("250ms", Ok(250));
        check("30s", Ok(30_000));
        check("1h30m", Ok(5_400_000));
        check("365d", Ok(31_536_000_000));
        check("30", Err(DurationFault::UnitMissing));
        check("1h30", Err(DurationFault::UnitMissing));
        check("30 s", Err(DurationFault::UnitUnknown));
        check("30sec", Err(DurationFault::UnitUnknown));
        check("s", Err(DurationFault::NotANumber));
        check("-1s", Err(DurationFault::NotANumber));
        check("", Err(DurationFault::NotANumber));
        check("366d", Err(DurationFault::TooLong));
        check("99999999999999999999s", Err(DurationFault::TooLong));
    }

    #[track_caller]
    fn check_rate(text: &str, expected: Result<(u32, u64), RateFault>) {
        let read = Rate::parse(text);
        assert_eq!(read.map(|rate| (rate.count(), rate.period().as_secs())), expected, "{text}");
        if let Ok(rate) = read {
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn rates() {
        check_rate("20/s", Ok((20, 1)));
        check_rate("100/m", Ok((100, 60)));
        check_rate("100000/h", Ok((100_000, 3600)));
        check_rate("20", Err(RateFault::UnitMissing));
        check_rate("20/d", Err(RateFault::UnitUnknown));
        check_rate("20 /s", Err(RateFault::UnitUnknown));
        check_rate("0/s", Err(RateFault::Zero));
        check_rate("100001/s", Err(RateFault::TooMany));
        check_rate("99999999999999999999/s", Err(RateFault::TooMany));
        check_rate("/s", Err(RateFault::NotANumber));
        check_rate("-1/s", Err(RateFault::NotANumber));
        check_rate("", Err(RateFault::NotANumber));
        let rate = Rate::parse("7/s").expect("a rate");
        assert_eq!(rate.interval(), Duration::from_nanos(142_857_142));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(milliseconds in 0u64..31_536_000_000) {
            let whole = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show(whole)), Ok(whole));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = duration(&text);
            let _ = Rate::parse(&text);
        }
    }
}
