//! What Analytics says of rows at fault: `[Line: 17 Field: 4] (soon) -ERROR: …`, as HTML, cut off after some
//! hundred of them.
//!
//! Which line is the first is not documented, and a cell may hold line breaks. The value that stands in
//! parentheses tells: that way of counting is believed under which the cells of our file hold the values
//! that the service shows. If none fits, nobody is blamed.

use singer_net::redact;
use zoho::fault::without_markup;

/// One cell at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The line, by the service's count.
    line: usize,
    /// The field, from 1.
    field: usize,
    /// What stood there. Never shown.
    value: String,
    /// What is wrong, in the service's words without the value.
    words: String,
    /// Whether the service calls it a warning: then the row may be there without the cell.
    is_warning: bool,
}

/// A row at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blamed {
    /// Its place in the file, from 0.
    pub(crate) place: usize,
    /// The cell's place in the line, from 0.
    pub(crate) field: usize,
    /// What is wrong.
    pub(crate) words: String,
}

/// Characters of the service's words that are shown.
const SHOWN: usize = 200;

/// A value at least this long may have been cut by the service.
const CUT: usize = 20;

/// A shorter value is not looked for in words.
const SHORTEST_VALUE: usize = 3;

/// Words without these values.
pub(crate) fn without(words: &str, values: &[&str]) -> String {
    let values = values.iter().map(|value| value.trim());
    let mut values: Vec<&str> = values
        .filter(|value| value.len() >= SHORTEST_VALUE)
        .collect();
    // One that holds another goes first.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(words.to_owned(), |words, value| {
        words.replace(*value, redact::HIDDEN)
    })
}

/// Those that so many rows without success are about: a warning is of a row that is there, unless there
/// are not enough others.
pub(crate) fn of_rows(complaints: Vec<Complaint>, missing: u64) -> Vec<Complaint> {
    let errors = complaints.iter().filter(|it| !it.is_warning).count();
    if errors == 0 || complaints.len() as u64 <= missing {
        return complaints;
    }
    let errors = complaints.into_iter().filter(|it| !it.is_warning);
    errors.collect()
}

/// Reads the errors of an import. `columns` are names that may be shown.
pub(crate) fn read(errors: &str, columns: &[&str]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut pieces = errors.split("[Line:");
    pieces.next();
    for piece in pieces {
        let Some((place, rest)) = piece.split_once(']') else {
            continue;
        };
        let (line, field) = place.split_once("Field:").unwrap_or((place, ""));
        let Ok(line) = line.trim().parse() else {
            continue;
        };
        let text = without_markup(rest);
        let (value, words) = take_value(text.trim());
        let words = words.trim_start_matches(['-', ' ']);
        let is_warning = words.starts_with("WARNING");
        // The words may say the value once more.
        let words = without(words, &[&value]);
        complaints.push(Complaint {
            line,
            field: field.trim().parse().unwrap_or_default(),
            value,
            words: redact::words(&words, columns, SHOWN),
            is_warning,
        });
    }
    complaints
}

/// What the service says as a whole, for an error that is of no row: without tags and values.
pub(crate) fn words(errors: &str, columns: &[&str]) -> String {
    match read(errors, columns).into_iter().next() {
        Some(complaint) => complaint.words,
        None => redact::words(&without_markup(errors), columns, SHOWN),
    }
}

/// The value in parentheses ahead of the words, and the words.
fn take_value(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('(') else {
        return (String::new(), text);
    };
    // The value may hold parentheses of its own, and what stands behind the last one is shown.
    let ends = [") -ERROR", ") -WARNING", ") -", ")"];
    let end = ends.iter().find_map(|end| inside.rfind(end));
    let Some((value, words)) = end.and_then(|end| inside.split_at_checked(end)) else {
        // A parenthesis that never ends: all of it may be the value.
        return (inside.to_owned(), "a value that does not fit");
    };
    (value.to_owned(), words.strip_prefix(')').unwrap_or(words))
}

/// A way of counting: the place of a row, from 0, by the service's number of a line.
type Way<'a> = &'a dyn Fn(usize) -> Option<usize>;

/// Finds the rows that are meant. `lines` are the rows of the file as they were sent, without the header.
/// `None` if no way of counting fits what the file holds.
pub(crate) fn blame(complaints: &[Complaint], lines: &[Vec<u8>]) -> Option<Vec<Blamed>> {
    if complaints.is_empty() {
        return Some(Vec::new());
    }
    let mut starts = Vec::with_capacity(lines.len());
    let mut next = 2;
    for line in lines {
        starts.push(next);
        next += line_breaks(line).max(1);
    }
    let by_record = |header: usize| {
        move |line: usize| {
            line.checked_sub(1 + header)
                .filter(|place| *place < lines.len())
        }
    };
    let starts = &starts;
    let by_line = |header: usize| {
        move |line: usize| {
            let line = line.saturating_add(1 - header);
            let place = starts.partition_point(|start| *start <= line);
            place.checked_sub(1).filter(|_| line < next)
        }
    };
    let ways: [Way<'_>; 4] = [&by_record(1), &by_line(1), &by_record(0), &by_line(0)];
    let mut best: Option<(usize, Way<'_>)> = None;
    for way in ways {
        let fits = |complaint: &&Complaint| {
            way(complaint.line).is_some_and(|place| {
                let cell = lines
                    .get(place)
                    .and_then(|line| cell(line, complaint.field));
                cell.is_some_and(|cell| holds(&cell, &complaint.value))
            })
        };
        let score = complaints.iter().filter(fits).count();
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, way));
        }
    }
    let (score, way) = best?;
    if score * 2 <= complaints.len() {
        return None;
    }
    let mut blamed: Vec<Blamed> = Vec::new();
    for complaint in complaints {
        let Some(place) = way(complaint.line) else {
            continue;
        };
        if !blamed.iter().any(|it| it.place == place) {
            blamed.push(Blamed {
                place,
                field: complaint.field.saturating_sub(1),
                words: complaint.words.clone(),
            });
        }
    }
    Some(blamed)
}

/// Whether a cell is what the service showed of it.
fn holds(cell: &str, shown: &str) -> bool {
    let (cell, shown) = (cell.trim(), shown.trim());
    let cut = shown.trim_end_matches(['.', '…']);
    cell == shown || (shown.chars().count() >= CUT && cell.starts_with(cut))
}

/// Lines of a file that a row takes.
fn line_breaks(line: &[u8]) -> usize {
    let pairs = memchr::memmem::find_iter(line, b"\r\n").count();
    memchr::memchr2_iter(b'\n', b'\r', line).count() - pairs
}

/// A cell of a line of ours, from 1.
fn cell(line: &[u8], field: usize) -> Option<String> {
    let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
    for place in 1.. {
        let (text, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => take_quoted(quoted),
            None => {
                let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                (text.to_vec(), after)
            }
        };
        if place == field {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
        rest = after.strip_prefix(b",")?;
    }
    None
}

/// The text behind an opening quote, and what follows its closing one.
fn take_quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let (before, after) = rest.split_at(quote);
        text.extend_from_slice(before);
        rest = after.get(1..).unwrap_or_default();
        if rest.first() != Some(&b'"') {
            return (text, rest);
        }
        text.push(b'"');
        rest = rest.get(1..).unwrap_or_default();
    }
    (text, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRORS: &str = "<nobr>[Line: 3 Field: 2] (soon &amp; later) -ERROR: invalid date in column Seen</nobr><br>\
        <nobr>[Line: 4 Field: 1] (hunter2) -WARNING: not a number</nobr><br>";

    fn lines(rows: &[&str]) -> Vec<Vec<u8>> {
        rows.iter()
            .map(|row| format!("{row}\n").into_bytes())
            .collect()
    }

    fn places(complaints: &[Complaint], rows: &[&str]) -> Option<Vec<usize>> {
        let blamed = blame(complaints, &lines(rows))?;
        Some(blamed.iter().map(|it| it.place).collect())
    }

    #[test]
    fn complaints_are_read_without_tags_and_their_words_without_values() {
        let complaints = read(ERRORS, &["Seen"]);
        assert_eq!(complaints.len(), 2);
        assert_eq!((complaints[0].line, complaints[0].field), (3, 2));
        assert_eq!(complaints[0].value, "soon & later");
        assert_eq!(complaints[0].words, "ERROR: invalid date in column Seen");
        assert!(!complaints[1].words.contains("hunter2"));
        assert_eq!(words("<b>File is broken</b>", &[]), "File is broken");
        assert_eq!(read("", &[]), []);
        assert_eq!(read("[Line: x] y", &[]), []);
    }

    #[test]
    fn rows_are_found_whichever_line_the_service_counts_as_the_first() {
        let complaints = read(ERRORS, &[]);
        let with_header = ["1,\"ok\"", "2,\"soon & later\"", "\"hunter2\",\"x\""];
        assert_eq!(places(&complaints, &with_header), Some(vec![1, 2]));
        let without = ["0,", "1,\"ok\"", "2,\"soon & later\"", "\"hunter2\",\"x\""];
        assert_eq!(places(&complaints, &without), Some(vec![2, 3]));
    }

    #[test]
    fn line_breaks_in_cells_count_or_do_not() {
        let complaints = read("[Line: 4 Field: 1] (bad) -ERROR: x", &[]);
        // By lines of the file: the first row takes two.
        let physical = ["\"a\nb\",1", "\"bad\",2", "\"c\",3", "\"d\",4"];
        assert_eq!(places(&complaints, &physical), Some(vec![1]));
        let logical = ["\"a\nb\",1", "\"c\",2", "\"bad\",3", "\"d\",4"];
        assert_eq!(places(&complaints, &logical), Some(vec![2]));
    }

    #[test]
    fn a_number_that_is_no_line_blames_nobody() {
        let complaints = read(
            &format!("[Line: {} Field: 1] (bad) -ERROR: x", usize::MAX),
            &[],
        );
        assert_eq!(places(&complaints, &["\"bad\""]), None);
    }

    #[test]
    fn words_show_no_part_of_a_value() {
        let errors = "[Line: 2 Field: 1] (red) - (blue) -ERROR: cannot read red) - (blue as a date";
        let shown = &read(errors, &[])[0].words;
        assert!(!shown.contains("red") && !shown.contains("blue"), "{shown}");
        assert!(shown.starts_with("ERROR: cannot read"), "{shown}");
    }

    #[test]
    fn nobody_is_blamed_if_no_count_fits() {
        let complaints = read(ERRORS, &[]);
        assert_eq!(
            places(&complaints, &["1,\"a\"", "2,\"b\"", "3,\"c\""]),
            None
        );
        assert_eq!(places(&[], &["1"]), Some(Vec::new()));
    }

    #[test]
    fn cells_are_found_behind_quotes_and_commas() {
        let line = b"1,\"a \"\"b\"\", c\",,\"x\"\n";
        let found: Vec<Option<String>> = (1..6).map(|field| cell(line, field)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [text("1"), text("a \"b\", c"), text(""), text("x"), None]
        );
    }

    #[test]
    fn a_long_value_may_have_been_cut() {
        assert!(holds(
            "a text that goes on and on",
            "a text that goes on a..."
        ));
        assert!(!holds("abc", "ab"));
    }
}
