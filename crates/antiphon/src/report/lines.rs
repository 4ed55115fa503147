//! Lines out of the bytes of somebody's stderr, whatever they write there.

use std::borrow::Cow;

/// A line longer than this is cut.
pub(super) const MOST_BYTES: usize = 64 * 1024;
/// So much more is read of a line that is too long, so that no half of a secret is left at the cut.
const MARGIN: usize = 16 * 1024;

/// Puts lines together from blocks of bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a block in and hands out each line that ended in it.
    pub(super) fn take(&mut self, block: &[u8], mut line: impl FnMut(&[u8])) {
        let mut rest = block;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (piece, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.begun.is_empty() {
                line(last_part(piece));
            } else {
                self.begin(piece);
                line(last_part(&self.begun));
                self.begun.clear();
            }
        }
        self.begin(rest);
    }

    /// The last line, if it has no end.
    pub(super) fn last(&mut self, mut line: impl FnMut(&[u8])) {
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() {
            line(last_part(&begun));
        }
    }

    fn begin(&mut self, piece: &[u8]) {
        let room = (MOST_BYTES + MARGIN).saturating_sub(self.begun.len());
        match memchr::memrchr(b'\r', piece) {
            // A bar that was drawn over: only what came last is a line, once it ends. A `\r` at the
            // very end may belong to the line's end.
            Some(at) if at + 1 < piece.len() => {
                self.begun.clear();
                let piece = &piece[at + 1..];
                let end = piece.len().min(MOST_BYTES + MARGIN);
                self.begun.extend_from_slice(&piece[..end]);
            }
            Some(_) if self.begun.len() + piece.len() > MOST_BYTES => {
                let bar = last_part(piece).to_vec();
                self.begun.clear();
                self.begun.extend_from_slice(&bar);
                self.begun.push(b'\r');
            }
            _ => self
                .begun
                .extend_from_slice(&piece[..piece.len().min(room)]),
        }
    }
}

/// What a terminal would show of a line in the end: what follows its last `\r`.
fn last_part(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let Some((b'\r', before)) = line.split_last() {
        line = before;
    }
    let start = memchr::memrchr(b'\r', line).map_or(0, |at| at + 1);
    &line[start..]
}

/// The line as text without colours and other signs to a terminal.
pub(super) fn clean(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let is_sign = |byte: &u8| *byte < 0x20 && *byte != b'\t' || *byte == 0x7f;
    // A control character beyond ASCII (0x80 to 0x9f) begins with this byte in UTF-8.
    if !text.bytes().any(|byte| is_sign(&byte) || byte == 0xc2) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                let ends: fn(&char) -> bool = match letters.next_if(|next| "[]".contains(*next)) {
                    // A colour, a move: up to its final letter.
                    Some('[') => |next| ('@'..='~').contains(next),
                    // A title, a link: up to a bell.
                    Some(_) => |next| *next == '\u{7}',
                    None => continue,
                };
                while letters.next_if(|next| !ends(next)).is_some() {}
                letters.next();
            }
            '\t' => clean.push('\t'),
            letter if letter.is_control() => {}
            letter => clean.push(letter),
        }
    }
    Cow::Owned(clean)
}

/// A line without secrets, cut to what the log takes.
pub(super) fn cut(line: Cow<'_, str>, length: usize) -> Cow<'_, str> {
    if length <= MOST_BYTES {
        return line;
    }
    // The margin goes: a secret may have been cut in two at its end.
    let mut end = line.len().saturating_sub(MARGIN).min(MOST_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let kept = line.get(..end).unwrap_or_default();
    Cow::Owned(format!("{kept} … (cut: the line is longer)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(blocks: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for block in blocks {
            lines.take(block, |line| found.push(clean(line).into_owned()));
        }
        lines.last(|line| found.push(clean(line).into_owned()));
        found
    }

    #[test]
    fn lines_are_put_together_from_blocks() {
        assert_eq!(
            lines(&[b"one\ntw", b"", b"o\r", b"\n\nthr", b"ee"]),
            ["one", "two", "", "three"]
        );
    }

    #[test]
    fn of_a_bar_that_is_drawn_over_the_last_part_counts() {
        assert_eq!(
            lines(&[b"10%\r20%\r30%\n5%\r", b"15%\r", b"25%\r\nend\n"]),
            ["30%", "25%", "end"]
        );
        let mut bar = Lines::default();
        for _ in 0..100_000 {
            bar.take(b"\r 50% of a bar that never ends", |_| unreachable!());
            bar.take(b"51% of another kind of bar\r", |_| unreachable!());
        }
        assert!(bar.begun.len() <= MOST_BYTES + MARGIN + 1);
    }

    #[test]
    fn a_long_line_is_cut_and_never_held_whole() {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.take(&[b'x'; 10_000], |_| unreachable!());
            assert!(lines.begun.len() <= MOST_BYTES + MARGIN);
        }
        lines.take(b"\nnext\n", |line| {
            let text = clean(line);
            let length = text.len();
            found.push(cut(text, length).into_owned());
        });
        assert!(found[0].starts_with("xxx") && found[0].ends_with("(cut: the line is longer)"));
        assert!(found[0].len() < MOST_BYTES + 100);
        assert_eq!(found[1], "next");
    }

    #[test]
    fn colours_titles_and_what_is_not_text_do_not_reach_the_log() {
        assert_eq!(
            lines(&[
                b"\x1b[1;31mERROR\x1b[0m bad \xff\x07\tend\n",
                b"\x1b]0;title\x07text\n"
            ]),
            ["ERROR bad \u{fffd}\tend", "text"]
        );
        assert_eq!(lines(&["naïve ©\n".as_bytes()]), ["naïve ©"]);
    }
}
