//! The READMEs tell the truth: their commands run, their links lead somewhere, the first page is short.

use std::fs;
use std::path::{Path, PathBuf};

use singer_test::bin::{Run, workspace};

use suite::world::{World, commands, example};

#[test]
fn the_first_page_is_short() {
    let lines = read(&workspace().join("README.md")).lines().count();
    assert!(lines < 200, "{lines} lines");
}

#[test]
fn the_commands_of_the_first_page_run() {
    let world = World::start();
    world.folder.write_json("tap.json", &world.tap_config());
    world
        .folder
        .write_json("target.json", &world.target_config());
    world
        .folder
        .write("catalog.json", world.catalog(&example("catalog.json")));
    let (make, pipe): (Vec<String>, Vec<String>) = commands(&read(&workspace().join("README.md")))
        .into_iter()
        .partition(|command| command.starts_with("make "));
    assert!(!make.is_empty() && pipe.len() > 2, "{make:?} {pipe:?}");
    // Those of make would build for minutes, or are run by the tests of the examples: here it counts
    // that they exist.
    for command in make {
        let dry = command.replacen("make ", "make --dry-run ", 1);
        world.shell(&dry, workspace()).finish().expect_code(0);
    }
    world
        .shell(&pipe.join("\n"), world.folder.path())
        .finish()
        .expect_code(0);
    assert!(world.folder.read("state.json").contains("bookmarks"));
}

#[test]
fn every_make_target_has_a_line_in_the_help() {
    let makefile = read(&workspace().join("Makefile"));
    let help = Run::program("make").folder(workspace()).finish();
    let help = help.expect_code(0).text();
    let targets = makefile
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY: "));
    for target in targets.filter(|target| *target != "fmt-check") {
        let shown = help
            .lines()
            .any(|line| line.split_whitespace().next() == Some(target));
        assert!(shown, "`{target}` is not in the help");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let mut pages = Vec::new();
    collect_pages(workspace(), &mut pages);
    assert!(pages.len() > 5);
    for page in pages {
        let folder = page.parent().expect("a file lies in a folder");
        for link in links(&read(&page)) {
            let file = link.split('#').next().unwrap_or_default();
            let is_ours = !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:");
            assert!(
                !is_ours || folder.join(file).exists(),
                "{} links to `{link}`, which is not there",
                page.display()
            );
        }
    }
}

/// The Markdown files of this repository, without what was built.
fn collect_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect_pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// The targets of `[text](target)`.
fn links(markdown: &str) -> Vec<&str> {
    let after = markdown.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}
