//! A table is read as it was written, and damage is noticed.

use std::path::Path;

use super::*;
use crate::memory::key::pack;
use crate::memory::tests::Folder;

const DESCRIPTION: Description = Description {
    identity: [7; 32],
    generation: 3,
    version: Some(-5),
    trusted: true,
};

fn ids() -> Vec<String> {
    let mut ids: Vec<String> = (0..3000)
        .map(|number| match number % 3 {
            0 => number.to_string(),
            1 => format!("{number:08x}-0000-4000-8000-000000000000"),
            _ => format!("v-{number}@example.org"),
        })
        .collect();
    ids.sort_by_cached_key(|id| {
        let mut bytes = Vec::new();
        (pack(id.as_bytes(), &mut bytes), bytes)
    });
    ids
}

fn with_key<T>(id: &str, then: impl FnOnce(Key<'_>) -> T) -> T {
    let mut bytes = Vec::new();
    let tag = pack(id.as_bytes(), &mut bytes);
    then(Key { tag, bytes: &bytes })
}

fn write(path: &Path, ids: &[String]) {
    let mut writer = Writer::create(path).unwrap();
    for (row, id) in ids.iter().enumerate() {
        with_key(id, |key| writer.push(key, row as u64, row % 2 == 0)).unwrap();
    }
    writer.finish(&DESCRIPTION).unwrap();
}

#[test]
fn every_row_is_found_again_and_no_other() {
    let folder = Folder::new();
    let path = folder.path("table");
    let ids = ids();
    write(&path, &ids);
    let mut table = Table::open(&path).unwrap();
    assert_eq!(table.description, DESCRIPTION);
    assert_eq!(table.rows() as usize, ids.len());
    for (row, id) in ids.iter().enumerate() {
        let found = with_key(id, |key| table.find(key)).unwrap();
        assert_eq!(
            found,
            Some(Found {
                row: row as u32,
                hash: row as u64
            })
        );
        assert_eq!(table.marks.has(row as u32), row % 2 == 0);
    }
    for absent in [
        "",
        "9999999",
        "00000000-0000-4000-8000-000000000000",
        "zz",
        "v-",
    ] {
        assert_eq!(
            with_key(absent, |key| table.find(key)).unwrap(),
            None,
            "{absent}"
        );
    }
}

#[test]
fn rows_without_mark_come_in_portions() {
    let folder = Folder::new();
    let path = folder.path("table");
    let ids = ids();
    write(&path, &ids);
    let mut table = Table::open(&path).unwrap();
    let mut seen = Vec::new();
    let mut from = 0;
    while from < table.rows() {
        from = table
            .unmarked(from, 400, |key| {
                let mut text = Vec::new();
                key.unpack(&mut text);
                seen.push(String::from_utf8(text).unwrap());
            })
            .unwrap();
    }
    let wanted: Vec<String> = ids.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(seen, wanted);
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let folder = Folder::new();
    let path = folder.path("table");
    let ids: Vec<String> = ids().into_iter().take(300).collect();
    write(&path, &ids);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let Ok(mut table) = Table::open(&path) else {
            continue;
        };
        let all = || -> io::Result<u32> {
            let mut scan = table.scan();
            let mut rows = 0;
            while let Some((key, hash, _)) = scan.next()? {
                let mut text = Vec::new();
                key.unpack(&mut text);
                assert_eq!(text, ids[hash as usize].as_bytes(), "byte {at}");
                rows += 1;
            }
            Ok(rows)
        };
        // A block whose damage hits only what is stored twice reads well; nothing reads wrongly.
        if let Ok(rows) = { all }() {
            assert_eq!(rows as usize, ids.len(), "byte {at}");
        }
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(Table::open(&path).is_err(), "cut to {length}");
    }
}
