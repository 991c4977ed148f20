//! Moments as the formats write them.
//!
//! Local time is for the formats of old tools only: it repeats an hour every
//! autumn, in which records can no longer be put in order.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: i64 = 86_400;
const MILLIS_PER_SECOND: i64 = 1_000;

/// A moment that shows itself as `2026-07-30T12:03:45.678Z`, always 24 bytes long in the years
/// 0 to 9999.
#[derive(Clone, Copy, Debug)]
pub(super) struct Utc(pub(super) SystemTime);

/// A moment that shows itself as `2026-07-30 14:03:45` in the zone of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local(pub(super) SystemTime);

/// A moment that shows itself as `2026/07/30 14:03:45` in the zone of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slashed(pub(super) SystemTime);

/// A moment that shows itself as Ruby's `Logger` does, in the zone of this machine:
/// `2026-07-30T12:03:45.678000`.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfLogger(pub(super) SystemTime);

/// A moment that shows itself as HAProxy does, in the zone of this machine:
/// `30/Jul/2026:12:03:45.678`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated(pub(super) SystemTime);

/// A moment that shows itself as RFC 3164 asks for, in the zone of this machine:
/// `Jul  3 12:03:45`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped(pub(super) SystemTime);

/// A moment that shows itself as web servers do, in the zone of this machine, without the zone:
/// `30/Jul/2026:12:03:45`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common(pub(super) SystemTime);

/// What the zone of this machine is ahead of UTC at a moment: `+0200`, `-0330`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone(pub(super) SystemTime);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, millis } = Civil::of(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}T{time}.{millis:03}Z")
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, .. } = Civil::here(self.0);
        write!(f, "{year:04}-{month:02}-{day:02} {time}")
    }
}

impl fmt::Display for Slashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, .. } = Civil::here(self.0);
        write!(f, "{year:04}/{month:02}/{day:02} {time}")
    }
}

impl fmt::Display for OfLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, millis } = Civil::here(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}T{time}.{millis:03}000")
    }
}

impl fmt::Display for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, millis } = Civil::here(self.0);
        write!(f, "{day:02}/{}/{year:04}:{time}.{millis:03}", month_name(month))
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time, .. } = Civil::here(self.0);
        write!(f, "{day:02}/{}/{year:04}:{time}", month_name(month))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ahead = relay::local_offset(millis_since_epoch(self.0).div_euclid(MILLIS_PER_SECOND));
        zone(ahead).fmt(f)
    }
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { month, day, time, .. } = Civil::here(self.0);
        write!(f, "{} {day:2} {time}", month_name(month))
    }
}

/// A moment by the calendar.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
    time: OfDay,
    millis: i64,
}

/// Seconds since midnight, shown as `12:03:45`.
struct OfDay(i64);

impl Civil {
    /// In UTC.
    fn of(at: SystemTime) -> Self {
        Self::shifted(millis_since_epoch(at), 0)
    }

    /// In the zone of this machine.
    fn here(at: SystemTime) -> Self {
        let millis = millis_since_epoch(at);
        Self::shifted(millis, relay::local_offset(millis.div_euclid(MILLIS_PER_SECOND)))
    }

    /// So many milliseconds after 1970-01-01 00:00 UTC, in a zone `ahead` by so many seconds.
    fn shifted(millis: i64, ahead: i64) -> Self {
        let millis = millis.saturating_add(ahead.saturating_mul(MILLIS_PER_SECOND));
        let seconds = millis.div_euclid(MILLIS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let time = OfDay(seconds.rem_euclid(SECONDS_PER_DAY));
        Self { year, month, day, time, millis: millis.rem_euclid(MILLIS_PER_SECOND) }
    }
}

impl fmt::Display for OfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3_600, self.0 / 60 % 60, self.0 % 60)
    }
}

/// A zone that is ahead by so many seconds.
fn zone(ahead: i64) -> String {
    let (sign, minutes) = (if ahead < 0 { '-' } else { '+' }, ahead.unsigned_abs() / 60);
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

/// The name of a month, 1 to 12.
fn month_name(month: i64) -> &'static str {
    let index = usize::try_from(month - 1).unwrap_or_default();
    MONTHS.get(index).copied().unwrap_or_default()
}

/// Rounded down. A clock beyond 64 bits of milliseconds is shown as the last such moment.
fn millis_since_epoch(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            let micros = i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX);
            (-micros).div_euclid(1_000)
        }
    }
}

/// Year, month (1 to 12) and day (1 to 31) of the proleptic Gregorian calendar, `days` after
/// 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last day of its year, and in eras of
/// 400 years, which are all of one length.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_TO_EPOCH: i64 = 719_468;

    let from_march_0 = days + DAYS_TO_EPOCH;
    let era = from_march_0.div_euclid(DAYS_PER_ERA);
    let of_era = from_march_0.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March have 153 days, and so have the five after them.
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = match month_from_march {
        0..=9 => month_from_march + 3,
        _ => month_from_march - 9,
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[track_caller]
    fn check(millis: i64, expected: &str) {
        let distance = Duration::from_millis(millis.unsigned_abs());
        let at = match millis < 0 {
            true => UNIX_EPOCH - distance,
            false => UNIX_EPOCH + distance,
        };
        assert_eq!(Utc(at).to_string(), expected);
    }

    #[test]
    fn moments() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_709_164_800_000, "2024-02-29T00:00:00.000Z");
        check(1_785_412_225_678, "2026-07-30T11:50:25.678Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn zones() {
        for (ahead, expected) in
            [(0, "+0000"), (7_200, "+0200"), (19_800, "+0530"), (-12_600, "-0330"), (-60, "-0001")]
        {
            assert_eq!(zone(ahead), expected);
        }
    }

    /// Whatever zone the tests run in: local time is UTC, shifted by what the zone is ahead.
    #[test]
    fn local_moments() {
        for (seconds, expected) in [
            (0_i64, ["1970-01-01 00:00:00", "01/Jan/1970:00:00:00.443", "Jan  1 00:00:00"]),
            (951_782_399, ["2000-02-28 23:59:59", "28/Feb/2000:23:59:59.443", "Feb 28 23:59:59"]),
            (1_798_761_599, ["2026-12-31 23:59:59", "31/Dec/2026:23:59:59.443", "Dec 31 23:59:59"]),
        ] {
            let ahead = relay::local_offset(seconds);
            assert!(ahead.abs() <= 15 * 3_600, "{ahead}");
            // As far as the zone does not change its clocks around then.
            let millis = (seconds - ahead) * 1_000 + 443;
            let distance = Duration::from_millis(millis.unsigned_abs());
            let at = match millis < 0 {
                true => UNIX_EPOCH - distance,
                false => UNIX_EPOCH + distance,
            };
            let dated = Dated(at).to_string();
            assert_eq!(Some((&*Common(at).to_string(), "443")), dated.rsplit_once('.'));
            let shown = [Local(at).to_string(), dated, Stamped(at).to_string()];
            assert_eq!(shown, expected);
        }
    }

    /// Walks 900 years day by day with the rules of the calendar alone.
    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = (1700, 1, 1);
        // 1700-01-01 is this many days before the epoch.
        for days in -98_615_i64.. {
            assert_eq!(civil_from_days(days), expected, "day {days}");
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
            if expected.0 == 2600 {
                return;
            }
        }
    }
}
