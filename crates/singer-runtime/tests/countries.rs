//! The worked example, run as a process: what a shell sees of a tap.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of the test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("singer-runtime-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> &Self {
        fs::write(self.0.join(name), content).expect("a file can be written");
        self
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(example("tap-countries"));
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &str) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().expect("the example runs");
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        (
            status.code().expect("no signal ends it"),
            text(stdout),
            text(stderr),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder is the test's own");
    }
}

/// `cargo test` builds the examples into a folder beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    let profile = test.parent().and_then(Path::parent);
    let profile = profile.expect("a test lies in `deps`");
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "the example is not built: run `cargo test` for the whole package"
    );
    path
}

const COUNTRIES: &str = "de,Germany,2024-01-02T00:00:00Z\nfr,France,2024-01-01T00:00:00Z\n";

#[test]
fn the_second_run_starts_at_the_state_of_the_first() {
    let folder = Folder::new("incremental");
    folder.write("countries.csv", COUNTRIES);
    let (code, first, log) = folder.run("--path countries.csv --select countries");
    assert_eq!(code, 0, "{log}");
    assert_eq!(first.matches(r#""type":"RECORD""#).count(), 2);
    assert!(log.contains(r#"INFO METRIC: {"type":"counter","metric":"record_count","value":2,"#));
    folder.write(
        "state.json",
        &first.replace(r#"{"type":"SCHEMA""#, r#"{"type":"schema""#),
    );
    let (code, second, _) = folder.run("--path countries.csv --select countries -s state.json");
    assert_eq!(code, 0);
    let records: Vec<&str> = second
        .lines()
        .filter(|line| line.contains(r#""RECORD""#))
        .collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].contains("Germany"));
}

#[test]
fn a_catalog_from_discovery_selects_fields() {
    let folder = Folder::new("catalog");
    folder.write("countries.csv", COUNTRIES);
    folder.write("config.json", r#"{"path": "countries.csv"}"#);
    let (code, catalog, _) = folder.run("-c config.json --discover --select countries");
    assert_eq!(code, 0);
    let mut catalog: serde_json::Value = serde_json::from_str(&catalog).unwrap();
    let metadata = catalog["streams"][0]["metadata"].as_array_mut().unwrap();
    metadata.push(serde_json::json!(
        {"breadcrumb": ["properties", "name"], "metadata": {"selected": false}}
    ));
    folder.write("catalog.json", &catalog.to_string());
    let (code, messages, log) = folder.run("-c config.json --catalog catalog.json");
    assert_eq!(code, 0, "{log}");
    assert!(!messages.contains("Germany") && !messages.contains(r#""name""#));
    assert!(messages.contains(r#""record":{"code":"fr","changed":"2024-01-01T00:00:00Z"}"#));
}

#[test]
fn errors_end_with_critical_lines_and_documented_codes() {
    let folder = Folder::new("errors");
    folder.write("config.json", r#"{"paht": "x"}"#);
    for (arguments, code, last) in [
        (
            "-c config.json --discover",
            2,
            "CRITICAL tap-countries: the config has 2 problems\n  \
             cause: unknown key `paht` in `config.json`\n  cause: the config lacks `path`\n  \
             hint: did you mean `path`?\n  hint: `--about` lists all keys\n",
        ),
        (
            "--path missing.csv --check",
            2,
            "CRITICAL tap-countries: cannot read `missing.csv`\n  \
             cause: No such file or directory (os error 2)\n",
        ),
        (
            "--pathh x",
            2,
            "CRITICAL tap-countries: unexpected argument '--pathh' found\n  \
             hint: a similar argument exists: '--path'\n  hint: `tap-countries --help` shows all options\n",
        ),
    ] {
        let (found, stdout, stderr) = folder.run(arguments);
        assert_eq!((found, stdout.as_str()), (code, ""), "{arguments}");
        assert_eq!(stderr, last, "{arguments}");
    }
}

#[test]
fn an_empty_state_is_told_and_a_broken_one_refused() {
    let folder = Folder::new("states");
    folder.write("countries.csv", COUNTRIES);
    folder
        .write("empty.json", "")
        .write("broken.json", "{\"bookmarks\":\n");
    let base = "--path countries.csv --select countries -s";
    let (code, _, log) = folder.run(&format!("{base} empty.json"));
    assert_eq!(code, 0);
    assert!(
        log.contains("WARN the state file is empty: truncated by a redirect?"),
        "{log}"
    );
    let (code, messages, log) = folder.run(&format!("{base} broken.json"));
    assert_eq!((code, messages.as_str()), (2, ""));
    assert!(
        log.contains("CRITICAL tap-countries: the state `broken.json` cannot be used"),
        "{log}"
    );
}

#[test]
fn json_logs_are_json_but_for_the_metric_lines() {
    let folder = Folder::new("json");
    folder.write("countries.csv", COUNTRIES);
    let (_, _, log) = folder.run("--path countries.csv --select countries --log-format json");
    let mut objects = Vec::new();
    for line in log
        .lines()
        .filter(|line| !line.starts_with("INFO METRIC: "))
    {
        objects.push(serde_json::from_str::<serde_json::Value>(line).unwrap());
    }
    let summary = objects.last().unwrap();
    assert_eq!(summary["message"], "summary");
    assert_eq!(summary["streams"]["countries"]["records"], 2);
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let folder = Folder::new("pipe");
    folder.write("countries.csv", &COUNTRIES.repeat(50_000));
    let mut child = folder
        .command("--path countries.csv --select countries")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        log.ends_with("WARN stopped: the reader of stdout has gone\n"),
        "{log}"
    );
    assert!(!log.contains("CRITICAL"));
}

#[test]
fn sigterm_ends_with_whole_lines_a_state_and_143() {
    let folder = Folder::new("signal");
    folder.write("countries.csv", &COUNTRIES.repeat(50_000));
    let mut child = folder
        .command("--path countries.csv --select countries")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    // The pipe is full by now, or soon: the tap is in the middle of its work.
    let signalled = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signalled.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "STATE");
    assert_eq!(last["value"]["currently_syncing"], "countries");
    assert!(
        rest.matches(r#""type":"RECORD""#).count() < 100_000,
        "it stopped in the middle"
    );
}

/// Whether this process was started so that a closing terminal does not end it (`nohup`); what it
/// starts inherits that, and does not stop either.
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[test]
fn a_terminal_that_closes_is_a_stop_however_often_it_says_so() {
    if hang_ups_are_ignored() {
        println!("the tests themselves ignore SIGHUP: not tried");
        return;
    }
    let folder = Folder::new("hangup");
    folder.write("countries.csv", &COUNTRIES.repeat(50_000));
    let mut child = folder
        .command("--path countries.csv --select countries")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let hang_up = || {
        let kill = Command::new("kill")
            .args(["-HUP", &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    };
    hang_up();
    while !line.contains("stopping after") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it stops");
    }
    // It cannot have ended: nobody has read what it wrote.
    hang_up();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "STATE");
}
