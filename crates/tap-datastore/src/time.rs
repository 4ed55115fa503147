//! Times of the service (`YYYY-MM-DD HH:MM:SS[:mmm]` in the project's zone, without an offset) to and from
//! UTC.
//!
//! Where a zone repeats an hour, or leaves one out, a text stands for the earliest instant that it can
//! mean. Whoever compares with a bookmark looks back by more than that hour.

use chrono::{NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use singer_core::value::time::{DAY, parse_date, parse_time};

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// Days whose offset is remembered. A table's rows are of few days at a time.
const DAYS: usize = 512;

/// How times are written into a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `2025-02-02 08:00:00`
    Seconds,
    /// `2025-02-02 08:00:00:000`
    Milliseconds,
}

/// The project's zone. A clone has a memory of its own.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    tz: Tz,
    /// Offsets in seconds of whole local days on which the clocks did not change, by day modulo [`DAYS`].
    days: Vec<(i64, i64)>,
}

impl Zone {
    /// A zone.
    pub(crate) fn new(tz: Tz) -> Self {
        Self {
            tz,
            days: vec![(i64::MIN, 0); DAYS],
        }
    }

    /// The instant of a text, in microseconds since 1970 UTC; nothing if the text is no time.
    pub(crate) fn instant(&mut self, text: &str) -> Option<i64> {
        let local = local(text)?;
        let day = local.div_euclid(DAY);
        let (known, offset) = self.days[day.rem_euclid(DAYS as i64) as usize];
        if known == day {
            return Some(local - offset * SECOND);
        }
        self.slow_instant(local, day)
    }

    /// The local text of an instant, cut to the second or the millisecond.
    pub(crate) fn text(&self, instant: i64, form: Form) -> Option<String> {
        let utc = chrono::DateTime::from_timestamp_micros(instant)?.naive_utc();
        let local = self.tz.from_utc_datetime(&utc).naive_local();
        let whole = local.format("%Y-%m-%d %H:%M:%S");
        Some(match form {
            Form::Seconds => whole.to_string(),
            Form::Milliseconds => {
                let milliseconds = instant.div_euclid(1000).rem_euclid(1000);
                format!("{whole}:{milliseconds:03}")
            }
        })
    }

    fn slow_instant(&mut self, local: i64, day: i64) -> Option<i64> {
        let start = naive(day * DAY)?;
        let (first, last) = (
            self.only_offset(start),
            self.only_offset(naive((day + 1) * DAY)?),
        );
        if let (Some(first), Some(last)) = (first, last)
            && first == last
        {
            self.days[day.rem_euclid(DAYS as i64) as usize] = (day, first);
            return Some(local - first * SECOND);
        }
        Some(local - self.greatest_offset(naive(local)?) * SECOND)
    }

    /// The offset of a local time, if there is just one.
    fn only_offset(&self, local: NaiveDateTime) -> Option<i64> {
        let offset = self.tz.offset_from_local_datetime(&local).single()?;
        Some(i64::from(offset.fix().local_minus_utc()))
    }

    /// The greatest offset that a local time can have, which makes the earliest instant of it. A time that
    /// the clocks leave out has those of the days around it.
    fn greatest_offset(&self, local: NaiveDateTime) -> i64 {
        let of = |local: NaiveDateTime| {
            let offset = self.tz.offset_from_local_datetime(&local).earliest();
            offset.map(|offset| i64::from(offset.fix().local_minus_utc()))
        };
        // A day and an hour: islands have left out a whole day by crossing the date line.
        let around = TimeDelta::hours(25);
        of(local)
            .or_else(|| of(local - around).max(of(local + around)))
            .unwrap_or(0)
    }
}

/// The milliseconds that a text of local time holds, as if it were UTC, in microseconds.
fn local(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let midnight = parse_date(date)?.checked_mul(DAY)?;
    let Some(time) = time.strip_prefix([' ', 'T']) else {
        return time.is_empty().then_some(midnight);
    };
    let (seconds, rest) = time.split_at_checked(8)?;
    // A time of day with an offset is none of the service's.
    let (seconds, None) = parse_time(seconds)? else {
        return None;
    };
    Some(midnight + seconds + fraction(rest)?)
}

/// `:mmm`, or `.mmm` as the rest of the world has it; one to six digits.
fn fraction(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let colon = text.strip_prefix(':');
    let digits = colon.or_else(|| text.strip_prefix('.'))?;
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    Some(match colon {
        // Behind a colon stands a number of milliseconds, `:7` as well as `:007`.
        Some(_) if digits.len() <= 3 => number * 1000,
        _ => number * 10_i64.pow(6 - digits.len() as u32),
    })
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    Some(chrono::DateTime::from_timestamp_micros(micros)?.naive_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use singer_core::value::time::{Fraction, parse_timestamp, write_timestamp};

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::new(name.parse().unwrap())
    }

    fn utc(zone: &mut Zone, text: &str) -> String {
        let mut out = Vec::new();
        write_timestamp(&mut out, zone.instant(text).unwrap(), Fraction::AsNeeded);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_moved_from_their_zone_to_utc() {
        let mut berlin = zone("Europe/Berlin");
        for (text, wanted) in [
            ("2025-01-14 10:05:11:402", "2025-01-14T09:05:11.402000Z"),
            ("2025-07-14 10:05:11:002", "2025-07-14T08:05:11.002000Z"),
            ("2025-07-14 10:05:11", "2025-07-14T08:05:11Z"),
            ("2025-07-14T10:05:11.5", "2025-07-14T08:05:11.500000Z"),
            ("2025-07-14 10:05:11:7", "2025-07-14T08:05:11.007000Z"),
            ("2025-07-14", "2025-07-13T22:00:00Z"),
            ("1893-04-01 00:03:00", "1893-03-31T23:03:00Z"),
        ] {
            assert_eq!(utc(&mut berlin, text), wanted, "{text}");
            assert_eq!(utc(&mut berlin, text), wanted, "{text} from memory");
        }
        assert_eq!(
            utc(&mut zone("Asia/Kolkata"), "2025-01-01 05:30:00"),
            "2025-01-01T00:00:00Z"
        );
    }

    #[test]
    fn an_hour_that_comes_twice_or_never_is_the_earliest_it_can_be() {
        let mut berlin = zone("Europe/Berlin");
        for (text, wanted) in [
            ("2025-10-26 02:30:00", "2025-10-26T00:30:00Z"),
            ("2025-10-26 03:00:00", "2025-10-26T02:00:00Z"),
            ("2025-03-30 02:30:00", "2025-03-30T00:30:00Z"),
            ("2025-03-30 03:30:00", "2025-03-30T01:30:00Z"),
        ] {
            assert_eq!(utc(&mut berlin, text), wanted, "{text}");
        }
        assert_eq!(
            utc(&mut zone("Pacific/Apia"), "2011-12-30 12:00:00"),
            "2011-12-29T22:00:00Z"
        );
    }

    #[test]
    fn what_is_no_time_is_nothing() {
        let mut utc = zone("UTC");
        for text in [
            "",
            "2025-02-30 00:00:00",
            "2025-02-03 00:00",
            "2025-02-03 00:00:00:",
            "2025-02-03 00:00:00:1234567",
            "2025-02-03 00:00:00Z",
            "2025-02-03x00:00:00",
            "soon",
            "é025-02-03 00:00:00",
        ] {
            assert_eq!(utc.instant(text), None, "{text}");
        }
    }

    #[test]
    fn questions_have_the_text_of_the_zone() {
        let berlin = zone("Europe/Berlin");
        let instant = parse_timestamp("2025-07-14T08:05:11.402Z").unwrap();
        let text = |form| berlin.text(instant, form).unwrap();
        assert_eq!(text(Form::Seconds), "2025-07-14 10:05:11");
        assert_eq!(text(Form::Milliseconds), "2025-07-14 10:05:11:402");
    }

    proptest! {
        #[test]
        fn texts_come_back_but_for_the_repeated_hour(
            seconds in -2_000_000_000_i64..4_000_000_000,
            milliseconds in 0_i64..1000,
        ) {
            let instant = seconds * SECOND + milliseconds * 1000;
            for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"] {
                let mut zone = zone(name);
                let text = zone.text(instant, Form::Milliseconds).unwrap();
                let back = zone.instant(&text).unwrap();
                prop_assert!(back <= instant && instant - back <= 2 * 3600 * SECOND, "{name} {text}");
                prop_assert_eq!(zone.text(back, Form::Milliseconds).unwrap(), text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}|[-0-9T:.Z ]{0,30}") {
            zone("Europe/Berlin").instant(&text);
        }
    }
}
