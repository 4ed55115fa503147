//! Files that arrive, come late and are indexed again between and while pages are read, over five windows, compared with
//! the truth at the end: every newest version is there, no version came twice beyond what the overlap allows, and
//! none was skipped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use singer_test::pipe::{self, Cut};
use singer_test::poll;
use singer_test::tetra::{Tetra, same};

use crate::pair::{Pair, Retrieve};

/// Windows that are read while the laboratory works.
const WINDOWS: usize = 5;

/// How long a document takes to be found, and how much longer a late one does.
const INDEX_MS: u64 = 2_000;
const LATE_MS: u64 = 20_000;

/// A window ends so long before now, and the next one begins so long before its end: together longer than the latest
/// document is late.
const LAG_SECONDS: u64 = 4;
const OVERLAP_SECONDS: u64 = 30;

/// So many files have small documents, and are compared by their versions.
const MANY: usize = 10_000;

/// A laboratory of so many files in all.
struct Show {
    pair: Pair,
    files: usize,
    /// How often each version of a file was sent.
    sent: BTreeMap<(String, String), usize>,
}

impl Show {
    fn new(
        files: usize,
        retrieve: Retrieve,
        stream: &Value,
        page_size: usize,
        memory: usize,
    ) -> Show {
        let tetra = Tetra::start_with(0, |options| {
            options.tetra.index_ms = INDEX_MS;
            options.tetra.late_every = 50;
            options.tetra.late_ms = LATE_MS;
        });
        let keys = json!({"page_size": page_size, "lag_seconds": LAG_SECONDS, "overlap_seconds": OVERLAP_SECONDS,
            "overlap_memory": memory});
        Show {
            pair: Pair::over(tetra, retrieve)
                .tap_keys(&keys)
                .stream_keys(stream)
                .target_keys(&json!({"method": "storage_write"})),
            files,
            sent: BTreeMap::new(),
        }
    }

    /// One window, read while files arrive and are indexed again.
    fn window(&mut self, arriving: usize) {
        let tetra = &self.pair.tetra;
        let before = arriving * 4 / 5;
        self.arrive(before);
        tetra.inside().advance(10);
        tetra.inside().reindex_some(before / 20);
        tetra.inside().advance(10);
        // Both are built by now, so that the laboratory waits for nothing else than pages.
        let (tap, target) = (self.pair.tap(), self.pair.target());
        let is_over = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            if arriving > 0 {
                scope.spawn(|| self.laboratory(arriving - before, &is_over));
            }
            let ended = pipe::run(tap, target, Cut::Never);
            is_over.store(true, Ordering::SeqCst);
            ended
        });
        ended.expect_success();
        for line in ended
            .tap
            .text()
            .lines()
            .filter(|line| line.contains("\"RECORD\""))
        {
            let version = (text_of(line, "fileId"), text_of(line, "indexedAt"));
            *self.sent.entry(version).or_default() += 1;
        }
    }

    /// All windows, then two for what was on its way.
    fn run(&mut self) {
        let arriving = self.files / WINDOWS;
        for _ in 0..WINDOWS {
            self.window(arriving);
        }
        for _ in 0..2 {
            self.pair.tetra.inside().advance(OVERLAP_SECONDS);
            self.window(0);
        }
        assert_eq!(self.pair.tetra.inside().file_count(), self.files);
        if self.files < MANY {
            self.pair.assert_equal();
        } else {
            self.assert_newest();
        }
    }

    /// At each page, and at some of the links, lets some files arrive and others be indexed again; in the end all are there.
    fn laboratory(&self, mut arriving: usize, is_over: &AtomicBool) {
        let tetra = &self.pair.tetra;
        let seen = || {
            let counts = tetra.inside().counts();
            counts.searches + counts.links / 10
        };
        let mut before = seen();
        let group = arriving.div_ceil(8);
        while !is_over.load(Ordering::SeqCst) {
            poll::until("a request comes, or the run is over", || {
                seen() > before || is_over.load(Ordering::SeqCst)
            });
            before = seen();
            let some = group.min(arriving);
            arriving -= some;
            self.arrive(some);
            tetra.inside().reindex_some(10);
            tetra.inside().advance_ms(300);
        }
        self.arrive(arriving);
    }

    /// Fails the test unless each file has one row, and that is of its newest version.
    fn assert_newest(&self) {
        let (truth, rows) = (self.pair.tetra.truth(), self.pair.rows());
        assert_eq!((truth.len(), rows.len()), (self.files, self.files));
        for (id, document) in &truth {
            let row = &rows[id];
            for (value, cell) in [
                (&document["indexedAt"], &row["indexedAt"]),
                (&document["filePath"], &row["filePath"]),
                (&document["file"]["version"], &row["file"]["version"]),
            ] {
                assert!(
                    same(value, cell),
                    "{id}: {value} at the platform, {cell} in the row"
                );
            }
        }
    }

    /// Results whose documents are small where there are many of them.
    fn arrive(&self, count: usize) {
        if self.files < MANY {
            self.pair.tetra.arrive(count);
            return;
        }
        let file = |number: usize| json!({"document": {"category": "RAW", "filePath": format!("/raw/{number}")}, "text": ""});
        let files: Vec<Value> = (0..count).map(file).collect();
        self.pair.tetra.put(&files.into());
    }
}

/// The text that a record has under a name.
fn text_of(line: &str, name: &str) -> String {
    let (_, rest) = line
        .split_once(&format!("\"{name}\":\""))
        .expect("the record has it");
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn no_version_of_25_000_files_is_skipped() {
    let mut show = Show::new(
        25_000,
        Retrieve::None,
        &json!({"source": ["filePath", "file.version"]}),
        2_000,
        100_000,
    );
    show.run();
    let twice = show.sent.values().filter(|count| **count > 1).count();
    assert_eq!(
        twice, 0,
        "versions that came twice although all were remembered"
    );
}

#[test]
fn nor_of_documents_that_are_retrieved_and_without_a_memory_only_the_overlap_comes_twice() {
    let mut show = Show::new(300, Retrieve::Json, &json!({}), 40, 0);
    show.run();
    let most = show.sent.values().max().copied().unwrap_or_default();
    assert!(most <= WINDOWS + 2, "{most} times");
}
