//! Values as text: what the service takes for a date, a time, an instant, a decimal number, and how it
//! writes them. Facts: section 3.

use chrono::{Datelike, NaiveDate};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The largest whole part of a BIGNUMERIC.
const LARGEST_BIG: &str = "578960446186580977117854925043439539266";

/// `YYYY-MM-DD`, as days since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4, 4)?;
    let month = digits(parts.next()?, 1, 2)?;
    let day = digits(parts.next()?, 1, 2)?;
    if year == 0 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year.try_into().ok()?, month, day)?;
    Some(date.num_days_from_ce() - epoch_days())
}

/// `HH:MM:SS[.ffffff]`, as microseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hour = digits(parts.next()?, 1, 2)?;
    let minute = digits(parts.next()?, 1, 2)?;
    let seconds = parts.next()?;
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let second = digits(second, 1, 2)?;
    if hour > 23 || minute > 59 || second > 59 || seconds.ends_with('.') {
        return None;
    }
    let micros = if fraction.is_empty() {
        0
    } else {
        let digit_count = u32::try_from(fraction.len()).ok()?;
        digits(fraction, 1, 6)? * 10u32.pow(6 - digit_count)
    };
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(seconds * 1_000_000 + i64::from(micros))
}

/// `YYYY-MM-DD`, then `T` or a space and a time, if there is one: microseconds since 1970.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = text
        .split_once(['T', 't', ' '])
        .map_or((text, None), |(date, time)| (date, Some(time)));
    let time = time.map_or(Some(0), parse_time)?;
    Some(i64::from(parse_date(date)?) * DAY + time)
}

/// A civil time with `Z`, `UTC` or an offset behind it, UTC without: microseconds since 1970.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let (civil, offset) = split_zone(text)?;
    let micros = parse_datetime(civil)? - offset;
    let in_range = (parse_datetime("0001-01-01")?..=parse_datetime("9999-12-31T23:59:59.999999")?)
        .contains(&micros);
    in_range.then_some(micros)
}

/// Seconds since 1970 with up to six digits behind the point: microseconds.
pub(crate) fn parse_epoch_seconds(text: &str) -> Option<i64> {
    let plain = plain_decimal(text)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if fraction.len() > 6 {
        return None;
    }
    let micros: i64 = format!("{whole}{fraction:0<6}").parse().ok()?;
    format_timestamp(micros).map(|_| micros)
}

/// Days since 1970 as `YYYY-MM-DD`.
pub(crate) fn format_date(days: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(epoch_days())?)?;
    (1..=9999)
        .contains(&date.year())
        .then(|| date.format("%Y-%m-%d").to_string())
}

/// Microseconds since midnight as `HH:MM:SS[.ffffff]`.
pub(crate) fn format_time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let fraction = micros % 1_000_000;
    let text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction == 0 {
        text
    } else {
        format!("{text}.{fraction:06}")
    }
}

/// Microseconds since 1970 as `YYYY-MM-DDTHH:MM:SS[.ffffff]`.
pub(crate) fn format_datetime(micros: i64) -> Option<String> {
    let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
    let time = format_time(micros.rem_euclid(DAY));
    Some(format!("{}T{time}", format_date(days)?))
}

/// Microseconds since 1970 as an instant in UTC.
pub(crate) fn format_timestamp(micros: i64) -> Option<String> {
    format_datetime(micros).map(|text| text + "Z")
}

/// How many digits a decimal type holds, and what becomes of those behind the point that it does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    /// Digits before the point.
    pub(crate) whole: usize,
    /// Digits behind the point.
    pub(crate) scale: usize,
    pub(crate) excess: Excess,
}

/// What becomes of digits behind the point that a column has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Refuse,
    Round,
}

/// A decimal number in the one form in which it is kept, if the type holds it.
pub(crate) fn parse_decimal(text: &str, decimal: Decimal) -> Option<String> {
    let plain = plain_decimal(text)?;
    let (sign, magnitude) = match plain.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", plain.as_str()),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let rounded = if fraction.len() <= decimal.scale {
        magnitude.to_owned()
    } else if decimal.excess == Excess::Round {
        round(whole, fraction, decimal.scale)
    } else {
        return None;
    };
    let rounded = canonical(&rounded);
    let whole = rounded.split('.').next().unwrap_or("0");
    let whole_digits = if whole == "0" { 0 } else { whole.len() };
    let is_largest_big = decimal.whole == LARGEST_BIG.len() && whole_digits == decimal.whole;
    if whole_digits > decimal.whole || (is_largest_big && whole > LARGEST_BIG) {
        return None;
    }
    Some(if rounded == "0" {
        rounded
    } else {
        format!("{sign}{rounded}")
    })
}

/// A number without exponent and superfluous zeros: `-12.5`, `0`.
pub(crate) fn plain_decimal(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (true, mantissa),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    if !(-400..=400).contains(&exponent) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let length = i32::try_from(digits.len()).ok()?;
    let shifted = if point <= 0 {
        let zeros = "0".repeat(usize::try_from(-point).ok()?);
        format!("0.{zeros}{digits}")
    } else if point >= length {
        let zeros = "0".repeat(usize::try_from(point - length).ok()?);
        format!("{digits}{zeros}")
    } else {
        let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
        format!("{whole}.{fraction}")
    };
    let canonical = canonical(&shifted);
    Some(if negative && canonical != "0" {
        format!("-{canonical}")
    } else {
        canonical
    })
}

/// Without zeros that say nothing.
fn canonical(magnitude: &str) -> String {
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// Rounds half away from zero to `scale` digits behind the point.
fn round(whole: &str, fraction: &str, scale: usize) -> String {
    let kept = fraction.get(..scale).unwrap_or(fraction);
    let up = fraction
        .as_bytes()
        .get(scale)
        .is_some_and(|digit| *digit >= b'5');
    let mut digits: Vec<u8> = format!("0{whole}{kept}").into_bytes();
    if up {
        for digit in digits.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                break;
            }
        }
    }
    let point = digits.len() - scale;
    let text: String = digits.into_iter().map(char::from).collect();
    let (whole, fraction) = text.split_at_checked(point).unwrap_or((&text, ""));
    format!("{whole}.{fraction}")
}

fn digits(text: &str, shortest: usize, longest: usize) -> Option<u32> {
    let good = (shortest..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// Splits an instant into the civil time and the offset of its zone in microseconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    for utc in ["Z", "z", " UTC"] {
        if let Some(civil) = text.strip_suffix(utc) {
            return Some((civil.trim_end(), 0));
        }
    }
    // The date has two dashes of its own.
    let Some((clock, _)) = text.split_once(':').map(|(before, _)| (before.len(), ())) else {
        return Some((text, 0));
    };
    let (head, tail) = text.split_at_checked(clock)?;
    let Some(sign) = tail.find(['+', '-']) else {
        return Some((text, 0));
    };
    let (civil, zone) = text.split_at_checked(head.len() + sign)?;
    let negative = zone.starts_with('-');
    let zone = zone.trim_start_matches(['+', '-']);
    let (hours, minutes) = match zone.split_once(':') {
        Some((hours, minutes)) => (digits(hours, 1, 2)?, digits(minutes, 2, 2)?),
        None if zone.len() == 4 => {
            let (hours, minutes) = zone.split_at_checked(2)?;
            (digits(hours, 2, 2)?, digits(minutes, 2, 2)?)
        }
        None => (digits(zone, 1, 2)?, 0),
    };
    if hours > 14 || minutes > 59 {
        return None;
    }
    let offset = i64::from(hours * 60 + minutes) * 60_000_000;
    Some((civil.trim_end(), if negative { -offset } else { offset }))
}

fn epoch_days() -> i32 {
    NaiveDate::default().num_days_from_ce()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMERIC: Decimal = Decimal {
        whole: 29,
        scale: 9,
        excess: Excess::Refuse,
    };

    #[test]
    fn dates_and_times_come_back() {
        for date in ["0001-01-01", "1969-12-31", "2024-02-29", "9999-12-31"] {
            assert_eq!(format_date(parse_date(date).unwrap()).unwrap(), date);
        }
        for bad in [
            "2023-02-29",
            "0000-01-01",
            "2023-1",
            "23-01-01",
            "2023-01-01T00:00:00",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        for time in ["00:00:00", "23:59:59.999999", "01:02:03.000400"] {
            assert_eq!(format_time(parse_time(time).unwrap()), time);
        }
        for bad in ["24:00:00", "1:60:00", "1:00", "1:00:00.1234567", "1:00:00."] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_may_have_a_zone() {
        let micros = parse_timestamp("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(micros, 1_767_225_600_000_000);
        for same in [
            "2026-01-01 00:00:00 UTC",
            "2026-01-01T05:30:00+05:30",
            "2025-12-31T16:00:00-0800",
            "2025-12-31 16:00:00-08",
            "2026-01-01",
            "2026-01-01 00:00:00.000000",
        ] {
            assert_eq!(parse_timestamp(same), Some(micros), "{same}");
        }
        for bad in [
            "2026-01-01T00:00:00X",
            "2026-01-01T00:00:00+15:00",
            "soon",
            "",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
        assert_eq!(format_timestamp(micros).unwrap(), "2026-01-01T00:00:00Z");
        assert_eq!(format_timestamp(-1).unwrap(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(parse_epoch_seconds("1767225600.5"), Some(micros + 500_000));
    }

    #[test]
    fn decimals_have_one_form() {
        for (text, kept) in [
            ("-12.50", "-12.5"),
            ("+007", "7"),
            ("-0.0", "0"),
            (".5", "0.5"),
            ("1e3", "1000"),
            ("12.5e-3", "0.0125"),
            ("1.25E1", "12.5"),
        ] {
            assert_eq!(
                parse_decimal(text, NUMERIC).as_deref(),
                Some(kept),
                "{text}"
            );
        }
        for bad in [
            "",
            "-",
            "1.2.3",
            "abc",
            "NaN",
            "0.1234567891",
            &"9".repeat(30),
        ] {
            assert_eq!(parse_decimal(bad, NUMERIC), None, "{bad}");
        }
        let round = Decimal {
            excess: Excess::Round,
            ..NUMERIC
        };
        assert_eq!(parse_decimal("9.9999999995", round).as_deref(), Some("10"));
        assert_eq!(
            parse_decimal("-0.1234567894", round).as_deref(),
            Some("-0.123456789")
        );
    }
}
