//! Programs that are there, and all the ways in which they are not.

use std::fs::{self, Permissions};

use singer_test::folder::Folder;

use super::*;
use crate::spec::{Project, Role};

fn stage(exec: &str) -> Stage {
    Stage {
        label: "tap".to_owned(),
        role: Role::Tap,
        exec: exec.to_owned(),
        args: Vec::new(),
        config: Vec::new(),
        rejects_path: None,
    }
}

fn program(folder: &Folder, name: &str, bytes: &[u8]) -> PathBuf {
    if let Some(parent) = folder.file(name).parent() {
        fs::create_dir_all(parent).unwrap();
    }
    let path = folder.write(name, bytes);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn told(error: &Error) -> String {
    let hints = error.hints().join("; ");
    format!("{}\n{hints}", error.message())
}

#[test]
fn a_name_is_looked_up_and_a_path_counts_from_the_folder() {
    let folder = Folder::new();
    let beside = program(&folder, "beside/tap-x", b"#!/bin/sh\n");
    let first = program(&folder, "first/tap-y", b"#!/bin/sh\n");
    program(&folder, "beside/tap-y", b"#!/bin/sh\n");
    let path = [folder.file("first"), folder.file("beside")];
    let find = |exec: &str| find_among(&stage(exec), folder.path(), &path).unwrap();
    assert_eq!(find("tap-x"), beside);
    assert_eq!(find("tap-y"), first);
    assert_eq!(find("./beside/tap-x"), folder.path().join("./beside/tap-x"));
    assert_eq!(find(beside.to_str().unwrap()), beside);
}

#[test]
fn a_file_that_cannot_be_run_does_not_hide_a_program_behind_it() {
    let folder = Folder::new();
    fs::create_dir(folder.file("first")).unwrap();
    folder.write("first/tap-x", "text");
    let behind = program(&folder, "second/tap-x", b"#!/bin/sh\n");
    let path = [folder.file("first"), folder.file("second")];
    let found = find_among(&stage("tap-x"), folder.path(), &path);
    assert_eq!(found.unwrap(), behind);
}

#[test]
fn a_program_that_is_not_there_is_told_with_its_stage_and_what_to_do() {
    let folder = Folder::new();
    fs::create_dir(folder.file("bin")).unwrap();
    folder.write("bin/plain", "text");
    let path = [folder.file("bin")];
    let find = |exec: &str| told(&find_among(&stage(exec), folder.path(), &path).unwrap_err());
    let at = folder.path().display();
    for (exec, expected) in [
        (
            "tap-redshfit",
            "the program of stage `tap` is not there: no `tap-redshfit` in `PATH` nor beside `antiphon`\n\
             did you mean `tap-redshift`?"
                .to_owned(),
        ),
        (
            "tap-mine --jobs 2",
            "the program of stage `tap` is not there: no `tap-mine --jobs 2` in `PATH` nor beside `antiphon`\n\
             arguments stand in `args`: { exec = \"tap-mine\", args = [\"…\"] }"
                .to_owned(),
        ),
        (
            "~/bin/tap",
            format!(
                "the program of stage `tap` is not there: `{at}/~/bin/tap`\n\
                 `~` and variables mean nothing in `exec`: write the whole path"
            ),
        ),
        (
            "./nothing",
            format!(
                "the program of stage `tap` is not there: `{at}/./nothing`\n\
                 install it, or write its whole path in `exec`"
            ),
        ),
        (
            "./bin",
            format!("the program of stage `tap` cannot be run: `{at}/./bin` is a folder\n"),
        ),
        (
            "plain",
            format!(
                "the program of stage `tap` cannot be run: `{at}/bin/plain` is not executable\n\
                 chmod +x {at}/bin/plain"
            ),
        ),
    ] {
        assert_eq!(find(exec), expected);
    }
}

#[test]
fn ours_bear_our_names_and_are_native() {
    let folder = Folder::new();
    assert!(is_ours(&program(
        &folder,
        "a/tap-redshift",
        b"\x7fELF\x02\x01"
    )));
    assert!(is_ours(&program(
        &folder,
        "b/map-records",
        &[0xcf, 0xfa, 0xed, 0xfe, 7]
    )));
    assert!(!is_ours(&program(
        &folder,
        "c/tap-redshift",
        b"#!/usr/bin/env python3\n"
    )));
    assert!(!is_ours(&program(
        &folder,
        "d/tap-github",
        b"\x7fELF\x02\x01"
    )));
    assert!(!is_ours(&program(&folder, "e/target-pendo", b"\x7f")));
    assert!(!is_ours(&folder.file("nothing/target-pendo")));
}

#[test]
fn files_are_looked_at_before_a_run() {
    let folder = Folder::new();
    program(&folder, "tap", b"#!/bin/sh\n");
    program(&folder, "target", b"#!/bin/sh\n");
    let file = folder.write(
        "antiphon.toml",
        "[pipelines.a]
         tap = { exec = './tap', config = ['tap.json', 'ENV', { a = 1 }], catalog = 'catalog.json' }
         map = './target'
         target = { exec = './target', config = 'target.json' }",
    );
    let project = Project::load(Some(&file)).unwrap();
    let pipeline = project.pipeline("a").unwrap();
    let stages = [&pipeline.tap, &pipeline.maps[0], &pipeline.target];
    let check = || -> Result<Vec<PathBuf>> {
        let look = |stage| pipeline.check_stage(stage, &project.folder);
        stages.into_iter().map(look).collect()
    };
    let at = project.folder.display();
    let told = || {
        let error = check().unwrap_err();
        assert_eq!(error.kind(), singer_core::Kind::Config);
        told(&error)
    };
    assert_eq!(
        told(),
        format!(
            "cannot read the catalog of stage `tap`: `{at}/catalog.json`\n\
             a tap writes one with `--discover`; `antiphon select` marks what is wanted"
        )
    );
    folder.write("catalog.json", "[]");
    assert_eq!(
        told(),
        format!("cannot read the catalog of stage `tap`: `{at}/catalog.json` holds no object\n")
    );
    folder.write("catalog.json", r#"{"streams": 3}"#);
    assert_eq!(
        told(),
        format!(
            "cannot read the catalog of stage `tap`: `{at}/catalog.json` has no list `streams`\n"
        )
    );
    folder.write("catalog.json", r#"{"streams": [{"stream": "a"}]}"#);
    folder.write("tap.json", "{\"password\": \"hunter2\"\n\"x\"}");
    assert_eq!(
        told(),
        format!(
            "cannot read the config of stage `tap`: `{at}/tap.json` line 2, column 1 is no JSON\n"
        )
    );
    folder.write("tap.json", "{}");
    folder.write("target.json", "{\"a\":");
    assert_eq!(
        told(),
        format!("cannot read the config of stage `target`: `{at}/target.json` ends too early\n")
    );
    folder.write("target.json", "{}");
    let programs = ["./tap", "./target", "./target"].map(|program| project.folder.join(program));
    assert_eq!(check().unwrap(), programs);
}
