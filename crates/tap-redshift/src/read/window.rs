//! Which rows of a table are still to be read: bounds on the key, in SQL.

use crate::key::KeyValue;
use crate::server::Server;
use crate::sql;
use crate::types::KeyKind;

/// The alias of the table in every statement, so that a name never means an output column.
pub(super) const ALIAS: &str = "t";

/// A column of the table as SQL names it.
pub(super) fn column(name: &str) -> String {
    format!("{ALIAS}.{}", sql::name(name))
}

/// A column that orders the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) kind: KeyKind,
    pub(super) nullable: bool,
}

/// Where reading starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lower {
    pub(super) values: Vec<KeyValue>,
    pub(super) bound: Bound,
}

/// Whether the bound itself is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// It is: other rows may have the same key.
    Included,
    /// It is not: the key is unique, and its row was read.
    Excluded,
}

/// What is done about rows without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NullKeys {
    /// They are read as well, at every attempt, since nothing tells which of them were.
    Read,
    /// They are left out.
    Skipped,
}

/// Rows in the order of a key, between two bounds; all rows if there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) keys: Vec<KeyColumn>,
    pub(super) lower: Option<Lower>,
    pub(super) upper: Option<Vec<KeyValue>>,
    pub(super) null_keys: NullKeys,
}

impl Window {
    /// All rows in the server's own order.
    pub(super) fn everything() -> Self {
        Self {
            keys: Vec::new(),
            lower: None,
            upper: None,
            null_keys: NullKeys::Read,
        }
    }

    /// The conditions, to be joined by AND.
    pub(super) fn conditions(&self, server: &Server, zone: Option<&str>) -> Vec<String> {
        let mut bounds = Vec::new();
        if let Some(lower) = &self.lower {
            let operator = match lower.bound {
                Bound::Included => ">=",
                Bound::Excluded => ">",
            };
            bounds.push(self.compare(operator, &lower.values, server, zone));
        }
        if let Some(upper) = &self.upper {
            bounds.push(self.compare("<=", upper, server, zone));
        }
        let nullable: Vec<String> = self
            .keys
            .iter()
            .filter(|key| key.nullable)
            .map(|key| format!("{} IS NULL", column(&key.name)))
            .collect();
        match self.null_keys {
            NullKeys::Read if !bounds.is_empty() && !nullable.is_empty() => {
                vec![format!(
                    "(({}) OR {})",
                    bounds.join(" AND "),
                    nullable.join(" OR ")
                )]
            }
            NullKeys::Skipped if bounds.is_empty() => self
                .keys
                .iter()
                .filter(|key| key.nullable)
                .map(|key| format!("{} IS NOT NULL", column(&key.name)))
                .collect(),
            _ => bounds,
        }
    }

    /// `ORDER BY` with a space before it, or nothing.
    pub(super) fn order(&self) -> String {
        self.ordered("")
    }

    /// The query for the greatest key, and the number of rows without one if that is asked for.
    pub(super) fn greatest(&self, table: &str, server: &Server, zone: Option<&str>) -> String {
        let values: Vec<String> = self
            .keys
            .iter()
            .map(|key| printable(&column(&key.name), key.kind, server, zone))
            .collect();
        let from = format!("FROM {table} AS {ALIAS}");
        if let [key] = self.keys.as_slice()
            && key.kind != KeyKind::Uuid
        {
            let greatest = format!("max({})", column(&key.name));
            let greatest = printable(&greatest, key.kind, server, zone);
            return format!("SELECT {greatest} {from}");
        }
        // Row by row: an index gives the last row at once. UUIDs have no max() either.
        let present: Vec<String> = self
            .keys
            .iter()
            .map(|key| format!("{} IS NOT NULL", column(&key.name)))
            .collect();
        format!(
            "SELECT {} {from} WHERE {}{} LIMIT 1",
            values.join(", "),
            present.join(" AND "),
            self.ordered(" DESC")
        )
    }

    fn ordered(&self, direction: &str) -> String {
        if self.keys.is_empty() {
            return String::new();
        }
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| format!("{}{direction}", column(&key.name)))
            .collect();
        format!(" ORDER BY {}", keys.join(", "))
    }

    /// Compares the key from left to right.
    fn compare(
        &self,
        operator: &str,
        values: &[KeyValue],
        server: &Server,
        zone: Option<&str>,
    ) -> String {
        let columns: Vec<String> = self.keys.iter().map(|key| column(&key.name)).collect();
        let literals: Vec<String> = values
            .iter()
            .map(|value| value.literal(server, zone))
            .collect();
        if columns.len() > 1 && server.compares_rows() {
            return format!(
                "({}) {operator} ({})",
                columns.join(", "),
                literals.join(", ")
            );
        }
        // (a, b) >= (1, 2) is a > 1 OR (a = 1 AND b >= 2).
        let strict = operator.trim_end_matches('=');
        let mut pairs = columns.iter().zip(&literals).rev();
        let Some((last, value)) = pairs.next() else {
            return "1 = 1".to_owned();
        };
        pairs.fold(
            format!("{last} {operator} {value}"),
            |rest, (column, value)| {
                format!("({column} {strict} {value} OR ({column} = {value} AND {rest}))")
            },
        )
    }
}

/// An expression whose text the tap can read back: times without a zone are brought to UTC.
pub(super) fn printable(
    expression: &str,
    kind: KeyKind,
    server: &Server,
    zone: Option<&str>,
) -> String {
    match (kind, zone) {
        (KeyKind::Timestamp, Some(zone)) => {
            format!("({expression} AT TIME ZONE {})", sql::literal(zone, server))
        }
        _ => expression.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, nullable: bool) -> KeyColumn {
        KeyColumn {
            name: name.to_owned(),
            kind: KeyKind::Integer,
            nullable,
        }
    }

    fn number(number: i64) -> KeyValue {
        KeyValue::read(KeyKind::Integer, &json!(number)).unwrap()
    }

    fn window(keys: Vec<KeyColumn>, null_keys: NullKeys) -> Window {
        let count = keys.len();
        Window {
            keys,
            lower: Some(Lower {
                values: vec![number(1); count],
                bound: Bound::Excluded,
            }),
            upper: Some(vec![number(9); count]),
            null_keys,
        }
    }

    #[test]
    fn keys_are_compared_from_left_to_right_on_every_server() {
        let postgresql = Server::detect("PostgreSQL 15.8 on x");
        let redshift = Server::detect("PostgreSQL 8.0.2 on x, Redshift 1.0");
        let window = window(vec![key("a", false), key("b", false)], NullKeys::Read);
        assert_eq!(
            window.conditions(&postgresql, None),
            [
                "(t.\"a\", t.\"b\") > ((1), (1))",
                "(t.\"a\", t.\"b\") <= ((9), (9))"
            ]
        );
        assert_eq!(
            window.conditions(&redshift, None),
            [
                "(t.\"a\" > (1) OR (t.\"a\" = (1) AND t.\"b\" > (1)))",
                "(t.\"a\" < (9) OR (t.\"a\" = (9) AND t.\"b\" <= (9)))"
            ]
        );
        assert_eq!(window.order(), " ORDER BY t.\"a\", t.\"b\"");
    }

    #[test]
    fn rows_without_a_key_are_read_or_left_out() {
        let server = Server::detect("PostgreSQL 15.8 on x");
        let full = window(vec![key("a", true)], NullKeys::Read);
        assert_eq!(
            full.conditions(&server, None),
            ["((t.\"a\" > (1) AND t.\"a\" <= (9)) OR t.\"a\" IS NULL)"]
        );
        let mut incremental = window(vec![key("a", true)], NullKeys::Skipped);
        incremental.lower = None;
        incremental.upper = None;
        assert_eq!(
            incremental.conditions(&server, None),
            ["t.\"a\" IS NOT NULL"]
        );
        assert!(Window::everything().conditions(&server, None).is_empty());
    }
}
