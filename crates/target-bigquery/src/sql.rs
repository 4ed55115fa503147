//! The statements: names in backticks, values as literals that are printed strictly.

use std::fmt::Write as _;

use crate::names::same_column;
use crate::place::Place;

/// The column of a staging table that holds a row's place in its batch.
pub const ROW: &str = "_antiphon_row";
/// The column of a staging table that lists the columns which a row lacks, as `,2,5,`.
pub const MISSING: &str = "_antiphon_missing";
/// When a row was deleted at the source.
pub const DELETED_AT: &str = "_sdc_deleted_at";
/// The version of the full table that a row belongs to.
pub const TABLE_VERSION: &str = "_sdc_table_version";
/// When a row was written.
pub const BATCHED_AT: &str = "_sdc_batched_at";
/// A name for a row that no other row has.
pub const ROW_ID: &str = "_sdc_row_id";

/// A column that a statement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its number in [`MISSING`], if some rows of the batch lack it.
    pub missing: Option<usize>,
}

/// What a MERGE is made of.
#[derive(Debug)]
pub struct Merge<'a> {
    /// The table.
    pub target: &'a str,
    /// The staging table.
    pub staging: &'a str,
    /// The columns that identify a row.
    pub keys: &'a [String],
    /// The columns that are written, with the keys.
    pub columns: &'a [Written],
    /// The column by which the newer row is told, if the batch has it.
    pub order_by: Option<&'a str>,
    /// Columns of the table with the least and the greatest literal that the batch holds.
    pub bounds: &'a [(String, String, String)],
    /// Whether rows with a time in [`DELETED_AT`] are deleted.
    pub deletes: bool,
    /// Whether rows of the table are told by [`TABLE_VERSION`] to be of the newest version.
    pub versions: bool,
}

/// A name in backticks.
pub fn name(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('`');
    escape(&mut text, name);
    text.push('`');
    text
}

/// The path of a table in backticks.
pub fn path(project: &str, place: &Place) -> String {
    let mut text = String::from("`");
    for (number, part) in [project, &place.dataset, &place.table].iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        escape(&mut text, part);
    }
    text.push('`');
    text
}

/// Control characters never get here: names are checked before.
fn escape(text: &mut String, name: &str) {
    for c in name.chars() {
        if matches!(c, '`' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
}

/// The MERGE of one batch. The last row of a key in the batch wins, and against the table's row the
/// newer one, if anything says which that is.
pub fn merge(merge: &Merge<'_>) -> String {
    let keys: Vec<String> = merge.keys.iter().map(|key| name(key)).collect();
    let mut text = format!(
        "MERGE {} T\nUSING (SELECT * FROM {} WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {} DESC) = 1) S\nON {}",
        merge.target,
        merge.staging,
        keys.join(", "),
        name(ROW),
        join(&keys, " AND ", |key| format!("T.{key} = S.{key}")),
    );
    for (column, least, greatest) in merge.bounds {
        let column = name(column);
        write_to(
            &mut text,
            format_args!(" AND T.{column} BETWEEN {least} AND {greatest}"),
        );
    }
    let newer = merge.order_by.map(|column| {
        let column = name(column);
        format!(" AND (T.{column} IS NULL OR S.{column} IS NULL OR S.{column} >= T.{column})")
    });
    let newer = newer.as_deref().unwrap_or_default();
    let deleted = name(DELETED_AT);
    if merge.deletes {
        write_to(
            &mut text,
            format_args!("\nWHEN MATCHED AND S.{deleted} IS NOT NULL{newer} THEN DELETE"),
        );
    }
    let values: Vec<String> = merge
        .columns
        .iter()
        .filter(|column| !merge.keys.iter().any(|key| same_column(key, &column.name)))
        .map(|column| {
            let quoted = name(&column.name);
            match column.missing {
                None => format!("{quoted} = S.{quoted}"),
                Some(number) => format!(
                    "{quoted} = IF(STRPOS(IFNULL(S.{}, ''), ',{number},') > 0, T.{quoted}, S.{quoted})",
                    name(MISSING)
                ),
            }
        })
        .collect();
    if !values.is_empty() {
        write_to(
            &mut text,
            format_args!(
                "\nWHEN MATCHED{newer} THEN UPDATE SET {}",
                values.join(", ")
            ),
        );
    }
    if merge.versions && !newer.is_empty() {
        // The table's row is newer, and yet of this version: it did not vanish.
        let version = name(TABLE_VERSION);
        write_to(
            &mut text,
            format_args!(
                "\nWHEN MATCHED AND S.{version} IS NOT NULL THEN UPDATE SET {version} = S.{version}"
            ),
        );
    }
    let columns: Vec<String> = merge
        .columns
        .iter()
        .map(|column| name(&column.name))
        .collect();
    let alive = if merge.deletes {
        format!(" AND S.{deleted} IS NULL")
    } else {
        String::new()
    };
    write_to(
        &mut text,
        format_args!(
            "\nWHEN NOT MATCHED{alive} THEN INSERT ({}) VALUES ({})",
            columns.join(", "),
            join(&columns, ", ", |column| format!("S.{column}")),
        ),
    );
    text
}

/// The INSERT of one batch.
pub fn insert(target: &str, staging: &str, columns: &[Written]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| name(&column.name)).collect();
    let columns = columns.join(", ");
    format!("INSERT INTO {target} ({columns})\nSELECT {columns} FROM {staging}")
}

/// Marks the rows that belong to no or to another version than this one.
pub fn mark_vanished(target: &str, version: i64, at: &str) -> String {
    let (deleted, table_version) = (name(DELETED_AT), name(TABLE_VERSION));
    format!(
        "UPDATE {target} SET {deleted} = TIMESTAMP '{at}'\nWHERE {deleted} IS NULL AND ({table_version} IS NULL OR {table_version} <> {version})"
    )
}

/// Deletes the rows that belong to no or to another version than this one.
pub fn delete_vanished(target: &str, version: i64) -> String {
    let table_version = name(TABLE_VERSION);
    format!("DELETE FROM {target}\nWHERE {table_version} IS NULL OR {table_version} <> {version}")
}

/// Deletes superseded versions: of the rows of one key all but the newest, if they were written before
/// `before`. What is younger may lie in the streaming buffer, where no statement reaches it. Ids of rows
/// grow with the input; a row that arrived twice has one id and one rank, so that both copies stay or go.
pub fn dedupe(target: &str, keys: &[String], order_by: Option<&str>, before: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| name(key)).collect();
    let (batched_at, row_id) = (name(BATCHED_AT), name(ROW_ID));
    let mut order: Vec<String> = order_by
        .iter()
        .map(|column| format!("{} DESC", name(column)))
        .collect();
    // Batches of a stream are under way side by side: their times say less than the ids of the rows.
    order.push(format!("{row_id} DESC"));
    format!(
        "DELETE FROM {target}\nWHERE {batched_at} < TIMESTAMP '{before}' AND {row_id} IN (\n  SELECT {row_id} FROM (\n    SELECT {row_id}, RANK() OVER (PARTITION BY {} ORDER BY {}) AS antiphon_rank\n    FROM {target}\n  ) WHERE antiphon_rank > 1\n)",
        keys.join(", "),
        order.join(", "),
    )
}

/// Makes the type of a column wider. `column` may be a path with points.
pub fn set_data_type(target: &str, column: &str, sql_type: &str) -> String {
    let path: Vec<String> = column.split('.').map(name).collect();
    format!(
        "ALTER TABLE {target} ALTER COLUMN {} SET DATA TYPE {sql_type}",
        path.join(".")
    )
}

fn join(items: &[String], between: &str, text: impl Fn(&String) -> String) -> String {
    let items: Vec<String> = items.iter().map(text).collect();
    items.join(between)
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a string takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, missing: Option<usize>) -> Written {
        Written {
            name: name.to_owned(),
            missing,
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(name("a`b\\c"), "`a\\`b\\\\c`");
        let place = Place::new("d", "t");
        assert_eq!(path("my-project", &place), "`my-project.d.t`");
    }

    #[test]
    fn a_merge_names_keys_bounds_and_columns() {
        let text = merge(&Merge {
            target: "`p.d.t`",
            staging: "`p.d.s`",
            keys: &["id".to_owned()],
            columns: &[
                written("id", None),
                written("a", None),
                written("b", Some(2)),
            ],
            order_by: Some("a"),
            bounds: &[("id".to_owned(), "1".to_owned(), "9".to_owned())],
            deletes: true,
            versions: true,
        });
        assert_eq!(
            text,
            "MERGE `p.d.t` T\n\
             USING (SELECT * FROM `p.d.s` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY `_antiphon_row` DESC) = 1) S\n\
             ON T.`id` = S.`id` AND T.`id` BETWEEN 1 AND 9\n\
             WHEN MATCHED AND S.`_sdc_deleted_at` IS NOT NULL AND (T.`a` IS NULL OR S.`a` IS NULL OR S.`a` >= T.`a`) THEN DELETE\n\
             WHEN MATCHED AND (T.`a` IS NULL OR S.`a` IS NULL OR S.`a` >= T.`a`) THEN UPDATE SET `a` = S.`a`, `b` = IF(STRPOS(IFNULL(S.`_antiphon_missing`, ''), ',2,') > 0, T.`b`, S.`b`)\n\
             WHEN MATCHED AND S.`_sdc_table_version` IS NOT NULL THEN UPDATE SET `_sdc_table_version` = S.`_sdc_table_version`\n\
             WHEN NOT MATCHED AND S.`_sdc_deleted_at` IS NULL THEN INSERT (`id`, `a`, `b`) VALUES (S.`id`, S.`a`, S.`b`)"
        );
    }

    #[test]
    fn a_table_of_keys_alone_is_never_updated() {
        let text = merge(&Merge {
            target: "`p.d.t`",
            staging: "`p.d.s`",
            keys: &["a".to_owned(), "b".to_owned()],
            columns: &[written("a", None), written("b", None)],
            order_by: None,
            bounds: &[],
            deletes: false,
            versions: false,
        });
        assert!(!text.contains("UPDATE"));
        assert!(text.contains("ON T.`a` = S.`a` AND T.`b` = S.`b`\nWHEN NOT MATCHED THEN INSERT"));
    }
}
