//! The file of a run's log: bounded, whole at any moment, and never a reason to stop a run.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use singer_runtime::clock::Clock;

/// The most that a log holds.
pub(super) const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A log file. Once it is full, its first half stays, and of the rest the newest part.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    most: u64,
    clock: Clock,
    file: Option<File>,
    size: u64,
    /// Where the part that stays ends, once something was left out.
    head: Option<u64>,
    /// Lines left out for the sake of the size.
    left_out: u64,
    /// Lines that could not be written.
    lost: u64,
}

impl LogFile {
    /// A log in this file, which begins empty.
    pub(super) fn new(path: PathBuf, most: u64, clock: Clock) -> Self {
        let mut log = Self {
            path,
            most,
            clock,
            file: None,
            size: 0,
            head: None,
            left_out: 0,
            lost: 0,
        };
        log.write("");
        log
    }

    /// Writes whole lines. What cannot be written is counted, said once, and tried again with the next.
    pub(super) fn write(&mut self, lines: &str) {
        let Err(error) = self.try_write(lines) else {
            return;
        };
        if self.lost == 0 {
            tracing::warn!(
                file = %self.path.display(),
                %error,
                "the run's log cannot be written; the run goes on without it"
            );
        }
        self.lost += count_lines(lines.as_bytes()).max(1);
    }

    fn try_write(&mut self, lines: &str) -> io::Result<()> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            self.file = Some(options.open(&self.path)?);
        }
        if self.lost > 0 {
            let said = self.said(&format!(
                "{} lines are missing here: the log could not be written",
                self.lost
            ));
            self.append(said.as_bytes())?;
            self.lost = 0;
        }
        // So that what comes at once is never more than what a shortened log has room for.
        let mut rest = lines.as_bytes();
        let piece = usize::try_from(self.most / 8).unwrap_or(usize::MAX).max(1);
        while !rest.is_empty() {
            let end = match memchr::memrchr(b'\n', &rest[..rest.len().min(piece)]) {
                Some(end) => end + 1,
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
            };
            let (lines, after) = rest.split_at(end);
            if self.size + lines.len() as u64 > self.most {
                self.shorten()?;
            }
            self.append(lines)?;
            rest = after;
        }
        Ok(())
    }

    /// The size counts only what was written whole: what follows overwrites half a line.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.write_all_at(lines, self.size)?;
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Leaves out the middle: of what came after the first half, the newest quarter stays.
    fn shorten(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let head = match self.head {
            Some(head) => head,
            None => {
                let half = read(file, 0, self.most / 2)?;
                let end = memchr::memrchr(b'\n', &half).map_or(half.len(), |end| end + 1);
                end as u64
            }
        };
        let after = read(file, head, self.size - head)?;
        let keep = usize::try_from(self.most / 4).unwrap_or(usize::MAX);
        let from = after.len().saturating_sub(keep);
        let cut = memchr::memchr(b'\n', &after[from..]).map_or(after.len(), |end| from + end + 1);
        // The line that told of lines left out before is among those that go.
        let told = u64::from(self.head.is_some());
        self.left_out += count_lines(&after[..cut]) - told;
        let mut tail = self
            .said(&format!(
                "{} lines were left out here: a log holds {} at most",
                self.left_out,
                singer_runtime::amount::bytes(self.most)
            ))
            .into_bytes();
        tail.extend_from_slice(&after[cut..]);
        file.write_all_at(&tail, head)?;
        self.size = head + tail.len() as u64;
        file.set_len(self.size)?;
        self.head = Some(head);
        Ok(())
    }

    /// Nothing of half a line stays behind the last whole one.
    pub(super) fn finish(&mut self) {
        if let Some(file) = &self.file
            && file.set_len(self.size).is_err()
        {
            // A device has no length; whatever else refuses this has refused lines before.
            tracing::debug!("the run's log could not be cut to its last line");
        }
    }

    fn said(&self, what: &str) -> String {
        super::log_line(&super::timestamp(&self.clock), super::OWN, what)
    }
}

fn read(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_keeps_its_first_half_and_its_newest_part() {
        let folder = singer_test::folder::Folder::new();
        let path = folder.path().join("log.txt");
        let mut log = LogFile::new(path.clone(), 4000, Clock::system());
        for number in 0..1000 {
            log.write(&format!("line {number:04}\n"));
            assert!(std::fs::metadata(&path).unwrap().len() <= 4000);
        }
        log.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let gap = lines.iter().position(|line| line.contains("left out"));
        let gap = gap.unwrap();
        assert_eq!(lines[0], "line 0000");
        assert_eq!(lines[gap - 1], "line 0199");
        assert_eq!(lines[lines.len() - 1], "line 0999");
        let first_after: usize = lines[gap + 1].split_once(' ').unwrap().1.parse().unwrap();
        assert!(
            lines[gap].contains(&format!(" {} lines", first_after - 200)),
            "{}",
            lines[gap]
        );
        assert_eq!(lines.len() - 1, 200 + (1000 - first_after));
    }

    #[test]
    fn what_comes_at_once_and_is_larger_than_the_log_is_bounded_too() {
        let folder = singer_test::folder::Folder::new();
        let path = folder.path().join("log.txt");
        let mut log = LogFile::new(path.clone(), 4000, Clock::system());
        let lines: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        log.write(&lines);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 4000);
        assert!(text.starts_with("line 0\n") && text.ends_with("line 4999\n"));
    }

    #[test]
    fn a_full_disk_stops_nobody_and_what_follows_tells_of_the_gap() {
        let folder = singer_test::folder::Folder::new();
        let path = folder.path().join("log.txt");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = LogFile::new(path.clone(), 4000, Clock::system());
        log.write("one\ntwo\n");
        log.write("three\n");
        log.finish();
        // The disk has room again.
        std::fs::remove_file(&path).unwrap();
        log.file = None;
        log.write("four\n");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("3 lines are missing here: the log could not be written"));
        assert_eq!(lines[1..], ["four"]);
    }
}
