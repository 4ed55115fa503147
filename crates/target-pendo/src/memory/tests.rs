//! The memory as a whole: what it says after every kind of end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::journal::Journal;
use super::*;

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join(format!(
            "target-pendo-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _kept = std::fs::remove_dir_all(&self.0);
    }
}

const OURS: Identity = [1; 32];

fn open(path: &Path) -> Memory {
    Memory::open(path, OURS, MarksLast::Machine).unwrap()
}

fn with_keys<T>(ids: &[&str], then: impl FnOnce(&[Key<'_>]) -> T) -> T {
    let packed: Vec<(u8, Vec<u8>)> = ids
        .iter()
        .map(|id| {
            let mut bytes = Vec::new();
            (pack(id.as_bytes(), &mut bytes), bytes)
        })
        .collect();
    let keys: Vec<Key<'_>> = packed
        .iter()
        .map(|(tag, bytes)| Key { tag: *tag, bytes })
        .collect();
    then(&keys)
}

/// What the memory says of records, as one letter each: `u`nchanged or to be `s`ent.
fn screen(memory: &Memory, version: Option<i64>, records: &[(&str, u64)]) -> String {
    let ids: Vec<&str> = records.iter().map(|(id, _)| *id).collect();
    with_keys(&ids, |keys| {
        let candidates: Vec<Candidate<'_>> = keys
            .iter()
            .zip(records)
            .map(|(key, (_, hash))| Candidate {
                key: *key,
                hash: (*hash > 0).then_some(*hash),
                version,
            })
            .collect();
        memory
            .screen(&candidates, Compare::Values)
            .unwrap()
            .iter()
            .map(|unchanged| if *unchanged { 'u' } else { 's' })
            .collect()
    })
}

fn confirm(memory: &Memory, records: &[(&str, u64)]) {
    let ids: Vec<&str> = records.iter().map(|(id, _)| *id).collect();
    with_keys(&ids, |keys| {
        memory
            .confirm(
                keys.iter()
                    .copied()
                    .zip(records.iter().map(|(_, hash)| *hash)),
            )
            .unwrap();
    });
}

/// Sends and confirms.
fn send(memory: &Memory, version: Option<i64>, records: &[(&str, u64)]) {
    screen(memory, version, records);
    confirm(memory, records);
}

fn merge(memory: &Memory) {
    memory.state().merge(&memory.path, memory.identity).unwrap();
}

fn vanished(memory: &Memory, version: i64, rows: u64) -> Option<Vec<String>> {
    memory.settle(version, rows).unwrap()?;
    let mut ids = Vec::new();
    let mut from = 0;
    loop {
        let portion = memory.vanished(from, 2).unwrap();
        let mut start = 0;
        for end in &portion.ends {
            ids.push(String::from_utf8(portion.ids[start..*end].to_vec()).unwrap());
            start = *end;
        }
        if portion.ends.is_empty() {
            return Some(ids);
        }
        from = portion.next;
    }
}

#[test]
fn what_was_confirmed_is_unchanged_in_this_run_and_the_next_before_and_after_a_merge() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    let records = [
        ("a", 7),
        ("12", 8),
        ("3f2b8c1e-1234-4000-8000-00000000000f", 9),
    ];
    assert_eq!(screen(&memory, None, &records), "sss");
    confirm(&memory, &records);
    assert_eq!(screen(&memory, None, &records), "uuu");
    drop(memory);
    let memory = open(&path);
    assert_eq!(
        screen(&memory, None, &[("a", 7), ("12", 1), ("b", 7)]),
        "uss"
    );
    confirm(&memory, &[("12", 1)]);
    merge(&memory);
    assert_eq!(
        screen(&memory, None, &[("a", 7), ("12", 8), ("12", 1)]),
        "uss"
    );
    drop(memory);
    assert_eq!(
        screen(&open(&path), None, &[("a", 7), records[2], ("c", 1)]),
        "uus"
    );
}

#[test]
fn a_record_that_was_sent_and_not_confirmed_is_sent_again_even_if_it_changes_back() {
    let folder = Folder::new();
    let path = folder.path("m");
    for merged in [false, true] {
        let memory = open(&path);
        send(&memory, None, &[("a", 7)]);
        if merged {
            merge(&memory);
        }
        drop(memory);
        // Value 8 is on its way when the process dies.
        assert_eq!(screen(&open(&path), None, &[("a", 8)]), "s");
        let memory = open(&path);
        assert_eq!(screen(&memory, None, &[("a", 7)]), "s", "merged: {merged}");
        confirm(&memory, &[("a", 7)]);
        assert_eq!(screen(&memory, None, &[("a", 7)]), "u");
    }
}

#[test]
fn a_second_run_is_kept_out() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    let error = Memory::open(&path, OURS, MarksLast::Process).unwrap_err();
    assert!(error.message().contains("another run uses the memory"));
    drop(memory);
    open(&path);
}

#[test]
fn another_subscription_begins_anew_also_with_a_table() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, None, &[("a", 7)]);
    merge(&memory);
    drop(memory);
    let theirs = Memory::open(&path, [2; 32], MarksLast::Machine).unwrap();
    assert_eq!(screen(&theirs, None, &[("a", 7)]), "s");
    drop(theirs);
    assert_eq!(screen(&open(&path), None, &[("a", 7)]), "s");
}

#[test]
fn ids_that_a_version_did_not_show_vanished() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(
        &memory,
        Some(1),
        &[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)],
    );
    assert_eq!(vanished(&memory, 1, 5), Some(vec![]));
    drop(memory);
    let memory = open(&path);
    // Unchanged, changed, refused, new; `d` and `e` are gone.
    assert_eq!(
        screen(&memory, Some(2), &[("a", 1), ("b", 2), ("c", 0), ("f", 1)]),
        "usss"
    );
    confirm(&memory, &[("b", 2), ("f", 1)]);
    memory.sync().unwrap();
    drop(memory);
    // The version was interrupted and goes on; it shows `e` too.
    let memory = open(&path);
    assert_eq!(screen(&memory, Some(2), &[("e", 1)]), "u");
    assert_eq!(vanished(&memory, 2, 1), Some(vec!["d".to_owned()]));
    with_keys(&["d", "unheard of"], |keys| {
        memory.forget(keys.iter().copied()).unwrap();
    });
    assert_eq!(vanished(&memory, 2, 1), Some(vec![]));
    // The refused one is remembered with what Pendo has.
    assert_eq!(screen(&memory, None, &[("c", 1), ("d", 1)]), "us");
}

#[test]
fn marks_survive_a_merge_in_the_middle_of_a_version() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1), ("c", 1)]);
    merge(&memory);
    screen(&memory, Some(2), &[("b", 1)]);
    send(&memory, Some(2), &[("aa", 1)]);
    merge(&memory);
    drop(memory);
    let memory = open(&path);
    screen(&memory, Some(2), &[("c", 1)]);
    assert_eq!(vanished(&memory, 2, 1), Some(vec!["a".to_owned()]));
}

#[test]
fn nothing_vanished_for_another_version_and_all_of_an_empty_one() {
    let folder = Folder::new();
    let memory = open(&folder.path("m"));
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    assert_eq!(vanished(&memory, 2, 5), None);
    assert_eq!(
        vanished(&memory, 2, 0),
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
    // A late batch of the version before does not bring it back.
    screen(&memory, Some(1), &[("a", 1)]);
    assert_eq!(vanished(&memory, 1, 1), None);
}

#[test]
fn a_run_without_the_memory_makes_it_forget_values_and_distrust_the_version_it_missed() {
    let folder = Folder::new();
    let path = folder.path("m");
    Memory::pass_over(&path).unwrap();
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    drop(memory);
    // A run without memory sends the first half of version 2.
    Memory::pass_over(&path).unwrap();
    let memory = open(&path);
    assert_eq!(screen(&memory, Some(2), &[("b", 1)]), "s");
    confirm(&memory, &[("b", 1)]);
    assert_eq!(vanished(&memory, 2, 1), None);
    drop(memory);
    let memory = open(&path);
    screen(&memory, Some(3), &[("b", 1)]);
    assert_eq!(vanished(&memory, 3, 1), Some(vec!["a".to_owned()]));
}

#[test]
fn a_journal_cut_anywhere_is_healed_and_never_says_too_much() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    let sure = std::fs::metadata(journal_path(&path)).unwrap().len();
    send(&memory, Some(1), &[("c", 1)]);
    send(&memory, Some(1), &[("a", 2)]);
    drop(memory);
    let whole = std::fs::read(journal_path(&path)).unwrap();
    for length in sure as usize..=whole.len() {
        std::fs::write(journal_path(&path), &whole[..length]).unwrap();
        let memory = open(&path);
        let said = screen(&memory, None, &[("b", 1), ("c", 1), ("a", 2)]);
        assert!(said.starts_with('u'), "cut to {length}: {said}");
        if length == whole.len() {
            assert_eq!(said, "uuu");
        }
        send(&memory, None, &[("z", 5)]);
        drop(memory);
        assert_eq!(screen(&open(&path), None, &[("z", 5), ("b", 1)]), "uu");
    }
    for length in 0..sure as usize {
        std::fs::write(journal_path(&path), &whole[..length]).unwrap();
        let memory = open(&path);
        let said = screen(&memory, Some(1), &[("a", 1), ("b", 1), ("a", 9)]);
        assert!(said.ends_with('s'));
        assert_ne!(vanished(&memory, 1, 3), Some(vec!["b".to_owned()]));
    }
}

#[test]
fn a_torn_version_clears_nothing_and_the_next_one_does() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    merge(&memory);
    screen(&memory, Some(2), &[("a", 1)]);
    memory.sync().unwrap();
    drop(memory);
    let journal = std::fs::read(journal_path(&path)).unwrap();
    std::fs::write(journal_path(&path), &journal[..journal.len() - 1]).unwrap();
    let memory = open(&path);
    screen(&memory, Some(2), &[("b", 1)]);
    assert_eq!(vanished(&memory, 2, 1), None);
    drop(memory);
    let memory = open(&path);
    assert_eq!(
        vanished(&memory, 2, 1),
        None,
        "it is still known in the next run"
    );
    screen(&memory, Some(3), &[("b", 1)]);
    assert_eq!(vanished(&memory, 3, 1), Some(vec!["a".to_owned()]));
}

#[test]
fn a_table_cut_anywhere_means_that_everything_is_sent_again() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    merge(&memory);
    drop(memory);
    let whole = std::fs::read(table_path(&path)).unwrap();
    for length in 0..whole.len() {
        std::fs::write(table_path(&path), &whole[..length]).unwrap();
        let memory = open(&path);
        assert_eq!(
            screen(&memory, Some(1), &[("a", 1)]),
            "s",
            "cut to {length}"
        );
        assert_eq!(vanished(&memory, 1, 1), Some(vec![]));
        drop(memory);
    }
}

#[test]
fn a_merge_that_died_anywhere_leaves_a_memory_that_knows_everything() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    merge(&memory);
    send(&memory, Some(2), &[("b", 2)]);
    memory.sync().unwrap();
    let (table, journal) = (table_path(&path), journal_path(&path));
    let old_table = std::fs::read(&table).unwrap();
    let old_journal = std::fs::read(&journal).unwrap();
    merge(&memory);
    drop(memory);
    // The new table is in place and the journal still the old one; the new table is only beside.
    for (old, beside) in [(None, ""), (Some(&old_table), "m.table-new")] {
        std::fs::write(&journal, &old_journal).unwrap();
        if let Some(old) = old {
            std::fs::rename(&table, folder.path(beside)).unwrap();
            std::fs::write(&table, old).unwrap();
        }
        let memory = open(&path);
        assert_eq!(screen(&memory, None, &[("a", 1), ("b", 2)]), "uu");
        assert_eq!(vanished(&memory, 2, 1), Some(vec!["a".to_owned()]));
    }
}

#[test]
fn a_memory_that_cannot_be_written_lets_records_through_and_is_not_believed_later() {
    let folder = Folder::new();
    let path = folder.path("m");
    let memory = open(&path);
    send(&memory, Some(1), &[("a", 1), ("b", 1)]);
    merge(&memory);
    // A journal opened for reading takes no more, as a full disk does.
    memory.state().journal = Journal::read_only(&journal_path(&path));
    assert_eq!(screen(&memory, Some(2), &[("a", 2)]), "s");
    confirm(&memory, &[("a", 2)]);
    assert_eq!(screen(&memory, Some(2), &[("b", 1), ("c", 1)]), "ss");
    memory.sync().unwrap();
    assert_eq!(vanished(&memory, 2, 3), None);
    memory.close().unwrap();
    drop(memory);
    let memory = open(&path);
    assert_eq!(screen(&memory, Some(2), &[("a", 1), ("b", 1)]), "ss");
    assert_eq!(vanished(&memory, 2, 2), None);
    screen(&memory, Some(3), &[("a", 1)]);
    assert_eq!(vanished(&memory, 3, 1), Some(vec!["b".to_owned()]));
}

#[test]
fn more_ids_than_are_kept_one_by_one_are_never_wrongly_unchanged() {
    let folder = Folder::new();
    let path = folder.path("m");
    let ids: Vec<String> = (0..RECENT as u32 + 50_000)
        .map(|number| {
            format!(
                "{:08x}-0000-4000-8000-000000000000",
                number.wrapping_mul(2_654_435_761)
            )
        })
        .collect();
    let records: Vec<(&str, u64)> = ids.iter().map(|id| (id.as_str(), 5)).collect();
    let memory = open(&path);
    for portion in records.chunks(500) {
        send(&memory, Some(1), portion);
    }
    let changed: Vec<(&str, u64)> = records.iter().take(1000).map(|(id, _)| (*id, 6)).collect();
    assert!(!screen(&memory, Some(1), &changed).contains('u'));
    confirm(&memory, &changed);
    memory.close().unwrap();
    drop(memory);
    let size = std::fs::metadata(table_path(&path)).unwrap().len()
        + std::fs::metadata(journal_path(&path)).unwrap().len();
    assert!(size < 27 * ids.len() as u64, "{size}");
    let memory = open(&path);
    assert!(!screen(&memory, Some(2), &changed).contains('s'));
    assert!(!screen(&memory, Some(2), &records[1000..]).contains('s'));
    assert_eq!(vanished(&memory, 2, 1), Some(vec![]));
}
