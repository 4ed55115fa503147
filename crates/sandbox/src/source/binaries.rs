//! Finds the PostgreSQL server programs of this machine: on PATH and in the folders where
//! packages put them. It starts none of them beyond asking for their version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders that hold one folder for each installed version; `*` stands for any text.
const VERSIONED_FOLDERS: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/lib64/postgresql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

const PLAIN_FOLDERS: [&str; 2] = ["/usr/local/pgsql/bin", "/opt/postgresql/bin"];

/// A folder with `initdb` and `postgres` of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binaries {
    /// Major and minor version, as in 15.8.
    pub version: (u32, u32),
    /// The folder.
    pub folder: PathBuf,
}

impl Binaries {
    /// The newest PostgreSQL server of this machine, or none.
    pub fn find() -> Option<Self> {
        let mut folders = path_folders();
        folders.extend(PLAIN_FOLDERS.iter().map(PathBuf::from));
        folders.extend(VERSIONED_FOLDERS.iter().flat_map(|pattern| expand(pattern)));
        Self::newest_of(folders)
    }

    fn newest_of(folders: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        folders.into_iter().filter_map(Self::in_folder).max()
    }

    fn in_folder(folder: PathBuf) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { version, folder })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "PATH says where programs are found, it is no setting"
)]
fn path_folders() -> Vec<PathBuf> {
    match std::env::var_os("PATH") {
        Some(path) => std::env::split_paths(&path).collect(),
        None => Vec::new(),
    }
}

/// Expands the one `*` of a pattern, which stands in a single folder name.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = Path::new(parent).read_dir() else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

/// Reads "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"; a beta counts as minor version 0.
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let word = line
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let major = numbers.next()?.ok()?;
    Some((major, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_server_prints() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"),
            Some((15, 8))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 19beta1"),
            Some((19, 0))
        );
        assert_eq!(parse_version("nothing"), None);
    }

    #[test]
    fn a_pattern_lists_the_folders_that_match() {
        let folder = std::env::temp_dir().join(format!("antiphon-binaries-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("pg-15/bin")).unwrap();
        std::fs::create_dir_all(folder.join("other")).unwrap();
        let found = expand(&format!("{}/pg-*/bin", folder.display()));
        assert_eq!(found, [folder.join("pg-15/bin")]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn newer_versions_win() {
        let old = Binaries {
            version: (9, 6),
            folder: "/b".into(),
        };
        let new = Binaries {
            version: (15, 2),
            folder: "/a".into(),
        };
        assert!(new > old);
    }
}
