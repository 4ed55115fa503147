//! What a file holds. A content is put together from pieces that can be read at any place, so that a
//! file of gigabytes takes no memory.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use futures_util::stream;
use serde_json::{Value, json};

use crate::server::Held;

/// Bytes that are made at once.
const CHUNK: u64 = 64 << 10;

/// Characters of a made-up number with the comma behind it: `0.123456,`.
const NUMBER_WIDTH: u64 = 9;

/// Content up to this size is squeezed as a whole; of a larger one the bytes are only put into the frame.
const SQUEEZED_WHOLE: u64 = 16 << 20;

/// Bytes of a block of a larger one.
const BLOCK: u64 = 32 << 10;

/// How a file of gzip begins that has no name and no time.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Bytes),
    /// Bytes that their place and a seed decide.
    Pattern {
        seed: u64,
        length: u64,
    },
    /// Numbers between 0 and 1, with commas between them.
    Numbers {
        seed: u64,
        count: u64,
    },
}

impl Content {
    pub(super) fn bytes(bytes: impl Into<Bytes>) -> Content {
        Content::default().then_bytes(bytes)
    }

    pub(super) fn pattern(seed: u64, length: u64) -> Content {
        Content {
            pieces: vec![Piece::Pattern { seed, length }],
        }
    }

    pub(super) fn then_bytes(mut self, bytes: impl Into<Bytes>) -> Content {
        self.pieces.push(Piece::Bytes(bytes.into()));
        self
    }

    pub(super) fn then_numbers(mut self, seed: u64, count: u64) -> Content {
        self.pieces.push(Piece::Numbers { seed, count });
        self
    }

    /// What becomes of it with a new version: JSON gets a member, a text a line, other bytes differ.
    pub(super) fn revised(&self, version: usize) -> Content {
        let revised = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => match serde_json::from_slice(bytes) {
                Ok(Value::Object(mut members)) => {
                    members.insert("revision".to_owned(), json!(version));
                    Piece::Bytes(Value::Object(members).to_string().into())
                }
                _ => {
                    let line = format!("revision {version}\n");
                    Piece::Bytes([bytes.as_ref(), line.as_bytes()].concat().into())
                }
            },
            Piece::Pattern { seed, length } => Piece::Pattern {
                seed: scramble(*seed),
                length: *length,
            },
            Piece::Numbers { seed, count } => Piece::Numbers {
                seed: scramble(*seed),
                count: *count,
            },
        };
        Content {
            pieces: self.pieces.iter().map(revised).collect(),
        }
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }

    /// At most `most` bytes from a place on; none at the end.
    pub(super) fn read(&self, place: u64, most: u64) -> Bytes {
        let mut before = 0;
        for piece in &self.pieces {
            let length = piece.length();
            if place < before + length {
                return piece.read(place - before, most.min(before + length - place));
            }
            before += length;
        }
        Bytes::new()
    }

    /// All of it.
    pub(super) fn whole(&self) -> Bytes {
        let mut whole = Vec::new();
        let mut place = 0;
        loop {
            let chunk = self.read(place, CHUNK);
            if chunk.is_empty() {
                return whole.into();
            }
            place += chunk.len() as u64;
            whole.extend_from_slice(&chunk);
        }
    }

    /// The bytes `from..to` as a body that is made while it is read. What is held is let go once the last
    /// byte is made.
    pub(super) fn body(self, from: u64, to: u64, held: Option<Held>) -> Body {
        let held = held.filter(|_| from < to);
        Body::from_stream(stream::unfold(
            (self, from, held),
            move |(content, place, held)| async move {
                let chunk = content.read(place, CHUNK.min(to.saturating_sub(place)));
                if chunk.is_empty() {
                    return None;
                }
                let place = place + chunk.len() as u64;
                let held = held.filter(|_| place < to);
                Some((Ok::<Bytes, std::io::Error>(chunk), (content, place, held)))
            },
        ))
    }

    /// The content squeezed by gzip: how many bytes it has then, and the body.
    pub(super) fn squeezed_body(self, held: Option<Held>) -> (u64, Body) {
        if self.length() <= SQUEEZED_WHOLE {
            let squeezed = self.squeezed();
            return (squeezed.len() as u64, Body::from(squeezed));
        }
        let length = self.squeezed_length();
        let blocks = Blocks {
            content: self,
            place: None,
            sum: Crc::new(),
            held,
        };
        let chunks = stream::unfold(blocks, |mut blocks| async move {
            let chunk = blocks.next()?;
            Some((Ok::<Bytes, std::io::Error>(chunk), blocks))
        });
        (length, Body::from_stream(chunks))
    }

    /// How many bytes it has when it is squeezed.
    pub(super) fn squeezed_length(&self) -> u64 {
        let length = self.length();
        if length <= SQUEEZED_WHOLE {
            return self.squeezed().len() as u64;
        }
        let frame = GZIP_HEAD.len() as u64 + 8;
        frame + length + length.div_ceil(BLOCK) * 5
    }

    /// Whether it is one JSON document.
    pub(super) fn is_json(&self) -> bool {
        match self.pieces.as_slice() {
            [Piece::Bytes(bytes)] => {
                matches!(bytes.first(), Some(b'{' | b'['))
                    && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
            }
            _ => false,
        }
    }

    fn squeezed(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder
            .write_all(&self.whole())
            .expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    }
}

/// A large content in the frame of gzip, whose blocks are the plain bytes: so its length is known before
/// it is made.
struct Blocks {
    content: Content,
    /// None before the head.
    place: Option<u64>,
    sum: Crc,
    held: Option<Held>,
}

impl Blocks {
    fn next(&mut self) -> Option<Bytes> {
        let length = self.content.length();
        let Some(place) = self.place else {
            self.place = Some(0);
            return Some(Bytes::from_static(&GZIP_HEAD));
        };
        if place > length {
            return None;
        }
        if place == length {
            self.place = Some(length + 1);
            self.held = None;
            // The length is told modulo 2^32.
            let sizes = [self.sum.sum(), self.sum.amount()];
            return Some(sizes.map(u32::to_le_bytes).concat().into());
        }
        let size = BLOCK.min(length - place);
        let mut made = vec![u8::from(place + size == length)];
        let told = u16::try_from(size).unwrap_or(u16::MAX);
        made.extend(told.to_le_bytes());
        made.extend((!told).to_le_bytes());
        let (mut place, end) = (place, place + size);
        while place < end {
            let bytes = self.content.read(place, end - place);
            self.sum.update(&bytes);
            place += bytes.len() as u64;
            made.extend_from_slice(&bytes);
        }
        self.place = Some(end);
        Some(made.into())
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Pattern { length, .. } => *length,
            Piece::Numbers { count, .. } => (count * NUMBER_WIDTH).saturating_sub(1),
        }
    }

    /// Some bytes from a place inside of the piece on; at least one if `most` is not 0.
    fn read(&self, place: u64, most: u64) -> Bytes {
        match self {
            Piece::Bytes(bytes) => {
                let from = as_size(place).min(bytes.len());
                let to = from.saturating_add(as_size(most)).min(bytes.len());
                bytes.slice(from..to)
            }
            Piece::Pattern { seed, .. } => pattern(*seed, place, most),
            Piece::Numbers { seed, .. } => numbers(*seed, place, most),
        }
    }
}

/// A block is the same noise each time, with its number in front.
fn pattern(seed: u64, place: u64, most: u64) -> Bytes {
    const NOISE: usize = 1 << 10;
    let block = place / CHUNK;
    let mut noise = Vec::with_capacity(NOISE);
    for word in 0..NOISE as u64 / 8 {
        noise.extend_from_slice(&scramble(seed.wrapping_add(word)).to_le_bytes());
    }
    let mut made = Vec::with_capacity(as_size(CHUNK));
    while made.len() < as_size(CHUNK) {
        made.extend_from_slice(&noise);
    }
    for (byte, digit) in made.iter_mut().zip(scramble(seed ^ block).to_le_bytes()) {
        *byte = digit;
    }
    let from = as_size(place % CHUNK);
    let to = from.saturating_add(as_size(most)).min(made.len());
    Bytes::from(made).slice(from..to)
}

fn numbers(seed: u64, place: u64, most: u64) -> Bytes {
    let first = place / NUMBER_WIDTH;
    let skipped = as_size(place % NUMBER_WIDTH);
    let count = most.min(CHUNK) / NUMBER_WIDTH + 2;
    let mut text = String::with_capacity(as_size(count * NUMBER_WIDTH));
    for number in first..first + count {
        let digits = scramble(seed.wrapping_add(number)) % 1_000_000;
        text.push_str(&format!("0.{digits:06},"));
    }
    let to = skipped.saturating_add(as_size(most)).min(text.len());
    Bytes::from(text).slice(skipped..to)
}

fn as_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The finalizer of SplitMix64.
pub(super) fn scramble(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_place_reads_the_same_bytes() {
        let content = Content::bytes("[").then_numbers(7, 20_000).then_bytes("]");
        let whole = content.whole();
        assert_eq!(whole.len() as u64, content.length());
        let numbers: Vec<f64> = serde_json::from_slice(&whole).unwrap();
        assert_eq!(numbers.len(), 20_000);
        let pattern = Content::pattern(3, 200_000);
        for content in [content, pattern] {
            let whole = content.whole();
            for place in [0, 1, 8, 9, 65_530, 65_536, 131_079, content.length() - 1] {
                let read = content.read(place, 100);
                assert!(!read.is_empty());
                let from = place as usize;
                assert_eq!(read, whole[from..from + read.len()], "{place}");
            }
            assert!(content.read(content.length(), 1).is_empty());
        }
    }

    #[test]
    fn a_new_version_differs_and_stays_what_it_is() {
        let revised = |content: Content| content.revised(2).whole();
        assert_eq!(
            revised(Content::bytes(r#"{"a":1}"#)),
            r#"{"a":1,"revision":2}"#
        );
        assert_eq!(revised(Content::bytes("a\n")), "a\nrevision 2\n");
        let noise = Content::pattern(1, 10);
        assert_eq!(revised(noise.clone()).len(), 10);
        assert_ne!(revised(noise.clone()), noise.whole());
    }

    #[test]
    fn a_squeezed_content_unpacks_to_itself() {
        let content = Content::pattern(1, 100_000);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&content.squeezed()[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, content.whole());
    }

    #[tokio::test]
    async fn a_large_content_is_squeezed_while_it_is_read() {
        let content = Content::bytes("head").then_numbers(5, 2_000_000);
        let told = content.squeezed_length();
        let (length, body) = content.clone().squeezed_body(None);
        let squeezed = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!((length, squeezed.len() as u64), (told, told));
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&squeezed[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, content.whole());
        // The length of what nobody could squeeze in a test is known too.
        let large = Content::pattern(1, 5_000_000_000).squeezed_length();
        assert!((5_000_000_000..5_001_000_000).contains(&large), "{large}");
    }

    #[tokio::test]
    async fn what_is_held_is_let_go_with_the_last_byte() {
        use futures_util::StreamExt;
        let mark = std::sync::Arc::new(());
        let held = Held(std::sync::Arc::clone(&mark) as _);
        let length = 3 * CHUNK;
        let body = Content::pattern(1, length).body(0, length, Some(held));
        let mut chunks = body.into_data_stream();
        let mut counts = Vec::new();
        while chunks.next().await.is_some() {
            counts.push(std::sync::Arc::strong_count(&mark));
        }
        assert_eq!(counts, [2, 2, 1]);
    }
}
