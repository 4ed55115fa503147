//! The accounts server: how it is asked for a token, and what its refusals are called.

use singer_core::{Error, Kind, Result, Secret, Surroundings};
use singer_net::{Backoff, Base, Bytes, Client, HttpConfig, Request, Url, backoff};

use super::grant::{self, Grant, Judged};
use crate::pause::rest;
use crate::{AccountConfig, DataCenter};

/// How often `general_error` is answered with another attempt.
const GENERAL_RETRIES: u32 = 2;

/// The accounts server of one client.
#[derive(Debug)]
pub(super) struct Server {
    data_center: DataCenter,
    client: Client,
    url: Url,
    client_id: String,
    attempts: u32,
    pub(super) backoff: Backoff,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Asked {
    Granted(Grant),
    Throttled,
    Dead(String),
}

impl Server {
    pub(super) fn new(config: &AccountConfig, http: &HttpConfig, user_agent: &str) -> Result<Self> {
        let accounts = match &config.accounts_url {
            Some(url) => Base::parse("accounts_url", url)?,
            None => Base::parse("data_center", config.data_center.accounts())?,
        };
        Ok(Self {
            data_center: config.data_center,
            url: accounts.url(&["oauth", "v2", "token"])?,
            client: Client::new(accounts, http, user_agent)?,
            client_id: config.client_id.trim().to_owned(),
            attempts: http.attempts.max(1),
            backoff: Backoff::default(),
        })
    }

    /// What tells this server and client from all others.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.client.base(), self.client_id)
    }

    /// Asks the accounts server, again if it is broken for the moment.
    pub(super) async fn ask(
        &self,
        client_secret: &Secret,
        refresh_token: &Secret,
        surroundings: &dyn Surroundings,
    ) -> Result<Asked> {
        let mut broken = 0;
        let mut general = 0;
        loop {
            let judged = match self
                .client
                .send(self.request(client_secret, refresh_token))
                .await
            {
                Ok(answer) => grant::judge(&answer),
                Err(error) if error.kind() == Kind::Transient => Judged::Broken(error),
                Err(error) => return Err(error),
            };
            let (error, number) = match judged {
                Judged::Granted(grant) => return Ok(Asked::Granted(grant)),
                Judged::Throttled => return Ok(Asked::Throttled),
                Judged::Dead(code) => return Ok(Asked::Dead(code)),
                Judged::Malformed(error) => return Err(self.without_token(error)),
                Judged::General if general < GENERAL_RETRIES => {
                    general += 1;
                    (Error::transient("it answered `general_error`"), general)
                }
                Judged::Broken(error) if broken + 1 < self.attempts => {
                    broken += 1;
                    (error, broken)
                }
                Judged::General => {
                    let error = Error::transient("it answered `general_error`");
                    return Err(self.without_token(error));
                }
                Judged::Broken(error) => return Err(self.without_token(error)),
            };
            let wait = self.backoff.wait(number, None, backoff::chance());
            tracing::warn!(%error, wait_milliseconds = wait.as_millis() as u64, "no access token yet");
            rest(surroundings, wait).await?;
        }
    }

    fn request(&self, client_secret: &Secret, refresh_token: &Secret) -> Request {
        // A query is encoded as a form is, but it stays out of the URL, which proxies log.
        let mut form = self.url.clone();
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", client_secret.expose())
            .append_pair("refresh_token", refresh_token.expose());
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        let kind = "application/x-www-form-urlencoded";
        Request::post(self.url.clone(), kind, body)
    }

    /// Where the account lives, as the config says.
    pub(super) fn data_center(&self) -> DataCenter {
        self.data_center
    }

    /// The data centre and the server.
    pub(super) fn place(&self) -> String {
        format!(
            "data centre `{}` (`{}`)",
            self.data_center.name(),
            self.client.base()
        )
    }

    fn without_token(&self, error: Error) -> Error {
        let message = format!("{} gave no access token", self.place());
        Error::new(error.kind(), message).with_source(error)
    }

    /// The error of secrets that were refused for good.
    pub(super) fn refusal(&self, code: &str) -> Error {
        let place = self.place();
        let name = self.data_center.name();
        let (what, hints) = match code {
            "invalid_code" => (
                "the refresh token was refused",
                vec![
                    format!("a refresh token is good in one data centre alone: if the account does not live in `{name}`, set `data_center`"),
                    "it may have been revoked, mistyped, or pushed out by newer ones (20 for each user and client): make a new code in the API console and exchange it".to_owned(),
                ],
            ),
            "invalid_client" => (
                "the client was refused",
                vec![format!("`client_id` is not known there: if the client was registered in another data centre than `{name}`, set `data_center`")],
            ),
            "invalid_client_secret" => (
                "the client's secret was refused",
                vec![format!("a client has another secret in each data centre: copy to `client_secret` the one that the API console shows for `{name}`")],
            ),
            _ => (
                "the client, its secret or the refresh token was refused",
                vec![format!("look at `client_id`, `client_secret`, `refresh_token`, and whether the account lives in data centre `{name}`")],
            ),
        };
        let error = Error::auth(format!("{what} by {place}")).with_source(Error::auth(format!(
            "the accounts server answered `{code}`"
        )));
        hints.into_iter().fold(error, Error::with_hint)
    }

    /// Says so if the token is of another data centre than the config says.
    pub(super) fn compare(&self, grant: &Grant) {
        tracing::debug!(
            place = self.place(),
            life_seconds = grant.life.as_secs(),
            "a new token"
        );
        let domain = grant.api_domain.as_deref();
        if let (Some(domain), Some(other)) = (domain, domain.and_then(DataCenter::of_api_domain))
            && other != self.data_center
        {
            tracing::warn!(
                data_center = self.data_center.name(),
                api_domain = domain,
                "the account lives in another data centre than the config says"
            );
        }
    }
}
