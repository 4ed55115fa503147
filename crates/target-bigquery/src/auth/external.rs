//! Workload identity: the token of another identity provider, exchanged for one of Google's.

use std::path::PathBuf;

use serde_json::{Value, json};
use singer_core::{Error, Kind, Result, Secret};
use singer_net::{Request, Url};

use super::file;
use super::net::{Grant, Net, oauth_grant};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An identity that another provider vouches for.
#[derive(Debug)]
pub(super) struct External {
    pub(super) audience: String,
    pub(super) token_kind: String,
    pub(super) token_url: Url,
    pub(super) subject: Subject,
    pub(super) format: Format,
    /// The client that a workforce login was made with.
    pub(super) login: Option<(String, Secret)>,
    /// The project that a workforce login is counted against.
    pub(super) user_project: Option<String>,
}

/// Where the provider's token is found.
#[derive(Debug)]
pub(super) enum Subject {
    /// A file that somebody keeps up to date.
    File(PathBuf),
    /// A page that gives a new one.
    Url {
        url: Url,
        headers: Vec<(String, Secret)>,
    },
}

/// How the provider's token is written.
#[derive(Debug)]
pub(super) enum Format {
    /// As it is.
    Text,
    /// As a field of a JSON object.
    Json(String),
}

impl External {
    pub(super) async fn fetch(&self, scope: &str, net: &Net) -> Result<Grant> {
        let what = "cannot exchange the token of the identity provider";
        // A file that is not there now may have been there when the run began, so that this is no
        // error of the config, before which nothing was written.
        let subject = self
            .read_subject(net)
            .await
            .map_err(|error| match error.kind() {
                Kind::Config => Error::auth(what).with_source(error),
                _ => error,
            })?;
        let options = self
            .user_project
            .as_ref()
            .map(|project| json!({"userProject": project}).to_string());
        let mut fields = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("audience", self.audience.as_str()),
            ("scope", scope),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", subject.expose()),
            ("subject_token_type", self.token_kind.as_str()),
        ];
        if let Some(options) = &options {
            fields.push(("options", options));
        }
        let login = self
            .login
            .as_ref()
            .map(|(name, password)| (name.as_str(), password));
        let answer = net.post_form(what, &self.token_url, &fields, login).await?;
        oauth_grant(what, &answer)
    }

    /// The provider's token, read anew each time: it is good for minutes.
    async fn read_subject(&self, net: &Net) -> Result<Secret> {
        let (text, place) = match &self.subject {
            Subject::File(path) => {
                let place = format!("the subject token's file `{}`", path.display());
                (file::read(path, &place).await?, place)
            }
            Subject::Url { url, headers } => {
                let what = "cannot get the subject token from the identity provider";
                let mut request = Request::get(url.clone());
                for (name, value) in headers {
                    request = request.secret_header(name, value)?;
                }
                let answer = net.call(what, request).await?;
                let text = String::from_utf8(answer.body.to_vec()).map_err(|_| {
                    Error::protocol(what).with_source(Error::protocol("its answer is not UTF-8"))
                })?;
                (text, "the answer of the identity provider".to_owned())
            }
        };
        self.format.token(&text, &place)
    }
}

impl Format {
    fn token(&self, text: &str, place: &str) -> Result<Secret> {
        let token = match self {
            Self::Text => text.trim().to_owned(),
            Self::Json(field) => {
                let json: Value = serde_json::from_str(text)
                    .map_err(|_| Error::config(format!("{place} is not JSON")))?;
                let token = json[field].as_str().ok_or_else(|| {
                    Error::config(format!("{place} has no text in the field `{field}`"))
                })?;
                token.to_owned()
            }
        };
        if token.is_empty() {
            return Err(Error::config(format!("{place} has an empty token")));
        }
        Ok(Secret::new(token))
    }
}
