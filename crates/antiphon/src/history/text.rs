//! What people read: tables, times, the characters of the strip.

use chrono::{DateTime, Utc};
use singer_runtime::amount;

use super::{Brief, Kind, Outcome};

/// What stands where there is nothing to say.
pub(crate) const NOTHING: &str = "-";
/// The most characters of words in a line of a table.
const MOST_WORDS: usize = 100;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text, from the left.
    Left(&'static str),
    /// A number, to the right.
    Right(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Left(name) | Self::Right(name) => name,
        }
    }
}

/// Lines with aligned columns under a head; no line ends with spaces.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns.iter().map(|column| width(column.name())).collect();
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let head: Vec<String> = columns.iter().map(|it| it.name().to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for ((cell, column), widest) in row.iter().zip(columns).zip(&widths) {
            let room = " ".repeat(widest - width(cell));
            match column {
                Column::Left(_) => line.extend([cell, room.as_str(), "  "]),
                Column::Right(_) => line.extend([room.as_str(), cell, "  "]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A time to the second.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How far a time lies from now: `3m05s ago`, `in 2h10m`.
pub(crate) fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (span, is_past) = match (now - at).to_std() {
        Ok(span) => (span, true),
        Err(_) => ((at - now).to_std().unwrap_or_default(), false),
    };
    let days = span.as_secs() / 86_400;
    let text = match span.as_secs() {
        // Tenths of a second are of no use here.
        seconds @ 0..60 => format!("{seconds}s"),
        60..172_800 => amount::seconds(span),
        _ => format!("{days} days"),
    };
    if is_past {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

/// How long something took.
pub(crate) fn took(seconds: f64) -> String {
    let span = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    amount::seconds(span)
}

/// A count that may be unknown.
pub(crate) fn count(count: Option<u64>) -> String {
    count.map_or_else(|| NOTHING.to_owned(), amount::grouped)
}

/// A number of a version that may be none.
pub(crate) fn version(version: Option<u64>) -> String {
    version.map_or_else(|| NOTHING.to_owned(), |version| version.to_string())
}

/// What a run did to the state: `41 -> 42`, or the one version that stayed.
pub(crate) fn states(before: Option<u64>, after: Option<u64>) -> String {
    if before == after {
        return version(after);
    }
    format!("{} -> {}", version(before), version(after))
}

/// The first line of words, cut to the room that a table has.
pub(crate) fn words(words: Option<&str>) -> String {
    let line = words.and_then(|words| words.lines().next()).unwrap_or("");
    if line.chars().count() <= MOST_WORDS {
        return line.to_owned();
    }
    let cut: String = line.chars().take(MOST_WORDS - 1).collect();
    format!("{cut}…")
}

/// The outcomes of runs, a character each.
pub(crate) fn strip<'a>(runs: impl IntoIterator<Item = &'a Brief>) -> String {
    runs.into_iter().map(|run| run.outcome.letter()).collect()
}

/// What the characters of a strip mean.
pub(crate) const LEGEND: &str =
    "· succeeded  r rejects  F failed  T timed out  I interrupted  D died";

impl Outcome {
    fn letter(self) -> char {
        match self {
            Self::Succeeded => '·',
            Self::Rejects => 'r',
            Self::Failed => 'F',
            Self::TimedOut => 'T',
            Self::Interrupted => 'I',
            Self::Died => 'D',
        }
    }

    /// As [`Outcome::word`], for sentences.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "timed out",
            other => other.word(),
        }
    }
}

impl Kind {
    /// For sentences.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::FullRefresh => "full refresh",
            Self::Replay => "replay of rejects",
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_spaces_at_their_end() {
        let columns = [
            Column::Left("NAME"),
            Column::Right("N"),
            Column::Left("WORDS"),
        ];
        let rows = [
            vec!["é".to_owned(), "1,000".to_owned(), String::new()],
            vec!["longer".to_owned(), "1".to_owned(), "so".to_owned()],
        ];
        assert_eq!(
            table(&columns, &rows),
            "NAME        N  WORDS\né       1,000\nlonger      1  so\n"
        );
    }

    #[test]
    fn distances_go_both_ways() {
        let now = DateTime::UNIX_EPOCH;
        let texts = [5, 65, 7200, 86_400 * 3, -90]
            .map(|seconds| distance(now - TimeDelta::seconds(seconds), now));
        assert_eq!(
            texts,
            ["5s ago", "1m05s ago", "2h00m ago", "3 days ago", "in 1m30s"]
        );
    }

    #[test]
    fn words_are_one_line_of_a_bounded_length() {
        assert_eq!(words(Some("one\ntwo")), "one");
        assert_eq!(words(None), "");
        assert_eq!(words(Some(&"é".repeat(200))).chars().count(), MOST_WORDS);
    }
}
