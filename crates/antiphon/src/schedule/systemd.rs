//! Units for systemd: a service and a timer for each pipeline.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use croner::Cron;
use singer_core::{Error, Result};

use super::{Caller, Scheduled};
use crate::spec::{LocalTime, Pipeline, schedule};

/// A file to be installed.
struct Unit {
    name: String,
    text: String,
}

/// All units on one page.
///
/// # Errors
/// Of kind `Config` for a schedule that systemd cannot express.
pub(super) fn text(
    pipelines: &[Scheduled<'_>],
    caller: &Caller,
    jitter: Duration,
) -> Result<String> {
    let mut text = format!(
        "# Units for the pipelines of {}\n\
         # `antiphon schedule --format systemd --output /etc/systemd/system` writes them as files; then\n\
         # `systemctl daemon-reload && systemctl enable --now {}`\n",
        caller.file,
        timers(pipelines).join(" ")
    );
    for unit in units(pipelines, caller, jitter)? {
        let _always = write!(text, "\n# ===== {} =====\n{}", unit.name, unit.text);
    }
    Ok(text)
}

/// Writes the units into a folder, and tells how to install them.
///
/// # Errors
/// Of kind `Config`, as of [`text`], and for a folder that cannot be written.
pub(super) fn write(
    pipelines: &[Scheduled<'_>],
    caller: &Caller,
    jitter: Duration,
    folder: &Path,
) -> Result<String> {
    let mut told = String::new();
    for unit in units(pipelines, caller, jitter)? {
        let path = folder.join(&unit.name);
        let beside = folder.join(format!(".{}.new", unit.name));
        let written = fs::write(&beside, &unit.text).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|error| {
            Error::config(format!("cannot write the unit `{}`", path.display())).with_source(error)
        })?;
        let _always = writeln!(told, "{}", path.display());
    }
    let _always = writeln!(
        told,
        "now: systemctl daemon-reload && systemctl enable --now {}",
        timers(pipelines).join(" ")
    );
    Ok(told)
}

fn timers(pipelines: &[Scheduled<'_>]) -> Vec<String> {
    let name = |found: &Scheduled<'_>| format!("{}.timer", unit_name(&found.pipeline.name));
    pipelines.iter().map(name).collect()
}

fn units(pipelines: &[Scheduled<'_>], caller: &Caller, jitter: Duration) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for found in pipelines {
        let name = unit_name(&found.pipeline.name);
        units.push(Unit {
            text: service(found.pipeline, caller),
            name: format!("{name}.service"),
        });
        units.push(Unit {
            text: timer(found, jitter)?,
            name: format!("{name}.timer"),
        });
    }
    Ok(units)
}

/// `antiphon-accounts`; what a unit's name cannot hold is written as systemd-escape does.
fn unit_name(pipeline: &str) -> String {
    let mut name = "antiphon-".to_owned();
    for byte in pipeline.bytes() {
        if byte.is_ascii_alphanumeric() || b":_.-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _always = write!(name, "\\x{byte:02x}");
        }
    }
    name
}

fn service(pipeline: &Pipeline, caller: &Caller) -> String {
    let mut text = format!(
        "[Unit]\n\
         Description=antiphon: the pipeline {}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n",
        specifiers(&pipeline.name)
    );
    if let Some(user) = &caller.user {
        let _always = writeln!(text, "User={}", specifiers(user));
    }
    let _always = writeln!(text, "WorkingDirectory={}", specifiers(&caller.folder));
    if let Some(path) = &caller.path {
        let _always = writeln!(text, "Environment={}", quoted(&format!("PATH={path}")));
    }
    let start = [
        word(&caller.program),
        "--file".to_owned(),
        word(&caller.file),
        "run".to_owned(),
        word(&pipeline.name),
        "--quiet".to_owned(),
    ];
    let _always = writeln!(text, "ExecStart={}", start.join(" "));
    let grace = pipeline.grace.as_secs() + 15;
    let limit = pipeline.timeout.map_or_else(
        || "infinity".to_owned(),
        // The runner ends its stages by itself; this is for a runner that does not.
        |timeout| format!("{}s", timeout.as_secs().saturating_add(grace)),
    );
    let _always = write!(
        text,
        "TimeoutStartSec={limit}\n\
         TimeoutStopSec={grace}s\n\
         # The runner passes the signal on, and ends what does not listen.\n\
         KillMode=mixed\n\
         # Done, but some records were rejected.\n\
         SuccessExitStatus=3\n\
         Restart=no\n\
         NoNewPrivileges=yes\n\
         ProtectSystem=full\n\
         ProtectKernelTunables=yes\n\
         ProtectKernelModules=yes\n\
         ProtectControlGroups=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         LockPersonality=yes\n"
    );
    text
}

fn timer(found: &Scheduled<'_>, jitter: Duration) -> Result<String> {
    let mut text = format!(
        "[Unit]\n\
         Description=antiphon: when the pipeline {} runs ({})\n\
         \n\
         [Timer]\n",
        specifiers(&found.pipeline.name),
        specifiers(found.schedule)
    );
    let cron = schedule::parse(found.schedule)?;
    for line in calendar(&cron, found)? {
        let _always = writeln!(text, "OnCalendar={line}");
    }
    let _always = write!(
        text,
        "# A time that was missed is made up for once.\n\
         Persistent=true\n\
         AccuracySec=1s\n\
         RandomizedDelaySec={}ms\n\
         FixedRandomDelay=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        jitter.as_millis()
    );
    Ok(text)
}

/// The schedule as systemd writes times; two lines where cron takes either of two days.
fn calendar(cron: &Cron, found: &Scheduled<'_>) -> Result<Vec<String>> {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let pattern = &cron.pattern;
    let is_last_day = found.schedule.split_whitespace().nth(2) == Some("L");
    if pattern.days_of_week.has_modifiers() || pattern.days.has_modifiers() && !is_last_day {
        return Err(Error::config(format!(
            "systemd cannot run the pipeline `{}` at `{}`: it does not know `W` and `#`",
            found.pipeline.name, found.schedule
        ))
        .with_hint("use `antiphon schedule --run`, or another schedule"));
    }
    let all = |values: Vec<u16>, count: usize| {
        if values.len() == count {
            "*".to_owned()
        } else {
            values
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(",")
        }
    };
    let clock = format!(
        "{}:{}:00",
        all(pattern.hours.values(), 24),
        all(pattern.minutes.values(), 60)
    );
    let months = all(pattern.months.values(), 12);
    let day = if is_last_day {
        "~1".to_owned()
    } else {
        format!("-{}", all(pattern.days.values(), 31))
    };
    let weekdays: Vec<&str> = (0..7)
        .zip(DAYS)
        // Sunday has two numbers.
        .filter(|(number, _)| {
            let values = pattern.days_of_week.values();
            values.contains(number) || *number == 0 && values.contains(&7)
        })
        .map(|(_, name)| name)
        .collect();
    let weekdays = weekdays.join(",");
    let zone = match found.pipeline.local_time {
        LocalTime::Utc => " UTC",
        LocalTime::Local => "",
    };
    let by_day = format!("*-{months}{day} {clock}{zone}");
    let by_weekday = format!("{weekdays} *-{months}-* {clock}{zone}");
    Ok(
        match (pattern.is_dom_wildcard(), pattern.is_dow_wildcard()) {
            (_, true) => vec![by_day],
            (true, false) => vec![by_weekday],
            (false, false) if pattern.matches_dom_and_dow() => vec![format!("{weekdays} {by_day}")],
            (false, false) => vec![by_day, by_weekday],
        },
    )
}

/// `%` begins a specifier everywhere in a unit.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A setting's word in quotes.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", specifiers(&text))
}

/// A word of `ExecStart=`, where `$` begins a variable too.
fn word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        quoted(text).replace('$', "$$")
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::schedule::due::tests::pipeline;

    fn lines(schedule: &str) -> Result<Vec<String>> {
        let pipeline = pipeline("a", schedule);
        let found = Scheduled {
            schedule,
            pipeline: &pipeline,
        };
        calendar(&schedule::parse(schedule)?, &found)
    }

    const KNOWN: [(&str, &[&str]); 9] = [
        ("*/20 * * * *", &["*-*-* *:0,20,40:00 UTC"]),
        ("@hourly", &["*-*-* *:0:00 UTC"]),
        ("@weekly", &["Sun *-*-* 0:0:00 UTC"]),
        ("15 3 * * *", &["*-*-* 3:15:00 UTC"]),
        ("0 9 * * MON-WED", &["Mon,Tue,Wed *-*-* 9:0:00 UTC"]),
        ("0 0 * * 7", &["Sun *-*-* 0:0:00 UTC"]),
        ("0 0 13 * 5", &["*-*-13 0:0:00 UTC", "Fri *-*-* 0:0:00 UTC"]),
        ("30 6 1,15 2,8 *", &["*-2,8-1,15 6:30:00 UTC"]),
        ("0 0 L * *", &["*-*~1 0:0:00 UTC"]),
    ];

    #[test]
    fn schedules_are_written_as_systemd_reads_them() {
        for (schedule, wanted) in KNOWN {
            assert_eq!(lines(schedule).unwrap(), wanted, "{schedule}");
        }
        assert!(lines("0 0 15W * *").is_err());
        assert!(lines("0 0 * * MON#2").is_err());
    }

    /// The next times of a line by systemd itself; `None` where there is no systemd.
    fn by_systemd(line: &str, base: DateTime<Utc>, count: usize) -> Option<Vec<DateTime<Utc>>> {
        let output = Command::new("systemd-analyze")
            .args(["calendar", &format!("--iterations={count}")])
            .arg(format!(
                "--base-time={}",
                base.format("%Y-%m-%d %H:%M:%S UTC")
            ))
            .arg(line)
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .output()
            .ok()?;
        assert!(output.status.success(), "{line}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let times = text.lines().filter_map(|line| {
            let (head, time) = line.split_once(": ")?;
            let is_time = head.trim() == "Next elapse" || head.trim().starts_with("Iter");
            let time = time.trim().trim_end_matches(" UTC");
            let (_, time) = time.split_once(' ').filter(|_| is_time)?;
            let time = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S");
            Some(time.unwrap().and_utc())
        });
        Some(times.collect())
    }

    #[test]
    fn systemd_and_cron_mean_the_same_next_fifty_times() {
        const COUNT: usize = 50;
        let base: DateTime<Utc> = "2026-02-27T22:13:00Z".parse().unwrap();
        let more = [
            "7-59/13 */5 * * *",
            "0 12 1-7,20 * MON",
            "5 4 29 2 *",
            "0 0 */10 * 5",
            "1,2,3 0 31 * *",
            "0 6 * JUN-AUG SUN,WED",
        ];
        for schedule in KNOWN.iter().map(|(schedule, _)| *schedule).chain(more) {
            let mut times = Vec::new();
            for line in lines(schedule).unwrap() {
                let Some(next) = by_systemd(&line, base, COUNT) else {
                    println!("no systemd here: the table of known translations stands alone");
                    return;
                };
                times.extend(next);
            }
            times.sort_unstable();
            times.dedup();
            times.truncate(COUNT);
            let cron = schedule::parse(schedule).unwrap();
            let wanted: Vec<_> = cron.iter_after(base).take(times.len()).collect();
            assert_eq!(times, wanted, "{schedule}");
            assert!(times.len() >= 10, "{schedule}: {}", times.len());
        }
    }

    #[test]
    fn words_survive_systemd() {
        assert_eq!(word("/opt/antiphon"), "/opt/antiphon");
        assert_eq!(word(r#"/a b/100%/$x/"\"#), r#""/a b/100%%/$$x/\"\\""#);
        assert_eq!(unit_name("a-b_c.d é"), r"antiphon-a-b_c.d\x20\xc3\xa9");
    }
}
