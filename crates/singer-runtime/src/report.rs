//! The report file: what a stage of a pipeline counts, kept up to date for the runner that started it.
//!
//! If the variable [`VARIABLE`] names a file, a run of a tap or a target writes a [`Report`] there: once a
//! second while something changed, and at its end. The file is whole at any moment, but nothing waits
//! for the disk, and a report that cannot be written costs the run nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The variable that names the file.
pub const VARIABLE: &str = "ANTIPHON_REPORT";

/// What a stage says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The binary's name.
    pub binary: String,
    /// `tap`, `map`, `target`, or `tally` for the stage that only counts.
    pub role: String,
    /// The id of the stage's own run; a stage that is started again has another.
    pub run_id: String,
    /// `running`, `succeeded`, `failed` or `interrupted`.
    pub status: String,
    /// The streams by the names that the stage has for them: a tap's are those of its catalog.
    pub streams: BTreeMap<String, Stream>,
    /// Where a target leaves the records that it refuses.
    pub rejects_path: Option<PathBuf>,
}

/// What a stage says of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// Its name in messages, by which the stages of a pipe know the same stream.
    pub stream: String,
    /// Records read.
    pub records: u64,
    /// Records that the destination confirmed.
    pub sent: u64,
    /// Records that were not sent because nothing in them had changed.
    pub unchanged: u64,
    /// Records that the destination does not know.
    pub missing: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// Rows that were cleared or deleted because they vanished at the source.
    pub cleared: u64,
    /// Requests that had to be made again.
    pub retried: u64,
    /// Bytes written, or passed on.
    pub bytes: u64,
    /// Batches on their way now.
    pub in_flight: u64,
    /// Records that are expected in all; zero if nobody knows.
    pub expected: u64,
    /// BATCH messages, whose records only the stage that reads the files can count.
    pub batches: u64,
    /// The fingerprint of its SCHEMA ([`singer_core::schema::fingerprint`]).
    pub schema: Option<String>,
    /// `not started`, `running`, `succeeded`, `failed` or `interrupted`.
    pub status: String,
    /// How long it has taken.
    pub duration_seconds: f64,
}

impl Report {
    /// Reads a report; `None` if there is none, or none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether another report says the same, time aside.
    fn says_what(&self, other: &Self) -> bool {
        let timeless = |report: &Self| {
            let mut report = report.clone();
            for stream in report.streams.values_mut() {
                stream.duration_seconds = 0.0;
            }
            report
        };
        timeless(self) == timeless(other)
    }
}

/// The file in which a stage keeps its report.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    written: Option<Report>,
}

impl ReportFile {
    /// A file that is not there yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
        }
    }

    /// Writes a report if it says anything new. What goes wrong is for a debug line alone.
    pub fn write(&mut self, report: Report) {
        if self
            .written
            .as_ref()
            .is_some_and(|written| written.says_what(&report))
        {
            return;
        }
        match self.replace(&report) {
            Ok(()) => self.written = Some(report),
            Err(error) => {
                tracing::debug!(file = %self.path.display(), %error, "cannot write the report");
            }
        }
    }

    fn replace(&self, report: &Report) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, serde_json::to_vec(report)?)?;
        fs::rename(&beside, &self.path)
    }
}

/// The file that the process that started this one wants, if it wants any. To be asked once, where the
/// process starts.
#[expect(
    clippy::disallowed_methods,
    reason = "a word between the runner and its stages, not a setting"
)]
pub fn wanted() -> Option<PathBuf> {
    std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_only_if_it_says_anything_new() {
        let folder = std::env::temp_dir().join(format!("report-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tap.report.json");
        let mut file = ReportFile::new(path.clone());
        let mut report = Report {
            binary: "tap-x".to_owned(),
            ..Report::default()
        };
        report.streams.insert("a".to_owned(), Stream::default());
        file.write(report.clone());
        assert_eq!(Report::read(&path), Some(report.clone()));

        fs::remove_file(&path).unwrap();
        if let Some(stream) = report.streams.get_mut("a") {
            stream.duration_seconds = 1.5;
        }
        file.write(report.clone());
        assert_eq!(Report::read(&path), None);
        if let Some(stream) = report.streams.get_mut("a") {
            stream.records = 7;
        }
        file.write(report.clone());
        assert_eq!(Report::read(&path), Some(report));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_report_that_cannot_be_written_is_no_error() {
        let mut file = ReportFile::new(PathBuf::from("/no/such/folder/report.json"));
        file.write(Report::default());
        assert!(file.written.is_none());
        assert_eq!(Report::read(Path::new("/no/such/folder/report.json")), None);
    }
}
