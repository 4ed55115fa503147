//! Reading request bodies: collected up to a limit, or only counted.

use axum::body::Body;
use futures_util::{StreamExt, stream};
use memchr::memmem;

use crate::line::Line;

/// How far a body that is too large is read on, so that the client gets to read the answer.
const DRAIN_LIMIT: usize = 256 << 20;

/// Why a body was not collected.
#[derive(Debug, PartialEq)]
pub(crate) enum BodyError {
    /// It is over the limit.
    TooLarge,
    /// The client went away.
    Broken,
}

/// Collects a body of at most `limit` bytes.
pub(crate) async fn collect(body: Body, declared: u64, limit: usize) -> Result<Vec<u8>, BodyError> {
    let expected = usize::try_from(declared).unwrap_or(usize::MAX);
    let mut collected = Vec::with_capacity(expected.min(limit));
    let mut frames = body.into_data_stream();
    let mut length = 0usize;
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        length += frame.len();
        if length <= limit {
            collected.extend_from_slice(&frame);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > limit {
        Err(BodyError::TooLarge)
    } else {
        Ok(collected)
    }
}

/// Reads a body to its end and counts how often a text occurs in it, and its bytes.
pub(crate) async fn count_occurrences(
    body: Body,
    needle: &str,
) -> Result<(usize, usize), BodyError> {
    let mut counter = Counter::new(needle);
    let mut frames = body.into_data_stream();
    let mut length = 0;
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        length += frame.len();
        counter.feed(&frame);
    }
    Ok((counter.count, length))
}

/// Reads a body to its end, within reason, so that an early answer reaches the client.
pub(crate) async fn drain(body: Body) {
    let mut frames = body.into_data_stream();
    let mut length = 0usize;
    while let Some(Ok(frame)) = frames.next().await {
        length += frame.len();
        if length > DRAIN_LIMIT {
            break;
        }
    }
}

/// A body that breaks off behind so many bytes, as the connection then does.
pub(crate) fn cut_off(whole: Body, bytes: usize, line: Option<Line>) -> Body {
    let frames = whole.into_data_stream();
    let rest = stream::unfold(
        (frames, Some(bytes), line),
        |(mut frames, left, line)| async move {
            let left = left?;
            match frames.next().await? {
                Ok(frame) if frame.len() <= left => {
                    let left = left - frame.len();
                    Some((Ok(frame), (frames, Some(left), line)))
                }
                Ok(frame) if left > 0 => Some((Ok(frame.slice(..left)), (frames, Some(0), line))),
                _ => {
                    if let Some(line) = &line {
                        line.reset();
                    }
                    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    Some((Err(axum::Error::new(broken)), (frames, None, line)))
                }
            }
        },
    );
    Body::from_stream(rest)
}

/// Counts a text in a stream of chunks, also where a chunk ends inside it.
struct Counter<'needle> {
    finder: memmem::Finder<'needle>,
    /// The end of the last chunk, shorter than the needle.
    tail: Vec<u8>,
    count: usize,
}

impl<'needle> Counter<'needle> {
    fn new(needle: &'needle str) -> Counter<'needle> {
        Counter {
            finder: memmem::Finder::new(needle),
            tail: Vec::new(),
            count: 0,
        }
    }

    fn feed(&mut self, chunk: &[u8]) {
        let overlap = self.finder.needle().len().saturating_sub(1);
        let head = chunk.get(..overlap).unwrap_or(chunk);
        self.tail.extend_from_slice(head);
        self.count += self.finder.find_iter(&self.tail).count();
        if chunk.len() >= overlap {
            self.count += self.finder.find_iter(chunk).count();
            self.tail.clear();
            self.tail.extend_from_slice(&chunk[chunk.len() - overlap..]);
        } else {
            let surplus = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_counted_across_chunks_of_any_size() {
        let text = br#"[{"values":{}},{"x":"valu"},{"values":{"values":1}}]"#;
        for size in 1..text.len() {
            let mut counter = Counter::new("\"values\"");
            for chunk in text.chunks(size) {
                counter.feed(chunk);
            }
            assert_eq!(counter.count, 3, "{size}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_told_from_one_at_it() {
        let body = || Body::from("12345");
        assert_eq!(collect(body(), 5, 5).await.unwrap(), b"12345");
        assert_eq!(collect(body(), 5, 4).await, Err(BodyError::TooLarge));
    }
}
