//! Moments as certificates write them: seconds since 1970-01-01 00:00 UTC to digits, and back.

use crate::der::{self, tag};

const DAY: i64 = 86_400;

/// Reads `YYMMDDhhmmssZ` (of 1950 to 2049) or `YYYYMMDDhhmmssZ`.
pub(crate) fn read(text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, at) = match digits.len() {
        12 => (if number(0..2) < 50 { 2000 } else { 1900 } + number(0..2), 2),
        14 => (number(0..4), 4),
        _ => return None,
    };
    let two = |index: usize| number(at + 2 * index..at + 2 * index + 2);
    let (month, day) = (two(0), two(1));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(year, month, day) * DAY + two(2) * 3600 + two(3) * 60 + two(4))
}

/// `YYYY-MM-DD hh:mm:ss`.
pub(crate) fn shown(seconds: i64) -> String {
    let [year, month, day, hour, minute, second] = parts(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// As a certificate has it: with two digits for the years from 1950 to 2049, as has to be.
pub(crate) fn der(seconds: i64) -> Vec<u8> {
    let [year, month, day, hour, minute, second] = parts(seconds);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    let (tag, year) = match (1950..2050).contains(&year) {
        true => (tag::UTC_TIME, format!("{:02}", year % 100)),
        false => (tag::GENERALIZED_TIME, format!("{year:04}")),
    };
    der::value(tag, &[year.as_bytes(), rest.as_bytes()])
}

fn parts(seconds: i64) -> [i64; 6] {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Years that begin in March have the leap day last; 719,468 days lie before 1970 from then.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
}

/// Days from 1970-01-01 on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, expected) in [
            ("700101000000Z", Some(0)),
            ("261121133700Z", Some(1_795_268_220)),
            ("20500301000000Z", Some(2_529_705_600)),
            ("491231235959Z", Some(2_524_607_999)),
            ("500101000000Z", Some(-631_152_000)),
            ("261301000000Z", None),
            ("2611210000Z", None),
            ("261121133700+0100", None),
            ("", None),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for seconds in (-2_000_000_000..9_000_000_000).step_by(12_345_677) {
            assert_eq!(read(&der(seconds)[2..]), Some(seconds), "{}", shown(seconds));
        }
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00");
    }
}
