//! The metadata server of a machine, pod or container at Google: the account that it runs as.

use std::time::Duration;

use singer_core::{Error, Result};
use singer_net::{Answer, Attempt, Request, Retry, Url};

use super::environment::Environment;
use super::net::{Grant, Net, oauth_grant};

const FLAVOR: &str = "metadata-flavor";

/// The address that the name `metadata.google.internal` has. It is asked instead of the name: a
/// foreign name server cannot send it elsewhere, and no proxy is asked to go there.
const ADDRESS: &str = "169.254.169.254";
const NAME: &str = "metadata.google.internal";

/// How long a machine that may be anywhere is asked whether it is at Google.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often, where something says that there is a metadata server: in a new pod it comes up seconds
/// after the first program.
const SURE_ATTEMPTS: u32 = 4;

/// A metadata server that answered.
#[derive(Debug)]
pub(super) struct Metadata {
    base: String,
}

/// What came of looking for a metadata server.
pub(super) enum Probe {
    /// It is there; the project is the machine's.
    Found(Metadata, Option<String>),
    /// It is not, in words.
    Absent(String),
}

impl Metadata {
    /// Looks for the metadata server.
    pub(super) async fn probe(environment: &Environment, net: &Net) -> Result<Probe> {
        if environment.no_gce_check {
            return Ok(Probe::Absent(
                "the metadata server (`NO_GCE_CHECK` says not to look for it)".to_owned(),
            ));
        }
        let named = environment.gce_metadata_host.as_deref();
        let host = match named {
            None => ADDRESS.to_owned(),
            Some(host) => host.replace(NAME, ADDRESS),
        };
        let metadata = Self {
            base: format!("http://{host}"),
        };
        let url = metadata.url("project/project-id")?;
        let place = format!("the metadata server at `{host}`");
        let is_sure = named.is_some() || environment.is_at_google;
        let answer = ask(&url, net, if is_sure { SURE_ATTEMPTS } else { 1 }).await;
        Ok(match answer {
            Err(error) => {
                tracing::debug!(%error, %place, "no metadata server");
                Probe::Absent(format!("{place} (no answer)"))
            }
            Ok(answer) if !is_google(&answer) => Probe::Absent(format!(
                "{place} (it answered, but not with `Metadata-Flavor: Google`)"
            )),
            Ok(answer) => Probe::Found(metadata, project(&answer)),
        })
    }

    /// The token of the machine's own account.
    pub(super) async fn fetch(&self, net: &Net) -> Result<Grant> {
        let what = "cannot get a token from the metadata server";
        let url = self.url("instance/service-accounts/default/token")?;
        let answer = net
            .direct()
            .call(what, request(url))
            .await
            .map_err(|error| {
                error.with_hint(
                    "the machine needs a service account: the metadata server gives its tokens",
                )
            })?;
        if !is_google(&answer) {
            return Err(Error::protocol(what).with_source(Error::protocol(
                "the answer lacks `Metadata-Flavor: Google`, so another server gave it",
            )));
        }
        oauth_grant(what, &answer)
    }

    fn url(&self, path: &str) -> Result<Url> {
        let wrong = || Error::config("`GCE_METADATA_HOST` is no host, or host and port");
        let url = Url::parse(&format!("{}/computeMetadata/v1/{path}", self.base))
            .map_err(|error| wrong().with_source(error))?;
        // A host with a path, a user or a query in it would make another URL of it.
        if url.path() == format!("/computeMetadata/v1/{path}") && url.username().is_empty() {
            Ok(url)
        } else {
            Err(wrong())
        }
    }
}

/// Asks a server that may not be there, and does not wait for long.
async fn ask(url: &Url, net: &Net, attempts: u32) -> Result<Answer> {
    let mut quick = net.direct();
    quick.http.request_timeout_seconds = PROBE_TIMEOUT.as_secs_f64();
    let client = quick.client(url)?;
    Retry::attempts(attempts.min(net.http.attempts))
        .run("cannot reach the metadata server", |_| async {
            match client.send(request(url.clone())).await {
                Ok(answer) => Attempt::Done(answer),
                Err(error) => Attempt::again(error),
            }
        })
        .await
}

fn request(url: Url) -> Request {
    Request::get(url).header(FLAVOR, "Google")
}

fn is_google(answer: &Answer) -> bool {
    answer
        .headers
        .get(FLAVOR)
        .is_some_and(|flavor| flavor.as_bytes() == b"Google")
}

fn project(answer: &Answer) -> Option<String> {
    let text = std::str::from_utf8(&answer.body).ok()?.trim();
    let is_project = answer.status.is_success()
        && (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.'));
    is_project.then(|| text.to_owned())
}
