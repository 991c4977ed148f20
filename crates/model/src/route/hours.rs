//! Hours of the week: `mon-fri 08:00-18:00`.

use std::fmt;

use super::pattern::PatternFault;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0x7f;

/// Hours of some days of the week. Those that go over midnight belong to the day they begin on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    /// Minute of the day at which they begin.
    from: u16,
    /// Minute of the day before which they end; at most [`DAY_MINUTES`], never `from`.
    to: u16,
}

impl Hours {
    /// Reads `DAYS HH:MM-HH:MM`, of which either may be left out. Days are `mon` to `sun`,
    /// `mon-fri`, and lists of both with commas.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        const HELP: &str = "write `mon-fri 08:00-18:00`, days or hours alone, `sat,sun`";
        let fault = |word: &str, what| {
            let at = text.find(word).unwrap_or_default();
            PatternFault { at: at..at + word.len(), what, help: HELP }
        };
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let (days, hours) = match *words {
            [days, hours] => (Some(days), Some(hours)),
            [hours] if hours.starts_with(|c: char| c.is_ascii_digit()) => (None, Some(hours)),
            [days] => (Some(days), None),
            _ => return Err(fault(text, "not hours of a week")),
        };
        let days = days
            .map_or(Ok(EVERY_DAY), |text| days_of(text).map_err(|word| fault(word, "not a day")))?;
        let (from, to) = hours.map_or(Ok((0, DAY_MINUTES)), |text| {
            hours_of(text).ok_or_else(|| fault(text, "not hours of a day"))
        })?;
        Ok(Self { days, from, to })
    }

    /// Whether they hold at this minute of this day of the week, 0 for Monday.
    pub fn contain(self, weekday: u8, minute: u16) -> bool {
        let on = |day: u8| self.days & 1 << (day % 7) != 0;
        match self.from < self.to {
            true => on(weekday) && (self.from..self.to).contains(&minute),
            false => (on(weekday) && minute >= self.from) || (on(weekday + 6) && minute < self.to),
        }
    }
}

fn days_of(text: &str) -> Result<u8, &str> {
    let mut days = 0;
    for word in text.split(',') {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let named = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        let (Some(from), Some(to)) = (named(from), named(to)) else { return Err(word) };
        let count = (to + 7 - from) % 7;
        (0..=count).for_each(|day| days |= 1 << ((from + day) % 7));
    }
    Ok(days)
}

fn hours_of(text: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes <= DAY_MINUTES).then_some(minutes)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < DAY_MINUTES).then_some((from, to))
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_hours = (self.from, self.to) != (0, DAY_MINUTES);
        if self.days != EVERY_DAY || !has_hours {
            let mut words = Vec::new();
            let mut day = 0;
            while day < 7 {
                let run = (day..7).take_while(|day| self.days & 1 << day != 0).count();
                match run {
                    0 => {}
                    1 => words.push(DAYS[day].to_owned()),
                    _ => words.push(format!("{}-{}", DAYS[day], DAYS[day + run - 1])),
                }
                day += run.max(1);
            }
            f.write_str(&words.join(","))?;
            if has_hours {
                f.write_str(" ")?;
            }
        }
        if has_hours {
            let (from, to) = (self.from, self.to);
            write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match Hours::parse(text) {
            Ok(hours) => hours.to_string(),
            Err(fault) => format!("{:?}: {}", &text[fault.at], fault.what),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn they_are_read_and_shown() {
        check("mon-fri 08:00-18:00", "mon-fri 08:00-18:00");
        check("Sat,sun", "sat-sun");
        check("22:00-06:00", "22:00-06:00");
        check("fri-mon", "mon,fri-sun");
        check("mon,wed,fri 00:00-24:00", "mon,wed,fri");
        check("mon-sun", "mon-sun");
        check("mon-frei", "\"mon-frei\": not a day");
        check("mon 8:00-18:00", "\"8:00-18:00\": not hours of a day");
        check("08:00-08:00", "\"08:00-08:00\": not hours of a day");
        check("08:60-09:00", "\"08:60-09:00\": not hours of a day");
        check("24:00-09:00", "\"24:00-09:00\": not hours of a day");
        check("", "\"\": not hours of a week");
        check("mon 08:00-09:00 x", "\"mon 08:00-09:00 x\": not hours of a week");
    }

    #[test]
    fn they_hold_or_not() {
        let hours = |text| Hours::parse(text).expect("legal hours");
        let office = hours("mon-fri 08:00-18:00");
        for (weekday, minute, expected) in
            [(0, 480, true), (0, 479, false), (4, 1079, true), (4, 1080, false), (5, 600, false)]
        {
            assert_eq!(office.contain(weekday, minute), expected, "{weekday} {minute}");
        }
        let night = hours("sun 22:00-06:00");
        for (weekday, minute, expected) in
            [(6, 1320, true), (6, 1319, false), (0, 359, true), (0, 360, false), (6, 0, false)]
        {
            assert_eq!(night.contain(weekday, minute), expected, "{weekday} {minute}");
        }
    }
}
