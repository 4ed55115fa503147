//! Lines out of an input: a thread of its own reads blocks ahead, so that the thread that decodes
//! lines never waits for the pipe while there is work.
//!
//! Lines end with `\n` or `\r\n`; a byte order mark before the first, blank lines and a last line
//! without an end are accepted.

use std::io::{self, ErrorKind, Read};

use memchr::memchr;
use singer_core::{Error, Result};
use tokio::sync::mpsc;

/// Bytes that are asked for at first, as many as a pipe usually holds.
const LEAST_BLOCK_BYTES: usize = 64 * 1024;

/// Bytes that are asked for at once at most; a file gives this much.
const BLOCK_BYTES: usize = 256 * 1024;

/// Blocks that wait between the two threads.
const BLOCKS_AHEAD: usize = 4;

/// The longest line that is accepted unless a caller says otherwise: 100 MiB, as much as Meltano's
/// own buffer holds.
pub const MAX_LINE_BYTES: usize = 100 * 1024 * 1024;

/// The blocks of an input, read ahead by a thread.
#[derive(Debug)]
pub struct Blocks {
    full: mpsc::Receiver<io::Result<Vec<u8>>>,
    empty: mpsc::Sender<Vec<u8>>,
}

impl Blocks {
    /// Starts the thread. It ends with the input, or when nobody listens any more; if it is then
    /// inside a read that never returns, it ends with the process.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(input: impl Read + Send + 'static) -> Result<Self> {
        let (full_sender, full) = mpsc::channel(BLOCKS_AHEAD);
        let (empty, empty_receiver) = mpsc::channel(BLOCKS_AHEAD);
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn(move || read_blocks(input, &full_sender, empty_receiver))
            .map_err(|error| {
                Error::internal("cannot start the thread that reads the input").with_source(error)
            })?;
        Ok(Self { full, empty })
    }

    /// The next block; `None` at the end of the input. Can be dropped while it waits.
    pub async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.full.recv().await
    }

    /// Gives a block's memory back.
    pub fn give_back(&self, block: Vec<u8>) {
        // The reader makes a new one if this one finds no room.
        drop(self.empty.try_send(block));
    }
}

fn read_blocks(
    mut input: impl Read,
    full: &mpsc::Sender<io::Result<Vec<u8>>>,
    mut empty: mpsc::Receiver<Vec<u8>>,
) {
    let mut size = LEAST_BLOCK_BYTES;
    loop {
        let mut block = empty.try_recv().unwrap_or_default();
        block.resize(size, 0);
        // What one read brings is handed over at once: the next read may wait for ever, and a STATE
        // may stand in what came.
        match input.read(&mut block) {
            Ok(0) => return,
            Ok(count) => {
                // A file fills every block, and larger ones are cheaper; a pipe holds no more than it does.
                size = if count == size {
                    size * 2
                } else {
                    count.next_power_of_two()
                };
                size = size.clamp(LEAST_BLOCK_BYTES, BLOCK_BYTES);
                block.truncate(count);
                if full.blocking_send(Ok(block)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                // Nobody listens any more: then nobody wants to know.
                drop(full.blocking_send(Err(error)));
                return;
            }
        }
    }
}

/// Cuts blocks into lines. A line that goes on in the next block is kept until it is whole.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    number: u64,
    max_bytes: usize,
}

impl Lines {
    /// Lines of `max_bytes` at most.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            partial: Vec::new(),
            number: 0,
            max_bytes,
        }
    }

    /// The next line of `block` from `at` on with its number, counted from 1; `at` moves behind it.
    /// `None` once the block is used up.
    ///
    /// # Errors
    /// If a line is longer than the bound.
    pub fn next<'a>(
        &'a mut self,
        block: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<(u64, &'a [u8])>> {
        self.forget_whole_line();
        loop {
            let rest = &block[*at..];
            let Some(end) = memchr(b'\n', rest) else {
                self.partial.extend_from_slice(rest);
                *at = block.len();
                self.check_length(self.partial.len())?;
                return Ok(None);
            };
            *at += end + 1;
            self.check_length(self.partial.len() + end)?;
            self.number += 1;
            if self.partial.is_empty() {
                let line = trimmed(&rest[..end], self.number);
                if !line.is_empty() {
                    return Ok(Some((self.number, line)));
                }
                continue;
            }
            self.partial.extend_from_slice(&rest[..=end]);
            if trimmed(&self.partial, self.number).is_empty() {
                self.partial.clear();
                continue;
            }
            return Ok(Some((self.number, trimmed(&self.partial, self.number))));
        }
    }

    /// How many lines there were so far, blank ones too.
    pub fn count(&self) -> u64 {
        self.number
    }

    /// The last line, if the input ended without a line end.
    pub fn last(&mut self) -> Option<(u64, &[u8])> {
        self.forget_whole_line();
        if self.partial.is_empty() {
            return None;
        }
        self.number += 1;
        let line = trimmed(&self.partial, self.number);
        (!line.is_empty()).then_some((self.number, line))
    }

    /// Clears a line that was handed out: only a whole one ends with its line end.
    fn forget_whole_line(&mut self) {
        if self.partial.last() == Some(&b'\n') {
            self.partial.clear();
        }
    }

    fn check_length(&self, bytes: usize) -> Result<()> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        Err(Error::protocol(format!(
            "line {}: longer than {} bytes",
            self.number + 1,
            self.max_bytes
        ))
        .with_hint("a line that long is most likely not a Singer message"))
    }
}

/// A line without white space around it, and without the byte order mark before the first.
fn trimmed(line: &[u8], number: u64) -> &[u8] {
    let line = match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if number == 1 => rest,
        _ => line,
    };
    line.trim_ascii()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// All lines with their numbers, the text cut into blocks of `size` bytes.
    fn lines(text: &[u8], size: usize, max_bytes: usize) -> Result<Vec<(u64, String)>> {
        let mut lines = Lines::new(max_bytes);
        let mut found = Vec::new();
        let text_of = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        for block in text.chunks(size) {
            let mut at = 0;
            while let Some((number, line)) = lines.next(block, &mut at)? {
                found.push((number, text_of(line)));
            }
        }
        if let Some((number, line)) = lines.last() {
            found.push((number, text_of(line)));
        }
        Ok(found)
    }

    #[test]
    fn line_ends_marks_and_blank_lines_are_tolerated() {
        let text = "\u{feff}one\r\n\n \t\ntwo\nthree \u{feff}é".as_bytes();
        for size in 1..=text.len() {
            assert_eq!(
                lines(text, size, 100).unwrap(),
                [
                    (1, "one".to_owned()),
                    (4, "two".to_owned()),
                    (5, "three \u{feff}é".to_owned())
                ],
                "{size}"
            );
        }
        assert_eq!(lines(b"", 1, 10).unwrap(), []);
        assert_eq!(lines(b"a\n\n \n", 2, 10).unwrap(), [(1, "a".to_owned())]);
    }

    #[test]
    fn a_line_over_the_bound_is_an_error_that_names_it() {
        for size in [1, 3, 100] {
            let error = lines(b"ok\nabcdef\n", size, 5).unwrap_err();
            assert_eq!(error.message(), "line 2: longer than 5 bytes");
            assert_eq!(lines(b"abcde\nabcde", size, 5).unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_thread_reads_ahead_and_ends_with_the_input() {
        let text = vec![b'x'; 3 * BLOCK_BYTES + 7];
        let mut blocks = Blocks::start(Cursor::new(text.clone())).unwrap();
        let mut read = Vec::new();
        while let Some(block) = blocks.next().await {
            let block = block.unwrap();
            read.extend_from_slice(&block);
            blocks.give_back(block);
        }
        assert!(read == text);
    }

    #[tokio::test]
    async fn an_input_that_fails_says_so_after_what_was_read() {
        struct Failing(bool);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("broken"));
                }
                buffer[0] = b'x';
                Ok(1)
            }
        }
        let mut blocks = Blocks::start(Failing(false)).unwrap();
        assert_eq!(blocks.next().await.unwrap().unwrap(), b"x");
        assert!(blocks.next().await.unwrap().is_err());
        assert!(blocks.next().await.is_none());
    }

    proptest! {
        #[test]
        fn blocks_cut_anywhere_give_the_same_lines(text in "[a\\r\\n ]{0,40}", size in 1usize..9) {
            let whole = lines(text.as_bytes(), 1000, 1000).unwrap();
            prop_assert_eq!(lines(text.as_bytes(), size, 1000).unwrap(), whole.clone());
            let plain: Vec<(u64, String)> = (1..)
                .zip(text.split('\n'))
                .map(|(number, line)| (number, line.trim().to_owned()))
                .filter(|(_, line)| !line.is_empty())
                .collect();
            prop_assert_eq!(whole, plain);
        }
    }

    /// Hands out its blocks, then never returns, as a pipe whose writer pauses.
    struct Pauses(u8);

    impl Read for Pauses {
        fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                loop {
                    std::thread::park();
                }
            }
            self.0 -= 1;
            block[0] = self.0;
            Ok(1)
        }
    }

    #[tokio::test]
    async fn what_was_read_is_handed_over_before_the_next_read() {
        let reads = BLOCKS_AHEAD as u8 * 2 + 1;
        let mut blocks = Blocks::start(Pauses(reads)).unwrap();
        // The queue is full by now, and what comes behind it must not wait for more input.
        std::thread::sleep(std::time::Duration::from_millis(20));
        for _ in 0..reads {
            let next = tokio::time::timeout(std::time::Duration::from_secs(5), blocks.next());
            assert_eq!(next.await.unwrap().unwrap().unwrap().len(), 1);
        }
    }
}
