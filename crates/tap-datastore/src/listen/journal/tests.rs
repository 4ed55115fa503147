//! Tests of the journal.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::event::Change;
use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("journal-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn payload_of(rowid: u64) -> Vec<u8> {
    let row = serde_json::from_str("{\"a\":{\n\"b\":1}}").unwrap();
    payload(&Event {
        change: Change::Upsert,
        rowid: rowid.to_string(),
        id: None,
        at: None,
        is_repeated: false,
        row,
    })
    .unwrap()
}

fn append(writer: &mut Writer, rows: std::ops::Range<u64>) {
    let payloads: Vec<Vec<u8>> = rows.map(payload_of).collect();
    writer.append(&payloads).unwrap();
    writer.sync().unwrap();
}

fn read_all(folder: &Path, position: u64, last: u64) -> Vec<(u64, String)> {
    let mut tail = Tail::new(folder, position);
    let mut all = Vec::new();
    loop {
        let events = tail.read(last).unwrap();
        if events.is_empty() {
            return all;
        }
        all.extend(
            events
                .into_iter()
                .map(|(number, event)| (number, event.rowid)),
        );
    }
}

#[test]
fn lines_are_read_from_a_position_on_and_no_further_than_they_are_synced() {
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.0, 0).unwrap();
    append(&mut writer, 0..5);
    assert_eq!(writer.last(), 5);
    let rows = |position, last| -> Vec<u64> {
        let read = read_all(&folder.0, position, last).into_iter();
        read.map(|(number, _)| number).collect()
    };
    assert_eq!(rows(0, 5), [1, 2, 3, 4, 5]);
    assert_eq!(rows(3, 5), [4, 5]);
    assert_eq!(rows(0, 2), [1, 2]);
    assert_eq!(rows(5, 5), [0_u64; 0]);
}

#[test]
fn a_torn_end_is_cut_off_and_its_numbers_are_given_out_again() {
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.0, 0).unwrap();
    append(&mut writer, 0..3);
    drop(writer);
    let path = segment_path(&folder.0, 1);
    let whole = fs::read(&path).unwrap();
    for torn in [
        &b"1234"[..],
        b"00000000 4 {}\n",
        b"00000000 4 {}\n00000000 5 {}\n",
    ] {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(torn);
        fs::write(&path, bytes).unwrap();
        let writer = Writer::open(&folder.0, 0).unwrap();
        assert_eq!(writer.last(), 3);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    let mut writer = Writer::open(&folder.0, 0).unwrap();
    append(&mut writer, 9..10);
    assert_eq!(read_all(&folder.0, 3, 4), [(4, "9".to_owned())]);
}

#[test]
fn segments_follow_one_another_and_go_when_a_state_covers_them() {
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.0, 0).unwrap();
    append(&mut writer, 0..3);
    writer.length = SEGMENT_BYTES;
    append(&mut writer, 3..5);
    writer.length = SEGMENT_BYTES;
    append(&mut writer, 5..6);
    assert_eq!(segments(&folder.0).unwrap(), [1, 4, 6]);
    let numbers: Vec<u64> = read_all(&folder.0, 0, 6)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    confirm(&folder.0, 2).unwrap();
    assert_eq!(segments(&folder.0).unwrap(), [1, 4, 6]);
    confirm(&folder.0, 4).unwrap();
    assert_eq!(segments(&folder.0).unwrap(), [4, 6]);
    confirm(&folder.0, 6).unwrap();
    assert_eq!(segments(&folder.0).unwrap(), [6], "the last one stays");
    assert_eq!(
        read_all(&folder.0, 0, 6).len(),
        1,
        "what is gone is skipped"
    );
}

#[test]
fn numbers_that_a_state_covers_are_not_given_out_again() {
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.0, 7).unwrap();
    append(&mut writer, 0..1);
    assert_eq!(writer.last(), 8);
    drop(writer);
    let mut writer = Writer::open(&folder.0, 100).unwrap();
    append(&mut writer, 1..2);
    assert_eq!(read_all(&folder.0, 100, 101), [(101, "1".to_owned())]);
    let from_older = read_all(&folder.0, 7, 101);
    assert_eq!(from_older, [(8, "0".to_owned()), (101, "1".to_owned())]);
}

#[test]
fn two_processes_do_not_share_a_journal() {
    let folder = Folder::new();
    let _writer = Writer::open(&folder.0, 0).unwrap();
    let error = Writer::open(&folder.0, 0).unwrap_err();
    assert!(error.message().ends_with("is in use"));
}

#[test]
fn damage_before_the_end_is_an_error() {
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.0, 0).unwrap();
    append(&mut writer, 0..3);
    let path = segment_path(&folder.0, 1);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Tail::new(&folder.0, 0).read(3).unwrap_err();
    assert!(error.message().ends_with("is damaged"));
}

#[test]
fn the_checksum_is_that_of_zip() {
    assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
}
