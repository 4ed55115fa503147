//! How to reach a database: the parts of a connection, as a URL and as a live session. It knows
//! nothing of what the database holds.

use std::fmt;

use anyhow::{Context, Result, bail};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

/// Everything that a client needs to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// Name or address of the server.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The database.
    pub dbname: String,
    /// The role.
    pub user: String,
    /// The role's password; empty where none is asked for.
    pub password: String,
    /// The schema that holds the tables.
    pub schema: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            dbname,
            user,
            schema,
            password: _,
        } = self;
        write!(
            formatter,
            "Connection({user}@{host}:{port}/{dbname}, schema {schema})"
        )
    }
}

impl Connection {
    /// Takes a `postgres://` URL (or a `key=value` string) apart. The schema is `public`.
    pub fn from_url(url: &str) -> Result<Self> {
        let config: Config = url.parse().context("cannot read the database URL")?;
        if config.get_ssl_mode() == SslMode::Require {
            bail!("the database URL asks for TLS, which the sandbox does not speak");
        }
        let host = match config.get_hosts() {
            [Host::Tcp(host)] => host.clone(),
            [Host::Unix(path)] => path.to_string_lossy().into_owned(),
            [] => "127.0.0.1".to_owned(),
            _ => bail!("the database URL names several hosts; one is supported"),
        };
        let user = config
            .get_user()
            .context("the database URL names no user")?
            .to_owned();
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            dbname: config.get_dbname().unwrap_or(&user).to_owned(),
            password: match config.get_password() {
                Some(password) => String::from_utf8_lossy(password).into_owned(),
                None => String::new(),
            },
            user,
            schema: "public".to_owned(),
        })
    }

    /// The same as a URL, password included: for programs that take nothing else.
    pub fn url(&self) -> String {
        let mut url = format!("postgres://{}", percent_encode(&self.user));
        if !self.password.is_empty() {
            url.push(':');
            url.push_str(&percent_encode(&self.password));
        }
        url.push_str(&format!(
            "@{}:{}/{}",
            percent_encode(&self.host),
            self.port,
            percent_encode(&self.dbname)
        ));
        url
    }

    /// Opens a session without TLS.
    pub async fn connect(&self) -> Result<Session> {
        let (client, connection) = Config::new()
            .host(&self.host)
            .port(self.port)
            .dbname(&self.dbname)
            .user(&self.user)
            .password(&self.password)
            .application_name("antiphon-sandbox")
            .connect(NoTls)
            .await
            .with_context(|| format!("cannot connect to `{}:{}`", self.host, self.port))?;
        let driver = tokio::spawn(async move {
            // What went wrong reaches the caller through the statement that failed.
            drop(connection.await);
        });
        Ok(Session { client, driver })
    }
}

/// A live session. Dropping it ends the session some time later; [`Session::close`] waits for
/// that, which matters where a server takes one session at a time.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl std::ops::Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    /// Ends the session and waits until its socket is closed.
    pub async fn close(self) -> Result<()> {
        drop(self.client);
        self.driver.await.context("the session's task panicked")
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_odd_characters_comes_back_whole() {
        let connection = Connection {
            host: "127.0.0.1".to_owned(),
            port: 5433,
            dbname: "a db/ü".to_owned(),
            user: "IAM:alice".to_owned(),
            password: "p@ss:/%?#".to_owned(),
            schema: "public".to_owned(),
        };
        assert_eq!(Connection::from_url(&connection.url()).unwrap(), connection);
    }

    #[test]
    fn a_demand_for_tls_is_not_ignored() {
        assert!(Connection::from_url("postgres://u@h/d?sslmode=require").is_err());
    }

    #[test]
    fn debug_output_hides_the_password() {
        let connection = Connection::from_url("postgres://u:hidden@h/d").unwrap();
        assert!(!format!("{connection:?}").contains("hidden"));
    }
}
