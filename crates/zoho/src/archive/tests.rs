//! Tests of archives: whole, cut, damaged, too large, and not archives at all.

use std::io::{Cursor, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use singer_core::Kind;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const BOUNDS: Bounds = Bounds {
    max_entries: 4,
    max_bytes: 8 << 20,
    max_ratio: 200,
};

/// A file with these bytes that has no name any more.
fn file(bytes: &[u8]) -> File {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("zoho-archive-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn options(method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(method)
}

fn zipped(entries: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn deflated(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zipped(entries, options(CompressionMethod::Deflated))
}

/// Reads the CSV of an archive; an error while reading comes out like one of opening.
fn unzip(archive: &[u8], bounds: Bounds) -> Result<Vec<u8>> {
    let mut reader = open(file(archive), ".csv", bounds)?;
    let mut out = Vec::new();
    let read = reader.read_to_end(&mut out);
    read.map_err(|error| error.downcast::<Error>().unwrap())?;
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    Ok(out)
}

fn refusal(archive: &[u8], bounds: Bounds) -> String {
    let error = unzip(archive, bounds).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    error.message().to_owned()
}

/// A text that deflate makes only somewhat shorter.
fn table(rows: u64) -> Vec<u8> {
    let mut state = 1_u64;
    let mut csv = b"a\n".to_vec();
    for _ in 0..rows {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        csv.extend_from_slice(format!("{state}\n").as_bytes());
    }
    csv
}

#[test]
fn deflated_stored_and_large_entries_are_read() {
    let csv = table(20_000);
    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        for large in [false, true] {
            let options = options(method).large_file(large);
            let archive = zipped(&[("Table-Trips.CSV", &csv)], options);
            assert!(unzip(&archive, BOUNDS).unwrap() == csv);
        }
    }
    assert_eq!(unzip(&deflated(&[("a.csv", b"")]), BOUNDS).unwrap(), b"");
}

#[test]
fn the_records_of_zip64_are_read() {
    let csv = table(10);
    let mut archive = deflated(&[("a.csv", &csv)]);
    let end = archive.split_off(archive.len() - 22);
    let number = |from: usize| u32::from_le_bytes(end[from..from + 4].try_into().unwrap());
    let (size, begin) = (number(12), number(16));
    let at = archive.len() as u64;
    // The long record of the end, where to find it, and the short one that points to them.
    archive.extend_from_slice(b"PK\x06\x06");
    archive.extend_from_slice(&44_u64.to_le_bytes());
    archive.extend_from_slice(&[45, 0, 45, 0]);
    archive.extend_from_slice(&[0; 8]);
    for number in [1, 1, u64::from(size), u64::from(begin)] {
        archive.extend_from_slice(&number.to_le_bytes());
    }
    archive.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    archive.extend_from_slice(&at.to_le_bytes());
    archive.extend_from_slice(&1_u32.to_le_bytes());
    archive.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    archive.extend_from_slice(&[0xFF; 12]);
    archive.extend_from_slice(&[0; 2]);
    assert!(unzip(&archive, BOUNDS).unwrap() == csv);
}

#[test]
fn an_archive_that_is_cut_anywhere_says_so() {
    let archive = deflated(&[("a.csv", &table(20))]);
    for length in 1..archive.len() {
        let message = refusal(&archive[..length], BOUNDS);
        assert!(message.contains("cut off"), "{length}: {message}");
    }
}

#[test]
fn what_is_no_archive_is_named_so() {
    for bytes in [&b""[..], b"<html>busy</html>", b"ROWID\n1\n"] {
        let message = refusal(bytes, BOUNDS);
        assert!(message.contains("no ZIP archive"), "{message}");
    }
}

#[test]
fn a_changed_byte_never_passes() {
    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        let archive = zipped(&[("a.csv", &table(50))], options(method));
        for place in 60..archive.len() - 120 {
            let mut broken = archive.clone();
            broken[place] ^= 0x10;
            assert!(unzip(&broken, BOUNDS).is_err(), "{place}");
        }
    }
}

#[test]
fn an_error_is_never_followed_by_an_end() {
    let mut archive = zipped(&[("a.csv", &table(50))], options(CompressionMethod::Stored));
    archive[80] ^= 1;
    let mut reader = open(file(&archive), ".csv", BOUNDS).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
    assert!(reader.read(&mut [0; 8]).is_err());
}

#[test]
fn just_one_file_has_the_suffix() {
    let one = deflated(&[("../../etc/a.csv", b"a\n"), ("read.me", b"x")]);
    assert_eq!(unzip(&one, BOUNDS).unwrap(), b"a\n");
    let none = refusal(&deflated(&[("a.txt", b"a\n")]), BOUNDS);
    assert_eq!(none, "the archive has no file whose name ends with `.csv`");
    assert!(refusal(&deflated(&[]), BOUNDS).contains("no file whose name"));
    let two = refusal(&deflated(&[("a.csv", b"a\n"), ("b.csv", b"a\n")]), BOUNDS);
    assert!(two.contains("several files"));
}

#[test]
fn entries_are_bounded() {
    let names: Vec<_> = (0..5).map(|number| format!("{number}.csv")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), &b"a"[..]))
        .collect();
    let message = refusal(&deflated(&entries), BOUNDS);
    assert_eq!(message, "the archive has 5 entries, more than 4");

    let names: Vec<_> = (0..30_000).map(|number| format!("{number:050}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let many = zipped(&entries, options(CompressionMethod::Stored));
    let message = refusal(&many, BOUNDS);
    assert!(
        message.contains("longer than 4 entries make it"),
        "{message}"
    );
}

#[test]
fn size_and_ratio_are_bounded() {
    let zeros = deflated(&[("a.csv", &vec![b'0'; 4 << 20])]);
    assert!(refusal(&zeros, BOUNDS).contains("more than 200 times"));
    let wide = Bounds {
        max_ratio: 2000,
        ..BOUNDS
    };
    assert_eq!(unzip(&zeros, wide).unwrap().len(), 4 << 20);
    let short = Bounds {
        max_bytes: 1000,
        ..BOUNDS
    };
    assert!(refusal(&zeros, short).contains("more than 1000 bytes"));
    // Below a MiB the ratio is free.
    let small = deflated(&[("a.csv", &vec![b'0'; 900_000])]);
    assert_eq!(unzip(&small, BOUNDS).unwrap().len(), 900_000);
}

#[test]
fn a_size_that_the_directory_hides_is_noticed_as_it_flows() {
    let mut archive = deflated(&[("a.csv", &vec![b'0'; 4 << 20])]);
    let entry = memchr::memmem::rfind(&archive, b"PK\x01\x02").unwrap();
    archive[entry + 24..entry + 28].copy_from_slice(&1000_u32.to_le_bytes());
    let message = refusal(&archive, BOUNDS);
    assert!(message.contains("more than the 1000 bytes"), "{message}");
}

#[test]
fn encrypted_and_unknown_entries_are_refused() {
    let plain = deflated(&[("a.csv", b"a\n")]);
    let entry = memchr::memmem::rfind(&plain, b"PK\x01\x02").unwrap();
    let mut encrypted = plain.clone();
    encrypted[entry + 8] |= 1;
    assert!(refusal(&encrypted, BOUNDS).contains("encrypted"));
    let mut unknown = plain;
    unknown[entry + 10] = 12;
    assert!(refusal(&unknown, BOUNDS).contains("other than deflate"));
}

/// What a writer makes of these pieces.
fn written(pieces: &[&[u8]], level: u32) -> Vec<u8> {
    let mut writer = Writer::start(Vec::new(), "a.csv", level).unwrap();
    for piece in pieces {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_a_writer_zips_is_read_back() {
    let long = table(5000);
    let flat = vec![b'x'; 2 << 20];
    for level in [1, 2, 3, 9] {
        for pieces in [
            &[][..],
            &[b"".as_slice()],
            &[b"a\n1\n"],
            &[b"a\n", &long, b"2\n"],
            &[&flat],
        ] {
            let unzipped = unzip(
                &written(pieces, level),
                Bounds {
                    max_ratio: 5000,
                    ..BOUNDS
                },
            );
            assert!(unzipped.unwrap() == pieces.concat(), "{level}");
        }
    }
}

#[test]
fn rows_one_by_one_give_the_same_archive_as_all_at_once() {
    let csv = table(5000);
    let rows: Vec<&[u8]> = csv.split_inclusive(|byte| *byte == b'\n').collect();
    let unzipped = unzip(&written(&rows, 1), BOUNDS).unwrap();
    assert!(unzipped == csv);
}

#[test]
fn sizes_and_checksum_stand_before_the_file_as_well_as_behind_it() {
    let archive = written(&[b"a,b\n1,2\n"], 1);
    let long = |at: usize| u32::from_le_bytes(archive[at..at + 4].try_into().unwrap());
    let short = |at: usize| u16::from_le_bytes(archive[at..at + 2].try_into().unwrap());
    assert!(archive.starts_with(BEGIN_OF_FILE));
    assert_eq!((short(4), short(8), short(26), short(28)), (20, 8, 5, 0));
    assert_eq!((long(22), &archive[30..35]), (8, b"a.csv".as_slice()));
    let mut checksum = flate2::Crc::new();
    checksum.update(b"a,b\n1,2\n");
    assert_eq!(long(14), checksum.sum());
    let directory = 35 + long(18) as usize;
    assert_eq!(&archive[directory..directory + 4], b"PK\x01\x02");
    assert_eq!(archive[14..26], archive[directory + 16..directory + 28]);
    let end = archive.len() - 22;
    assert_eq!(&archive[end..end + 4], b"PK\x05\x06");
    assert_eq!((short(end + 8), short(end + 10)), (1, 1));
    assert_eq!(long(end + 12) as usize, end - directory);
    assert_eq!(long(end + 16) as usize, directory);
}

/// What stands before each file.
const BEGIN_OF_FILE: &[u8] = b"PK\x03\x04";

#[test]
fn an_archive_can_stand_behind_other_bytes() {
    let mut writer = Writer::start(b"before".to_vec(), "a.csv", 1).unwrap();
    writer.write(b"a\n1\n").unwrap();
    assert_eq!(writer.unzipped_len(), 4);
    let out = writer.finish().unwrap();
    let archive = out.strip_prefix(b"before".as_slice()).unwrap();
    assert_eq!(unzip(archive, BOUNDS).unwrap(), b"a\n1\n");
}

#[test]
fn a_name_must_fit() {
    assert!(Writer::start(Vec::new(), "", 1).is_err());
    assert!(Writer::start(Vec::new(), &"a".repeat(65_536), 1).is_err());
    assert!(Writer::start(Vec::new(), "søk.csv", 1).is_ok());
}

#[test]
fn an_archive_is_never_longer_than_was_said() {
    // Noise, rows, and one letter: what deflate makes longer, half as long, and nearly nothing.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..120_000)
        .map(|_| {
            state = (state.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    for bytes in [noise, table(8000), vec![b'x'; 200_000]] {
        for level in [1, 3, 9] {
            for cut in [1, 40_000, bytes.len()] {
                let (begin, rest) = bytes.split_at(cut);
                let mut writer = Writer::start(Vec::new(), "a.csv", level).unwrap();
                begin.chunks(97).for_each(|row| writer.write(row).unwrap());
                let said = writer.compressed_len_upper_bound(rest.len());
                writer.write(rest).unwrap();
                let length = writer.finish().unwrap().len();
                assert!(length <= said, "{length} {said} {level} {cut}");
            }
        }
    }
    // And not much shorter, so that an archive can be filled.
    let empty = Writer::start(Vec::new(), "a.csv", 1).unwrap();
    assert!(empty.compressed_len_upper_bound(0) < 128 << 10);
}
