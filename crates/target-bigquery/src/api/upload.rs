//! Uploads of load jobs: a session, pieces, and where to go on after a piece was lost.

use serde_json::Value;
use singer_core::{Error, Kind as ErrorKind};
use singer_net::{Answer, Backoff, Bytes, Method, Request, StatusCode, Url, backoff};

use super::jobs::Job;
use super::resources::bytes;
use super::{Api, Fault, Refused};

/// Sessions that are begun for one upload at most.
const SESSIONS: u32 = 4;

/// How a piece, or the question how far the upload is, was answered.
enum Progress {
    /// The upload is whole, and the job exists.
    Done(Job),
    /// So many bytes have arrived.
    Stored(usize),
    /// The session is no longer known.
    Lost,
}

impl Api {
    /// Uploads the file of a load job. The job's id makes it safe to begin anew: if an upload whose
    /// answer was lost had been whole, its id is known, and the refusal says `duplicate`.
    pub(super) async fn upload(&self, what: &str, job: &Value, data: &Bytes) -> Result<Job, Fault> {
        for session in 1..=SESSIONS {
            let url = self.begin_upload(what, job, data.len()).await?;
            if let Some(job) = self.pieces(what, &url, data).await? {
                return Ok(job);
            }
            tracing::debug!(
                what,
                session,
                "the upload's session is gone; a new one is begun"
            );
        }
        Err(Fault::Other(Error::transient(format!(
            "{what}: the sessions of its upload were lost {SESSIONS} times"
        ))))
    }

    async fn begin_upload(&self, what: &str, job: &Value, length: usize) -> Result<Url, Fault> {
        let segments = [
            "upload",
            "bigquery",
            "v2",
            "projects",
            self.project(),
            "jobs",
        ];
        let mut url = self.client.base().url(&segments)?;
        url.set_query(Some("uploadType=resumable"));
        let request = Request::post_json(url.clone(), bytes(job))
            .header("x-upload-content-type", "application/octet-stream")
            .text_header("x-upload-content-length", &length.to_string())?;
        let answer = self.call(what, request).await?;
        let place = answer
            .headers
            .get("location")
            .and_then(|place| place.to_str().ok());
        place.and_then(|place| url.join(place).ok()).ok_or_else(|| {
            Fault::Other(Error::protocol(format!(
                "{what}: the answer names no place for the upload"
            )))
        })
    }

    /// Sends what is missing; `None` if the session is gone.
    async fn pieces(&self, what: &str, url: &Url, data: &Bytes) -> Result<Option<Job>, Fault> {
        let mut at = 0;
        let mut vain = 0;
        loop {
            let mut failure = None;
            let progress = match self.piece(what, url, data, at).await {
                Err(Fault::Other(error)) if error.kind() == ErrorKind::Transient => {
                    // Nothing is known of this piece; the session knows.
                    tracing::debug!(what, %error, "a piece of an upload was not answered");
                    failure = Some(error);
                    self.how_far(what, url, data.len()).await?
                }
                answered => answered?,
            };
            let stored = match progress {
                Progress::Done(job) => return Ok(Some(job)),
                Progress::Lost => return Ok(None),
                Progress::Stored(stored) => stored,
            };
            if stored > data.len() {
                return Err(Fault::Other(Error::protocol(format!(
                    "{what}: more bytes arrived than were sent"
                ))));
            }
            if stored > at {
                vain = 0;
            } else {
                vain += 1;
                if vain >= self.attempts {
                    let error = Error::transient(format!("{what}: the upload goes no further"));
                    return Err(Fault::Other(match failure {
                        Some(failure) => error.with_source(failure),
                        None => error,
                    }));
                }
                let wait = Backoff::default().wait(vain, None, backoff::chance());
                tokio::time::sleep(wait).await;
            }
            at = stored;
        }
    }

    async fn piece(
        &self,
        what: &str,
        url: &Url,
        data: &Bytes,
        at: usize,
    ) -> Result<Progress, Fault> {
        let end = (at + self.chunk_bytes).min(data.len());
        if at == end && at > 0 {
            return self.how_far(what, url, data.len()).await;
        }
        let range = match end {
            0 => "bytes */0".to_owned(),
            end => format!("bytes {at}-{}/{}", end - 1, data.len()),
        };
        let request = put(url, data.slice(at..end), &range)?;
        // A piece is tried once: what became of it decides what is sent next.
        let answer = self.once(what, request).await?;
        progress(what, &answer)
    }

    async fn how_far(&self, what: &str, url: &Url, length: usize) -> Result<Progress, Fault> {
        let request = put(url, Bytes::new(), &format!("bytes */{length}"))?;
        let answer = self.exchange(what, |_| request.clone()).await?;
        progress(what, &answer)
    }
}

fn put(url: &Url, body: Bytes, range: &str) -> Result<Request, Error> {
    Request::with_body(Method::PUT, url.clone(), "application/octet-stream", body)
        .text_header("content-range", range)
}

fn progress(what: &str, answer: &Answer) -> Result<Progress, Fault> {
    if answer.status.is_success() {
        let json = answer.json().ok_or_else(|| {
            Error::transient(format!("{what}: the answer is no JSON"))
                .with_source(answer.cause(&[]))
        })?;
        return Job::of(&json).map(Progress::Done);
    }
    if answer.status == StatusCode::PERMANENT_REDIRECT {
        let range = answer
            .headers
            .get("range")
            .and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.rsplit_once('-')?.1.trim().parse::<usize>().ok());
        // Without the header nothing has arrived.
        return Ok(Progress::Stored(last.map_or(0, |last| last + 1)));
    }
    let refused = Refused::of(answer);
    let is_gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE)
        || (answer.status == StatusCode::BAD_REQUEST && refused.says("invalid euc header"));
    if is_gone {
        return Ok(Progress::Lost);
    }
    Err(Fault::Refused(refused))
}
