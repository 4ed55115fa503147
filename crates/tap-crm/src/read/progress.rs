//! How far a stream is: what its bookmarks say, and how a later run goes on from one.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;
use singer_core::{Error, Result};
use singer_runtime::tap::Replication;
use zoho::crm::Environment;

use super::Reading;
use crate::bulk::JobNote;
use crate::query::{Window, time_text};
use crate::schema::MODIFIED_TIME;

const SECOND: i64 = 1_000_000;

/// Page tokens and results live for a day; what is nearly so old is not trusted.
const LIFE_SECONDS: i64 = 23 * 3600 + 1800;

const LAST_PK_FETCHED: &str = "last_pk_fetched";
/// What an interrupted bulk read leaves behind.
const READING: &str = "reading";
/// Up to when deletions were told.
const DELETED_UNTIL: &str = "deleted_until";
const ENVIRONMENT: &str = "environment";
const DATA_CENTER: &str = "data_center";

/// How far a stream is.
#[derive(Debug)]
pub(super) struct Progress {
    base: Map<String, Value>,
    is_full_table: bool,
    /// Everything that was changed before this second was handed over.
    pub(super) done_until: Option<i64>,
    /// Records that this run handed over.
    pub(super) seen: u64,
    /// Up to when deletions were told.
    pub(super) deleted_until: Option<i64>,
    /// What a place in pages belongs to: other fields or criteria have other pages.
    subject: String,
    /// The pages that are being read.
    pub(super) place: Option<Place>,
    /// The last place at which no row waited for its further fields, if that is an earlier one.
    pub(super) even_place: Option<Place>,
}

/// A place in the pages of a window.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The window.
    pub(super) window: Window,
    /// The next page, from 1.
    pub(super) page: u32,
    /// Rows in the pages before it.
    pub(super) rows: u64,
    /// When its tokens were given.
    pub(super) at: i64,
    /// The jobs that read it, one for each part of the fields.
    pub(super) parts: Vec<PartPlace>,
}

/// The place of one part of the fields.
#[derive(Debug, Clone)]
pub(super) struct PartPlace {
    /// Its fields beside the key.
    pub(super) fields: Vec<String>,
    /// What asks for the page; nothing for the first one.
    pub(super) token: Option<String>,
    /// Whether it has no more pages.
    pub(super) is_done: bool,
    /// Its job.
    pub(super) job: JobNote,
}

impl Progress {
    /// Where a plan's bookmark lets the read begin or go on.
    ///
    /// # Errors
    /// Of kind `Config` for a bookmark that is no time.
    pub(super) fn new(reading: &Reading<'_>, start: Option<&Value>) -> Result<Self> {
        let bookmark = &reading.plan.bookmark;
        let mut progress = Self {
            base: identity(reading),
            is_full_table: matches!(reading.plan.replication, Replication::FullTable { .. }),
            done_until: start
                .map(|start| second(&reading.plan.id, start))
                .transpose()?,
            seen: 0,
            deleted_until: bookmark.get(DELETED_UNTIL).and_then(as_second),
            subject: subject(reading),
            place: None,
            even_place: None,
        };
        let now = reading.tap.context.now().timestamp();
        if let Some(place) = bookmark.get(READING) {
            progress.place = progress.go_on(&reading.plan.id, place, now);
        }
        Ok(progress)
    }

    /// The bookmark while the stream is read, and at its end.
    pub(super) fn bookmark(&self) -> Map<String, Value> {
        let mut bookmark = self.base.clone();
        let text = |second: i64| {
            time_text(second)
                .ok()
                .map(|text| text.replace("+00:00", "Z"))
        };
        if self.is_full_table {
            let page = self.safe_place().map_or(0, |place| place.page - 1);
            bookmark.insert(LAST_PK_FETCHED.to_owned(), json!({"page": page}));
        } else {
            bookmark.insert("replication_key".to_owned(), MODIFIED_TIME.into());
            bookmark.insert(
                "replication_key_value".to_owned(),
                self.done_until.and_then(text).into(),
            );
            if let Some(until) = self.deleted_until.and_then(text) {
                bookmark.insert(DELETED_UNTIL.to_owned(), until.into());
            }
        }
        if let Some(place) = self.safe_place() {
            bookmark.insert(READING.to_owned(), place.to_json(&self.subject));
        }
        bookmark
    }

    /// The bookmark of a full table that is complete: a version that is complete is null in the state.
    pub(super) fn complete_bookmark(&self) -> Map<String, Value> {
        let mut bookmark = self.base.clone();
        bookmark.insert("version".to_owned(), Value::Null);
        bookmark
    }

    /// The pages are done, or no longer good for anything.
    pub(super) fn forget_place(&mut self) {
        self.place = None;
        self.even_place = None;
    }

    fn safe_place(&self) -> Option<&Place> {
        self.even_place.as_ref().or(self.place.as_ref())
    }

    fn go_on(&self, stream: &str, place: &Value, now: i64) -> Option<Place> {
        if place.get("subject").and_then(Value::as_str) != Some(&self.subject) {
            tracing::info!(
                stream,
                "the interrupted read was of other fields or criteria: its pages are read anew"
            );
            return None;
        }
        let place = Place::of_json(place)?;
        let age = now - place.at;
        if !(-3600..LIFE_SECONDS).contains(&age) {
            tracing::info!(
                stream,
                "the interrupted read is too old to be gone on with: its pages are read anew"
            );
            return None;
        }
        tracing::info!(
            stream,
            page = place.page,
            "goes on with an interrupted read"
        );
        Some(place)
    }
}

impl Place {
    /// The beginning of a window, read by these parts of the fields.
    pub(super) fn first(window: Window, parts: Vec<Vec<String>>, at: i64) -> Self {
        let parts = parts.into_iter().map(|fields| PartPlace {
            fields,
            token: None,
            is_done: false,
            job: JobNote::default(),
        });
        Self {
            window,
            page: 1,
            rows: 0,
            at,
            parts: parts.collect(),
        }
    }

    fn to_json(&self, subject: &str) -> Value {
        let text = |second: Option<i64>| second.and_then(|second| time_text(second).ok());
        let parts = self.parts.iter().map(|part| {
            // What the service refused is not in the job's file, and this may be written before it is known here.
            let refused = part.job.refused();
            let fields: Vec<_> = (part.fields.iter())
                .filter(|field| !refused.contains(field))
                .collect();
            json!({
                "fields": fields, "token": part.token, "is_done": part.is_done, "job": part.job.get(),
            })
        });
        json!({
            "subject": subject,
            "from": text(self.window.from),
            "to": text(self.window.to),
            "page": self.page,
            "rows": self.rows,
            "at": text(Some(self.at)),
            "parts": parts.collect::<Vec<_>>(),
        })
    }

    /// Nothing if a state was changed by hand so that it means nothing.
    fn of_json(value: &Value) -> Option<Self> {
        let bound = |key: &str| match value.get(key)? {
            Value::Null => Some(None),
            text => as_second(text).map(Some),
        };
        let part = |part: &Value| {
            let text = |key: &str| part.get(key).and_then(Value::as_str).map(str::to_owned);
            let fields = part.get("fields")?.as_array()?.iter();
            Some(PartPlace {
                fields: fields
                    .map(|field| field.as_str().map(str::to_owned))
                    .collect::<Option<_>>()?,
                token: text("token"),
                is_done: part.get("is_done")?.as_bool()?,
                job: JobNote::new(text("job")),
            })
        };
        let place = Self {
            window: Window {
                from: bound("from")?,
                to: bound("to")?,
            },
            page: value.get("page")?.as_u64()?.try_into().ok()?,
            rows: value.get("rows")?.as_u64()?,
            at: as_second(value.get("at")?)?,
            parts: value
                .get("parts")?
                .as_array()?
                .iter()
                .map(part)
                .collect::<Option<_>>()?,
        };
        // A later page without what asks for it is none.
        let is_whole = |part: &PartPlace| part.is_done || part.token.is_some() == (place.page > 1);
        let is_possible = place.page > 0 && !place.parts.is_empty();
        (is_possible && place.parts.iter().all(is_whole)).then_some(place)
    }
}

/// Refuses a bookmark that was made for another organisation's copy.
///
/// # Errors
/// Of kind `Config`.
pub(super) fn check_identity(reading: &Reading<'_>) -> Result<()> {
    for (name, wanted) in identity(reading) {
        let found = reading
            .plan
            .bookmark
            .get(&name)
            .filter(|found| **found != wanted);
        if let Some(found) = found {
            return Err(Error::config(format!(
                "the bookmark of `{}` was made with the `{name}` `{}`, and the config has `{}`",
                reading.plan.id,
                found.as_str().unwrap_or_default(),
                wanted.as_str().unwrap_or_default(),
            ))
            .with_hint("keep a state file for each organisation and environment; without the bookmark the stream is read from its beginning"));
        }
    }
    Ok(())
}

fn identity(reading: &Reading<'_>) -> Map<String, Value> {
    let config = &reading.tap.config;
    let environment = match config.crm.environment {
        Environment::Production => "production",
        Environment::Sandbox => "sandbox",
    };
    let mut bookmark = Map::new();
    bookmark.insert(
        DATA_CENTER.to_owned(),
        config.account.data_center.name().into(),
    );
    bookmark.insert(ENVIRONMENT.to_owned(), environment.into());
    bookmark
}

fn subject(reading: &Reading<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    reading.plan.id.hash(&mut hasher);
    reading.encoder.fields().hash(&mut hasher);
    reading.tap.config.bulk_fields.hash(&mut hasher);
    let criteria = reading.tap.config.criteria.get(&reading.plan.id);
    criteria.map(Value::to_string).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn second(stream: &str, value: &Value) -> Result<i64> {
    as_second(value).ok_or_else(|| {
        Error::config(format!(
            "`{stream}` cannot begin at its bookmark or `start_date`: it is no time"
        ))
    })
}

/// Rounded down, so that nothing within the second is passed over.
fn as_second(value: &Value) -> Option<i64> {
    let instant = value.as_str().and_then(parse_timestamp)?;
    Some(instant.div_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_a_state_as_it_was() {
        let window = Window {
            from: Some(1_772_323_200),
            to: None,
        };
        let mut place = Place::first(window, vec![vec!["A".to_owned()]], 1_772_323_300);
        place.page = 2;
        place.rows = 9;
        place.parts[0].token = Some("t".to_owned());
        place.parts[0].job = JobNote::new(Some("7".to_owned()));
        let again = Place::of_json(&place.to_json("s")).unwrap();
        assert_eq!(again.to_json("s"), place.to_json("s"));
    }

    #[test]
    fn a_place_that_means_nothing_is_none() {
        let window = Window::ALL;
        let whole = Place::first(window, vec![Vec::new()], 0).to_json("s");
        assert!(Place::of_json(&whole).is_some());
        for (key, value) in [
            ("page", json!(0)),
            ("page", json!(2)),
            ("parts", json!([])),
            ("at", json!("soon")),
            ("from", json!(7)),
        ] {
            let mut broken = whole.clone();
            broken[key] = value;
            assert!(Place::of_json(&broken).is_none(), "{key}");
        }
    }
}
