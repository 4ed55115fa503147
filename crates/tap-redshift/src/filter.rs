//! The key filter: reads only rows whose id another system knows. The ids are fetched once a run;
//! few of them become a list in the statement, many a temporary table that is joined in the database.

use std::sync::Arc;

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use singer_runtime::tap::Plan;
use tracing::{info, warn};

use crate::config::{Config, IdFormat, KeyFilter};
use crate::connect::Session;
use crate::failure::Attempt;
use crate::key::is_uuid;
use crate::server::Server;
use crate::sql;
use crate::table::Table;
use crate::types::KeyKind;

mod pendo;

/// So many ids fit into a list without making the statement slow to plan.
const MOST_LISTED: usize = 1000;
/// Ids in one INSERT: below the statement sizes that servers take.
const INSERTED_AT_ONCE: usize = 2000;
const TABLE: &str = "antiphon_key_filter";

/// The filter of one stream.
#[derive(Debug)]
pub(crate) struct Filter {
    column: String,
    column_type: String,
    ids: Arc<Vec<String>>,
    /// Whether the ids stand in the statement itself.
    listed: bool,
}

/// The ids that the other system knows, sorted and each once.
pub(crate) async fn ids(
    config: &Config,
    filter: &KeyFilter,
    context: &Context,
) -> Result<Vec<String>> {
    let (mut ids, source) = match (&filter.pendo, &filter.file) {
        (Some(pendo), _) => {
            let mut ids = pendo::ids(&config.http, pendo, context).await?;
            if pendo.id_format == IdFormat::Uuid {
                ids.retain(|id| is_uuid(id));
            }
            (ids, "pendo")
        }
        (None, Some(path)) => (read_file(path).await?, "file"),
        (None, None) => (Vec::new(), "nothing"),
    };
    ids.sort_unstable();
    ids.dedup();
    info!(source, ids = ids.len(), "key filter");
    Ok(ids)
}

async fn read_file(path: &str) -> Result<Vec<String>> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        Error::config(format!("cannot read `key_filter.file`, `{path}`")).with_source(error)
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Whether the filter is meant for a stream.
pub(crate) fn applies(filter: &KeyFilter, plan: &Plan, table: &Table) -> bool {
    match &filter.streams {
        None => table.column(&filter.column).is_some(),
        Some(patterns) => {
            let local = table.name.to_string();
            let names = [plan.id.as_str(), plan.stream.as_str(), local.as_str()];
            patterns
                .iter()
                .any(|pattern| names.iter().any(|name| matches(pattern, name)))
        }
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| matches(rest, name.get(at..).unwrap_or_default()))
        }),
    }
}

impl Filter {
    /// The filter of one table: ids that its column cannot hold are left out.
    pub(crate) fn new(filter: &KeyFilter, table: &Table, ids: &Arc<Vec<String>>) -> Result<Self> {
        let missing = || {
            Error::config(format!(
                "`key_filter.column`, `{}`, is no column of `{}`",
                filter.column, table.name
            ))
        };
        let column = table.column(&filter.column).ok_or_else(missing)?;
        let kind = column.kind.key_kind().ok_or_else(|| {
            Error::config(format!(
                "`key_filter.column`, `{}` of `{}`, is of type `{}`, which no id has",
                column.name, table.name, column.words
            ))
        })?;
        let fits = |id: &&String| match kind {
            KeyKind::Uuid => is_uuid(id),
            KeyKind::Integer => id.parse::<i64>().is_ok(),
            KeyKind::Decimal => singer_core::value::is_number(id),
            KeyKind::Text => !id.contains('\0'),
            KeyKind::Date | KeyKind::Timestamp | KeyKind::TimestampTz => false,
        };
        let fitting: Vec<String> = ids.iter().filter(fits).cloned().collect();
        let left_out = ids.len() - fitting.len();
        if left_out > 0 {
            info!(table = %table.name, left_out, "ids that the column cannot hold");
        }
        if fitting.is_empty() {
            warn!(table = %table.name, "the key filter has no id: no row is read");
        }
        let ids = if left_out == 0 {
            Arc::clone(ids)
        } else {
            Arc::new(fitting)
        };
        Ok(Self {
            column: column.name.clone(),
            column_type: match kind {
                KeyKind::Text => "varchar(65535)".to_owned(),
                _ => column.words.clone(),
            },
            listed: ids.len() <= MOST_LISTED,
            ids,
        })
    }

    /// Whether no row can match.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Puts many ids into a temporary table of this session.
    pub(crate) async fn prepare(&mut self, session: &mut Session) -> Attempt<()> {
        const DOING: &str = "cannot put the ids of the key filter into a temporary table";
        if self.listed {
            return Ok(());
        }
        let column_type = &self.column_type;
        let sql = format!(
            "DROP TABLE IF EXISTS {TABLE}; CREATE TEMPORARY TABLE {TABLE} (id {column_type})"
        );
        match session.query(&sql, DOING).await {
            // A standby takes no temporary table, a user may have no right to one; PostgreSQL looks
            // ids of a long list up as well.
            Err(failure)
                if failure.error.kind() == Kind::Rejected && !session.server.is_redshift() =>
            {
                info!(error = %failure.error, "the ids go into the statement");
                self.listed = true;
                return Ok(());
            }
            created => created?,
        };
        for ids in self.ids.chunks(INSERTED_AT_ONCE) {
            let rows: Vec<String> = ids
                .iter()
                .map(|id| format!("({})", sql::literal(id, &session.server)))
                .collect();
            let sql = format!("INSERT INTO {TABLE} VALUES {}", rows.join(", "));
            session.query(&sql, DOING).await?;
        }
        session.query(&format!("ANALYZE {TABLE}"), DOING).await?;
        Ok(())
    }

    /// The condition on the table.
    pub(crate) fn condition(&self, server: &Server) -> String {
        let column = format!("t.{}", sql::name(&self.column));
        if !self.listed {
            return format!("{column} IN (SELECT id FROM {TABLE})");
        }
        let ids = sql::literals(self.ids.iter().map(String::as_str), server);
        format!("{column} IN ({ids})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_with_stars() {
        for (pattern, name, wanted) in [
            ("account", "account", true),
            ("account", "accounts", false),
            ("*.account", "dev.public.account", true),
            ("dev.*.a*t", "dev.public.account", true),
            ("*", "", true),
            ("*é", "né", true),
            ("a*b*c", "a-c", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
