//! Appending and upserting: one file, one import, and what is done about rows at fault.
//!
//! | | rows are found by their key | each row is new |
//! | --- | --- | --- |
//! | a row at fault | the others are imported; if the service names all that failed, these are rejected, else the rest is sent again without those it named, in smaller files if there are many | nothing is imported; the rows that it named are rejected, the rest is sent again |
//! | a fault without a name | the file is halved until single rows are left | the same |
//! | an answer that never came | the file is sent again | the table is asked for its last import: if that was ours it counts, else the run ends, and the next one sends the rows again |
//!
//! So rows with a key are written once, however often they are sent; rows without one come at least once.

use std::sync::Arc;
use std::time::Duration;

use singer_core::{Error, Kind, Result};
use singer_runtime::blocking::blocking;
use tokio::time::Instant;
use zoho::{Class, Fault, Repeat};

use crate::api::{Table, text};
use crate::before::Before;
use crate::complaint::{self, Blamed};
use crate::config::{Mode, OnError};
use crate::encode::{self, Cell};
use crate::home::{Home, fault_of, may_heal};
use crate::model::{Job, LastImport, Summary};
use crate::rows::{File, Part, Recipe, Row, Written};
use crate::shape::{Import, Shape};

/// Files that may be refused one after the other before it is not single rows that are at fault.
const VAIN_FILES: u32 = 48;

/// Files that were refused one after the other before the rows that are left go into smaller ones: those
/// without a fault are then imported, and a file holds no more faults than the service names.
const PATIENT_FILES: u32 = 3;

/// Imports that may break off one after the other.
const BROKEN_IMPORTS: u32 = 4;

/// The longest pause before an import is tried again, as a power of two in seconds.
const LONGEST_PAUSE: u32 = 5;

/// The waits between looks at the last import, when nobody knows whether ours arrived.
const LOOKS: [u64; 5] = [0, 2, 4, 8, 16];

/// What became of a file.
enum Imported {
    /// All of it is there.
    All,
    /// So many of its rows are not.
    Some(Summary),
    /// Nothing of it is there: the code and the words of the service, with values in them.
    None(String, String),
}

/// How parts that have the same columns become files.
///
/// # Errors
/// Of kind `Internal`, if CONFIG is no JSON.
pub(crate) fn recipe(home: &Home, shape: &Arc<Shape>, parts: Arc<[Part]>) -> Result<Recipe> {
    let mut recipe = Recipe {
        shape: Arc::clone(shape),
        parts,
        config: String::new(),
        is_query: home.api.is_query(),
    };
    let import = match shape.mode {
        Mode::Append => Import::Append,
        Mode::Upsert | Mode::Row | Mode::Replace => Import::UpdateAdd,
    };
    let config = shape.import_config(import, &recipe.cells(), home.callback_url());
    recipe.config = text(&config)?;
    Ok(recipe)
}

/// Writes the rows of a recipe, of which all stand in the first file; what became of each part.
///
/// # Errors
/// If it is not rows that are at fault.
pub(crate) async fn write(
    home: &Home,
    table: &Table,
    recipe: Recipe,
    first: File,
) -> Result<Vec<Written>> {
    let mut load = Load {
        home,
        table,
        waiting: Vec::new(),
        vain: 0,
        written: recipe.parts.iter().map(|_| Written::default()).collect(),
        recipe,
    };
    load.run(first).await?;
    Ok(load.written)
}

/// One import, or several until each row has its fate.
struct Load<'a> {
    home: &'a Home,
    table: &'a Table,
    recipe: Recipe,
    /// Files to be tried.
    waiting: Vec<Vec<Row>>,
    /// Files that were refused one after the other.
    vain: u32,
    written: Vec<Written>,
}

impl Load<'_> {
    fn shape(&self) -> &Shape {
        &self.recipe.shape
    }

    fn appends(&self) -> bool {
        self.shape().mode == Mode::Append
    }

    async fn run(&mut self, first: File) -> Result<()> {
        // Those after it have some of its rows again.
        if let Some(row) = first.rows.first() {
            self.of(row.part).emptied += first.emptied;
        }
        let mut next = Some(first);
        while let Some(mut file) = self.or_waiting(next.take()).await? {
            for (row, error) in std::mem::take(&mut file.refused) {
                self.shape().check_abort(&error)?;
                self.of(row.part).refuse_row(row.row, error);
            }
            if file.rows.is_empty() {
                continue;
            }
            let imported = self.import(&mut file).await?;
            self.home
                .api
                .units
                .import(self.shape().mode, file.rows.len() as u64);
            match imported {
                Imported::All => {
                    self.vain = 0;
                    let bytes = file.bytes;
                    if let Some(first) = file.rows.first() {
                        self.of(first.part).bytes += bytes;
                    }
                    self.count(file.rows.iter());
                }
                Imported::Some(summary) => self.part_of(file, &summary).await?,
                Imported::None(code, errors) => self.none_of(file, &code, &errors).await?,
            }
            if self.vain > VAIN_FILES {
                return Err(Error::rejected(format!(
                    "Analytics refuses the rows of `{}`: {} files in a row were refused",
                    self.shape().view,
                    self.vain
                ))
                .with_hint("does the table still have the columns that it had?"));
            }
        }
        Ok(())
    }

    /// This file, or the next of those that wait.
    async fn or_waiting(&mut self, file: Option<File>) -> Result<Option<File>> {
        if file.is_some() {
            return Ok(file);
        }
        match self.waiting.pop() {
            Some(rows) => Ok(Some(self.recipe.file(rows).await?)),
            None => Ok(None),
        }
    }

    fn of(&mut self, part: usize) -> &mut Written {
        &mut self.written[part]
    }

    fn count<'r>(&mut self, rows: impl Iterator<Item = &'r Row>) {
        for row in rows {
            self.of(row.part).sent += 1;
        }
    }

    /// Rows of a file were left out.
    async fn part_of(&mut self, file: File, summary: &Summary) -> Result<()> {
        self.vain += 1;
        let missing = summary.total - summary.success;
        self.check_abort(&summary.errors)?;
        let blamed = self.blame(&file, &summary.errors, missing).await?;
        let named = blamed.as_ref().map_or(0, |rows| rows.len() as u64);
        match blamed {
            Some(blamed) if named == missing => {
                let rest = self.refuse(&file, blamed, None);
                if !rest.is_empty() {
                    self.vain = 0;
                }
                self.count(rest.iter());
            }
            // What is there cannot be told from what is not, and nothing may be sent twice.
            _ if self.appends() => {
                return Err(Error::rejected(format!(
                    "an import appended {} of {} rows to `{}`, although it was to append all or none",
                    summary.success, summary.total, self.shape().view
                ))
                .with_hint("the next run sends all of them again: look for rows that are there twice"));
            }
            Some(blamed) if (1..missing).contains(&named) => {
                let rest = self.refuse(&file, blamed, None);
                self.again(rest);
            }
            _ => self.halve(file.rows, None, &summary.errors),
        }
        Ok(())
    }

    /// Rows without those that were named are tried again, as one file or as smaller ones.
    fn again(&mut self, rest: Vec<Row>) {
        if self.vain > PATIENT_FILES && rest.len() > 1 {
            let (first, second) = rest.split_at(rest.len() / 2);
            self.waiting.push(second.to_vec());
            self.waiting.push(first.to_vec());
        } else {
            self.waiting.push(rest);
        }
    }

    /// Nothing of a file was imported.
    async fn none_of(&mut self, file: File, code: &str, errors: &str) -> Result<()> {
        self.vain += 1;
        self.check_abort(errors)?;
        match self.blame(&file, errors, u64::MAX).await? {
            Some(blamed) if !blamed.is_empty() => {
                let rest = self.refuse(&file, blamed, Some(code));
                self.again(rest);
            }
            _ => self.halve(file.rows, Some(code), errors),
        }
        Ok(())
    }

    /// Where the config says so, one row at fault is one too many.
    fn check_abort(&self, errors: &str) -> Result<()> {
        if self.shape().on_error != OnError::Abort {
            return Ok(());
        }
        let words = complaint::words(errors, &self.names());
        Err(Error::rejected(format!(
            "Analytics refuses rows of the stream `{}`: {words}",
            self.shape().stream
        ))
        .with_hint("`on_error` `skip_row` rejects such rows and goes on with the others"))
    }

    fn names(&self) -> Vec<&str> {
        let cells = self.shape().cells.iter();
        cells.map(|cell| cell.column.as_str()).collect()
    }

    /// The rows that the service means, if that can be told; so many are `missing`.
    async fn blame(&self, file: &File, errors: &str, missing: u64) -> Result<Option<Vec<Blamed>>> {
        let complaints = complaint::of_rows(complaint::read(errors, &self.names()), missing);
        if complaints.is_empty() {
            return Ok(None);
        }
        let (recipe, rows) = (self.recipe.clone(), file.rows.clone());
        let blamed = blocking(move || {
            let lines = lines(&recipe, &rows);
            Ok(complaint::blame(&complaints, &lines))
        });
        blamed.await
    }

    /// Refuses rows of a file; returns the others.
    fn refuse(&mut self, file: &File, blamed: Vec<Blamed>, code: Option<&str>) -> Vec<Row> {
        let mut is_blamed = vec![false; file.rows.len()];
        let cells: Vec<String> = {
            let cells = self.recipe.cells();
            cells.iter().map(|cell| cell.column.clone()).collect()
        };
        for blamed in blamed {
            let Some(row) = file.rows.get(blamed.place) else {
                continue;
            };
            is_blamed[blamed.place] = true;
            let reason = match cells.get(blamed.field) {
                Some(column) => format!("column `{column}`: {}", blamed.words),
                None => blamed.words,
            };
            self.of(row.part).refuse(row.row, code, reason);
        }
        let rows = file.rows.iter().zip(is_blamed);
        rows.filter(|(_, is_blamed)| !is_blamed)
            .map(|(row, _)| *row)
            .collect()
    }

    /// Tries the halves of a file; a single row is refused.
    fn halve(&mut self, rows: Vec<Row>, code: Option<&str>, errors: &str) {
        if let [row] = rows.as_slice() {
            let values = self.values(*row);
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let words = complaint::without(errors, &values);
            let words = complaint::words(&words, &self.names());
            let (part, row) = (row.part, row.row);
            self.of(part).refuse(row, code, words);
            return;
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        self.waiting.push(second.to_vec());
        self.waiting.push(first.to_vec());
    }

    /// The values of a row, which no reason may show.
    fn values(&self, row: Row) -> Vec<String> {
        let Some(part) = self.recipe.parts.get(row.part) else {
            return Vec::new();
        };
        let record = part.batch.record(row.row as usize);
        let options = self.shape().options;
        let cells = self.recipe.cells().into_iter();
        cells
            .filter_map(|cell| encode::value(&record, cell, options, &mut 0).ok()?)
            .collect()
    }

    /// Imports a file, and waits until it is known what became of it.
    async fn import(&mut self, file: &mut File) -> Result<Imported> {
        let view = self.shape().view.clone();
        let mut broken: u32 = 0;
        let start = Instant::now();
        loop {
            let (repeat, last) = if self.appends() {
                let last = Before::of(self.home, self.table).await;
                (Repeat::OnlyIfRefused, last)
            } else {
                (Repeat::Safely, Before::Unknown)
            };
            let sent = match self.home.api.import(self.table, &file.upload, repeat).await {
                Ok(sent) => sent,
                Err(fault) if self.home.api.wants_query(&fault, &file.upload) => {
                    self.recipe.is_query = true;
                    file.upload = self.recipe.file(file.rows.clone()).await?.upload;
                    continue;
                }
                Err(fault) if fault.is_unclear() && self.appends() => {
                    let what = format!("cannot import rows into `{view}`");
                    return self.look(file, last, fault.into_error(&what)).await;
                }
                Err(fault) => return refused(fault, &view),
            };
            let job = self.home.wait(self.table, &sent.job).await?;
            let fault = match job {
                Job::Done(summary) => return self.judge(file, summary, &sent.job),
                Job::Failed { code, errors } => {
                    let fault = fault_of(&code, &complaint::words(&errors, &self.names()));
                    // Far more codes are published than are known here; lines are of rows.
                    let is_of_rows =
                        fault.class == Class::Fatal && !complaint::read(&errors, &[]).is_empty();
                    if fault.class == Class::Data || is_of_rows {
                        return Ok(Imported::None(code, errors));
                    }
                    fault
                }
                Job::Lost => {
                    let error = Error::transient(format!(
                        "Analytics does not know the import `{}` into `{view}` any more",
                        sent.job
                    ));
                    if self.appends() {
                        return self.look(file, last, error).await;
                    }
                    error.into()
                }
                Job::Running(_) => {
                    return Err(Error::internal("an import was left while it ran"));
                }
            };
            broken += 1;
            let is_lost = fault.code.is_none();
            // What others hold is waited out, also if the job is what says so.
            let is_held = matches!(fault.class, Class::Busy | Class::Throttled);
            let is_enough = if is_held {
                start.elapsed() >= self.home.patience()
            } else {
                broken >= BROKEN_IMPORTS
            };
            if is_enough || !(is_lost || may_heal(fault.class)) {
                return Err(
                    fault.into_error(&format!("the import `{}` into `{view}` failed", sent.job))
                );
            }
            tracing::warn!(stream = self.shape().stream, job = sent.job, error = %fault, "the import failed; it is tried again");
            self.home
                .context
                .pause(Duration::from_secs(1 << broken.min(LONGEST_PAUSE)))
                .await?;
        }
    }

    /// Holds what was counted against what was sent.
    fn judge(&self, file: &File, summary: Summary, job: &str) -> Result<Imported> {
        let rows = file.rows.len() as u64;
        let shape = self.shape();
        if summary.total != rows || summary.success > summary.total {
            return Err(Error::protocol(format!(
                "the import `{job}` into `{}` read {} rows, and the file has {rows}",
                shape.view, summary.total
            ))
            .with_hint("are there line breaks or quotes that Analytics reads otherwise? the rows of this file are not confirmed"));
        }
        if summary.success == rows {
            if summary.warnings > 0 {
                let words = complaint::words(&summary.errors, &self.names());
                tracing::warn!(
                    stream = shape.stream,
                    job,
                    cells = summary.warnings,
                    first = words,
                    "Analytics left cells empty that it does not take"
                );
            }
            return Ok(Imported::All);
        }
        Ok(Imported::Some(summary))
    }

    /// Nobody knows whether rows without a key arrived: the table may say so.
    async fn look(&self, file: &File, before: Before, error: Error) -> Result<Imported> {
        let rows = file.rows.len() as u64;
        for wait in LOOKS {
            self.home.context.pause(Duration::from_secs(wait)).await?;
            let last = match self.home.api.last_import(self.table).await {
                Ok(last) => last,
                Err(fault) if fault.class == Class::Missing => None,
                Err(_) => return Err(error),
            };
            if let Some(last) = last
                && before.is_followed_by(&last, rows)
            {
                let LastImport {
                    succeeded, summary, ..
                } = last;
                tracing::warn!(
                    stream = self.shape().stream,
                    rows,
                    "an import whose answer never came is the last one of the table"
                );
                if succeeded && summary.success == rows {
                    return Ok(Imported::All);
                }
                if summary.success == 0 {
                    return Ok(Imported::None("7232".to_owned(), summary.errors));
                }
                break;
            }
        }
        Err(Error::new(Kind::Transient, format!("it is not known whether {rows} rows were appended to `{}`", self.shape().view))
            .with_source(error)
            .with_hint("the next run sends them again: look for rows that are there twice, or give the stream a key"))
    }
}

/// An import that was refused when it was sent.
fn refused(fault: Fault, view: &str) -> Result<Imported> {
    if fault.class == Class::Data {
        let code = fault.code.clone().unwrap_or_default();
        return Ok(Imported::None(code, fault.words));
    }
    Err(fault.into_error(&format!("cannot import rows into `{view}`")))
}

/// Each row of a file as its line.
fn lines(recipe: &Recipe, rows: &[Row]) -> Vec<Vec<u8>> {
    let cells: Vec<&Cell> = recipe.cells();
    let line = |row: &Row| {
        let mut out = Vec::new();
        if let Some(part) = recipe.parts.get(row.part) {
            let record = part.batch.record(row.row as usize);
            // Rows that are none are not among them.
            drop(encode::line(
                &record,
                &cells,
                recipe.shape.options,
                &mut out,
            ));
        }
        out
    };
    rows.iter().map(line).collect()
}
