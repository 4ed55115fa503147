//! What kind of server this is, and what it can do.

/// A server that was asked for its `version()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whose dialect it speaks.
    pub(crate) kind: ServerKind,
    /// Its major version; 8 for Redshift.
    pub(crate) major: u32,
}

/// Whose dialect a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Amazon Redshift.
    Redshift,
    /// PostgreSQL, or something that follows its newer versions.
    PostgreSql,
}

/// What is assumed of a server that does not call itself PostgreSQL.
const ASSUMED_MAJOR: u32 = 13;

impl Server {
    /// Reads the answer of `version()`, such as "PostgreSQL 15.8 (Debian …) on …" or
    /// "PostgreSQL 8.0.2 on …, Redshift 1.0.77467".
    pub(crate) fn detect(version: &str) -> Self {
        let major = version
            .strip_prefix("PostgreSQL ")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(ASSUMED_MAJOR);
        let kind = if version.contains("Redshift") {
            ServerKind::Redshift
        } else {
            ServerKind::PostgreSql
        };
        Self { kind, major }
    }

    /// Whether it is Redshift.
    pub(crate) fn is_redshift(&self) -> bool {
        self.kind == ServerKind::Redshift
    }

    /// Whether `COPY … TO STDOUT` in the binary format exists.
    pub(crate) fn copies_out(&self) -> bool {
        self.kind == ServerKind::PostgreSql
    }

    /// Whether `(a, b) > (1, 2)` compares from left to right, and can use an index.
    pub(crate) fn compares_rows(&self) -> bool {
        self.kind == ServerKind::PostgreSql
    }

    /// Whether a backslash in a plain literal may be an escape. On PostgreSQL the session sets
    /// `standard_conforming_strings`.
    pub(crate) fn escapes_backslashes(&self) -> bool {
        self.kind == ServerKind::Redshift
    }

    /// Whether a primary key is enforced, so that it is unique and never null.
    pub(crate) fn enforces_keys(&self) -> bool {
        self.kind == ServerKind::PostgreSql
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> String {
        match self.kind {
            ServerKind::Redshift => "Amazon Redshift".to_owned(),
            ServerKind::PostgreSql => format!("PostgreSQL {}", self.major),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redshift_is_told_by_its_word() {
        let text = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.77467";
        let server = Server::detect(text);
        assert_eq!((server.kind, server.major), (ServerKind::Redshift, 8));
        let text = "PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu";
        let server = Server::detect(text);
        assert_eq!((server.kind, server.major), (ServerKind::PostgreSql, 15));
        assert_eq!(Server::detect("CockroachDB CCL v23.1").major, ASSUMED_MAJOR);
    }
}
