//! Where bulk jobs call back. What comes is only a hint to ask, so a call that is forged, lost or repeated
//! does no harm.

use std::sync::Arc;

use bytes::Bytes;
use singer_core::{Result, Secret};
use singer_runtime::context::Context;
use zoho::bulk::bells::{Bell, Bells};
use zoho::receiver::{Receiver, ReceiverConfig, Reply, Take};

use crate::api::CallbackTo;
use crate::config::{Callback, tls_of};
use crate::model::Job;

/// A job object is a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The receiver, and who waits for which job.
#[derive(Debug)]
pub(crate) struct Callbacks {
    url: String,
    header: String,
    secret: Secret,
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
        let bells = Bells::default();
        let config = ReceiverConfig {
            listen: callback.listen.clone(),
            path: callback.path()?,
            header: callback.header().to_owned(),
            secret: secret.clone(),
            max_body_bytes: MAX_BODY_BYTES,
            tls: tls_of(&callback.certificate, &callback.key),
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
        Ok(Self {
            url: callback.public_url.clone(),
            header: callback.header().to_owned(),
            secret,
            bells,
            _receiver: receiver,
        })
    }

    /// Where a job is to call.
    pub(crate) fn to(&self) -> CallbackTo<'_> {
        CallbackTo {
            url: &self.url,
            header: &self.header,
            secret: &self.secret,
        }
    }

    /// What rings for a job.
    pub(crate) fn bell(&self, id: &str) -> Bell {
        self.bells.bell(id)
    }
}

/// A job that nobody waits for is answered like any other: a caller learns nothing.
fn ring(bells: &Bells, body: &Bytes) -> Reply {
    let Ok(job) = serde_json::from_slice::<Job>(body) else {
        return Reply::Malformed;
    };
    bells.ring(&job.id);
    Reply::Taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_rings_for_its_job() {
        let bells = Bells::default();
        let bell = bells.bell("7");
        let body = Bytes::from_static(br#"{"job_id":7,"status":"Completed"}"#);
        assert_eq!(ring(&bells, &body), Reply::Taken);
        bell.notify().notified().await;
        assert_eq!(ring(&bells, &Bytes::from_static(b"[]")), Reply::Malformed);
    }
}
