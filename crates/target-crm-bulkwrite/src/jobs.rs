//! Rows on their way: files are built and uploaded, jobs created, waited for and judged; what was not reached
//! is sent again, and what must not be asked twice is noted first.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use singer_core::{Error, Kind, Result};
use singer_net::{Answer, Bytes, StatusCode};
use singer_runtime::blocking::blocking;
use singer_runtime::target::Batch;
use zoho::archive::{self, Bounds};
use zoho::fault::Service as _;
use zoho::{Class, Fault, Repeat};

use crate::chunk::{self, Chunk, MOST_ZIP, Most};
use crate::hash;
use crate::home::{Ended, Home};
use crate::journal::{Intent, Journal};
use crate::look;
use crate::model::{Job, JobState, job_request};
use crate::result::{self, Fate, Line};
use crate::rows::{Part, Written};
use crate::shape::Shape;

/// How often rows that were not reached are sent again, and jobs that failed are made again.
const TRIES: u32 = 3;

/// Seconds to wait before each look for rows whose job nobody knows.
const LOOKS: [u64; 4] = [1, 10, 30, 60];

/// What a result may be, unzipped.
const BOUNDS: Bounds = Bounds {
    max_entries: 4,
    max_bytes: 1 << 30,
    max_ratio: 2_000,
};

/// Codes that say that the service has the file no longer.
const FILE_GONE: [&str; 3] = ["INVALID_FILE_ID", "FILE_NOT_FOUND", "EXPIRED_VALUE"];

/// What became of a file.
enum Sent {
    /// Row by row.
    Judged(Vec<Fate>),
    /// It is too large.
    TooLarge,
    /// The job failed before it wrote a row, for a reason that may pass.
    Failed(Error),
}

/// Writes parts of one batch.
pub(crate) struct Jobs<'a> {
    pub(crate) home: &'a Home,
    pub(crate) shape: &'a Arc<Shape>,
    pub(crate) batch: &'a Arc<Batch>,
    pub(crate) journal: Option<&'a Journal>,
    pub(crate) written: Written,
}

impl Jobs<'_> {
    /// Writes rows until each is confirmed or refused.
    ///
    /// # Errors
    /// If it is not known of every row what became of it.
    pub(crate) async fn write(&mut self, part: Part) -> Result<()> {
        let mut waiting = part.rows;
        let mut most = Most {
            rows: self.shape.chunk_records,
            zip_bytes: MOST_ZIP,
        };
        let mut vain = 0;
        while !waiting.is_empty() {
            let (rest, mut chunk) = self.build(waiting, &part.columns, most).await?;
            waiting = rest;
            for (row, error) in std::mem::take(&mut chunk.refused) {
                self.written.refuse_row(row, error);
            }
            if chunk.rows.is_empty() {
                continue;
            }
            match self.send(&mut chunk, &part.columns).await? {
                Sent::Judged(fates) => {
                    self.written.bytes += chunk.zip_bytes as u64;
                    let unreached = self.count(&chunk, fates);
                    if unreached.is_empty() {
                        vain = 0;
                        continue;
                    }
                    vain += 1;
                    if vain >= TRIES {
                        return Err(self.not_reached(unreached.len()));
                    }
                    let rows = unreached.len();
                    tracing::warn!(
                        stream = self.shape.stream,
                        rows,
                        "the job did not reach all rows; they are sent again"
                    );
                    waiting.splice(0..0, unreached);
                }
                Sent::TooLarge => {
                    if let [row] = chunk.rows.as_slice() {
                        let cells: Vec<_> = self.shape.cells.iter().collect();
                        self.written.refuse_row(*row, chunk::too_large(&cells));
                        continue;
                    }
                    most.rows = chunk.rows.len().div_ceil(2);
                    waiting.splice(0..0, chunk.rows);
                }
                Sent::Failed(error) => {
                    vain += 1;
                    if vain >= TRIES {
                        return Err(error);
                    }
                    tracing::warn!(stream = self.shape.stream, error = %error, "the job failed; it is made again");
                    self.home
                        .context
                        .pause(Duration::from_secs(1 << vain))
                        .await?;
                    waiting.splice(0..0, chunk.rows);
                }
            }
        }
        Ok(())
    }

    /// Builds a file of the first rows; returns the others.
    async fn build(
        &self,
        rows: Vec<u32>,
        columns: &Arc<[usize]>,
        most: Most,
    ) -> Result<(Vec<u32>, Chunk)> {
        let (shape, batch) = (Arc::clone(self.shape), Arc::clone(self.batch));
        let columns = Arc::clone(columns);
        blocking(move || {
            let mut rows = rows;
            let chunk = chunk::build(&shape, &batch, &rows, &columns, most)?;
            rows.drain(..chunk.taken);
            Ok((rows, chunk))
        })
        .await
    }

    /// Counts what became of rows; returns those that were not reached.
    fn count(&mut self, chunk: &Chunk, fates: Vec<Fate>) -> Vec<u32> {
        let mut unreached = Vec::new();
        for (row, fate) in chunk.rows.iter().zip(fates) {
            match fate {
                Fate::Added | Fate::Updated => self.written.sent += 1,
                Fate::Existed => self.written.unchanged += 1,
                Fate::Unprocessed => unreached.push(*row),
                Fate::Refused {
                    verdict,
                    code,
                    reason,
                } => self.written.refuse(*row, verdict, Some(code), reason),
            }
        }
        unreached
    }

    fn not_reached(&self, rows: usize) -> Error {
        Error::transient(format!(
            "{rows} rows of `{}` were not reached by {TRIES} jobs in a row",
            self.shape.module
        ))
    }

    fn what(&self) -> String {
        format!("cannot write rows to the module `{}`", self.shape.module)
    }

    /// Uploads a file and sees its job to the end.
    async fn send(&self, chunk: &mut Chunk, columns: &[usize]) -> Result<Sent> {
        let zgid = &self.home.organisation().await?.zgid;
        let mut entry = None;
        let mut is_second = false;
        let begun = self.home.context.now();
        let job = loop {
            let body = chunk.body.clone();
            let file_id = match (self.home.api.upload(zgid, &chunk.content_type, body)).await {
                Ok(file_id) => file_id,
                Err(fault) => {
                    // If there is an entry, its job was refused.
                    self.forget(entry)?;
                    if is_too_large(&fault) {
                        return Ok(Sent::TooLarge);
                    }
                    return Err(fault.into_error("cannot upload a file of rows"));
                }
            };
            if entry.is_none() {
                entry = self.intend(chunk)?;
            }
            let file = (file_id.as_str(), chunk.file_name.as_str());
            let request = job_request(self.shape, columns, file, self.home.callback_url());
            let repeat = match self.shape.doubles() {
                true => Repeat::OnlyIfRefused,
                false => Repeat::Safely,
            };
            let fault = match self.home.api.create_job(&request, repeat).await {
                Ok(job) => break job,
                Err(fault) => fault,
            };
            if self.shape.doubles() && may_have_acted(&fault) {
                let error = fault.into_error(&self.what());
                return self.look(chunk, entry, begun, error).await;
            }
            // How long a file waits for its job is not documented.
            if !is_second && FILE_GONE.iter().any(|code| fault.is(code)) {
                is_second = true;
                continue;
            }
            self.forget(entry)?;
            return Err(told(fault).into_error(&self.what()));
        };
        // The service has it now, and the job may take an hour.
        chunk.body = Bytes::new();
        self.home.count_job(chunk.rows.len());
        if let (Some(journal), Some(entry)) = (self.journal, entry) {
            journal.job(entry, &job)?;
        }
        match self.home.wait(&job).await? {
            Ended::Told(details) => self.judge(chunk, &job, details, entry).await,
            Ended::Lost => {
                let error = Error::transient(format!("the service does not know the job `{job}`"));
                if self.shape.doubles() {
                    return self.look(chunk, entry, begun, error).await;
                }
                Ok(Sent::Failed(error))
            }
        }
    }

    /// Notes an insert that must not be asked for twice.
    fn intend(&self, chunk: &Chunk) -> Result<Option<u64>> {
        let Some(journal) = self.journal else {
            return Ok(None);
        };
        let rows = self.prints(&chunk.rows);
        let id = journal.intend(Intent {
            stream: &self.shape.stream,
            module: &self.shape.module,
            end: self.batch.end(),
            rows: &rows,
            at: self.home.context.now(),
        })?;
        Ok(Some(id))
    }

    fn prints(&self, rows: &[u32]) -> Vec<u64> {
        let mut buffer = Vec::new();
        rows.iter()
            .map(|row| {
                let record = self.batch.record(*row as usize);
                hash::of_row(self.shape, &record, &mut buffer)
            })
            .collect()
    }

    /// An insert that certainly did not happen.
    fn forget(&self, entry: Option<u64>) -> Result<()> {
        match (self.journal, entry) {
            (Some(journal), Some(entry)) => journal.gone(entry),
            _ => Ok(()),
        }
    }

    /// Judges a job that is over.
    async fn judge(
        &self,
        chunk: &Chunk,
        job: &str,
        details: Job,
        entry: Option<u64>,
    ) -> Result<Sent> {
        if details.state == JobState::Failed {
            return self.failed(job, &details, entry);
        }
        let rows = &chunk.rows;
        let place = |error: Error| error.at(format_args!("the job `{job}`"));
        let keys = look::keys(self.shape, self.batch, rows);
        let key = self.shape.cells.first().map(|cell| cell.field.clone());
        let read = read(self.home, &details, rows.len(), key).await?;
        let fates = match read {
            None => vec![Fate::Added; rows.len()],
            Some(lines) => {
                result::check(&lines, details.counts).map_err(place)?;
                let joined = result::join(&lines, keys.as_deref(), rows.len()).map_err(place)?;
                result::judge(&joined, self.shape)
            }
        };
        if let (Some(journal), Some(entry)) = (self.journal, entry) {
            let added: Vec<u32> = rows
                .iter()
                .zip(&fates)
                .filter(|(_, fate)| **fate == Fate::Added)
                .map(|(row, _)| *row)
                .collect();
            journal.added(entry, self.prints(&added))?;
        }
        Ok(Sent::Judged(fates))
    }

    /// A job that failed, which means before it wrote a row.
    fn failed(&self, job: &str, details: &Job, entry: Option<u64>) -> Result<Sent> {
        let written = details.counts.unwrap_or_default();
        if written.added + written.updated > 0 && self.shape.doubles() {
            return Err(Error::protocol(format!(
                "the job `{job}` failed after it had inserted {} rows, and does not say which",
                written.added
            ))
            .with_hint("look at the job in the CRM before the stream is run again"));
        }
        self.forget(entry)?;
        let fault = told(fault_of(details));
        let may_pass = fault.code.is_none()
            || matches!(fault.class, Class::Broken | Class::Busy | Class::Throttled);
        let error = fault.into_error(&format!("the job `{job}` failed"));
        if may_pass {
            return Ok(Sent::Failed(error));
        }
        Err(error)
    }

    /// Nobody knows whether rows without `find_by` were inserted: their records say so, if they can be found.
    /// `begun` is a moment before they were asked for.
    async fn look(
        &self,
        chunk: &Chunk,
        entry: Option<u64>,
        begun: DateTime<Utc>,
        error: Error,
    ) -> Result<Sent> {
        let rows = &chunk.rows;
        if look::key(self.shape).is_some() {
            for wait in LOOKS {
                self.home.context.pause(Duration::from_secs(wait)).await?;
                let looked = look::look(&self.home.api, self.shape, self.batch, rows, begun).await;
                let Ok(found) = looked else {
                    break;
                };
                if found.iter().all(|found| *found) {
                    tracing::warn!(
                        stream = self.shape.stream,
                        rows = rows.len(),
                        "rows are there that were inserted by a job whose answer never came"
                    );
                    if let (Some(journal), Some(entry)) = (self.journal, entry) {
                        journal.added(entry, self.prints(rows))?;
                    }
                    return Ok(Sent::Judged(vec![Fate::Added; rows.len()]));
                }
            }
        }
        let hint = match self.journal {
            Some(journal) => format!(
                "nothing is inserted twice: the rows stand in `{}`, and the next run finds out, or asks",
                journal.path()
            ),
            None => "without a journal the next run inserts them again: look in the CRM first"
                .to_owned(),
        };
        Err(Error::new(
            Kind::Transient,
            format!(
                "it is not known whether {} rows were inserted into `{}`",
                rows.len(),
                self.shape.module
            ),
        )
        .with_source(error)
        .with_hint(hint))
    }
}

/// The lines of a job's result; `None` if there is no result and the counts say that all is well. `key` is the
/// name of the first column.
pub(crate) async fn read(
    home: &Home,
    details: &Job,
    rows: usize,
    key: Option<String>,
) -> Result<Option<Vec<Line>>> {
    let counts = details.counts;
    if let Some(counts) = counts
        && counts.total != rows as u64
    {
        return Err(Error::protocol(format!(
            "a job read {} rows, and its file has {rows}",
            counts.total
        ))
        .with_hint("are there line breaks or quotes that the service reads otherwise? the rows of this file are not confirmed"));
    }
    let downloaded = match &details.download_url {
        Some(link) => match home.api.result(link).await {
            Ok(file) => Some(file),
            Err(fault) if matches!(fault.class, Class::Missing | Class::Expired) => None,
            Err(fault) => return Err(fault.into_error("cannot download the result of a job")),
        },
        None => None,
    };
    let Some(file) = downloaded else {
        return without_result(details, rows);
    };
    blocking(move || lines(file, key)).await.map(Some)
}

fn lines(file: File, key: Option<String>) -> Result<Vec<Line>> {
    let reader = archive::open(file, ".csv", BOUNDS)?;
    result::read(reader, key.as_deref())
}

/// Counts alone say enough only if every row was written.
fn without_result(details: &Job, rows: usize) -> Result<Option<Vec<Line>>> {
    let counts = details.counts;
    let written = counts.map(|counts| counts.added + counts.updated);
    if written == Some(rows as u64) {
        return Ok(None);
    }
    let words = match counts {
        Some(counts) => format!("{} of {rows} rows were skipped", counts.skipped),
        None => "it does not count its rows".to_owned(),
    };
    let code = details.code.as_ref();
    let code = code.map_or_else(String::new, |code| format!(", code `{code}`"));
    Err(Error::protocol(format!(
        "a job is called complete and has no result: {words}{code}"
    ))
    .with_hint("the rows of this file are not confirmed"))
}

/// Whether a job may be there although its creation failed. A refusal and a request that was never made
/// say that there is none; an answer that cannot be understood, or none at all, says nothing.
fn may_have_acted(fault: &Fault) -> bool {
    if fault.was_never_sent() {
        return false;
    }
    let is_strange = |error: &Error| matches!(error.kind(), Kind::Protocol | Kind::Transient);
    fault.is_unclear() || fault.status.is_none() && fault.source.as_ref().is_some_and(is_strange)
}

fn is_too_large(fault: &Fault) -> bool {
    fault.is("FILE_TOO_LARGE") || fault.status == Some(StatusCode::PAYLOAD_TOO_LARGE.as_u16())
}

/// The fault of a job that says why it failed in its details and not in an answer.
fn fault_of(details: &Job) -> Fault {
    let mut body = serde_json::json!({"status": "error", "message": details.words, "details": {}});
    if let Some(code) = &details.code {
        body["code"] = serde_json::json!(code);
    }
    let answer = Answer {
        status: StatusCode::BAD_REQUEST,
        headers: Default::default(),
        body: body.to_string().into(),
    };
    match zoho::fault::crm::Crm::judge(&answer) {
        Err(fault) => fault,
        Ok(()) => Error::protocol(details.words.clone()).into(),
    }
}

/// The same fault with what to do about what Bulk Write refuses.
fn told(mut fault: Fault) -> Fault {
    let hint = match fault.code.as_deref().unwrap_or_default() {
        "MANDATORY_FIELDS_NOT_MAPPED" | "MANDATORY_NOT_FOUND" => {
            "map every mandatory field of the layout in `fields`, or give it a value in `defaults`"
        }
        "INVALID_FIELD" | "INVALID_FIELD_NAME" => {
            "`find_by` must be `id` or a unique field, and every field must be of the module"
        }
        _ => return fault,
    };
    fault.hint.get_or_insert_with(|| hint.to_owned());
    fault
}
