//! An uploaded file, read and checked against the columns of its table; nothing is kept yet. Facts:
//! sections 3.2 to 3.4.

use std::collections::HashSet;
use std::fmt::Write;

use super::answer::Failure;
use super::csv::{Csv, Dialect, Objects, Record, Records};
use super::datatype::{CellRules, DataType};
use super::date::Pattern;
use super::rows::{Row, Rows};
use super::spec::{FileType, ImportSpec, ImportType, OnError};
use super::table::Column;

/// How many errors are told in full.
const ERRORS_TOLD: usize = 100;

/// How many rows the types of new columns are guessed from.
const ROWS_GUESSED: usize = 100;

/// The values of a column that another column looks up.
pub(crate) type Parents = HashSet<Box<[u8]>>;

/// The columns of a table at the moment of an import.
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    /// The values that lookup columns may have, by column.
    pub(crate) parents: Vec<Option<Parents>>,
}

/// A file that was read.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// A cell for every column of the table.
    pub(crate) rows: Rows,
    /// Which columns the file has.
    pub(crate) present: Vec<bool>,
    pub(crate) counts: Counts,
    /// Why it was aborted; the rows are those before.
    pub(crate) aborted: Option<Failure>,
}

/// What the summary of an import counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) total_columns: usize,
    pub(crate) selected_columns: usize,
    pub(crate) total_rows: usize,
    pub(crate) successful_rows: usize,
    pub(crate) warnings: usize,
    pub(crate) errors: String,
    told: usize,
}

impl Counts {
    /// Adds those of another file of the same import.
    pub(crate) fn add(&mut self, other: &Counts) {
        self.total_columns = other.total_columns;
        self.selected_columns = other.selected_columns;
        self.total_rows += other.total_rows;
        self.successful_rows += other.successful_rows;
        self.warnings += other.warnings;
        if self.told < ERRORS_TOLD {
            self.errors.push_str(&other.errors);
            self.told += other.told;
        }
    }

    fn tell(&mut self, text: &str) {
        self.warnings += 1;
        if self.told < ERRORS_TOLD {
            self.told += 1;
            self.errors.push_str(text);
        }
    }
}

/// Where the cells of a column come from.
struct Slot<'import> {
    field: Option<usize>,
    pattern: Option<&'import Pattern>,
}

/// Reads a file for a table.
pub(crate) fn prepare(
    bytes: &[u8],
    spec: &ImportSpec,
    layout: &Layout,
    mut rules: CellRules,
) -> Result<Prepared, Failure> {
    (rules.thousands, rules.decimal) = (spec.thousands, spec.decimal);
    let mut records = records(bytes, spec)?;
    let mut record = Record::default();
    let header = read_header(records.as_mut(), &mut record)?;
    let slots = slots(&header, spec, layout)?;
    let mut prepared = Prepared {
        present: slots.iter().map(|slot| slot.field.is_some()).collect(),
        ..Prepared::default()
    };
    prepared.counts.total_columns = header.len();
    prepared.counts.selected_columns = prepared.present.iter().filter(|is| **is).count();
    let mut reader = RowReader {
        spec,
        layout,
        rules,
        slots,
        row: Row::default(),
    };
    while records.next(&mut record) {
        prepared.counts.total_rows += 1;
        if record.len() > header.len() {
            let message = format!(
                "The number of fields of line {} exceeds that of the header",
                record.line
            );
            prepared.aborted = Some(Failure::new(7208, message));
            return Ok(prepared);
        }
        match reader.read(&record, &mut prepared.counts) {
            Ok(true) => {
                prepared.rows.push(reader.row.cells());
                prepared.counts.successful_rows += 1;
            }
            Ok(false) => {}
            Err(failure) => {
                prepared.aborted = Some(failure);
                return Ok(prepared);
            }
        }
    }
    Ok(prepared)
}

/// The columns that a file makes for a new table; their ids are left empty.
pub(crate) fn guess_columns(bytes: &[u8], spec: &ImportSpec) -> Result<Vec<Column>, Failure> {
    let mut records = records(bytes, spec)?;
    let mut record = Record::default();
    let header = read_header(records.as_mut(), &mut record)?;
    let mut kinds = vec![DataType::Number; header.len()];
    for _ in 0..ROWS_GUESSED {
        if !records.next(&mut record) {
            break;
        }
        for (place, kind) in kinds.iter_mut().enumerate() {
            *kind = wider(*kind, record.field(place));
        }
    }
    let column = |(name, guessed): (&String, DataType)| {
        let given = spec.data_types.iter().find(|(known, _)| known == name);
        Column {
            id: String::new(),
            name: name.clone(),
            kind: given.map_or(guessed, |(_, kind)| *kind),
            is_mandatory: false,
            default: String::new(),
            description: String::new(),
            is_hidden: false,
            lookup: None,
        }
    };
    Ok(header.iter().zip(kinds).map(column).collect())
}

/// Digits with a sign and a point at most: a date is none, nor is an exponent.
fn is_decimal(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    text.bytes().all(is_part) && text.parse::<f64>().is_ok()
}

fn wider(kind: DataType, cell: &[u8]) -> DataType {
    let text = std::str::from_utf8(cell).unwrap_or_default();
    if cell.is_empty() || (kind == DataType::Number && text.parse::<i64>().is_ok()) {
        kind
    } else if matches!(kind, DataType::Number | DataType::DecimalNumber) && is_decimal(text) {
        DataType::DecimalNumber
    } else if kind == DataType::MultiLine || text.len() > 100 {
        DataType::MultiLine
    } else {
        DataType::Plain
    }
}

fn records<'file>(
    bytes: &'file [u8],
    spec: &ImportSpec,
) -> Result<Box<dyn Records + 'file>, Failure> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Failure::new(7248, "The content of the file is no UTF-8"));
    }
    match spec.file_type {
        FileType::Csv => {
            let dialect = spec.dialect.unwrap_or_else(|| Dialect::guess(bytes));
            Ok(Box::new(Csv::new(bytes, dialect, spec.skip_top)))
        }
        FileType::Json => match Objects::parse(bytes) {
            Some(objects) => Ok(Box::new(objects)),
            None => Err(Failure::new(
                7248,
                "The content of the file is no JSON array",
            )),
        },
    }
}

fn read_header(records: &mut dyn Records, record: &mut Record) -> Result<Vec<String>, Failure> {
    if !records.next(record) {
        return Err(Failure::new(7203, "The file is empty"));
    }
    let name = |place| {
        String::from_utf8_lossy(record.field(place))
            .trim()
            .to_owned()
    };
    Ok((0..record.len()).map(name).collect())
}

fn slots<'import>(
    header: &[String],
    spec: &'import ImportSpec,
    layout: &Layout,
) -> Result<Vec<Slot<'import>>, Failure> {
    for name in spec.selected.iter().flatten() {
        if !header.contains(name) {
            let message = format!("The selected column `{name}` is not in the file");
            return Err(Failure::new(8046, message));
        }
    }
    let is_selected = |name: &String| {
        let selected = spec.selected.as_ref();
        selected.is_none_or(|selected| selected.contains(name))
    };
    let slot = |column: &Column| Slot {
        field: header
            .iter()
            .position(|name| *name == column.name && is_selected(name))
            .filter(|_| column.kind != DataType::AutoNumber),
        pattern: spec.pattern(&column.name, column.kind),
    };
    let slots: Vec<Slot<'_>> = layout.columns.iter().map(slot).collect();
    if slots.iter().all(|slot| slot.field.is_none()) {
        let message = "No column of the table matches the header of the file";
        return Err(Failure::new(7235, message));
    }
    for (column, slot) in layout.columns.iter().zip(&slots) {
        let is_missing = slot.field.is_none();
        if is_missing && spec.matching.contains(&column.name) {
            let message = format!("The matching column `{}` is not in the file", column.name);
            return Err(Failure::new(7107, message));
        }
        let is_needed = column.is_mandatory
            && column.default.is_empty()
            && spec.import_type != ImportType::UpdateAdd
            && column.kind != DataType::AutoNumber;
        if is_missing && is_needed {
            let message = format!("The mandatory column `{}` is not in the file", column.name);
            return Err(Failure::new(7511, message));
        }
    }
    Ok(slots)
}

/// Reads rows one after another into the same memory.
struct RowReader<'import> {
    spec: &'import ImportSpec,
    layout: &'import Layout,
    rules: CellRules,
    slots: Vec<Slot<'import>>,
    row: Row,
}

impl RowReader<'_> {
    /// Reads a row; false if it is skipped.
    fn read(&mut self, record: &Record, counts: &mut Counts) -> Result<bool, Failure> {
        self.row.clear();
        for (place, slot) in self.slots.iter().enumerate() {
            let column = &self.layout.columns[place];
            let before = self.row.bytes.len();
            let Some(field) = slot.field else {
                if self.spec.import_type != ImportType::UpdateAdd {
                    self.row.bytes.extend_from_slice(column.default.as_bytes());
                }
                self.row.end();
                continue;
            };
            let raw = record.field(field);
            let read = self
                .rules
                .read(column.kind, slot.pattern, raw, &mut self.row.bytes);
            let kept = self.row.bytes.get(before..).unwrap_or_default();
            let checked = match read {
                Err(what) => Err((7232, what)),
                Ok(()) if kept.is_empty() && column.is_mandatory => {
                    Err((7511, "The mandatory column is empty"))
                }
                Ok(()) => match &self.layout.parents[place] {
                    Some(parents) if !kept.is_empty() && !parents.contains(kept) => {
                        Err((7515, "Unknown lookup value"))
                    }
                    _ => Ok(()),
                },
            };
            if let Err((code, what)) = checked {
                self.row.bytes.truncate(before);
                let fault = Fault {
                    line: record.line,
                    field: field + 1,
                    raw,
                    what,
                };
                match self.spec.on_error {
                    OnError::Abort => return Err(Failure::new(code, fault.text("ERROR"))),
                    OnError::SetColumnEmpty if !column.is_mandatory => {
                        counts.tell(&fault.text("WARNING"));
                    }
                    OnError::SkipRow | OnError::SetColumnEmpty => {
                        counts.tell(&fault.text("WARNING"));
                        return Ok(false);
                    }
                }
            }
            self.row.end();
        }
        Ok(true)
    }
}

/// A cell that cannot be taken.
struct Fault<'record> {
    line: usize,
    field: usize,
    raw: &'record [u8],
    what: &'static str,
}

impl Fault<'_> {
    fn text(&self, grade: &str) -> String {
        let mut text = String::new();
        write!(
            text,
            "<nobr>[Line: {} Field: {}] ({}) -{grade}: {}</nobr><br>",
            self.line,
            self.field,
            String::from_utf8_lossy(self.raw),
            self.what
        )
        .expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::spec::{Portion, Target, import_config};
    use super::*;

    fn column(name: &str, kind: DataType, is_mandatory: bool) -> Column {
        Column {
            id: String::new(),
            name: name.to_owned(),
            kind,
            is_mandatory,
            default: String::new(),
            description: String::new(),
            is_hidden: false,
            lookup: None,
        }
    }

    fn run(file: &str, change: &Value) -> Result<Prepared, Failure> {
        let mut config = json!({"importType": "append", "autoIdentify": true});
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = import_config(Some(&config.to_string())).unwrap();
        let options = crate::Options::default().analytics;
        let spec = ImportSpec::read(&config, Target::Existing, Portion::Whole, &options).unwrap();
        let mut parents = vec![None, None, None];
        parents[1] = Some(HashSet::from([b"Rui".as_slice().into()]));
        let layout = Layout {
            columns: vec![
                column("Id", DataType::Number, true),
                column("Driver", DataType::Plain, false),
                column("Seen", DataType::DateAsDate, false),
            ],
            parents,
        };
        prepare(file.as_bytes(), &spec, &layout, CellRules::new(&options))
    }

    #[test]
    fn types_are_guessed_from_the_cells() {
        let guessed = |cells: &[&str]| {
            let cells = cells.iter().map(|cell| cell.as_bytes());
            cells.fold(DataType::Number, wider)
        };
        assert_eq!(guessed(&["1", "", "-2"]), DataType::Number);
        assert_eq!(guessed(&["1", "2.50"]), DataType::DecimalNumber);
        assert_eq!(guessed(&["2026-02-01"]), DataType::Plain);
        assert_eq!(guessed(&["1e3"]), DataType::Plain);
    }

    #[test]
    fn cells_find_their_columns_by_name() {
        let prepared = run("Seen,Ghost,Id\n2025-02-03,x,1\n,,2\n", &json!({})).unwrap();
        assert_eq!(prepared.present, [true, false, true]);
        let cells: Vec<&[u8]> = prepared.rows.cells(0).collect();
        assert_eq!(cells, [b"1".as_slice(), b"", b"2025-02-03"]);
        let counts = &prepared.counts;
        assert_eq!((counts.total_columns, counts.selected_columns), (3, 2));
        assert_eq!((counts.total_rows, counts.successful_rows), (2, 2));
    }

    #[test]
    fn a_bad_cell_follows_on_error() {
        let file = "Id,Seen\n1,2025-02-03\n2,soon\n,2025-02-03\n3,\n";
        let aborted = run(file, &json!({})).unwrap();
        let failure = aborted.aborted.unwrap();
        assert_eq!(failure.code, 7232);
        let start = "<nobr>[Line: 3 Field: 2] (soon) -ERROR: ";
        assert!(failure.message.starts_with(start), "{}", failure.message);
        assert_eq!(aborted.rows.len(), 1);
        let skipped = run(file, &json!({"onError": "skiprow"})).unwrap();
        assert_eq!((skipped.rows.len(), skipped.counts.warnings), (2, 2));
        let emptied = run(file, &json!({"onError": "setcolumnempty"})).unwrap();
        assert_eq!((emptied.rows.len(), emptied.counts.warnings), (3, 2));
        assert_eq!(emptied.rows.cell(1, 2), b"");
        assert!(emptied.counts.errors.contains("-WARNING: "));
    }

    #[test]
    fn only_the_first_hundred_errors_are_told() {
        let mut file = "Id\n".to_owned();
        file.push_str(&"x\n".repeat(150));
        let skipped = run(&file, &json!({"onError": "skiprow"})).unwrap();
        assert_eq!(skipped.counts.warnings, 150);
        assert_eq!(skipped.counts.errors.matches("<br>").count(), 100);
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        for (file, change, code) in [
            ("", json!({}), 7203),
            ("Ghost\n1\n", json!({}), 7235),
            ("Seen\n2025-02-03\n", json!({}), 7511),
            ("Id\n1\n", json!({"selectedColumns": ["Seen"]}), 8046),
            (
                "Id\n1\n",
                json!({"importType": "updateadd", "matchingColumns": ["Seen"]}),
                7107,
            ),
            ("{}", json!({"fileType": "json"}), 7248),
        ] {
            assert_eq!(run(file, &change).unwrap_err().code, code, "{file}");
        }
        let wide = run("Id\n1\n2,3\n", &json!({})).unwrap();
        assert_eq!(wide.aborted.unwrap().code, 7208);
        let orphan = run("Id,Driver\n1,Rui\n2,Eva\n", &json!({})).unwrap();
        assert_eq!(orphan.aborted.unwrap().code, 7515);
    }
}
