//! Jobs with a body: in one request, or resumable over several. Facts: section 5.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use memchr::memmem;
use serde_json::{Map, Value};

use super::BigQuery;
use super::access::Resource;
use super::answer::ApiError;
use super::job::JobKey;
use super::job_api;
use super::request::{Parameters, WholeBody, object};
use crate::faults::OwnFaults;

/// Chunks but the last are multiples of this, and this is what a broken one leaves.
const CHUNK: usize = 256 << 10;

/// Uploads that were begun, by the id in their address.
#[derive(Default)]
pub(crate) struct Uploads(HashMap<String, Upload>);

/// An upload that was begun.
struct Upload {
    project: String,
    job: Map<String, Value>,
    begun_ms: u64,
    data: Vec<u8>,
    /// The job that came of it.
    done: Option<JobKey>,
}

impl Uploads {
    /// Forgets all uploads, as after a week.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// `POST …/jobs?uploadType=…`.
pub(crate) async fn begin(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    OriginalUri(uri): OriginalUri,
    parameters: Parameters,
    own: Option<Extension<OwnFaults>>,
    headers: HeaderMap,
    body: WholeBody,
) -> Result<Response, ApiError> {
    match parameters.get("uploadType").map(String::as_str) {
        Some("multipart") => {
            let (job, data) = multipart(&headers, &body.0)?;
            let (key, _) = job_api::submit(&bigquery, &project, &job, Some(data), own.as_deref())?;
            Ok(job_api::show(&bigquery, &key)?.into_response())
        }
        Some("resumable") => {
            let job = body.object()?;
            let id = open(&bigquery, project, job)?;
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .or_else(|| uri.authority().map(|authority| authority.as_str()))
                .unwrap_or("localhost");
            let location = format!(
                "http://{host}{}?uploadType=resumable&upload_id={id}",
                uri.path()
            );
            let location = HeaderValue::from_str(&location)
                .map_err(|_| ApiError::invalid("the address of the upload is no header"))?;
            let mut response = StatusCode::OK.into_response();
            response.headers_mut().insert(header::LOCATION, location);
            Ok(response)
        }
        _ => Err(ApiError::invalid(
            "Invalid value for uploadType: multipart or resumable expected",
        )),
    }
}

/// `PUT` to the address of an upload: a chunk, or the question how far it is.
pub(crate) async fn resume(
    State(bigquery): State<Arc<BigQuery>>,
    parameters: Parameters,
    own: Option<Extension<OwnFaults>>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = parameters.get("upload_id").cloned().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let range = parts
        .headers
        .get(header::CONTENT_RANGE)
        .map(|range| {
            range
                .to_str()
                .ok()
                .and_then(ContentRange::parse)
                .ok_or_else(|| ApiError::invalid("Invalid value for Content-Range"))
        })
        .transpose()?;
    let (chunk, is_whole) = read(body).await;
    let finished = {
        let mut store = bigquery.store();
        let seconds = bigquery.options.upload_seconds;
        let now_ms = bigquery.now_ms();
        let upload = store
            .uploads
            .0
            .get_mut(&id)
            .filter(|upload| upload.begun_ms + seconds * 1000 > now_ms)
            .ok_or_else(|| ApiError::not_found("Upload session"))?;
        upload.take(range, &chunk, is_whole)?
    };
    if !finished {
        return progress(&bigquery, &id);
    }
    let key = finish(&bigquery, &id, own.as_deref())?;
    Ok(job_api::show(&bigquery, &key)?.into_response())
}

impl Upload {
    /// Takes a chunk in; true if it was the last.
    fn take(
        &mut self,
        range: Option<ContentRange>,
        chunk: &[u8],
        is_whole: bool,
    ) -> Result<bool, ApiError> {
        if self.done.is_some() {
            return Ok(true);
        }
        let Some(range) = range else {
            // All of it in one request.
            self.data = chunk.to_vec();
            self.keep_whole_chunks(is_whole);
            return Ok(is_whole);
        };
        let Some((start, end)) = range.bytes else {
            return Ok(range.total == Some(self.data.len()));
        };
        if start > self.data.len() {
            return Err(ApiError::invalid(format!(
                "Invalid request. The chunk begins at byte {start}, but {} bytes were received so far.",
                self.data.len()
            )));
        }
        let known = self.data.len() - start;
        self.data
            .extend_from_slice(chunk.get(known..).unwrap_or_default());
        let declared = end + 1 - start;
        if !is_whole || chunk.len() < declared {
            self.keep_whole_chunks(false);
            return Ok(false);
        }
        if chunk.len() > declared || range.total.is_some_and(|total| end >= total) {
            return Err(ApiError::invalid(
                "Invalid request. The body does not have the length that Content-Range says.",
            ));
        }
        let is_last = range.total == Some(end + 1);
        if !is_last && declared % CHUNK != 0 {
            self.data.truncate(start);
            return Err(ApiError::invalid(format!(
                "Invalid request.  The number of bytes uploaded is required to be equal or greater than {CHUNK}, except for the final request (it's recommended to be the exact multiple of {CHUNK}).  The received request contained {declared} bytes, which does not meet this requirement."
            )));
        }
        Ok(is_last)
    }

    /// Of a chunk that broke off, the service keeps what makes a whole multiple.
    fn keep_whole_chunks(&mut self, is_whole: bool) {
        if !is_whole {
            let kept = self.data.len() - self.data.len() % CHUNK;
            self.data.truncate(kept);
        }
    }
}

/// `bytes a-b/total`, `bytes a-b/*`, `bytes */*` and `bytes */total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    bytes: Option<(usize, usize)>,
    total: Option<usize>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<ContentRange> {
        let (bytes, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (start, end) = bytes.split_once('-')?;
                let (start, end) = (start.parse().ok()?, end.parse().ok()?);
                (start <= end).then_some(())?;
                Some((start, end))
            }
        };
        Some(ContentRange { bytes, total })
    }
}

fn open(bigquery: &BigQuery, project: String, job: Map<String, Value>) -> Result<String, ApiError> {
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.jobs.create", Resource::Project(&project))?;
    let id = format!("upload{}", store.next_id());
    let upload = Upload {
        project,
        job,
        begun_ms: bigquery.now_ms(),
        data: Vec::new(),
        done: None,
    };
    store.uploads.0.insert(id.clone(), upload);
    Ok(id)
}

/// 308 with the bytes that are safe.
fn progress(bigquery: &BigQuery, id: &str) -> Result<Response, ApiError> {
    let store = bigquery.store();
    let received = store
        .uploads
        .0
        .get(id)
        .map_or(0, |upload| upload.data.len());
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    if let Some(last) = received.checked_sub(1) {
        let range = HeaderValue::from_str(&format!("bytes=0-{last}"))
            .map_err(|_| ApiError::invalid("the range is no header"))?;
        response.headers_mut().insert(header::RANGE, range);
    }
    Ok(response)
}

/// Makes the job of an upload that is complete, once.
fn finish(bigquery: &BigQuery, id: &str, own: Option<&OwnFaults>) -> Result<JobKey, ApiError> {
    let (project, job, data) = {
        let mut store = bigquery.store();
        let upload = store
            .uploads
            .0
            .get_mut(id)
            .ok_or_else(|| ApiError::not_found("Upload session"))?;
        if let Some(key) = &upload.done {
            return Ok(key.clone());
        }
        let data = std::mem::take(&mut upload.data);
        (upload.project.clone(), upload.job.clone(), data)
    };
    match job_api::submit(bigquery, &project, &job, Some(data), own) {
        Ok((key, _)) => {
            if let Some(upload) = bigquery.store().uploads.0.get_mut(id) {
                upload.done = Some(key.clone());
            }
            Ok(key)
        }
        Err(error) => {
            bigquery.store().uploads.0.remove(id);
            Err(error)
        }
    }
}

/// What came of a body, and whether that was all of it.
async fn read(body: Body) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

/// The two parts of a `multipart/related` body: the job and its data.
fn multipart(headers: &HeaderMap, body: &[u8]) -> Result<(Map<String, Value>, Vec<u8>), ApiError> {
    let bad = |what: &str| ApiError::invalid(format!("Invalid multipart request: {what}"));
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type.starts_with("multipart/") {
        return Err(bad("the content type is not multipart/related"));
    }
    let boundary = content_type
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches(['"', '\'']))
        .ok_or_else(|| bad("the content type names no boundary"))?;
    let delimiter = format!("\r\n--{boundary}");
    let opening = format!("--{boundary}");
    // The first boundary may stand at the very beginning.
    let start = memmem::find(body, opening.as_bytes()).ok_or_else(|| bad("no boundary"))?;
    let mut rest = body.get(start + opening.len()..).unwrap_or_default();
    let mut parts = Vec::new();
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        let end =
            memmem::find(after, delimiter.as_bytes()).ok_or_else(|| bad("a part has no end"))?;
        let part = after.get(..end).unwrap_or_default();
        let head = memmem::find(part, b"\r\n\r\n").ok_or_else(|| bad("a part has no headers"))?;
        parts.push(part.get(head + 4..).unwrap_or_default());
        rest = after.get(end + delimiter.len()..).unwrap_or_default();
    }
    if !rest.starts_with(b"--") {
        return Err(bad("the last boundary is missing"));
    }
    match parts.as_slice() {
        [job, data] => Ok((object(job)?, data.to_vec())),
        _ => Err(bad("two parts are expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |bytes, total| Some(ContentRange { bytes, total });
        assert_eq!(
            ContentRange::parse("bytes 0-9/*"),
            range(Some((0, 9)), None)
        );
        assert_eq!(
            ContentRange::parse("bytes 5-9/10"),
            range(Some((5, 9)), Some(10))
        );
        assert_eq!(ContentRange::parse("bytes */*"), range(None, None));
        assert_eq!(ContentRange::parse("bytes */7"), range(None, Some(7)));
        assert_eq!(ContentRange::parse("bytes 9-5/10"), None);
    }

    #[test]
    fn a_multipart_body_has_a_job_and_data() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("multipart/related; boundary=\"B\""),
        );
        let body = b"--B\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--B\r\nContent-Type: */*\r\n\r\nx\r\ny\r\n--B--\r\n";
        let (job, data) = multipart(&headers, body).unwrap();
        assert_eq!(
            (job["a"].as_u64(), data.as_slice()),
            (Some(1), &b"x\r\ny"[..])
        );
        assert!(multipart(&headers, b"--B\r\n\r\n{}\r\n").is_err());
    }
}
