//! The demos of the examples, as a person without a terminal sees them.

use std::path::Path;

use singer_test::bin::{self, Run};
use singer_test::folder::Folder;

/// Runs a demo to its end in a folder, with binaries that are built already, and returns what it printed.
/// Each of `parts` stands in it, no colour does, and no stand-in is left running.
///
/// # Panics
/// If it is not so.
#[track_caller]
pub fn run(demo: Run, folder: &Folder, programs: &[&str], parts: &[&str]) -> String {
    let sandbox = bin::binary("antiphon-sandbox");
    for name in programs {
        bin::binary(name);
    }
    let finished = demo
        .env("DEMO_BINARIES", sandbox.parent().unwrap_or(Path::new(".")))
        .env("DEMO_DIR", folder.path().join("demo"))
        .finish();
    finished.expect_code(0);
    let text = finished.text();
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours in a pipe:\n{text}");
    let sandbox = folder.read("demo/sandbox.pid");
    let process = Path::new("/proc").join(sandbox.trim()).join("stat");
    assert!(!process.exists(), "the sandbox still runs");
    text
}
