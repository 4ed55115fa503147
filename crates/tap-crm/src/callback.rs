//! Where bulk jobs call back. What comes is only a hint to ask, so a call that is forged, lost or repeated
//! does no harm.

use std::sync::Arc;

use bytes::Bytes;
use singer_core::{Result, Secret};
use singer_runtime::context::Context;
use zoho::bulk::bells::{Bell, Bells};
use zoho::receiver::{Receiver, ReceiverConfig, Reply, Take, TlsFiles};

use crate::config::Callback;
use crate::model::{Envelope, Job};

/// A job object is a few hundred bytes, and its query at most some fields more.
const MAX_BODY_BYTES: usize = 256 << 10;

/// The parameter that holds the secret: the service sends no header of ours.
const PARAMETER: &str = "secret";

/// The receiver, and who waits for which job.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// With the secret in it.
    url: Secret,
    bells: Bells,
    /// Stops when it is dropped.
    _receiver: Receiver,
}

impl Callbacks {
    /// Listens.
    ///
    /// # Errors
    /// Of kind `Config`: an address or a certificate that cannot be used, a secret that cannot be read.
    pub(crate) async fn start(callback: &Callback, context: &Context) -> Result<Self> {
        let secret = context.secret(&callback.secret).await?;
        let mut url = callback.url()?;
        let path = url.path().to_owned();
        let bells = Bells::default();
        let tls = callback.certificate.clone().zip(callback.key.clone());
        let config = ReceiverConfig {
            listen: callback.listen.clone(),
            path,
            header: format!("?{PARAMETER}"),
            secret: secret.clone(),
            max_body_bytes: MAX_BODY_BYTES,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        };
        let take: Take = {
            let bells = bells.clone();
            Arc::new(move |body| {
                let reply = ring(&bells, &body);
                Box::pin(std::future::ready(reply))
            })
        };
        let receiver = Receiver::start(config, Arc::new(context.clone()), take).await?;
        tracing::info!(address = %receiver.address(), "listens for callbacks of bulk jobs");
        url.query_pairs_mut()
            .append_pair(PARAMETER, secret.expose());
        Ok(Self {
            url: Secret::new(url.as_str()),
            bells,
            _receiver: receiver,
        })
    }

    /// Where a job is to call.
    pub(crate) fn url(&self) -> &str {
        self.url.expose()
    }

    /// What rings for a job.
    pub(crate) fn bell(&self, id: &str) -> Bell {
        self.bells.bell(id)
    }
}

/// What comes is shaped as the details of a job are. A job that nobody waits for is answered like any other.
fn ring(bells: &Bells, body: &Bytes) -> Reply {
    let wrapped = serde_json::from_slice::<Envelope<Job>>(body).map(|jobs| jobs.data);
    let jobs = wrapped.or_else(|_| serde_json::from_slice::<Job>(body).map(|job| vec![job]));
    let Ok(jobs) = jobs else {
        return Reply::Malformed;
    };
    for job in jobs {
        bells.ring(&job.id);
    }
    Reply::Taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_rings_for_its_job_wrapped_or_not() {
        let bells = Bells::default();
        for body in [
            &br#"{"data":[{"id":"7","state":"COMPLETED"}]}"#[..],
            &br#"{"id":7,"state":"FAILURE"}"#[..],
        ] {
            let bell = bells.bell("7");
            assert_eq!(ring(&bells, &Bytes::from_static(body)), Reply::Taken);
            bell.notify().notified().await;
        }
        assert_eq!(ring(&bells, &Bytes::from_static(b"[]")), Reply::Malformed);
    }
}
