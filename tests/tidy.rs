//! The rules of the house that no compiler knows: who may import whom, what every crate and every file
//! has, what no file holds. `crates/README.md` explains them to people.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use singer_test::bin::{Run, workspace};
use singer_test::golden;

/// What stands at the top of the repository, besides dotfiles.
const TOP: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "catalogs",
    "crates",
    "examples",
    "tests",
];

/// The most lines of a file without its unit tests.
const LONGEST_FILE: usize = 600;

/// The floors: each crate, what it may import of ours, what from outside beyond serde and serde_json.
/// `tap-*` and `target-*` stand for every connector; a line of its own comes on top.
const FLOORS: &[(&str, &[&str], &[&str])] = &[
    // memchr finds quotes and line ends.
    ("singer-core", &[], &["chrono", "memchr"]),
    // rustls and its companions and bytes are what reqwest stands on.
    (
        "singer-net",
        &["singer-core"],
        &[
            "bytes",
            "chrono",
            "reqwest",
            "rustls",
            "rustls-native-certs",
            "rustls-pki-types",
            "tokio",
            "tracing",
        ],
    ),
    // flate2 for BATCH files, indicatif for the live line, tracing-subscriber for the log.
    (
        "singer-runtime",
        &["singer-core"],
        &[
            "anyhow",
            "chrono",
            "clap",
            "flate2",
            "indicatif",
            "memchr",
            "tokio",
            "tracing",
            "tracing-subscriber",
        ],
    ),
    ("tap-*", CONNECTOR, CONNECTOR_OUTSIDE),
    ("target-*", CONNECTOR, CONNECTOR_OUTSIDE),
    // The wire of PostgreSQL, and TLS on it.
    (
        "tap-redshift",
        &[],
        &[
            "bytes",
            "futures-util",
            "memchr",
            "rustls",
            "rustls-native-certs",
            "rustls-pki-types",
            "tokio-postgres",
            "tokio-postgres-rustls",
        ],
    ),
    // Storage Write over gRPC, gzip for load jobs, signatures of service accounts.
    (
        "target-bigquery",
        &[],
        &[
            "bytes",
            "flate2",
            "http",
            "memchr",
            "prost",
            "ring",
            "rustls-pki-types",
            "tokio-stream",
            "tonic",
            "tonic-prost",
        ],
    ),
    // CSV in archives, and a receiver of callbacks: HTTP/1, TLS, a secret compared in constant time.
    (
        "zoho",
        &["singer-core", "singer-net"],
        &[
            "bytes",
            "chrono",
            "flate2",
            "http-body-util",
            "hyper",
            "hyper-util",
            "memchr",
            "ring",
            "rustls",
            "rustls-pki-types",
            "tokio",
            "tokio-rustls",
            "tracing",
            "zip",
        ],
    ),
    // Times without an offset, in the project's time zone.
    ("tap-datastore", &[], &["bytes", "chrono-tz", "memchr"]),
    ("tap-crm", &[], &["bytes"]),
    ("target-analytics", &[], &["bytes", "memchr"]),
    // Wall times of the organisation.
    ("target-crm-bulkwrite", &[], &["chrono-tz", "memchr"]),
    // The engine of filters; bytes are what its texts are made of.
    (
        "map-records",
        &["singer-core", "singer-runtime"],
        &[
            "anyhow", "bytes", "jaq-core", "jaq-json", "jaq-std", "tracing",
        ],
    ),
    // Content that is gzip, and checksums of downloads.
    ("tap-tetra-searcheql", &[], &["flate2", "ring"]),
    // The store, signals to groups of processes, the project file, schedules, mail and signatures, the page.
    (
        "antiphon",
        &["singer-core", "singer-net", "singer-runtime"],
        &[
            "anyhow",
            "axum",
            "bytes",
            "chrono",
            "clap",
            "croner",
            "futures-util",
            "indicatif",
            "inquire",
            "lettre",
            "maud",
            "memchr",
            "nix",
            "object_store",
            "ring",
            "tokio",
            "toml",
            "tracing",
        ],
    ),
    (
        "sandbox",
        &[],
        &[
            "anyhow",
            "axum",
            "bytes",
            "chrono",
            "chrono-tz",
            "clap",
            "flate2",
            "futures-util",
            "memchr",
            "prost",
            "sqlparser",
            "tokio",
            "tokio-postgres",
            "tokio-stream",
            "tonic",
            "tonic-prost",
        ],
    ),
    ("singer-test", &["sandbox", "singer-core"], &["tokio"]),
    (
        "suite",
        &["sandbox", "singer-core", "singer-test"],
        &["anyhow", "tokio"],
    ),
];

const CONNECTOR: &[&str] = &["singer-core", "singer-net", "singer-runtime", "zoho"];
const CONNECTOR_OUTSIDE: &[&str] = &["anyhow", "chrono", "tokio", "tracing"];

/// What tests of a crate may import on top: the kit, the stand-ins, and generated cases.
const FOR_TESTS: [&str; 4] = ["proptest", "sandbox", "singer-test", "tokio"];

#[test]
fn no_crate_imports_what_its_floor_forbids() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        let Some(allowed) = allowed(&name) else {
            faults.push(format!(
                "`{name}` has no floor: add it to the table of this test"
            ));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let wanted = text(&dependency["name"]);
            let in_tests = dependency["kind"] == "dev" && FOR_TESTS.contains(&wanted.as_str());
            if !allowed.contains(wanted.as_str()) && !in_tests {
                faults.push(format!("`{name}` must not import `{wanted}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_crate_has_features_or_versions_of_its_own() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        let manifest = read(Path::new(&text(&package["manifest_path"])));
        if !list_of_keys(&package["features"]).is_empty() {
            faults.push(format!("`{name}` has cargo features"));
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            faults.push(format!("`{name}` does not inherit the lints"));
        }
        if package["description"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("`{name}` has no description"));
        }
        if package["publish"] != serde_json::json!([]) {
            faults.push(format!("`{name}` may be published"));
        }
        let dependencies = manifest
            .lines()
            .skip_while(|line| !line.contains("dependencies]"));
        for line in dependencies.take_while(|line| !line.starts_with("[[")) {
            if line.contains('=') && !line.starts_with('#') && !line.contains("workspace = true") {
                faults.push(format!("`{name}` names a version of its own: {line}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_map_names_every_crate() {
    let map = read(&workspace().join("crates/README.md"));
    let missing: Vec<String> = packages()
        .iter()
        .map(|package| text(&package["name"]))
        .filter(|name| name != "suite" && !map.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "crates/README.md lacks {missing:?}");
}

#[test]
fn every_folder_of_a_crate_has_its_name() {
    for package in packages() {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest
            .parent()
            .and_then(Path::file_name)
            .expect("a manifest lies in a folder");
        let name = text(&package["name"]);
        assert!(
            name == "suite" || folder == name.as_str(),
            "`{name}` lies in {}",
            folder.display()
        );
    }
}

#[test]
fn the_top_of_the_repository_is_fixed() {
    let found: BTreeSet<String> = tracked()
        .iter()
        .filter_map(|path| path.split('/').next().map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect();
    let unknown: Vec<&String> = found
        .iter()
        .filter(|name| !TOP.contains(&name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "what is {unknown:?} doing at the top of the repository?"
    );
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(
        silent.is_empty(),
        "no `//!` in the first line of {silent:#?}"
    );
}

#[test]
fn no_file_grows_without_end() {
    let long: BTreeMap<String, usize> = sources()
        .into_iter()
        .map(|(path, text)| (path, production(&text).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert!(
        long.is_empty(),
        "over {LONGEST_FILE} lines without tests: {long:#?}"
    );
}

#[test]
fn no_test_is_ignored() {
    let mark = concat!("#[ign", "ore");
    assert_eq!(files_with(&sources(), &[mark]), Vec::<String>::new());
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let marks = [concat!("#[all", "ow("), concat!("#![all", "ow(")];
    let expectation = concat!("#[exp", "ect(");
    assert_eq!(files_with(&sources(), &marks), Vec::<String>::new());
    for (path, text) in sources() {
        for (place, _) in text.match_indices(expectation) {
            let rest = text.get(place..).unwrap_or_default();
            let attribute = rest
                .split_once(")]")
                .map_or(rest, |(attribute, _)| attribute);
            assert!(
                attribute.contains("reason ="),
                "{path}: a lint is expected without a reason"
            );
        }
    }
}

#[test]
fn stdout_belongs_to_the_runtime() {
    // Functions are in `.clippy.toml`; macros are here, also where a lint is expected.
    let marks = [concat!("print", "ln!("), concat!("pri", "nt!(")];
    let is_exempt = |path: &str| {
        // The stand-ins and the kit are no Singer programs; tests and benchmarks may print.
        [
            "crates/sandbox/",
            "crates/singer-test/",
            "tests/",
            "crates/singer-runtime/src/stdio",
        ]
        .iter()
        .any(|exempt| path.starts_with(exempt))
            || path.contains("/tests/")
            || path.contains("/examples/")
    };
    let printing: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| {
            !is_exempt(path)
                && marks
                    .iter()
                    .any(|mark| code(production(text)).contains(mark))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(
        printing.is_empty(),
        "a connector never prints: {printing:#?}"
    );
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let marks = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/home/", "runner"),
    ];
    let mut found = Vec::new();
    for path in tracked() {
        let bytes = fs::read(workspace().join(&path)).unwrap_or_default();
        // The runner's own work folder has the name of one of them.
        let text = String::from_utf8_lossy(&bytes).replace(concat!(".antiphon/wo", "rk/"), "");
        found.extend(
            marks
                .iter()
                .filter(|mark| text.contains(**mark))
                .map(|mark| format!("{path}: {mark}")),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_connector_has_its_usual_files() {
    for connector in connectors() {
        let folder = workspace().join("crates").join(&connector);
        for file in ["README.md", "src/main.rs", "src/lib.rs", "src/config.rs"] {
            assert!(folder.join(file).is_file(), "`{connector}` has no {file}");
        }
        let suite = ["tests/main.rs", "tests/main/main.rs"];
        assert!(
            suite.iter().any(|file| folder.join(file).is_file()),
            "`{connector}` has no tests/main.rs"
        );
        let main = read(&folder.join("src/main.rs"));
        let lines = main.lines().filter(|line| !line.starts_with("//")).count();
        assert!(
            lines <= 10,
            "the main of `{connector}` does more than to hand over"
        );
    }
}

/// With `UPDATE_GOLDEN=1` the tables are written.
#[test]
fn settings_tables_are_what_the_binaries_say() {
    const OPEN: &str = "<!-- settings -->\n";
    const CLOSE: &str = "<!-- /settings -->";
    for connector in connectors() {
        let page = workspace()
            .join("crates")
            .join(&connector)
            .join("README.md");
        let text = read(&page);
        let Some((head, rest)) = text.split_once(OPEN) else {
            panic!("the README of `{connector}` has no {OPEN}");
        };
        let (_, tail) = rest
            .split_once(CLOSE)
            .expect("the settings table has an end");
        let about = Run::of(&connector)
            .args(["--about", "--format", "markdown"])
            .finish();
        let about = about.expect_code(0).text();
        golden::compare(
            &page,
            &format!("{head}{OPEN}{}\n{CLOSE}{tail}", about.trim_end()),
        );
    }
}

/// The members of the workspace, as cargo sees them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    list(&metadata["packages"])
}

fn connectors() -> Vec<String> {
    packages()
        .iter()
        .map(|package| text(&package["name"]))
        .filter(|name| {
            name.starts_with("tap-") || name.starts_with("target-") || name == "map-records"
        })
        .collect()
}

fn allowed(name: &str) -> Option<BTreeSet<&'static str>> {
    let mut allowed = BTreeSet::from(["serde", "serde_json"]);
    let mut found = false;
    for (pattern, ours, outside) in FLOORS {
        let matches = match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *pattern == name,
        };
        if matches {
            found = true;
            allowed.extend(ours.iter().chain(*outside));
        }
    }
    found.then_some(allowed)
}

/// Files of the repository: tracked, or new and not excluded.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git is needed to tell the files of the repository from others");
    assert!(output.status.success(), "this test runs in a git checkout");
    let text = String::from_utf8(output.stdout).expect("names of files are UTF-8");
    text.lines()
        .filter(|path| workspace().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

/// Path and text of every Rust file.
fn sources() -> Vec<(String, String)> {
    let sources: Vec<(String, String)> = tracked()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = read(&workspace().join(&path));
            (path, text)
        })
        .collect();
    assert!(
        sources.len() > 30,
        "the walk over the sources finds next to nothing"
    );
    sources
}

/// The part of a file before its unit tests.
fn production(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod ")
        .map_or(text, |(production, _)| production)
}

/// A text without its comments.
fn code(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn files_with(sources: &[(String, String)], marks: &[&str]) -> Vec<String> {
    let holds = |text: &str| marks.iter().any(|mark| code(text).contains(mark));
    sources
        .iter()
        .filter(|(_, text)| holds(text))
        .map(|(path, _)| path.clone())
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .expect("cargo names things by texts")
        .to_owned()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().expect("cargo lists things")
}

fn list_of_keys(value: &Value) -> Vec<&String> {
    value
        .as_object()
        .map(|members| members.keys().collect())
        .unwrap_or_default()
}
