//! A JSON document of credentials: which kind it is, and whether it has what its kind needs.

use std::path::PathBuf;

use chrono::TimeDelta;
use serde_json::{Map, Value};
use singer_core::{Error, Result, Secret};
use singer_net::Url;

use super::TokenExchange;
use super::credential::{Credential, Impersonated, ServiceAccount, User};
use super::external::{External, Format, Subject};
use super::key::SigningKey;
use super::net::Net;

const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// What an impersonation asks for if the document does not say.
const IMPERSONATION_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// What a document says.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) credential: Credential,
    pub(super) project: Option<String>,
    pub(super) quota_project: Option<String>,
}

/// Reads documents.
pub(super) struct Reader<'a> {
    pub(super) net: &'a Net,
    pub(super) token_exchange: TokenExchange,
    /// Where the document stands, as errors have it.
    pub(super) place: &'a str,
}

impl Reader<'_> {
    /// Reads a document. No error says more of its text than names of keys: all else may be a secret.
    pub(super) fn read(&self, text: &str) -> Result<Document> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Err(self.wrong("is empty"));
        }
        let json: Value = serde_json::from_str(text).map_err(|error| {
            self.wrong(&format!(
                "is not JSON at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        let Value::Object(object) = json else {
            return Err(self.wrong("is JSON, but no object"));
        };
        let optional = |key| object.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Document {
            credential: self.credential(&object)?,
            project: optional("project_id"),
            quota_project: optional("quota_project_id"),
        })
    }

    fn credential(&self, object: &Map<String, Value>) -> Result<Credential> {
        match object.get("type").and_then(Value::as_str) {
            Some("service_account") => self.service_account(object),
            Some("authorized_user") => self.user(object),
            Some("external_account") => self.external(object),
            Some("impersonated_service_account") => self.impersonated(object),
            Some(other) if other.len() <= 60 && other.is_ascii() => Err(self
                .wrong(&format!(
                    "has the type `{}`, which is not taken",
                    other.escape_debug()
                ))
                .with_hint(
                    "taken are `service_account`, `authorized_user`, `external_account` and \
                     `impersonated_service_account`",
                )),
            Some(_) => Err(self.wrong("has a `type` that is not taken")),
            None if object.contains_key("installed") || object.contains_key("web") => Err(self
                .wrong("is an OAuth client, which is no credentials")
                .with_hint(
                    "log in with `gcloud auth application-default login --client-id-file FILE`, \
                     or create a service account's key",
                )),
            None => Err(self.wrong("has no `type`").with_hint(
                "credentials are the key file of a service account, or what \
                 `gcloud auth application-default login` writes",
            )),
        }
    }

    fn service_account(&self, object: &Map<String, Value>) -> Result<Credential> {
        let email = self.text(object, "client_email")?.to_owned();
        let pem = Secret::new(self.text(object, "private_key")?);
        let id = object.get("private_key_id").and_then(Value::as_str);
        let token_url = match self.token_exchange {
            TokenExchange::SelfSigned => None,
            TokenExchange::Exchange => Some(self.google_token_url(object)?),
        };
        Ok(Credential::ServiceAccount(ServiceAccount {
            key: SigningKey::read(&pem, id.map(str::to_owned), self.place)?,
            email,
            token_url,
        }))
    }

    fn user(&self, object: &Map<String, Value>) -> Result<Credential> {
        Ok(Credential::User(User {
            client_id: self.text(object, "client_id")?.to_owned(),
            client_secret: Secret::new(self.text(object, "client_secret")?),
            refresh_token: Secret::new(self.text(object, "refresh_token")?),
            token_url: self.google_token_url(object)?,
        }))
    }

    fn external(&self, object: &Map<String, Value>) -> Result<Credential> {
        let Some(Value::Object(source)) = object.get("credential_source") else {
            return Err(self.wrong("has no `credential_source`"));
        };
        let login = match (object.get("client_id"), object.get("client_secret")) {
            (Some(_), Some(_)) => Some((
                self.text(object, "client_id")?.to_owned(),
                Secret::new(self.text(object, "client_secret")?),
            )),
            _ => None,
        };
        let user_project = object
            .get("workforce_pool_user_project")
            .and_then(Value::as_str)
            .filter(|_| login.is_none());
        let external = Credential::External(External {
            audience: self.text(object, "audience")?.to_owned(),
            token_kind: self.text(object, "subject_token_type")?.to_owned(),
            token_url: self.url(object, "token_url")?,
            subject: self.subject(source)?,
            format: self.format(source)?,
            user_project: user_project.map(str::to_owned),
            login,
        });
        if object
            .get("service_account_impersonation_url")
            .is_none_or(Value::is_null)
        {
            return Ok(external);
        }
        self.impersonate(object, external)
    }

    fn subject(&self, source: &Map<String, Value>) -> Result<Subject> {
        let refused = |what: &str| {
            self.wrong(&format!(
                "takes its subject token {what}, which is not done here"
            ))
            .with_hint("taken is a `credential_source` with `file` or `url`")
        };
        if source.contains_key("file") {
            return Ok(Subject::File(PathBuf::from(self.text(source, "file")?)));
        }
        if source.contains_key("environment_id") {
            return Err(refused("from AWS (`environment_id`)"));
        }
        if source.contains_key("executable") {
            return Err(refused("from a program (`executable`)"));
        }
        if source.contains_key("certificate") {
            return Err(refused("from a certificate (`certificate`)"));
        }
        if !source.contains_key("url") {
            return Err(self.wrong("has a `credential_source` with neither `file` nor `url`"));
        }
        let mut headers = Vec::new();
        if let Some(Value::Object(named)) = source.get("headers") {
            for name in named.keys() {
                headers.push((name.clone(), Secret::new(self.text(named, name)?)));
            }
        }
        let text = self.text(source, "url")?;
        Ok(Subject::Url {
            url: self.net.provider("url", self.place, text)?,
            headers,
        })
    }

    fn format(&self, source: &Map<String, Value>) -> Result<Format> {
        let Some(Value::Object(format)) = source.get("format") else {
            return Ok(Format::Text);
        };
        match format.get("type").and_then(Value::as_str) {
            None | Some("text") => Ok(Format::Text),
            Some("json") => {
                let field = self.text(format, "subject_token_field_name")?;
                Ok(Format::Json(field.to_owned()))
            }
            Some(_) => Err(self.wrong("has a `format` that is neither `text` nor `json`")),
        }
    }

    fn impersonated(&self, object: &Map<String, Value>) -> Result<Credential> {
        let Some(Value::Object(source)) = object.get("source_credentials") else {
            return Err(self.wrong("has no `source_credentials`"));
        };
        let source = self.credential(source)?;
        if matches!(source, Credential::Impersonated(_)) {
            return Err(self
                .wrong("impersonates by way of another impersonation")
                .with_hint("name the accounts in between in `delegates`"));
        }
        self.impersonate(object, source)
    }

    fn impersonate(&self, object: &Map<String, Value>, source: Credential) -> Result<Credential> {
        let delegates = match object.get("delegates") {
            None | Some(Value::Null) => Vec::new(),
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| self.wrong("has `delegates` that are no list of texts"))?,
        };
        let lifetime = object
            .get("service_account_impersonation")
            .and_then(|settings| settings["token_lifetime_seconds"].as_i64())
            .filter(|seconds| (1..=43_200).contains(seconds))
            .map_or(IMPERSONATION_LIFETIME, TimeDelta::seconds);
        Ok(Credential::Impersonated(Impersonated {
            source: Box::new(source),
            url: self.url(object, "service_account_impersonation_url")?,
            delegates,
            lifetime,
        }))
    }

    fn google_token_url(&self, object: &Map<String, Value>) -> Result<Url> {
        let text = match object.get("token_uri") {
            None | Some(Value::Null) => GOOGLE_TOKEN_URL,
            Some(_) => self.text(object, "token_uri")?,
        };
        self.net.endpoint("token_uri", self.place, text)
    }

    fn url(&self, object: &Map<String, Value>, key: &str) -> Result<Url> {
        self.net.endpoint(key, self.place, self.text(object, key)?)
    }

    fn text<'o>(&self, object: &'o Map<String, Value>, key: &str) -> Result<&'o str> {
        match object.get(key) {
            None | Some(Value::Null) => Err(self.wrong(&format!("has no `{key}`"))),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(self.wrong(&format!("has an empty `{key}`")))
            }
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(&format!("has a `{key}` that is no text"))),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::config(format!("{} {what}", self.place))
    }
}
