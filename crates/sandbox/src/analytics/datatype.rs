//! The types of columns: their names in both directions, and which text a cell of each may hold.
//! Facts: section 2.2.

use super::date::Pattern;
use super::options::{AnalyticsOptions, Emoji, Exponent, LongText, Milliseconds};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataType {
    Plain,
    MultiLine,
    Email,
    Url,
    Number,
    PositiveNumber,
    DecimalNumber,
    Currency,
    Percent,
    AutoNumber,
    Boolean,
    Date,
    DateAsDate,
    Time,
    Duration,
    Geo,
    GeoNum,
}

/// How cells of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Text,
    Number,
}

/// The types with the name that calls use, the name that metadata shows, and their number there.
const NAMES: [(DataType, &str, &str); 17] = [
    (DataType::Plain, "PLAIN", "Plain Text"),
    (DataType::MultiLine, "MULTI_LINE", "Multi Line Text"),
    (DataType::Email, "EMAIL", "E-Mail"),
    (DataType::Url, "URL", "URL"),
    (DataType::Number, "NUMBER", "Number"),
    (
        DataType::PositiveNumber,
        "POSITIVE_NUMBER",
        "Positive Number",
    ),
    (DataType::DecimalNumber, "DECIMAL_NUMBER", "Decimal Number"),
    (DataType::Currency, "CURRENCY", "Currency"),
    (DataType::Percent, "PERCENT", "Percent"),
    (DataType::AutoNumber, "AUTO_NUMBER", "Auto Number"),
    (DataType::Boolean, "BOOLEAN", "Decision Box"),
    (DataType::Date, "DATE", "Date"),
    (DataType::DateAsDate, "DATE_AS_DATE", "Date"),
    (DataType::Time, "TIME", "Time"),
    (DataType::Duration, "DURATION", "Duration"),
    (DataType::Geo, "GEO", "Geo"),
    (DataType::GeoNum, "GEO_NUM", "Geo Number"),
];

impl DataType {
    /// Finds a type by the name that calls use; where two lists spell it differently, by either.
    pub(crate) fn from_name(name: &str) -> Option<DataType> {
        let name = match name {
            "MULTILINE" => "MULTI_LINE",
            "PERCENTAGE" => "PERCENT",
            "AUTONUMBER" => "AUTO_NUMBER",
            other => other,
        };
        let mut names = NAMES.iter();
        names.find_map(|(found, known, _)| (*known == name).then_some(*found))
    }

    /// The name that calls use.
    pub(crate) fn name(self) -> &'static str {
        self.names().1
    }

    /// The name that metadata shows.
    pub(crate) fn shown(self) -> &'static str {
        self.names().2
    }

    /// The number that metadata shows.
    pub(crate) fn id(self) -> usize {
        self as usize + 1
    }

    fn names(self) -> &'static (DataType, &'static str, &'static str) {
        &NAMES[self as usize]
    }

    pub(crate) fn nature(self) -> Nature {
        match self {
            DataType::Number
            | DataType::PositiveNumber
            | DataType::DecimalNumber
            | DataType::Currency
            | DataType::Percent
            | DataType::AutoNumber
            | DataType::GeoNum => Nature::Number,
            _ => Nature::Text,
        }
    }

    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, DataType::Date | DataType::DateAsDate)
    }
}

/// How cells are to be read.
#[derive(Clone, Debug)]
pub(crate) struct CellRules {
    emoji: Emoji,
    exponent: Exponent,
    milliseconds: Milliseconds,
    plain_chars: usize,
    long_text: LongText,
    pub(crate) thousands: Option<u8>,
    pub(crate) decimal: u8,
}

impl CellRules {
    pub(crate) fn new(options: &AnalyticsOptions) -> CellRules {
        CellRules {
            emoji: options.emoji,
            exponent: options.exponent,
            milliseconds: options.milliseconds,
            plain_chars: options.plain_chars,
            long_text: options.long_text,
            thousands: None,
            decimal: b'.',
        }
    }

    /// Appends a cell in the form in which it is kept, or says what is wrong with it. A cell that is
    /// empty stays empty.
    pub(crate) fn read(
        &self,
        kind: DataType,
        pattern: Option<&Pattern>,
        raw: &[u8],
        kept: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if raw.is_empty() {
            return Ok(());
        }
        match kind {
            DataType::Plain => self.text(raw, Some(self.plain_chars), kept),
            DataType::MultiLine | DataType::Geo | DataType::Duration => self.text(raw, None, kept),
            DataType::Email => {
                let at = memchr::memchr(b'@', raw);
                let is_mail = at.is_some_and(|at| at > 0 && at + 1 < raw.len());
                self.checked(raw, is_mail, "Invalid E-Mail value", kept)
            }
            DataType::Url => {
                let is_url = [b"http://".as_slice(), b"https://", b"ftp://", b"www."]
                    .iter()
                    .any(|start| raw.starts_with(start));
                self.checked(raw, is_url, "Invalid URL value", kept)
            }
            DataType::Number => self.integer(raw, true, kept),
            DataType::PositiveNumber | DataType::AutoNumber => self.integer(raw, false, kept),
            DataType::DecimalNumber | DataType::Currency | DataType::Percent | DataType::GeoNum => {
                self.decimal(raw, kept)
            }
            DataType::Boolean => boolean(raw, kept),
            DataType::Date | DataType::DateAsDate | DataType::Time => {
                let text = std::str::from_utf8(raw).map_err(|_| "Invalid Date value")?;
                let moment = match pattern {
                    Some(pattern) => pattern.read(text.trim()),
                    None => super::date::recognize(text.trim(), kind == DataType::Time),
                };
                let mut moment = moment.ok_or("Invalid Date value")?;
                if self.milliseconds != Milliseconds::Keep {
                    moment.millis = 0;
                }
                moment.write(kind, kept);
                Ok(())
            }
        }
    }

    fn checked(
        &self,
        raw: &[u8],
        is_good: bool,
        wrong: &'static str,
        kept: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if is_good {
            self.text(raw, None, kept)
        } else {
            Err(wrong)
        }
    }

    fn text(
        &self,
        raw: &[u8],
        most: Option<usize>,
        kept: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        // Only a byte over 0xEF begins a character outside the basic plane.
        let has_emoji = self.emoji != Emoji::Keep && raw.iter().any(|byte| *byte >= 0xf0);
        let most = most.filter(|most| self.long_text != LongText::Keep && raw.len() > *most);
        if !has_emoji && most.is_none() {
            kept.extend_from_slice(raw);
            return Ok(());
        }
        if has_emoji && self.emoji == Emoji::Refuse {
            return Err("Incorrect string value");
        }
        let text = String::from_utf8_lossy(raw);
        let replaced = text.chars().map(|one| match one {
            outside if has_emoji && outside > '\u{ffff}' => '?',
            other => other,
        });
        let most = most.unwrap_or(usize::MAX);
        let is_long = text.chars().count() > most;
        if is_long && self.long_text == LongText::Refuse {
            return Err("Value exceeds the maximum size of the column");
        }
        let cut: String = replaced.take(most).collect();
        kept.extend_from_slice(cut.as_bytes());
        Ok(())
    }

    fn integer(
        &self,
        raw: &[u8],
        may_be_negative: bool,
        kept: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let plain = self.without_thousands(raw);
        let raw = plain.as_deref().unwrap_or(raw);
        let text = std::str::from_utf8(raw).map_err(|_| "Invalid Number value")?;
        let number: i64 = text.trim().parse().map_err(|_| "Invalid Number value")?;
        if number < 0 && !may_be_negative {
            return Err("Invalid Positive Number value");
        }
        kept.extend_from_slice(number.to_string().as_bytes());
        Ok(())
    }

    fn decimal(&self, raw: &[u8], kept: &mut Vec<u8>) -> Result<(), &'static str> {
        let plain = self.without_thousands(raw);
        let raw = plain.as_deref().unwrap_or(raw).trim_ascii();
        let mut rest = raw;
        if let Some((b'-' | b'+', behind)) = rest.split_first() {
            rest = behind;
        }
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(rest);
        rest = &rest[whole..];
        let mut fraction = 0;
        if let Some((first, behind)) = rest.split_first()
            && *first == self.decimal
        {
            fraction = digits(behind);
            rest = &behind[fraction..];
        }
        if let Some((b'e' | b'E', behind)) = rest.split_first()
            && self.exponent == Exponent::Keep
        {
            let behind = match behind.split_first() {
                Some((b'-' | b'+', behind)) => behind,
                _ => behind,
            };
            let exponent = digits(behind);
            rest = if exponent > 0 {
                &behind[exponent..]
            } else {
                rest
            };
        }
        if !rest.is_empty() || whole + fraction == 0 {
            return Err("Invalid Decimal Number value");
        }
        let unsigned = raw.strip_prefix(b"+").unwrap_or(raw);
        let point = |byte: &u8| if *byte == self.decimal { b'.' } else { *byte };
        kept.extend(unsigned.iter().map(point));
        Ok(())
    }

    fn without_thousands(&self, raw: &[u8]) -> Option<Vec<u8>> {
        let separator = self.thousands.filter(|separator| raw.contains(separator))?;
        let others = raw.iter().copied().filter(|byte| *byte != separator);
        Some(others.collect())
    }
}

fn boolean(raw: &[u8], kept: &mut Vec<u8>) -> Result<(), &'static str> {
    let is = |words: [&str; 4]| {
        words
            .iter()
            .any(|word| raw.eq_ignore_ascii_case(word.as_bytes()))
    };
    let word = if is(["true", "yes", "1", "y"]) {
        "true"
    } else if is(["false", "no", "0", "n"]) {
        "false"
    } else {
        return Err("Invalid Boolean value");
    };
    kept.extend_from_slice(word.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: DataType, raw: &str) -> Result<String, &'static str> {
        let rules = CellRules::new(&crate::Options::default().analytics);
        let mut kept = Vec::new();
        rules.read(kind, None, raw.as_bytes(), &mut kept)?;
        Ok(String::from_utf8(kept).unwrap())
    }

    #[test]
    fn the_place_of_a_name_is_its_type() {
        for (kind, name, _) in NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(DataType::from_name(name), Some(kind));
        }
    }

    #[test]
    fn cells_are_held_to_their_type() {
        assert_eq!(read(DataType::Number, "0012").as_deref(), Ok("12"));
        assert_eq!(
            read(DataType::Number, "9223372036854775807").as_deref(),
            Ok("9223372036854775807")
        );
        for (kind, bad) in [
            (DataType::Number, "9223372036854775808"),
            (DataType::Number, "1.0"),
            (DataType::Number, "soon"),
            (DataType::PositiveNumber, "-1"),
            (DataType::DecimalNumber, "1e5"),
            (DataType::DecimalNumber, "."),
            (DataType::DecimalNumber, "1,5"),
            (DataType::Boolean, "maybe"),
            (DataType::Email, "ana"),
            (DataType::Url, "ana"),
            (DataType::Date, "2025-02-03 00:00:00:000"),
        ] {
            assert!(read(kind, bad).is_err(), "{kind:?} {bad}");
        }
        assert_eq!(
            read(DataType::DecimalNumber, "+00.50").as_deref(),
            Ok("00.50")
        );
        assert_eq!(read(DataType::Boolean, "YES").as_deref(), Ok("true"));
        assert_eq!(read(DataType::Number, "").as_deref(), Ok(""));
        assert!(read(DataType::Plain, &"x".repeat(254)).is_err());
        assert!(read(DataType::MultiLine, &"x".repeat(254)).is_ok());
    }

    #[test]
    fn separators_and_odd_characters_follow_the_settings() {
        let mut options = crate::Options::default().analytics;
        options.emoji = Emoji::Replace;
        options.long_text = LongText::Cut;
        options.plain_chars = 3;
        let mut rules = CellRules::new(&options);
        (rules.thousands, rules.decimal) = (Some(b'.'), b',');
        let mut kept = Vec::new();
        let number = b"-1.234,5";
        let read = rules.read(DataType::DecimalNumber, None, number, &mut kept);
        assert_eq!((read, kept.as_slice()), (Ok(()), b"-1234.5".as_slice()));
        kept.clear();
        let text = "a\u{1f600}bc".as_bytes();
        let read = rules.read(DataType::Plain, None, text, &mut kept);
        assert_eq!((read, kept.as_slice()), (Ok(()), b"a?b".as_slice()));
    }
}
