//! A plain HTTP/1.1 client over a socket: it shows what a client sees on the wire, half answers and
//! resets included, which a real client library hides.

use std::io;
use std::time::Duration;

use sandbox::analytics::AnalyticsOptions;
use sandbox::bigquery::BigQueryOptions;
use sandbox::pendo::PendoOptions;
use sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A sandbox with a client.
pub(crate) struct Trial {
    pub(crate) sandbox: Sandbox,
}

impl Trial {
    pub(crate) async fn start() -> Trial {
        Trial::with(|_| {}).await
    }

    /// Starts with changed settings of the Pendo stand-in.
    pub(crate) async fn with(change: impl FnOnce(&mut PendoOptions)) -> Trial {
        let mut options = Options::default();
        change(&mut options.pendo);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// Starts with changed settings of the stand-in of Zoho Analytics.
    pub(crate) async fn with_analytics(change: impl FnOnce(&mut AnalyticsOptions)) -> Trial {
        let mut options = Options::default();
        change(&mut options.analytics);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// Starts with changed settings of the BigQuery stand-in.
    pub(crate) async fn with_bigquery(change: impl FnOnce(&mut BigQueryOptions)) -> Trial {
        let mut options = Options::default();
        change(&mut options.bigquery);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// Starts with changed settings of any stand-in.
    pub(crate) async fn with_options(change: impl FnOnce(&mut Options)) -> Trial {
        let mut options = Options::default();
        change(&mut options);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// An access token of Zoho's for the usual refresh token.
    pub(crate) async fn zoho_token(&self) -> String {
        let form = "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-secret&refresh_token=sandbox-refresh";
        let answer = self.zoho_form("/oauth/v2/token", form).await.json();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A form to Zoho accounts.
    pub(crate) async fn zoho_form(&self, path: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.send("POST", path, &headers, form.as_bytes()).await;
        answer.unwrap()
    }

    /// A request to Data Store, below the project, with more headers.
    pub(crate) async fn datastore_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let bearer = format!("Zoho-oauthtoken {token}");
        let mut all = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        all.extend_from_slice(headers);
        let path = format!("/baas/v1/project/4000000006007{path}");
        self.send(method, &path, &all, text.as_bytes())
            .await
            .unwrap()
    }

    /// The same with the media type that shows ids as strings.
    pub(crate) async fn datastore(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let headers = [("accept", "application/vnd.catalyst.v2+json")];
        self.datastore_with(token, method, path, &headers, body)
            .await
    }

    /// A control request.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        let path = format!("/_sandbox{path}");
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, &path, &headers, text.as_bytes())
            .await
            .unwrap()
    }

    /// A request to BigQuery's REST API, below the project `p`.
    pub(crate) async fn bigquery(&self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/bigquery/bigquery/v2/projects/p{path}");
        let headers = [("content-type", "application/json")];
        self.send(method, &path, &headers, text.as_bytes())
            .await
            .unwrap()
    }

    /// A request to the Pendo API with the writing key.
    pub(crate) async fn pendo(&self, method: &str, path: &str, body: &str) -> Answer {
        self.pendo_with(method, path, body, "").await.unwrap()
    }

    /// The same with a header `x-sandbox-fault`.
    pub(crate) async fn pendo_with(
        &self,
        method: &str,
        path: &str,
        body: &str,
        faults: &str,
    ) -> io::Result<Answer> {
        let mut headers = vec![("x-pendo-integration-key", "sandbox-key")];
        if !faults.is_empty() {
            headers.push(("x-sandbox-fault", faults));
        }
        self.send(
            method,
            &format!("/pendo/api/v1{path}"),
            &headers,
            body.as_bytes(),
        )
        .await
    }

    /// A bulk call to the custom fields of the visitors.
    pub(crate) async fn bulk(&self, body: &str) -> Answer {
        self.pendo("POST", "/metadata/visitor/custom/value", body)
            .await
    }

    /// Any request, on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let address = self.sandbox.addr().to_string();
        send_to(&address, method, path, headers, body).await
    }
}

/// A request to an address, on a connection of its own.
pub(crate) async fn send_to(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        parse(&bytes)
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("an answer in time")
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = headers
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap();
    Ok(Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    })
}
