//! Which data a bookmark is about: the same table of another project or environment is another table.

use serde_json::{Map, Value};
use singer_core::{Error, Result};

use crate::config::Config;

const PROJECT_ID: &str = "project_id";
const ENVIRONMENT: &str = "environment";

/// What every bookmark begins with.
pub(crate) fn of(config: &Config) -> Map<String, Value> {
    let mut bookmark = Map::new();
    bookmark.insert(PROJECT_ID.to_owned(), config.project_id.as_str().into());
    let environment = config.environment.map(|environment| environment.name());
    bookmark.insert(ENVIRONMENT.to_owned(), environment.into());
    bookmark
}

/// Refuses a bookmark that was made for other data.
///
/// # Errors
/// Of kind `Config`.
pub(crate) fn check(stream: &str, bookmark: &Map<String, Value>, config: &Config) -> Result<()> {
    for (name, wanted) in of(config) {
        let Some(found) = bookmark.get(&name).filter(|found| **found != wanted) else {
            continue;
        };
        let words = |value: &Value| match value.as_str() {
            Some(text) => format!("`{text}`"),
            None => "the service's choice".to_owned(),
        };
        return Err(Error::config(format!(
            "the bookmark of `{stream}` was made with the {} {}, and the config has {}",
            name.trim_end_matches("_id"),
            words(found),
            words(&wanted)
        ))
        .with_hint("keep a state file for each project and environment; without the bookmark the stream is read from its beginning"));
    }
    Ok(())
}
