//! Secrets as a type that never prints, and the forms in which a config names one.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A secret text. It has no way to be printed; [`Secret::expose`] hands it to what sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it to its own host.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a config says that a secret is found. Reading it is the runtime's work, since it does IO,
/// and is done again when the service says that the secret is no longer good.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The text stands in the config itself.
    Text(Secret),
    /// `{"env": "NAME"}`: the value of an environment variable.
    Env(String),
    /// `{"file": "PATH"}`: the content of a file, without its last line end.
    File(String),
    /// `{"command": "…"}`: what a shell command prints, without its last line end.
    Command(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::Env(name) => write!(f, "{{env: {name}}}"),
            Self::File(path) => write!(f, "{{file: {path}}}"),
            // A command line may itself hold a secret.
            Self::Command(_) => f.write_str("{command: ***}"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        enum Form {
            Env(String),
            File(String),
            Command(String),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Form(Form),
        }
        match Any::deserialize(deserializer) {
            Ok(Any::Text(text)) => Ok(Self::Text(Secret::new(text))),
            Ok(Any::Form(Form::Env(name))) => Ok(Self::Env(name)),
            Ok(Any::Form(Form::File(path))) => Ok(Self::File(path)),
            Ok(Any::Form(Form::Command(line))) => Ok(Self::Command(line)),
            // The underlying message could quote the value.
            Err(_) => Err(de::Error::custom(
                "a secret is a text, {\"env\": \"NAME\"}, {\"file\": \"PATH\"} or {\"command\": \"…\"}",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_prints_the_secret() {
        for config in [r#""hunter2""#, r#"{"command":"echo hunter2"}"#] {
            let source: SecretSource = serde_json::from_str(config).unwrap();
            assert!(!format!("{source:?}").contains("hunter2"));
        }
        let error = serde_json::from_str::<SecretSource>(r#"{"text":"hunter2"}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
