//! The result of a job, row by row: read, joined to the rows that were sent, held against the counts of
//! the job, and judged. A job that completed is not believed without it.

use std::collections::HashMap;
use std::io::Read;

use singer_core::{Error, Result};
use singer_runtime::target::Verdict;
use zoho::table::Rows;

use crate::config::Operation;
use crate::model::Counts;
use crate::rows::fold;
use crate::shape::Shape;

/// A row of the result has three cells of ours and three of the service.
const MOST_ROW: usize = 1 << 20;

/// The columns that the service adds.
const STATUS: &str = "STATUS";
const ERRORS: &str = "ERRORS";

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a new record.
    Added,
    /// It changed a record.
    Updated,
    /// Its record was there already, which is what was wanted.
    Existed,
    /// It was not taken.
    Refused {
        verdict: Verdict,
        code: String,
        reason: String,
    },
    /// It was not reached.
    Unprocessed,
}

/// A row of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its first column, as keys are compared.
    key: Option<Box<str>>,
    status: Box<str>,
    errors: Box<str>,
}

impl Line {
    /// Its key, as keys are compared.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether the row is a new record.
    pub(crate) fn is_added(&self) -> bool {
        &*self.status == "ADDED"
    }
}

/// Reads a result.
///
/// # Errors
/// Of kind `Protocol` if it is no table or has no status.
pub(crate) fn read(reader: impl Read, key: Option<&str>) -> Result<Vec<Line>> {
    let mut rows = Rows::new(reader, MOST_ROW)?;
    let header = rows.header();
    let place = |name: &str| {
        header
            .iter()
            .rposition(|column| column.trim().eq_ignore_ascii_case(name))
    };
    let Some(status) = place(STATUS) else {
        return Err(Error::protocol("the result has no column `STATUS`"));
    };
    let errors = place(ERRORS);
    // The first columns are those of the file, under whichever names.
    let key = key.and_then(|key| {
        let named = header
            .iter()
            .take(status)
            .position(|column| column.trim().eq_ignore_ascii_case(key));
        named.or((status > 0).then_some(0))
    });
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(Line {
            key: key.map(|key| fold(row.text(key)).into()),
            status: row.text(status).trim().to_ascii_uppercase().into(),
            errors: errors.map_or("", |errors| row.text(errors)).trim().into(),
        });
    }
    Ok(lines)
}

/// For each row that was sent its line of the result, if it has one; `keys` are those of the rows that were
/// sent, in their order, if rows have keys.
///
/// # Errors
/// Of kind `Protocol` if lines and rows cannot be brought together without doubt.
pub(crate) fn join<'l>(
    lines: &'l [Line],
    keys: Option<&[String]>,
    rows: usize,
) -> Result<Vec<Option<&'l Line>>> {
    let by_number = |lines: &'l [Line]| lines.iter().map(Some).collect();
    let Some(keys) = keys else {
        if lines.len() != rows {
            return Err(Error::protocol(format!(
                "the result has {} rows, the file had {rows}, and without a key they cannot be brought together",
                lines.len()
            )));
        }
        return Ok(by_number(lines));
    };
    let has_keys = lines.iter().all(|line| line.key.is_some());
    let places: HashMap<&str, usize> = (keys.iter().enumerate())
        .map(|(place, key)| (key.as_str(), place))
        .collect();
    let found: Vec<Option<usize>> = lines.iter().map(|line| place_of(line, &places)).collect();
    let in_place = (found.iter().enumerate()).filter(|(at, place)| **place == Some(*at));
    let in_place = in_place.count();
    let is_any_elsewhere = found.iter().flatten().count() > in_place;
    // A key that is printed otherwise than it was sent is known by its place if those around it keep theirs.
    let is_in_order = !is_any_elsewhere && 2 * in_place >= rows;
    if lines.len() == rows && (is_in_order || !has_keys) {
        return Ok(by_number(lines));
    }
    if !has_keys {
        return Err(Error::protocol(format!(
            "the result has {} rows and no key, the file had {rows} rows",
            lines.len()
        )));
    }
    let mut joined: Vec<Option<&Line>> = vec![None; rows];
    for (line, place) in lines.iter().zip(found) {
        let Some(slot) = place.and_then(|place| joined.get_mut(place)) else {
            return Err(Error::protocol(
                "the result has a row whose key the file does not have",
            ));
        };
        if slot.replace(line).is_some() {
            return Err(Error::protocol("the result has two rows of one key"));
        }
    }
    Ok(joined)
}

/// The row that a line is of by its key, also if the service put the key in quotes.
fn place_of(line: &Line, places: &HashMap<&str, usize>) -> Option<usize> {
    let key = line.key.as_deref()?;
    let place = places.get(key);
    let place = place.or_else(|| places.get(key.trim_matches(['"', '\'']).trim()));
    place.copied()
}

/// What became of each row.
pub(crate) fn judge(joined: &[Option<&Line>], shape: &Shape) -> Vec<Fate> {
    joined
        .iter()
        .map(|line| line.map_or(Fate::Unprocessed, |line| fate(line, shape)))
        .collect()
}

/// Holds the fates against the counts of the job.
///
/// # Errors
/// Of kind `Protocol` if they disagree.
pub(crate) fn check(lines: &[Line], counts: Option<Counts>) -> Result<()> {
    let Some(counts) = counts else {
        return Ok(());
    };
    let count = |status: &str| lines.iter().filter(|line| *line.status == *status).count() as u64;
    let (added, updated) = (count("ADDED"), count("UPDATED"));
    if (added, updated) == (counts.added, counts.updated) {
        return Ok(());
    }
    Err(Error::protocol(format!(
        "the job counts {} added and {} updated rows, its result {added} and {updated}",
        counts.added, counts.updated
    )))
}

fn fate(line: &Line, shape: &Shape) -> Fate {
    match &*line.status {
        "ADDED" => Fate::Added,
        "UPDATED" => Fate::Updated,
        "UNPROCESSED" | "" => Fate::Unprocessed,
        _ => skipped(&line.errors, &line.status, shape),
    }
}

/// What is behind a row that was skipped.
fn skipped(errors: &str, status: &str, shape: &Shape) -> Fate {
    let complaints = complaints(errors);
    let Some(first) = complaints.first() else {
        // On insert those that exist are left as they are, which is why a run can be repeated.
        if shape.operation == Operation::Insert && shape.find_by.is_some() && errors.is_empty() {
            return Fate::Existed;
        }
        let reason = if errors.is_empty() {
            "the service skipped the row and does not say why"
        } else {
            "the service skipped the row for a reason of an unknown form"
        };
        return Fate::Refused {
            verdict: Verdict::Rejected,
            code: status.to_owned(),
            reason: reason.to_owned(),
        };
    };
    let is_of_key = |complaint: &Complaint<'_>| {
        let find_by = shape.find_by.as_deref().unwrap_or_default();
        let mut columns = complaint.columns.iter();
        complaint.is_of_row || columns.any(|column| column.eq_ignore_ascii_case(find_by))
    };
    let only = |code: &str| {
        complaints
            .iter()
            .all(|complaint| complaint.code == code && is_of_key(complaint))
    };
    if shape.operation == Operation::Insert && shape.find_by.is_some() && only("DUPLICATE_DATA") {
        return Fate::Existed;
    }
    let verdict = if shape.operation == Operation::Update && only("RESOURCE_NOT_FOUND") {
        Verdict::Missing
    } else {
        Verdict::Rejected
    };
    let reasons: Vec<String> = complaints.iter().map(Complaint::words).collect();
    Fate::Refused {
        verdict,
        code: first.code.to_owned(),
        reason: reasons.join("; "),
    }
}

/// One complaint about a row.
#[derive(Debug, PartialEq, Eq)]
struct Complaint<'a> {
    code: &'a str,
    /// Whether it names no column at all.
    is_of_row: bool,
    /// Those of its columns that are shown.
    columns: Vec<&'a str>,
}

impl Complaint<'_> {
    fn words(&self) -> String {
        if self.columns.is_empty() {
            return self.code.to_owned();
        }
        format!("field `{}`: {}", self.columns.join("`, `"), self.code)
    }
}

/// Reads `CODE-Column[,Column]:CODE-…`; what has another form is left out, as it may hold values.
fn complaints(errors: &str) -> Vec<Complaint<'_>> {
    let is_code = |text: &str| {
        text.len() > 2
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let is_column = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
    };
    errors
        .split(':')
        .filter_map(|part| {
            let (code, columns) = part.split_once('-').unwrap_or((part, ""));
            let code = code.trim();
            is_code(code).then(|| Complaint {
                code,
                is_of_row: columns.trim().is_empty(),
                columns: columns
                    .split(',')
                    .map(str::trim)
                    .filter(|column| is_column(column))
                    .collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{shape, stream};

    fn contacts(settings: serde_json::Value) -> Shape {
        shape(&stream(&json!({"Email": {}, "Last_Name": {}})), settings).unwrap()
    }

    fn lines(text: &str) -> Vec<Line> {
        read(text.as_bytes(), Some("Email")).unwrap()
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn each_status_is_understood_in_any_case() {
        let shape = contacts(json!({"find_by": "Email"}));
        let lines = lines(
            "Email,Last_Name,STATUS,RECORD_ID,ERRORS\na@x,A,ADDED,1,\nb@x,B,Updated,2,\nc@x,C,Unprocessed,,\nd@x,,SKIPPED,,MANDATORY_NOT_FOUND-Last_Name:DUPLICATE_DATA-Email\n",
        );
        let keys = keys(&["a@x", "b@x", "c@x", "d@x"]);
        let joined = join(&lines, Some(&keys), 4).unwrap();
        let refused = Fate::Refused {
            verdict: Verdict::Rejected,
            code: "MANDATORY_NOT_FOUND".to_owned(),
            reason: "field `Last_Name`: MANDATORY_NOT_FOUND; field `Email`: DUPLICATE_DATA"
                .to_owned(),
        };
        assert_eq!(
            judge(&joined, &shape),
            [Fate::Added, Fate::Updated, Fate::Unprocessed, refused]
        );
    }

    #[test]
    fn rows_in_another_order_are_joined_by_their_key() {
        let lines = lines("EMAIL,STATUS,RECORD_ID,ERRORS\nB@X ,UPDATED,2,\na@x,ADDED,1,\n");
        let keys = keys(&["a@x", "b@x", "c@x"]);
        let joined = join(&lines, Some(&keys), 3).unwrap();
        assert_eq!(joined, [Some(&lines[1]), Some(&lines[0]), None]);
    }

    #[test]
    fn a_key_that_is_printed_otherwise_is_known_by_its_place_or_without_its_quotes() {
        let sent = keys(&["a@x", "b  b@x", "c@x"]);
        let spaces = lines("Email,STATUS,ERRORS\na@x,ADDED,\nb b@x,SKIPPED,\nc@x,ADDED,\n");
        let joined = join(&spaces, Some(&sent), 3).unwrap();
        assert_eq!(
            joined,
            [Some(&spaces[0]), Some(&spaces[1]), Some(&spaces[2])]
        );
        // Not if any line stands elsewhere.
        let moved = lines("Email,STATUS,ERRORS\nc@x,ADDED,\nb b@x,SKIPPED,\na@x,ADDED,\n");
        assert!(join(&moved, Some(&sent), 3).is_err());
        let ids = keys(&["17", "18"]);
        let quoted = lines("Id,STATUS,ERRORS\n\"\"\"18\"\"\",UPDATED,\n\"\"\"17\"\"\",ADDED,\n");
        let joined = join(&quoted, Some(&ids), 2).unwrap();
        assert_eq!(joined, [Some(&quoted[1]), Some(&quoted[0])]);
    }

    #[test]
    fn rows_that_nobody_sent_are_an_error_and_so_are_two_of_one_key() {
        let strange = lines("Email,STATUS,ERRORS\nz@x,ADDED,\n");
        let sent = keys(&["a@x"]);
        assert!(join(&strange, Some(&sent), 1).is_err());
        let twice = lines("Email,STATUS,ERRORS\na@x,ADDED,\na@x,ADDED,\n");
        assert!(join(&twice, Some(&sent), 1).is_err());
        assert!(join(&twice, None, 1).is_err());
        assert_eq!(join(&twice, None, 2).unwrap().len(), 2);
    }

    #[test]
    fn counts_and_result_must_agree() {
        let lines = lines("Email,STATUS,ERRORS\na@x,ADDED,\nb@x,SKIPPED,INVALID_DATA-Email\n");
        let counts = |added| Counts {
            added,
            total: 2,
            ..Counts::default()
        };
        check(&lines, Some(counts(1))).unwrap();
        check(&lines, None).unwrap();
        let error = check(&lines, Some(counts(2))).unwrap_err();
        assert!(error.message().contains("2 added"), "{error}");
    }

    #[test]
    fn on_insert_what_exists_is_no_reject_and_on_update_what_does_not_is_missing() {
        let insert = contacts(json!({"operation": "insert", "find_by": "Email"}));
        assert_eq!(skipped("", "SKIPPED", &insert), Fate::Existed);
        assert_eq!(
            skipped("DUPLICATE_DATA-Email", "SKIPPED", &insert),
            Fate::Existed
        );
        assert_eq!(
            skipped("DUPLICATE_DATA-EMAIL", "SKIPPED", &insert),
            Fate::Existed
        );
        // Another column, also one whose name is not shown, is no matter of the key.
        for errors in ["DUPLICATE_DATA-Fax", "DUPLICATE_DATA-Second E-mail"] {
            assert_ne!(skipped(errors, "SKIPPED", &insert), Fate::Existed);
        }
        let update = contacts(json!({"operation": "update", "find_by": "Email"}));
        let Fate::Refused { verdict, .. } = skipped("RESOURCE_NOT_FOUND-Email", "SKIPPED", &update)
        else {
            panic!("it is refused");
        };
        assert_eq!(verdict, Verdict::Missing);
        let Fate::Refused { verdict, .. } =
            skipped("RESOURCE_NOT_FOUND-Account Name", "SKIPPED", &update)
        else {
            panic!("it is refused");
        };
        assert_eq!(verdict, Verdict::Rejected);
    }

    #[test]
    fn a_reason_of_another_form_shows_no_value() {
        let shape = contacts(json!({"find_by": "Email"}));
        let Fate::Refused { code, reason, .. } =
            skipped("the value hunter2 is bad", "SKIPPED", &shape)
        else {
            panic!("it is refused");
        };
        assert_eq!(code, "SKIPPED");
        assert!(!reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn a_result_without_status_is_none() {
        assert!(read("Email,ERRORS\n".as_bytes(), None).is_err());
        assert!(read("".as_bytes(), None).is_err());
    }
}
