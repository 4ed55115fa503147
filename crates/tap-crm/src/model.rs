//! What goes over the wire beside metadata: bulk jobs, rows of queries, deleted records. Ids and numbers come
//! as JSON numbers or as texts, and any key may be missing.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A row of JSON: values by field, each as it was written.
pub(crate) type JsonRow = BTreeMap<String, Box<RawValue>>;

/// What the answers of bulk reads are wrapped in.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<T> {
    /// Exactly one, by the service's pages.
    pub(crate) data: Vec<T>,
}

/// A job that was created.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    /// What is known of it.
    pub(crate) details: CreatedDetails,
}

/// What is known of a job that was created.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedDetails {
    /// Its id.
    #[serde(deserialize_with = "text")]
    pub(crate) id: String,
}

/// A bulk read job.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// Its id.
    #[serde(deserialize_with = "text")]
    pub(crate) id: String,
    /// The service's word for its state.
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    result: Option<JobResult>,
}

/// What came of a job. Its words count only when it is done.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct JobResult {
    /// Rows in its file.
    #[serde(default, deserialize_with = "number")]
    pub(crate) count: Option<u64>,
    /// Whether there is a further page.
    #[serde(default)]
    pub(crate) more_records: Option<bool>,
    /// What asks for the next page.
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub(crate) error_message: Option<Failure>,
}

/// Why a job failed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Failure {
    /// The service's code.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// Its words.
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    /// Not done, or in a state that nobody knows.
    Running,
    /// Done.
    Completed,
    /// Failed.
    Failed,
}

impl Job {
    /// Its state, whatever blanks and letters the service puts into the word.
    pub(crate) fn progress(&self) -> JobState {
        let letters = self.state.chars().filter(char::is_ascii_alphabetic);
        let word: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
        match word.as_str() {
            "COMPLETED" => JobState::Completed,
            "FAILURE" | "FAILED" => JobState::Failed,
            _ => JobState::Running,
        }
    }

    /// What came of it.
    pub(crate) fn into_result(self) -> JobResult {
        self.result.unwrap_or_default()
    }
}

/// A page of a query, or of the records of a module.
#[derive(Debug, Deserialize)]
pub(crate) struct RowsPage {
    /// The rows.
    #[serde(default)]
    pub(crate) data: Vec<JsonRow>,
    /// What follows.
    #[serde(default)]
    pub(crate) info: PageInfo,
}

/// A page of deleted records.
#[derive(Debug, Deserialize)]
pub(crate) struct DeletedPage {
    /// The records.
    #[serde(default)]
    pub(crate) data: Vec<Deleted>,
    /// What follows.
    #[serde(default)]
    pub(crate) info: PageInfo,
}

/// A deleted record.
#[derive(Debug, Deserialize)]
pub(crate) struct Deleted {
    /// Its id.
    #[serde(deserialize_with = "text")]
    pub(crate) id: String,
    /// When it was deleted.
    #[serde(default)]
    pub(crate) deleted_time: Option<String>,
}

/// What follows a page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageInfo {
    /// Whether anything does.
    #[serde(default)]
    more_records: Option<bool>,
    /// What asks for the next page.
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
}

impl PageInfo {
    /// Whether anything follows a page of so many rows. Where nobody says, a page that is full is not the last one.
    pub(crate) fn has_more(&self, rows: usize, most: u32) -> bool {
        let is_full = u32::try_from(rows).map_or(true, |rows| rows >= most);
        self.more_records
            .unwrap_or(is_full || self.next_page_token.is_some())
    }
}

/// A text, or a number as its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(u64),
    Other(IgnoredAny),
}

impl Word {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Other(_) => None,
        }
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let word = Word::deserialize(deserializer)?.into_text();
    word.ok_or_else(|| serde::de::Error::custom("neither a text nor a whole number"))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let word = Word::deserialize(deserializer)?.into_text();
    Ok(word.and_then(|text| text.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> Job {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_job_may_lack_anything_but_its_id() {
        let done = job(
            r#"{"id":6110000000412003,"state":"COMPLETED","operation":"read",
            "result":{"page":1,"count":"2","more_records":true,"next_page_token":"t"}}"#,
        );
        assert_eq!(done.id, "6110000000412003");
        assert_eq!(done.progress(), JobState::Completed);
        let result = done.into_result();
        assert_eq!((result.count, result.more_records), (Some(2), Some(true)));
        assert_eq!(job(r#"{"id":"1"}"#).into_result().count, None);
    }

    #[test]
    fn a_full_page_that_does_not_say_what_follows_is_not_the_last_one() {
        let info = |text: &str| serde_json::from_str::<PageInfo>(text).unwrap();
        assert!(info("{}").has_more(200, 200));
        assert!(!info("{}").has_more(199, 200));
        assert!(info(r#"{"next_page_token":"t"}"#).has_more(9, 200));
        assert!(!info(r#"{"more_records":false}"#).has_more(200, 200));
    }

    #[test]
    fn a_state_that_nobody_knows_is_one_of_running() {
        for (word, wanted) in [
            ("IN PROGRESS", JobState::Running),
            ("ADDED", JobState::Running),
            ("PONDERING", JobState::Running),
            ("completed", JobState::Completed),
            ("FAILURE", JobState::Failed),
        ] {
            let text = format!(r#"{{"id":"1","state":"{word}"}}"#);
            assert_eq!(job(&text).progress(), wanted, "{word}");
        }
    }
}
