//! Dresses the catalog of a PostgreSQL database up as Amazon Redshift's: what it has, under the
//! names and columns that the Amazon Redshift Database Developer Guide gives, and nothing that
//! came after PostgreSQL 8.0 where a tap would look. The wire is another module's business
//! ([`RedshiftProxy`](crate::source::RedshiftProxy)).

use anyhow::{Context, Result};

use crate::source::connection::Connection;

/// The role that sees the database as Redshift.
const ROLE: &str = "redshift_user";
/// Its password: the role exists in throw-away databases only.
const PASSWORD: &str = "redshift";

const DIALECT: &str = include_str!("redshift_dialect.sql");

/// Installs the dialect in the schema `rs` of the connection's database, whose user must be a
/// superuser, and returns how the role `redshift_user` connects. That role may read every table;
/// its `search_path` puts the dialect first. It finds `version()`, `pg_class`, `pg_attribute` and
/// `pg_namespace` as of PostgreSQL 8.0, `svv_tables`, `svv_columns`, `svv_redshift_columns`,
/// `svv_all_columns`, `svv_external_schemas`, `svv_external_tables`, `svv_external_columns`,
/// `pg_get_late_binding_view_cols()` and the type `super`.
///
/// A superuser then shapes the fixture with `SELECT rs.make_late_binding('schema', 'view')`, which
/// hides the columns of an existing view from `pg_attribute`, and
/// `SELECT rs.make_external('schema', 'table')`, which hides an existing table from `pg_class`:
/// both are found through their own views alone, as on Redshift.
pub async fn install_redshift_dialect(connection: &Connection) -> Result<Connection> {
    let session = connection.connect().await?;
    session
        .batch_execute(DIALECT)
        .await
        .context("cannot install the Redshift dialect")?;
    let database = connection.dbname.replace('"', "\"\"");
    session
        .batch_execute(&format!(
            "ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'; \
             ALTER ROLE {ROLE} IN DATABASE \"{database}\" SET search_path = rs, pg_catalog, public; \
             ALTER ROLE {ROLE} IN DATABASE \"{database}\" SET standard_conforming_strings = off; \
             ALTER ROLE {ROLE} IN DATABASE \"{database}\" SET escape_string_warning = off"
        ))
        .await
        .context("cannot set up the role of the Redshift dialect")?;
    session.close().await?;
    Ok(Connection {
        user: ROLE.to_owned(),
        password: PASSWORD.to_owned(),
        ..connection.clone()
    })
}
