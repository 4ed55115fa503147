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
        .map_err(|error| Error::config(error.to_string().trim_end_matches('.')))?;
    // Only a day of a month may never come.
    let names_a_day = !text.starts_with('@')
        && text
            .split_whitespace()
            .skip(2)
            .take(2)
            .all(|field| !field.starts_with('*'));
    let some_time = DateTime::<Utc>::UNIX_EPOCH;
    if names_a_day && cron.find_next_occurrence(&some_time, false).is_err() {
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
}
