//! The kinds of credentials, and how each comes by a token.

use std::pin::Pin;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use singer_core::{Result, Secret};
use singer_net::Url;

use super::external::External;
use super::key::SigningKey;
use super::metadata::Metadata;
use super::net::{Grant, Net, iam_grant, oauth_grant};

/// What credentials of this target may do: read and write BigQuery, nothing else.
pub(super) const BIGQUERY: &str = "https://www.googleapis.com/auth/bigquery";

/// What the credentials that take another account's place need for asking for its token.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The longest that the service takes for a signed token, from its `iat` on.
const SIGNED_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A signed token begins this much in the past, so that a clock a little fast does no harm.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(10);

/// Credentials of one kind.
#[derive(Debug)]
pub(super) enum Credential {
    /// None, for a stand-in.
    Anonymous,
    /// An access token that somebody else made.
    Token(Secret),
    /// A key file.
    ServiceAccount(ServiceAccount),
    /// A person's login.
    User(User),
    /// A token of another identity provider.
    External(External),
    /// Another credential in the place of a service account.
    Impersonated(Impersonated),
    /// The machine's own service account.
    Metadata(Metadata),
}

/// A service account with its key.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    pub(super) email: String,
    pub(super) key: SigningKey,
    /// Where its signed token is exchanged for another; `None`: it goes to the service itself.
    pub(super) token_url: Option<Url>,
}

/// A person who logged in with `gcloud`.
#[derive(Debug)]
pub(super) struct User {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    pub(super) token_url: Url,
}

/// A service account whose place another credential takes.
#[derive(Debug)]
pub(super) struct Impersonated {
    pub(super) source: Box<Credential>,
    pub(super) url: Url,
    pub(super) delegates: Vec<String>,
    pub(super) lifetime: TimeDelta,
}

type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Option<Grant>>> + Send + 'a>>;

impl Credential {
    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Token(_) => "access token".to_owned(),
            Self::ServiceAccount(account) => format!("service account {}", account.email),
            Self::User(_) => "user credentials".to_owned(),
            Self::External(_) => "workload identity".to_owned(),
            Self::Impersonated(whose) => {
                format!(
                    "{} as service account {}",
                    whose.source.describe(),
                    whose.email()
                )
            }
            Self::Metadata(_) => "metadata server".to_owned(),
        }
    }

    /// A new token for BigQuery; `None` if there is to be none.
    pub(super) async fn fetch(&self, net: &Net, now: DateTime<Utc>) -> Result<Option<Grant>> {
        self.fetch_for(BIGQUERY, net, now).await
    }

    fn fetch_for<'a>(&'a self, scope: &'a str, net: &'a Net, now: DateTime<Utc>) -> Fetching<'a> {
        Box::pin(async move {
            Ok(Some(match self {
                Self::Anonymous => return Ok(None),
                Self::Token(token) => Grant {
                    token: token.clone(),
                    lifetime: None,
                },
                Self::ServiceAccount(account) => account.fetch(scope, net, now).await?,
                Self::User(user) => user.fetch(net).await?,
                Self::External(external) => external.fetch(scope, net).await?,
                Self::Impersonated(whose) => {
                    let own = whose.source.fetch_for(CLOUD_PLATFORM, net, now).await?;
                    let Some(own) = own else { return Ok(None) };
                    whose.fetch(scope, &own.token, net, now).await?
                }
                Self::Metadata(metadata) => metadata.fetch(net).await?,
            }))
        })
    }
}

impl ServiceAccount {
    async fn fetch(&self, scope: &str, net: &Net, now: DateTime<Utc>) -> Result<Grant> {
        let begin = now - CLOCK_DIFFERENCE;
        // A token has a scope or an audience. One that goes to the service itself has a scope: an
        // audience would tie it to one host, and REST and gRPC have two.
        let mut claims = json!({
            "iss": self.email,
            "scope": scope,
            "iat": begin.timestamp(),
            "exp": (begin + SIGNED_LIFETIME).timestamp(),
        });
        let Some(url) = &self.token_url else {
            claims["sub"] = json!(self.email);
            return Ok(Grant {
                token: self.key.sign(&claims)?,
                lifetime: Some(SIGNED_LIFETIME - CLOCK_DIFFERENCE),
            });
        };
        // Here the audience is the token endpoint, which reads the scope and puts it into its own token.
        claims["aud"] = json!(url.as_str());
        let assertion = self.key.sign(&claims)?;
        let what = format!(
            "cannot get a token for the service account `{}`",
            self.email
        );
        let fields = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion.expose()),
        ];
        let answer = net.post_form(&what, url, &fields, None).await?;
        oauth_grant(&what, &answer)
    }
}

impl User {
    async fn fetch(&self, net: &Net) -> Result<Grant> {
        let what = "cannot get a token for the user credentials";
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose()),
            ("refresh_token", self.refresh_token.expose()),
        ];
        let answer = net.post_form(what, &self.token_url, &fields, None).await?;
        oauth_grant(what, &answer)
    }
}

impl Impersonated {
    /// The service account, as the URL names it.
    fn email(&self) -> &str {
        let path = self.url.path();
        let last = path.rsplit('/').next().unwrap_or(path);
        last.split(':').next().unwrap_or(last)
    }

    async fn fetch(
        &self,
        scope: &str,
        own: &Secret,
        net: &Net,
        now: DateTime<Utc>,
    ) -> Result<Grant> {
        let what = format!("cannot act as the service account `{}`", self.email());
        let body = json!({
            "delegates": self.delegates,
            "scope": [scope],
            "lifetime": format!("{}s", self.lifetime.num_seconds()),
        });
        let answer = net.post_json(&what, &self.url, &body, own).await?;
        iam_grant(&what, &answer, self.lifetime, now)
    }
}
