//! Dates and times as RFC 3339 text: printed from whole days and microseconds, and read back from
//! every spelling that states of Singer taps hold.
//!
//! A date is a number of days, a time stamp a number of microseconds, both since
//! 1970-01-01T00:00:00Z in the proleptic Gregorian calendar. RFC 3339 has the years 0000 to 9999; of
//! these 0000 is left out too, because databases have no year zero and readers stumble over it.

use super::write_pair;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

const SECOND: i64 = 1_000_000;
/// 0001-01-01 and 9999-12-31.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// How many digits of a second are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraction {
    /// None if the second is whole, else six.
    AsNeeded,
    /// Always six, so that texts sort as their times do.
    Always,
}

/// Appends `YYYY-MM-DD`. Outside the years 1 to 9999 it appends nothing and returns false.
pub fn write_date(out: &mut Vec<u8>, days: i64) -> bool {
    if !(FIRST_DAY..=LAST_DAY).contains(&days) {
        return false;
    }
    let (year, month, day) = civil(days);
    write_pair(out, year / 100);
    write_pair(out, year % 100);
    out.push(b'-');
    write_pair(out, month);
    out.push(b'-');
    write_pair(out, day);
    true
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`. Outside the years 1 to 9999 it appends nothing and
/// returns false.
pub fn write_timestamp(out: &mut Vec<u8>, micros: i64, fraction: Fraction) -> bool {
    if !write_date(out, micros.div_euclid(DAY)) {
        return false;
    }
    out.push(b'T');
    write_time(out, micros.rem_euclid(DAY), fraction);
    out.push(b'Z');
    true
}

/// Appends `HH:MM:SS[.ffffff]` of a time of day; 24:00:00 is one.
pub fn write_time(out: &mut Vec<u8>, micros: i64, fraction: Fraction) {
    let seconds = (micros / SECOND) as u32;
    write_pair(out, seconds / 3600);
    out.push(b':');
    write_pair(out, seconds / 60 % 60);
    out.push(b':');
    write_pair(out, seconds % 60);
    let rest = (micros % SECOND) as u32;
    if rest != 0 || fraction == Fraction::Always {
        out.push(b'.');
        write_pair(out, rest / 10_000);
        write_pair(out, rest / 100 % 100);
        write_pair(out, rest % 100);
    }
}

/// Appends an offset from UTC as `+HH:MM`, with seconds only where there are some.
pub fn write_offset(out: &mut Vec<u8>, seconds_east: i64) {
    out.push(if seconds_east < 0 { b'-' } else { b'+' });
    let seconds = seconds_east.unsigned_abs().min(359_999) as u32;
    write_pair(out, seconds / 3600);
    out.push(b':');
    write_pair(out, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        write_pair(out, seconds % 60);
    }
}

/// Reads a date: `YYYY-MM-DD` and nothing else.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    reader.0.is_empty().then_some(days)
}

/// Reads a time stamp: date and time divided by `T` or a space, up to nine digits of fraction (cut
/// to microseconds), then nothing (which means UTC), `Z`, an offset, or, as an old tap wrote them, an
/// offset and a `Z`. A date alone is its first instant.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let midnight = reader.date()?.checked_mul(DAY)?;
    if reader.0.is_empty() {
        return Some(midnight);
    }
    reader.one_of(b"Tt ")?;
    let time = reader.time()?;
    let offset = match reader.0.first() {
        Some(b'+' | b'-') => reader.offset()?,
        _ => 0,
    };
    if let Some(b'Z' | b'z') = reader.0.first() {
        reader.one_of(b"Zz")?;
    }
    if !reader.0.is_empty() {
        return None;
    }
    midnight.checked_add(time)?.checked_sub(offset * SECOND)
}

/// Reads a time of day, `HH:MM:SS[.f]`, and an offset east of UTC in seconds if one follows.
pub fn parse_time(text: &str) -> Option<(i64, Option<i64>)> {
    let mut reader = Reader(text.as_bytes());
    let time = reader.time()?;
    let offset = match reader.0.first() {
        Some(_) => Some(reader.offset()?),
        None => None,
    };
    reader.0.is_empty().then_some((time, offset))
}

/// What is left of a text that is being read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        wanted.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        self.one_of(b"-")?;
        let month = self.digits(2)?;
        self.one_of(b"-")?;
        let day = self.digits(2)?;
        let valid =
            year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
        valid.then(|| days_from_civil(year, month, day))
    }

    /// Microseconds since midnight.
    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        let micros = self.fraction()?;
        let time = ((hour * 60 + minute) * 60 + second) * SECOND + micros;
        (hour <= 24 && minute < 60 && second <= 60 && time <= DAY).then_some(time)
    }

    fn fraction(&mut self) -> Option<i64> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.one_of(b".")?;
        let count = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let number = self.digits(count)?;
        let scale = 10_i64.pow(count.abs_diff(6) as u32);
        Some(if count <= 6 {
            number * scale
        } else {
            number / scale
        })
    }

    /// Seconds east of UTC: `+HH`, `+HHMM`, `+HH:MM` or `+HH:MM:SS`.
    fn offset(&mut self) -> Option<i64> {
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let mut seconds = self.digits(2)? * 3600;
        if self.one_of(b":").is_some() || self.0.first().is_some_and(u8::is_ascii_digit) {
            seconds += self.digits(2)? * 60;
        }
        if self.one_of(b":").is_some() {
            seconds += self.digits(2)?;
        }
        Some(sign * seconds)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day in the years 1 to 9999.
fn civil(days: i64) -> (u32, u32, u32) {
    // From 0000-03-01 on, which is never negative here.
    let shifted = (days + 719_468) as u32;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    fn print(micros: i64, fraction: Fraction) -> String {
        let mut out = Vec::new();
        write_timestamp(&mut out, micros, fraction);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn dates_agree_with_chrono(days in FIRST_DAY..=LAST_DAY) {
            let mut out = Vec::new();
            prop_assert!(write_date(&mut out, days));
            let text = String::from_utf8(out).unwrap();
            let date = NaiveDate::from_num_days_from_ce_opt(days as i32 + 719_163).unwrap();
            prop_assert_eq!(&text, &format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()));
            prop_assert_eq!(parse_date(&text), Some(days));
        }

        #[test]
        fn time_stamps_come_back(micros in FIRST_DAY * DAY..(LAST_DAY + 1) * DAY) {
            for fraction in [Fraction::AsNeeded, Fraction::Always] {
                let text = print(micros, fraction);
                prop_assert_eq!(parse_timestamp(&text), Some(micros));
                let parsed = DateTime::parse_from_rfc3339(&text).unwrap();
                prop_assert_eq!(parsed.timestamp_micros(), micros);
            }
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}|[-0-9T:.+Z ]{0,40}") {
            parse_timestamp(&text);
            parse_date(&text);
            parse_time(&text);
        }
    }

    #[test]
    fn years_that_rfc_3339_lacks_are_not_printed() {
        for micros in [
            FIRST_DAY * DAY - 1,
            (LAST_DAY + 1) * DAY,
            i64::MIN,
            i64::MAX,
        ] {
            assert_eq!(print(micros, Fraction::AsNeeded), "");
        }
    }

    #[test]
    fn bookmarks_of_every_spelling_are_read() {
        let wanted = Some(1_369_129_121_341_000);
        for text in [
            "2013-05-21T09:38:41.341Z",
            "2013-05-21T09:38:41.341000Z",
            "2013-05-21T09:38:41.341000",
            "2013-05-21 09:38:41.341000000",
            "2013-05-21T11:38:41.341+02:00",
            "2013-05-21T11:38:41.341+0200",
            "2013-05-21T11:38:41.341+02",
            "2013-05-21T09:38:41.341000+00:00Z",
            "2013-05-21T04:08:41.341-05:30",
        ] {
            assert_eq!(parse_timestamp(text), wanted, "{text}");
        }
        assert_eq!(parse_timestamp("2013-05-21"), Some(15_846 * DAY));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2013-02-29T00:00:00Z",
            "2013-05-21T25:00:00Z",
            "2013-05-21T09:38Z",
            "2013-05-21T09:38:41.Z",
            "2013-05-21T09:38:41Zx",
            "0000-01-01T00:00:00Z",
            "infinity",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn times_and_offsets_are_read_and_printed() {
        assert_eq!(parse_time("24:00:00"), Some((DAY, None)));
        assert_eq!(
            parse_time("01:02:03.5-03:30"),
            Some((3_723_500_000, Some(-12_600)))
        );
        let mut out = Vec::new();
        write_time(&mut out, 3_723_500_000, Fraction::AsNeeded);
        write_offset(&mut out, -12_600);
        assert_eq!(out, b"01:02:03.500000-03:30");
    }
}
