//! The main job under `antiphon run`: the runner is killed without a word while it works, then runs again.
//! Each test ends with the destination equal to the table.

use std::fs;

use singer_test::bin::{Run, Signal, binary};
use singer_test::poll;
use suite::pair::{Method, Pair};

/// More than two states of the tap.
const ROWS: u64 = 25_000;

/// `antiphon run main` over the two halves of a pair.
fn antiphon(pair: &Pair) -> Run {
    Run::of("antiphon")
        .folder(pair.folder.path())
        .args(["run", "main"])
}

fn configure(pair: &Pair) {
    for name in ["tap-redshift", "target-pendo"] {
        binary(name);
    }
    // It writes its config.
    drop(pair.target());
    let jobs = if pair.database.takes_one_connection() {
        r#", args = ["--jobs", "1"]"#
    } else {
        ""
    };
    pair.folder.write(
        "antiphon.toml",
        format!(
            "[pipelines.main]\ngrace = \"2s\"\n\
             tap = {{ exec = \"tap-redshift\", config = \"tap.json\", catalog = \"catalog.json\"{jobs} }}\n\
             target = {{ exec = \"target-pendo\", config = \"target.json\" }}\n"
        ),
    );
}

/// How many versions the state has.
fn versions(pair: &Pair) -> usize {
    let folder = pair.folder.file(".antiphon/pipelines/main/state");
    fs::read_dir(folder).map_or(0, |entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter(|name| name.ends_with(".json") && name != "newest.json")
            .count()
    })
}

#[test]
fn a_runner_that_is_killed_again_and_again_leaves_both_sides_equal() {
    for method in [Method::FullTable, Method::Incremental] {
        let pair = Pair::new(ROWS, method);
        configure(&pair);
        let mut seen = 0;
        for point in ["it holds its lease", "rows arrive", "a state is stored"] {
            let running = antiphon(&pair).start();
            poll::until(point, || match point {
                "it holds its lease" => pair.folder.file(".antiphon/pipelines/main/lock").exists(),
                "rows arrive" => pair.stored().len() > seen,
                // Whoever takes over puts one, too.
                _ => versions(&pair) > seen + 1,
            });
            running.signal(Signal::Kill);
            assert_eq!(running.finish().signal(), Some(9), "{point}");
            seen = match point {
                "it holds its lease" => pair.stored().len(),
                _ => versions(&pair),
            };
        }
        antiphon(&pair)
            .finish()
            .expect_code(0)
            .expect_log("taken over from a runner that died");
        pair.assert_same_rows();
        // And what changes from here on is all that is read.
        pair.fill(1..=10, 2);
        antiphon(&pair).finish().expect_code(0);
        pair.assert_same_rows();
    }
}
