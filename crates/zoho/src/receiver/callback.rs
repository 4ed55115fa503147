//! A receiver for the word that a job is over: it rings a bell, and the job is asked for at once. What is
//! posted decides nothing, so that a forged word costs one question.

use std::sync::Arc;

use serde::Deserialize;
use singer_core::{Error, Result, SecretSource, Surroundings};
use singer_net::Url;
use tokio::sync::Notify;

use super::{Receiver, ReceiverConfig, Reply, Take, TlsFiles};

/// The state of a job is short.
const MOST_BODY: usize = 1 << 20;

/// The settings of such a receiver.
#[derive(Debug, Clone, Deserialize)]
pub struct Callback {
    /// The address to listen on.
    pub listen: String,
    /// What the service is told to post to.
    pub public_url: String,
    /// The secret.
    pub secret: SecretSource,
    /// The header that holds it.
    pub header: String,
    /// A certificate chain as a PEM file.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Its private key.
    #[serde(default)]
    pub key: Option<String>,
}

impl Callback {
    /// Whether the settings go together.
    ///
    /// # Errors
    /// Of kind `Config`.
    pub fn validate(&self) -> Result<()> {
        self.path()?;
        if self.certificate.is_some() != self.key.is_some() {
            return Err(Error::config(
                "`callback.certificate` and `callback.key` go together",
            ));
        }
        Ok(())
    }

    /// Listens, and rings whenever something is posted.
    ///
    /// # Errors
    /// As [`Receiver::start`], and if the secret cannot be read.
    pub async fn listen(
        &self,
        surroundings: Arc<dyn Surroundings>,
        bell: Arc<Notify>,
    ) -> Result<Receiver> {
        let tls = self.certificate.clone().zip(self.key.clone());
        let config = ReceiverConfig {
            listen: self.listen.clone(),
            path: self.path()?,
            header: self.header.clone(),
            secret: surroundings.secret(&self.secret).await?,
            max_body_bytes: MOST_BODY,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        };
        let take: Take = Arc::new(move |_| {
            bell.notify_waiters();
            Box::pin(async { Reply::Taken })
        });
        Receiver::start(config, surroundings, take).await
    }

    /// The path that is answered.
    fn path(&self) -> Result<String> {
        let url = Url::parse(&self.public_url)
            .map_err(|error| Error::config("`callback.public_url` is no URL").with_source(error))?;
        Ok(url.path().to_owned())
    }
}
