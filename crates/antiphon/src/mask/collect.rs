//! The secrets of a pipeline, from wherever its stages take them.

use std::path::Path;

use serde_json::Value;
use singer_core::{Secret, SecretSource};

use super::pattern::is_secret_key;
use crate::spec::{ConfigSource, Pipeline};

/// Everything that is known to be secret without asking anybody.
pub(super) async fn secrets(pipeline: &Pipeline, folder: &Path) -> Vec<Secret> {
    let mut found = Found {
        folder,
        secrets: Vec::new(),
    };
    let stages = [&pipeline.tap].into_iter().chain(&pipeline.maps);
    for stage in stages.chain([&pipeline.target]) {
        for config in &stage.config {
            match config {
                ConfigSource::Inline(config) => found.object(config).await,
                ConfigSource::File(path) => {
                    if let Ok(text) = tokio::fs::read(folder.join(path)).await
                        && let Ok(config) = serde_json::from_slice::<Value>(&text)
                    {
                        found.object(&config).await;
                    }
                }
                // Taken from the variables of this process below.
                ConfigSource::Environment => {}
            }
        }
    }
    for (name, source) in &pipeline.environment {
        match source {
            SecretSource::Text(secret) if is_secret_key(name) => {
                found.secrets.push(secret.clone());
            }
            SecretSource::Text(secret) => found.text(secret.expose()),
            SecretSource::Env(name) => found.variable(name),
            SecretSource::File(path) => found.file(path).await,
            SecretSource::Command(_) => {}
        }
    }
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
            // The shell's own, whose values are folders: they stand in every path.
            if matches!(name, "PWD" | "OLDPWD") {
                continue;
            }
            if is_secret_key(name) {
                found.add(value);
            } else {
                found.text(value);
            }
        }
    }
    found.secrets
}

struct Found<'a> {
    folder: &'a Path,
    secrets: Vec<Secret>,
}

impl Found<'_> {
    fn add(&mut self, text: &str) {
        self.secrets.push(Secret::new(text));
    }

    /// A config: its secret-looking keys at any depth, and the passwords in its URLs.
    async fn object(&mut self, value: &Value) {
        // Walked with a list of its own, since a config from outside may be deep.
        let mut open: Vec<(bool, &Value)> = vec![(false, value)];
        while let Some((is_secret, value)) = open.pop() {
            match value {
                Value::Object(members) => {
                    if let Some((key, Value::String(place))) = members.iter().next()
                        && members.len() == 1
                    {
                        match key.as_str() {
                            "env" => self.variable(place),
                            "file" => self.file(place).await,
                            _ => {}
                        }
                    }
                    for (key, value) in members {
                        open.push((is_secret_key(key), value));
                    }
                }
                Value::Array(items) => open.extend(items.iter().map(|item| (is_secret, item))),
                Value::String(text) => {
                    if is_secret {
                        self.add(text);
                    }
                    self.text(text);
                }
                Value::Number(number) if is_secret => self.add(&number.to_string()),
                _ => {}
            }
        }
    }

    /// A text that is no secret itself may be a URL with a password, or JSON with more.
    fn text(&mut self, text: &str) {
        let mut hidden = Vec::new();
        super::pattern::find(text, &mut hidden);
        for (start, end) in hidden {
            if let Some(secret) = text.get(start..end) {
                self.add(secret);
                // A URL holds it encoded; what prints it may have decoded it.
                super::decode::forms(secret.as_bytes(), &mut |form, _| {
                    if let Ok(form) = std::str::from_utf8(form) {
                        self.secrets.push(Secret::new(form));
                    }
                });
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the config names this variable as the place of a secret"
    )]
    fn variable(&mut self, name: &str) {
        if let Ok(value) = std::env::var(name) {
            self.add(&value);
        }
    }

    async fn file(&mut self, path: &str) {
        if let Ok(text) = tokio::fs::read_to_string(self.folder.join(path)).await {
            self.add(text.trim_end());
        }
    }
}
