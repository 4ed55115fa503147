//! The grammar of schedules: five fields of cron, or one of a few words.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use singer_core::nearest::nearest;
use singer_core::{Error, Result};

/// What croner knows by a word.
const WORDS: [&str; 6] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@hourly",
];

/// Whether a schedule can be read, as [`parse`] does it but quicker for what most people write: a file
/// may hold a thousand.
pub(super) fn check(text: &str) -> Result<()> {
    if is_plain(text) {
        return Ok(());
    }
    parse(text).map(drop)
}

/// The lowest and the highest number of the five fields.
const FIELDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];

/// Whether a schedule has nothing but `*`, `*/n`, numbers, ranges and lists of them, and is sure to come.
fn is_plain(text: &str) -> bool {
    let mut fields = text.split_ascii_whitespace();
    let fits = FIELDS.iter().all(|(lowest, highest)| {
        let number = |text: &str| -> Option<u32> {
            let is_short = matches!(text.len(), 1 | 2);
            let number = text.parse().ok().filter(|_| is_short)?;
            (*lowest..=*highest).contains(&number).then_some(number)
        };
        let is_part = |part: &str| match part.split_once('-') {
            Some((from, to)) => number(from)
                .zip(number(to))
                .is_some_and(|(from, to)| from <= to),
            None => number(part).is_some(),
        };
        fields.next().is_some_and(|field| {
            field == "*"
                || field
                    .strip_prefix("*/")
                    .is_some_and(|step| number(step).is_some_and(|step| step > 0))
                || field.split(',').all(is_part)
        })
    });
    fits && fields.next().is_none() && !names_a_day(text)
}

/// Whether a schedule names days of months, which may never come.
fn names_a_day(text: &str) -> bool {
    text.split_whitespace()
        .skip(2)
        .take(2)
        .all(|field| !field.starts_with('*'))
}

/// Reads a schedule.
///
/// # Errors
/// Of kind `Config`: what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Cron> {
    let text = text.trim();
    if text.starts_with('@') {
        let lower = text.to_ascii_lowercase();
        if !WORDS.contains(&lower.as_str()) {
            let hint = match nearest(&lower, WORDS.into_iter()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known words: {}", WORDS.join(", ")),
            };
            return Err(Error::config("there is no such word").with_hint(hint));
        }
    } else {
        let fields = text.split_whitespace().count();
        if fields != 5 {
            let error = format!("it has {fields} fields, and cron has five");
            return Err(Error::config(error).with_hint(
                "minute, hour, day of month, month, day of week: `15 3 * * *` is 03:15 every day",
            ));
        }
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(text)
        .map_err(|error| {
            let text = error.to_string().to_lowercase();
            let what = text.split_once(": ").map_or(&*text, |(_, what)| what);
            Error::config(what.trim_end_matches('.'))
        })?;
    let some_time = DateTime::<Utc>::UNIX_EPOCH;
    if !text.starts_with('@')
        && names_a_day(text)
        && cron.find_next_occurrence(&some_time, false).is_err()
    {
        return Err(Error::config("that day never comes"));
    }
    Ok(cron)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_and_words_are_schedules() {
        for text in [
            "*/5 * * * *",
            "0 3 * * 1-5",
            "@hourly",
            "@Daily",
            "0 0 29 2 *",
            "30 6 1,15 * *",
            "0 9 * * MON",
            "0 0 L * *",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn what_never_comes_or_is_no_cron_is_told() {
        let told = |text: &str| parse(text).unwrap_err().message().to_owned();
        assert_eq!(told("* * * *"), "it has 4 fields, and cron has five");
        assert_eq!(told("0 * * * * *"), "it has 6 fields, and cron has five");
        assert_eq!(told("@reboot"), "there is no such word");
        assert_eq!(told("0 0 30 2 *"), "that day never comes");
        for text in [
            "61 * * * *",
            "* 25 * * *",
            "a b c d e",
            "*/0 * * * *",
            "5-1 * * * *",
            "é * * * *",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
    proptest::proptest! {
        #[test]
        fn what_passes_the_quick_look_is_a_schedule(
            text in "[*0-9/,-]{1,6} [*0-9/,-]{1,6} [*0-9/,-]{1,5} [*0-9/,-]{1,5} [*0-9/,-]{1,5}",
            plain in "([0-5]?[0-9]|\\*/[1-9]|[0-9]-[0-9]) (\\*|1?[0-9](,[0-9])*) (\\*|[1-3]?[0-9]) \\* (\\*|[0-7](-[0-7])?)",
        ) {
            for text in [text, plain] {
                if is_plain(&text) {
                    proptest::prop_assert!(parse(&text).is_ok(), "{}", text);
                }
            }
        }
    }
}
