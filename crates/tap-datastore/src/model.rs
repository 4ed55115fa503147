//! What goes over the wire: tables, columns, rows, jobs. Ids and numbers come as JSON numbers or as texts,
//! and truth as a boolean or a text, whatever the media type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::value::text_of;

/// A row of JSON: values by column, each as it was written.
pub(crate) type JsonRow = BTreeMap<String, Box<RawValue>>;

/// What every answer of success is wrapped in.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<T> {
    /// What was asked for.
    pub(crate) data: T,
}

/// An answer of several things, or of one alone.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Listing<T> {
    /// What was asked for.
    #[serde(deserialize_with = "items")]
    pub(crate) data: Vec<T>,
}

/// A table of the list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TableInfo {
    /// Its id.
    #[serde(rename = "table_id", deserialize_with = "text")]
    pub(crate) id: String,
    /// Its name.
    #[serde(rename = "table_name")]
    pub(crate) name: String,
}

/// A column of a table.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ColumnInfo {
    /// Its name.
    #[serde(rename = "column_name")]
    pub(crate) name: String,
    /// Its type, in the service's word.
    pub(crate) data_type: String,
    /// The greatest length of its texts.
    #[serde(default, deserialize_with = "optional_text")]
    pub(crate) max_length: Option<String>,
    /// Whether each row has a value.
    #[serde(default, deserialize_with = "truth")]
    pub(crate) is_mandatory: bool,
    /// Whether no two rows have the same value.
    #[serde(default, deserialize_with = "truth")]
    pub(crate) is_unique: bool,
}

/// A page of rows.
#[derive(Debug, Deserialize)]
pub(crate) struct RowsPage {
    /// The rows.
    #[serde(deserialize_with = "items")]
    pub(crate) data: Vec<JsonRow>,
    /// Whether there are more, if the service says.
    #[serde(default, deserialize_with = "optional_truth")]
    pub(crate) more_records: Option<bool>,
    /// What asks for the next page.
    #[serde(default, deserialize_with = "optional_text")]
    pub(crate) next_token: Option<String>,
}

/// An element of what a query answers: a row for each table in it.
pub(crate) type QueryRow = BTreeMap<String, JsonRow>;

/// A bulk job.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Job {
    /// Its id.
    #[serde(rename = "job_id", deserialize_with = "text")]
    pub(crate) id: String,
    /// The service's word for its state.
    #[serde(default)]
    pub(crate) status: String,
    /// What came of it, once it has ended.
    #[serde(default)]
    pub(crate) results: Option<Results>,
}

/// What came of a bulk job.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Results {
    /// The service's words, the cause of a failure.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// The numbers.
    #[serde(default, deserialize_with = "items")]
    pub(crate) details: Vec<Detail>,
}

/// The numbers of a bulk job.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Detail {
    /// Rows in its file.
    #[serde(default, deserialize_with = "optional_text")]
    records_processed: Option<String>,
    /// Whether there is a further page, if the service says.
    #[serde(default, deserialize_with = "optional_truth")]
    more_records: Option<bool>,
}

impl Results {
    /// Rows in the file, if the service says.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.details
            .first()?
            .records_processed
            .as_ref()?
            .parse()
            .ok()
    }

    /// Whether there is a further page, if the service says.
    pub(crate) fn has_more(&self) -> Option<bool> {
        let said = self.details.iter().filter_map(|detail| detail.more_records);
        said.reduce(|one, other| one || other)
    }
}

/// How far a bulk job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    /// It is not done, or says something that nobody here knows.
    Running,
    /// It is done.
    Completed,
    /// It came to nothing.
    Failed,
}

impl Job {
    /// How far it is.
    pub(crate) fn state(&self) -> JobState {
        let begins = |word: &str| {
            let start = self.status.trim().get(..word.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if begins("complet") {
            JobState::Completed
        } else if begins("fail") {
            JobState::Failed
        } else {
            JobState::Running
        }
    }
}

/// The text of a text or of a number.
pub(crate) fn plain(value: &RawValue) -> Option<String> {
    match text_of(value) {
        Some(text) => Some(text.into_owned()),
        None if value.get() == "null" => None,
        None => Some(value.get().to_owned()),
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    plain(&raw).ok_or_else(|| serde::de::Error::custom("a text or a number"))
}

fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(plain(&Box::<RawValue>::deserialize(deserializer)?))
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(optional_truth(deserializer)?.unwrap_or_default())
}

fn optional_truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = optional_text(deserializer)?;
    Ok(text.map(|text| text.trim().eq_ignore_ascii_case("true") || text == "1"))
}

/// The things of a list; a thing alone is a list of one, and null is none.
fn items<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let text = raw.get();
    let read = match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str(text),
        Some(b'n') => Ok(Vec::new()),
        _ => serde_json::from_str(text).map(|one| vec![one]),
    };
    // What serde says could quote a value.
    read.map_err(|_| serde::de::Error::custom("a list of another shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_truth_come_in_either_form() {
        for text in [
            r#"{"job_id":"4000000110044","status":"In-Progress"}"#,
            r#"{"job_id":4000000110044,"status":"In-Progress","results":null}"#,
        ] {
            let job: Job = serde_json::from_str(text).unwrap();
            assert_eq!(job.id, "4000000110044");
            assert_eq!(job.state(), JobState::Running);
        }
        for (rows, more) in [("200000", "true"), ("\"200000\"", "\"true\"")] {
            let text =
                format!(r#"{{"details":[{{"records_processed":{rows},"more_records":{more}}}]}}"#);
            let results: Results = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (results.rows(), results.has_more()),
                (Some(200_000), Some(true))
            );
        }
    }

    #[test]
    fn a_thing_alone_is_a_list_of_one() {
        for text in [r#"[{"a":1}]"#, r#"{"a":1}"#] {
            let text = format!(r#"{{"data":{text}}}"#);
            let rows: Listing<JsonRow> = serde_json::from_str(&text).unwrap();
            assert_eq!(rows.data[0]["a"].get(), "1");
            let page: RowsPage = serde_json::from_str(&text).unwrap();
            assert_eq!((page.data.len(), page.more_records), (1, None));
        }
        let nothing: Listing<JsonRow> = serde_json::from_str(r#"{"data":null}"#).unwrap();
        assert!(nothing.data.is_empty());
        for text in ["{}", r#"{"data":7}"#] {
            assert!(serde_json::from_str::<Listing<JsonRow>>(text).is_err());
        }
    }

    #[test]
    fn a_service_that_does_not_say_whether_there_is_more_has_not_said_no() {
        for (details, wanted) in [
            (r#"[{"records_processed":5}]"#, None),
            ("[]", None),
            (r#"{"more_records":"false"}"#, Some(false)),
            (
                r#"[{"more_records":false},{"more_records":"TRUE"}]"#,
                Some(true),
            ),
        ] {
            let text = format!(r#"{{"details":{details}}}"#);
            let results: Results = serde_json::from_str(&text).unwrap();
            assert_eq!(results.has_more(), wanted, "{details}");
        }
    }

    #[test]
    fn a_state_is_known_by_its_beginning_and_an_unknown_one_is_running() {
        for (status, state) in [
            ("COMPLETED", JobState::Completed),
            ("completed successfully", JobState::Completed),
            ("Failed", JobState::Failed),
            ("FAILURE", JobState::Failed),
            ("Queued", JobState::Running),
            ("", JobState::Running),
        ] {
            let text = format!(r#"{{"job_id":1,"status":"{status}"}}"#);
            let job: Job = serde_json::from_str(&text).unwrap();
            assert_eq!(job.state(), state, "{status}");
        }
    }

    #[test]
    fn values_of_rows_keep_every_digit() {
        let page: RowsPage =
            serde_json::from_str(r#"{"data":[{"ROWID":12345678901234567,"x":0.10}]}"#).unwrap();
        assert_eq!(page.data[0]["ROWID"].get(), "12345678901234567");
        assert_eq!(page.data[0]["x"].get(), "0.10");
        assert!(page.more_records.is_none() && page.next_token.is_none());
    }
}
