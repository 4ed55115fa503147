//! Golden cases: a folder for each, with what goes in (`args`, one a line; `stdin`; `env`, one
//! `NAME=VALUE` a line; further files, which lie in the working folder of the run) and what must come out (`expected/stdout`,
//! `expected/stderr`, `expected/exit`, and under `expected/files` what the run left behind). With
//! `UPDATE_GOLDEN=1` the expected files are written instead of compared; read the diff then.
//!
//! Names in braces, such as `{pendo_url}`, stand for what differs from run to run: they are filled in
//! on the way in and put back on the way out. What else differs (times, durations) is hidden by `mask`.

mod mask;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bin::Run;
use crate::folder::Folder;

/// The folder, in a case, of what must come out.
const EXPECTED: &str = "expected";

/// Whether goldens are rewritten instead of compared.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not a setting"
)]
pub fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// Compares a text with a file of the repository, or rewrites the file.
#[track_caller]
pub fn compare(path: &Path, actual: &str) {
    if let Err(difference) = check(path, actual) {
        panic!("{difference}");
    }
}

/// Runs every case below a folder with one binary; fails with all differences at once.
#[track_caller]
pub fn run_all(binary: &str, cases: &Path, names: &[(&str, String)]) {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in folders(cases) {
        count += 1;
        for difference in run(binary, &case, names) {
            failures.push(format!("{}: {difference}", case.display()));
        }
    }
    assert!(count > 0, "no case in {}", cases.display());
    assert!(
        failures.is_empty(),
        "{} differences (UPDATE_GOLDEN=1 rewrites):\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Runs one case and returns what differs.
pub fn run(binary: &str, case: &Path, names: &[(&str, String)]) -> Vec<String> {
    let folder = Folder::new();
    let mut run = Run::of(binary).folder(folder.path());
    let mut given = Vec::new();
    for file in files(case) {
        let name = file_name(&file);
        let bytes = fs::read(&file).expect("a file can be read");
        // Bytes that are no text are a case of their own, and stay as they are.
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => fill_in(&text, names).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        match name.as_str() {
            "args" => run = run.args(String::from_utf8_lossy(&bytes).lines()),
            "stdin" => run = run.stdin(bytes),
            "env" => run = with_variables(run, &String::from_utf8_lossy(&bytes)),
            _ => {
                folder.write(&name, bytes);
                given.push(name);
            }
        }
    }
    let ended = run.finish();
    let here = folder.path().display().to_string();
    let tidy = |text: &str| mask::hide(&put_back(&text.replace(&here, "{folder}"), names));
    let mut actual = BTreeMap::from([
        ("stdout".to_owned(), tidy(&ended.text())),
        ("stderr".to_owned(), tidy(&ended.stderr)),
        (
            "exit".to_owned(),
            ended
                .code()
                .map_or("signal\n".to_owned(), |code| format!("{code}\n")),
        ),
    ]);
    for file in files(folder.path()) {
        let name = file_name(&file);
        if !given.contains(&name) {
            actual.insert(format!("files/{name}"), tidy(&read(&file)));
        }
    }
    compare_all(&case.join(EXPECTED), &actual)
}

fn with_variables(run: Run, text: &str) -> Run {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .fold(run, |run, (name, value)| run.env(name, value))
}

fn compare_all(expected: &Path, actual: &BTreeMap<String, String>) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, text) in actual {
        if let Err(difference) = check(&expected.join(name), text) {
            differences.push(difference);
        }
    }
    for file in files(&expected.join("files")) {
        if !actual.contains_key(&format!("files/{}", file_name(&file))) {
            if updating() {
                fs::remove_file(&file).expect("a golden file can be removed");
            } else {
                differences.push(format!("`{}` was not written", file_name(&file)));
            }
        }
    }
    differences
}

fn check(path: &Path, actual: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|expected| expected == actual) {
        return Ok(());
    }
    if updating() {
        fs::create_dir_all(path.parent().expect("a golden file lies in a folder"))
            .expect("a golden folder can be made");
        fs::write(path, actual).expect("a golden file can be written");
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    Err(difference(&file_name(path), &expected, actual))
}

/// The first lines in which two texts differ.
fn difference(name: &str, expected: &str, actual: &str) -> String {
    let mut left = expected.lines();
    let mut right = actual.lines();
    let mut number = 0;
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => return format!("{name}: the line ends differ"),
            (one, other) if one == other => {}
            (one, other) => {
                let show = |line: Option<&str>| line.unwrap_or("(no more lines)").to_owned();
                return format!(
                    "{name} line {number}:\n  expected: {}\n  actual:   {}\n  the whole:\n{actual}",
                    show(one),
                    show(other)
                );
            }
        }
    }
}

fn fill_in(text: &str, names: &[(&str, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

fn put_back(text: &str, names: &[(&str, String)]) -> String {
    names
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(value.as_str(), &format!("{{{name}}}"))
        })
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder)
        .into_iter()
        .filter(|path| path.is_dir())
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder)
        .into_iter()
        .filter(|path| path.is_file())
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .expect("a file has a name")
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("a file can be read")).into_owned()
}
