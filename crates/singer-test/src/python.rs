//! The Python environments of foreign programs: `tests/interop/run` makes them, this finds them. Where
//! there is no Python, the tests that need one say so, and fail in continuous integration.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::bin::{Run, workspace};

/// A cold Python program on a busy machine takes its time.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The folders of these environments by name, made if they are not there; none where this machine
/// has no Python for them.
#[expect(
    clippy::disallowed_methods,
    reason = "whether this is CI is no setting"
)]
pub fn environments(names: &[&str]) -> Option<BTreeMap<String, PathBuf>> {
    let mut run = Run::program(workspace().join("tests/interop/run"))
        .args(names)
        .patience(PATIENCE * 4);
    // What leads to a package index is handed on: the index of one site is not that of another.
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_wanted = [
            "PIP_",
            "SSL_CERT",
            "REQUESTS_",
            "CARGO_TARGET_DIR",
            "PYTHON",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix));
        if is_wanted || name.to_ascii_lowercase().ends_with("_proxy") {
            run = run.env(name, value);
        }
    }
    let ended = run.finish();
    if ended.code() == Some(69) {
        announce(&format!("interop: SKIPPED, {}", ended.stderr.trim_end()));
        assert!(
            std::env::var_os("CI").is_none(),
            "continuous integration must not skip the interop tests"
        );
        return None;
    }
    ended.expect_code(0);
    announce(&format!(
        "interop: {}",
        ended.text().trim_end().replace('\n', "\ninterop: ")
    ));
    let folders = ended.text().lines().filter_map(folder_of).collect();
    Some(folders)
}

/// The name and the folder of `NAME <tab> FOLDER <tab> versions`.
fn folder_of(line: &str) -> Option<(String, PathBuf)> {
    let mut columns = line.split('\t');
    Some((columns.next()?.to_owned(), PathBuf::from(columns.next()?)))
}

/// A line that is seen also where the test passes.
fn announce(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr can be written");
}
