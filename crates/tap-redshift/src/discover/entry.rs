//! A table as an entry of the catalog, in the shape that datadotworld's tap made customary.

use serde_json::{Map, Value, json};
use singer_core::catalog::Entry;

use crate::table::{Column, Table};
use crate::types::Formats;

/// The catalog entry of a table.
pub(super) fn entry(table: &Table, stream: &str, formats: &Formats) -> Entry {
    let mut entry = Entry::new(&table.name.stream_id(), stream);
    entry.set("table_name", table.name.table.as_str());
    entry.set("database_name", table.name.database.as_str());
    entry.set("is_view", table.is_view);

    let keys = if table.is_view {
        "view-key-properties"
    } else {
        "table-key-properties"
    };
    let replication_keys: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| column.readable && column.kind.can_replicate())
        .map(|column| column.name.as_str())
        .collect();
    for (word, value) in [
        ("inclusion", json!("available")),
        ("selected-by-default", json!(false)),
        ("database-name", json!(table.name.database)),
        ("schema-name", json!(table.name.schema)),
        ("is-view", json!(table.is_view)),
        (keys, json!(table.key)),
        ("valid-replication-keys", json!(replication_keys)),
    ] {
        entry.set_stream_metadata(word, value);
    }
    if let Some(count) = table.row_count {
        entry.set_stream_metadata("row-count", count);
    }
    if replication_keys.is_empty() {
        entry.set_stream_metadata(
            "forced-replication-method",
            json!({"replication-method": "FULL_TABLE", "reason": "no column can be a replication key"}),
        );
    }
    // Both lists are written at once: one property at a time would search the list each time,
    // which is slow for tables of many columns.
    let mut properties = Map::new();
    let mut metadata = match entry.get("metadata") {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    for column in &table.columns {
        let is_key = table.key.contains(&column.name);
        properties.insert(
            column.name.clone(),
            column.kind.schema(column.nullable && !is_key, formats),
        );
        metadata.push(json!({
            "breadcrumb": ["properties", column.name],
            "metadata": column_metadata(column, is_key),
        }));
    }
    entry.set(
        "schema",
        json!({"type": "object", "properties": properties}),
    );
    entry.set("metadata", metadata);
    entry
}

fn column_metadata(column: &Column, is_key: bool) -> Map<String, Value> {
    let inclusion = match (column.readable, is_key) {
        (false, _) => "unsupported",
        (true, true) => "automatic",
        (true, false) => "available",
    };
    // A sketch is a number's estimate in a form of Redshift's own: of no use elsewhere.
    let wanted = column.readable && column.words != "hllsketch";
    let mut metadata = Map::new();
    metadata.insert("inclusion".to_owned(), json!(inclusion));
    metadata.insert("selected-by-default".to_owned(), json!(wanted));
    metadata.insert("sql-datatype".to_owned(), json!(column.words));
    if let Some(place) = column.sort_key {
        metadata.insert("redshift.sortkey".to_owned(), json!(place));
    }
    if column.distribution_key {
        metadata.insert("redshift.distkey".to_owned(), json!(true));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableName;
    use crate::types::Type;

    fn column(name: &str, kind: Type, words: &str) -> Column {
        Column {
            name: name.to_owned(),
            words: words.to_owned(),
            kind,
            nullable: true,
            readable: true,
            sort_key: None,
            distribution_key: false,
        }
    }

    fn table(columns: Vec<Column>, key: &[&str], is_view: bool) -> Table {
        Table {
            name: TableName {
                database: "dev".to_owned(),
                schema: "sales".to_owned(),
                table: "orders".to_owned(),
            },
            foreign_database: false,
            is_view,
            row_count: Some(12),
            columns,
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            obstacle: None,
        }
    }

    #[test]
    fn keys_are_automatic_and_the_schema_name_is_the_schema() {
        let mut amount = column("amount", Type::Opaque, "hllsketch");
        amount.sort_key = Some(1);
        let table = table(
            vec![column("id", Type::Int4, "integer"), amount],
            &["id"],
            false,
        );
        let entry = entry(&table, "orders", &Formats::default());
        assert_eq!(entry.id(), "dev.sales.orders");
        assert_eq!(entry.stream_metadata("schema-name"), Some(&json!("sales")));
        assert_eq!(
            entry.stream_metadata("table-key-properties"),
            Some(&json!(["id"]))
        );
        assert_eq!(
            entry.stream_metadata("selected-by-default"),
            Some(&json!(false))
        );
        assert_eq!(entry.stream_metadata("row-count"), Some(&json!(12)));
        assert_eq!(
            entry.field_metadata("id", "inclusion"),
            Some(&json!("automatic"))
        );
        assert_eq!(
            entry.field_metadata("amount", "selected-by-default"),
            Some(&json!(false))
        );
        assert_eq!(
            entry.field_metadata("amount", "redshift.sortkey"),
            Some(&json!(1))
        );
        let id = entry
            .properties()
            .find(|(name, _)| *name == "id")
            .unwrap()
            .1;
        assert_eq!(id["type"], json!(["integer"]));
    }

    #[test]
    fn a_view_has_view_keys_and_a_table_without_times_is_read_whole() {
        let table = table(vec![column("shape", Type::Opaque, "geometry")], &[], true);
        let entry = entry(&table, "orders", &Formats::default());
        assert_eq!(
            entry.stream_metadata("view-key-properties"),
            Some(&json!([]))
        );
        assert_eq!(entry.stream_metadata("table-key-properties"), None);
        assert_eq!(
            entry.stream_metadata("forced-replication-method").unwrap()["replication-method"],
            json!("FULL_TABLE")
        );
    }
}
