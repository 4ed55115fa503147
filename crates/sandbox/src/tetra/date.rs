//! Times as documents and queries write them, and the engine's date math. Facts: section 3.3.

use chrono::{DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, TimeDelta, Timelike, Utc};

/// A point in time from a text that is a whole date and time, or a date.
pub(super) fn read_ms(text: &str) -> Option<i64> {
    read(text, FixedOffset::east_opt(0)?).map(|(ms, _)| ms)
}

/// As documents write it: UTC with milliseconds.
pub(super) fn write_ms(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// As the header `Date` writes it.
pub(super) fn write_http(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// A bound of a query, with date math. What it leaves open goes to the end of its span if `is_upper`.
pub(super) fn resolve(text: &str, now_ms: i64, zone: FixedOffset, is_upper: bool) -> Option<i64> {
    let (anchor, math) = match text.strip_prefix("now") {
        Some(math) => ((now_ms, 0), math),
        None => {
            let (anchor, math) = text.split_once("||").unwrap_or((text, ""));
            (read(anchor, zone)?, math)
        }
    };
    let (mut ms, span_ms) = anchor;
    if math.is_empty() {
        return Some(if is_upper { ms + span_ms } else { ms });
    }
    let mut rest = math;
    while !rest.is_empty() {
        let mut characters = rest.chars();
        let sign = characters.next()?;
        let tail = characters.as_str();
        let digits = tail.chars().take_while(char::is_ascii_digit).count();
        let (amount, tail) = tail.split_at_checked(digits)?;
        let mut characters = tail.chars();
        let unit = characters.next()?;
        rest = characters.as_str();
        ms = match sign {
            '+' | '-' => {
                let amount: i64 = if amount.is_empty() {
                    1
                } else {
                    amount.parse().ok()?
                };
                shift(ms, if sign == '+' { amount } else { -amount }, unit)?
            }
            '/' if amount.is_empty() => {
                let start = round_down(ms, unit, zone)?;
                if is_upper {
                    shift(start, 1, unit)? - 1
                } else {
                    start
                }
            }
            _ => return None,
        };
    }
    Some(ms)
}

/// An offset as `time_zone` names it.
pub(super) fn read_zone(text: &str) -> Option<FixedOffset> {
    match text {
        "Z" | "UTC" | "GMT" => FixedOffset::east_opt(0),
        _ => read_offset(text),
    }
}

/// A time that stands in a text field, which the index takes for one: at least a whole date.
pub(super) fn detect(text: &str) -> Option<i64> {
    read_ms(text).filter(|_| text.len() >= 10)
}

/// The start of what a text names, and the milliseconds that it leaves open: a year, with as much of
/// `2024-05-01T10:20:30.123+02:00` behind it as is wanted, each part in its full width. In the engine's
/// words that is `strict_date_optional_time`.
fn read(text: &str, zone: FixedOffset) -> Option<(i64, i64)> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|part| digits(part, 2));
    let day = parts.next().map(|part| digits(part, 2));
    if parts.next().is_some() || (time.is_some() && day.is_none()) {
        return None;
    }
    let first = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        month.unwrap_or(Some(1))?,
        day.unwrap_or(Some(1))?,
    )?;
    let days = match (month, day) {
        (None, _) => first.checked_add_months(Months::new(12))? - first,
        (Some(_), None) => first.checked_add_months(Months::new(1))? - first,
        _ => TimeDelta::days(1),
    };
    let midnight = first.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
    let (clock, zone) = match time {
        None => ((0, days.num_milliseconds() - 1), zone),
        Some(time) => {
            let (clock, own) = split_zone(time)?;
            (read_clock(clock)?, own.unwrap_or(zone))
        }
    };
    let (since_midnight, span) = clock;
    let ms = midnight + since_midnight - i64::from(zone.local_minus_utc()) * 1000;
    Some((ms, span))
}

/// `10:20:30.123` in milliseconds, with those that it leaves open.
fn read_clock(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut parts = whole.split(':');
    let mut part = |most: u32| match parts.next() {
        None => Some(None),
        Some(part) => digits(part, 2).filter(|number| *number <= most).map(Some),
    };
    let (hour, minute, second) = (part(23)??, part(59)?, part(59)?);
    if parts.next().is_some() {
        return None;
    }
    let seconds = hour * 3600 + minute.unwrap_or(0) * 60 + second.unwrap_or(0);
    let (ms, span) = match (minute, second, fraction) {
        (None, _, None) => (0, 3_599_999),
        (Some(_), None, None) => (0, 59_999),
        (_, Some(_), None) => (0, 999),
        (_, Some(_), Some(fraction)) if (1..=9).contains(&fraction.len()) => {
            digits(fraction, fraction.len())?;
            let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
            (thousandths.parse().ok()?, 0)
        }
        _ => return None,
    };
    Some((i64::from(seconds) * 1000 + ms, span))
}

/// A time of day, and the offset behind it if there is one.
fn split_zone(text: &str) -> Option<(&str, Option<FixedOffset>)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, FixedOffset::east_opt(0)));
    }
    match text.find(['+', '-']) {
        None => Some((text, None)),
        Some(place) => {
            let (clock, zone) = text.split_at_checked(place)?;
            Some((clock, Some(read_offset(zone)?)))
        }
    }
}

/// `+02:00`, `+0200` or `+02`.
fn read_offset(text: &str) -> Option<FixedOffset> {
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "00"),
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    FixedOffset::east_opt(sign * seconds).filter(|_| hours <= 18 && minutes <= 59)
}

/// A number of so many digits.
fn digits(text: &str, width: usize) -> Option<u32> {
    let is_number = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn shift(ms: i64, amount: i64, unit: char) -> Option<i64> {
    let time = DateTime::from_timestamp_millis(ms)?;
    let magnitude = amount.unsigned_abs();
    let months = |count: u64| -> Option<DateTime<Utc>> {
        let months = Months::new(u32::try_from(count).ok()?);
        if amount < 0 {
            time.checked_sub_months(months)
        } else {
            time.checked_add_months(months)
        }
    };
    let days = |count: u64| {
        if amount < 0 {
            time.checked_sub_days(Days::new(count))
        } else {
            time.checked_add_days(Days::new(count))
        }
    };
    let shifted = match unit {
        'y' => months(magnitude.checked_mul(12)?)?,
        'M' => months(magnitude)?,
        'w' => days(magnitude.checked_mul(7)?)?,
        'd' => days(magnitude)?,
        'h' | 'H' => time.checked_add_signed(TimeDelta::try_hours(amount)?)?,
        'm' => time.checked_add_signed(TimeDelta::try_minutes(amount)?)?,
        's' => time.checked_add_signed(TimeDelta::try_seconds(amount)?)?,
        _ => return None,
    };
    Some(shifted.timestamp_millis())
}

fn round_down(ms: i64, unit: char, zone: FixedOffset) -> Option<i64> {
    let time = DateTime::from_timestamp_millis(ms)?.with_timezone(&zone);
    let time = time.with_nanosecond(0)?;
    let time = match unit {
        's' => return Some(time.timestamp_millis()),
        'm' => time.with_second(0)?,
        'h' | 'H' => time.with_second(0)?.with_minute(0)?,
        _ => time.with_second(0)?.with_minute(0)?.with_hour(0)?,
    };
    let time = match unit {
        'm' | 'h' | 'H' | 'd' => time,
        'w' => {
            time.checked_sub_days(Days::new(u64::from(time.weekday().num_days_from_monday())))?
        }
        'M' => time.with_day(1)?,
        'y' => time.with_day(1)?.with_month(1)?,
        _ => return None,
    };
    Some(time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, is_upper: bool) -> String {
        let now = read_ms("2024-05-15T10:20:30.400Z").unwrap();
        resolve(text, now, read_zone("UTC").unwrap(), is_upper).map_or("none".to_owned(), write_ms)
    }

    #[test]
    fn date_math_moves_and_rounds() {
        assert_eq!(at("now-1d/d", false), "2024-05-14T00:00:00.000Z");
        assert_eq!(at("now/d", true), "2024-05-15T23:59:59.999Z");
        assert_eq!(at("now+2h-30m", false), "2024-05-15T11:50:30.400Z");
        assert_eq!(at("2024-01-31||+1M", false), "2024-02-29T00:00:00.000Z");
        assert_eq!(at("now/w", false), "2024-05-13T00:00:00.000Z");
        assert_eq!(at("now/y", false), "2024-01-01T00:00:00.000Z");
        for wrong in ["now-1x", "now*1d", "yesterday", "now/1d", ""] {
            assert_eq!(at(wrong, false), "none", "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_strictly_as_the_engine_does() {
        for (text, ms) in [
            ("2024", "2024-01-01T00:00:00.000Z"),
            ("2024-05", "2024-05-01T00:00:00.000Z"),
            ("2024-05-01T10", "2024-05-01T10:00:00.000Z"),
            ("2024-05-01T10:20", "2024-05-01T10:20:00.000Z"),
            ("2024-05-01T10:20+0200", "2024-05-01T08:20:00.000Z"),
            ("2024-05-01T10:20:30-05", "2024-05-01T15:20:30.000Z"),
            ("2024-05-01T10:20:30.12Z", "2024-05-01T10:20:30.120Z"),
            ("2024-05-01T10:20:30.123456789Z", "2024-05-01T10:20:30.123Z"),
        ] {
            assert_eq!(read_ms(text).map(write_ms).as_deref(), Some(ms), "{text}");
        }
        for wrong in [
            "2024-5-1",
            "2024-05-01 10:20:30Z",
            "2024-05-01t10:20:30z",
            "2024-05-01T10:20:60Z",
            "2024-05-01T24:00:00Z",
            "2024-02-30",
            "2024-05T10:00:00Z",
            "2024-05-01T10:20.5Z",
            "2024-05-01T10:20:30.Z",
            "2024-05-01T10:20:30.1234567890Z",
            "2024-05-01T10:20:30+2",
            "24-05-01",
            "2024-05-01T",
            "2024-05-01Z",
        ] {
            assert_eq!(read_ms(wrong), None, "{wrong}");
        }
        assert_eq!(at("2024-05", true), "2024-05-31T23:59:59.999Z");
        assert_eq!(at("2024", true), "2024-12-31T23:59:59.999Z");
        assert_eq!(detect("2024"), None);
    }

    #[test]
    fn what_a_bound_leaves_open_is_filled() {
        assert_eq!(at("2024-05-01", true), "2024-05-01T23:59:59.999Z");
        assert_eq!(at("2024-05-01T10:00:00Z", true), "2024-05-01T10:00:00.999Z");
        assert_eq!(
            at("2024-05-01T10:00:00+02:00", false),
            "2024-05-01T08:00:00.000Z"
        );
        assert_eq!(
            at("2024-05-01T10:00:00.5Z", true),
            "2024-05-01T10:00:00.500Z"
        );
        assert_eq!(at("2024-05-01T10:00:00", false), "2024-05-01T10:00:00.000Z");
        let zone = read_zone("+02:00").unwrap();
        let ms = resolve("2024-05-01", 0, zone, false).unwrap();
        assert_eq!(write_ms(ms), "2024-04-30T22:00:00.000Z");
    }
}
