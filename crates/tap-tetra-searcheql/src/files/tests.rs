//! Tests of names and content.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::save::make_folder;
use super::*;

#[test]
fn names_stay_in_their_folder_on_every_system() {
    let long = format!("{}.json", "é".repeat(200));
    for (path, wanted) in [
        ("runs/2024/a b.json", "a b.json"),
        ("../../etc/passwd", "passwd"),
        ("a/..", "file"),
        ("..", "file"),
        ("", "file"),
        ("C:\\x\\y.raw", "y.raw"),
        ("a:b|c?.txt", "a_b_c_.txt"),
        ("x/.bashrc", "_.bashrc"),
        ("x/.part", "_.part"),
        ("nul", "_nul"),
        ("Com1.txt", "_Com1.txt"),
        ("console.txt", "console.txt"),
        ("line\nbreak\u{0}.txt", "line_break_.txt"),
        ("dots... ", "dots"),
    ] {
        assert_eq!(safe_name(path), wanted, "{path:?}");
    }
    let cut = format!("{} b", "a".repeat(MAX_NAME_BYTES - 1));
    assert_eq!(safe_name(&cut), "a".repeat(MAX_NAME_BYTES - 1));
    let name = safe_name(&long);
    assert!(name.len() <= MAX_NAME_BYTES && name.ends_with(".json"));
    assert_eq!(folder_of("11ee50ef-0000"), "11ee50ef-0000");
    for odd in ["../../x", "con", "lpt1", ""] {
        assert!(folder_of(odd).starts_with("id_"), "{odd}");
    }
    assert_ne!(
        folder_of("A"),
        folder_of("a"),
        "some systems do not tell the two apart"
    );
}

#[test]
fn gzip_is_unzipped_where_it_is_one_piece_by_piece() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&b"content ".repeat(100)).unwrap();
    let zipped = encoder.finish().unwrap();
    let read = |bytes: &[u8], may_be_gzip| {
        let mut plain = Plain::new(may_be_gzip);
        let mut all = Vec::new();
        for piece in bytes.chunks(7) {
            all.extend_from_slice(&plain.take(Some(piece))?);
        }
        all.extend_from_slice(&plain.take(None)?);
        io::Result::Ok(all)
    };
    assert_eq!(read(&zipped, true).unwrap(), b"content ".repeat(100));
    assert_eq!(read(&zipped, false).unwrap(), zipped);
    assert_eq!(read(b"plain text", true).unwrap(), b"plain text");
    let cut = zipped.get(..zipped.len() / 2).unwrap();
    assert!(
        read(cut, true).is_err(),
        "half of it is not taken for the whole"
    );
}

#[test]
fn a_little_gzip_is_never_unzipped_into_much_at_once() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    let zipped = encoder.finish().unwrap().repeat(40);
    let mut plain = Plain::new(true);
    let (mut most, mut all) = (0, 0);
    for piece in [Some(&zipped[..]), None] {
        for part in parts(piece, plain.step()) {
            let bytes = plain.take(part).unwrap().len();
            (most, all) = (most.max(bytes), all + bytes);
        }
    }
    assert_eq!(all, 40 << 20);
    assert!(most <= 20 << 20, "{most}");
}

#[test]
fn folders_are_made_with_those_above_them() {
    let root = std::env::temp_dir().join(format!("tetra-folders-{}", std::process::id()));
    let inner = root.join("a/b");
    make_folder(&inner).unwrap();
    make_folder(&inner).unwrap();
    fs::write(inner.join("file"), "").unwrap();
    assert!(make_folder(&inner.join("file/c")).is_err());
    assert!(make_folder(&inner.join("file")).is_err());
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn the_search_tells_of_content_in_any_form() {
    let facts = |source: &'static str| {
        Facts::of(&Hit {
            file_id: "f".to_owned(),
            sort: Vec::new(),
            source: singer_net::Bytes::from_static(source.as_bytes()),
        })
    };
    let all = facts(
        r#"{"filePath":"a/b.json","file":{"size":"12","version":3,"s3ContentEncoding":"GZIP"}}"#,
    );
    assert_eq!(
        (all.size, all.version.as_deref(), all.is_gzip),
        (Some(12), Some("3"), true)
    );
    assert_eq!(all.name, "b.json");
    assert_eq!(
        facts(r#"{"file":{"size":7,"path":"s3/c.raw"}}"#).name,
        "c.raw"
    );
    assert_eq!(facts(r#"{"file":"odd"}"#).name, "file");
    assert_eq!(facts("{}").name, "file");
}
