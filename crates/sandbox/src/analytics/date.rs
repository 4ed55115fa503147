//! Dates and times in cells: patterns of Java letters, and the few forms that are recognized without
//! one. Facts: section 4.

use chrono::{Datelike, Duration, NaiveDate, NaiveTime, Timelike};

use super::datatype::DataType;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Forms that are recognized without a pattern.
const RECOGNIZED: [&str; 9] = [
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd",
    "yyyy-MM-dd HH:mm",
    "yyyy-MM-dd'T'HH:mm:ss",
    "dd MMM, yyyy HH:mm:ss",
    "dd MMM, yyyy",
    "dd/MM/yyyy HH:mm:ss",
    "dd/MM/yyyy",
    "MMM dd, yyyy",
];

/// A pattern of Java letters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    /// So many digits, or up to two of them where the letter stands alone.
    Digits(Field, usize),
    MonthName,
    DayName,
    HalfOfDay,
    Zone,
    Literal(char),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Year,
    ShortYear,
    Month,
    Day,
    Hour,
    HourOfHalf,
    Minute,
    Second,
    Millis,
}

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    date: NaiveDate,
    time: NaiveTime,
    pub(crate) millis: u32,
}

impl Pattern {
    /// Reads a pattern; `None` if it has letters that mean nothing.
    pub(crate) fn parse(text: &str) -> Option<Pattern> {
        let mut pieces = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            if letter == '\'' {
                let mut is_closed = false;
                for quoted in rest.by_ref() {
                    if quoted == '\'' {
                        is_closed = true;
                        break;
                    }
                    pieces.push(Piece::Literal(quoted));
                }
                if !is_closed {
                    return None;
                }
                continue;
            }
            if !letter.is_ascii_alphabetic() {
                pieces.push(Piece::Literal(letter));
                continue;
            }
            let mut count = 1;
            while rest.next_if_eq(&letter).is_some() {
                count += 1;
            }
            pieces.push(piece(letter, count)?);
        }
        (!pieces.is_empty()).then_some(Pattern { pieces })
    }

    /// Whether it has a place for milliseconds.
    pub(crate) fn has_millis(&self) -> bool {
        let is_millis = |piece: &Piece| matches!(piece, Piece::Digits(Field::Millis, _));
        self.pieces.iter().any(is_millis)
    }

    /// Reads a text that matches to its end.
    pub(crate) fn read(&self, text: &str) -> Option<Moment> {
        let mut found = Found::default();
        let mut rest = text;
        for piece in &self.pieces {
            rest = found.read(*piece, rest)?;
        }
        if rest.is_empty() {
            found.moment()
        } else {
            None
        }
    }
}

fn piece(letter: char, count: usize) -> Option<Piece> {
    let piece = match (letter, count) {
        ('y', 4) => Piece::Digits(Field::Year, 4),
        ('y', 2) => Piece::Digits(Field::ShortYear, 2),
        ('M', 1 | 2) => Piece::Digits(Field::Month, count),
        ('M', 3 | 4) => Piece::MonthName,
        ('d', 1 | 2) => Piece::Digits(Field::Day, count),
        ('E', 1..=4) => Piece::DayName,
        ('H', 1 | 2) => Piece::Digits(Field::Hour, count),
        ('h', 1 | 2) => Piece::Digits(Field::HourOfHalf, count),
        ('m', 1 | 2) => Piece::Digits(Field::Minute, count),
        ('s', 1 | 2) => Piece::Digits(Field::Second, count),
        ('S', 3) => Piece::Digits(Field::Millis, 3),
        ('a', 1) => Piece::HalfOfDay,
        ('z' | 'Z', 1) => Piece::Zone,
        _ => return None,
    };
    Some(piece)
}

/// The fields that were read so far.
#[derive(Default)]
struct Found {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    millis: u32,
    is_afternoon: Option<bool>,
    zone_minutes: i64,
}

impl Found {
    fn read<'text>(&mut self, piece: Piece, text: &'text str) -> Option<&'text str> {
        match piece {
            Piece::Literal(literal) => text.strip_prefix(literal),
            Piece::Digits(field, count) => {
                let (number, rest) = digits(text, count)?;
                self.set(field, number);
                Some(rest)
            }
            Piece::MonthName => {
                let (place, rest) = name(&MONTHS, text)?;
                self.month = u32::try_from(place + 1).ok();
                Some(rest)
            }
            Piece::DayName => name(&DAYS, text).map(|(_, rest)| rest),
            Piece::HalfOfDay => {
                let (half, rest) = text.split_at_checked(2)?;
                self.is_afternoon = match half {
                    "AM" | "am" => Some(false),
                    "PM" | "pm" => Some(true),
                    _ => return None,
                };
                Some(rest)
            }
            Piece::Zone => {
                self.zone_minutes = zone(text)?;
                Some("")
            }
        }
    }

    fn set(&mut self, field: Field, number: u32) {
        match field {
            Field::Year => self.year = i32::try_from(number).ok(),
            Field::ShortYear => self.year = i32::try_from(2000 + number).ok(),
            Field::Month => self.month = Some(number),
            Field::Day => self.day = Some(number),
            Field::Hour | Field::HourOfHalf => self.hour = number,
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
            Field::Millis => self.millis = number,
        }
    }

    fn moment(self) -> Option<Moment> {
        let date = NaiveDate::from_ymd_opt(
            self.year.unwrap_or(1970),
            self.month.unwrap_or(1),
            self.day.unwrap_or(1),
        )?;
        let hour = match self.is_afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(is_afternoon) => self.hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        let time = NaiveTime::from_hms_opt(hour, self.minute, self.second)?;
        let moment = date.and_time(time) - Duration::minutes(self.zone_minutes);
        Some(Moment {
            date: moment.date(),
            time: moment.time(),
            millis: self.millis,
        })
    }
}

fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let found = text.bytes().take_while(u8::is_ascii_digit).count();
    let taken = if count == 1 { found.min(2) } else { count };
    if taken == 0 || found < taken {
        return None;
    }
    let (number, rest) = text.split_at_checked(taken)?;
    Some((number.parse().ok()?, rest))
}

/// A name in full, or its first three letters.
fn name<'text>(names: &[&str], text: &'text str) -> Option<(usize, &'text str)> {
    let strip = |length: usize, name: &str| {
        let (head, rest) = text.split_at_checked(length)?;
        head.eq_ignore_ascii_case(name.get(..length)?)
            .then_some(rest)
    };
    names.iter().enumerate().find_map(|(place, name)| {
        let rest = strip(name.len(), name).or_else(|| strip(3, name))?;
        Some((place, rest))
    })
}

/// Minutes ahead of Greenwich.
fn zone(text: &str) -> Option<i64> {
    let offset = match text {
        "Z" | "UTC" | "GMT" => return Some(0),
        other => other.strip_prefix("GMT").unwrap_or(other),
    };
    let (sign, offset) = match offset.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let plain: String = offset.chars().filter(|one| *one != ':').collect();
    let (hours, minutes) = plain.split_at_checked(2)?;
    let minutes: i64 = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(sign * minutes)
}

/// Reads a text without a pattern.
pub(crate) fn recognize(text: &str, is_time: bool) -> Option<Moment> {
    let read = |form: &str| Pattern::parse(form)?.read(text);
    if is_time {
        return read("HH:mm:ss").or_else(|| read("HH:mm"));
    }
    RECOGNIZED.iter().find_map(|form| read(form))
}

impl Moment {
    /// Writes it in the form in which a column of the type keeps it.
    pub(crate) fn write(&self, kind: DataType, kept: &mut Vec<u8>) {
        if kind != DataType::Time {
            push_digits(u32::try_from(self.date.year()).unwrap_or(0), 4, kept);
            kept.push(b'-');
            push_digits(self.date.month(), 2, kept);
            kept.push(b'-');
            push_digits(self.date.day(), 2, kept);
        }
        if kind == DataType::Date {
            kept.push(b' ');
        }
        if kind == DataType::DateAsDate {
            return;
        }
        push_digits(self.time.hour(), 2, kept);
        kept.push(b':');
        push_digits(self.time.minute(), 2, kept);
        kept.push(b':');
        push_digits(self.time.second(), 2, kept);
        if self.millis > 0 {
            kept.push(b'.');
            push_digits(self.millis, 3, kept);
        }
    }
}

fn push_digits(number: u32, count: u32, kept: &mut Vec<u8>) {
    for place in (0..count).rev() {
        let digit = number / 10u32.pow(place) % 10;
        kept.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let moment = Pattern::parse(pattern)?.read(text)?;
        let mut kept = Vec::new();
        moment.write(DataType::Date, &mut kept);
        String::from_utf8(kept).ok()
    }

    #[test]
    fn patterns_read_what_they_say() {
        for (pattern, text, kept) in [
            (
                "yyyy-MM-dd HH:mm:ss",
                "2025-02-03 04:05:06",
                "2025-02-03 04:05:06",
            ),
            (
                "yyyy-MM-dd HH:mm:ss:SSS",
                "2025-02-03 04:05:06:007",
                "2025-02-03 04:05:06.007",
            ),
            (
                "dd MMM, yyyy hh:mm a",
                "03 Feb, 2025 12:05 PM",
                "2025-02-03 12:05:00",
            ),
            ("EEE d MMMM yy", "Mon 3 February 25", "2025-02-03 00:00:00"),
            (
                "yyyy-MM-dd'T'HH:mm:ssz",
                "2025-02-03T00:30:00GMT+05:30",
                "2025-02-02 19:00:00",
            ),
        ] {
            assert_eq!(read(pattern, text).as_deref(), Some(kept), "{pattern}");
        }
    }

    #[test]
    fn what_does_not_match_is_not_read() {
        for (pattern, text) in [
            ("yyyy-MM-dd", "2025-02-30"),
            ("yyyy-MM-dd", "2025-2-3"),
            ("yyyy-MM-dd", "2025-02-03 "),
            ("HH:mm", "24:00"),
            ("hh:mm a", "13:00 PM"),
            ("yyyy-MM-dd QQ", "2025-02-03 01"),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern}");
        }
        assert_eq!(recognize("2025-02-03 04:05:06:007", false), None);
        assert!(recognize("2025-02-03 04:05:06", false).is_some());
    }
}
