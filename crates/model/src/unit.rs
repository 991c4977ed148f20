//! Durations and counts as a person writes them: `30s`, `1h30m`, `250ms`.
//!
//! A bare number is refused: whether `30` means seconds or milliseconds is the
//! one thing its reader cannot know.

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

    proptest! {
        #[test]
        fn what_is_shown_reads_back(milliseconds in 0u64..31_536_000_000) {
            let whole = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show(whole)), Ok(whole));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = duration(&text);
        }
    }
}
