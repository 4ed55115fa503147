//! Lines for cron.
//!
//! What a run says with `--quiet` (warnings and errors) is left to cron's mail, which comes only if
//! there is something to say; the whole log of each run is in the store anyway.

use std::fmt::Write;

use singer_core::{Error, Result};

use super::{Caller, Scheduled};
use crate::spec::{LocalTime, schedule};

/// A crontab with a line for each pipeline.
///
/// # Errors
/// Of kind `Config` for a schedule that cron cannot express.
pub(super) fn text(pipelines: &[Scheduled<'_>], caller: &Caller) -> Result<String> {
    let mut text = format!(
        "# The pipelines of {}\n\
         # Written by `antiphon schedule --format cron`; write it anew when a schedule changes.\n",
        caller.file
    );
    text.push_str(match caller.user {
        Some(_) => {
            "# Install: put this file into /etc/cron.d, owned by root, without a dot in its name.\n"
        }
        None => "# Install: `crontab FILE`, which replaces the whole crontab of this user.\n",
    });
    text.push_str(
        "# Warnings and errors of a run go to cron's mail (MAILTO); `antiphon logs` has everything.\n\
         SHELL=/bin/sh\n",
    );
    if let Some(path) = &caller.path {
        let _always = writeln!(text, "PATH={path}");
    }
    for (zone, head) in [
        (LocalTime::Local, ""),
        (
            LocalTime::Utc,
            "\n# Times below are UTC. Debian's cron does not know CRON_TZ: there the machine must be on UTC.\n\
             CRON_TZ=UTC\n",
        ),
    ] {
        let of_zone = |found: &&Scheduled<'_>| found.pipeline.local_time == zone;
        let mut lines = String::new();
        for found in pipelines.iter().filter(of_zone) {
            let when = pattern(found)?;
            let user = caller
                .user
                .as_ref()
                .map_or_else(String::new, |user| format!("{user} "));
            let command = command(caller, &found.pipeline.name);
            let _always = writeln!(lines, "{when} {user}{command}");
        }
        if !lines.is_empty() {
            text.push_str(head);
            text.push_str(&lines);
        }
    }
    Ok(text)
}

/// The command line: quoted for the shell, then `%` for cron, which takes it for a line end.
fn command(caller: &Caller, name: &str) -> String {
    let line = format!(
        "{} --file {} run {} --quiet",
        quoted(&caller.program),
        quoted(&caller.file),
        quoted(name)
    );
    line.replace('%', "\\%")
}

/// A word of the shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:@".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The schedule as every cron reads it.
fn pattern(found: &Scheduled<'_>) -> Result<String> {
    let text = found.schedule.trim();
    if text.starts_with('@') {
        return Ok(text.to_ascii_lowercase());
    }
    let cron = schedule::parse(text)?;
    let pattern = &cron.pattern;
    let fields: Vec<&str> = text.split_whitespace().collect();
    let cannot = |why: &str| {
        Error::config(format!(
            "cron cannot run the pipeline `{}` at `{text}`: {why}",
            found.pipeline.name
        ))
        .with_hint("use `antiphon schedule --run`, or another schedule")
    };
    if fields.len() != 5 {
        return Err(cannot("it has five fields, and none for seconds"));
    }
    if pattern.days.has_modifiers() || pattern.days_of_week.has_modifiers() {
        return Err(cannot("it does not know `L`, `W` and `#`"));
    }
    let both_days = !pattern.is_dom_wildcard() && !pattern.is_dow_wildcard();
    if both_days && pattern.matches_dom_and_dow() {
        return Err(cannot("it takes either of two days, not both at once"));
    }
    let components = [
        &pattern.minutes,
        &pattern.hours,
        &pattern.days,
        &pattern.months,
        &pattern.days_of_week,
    ];
    let written = fields.iter().zip(components).enumerate();
    let fields: Vec<String> = written
        .map(|(place, (field, component))| {
            let is_day = place == 2 || place == 4;
            // Vixie's cron takes `*/2` for a star where both days are given.
            let is_star = is_day && both_days && field.starts_with('*');
            let has_words = field.contains(|letter: char| !"0123456789*/,-".contains(letter));
            match is_star || has_words {
                true if *field == "?" => "*".to_owned(),
                true => component
                    .values()
                    .iter()
                    // Sunday has two numbers.
                    .filter(|value| place != 4 || **value < 7)
                    .map(u16::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                false => (*field).to_owned(),
            }
        })
        .collect();
    Ok(fields.join(" "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn told(schedule: &str) -> String {
        let pipeline = crate::schedule::due::tests::pipeline("a", schedule);
        let found = Scheduled {
            schedule: pipeline.schedule.as_deref().unwrap(),
            pipeline: &pipeline,
        };
        pattern(&found).unwrap_or_else(|error| error.message().to_owned())
    }

    #[test]
    fn schedules_are_written_as_every_cron_reads_them() {
        for (schedule, written) in [
            ("*/5 * * * *", "*/5 * * * *"),
            ("@Hourly", "@hourly"),
            ("0 9 * JAN MON-FRI", "0 9 * 1 1,2,3,4,5"),
            ("0 9 * * SUN", "0 9 * * 0"),
            ("0 0 13 * 5", "0 0 13 * 5"),
            ("0 0 */10 * 5", "0 0 1,11,21,31 * 5"),
            ("0 0 */10 * *", "0 0 */10 * *"),
            (
                "0 0 L * *",
                "cron cannot run the pipeline `a` at `0 0 L * *`: it does not know `L`, `W` and `#`",
            ),
            (
                "0 0 * * MON#2",
                "cron cannot run the pipeline `a` at `0 0 * * MON#2`: it does not know `L`, `W` and `#`",
            ),
        ] {
            assert_eq!(told(schedule), written, "{schedule}");
        }
    }

    #[test]
    fn commands_survive_the_shell_and_cron() {
        let caller = Caller {
            program: "/opt/my tools/antiphon".to_owned(),
            file: "/srv/100%/it's/antiphon.toml".to_owned(),
            folder: "/srv".to_owned(),
            path: None,
            user: None,
        };
        assert_eq!(
            command(&caller, "accounts"),
            r"'/opt/my tools/antiphon' --file '/srv/100\%/it'\''s/antiphon.toml' run accounts --quiet"
        );
    }
}
