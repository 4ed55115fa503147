//! What goes over the wire: the request for a job, and what the service says of one.

use serde_json::{Value, json};

use crate::shape::Shape;

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Not at its end, with the service's word for it.
    Running(String),
    /// At its end, which does not mean that rows were written.
    Completed,
    /// It failed before it wrote a row.
    Failed,
}

/// What the service says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// How it stands.
    pub state: JobState,
    /// Rows by what became of them, if it says so.
    pub counts: Option<Counts>,
    /// Where the result is.
    pub download_url: Option<String>,
    /// The code of the resource, if it is not that of success.
    pub code: Option<String>,
    /// What it says beside the code.
    pub words: String,
}

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New records.
    pub added: u64,
    /// Changed records.
    pub updated: u64,
    /// Rows that were not taken, for whichever reason.
    pub skipped: u64,
    /// All rows.
    pub total: u64,
}

impl Job {
    /// Reads job details, bare or as the one element of `data`. `None` if they have no status.
    pub fn of(body: &Value) -> Option<Self> {
        let job = match body.get("data") {
            Some(Value::Array(jobs)) => jobs.first()?,
            _ => body,
        };
        let status = job.get("status").or_else(|| job.get("state"))?.as_str()?;
        let resource = match &job["resource"] {
            Value::Array(all) => all.first().cloned().unwrap_or_default(),
            other => other.clone(),
        };
        let file = match &resource["file"] {
            Value::Array(all) => all.first().cloned().unwrap_or_default(),
            other => other.clone(),
        };
        let download_url = text_of(&job["result"]["download_url"]);
        let mut state = state_of(status);
        // Such a job calls itself complete because its one part is over, and has no result.
        let has_failed = [&resource, &file].iter().any(|part| {
            let status = part["status"].as_str();
            status.is_some_and(|status| state_of(status) == JobState::Failed)
        });
        if state == JobState::Completed && has_failed && download_url.is_none() {
            state = JobState::Failed;
        }
        let places = [&resource, &file, &job["result"]["error_message"], job];
        let code = places.iter().find_map(|place| text_of(&place["code"]));
        let words = places.iter().find_map(|place| text_of(&place["message"]));
        Some(Self {
            state,
            counts: Counts::of(&file),
            download_url,
            code: code.filter(|code| !code.eq_ignore_ascii_case("success")),
            words: words.unwrap_or_default(),
        })
    }
}

impl Counts {
    fn of(file: &Value) -> Option<Self> {
        let count = |key: &str| match &file[key] {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Some(Self {
            total: count("total_count")?,
            added: count("added_count").unwrap_or_default(),
            updated: count("updated_count").unwrap_or_default(),
            skipped: count("skipped_count").unwrap_or_default(),
        })
    }
}

/// The word is spelled in more than one way: compared in small letters, without spaces and underscores.
fn state_of(word: &str) -> JobState {
    let plain: String = word
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match plain.as_str() {
        "completed" => JobState::Completed,
        "failed" | "failure" => JobState::Failed,
        _ => JobState::Running(word.to_owned()),
    }
}

/// The request for a job; `columns` are the places of the cells that the file has.
pub(crate) fn job_request(
    shape: &Shape,
    columns: &[usize],
    file: (&str, &str),
    callback: Option<&str>,
) -> Value {
    let (file_id, file_name) = file;
    let cells = columns.iter().filter_map(|place| shape.cells.get(*place));
    let mut mappings: Vec<Value> = (0_u32..)
        .zip(cells)
        .map(|(index, cell)| {
            let mut mapping = json!({"api_name": cell.field, "index": index});
            if let Some(pattern) = cell.pattern() {
                mapping["format"] = json!(pattern);
            }
            if let Some(find_by) = shape.lookup_of(cell) {
                mapping["find_by"] = json!(find_by);
            }
            if let Some(default) = shape.cell_defaults.get(&cell.field) {
                mapping["default_value"] = json!({ "value": default });
            }
            mapping
        })
        .collect();
    let defaults = shape
        .defaults
        .iter()
        .map(|(field, value)| json!({"api_name": field, "default_value": {"value": value}}));
    mappings.extend(defaults);
    let mut resource = json!({
        "type": "data",
        "module": {"api_name": shape.module},
        "file_id": file_id,
        "file_names": [file_name],
        "ignore_empty": shape.ignore_empty,
        "field_mappings": mappings,
    });
    if let Some(find_by) = &shape.find_by {
        resource["find_by"] = json!(find_by);
    }
    let mut request = json!({
        "operation": shape.operation.word(),
        "character_encoding": "UTF-8",
        "ignore_empty": shape.ignore_empty,
        "resource": [resource],
    });
    if let Some(url) = callback {
        request["callback"] = json!({"url": url, "method": "post"});
    }
    request
}

/// A text, or a number as text: ids come as both.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_every_spelling() {
        let state = |status: &str| Job::of(&json!({ "status": status })).unwrap().state;
        assert_eq!(state("COMPLETED"), JobState::Completed);
        assert_eq!(state("Failed"), JobState::Failed);
        for word in [
            "ADDED",
            "INPROGRESS",
            "IN PROGRESS",
            "IN_PROGRESS",
            "WAITING",
        ] {
            assert_eq!(state(word), JobState::Running(word.to_owned()));
        }
        assert_eq!(Job::of(&json!({"id": "1"})), None);
    }

    #[test]
    fn counts_and_reasons_are_found_in_resource_and_file() {
        let job = Job::of(&json!({"data": [{
            "status": "COMPLETED", "result": {"download_url": "/v8/x.zip"},
            "resource": [{"code": "SUCCESS", "file": {
                "added_count": 1, "updated_count": "2", "skipped_count": 3, "total_count": 6,
            }}],
        }]}))
        .unwrap();
        assert_eq!(job.code, None);
        assert_eq!(job.download_url.as_deref(), Some("/v8/x.zip"));
        let counts = Counts {
            added: 1,
            updated: 2,
            skipped: 3,
            total: 6,
        };
        assert_eq!(job.counts, Some(counts));
        let job = Job::of(&json!({"status": "FAILED", "resource": [{
            "code": "MANDATORY_FIELDS_NOT_MAPPED", "message": "map them",
        }]}))
        .unwrap();
        assert_eq!(job.code.as_deref(), Some("MANDATORY_FIELDS_NOT_MAPPED"));
        assert_eq!((job.words.as_str(), job.counts), ("map them", None));
    }
}
