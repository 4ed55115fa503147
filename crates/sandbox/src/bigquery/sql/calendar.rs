//! Dates and times: their text, and the parts that they are added, cut and counted by.

use super::error::{Result, invalid, unsupported};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Days since 1970 of the first and the last date.
const DATES: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// A part of a date or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    /// The day that a week begins with, counted from Sunday.
    Week(i64),
    Month,
    Quarter,
    Year,
    DayOfWeek,
    DayOfYear,
    Date,
    Time,
    IsoWeek,
    IsoYear,
}

impl Part {
    /// The part of a name as statements write it.
    pub(super) fn named(name: &str) -> Option<Part> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MICROSECOND" => Part::Microsecond,
            "MILLISECOND" => Part::Millisecond,
            "SECOND" => Part::Second,
            "MINUTE" => Part::Minute,
            "HOUR" => Part::Hour,
            "DAY" => Part::Day,
            "WEEK" | "WEEK(SUNDAY)" => Part::Week(0),
            "WEEK(MONDAY)" => Part::Week(1),
            "WEEK(TUESDAY)" => Part::Week(2),
            "WEEK(WEDNESDAY)" => Part::Week(3),
            "WEEK(THURSDAY)" => Part::Week(4),
            "WEEK(FRIDAY)" => Part::Week(5),
            "WEEK(SATURDAY)" => Part::Week(6),
            "MONTH" => Part::Month,
            "QUARTER" => Part::Quarter,
            "YEAR" => Part::Year,
            "DAYOFWEEK" => Part::DayOfWeek,
            "DAYOFYEAR" => Part::DayOfYear,
            "DATE" => Part::Date,
            "TIME" => Part::Time,
            "ISOWEEK" => Part::IsoWeek,
            "ISOYEAR" => Part::IsoYear,
            _ => return None,
        })
    }

    /// The length of a part that is always the same, in microseconds.
    pub(super) fn length(self) -> Option<i64> {
        Some(match self {
            Part::Microsecond => 1,
            Part::Millisecond => 1000,
            Part::Second => SECOND,
            Part::Minute => MINUTE,
            Part::Hour => HOUR,
            Part::Day => DAY,
            Part::Week(_) | Part::IsoWeek => 7 * DAY,
            _ => return None,
        })
    }

    fn months(self) -> Option<i64> {
        Some(match self {
            Part::Month => 1,
            Part::Quarter => 3,
            Part::Year => 12,
            _ => return None,
        })
    }
}

/// Days since 1970 of a date, if there is such a date.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let valid = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_length(year, month)).contains(&day);
    valid.then(|| {
        // Years that begin in March, in eras of 400 years: the leap day is the last of its year.
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    })
}

/// Year, month and day of days since 1970.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Refuses what is before year 1 or after year 9999.
pub(super) fn check_days(days: i64, what: &str) -> Result<i64> {
    if DATES.contains(&days) {
        return Ok(days);
    }
    Err(invalid(format!("{what} is out of supported range")))
}

/// Refuses a time whose day is outside of the calendar.
pub(super) fn check_micros(micros: i64, what: &str) -> Result<i64> {
    check_days(micros.div_euclid(DAY), what)?;
    Ok(micros)
}

/// A cursor over the text of a date or time.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if digits < least || digits > most {
            return None;
        }
        let number = self.0.get(..digits)?.parse().ok()?;
        self.0 = self.0.get(digits..)?;
        Some(number)
    }

    fn take(&mut self, wanted: &[char]) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.number(4, 4)?;
        self.take(&['-'])?;
        let month = self.number(1, 2)?;
        self.take(&['-'])?;
        days_of(year, month, self.number(1, 2)?)
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        self.take(&[':'])?;
        let minute = self.number(1, 2)?;
        self.take(&[':'])?;
        let second = self.number(1, 2)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut micros = hour * HOUR + minute * MINUTE + second * SECOND;
        if self.take(&['.']).is_some() {
            let digits = self.0.len();
            let fraction = self.number(1, 6)?;
            let read = digits - self.0.len();
            micros += fraction * 10_i64.pow(6 - u32::try_from(read).ok()?);
        }
        Some(micros)
    }

    fn date_time(&mut self) -> Option<i64> {
        let day = self.date()? * DAY;
        if self.0.starts_with([' ', 'T', 't'])
            && self
                .0
                .get(1..2)?
                .starts_with(|next: char| next.is_ascii_digit())
        {
            self.take(&[' ', 'T', 't'])?;
            return Some(day + self.time()?);
        }
        Some(day)
    }
}

pub(super) fn parse_date(text: &str) -> Option<i64> {
    let mut rest = Text(text);
    let days = rest.date()?;
    rest.0.is_empty().then_some(days)
}

pub(super) fn parse_time(text: &str) -> Option<i64> {
    let mut rest = Text(text);
    let micros = rest.time()?;
    rest.0.is_empty().then_some(micros)
}

pub(super) fn parse_date_time(text: &str) -> Option<i64> {
    let mut rest = Text(text);
    let micros = rest.date_time()?;
    rest.0.is_empty().then_some(micros)
}

/// Reads an instant; without a zone it is UTC.
pub(super) fn parse_timestamp(text: &str) -> Result<Option<i64>> {
    let mut rest = Text(text);
    let Some(local) = rest.date_time() else {
        return Ok(None);
    };
    let zone = rest.0.strip_prefix(' ').unwrap_or(rest.0);
    let offset = match zone {
        "" => Some(0),
        "Z" | "z" => Some(0),
        sign if sign.starts_with(['+', '-']) => offset(sign),
        name => Some(zone_offset(name)?),
    };
    Ok(offset.map(|offset| local - offset))
}

/// What a zone's clock is ahead of UTC. Only zones that never change their clock are known.
pub(super) fn zone_offset(name: &str) -> Result<i64> {
    match name {
        "UTC" | "Etc/UTC" | "GMT" | "Z" => Ok(0),
        "Asia/Kolkata" | "Asia/Calcutta" => Ok(5 * HOUR + 30 * MINUTE),
        signed if signed.starts_with(['+', '-']) => {
            offset(signed).ok_or_else(|| invalid(format!("Invalid time zone: {name}")))
        }
        _ => Err(unsupported(format!("time zone `{name}`"))),
    }
}

fn offset(text: &str) -> Option<i64> {
    let mut rest = Text(text.get(1..)?);
    let mut offset = rest.number(1, 2)? * HOUR;
    if rest.take(&[':']).is_some() {
        offset += rest.number(1, 2)? * MINUTE;
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    (rest.0.is_empty() && offset <= 14 * HOUR).then_some(sign * offset)
}

pub(super) fn date_text(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The text of a time of day, with no, three or six digits after the second.
pub(super) fn time_text(micros: i64) -> String {
    let (hour, minute) = (micros / HOUR, micros / MINUTE % 60);
    let (second, fraction) = (micros / SECOND % 60, micros % SECOND);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    if fraction == 0 {
        clock
    } else if fraction % 1000 == 0 {
        format!("{clock}.{:03}", fraction / 1000)
    } else {
        format!("{clock}.{fraction:06}")
    }
}

/// Date and time with a separator between them.
pub(super) fn date_time_text(micros: i64, separator: char) -> String {
    let date = date_text(micros.div_euclid(DAY));
    let time = time_text(micros.rem_euclid(DAY));
    format!("{date}{separator}{time}")
}

/// A civil time with a number of parts added to it; a day that its month has not becomes the last one.
pub(super) fn add(micros: i64, part: Part, count: i64, what: &str) -> Result<i64> {
    let overflow = || invalid(format!("{what} is out of supported range"));
    if let Some(length) = part.length() {
        let moved = count
            .checked_mul(length)
            .and_then(|add| micros.checked_add(add));
        return check_micros(moved.ok_or_else(overflow)?, what);
    }
    let Some(months) = part.months().and_then(|months| months.checked_mul(count)) else {
        return Err(overflow());
    };
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let total = (year * 12 + month - 1)
        .checked_add(months)
        .ok_or_else(overflow)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(month_length(year, month));
    let days = days_of(year, month, day).ok_or_else(overflow)?;
    Ok(days * DAY + micros.rem_euclid(DAY))
}

/// The beginning of the part that a civil time is in.
pub(super) fn truncate(micros: i64, part: Part) -> Option<i64> {
    let days = micros.div_euclid(DAY);
    let (year, month, _) = civil(days);
    Some(match part {
        Part::Week(first) => (days - week_day(days, first)) * DAY,
        Part::IsoWeek => (days - week_day(days, 1)) * DAY,
        Part::Month => days_of(year, month, 1)? * DAY,
        Part::Quarter => days_of(year, (month - 1) / 3 * 3 + 1, 1)? * DAY,
        Part::Year => days_of(year, 1, 1)? * DAY,
        fixed => micros - micros.rem_euclid(fixed.length()?),
    })
}

/// How often a civil clock passes into a new part between two times.
pub(super) fn boundaries(later: i64, earlier: i64, part: Part) -> Option<i64> {
    let months = |micros: i64| {
        let (year, month, _) = civil(micros.div_euclid(DAY));
        year * 12 + month - 1
    };
    if let Some(length) = part.months() {
        return Some(months(later).div_euclid(length) - months(earlier).div_euclid(length));
    }
    let length = part.length()?;
    let begin = |micros| truncate(micros, part).map(|begin| begin.div_euclid(length));
    match part {
        Part::Week(_) | Part::IsoWeek => {
            Some((truncate(later, part)? - truncate(earlier, part)?) / length)
        }
        _ => Some(begin(later)? - begin(earlier)?),
    }
}

/// The number of a part in a civil time.
pub(super) fn extract(micros: i64, part: Part) -> Option<i64> {
    let days = micros.div_euclid(DAY);
    let clock = micros.rem_euclid(DAY);
    let (year, month, day) = civil(days);
    Some(match part {
        Part::Microsecond => clock % SECOND,
        Part::Millisecond => clock % SECOND / 1000,
        Part::Second => clock / SECOND % 60,
        Part::Minute => clock / MINUTE % 60,
        Part::Hour => clock / HOUR,
        Part::Day => day,
        Part::DayOfWeek => week_day(days, 0) + 1,
        Part::DayOfYear => days - days_of(year, 1, 1)? + 1,
        Part::Month => month,
        Part::Quarter => (month - 1) / 3 + 1,
        Part::Year => year,
        Part::Week(_) | Part::Date | Part::Time | Part::IsoWeek | Part::IsoYear => return None,
    })
}

/// How many days after the first day of its week, which is counted from Sunday, a day is.
fn week_day(days: i64, first: i64) -> i64 {
    (days + 4 - first).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), Some(days));
        }
        assert_eq!(days_of(2000, 2, 29), Some(11_016));
        assert_eq!(days_of(1900, 2, 29), None);
    }

    #[test]
    fn instants_take_every_zone_that_is_exact() {
        let noon = Some(1_704_110_400_000_000);
        for text in [
            "2024-01-01 12:00:00",
            "2024-01-01T12:00:00Z",
            "2024-01-01 17:30:00+05:30",
            "2024-1-1 17:30:0 Asia/Kolkata",
            "2024-01-01 07:00:00-5",
            "2024-01-01 12:00:00.000000 UTC",
        ] {
            assert_eq!(parse_timestamp(text), Ok(noon), "{text}");
        }
        assert_eq!(parse_timestamp("2024-01-01T25:00:00Z"), Ok(None));
        assert!(parse_timestamp("2024-01-01 12:00:00 Europe/Berlin").is_err());
    }

    #[test]
    fn months_keep_the_day_or_take_the_last() {
        let day = |text: &str| parse_date(text).unwrap() * DAY;
        let moved = add(day("2024-01-31"), Part::Month, 1, "DATE_ADD").unwrap();
        assert_eq!(moved, day("2024-02-29"));
        assert_eq!(
            truncate(day("2024-05-15"), Part::Week(1)),
            Some(day("2024-05-13"))
        );
        assert_eq!(
            boundaries(day("2024-01-01"), day("2023-12-31"), Part::Year),
            Some(1)
        );
    }

    #[test]
    fn fractions_have_three_or_six_digits() {
        assert_eq!(time_text(0), "00:00:00");
        assert_eq!(time_text(100_000), "00:00:00.100");
        assert_eq!(time_text(1), "00:00:00.000001");
    }
}
