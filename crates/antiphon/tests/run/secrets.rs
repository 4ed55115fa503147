//! Secrets of a pipeline stay where they belong: whatever its stages print, nothing that is kept, shown or sent
//! holds one, and what holds rows is not open to all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::project::{Project, TAP, TARGET};

/// Shows everything it was given, in the ways that programs do, looks around, and fails with more of it.
const INDISCREET: &str = r#"
inline=; file=
while [ $# -gt 0 ]; do
    if [ "$1" = --config ]; then if [ -z "$inline" ]; then inline=$2; else file=$2; fi; shift; fi
    shift
done
stat -c %a "$inline" "$(dirname "$inline")" > modes
cat "$inline" "$file" token.txt >&2
env >&2
echo >&2
cp "$inline" given.json
echo "WARNING cannot reach https://me:in-the-url@db.example/x" >&2
for process in /proc/[0-9]*; do tr '\0' ' ' < "$process/cmdline"; echo; done > processes 2> /dev/null
cp -r .antiphon/pipelines beside
echo "CRITICAL no access with of-the-command and inline-password" >&2
exit 1
"#;

const KEYS: &str = r#"
tap = { exec = "./tap.sh", config = [{ password = "inline-password", url = "https://me:in-the-url@db.example/x" }, "more.json"] }
environment = { PIN_ONE = { command = "cat pin.txt" }, API_TOKEN = "of-the-environment" }
notify = "ops"
[notify.ops]
type = "command"
command = "cat > notice.json; cat said.txt"
"#;

const SECRETS: [&str; 6] = [
    "inline-password",
    "in-the-url",
    "of-the-file",
    "of-the-command",
    "of-the-environment",
    "of-the-notifier",
];

fn project() -> Project {
    let project = Project::of(INDISCREET, TARGET, KEYS);
    project
        .folder
        .write("more.json", "{\"auth\":{\"file\":\"token.txt\"}}\n");
    for (name, text) in [
        ("token.txt", "of-the-file\n"),
        ("pin.txt", "of-the-command\n"),
        ("said.txt", "token=of-the-notifier\n"),
    ] {
        project.folder.write(name, text);
    }
    project
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

fn expect_none(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {what}: {text}");
    }
}

#[test]
fn nothing_that_is_kept_shown_or_sent_holds_a_secret() {
    let project = project();
    let here = project.folder.path().display().to_string();
    let run = project.antiphon(&["run", "p"]).env("PWD", &here);
    let finished = run.finish();
    finished.expect_code(1);
    assert!(
        project
            .folder
            .read("given.json")
            .contains("inline-password")
    );
    expect_none("the terminal", &finished.stderr);
    expect_none("the notice", &project.folder.read("notice.json"));
    expect_none("the command lines", &project.folder.read("processes"));
    let mut seen = 0;
    for folder in ["beside", ".antiphon"] {
        for file in files_below(&project.folder.file(folder)) {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            expect_none(&file.display().to_string(), &text);
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
    // A folder is no secret, though the shell calls its own `PWD`.
    finished.expect_log(&format!("ANTIPHON_REPORT={here}/"));
    let message = project.summary()["fault"]["message"].to_string();
    assert_eq!(message, "\"no access with *** and ***\"");
    for shown in [
        project.antiphon(&["logs", "p"]),
        project.antiphon(&["history", "p", "--format", "json"]),
    ] {
        expect_none("what is shown", &shown.finish().text());
    }
}

#[test]
fn a_config_of_the_project_is_its_users_alone_and_goes_with_the_run() {
    let project = project();
    project.run().expect_code(1);
    assert_eq!(project.folder.read("modes"), "600\n700\n");
    let left: Vec<PathBuf> = files_below(&project.folder.file(".antiphon"))
        .into_iter()
        .filter(|file| file.to_string_lossy().contains("config"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_store_that_is_made_is_its_users_alone_and_one_for_a_group_stays_so() {
    let project = Project::of(TAP, TARGET, "");
    project.run().expect_code(0);
    assert_eq!(mode(&project.folder.file(".antiphon")), 0o700);
    fs::set_permissions(
        project.folder.file(".antiphon"),
        fs::Permissions::from_mode(0o775),
    )
    .unwrap();
    project.run().expect_code(0);
    assert_eq!(mode(&project.folder.file(".antiphon")), 0o775);
    for inside in [
        "pipelines",
        "pipelines/p",
        "pipelines/p/runs",
        "pipelines/p/state",
    ] {
        let mode = mode(&project.folder.file(".antiphon").join(inside));
        assert_eq!(mode & 0o707, 0o700, "{inside}: {mode:o}");
    }
}
