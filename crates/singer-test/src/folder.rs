//! A folder of a test's own, gone when the test has passed and kept for a look when it has failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A temporary folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new, empty folder.
    #[expect(
        clippy::new_without_default,
        reason = "a default that makes a folder would surprise"
    )]
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("singer-test-{}-{number}", std::process::id()));
        // Left over from a process of the same id that is long gone.
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, whether it is there or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, bytes).expect("a file can be written");
        path
    }

    /// Writes a JSON file and returns its path.
    pub fn write_json(&self, name: &str, value: &Value) -> PathBuf {
        self.write(
            name,
            serde_json::to_vec_pretty(value).expect("JSON values can be written"),
        )
    }

    /// A file's text; nothing if there is no such file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The JSON values in a file's lines; none if there is no such file.
    pub fn read_json_lines(&self, name: &str) -> Vec<Value> {
        let text = self.read(name);
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What cannot be removed is the system's business.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}
