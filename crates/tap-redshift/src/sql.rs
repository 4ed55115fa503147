//! Pieces of SQL: names and literals in quotes. Nothing from a catalog, a state or a filter goes
//! into a statement but through here.

use crate::server::Server;

/// A name in double quotes, whatever characters it has.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal. Where a backslash may be an escape, each is written as `CHR(92)`.
pub(crate) fn literal(text: &str, server: &Server) -> String {
    let quoted = |part: &str| format!("'{}'", part.replace('\'', "''"));
    if !text.contains('\\') || !server.escapes_backslashes() {
        return quoted(text);
    }
    let parts: Vec<String> = text.split('\\').map(quoted).collect();
    format!("({})", parts.join(" || CHR(92) || "))
}

/// A list of text literals for `IN`.
pub(crate) fn literals<'a>(texts: impl IntoIterator<Item = &'a str>, server: &Server) -> String {
    let texts: Vec<String> = texts
        .into_iter()
        .map(|text| literal(text, server))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside() {
        let postgresql = Server::detect("PostgreSQL 15.8 on x");
        let redshift = Server::detect("PostgreSQL 8.0.2 on x, Redshift 1.0");
        assert_eq!(name("a\"b.c d"), "\"a\"\"b.c d\"");
        assert_eq!(literal("it's \\ here", &postgresql), "'it''s \\ here'");
        assert_eq!(
            literal("\\'; DROP", &redshift),
            "('' || CHR(92) || '''; DROP')"
        );
    }
}
