//! Tests of reading and writing CSV.

use proptest::prelude::*;
use singer_core::Kind;

use super::*;

/// A reader that hands out a few bytes at a time, so that every border between blocks comes up.
struct Dribble<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(out.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        out[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

/// Every cell of every row with whether it was quoted, or the first error.
fn read(csv: &[u8], step: usize) -> Result<Vec<Vec<(String, bool)>>> {
    let reader = Dribble { bytes: csv, step };
    let mut rows = Rows::new(reader, 1 << 20)?;
    let width = rows.header().len();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..width).map(|cell| (row.text(cell).to_owned(), row.is_quoted(cell)));
        all.push(cells.collect());
    }
    Ok(all)
}

/// The texts of all rows; the same for every step of the reader.
fn texts(csv: &str) -> Vec<Vec<String>> {
    let whole = read(csv.as_bytes(), usize::MAX).unwrap();
    for step in 1..8 {
        assert_eq!(read(csv.as_bytes(), step).unwrap(), whole, "step {step}");
    }
    let text = |row: Vec<(String, bool)>| row.into_iter().map(|(text, _)| text).collect();
    whole.into_iter().map(text).collect()
}

/// The message of the first error; the same for every step of the reader.
fn refusal(csv: &[u8]) -> String {
    let error = read(csv, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    for step in 1..8 {
        let again = read(csv, step).unwrap_err();
        assert_eq!(again.message(), error.message(), "step {step}");
    }
    error.message().to_owned()
}

#[test]
fn a_mark_and_both_line_ends_are_no_part_of_a_cell() {
    let expected = [["1", "x"], ["2", "y"]];
    for csv in [
        "a,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "\u{feff}a,b\r\n1,x\n2,y",
        "\u{feff}\"a\",b\n\"1\",\"x\"\r\n2,\"y\"",
        "a,b\n1,x\n2,y\r",
        "a,b\n1,x\n2,y\n\n",
        "a,b\n1,x\n2,y\r\n\r\n",
    ] {
        assert_eq!(texts(csv), expected, "{csv:?}");
    }
}

#[test]
fn quotes_keep_separators_line_breaks_and_quotes() {
    let csv =
        "a,b\n\"1,5\",\"two\nlines\r\nand \"\"three\"\"\"\n\"\"\"\",é\"\"é\n\"é\"\"é\"\"\",\"\"\n";
    assert_eq!(
        texts(csv),
        [
            ["1,5", "two\nlines\r\nand \"three\""],
            ["\"", "é\"\"é"],
            ["é\"é\"", ""],
        ]
    );
}

#[test]
fn quotes_and_carriage_returns_inside_bare_cells_are_text() {
    assert_eq!(
        texts("a,b\n1\"2\",a\rb\n \"x\", \n"),
        [["1\"2\"", "a\rb"], [" \"x\"", " "]]
    );
}

#[test]
fn an_empty_text_differs_from_nothing() {
    let rows = read(b"a,b,c\n\"\",,x\n", usize::MAX).unwrap();
    let cell = |text: &str, quoted| (text.to_owned(), quoted);
    assert_eq!(rows, [[cell("", true), cell("", false), cell("x", false)]]);
}

#[test]
fn with_one_column_a_blank_line_is_a_row() {
    assert_eq!(texts("a\n1\n\n2\n\n"), [["1"], [""], ["2"], [""]]);
}

#[test]
fn a_table_without_rows_has_a_header() {
    for csv in ["a,\"b\nc\"", "a,\"b\nc\"\n", "a,\"b\nc\"\r\n"] {
        let mut rows = Rows::new(csv.as_bytes(), 100).unwrap();
        assert_eq!(rows.header(), ["a", "b\nc"]);
        assert!(rows.next().unwrap().is_none());
        assert!(rows.next().unwrap().is_none());
    }
}

#[test]
fn headers_that_name_nothing_or_a_column_twice_are_refused() {
    assert!(refusal(b"").contains("no header line"));
    assert!(refusal("\u{feff}".as_bytes()).contains("no header line"));
    assert!(refusal(b"\n1\n").contains("names no column"));
    assert!(refusal(b"a,b,a\n").contains("names the column `a` twice"));
    assert!(refusal(b"a,\xff\n").contains("the header line: the row is not UTF-8"));
}

#[test]
fn errors_name_the_line_where_the_row_begins() {
    let wrong = "line 4: the row has 1 cells, the header 2";
    assert_eq!(refusal(b"a,b\n1,\"x\ny\"\n2\n"), wrong);
    let wrong = "line 3: the row has 3 cells, the header 2";
    assert_eq!(refusal(b"a,b\n1,2\n1,2,3\n"), wrong);
    let wrong = "line 2: the row has 1 cells, the header 2";
    assert_eq!(refusal(b"a,b\n\n1,2\n"), wrong);
    assert_eq!(
        refusal(b"a,b\n1,2\n3,\"x"),
        "line 3: a quote is never closed"
    );
    for csv in ["a\n\"x\"y\n", "a\n\"x\" \n", "a\n\"x\"\ry\n"] {
        let wrong = "line 2: text stands after a closing quote";
        assert_eq!(refusal(csv.as_bytes()), wrong);
    }
    assert_eq!(refusal(b"a\n1\nx\0y\n"), "line 3: the row holds a NUL byte");
    assert_eq!(refusal(b"a\n1\nx\xc3\n"), "line 3: the row is not UTF-8");
    // Undoing the quote must not make a character of two halves of a broken one.
    assert_eq!(
        refusal(b"a\n\"\xc3\"\"\xa9\"\n"),
        "line 2: the row is not UTF-8"
    );
}

#[test]
fn a_row_is_bounded_whether_it_ends_or_not() {
    let bounded = |csv: &[u8], step| {
        let mut rows = Rows::new(Dribble { bytes: csv, step }, 10)?;
        while rows.next()?.is_some() {}
        Ok::<_, Error>(())
    };
    for step in [1, 3, usize::MAX] {
        bounded(b"a,b\n1234,67890\r\n", step).unwrap();
        bounded(b"a,b\n1234,67890", step).unwrap();
        let ended = bounded(b"a,b\n1234,678901\n", step).unwrap_err();
        assert_eq!(ended.message(), "line 2: the row is longer than 10 bytes");
        let open = bounded(b"a,b\n1,\"34567890123456789012345", step).unwrap_err();
        assert!(open.message().starts_with("line 2: "));
    }
    let endless = std::io::repeat(b'x');
    let error = Rows::new(endless, 1 << 17).unwrap_err();
    assert!(error.message().contains("longer than 131072 bytes"));
}

#[test]
fn long_rows_grow_the_buffer_and_keep_their_bytes() {
    let long = "x\"é\n".repeat(60_000);
    let mut csv = b"a,b\n1,2\n".to_vec();
    for _ in 0..3 {
        write_quoted(&mut csv, long.as_bytes());
        csv.extend_from_slice(b",end\n");
    }
    let mut rows = Rows::new(&csv[..], 1 << 20).unwrap();
    assert_eq!(rows.next().unwrap().unwrap().text(1), "2");
    for _ in 0..3 {
        let row = rows.next().unwrap().unwrap();
        assert!(row.text(0) == long);
        assert_eq!(row.text(1), "end");
    }
    assert!(rows.next().unwrap().is_none());
}

#[test]
fn after_an_error_the_table_never_looks_ended() {
    let mut rows = Rows::new(&b"a,b\n1\n"[..], 100).unwrap();
    assert!(rows.next().is_err());
    assert!(rows.next().is_err());
}

#[test]
fn an_error_of_ours_passes_through_the_reader() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other(Error::protocol("cut off")))
        }
    }
    let reader = b"a\n1".chain(Broken);
    let mut rows = Rows::new(reader, 100).unwrap();
    let error = rows.next().unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("cut off"));
}

#[test]
fn nothing_prints_the_values_of_a_row() {
    let mut rows = Rows::new(&b"a\nsecret\n"[..], 100).unwrap();
    assert!(!format!("{rows:?}").contains("secret"));
    assert!(!format!("{:?}", rows.next()).contains("secret"));
}

/// A cell: nothing, or a text with what is special to CSV more often than chance would have it.
fn cell() -> impl Strategy<Value = Option<String>> {
    let special = prop::sample::select(vec!["\"", "\"\"", ",", "\n", "\r\n", "\r", "é", "🚲", " "]);
    let piece = prop_oneof![special.prop_map(str::to_owned), "[a-z0-9]{0,3}"];
    prop::option::of(prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()))
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec(prop::collection::vec(cell(), 3), 0..6),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        last_line_ends in any::<bool>(),
    ) {
        let mut csv = Vec::new();
        write_header(&mut csv, ["a", "b\"", "c,"]);
        for (index, row) in rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    csv.push(b',');
                }
                if let Some(text) = cell {
                    write_quoted(&mut csv, text.as_bytes());
                }
            }
            if last_line_ends || index + 1 < rows.len() {
                csv.extend_from_slice(line_end.as_bytes());
            }
        }
        let expected: Vec<Vec<_>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| (cell.clone().unwrap_or_default(), cell.is_some())).collect())
            .collect();
        for step in [1, 2, 3, 4, 5, 6, 7, usize::MAX] {
            prop_assert_eq!(&read(&csv, step).unwrap(), &expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(b"a,\"\n\r\0\xc3\xa9".to_vec()), 0..40), step in 1_usize..8) {
        let whole = read(&bytes, usize::MAX).map_err(|error| error.message().to_owned());
        let dribbled = read(&bytes, step).map_err(|error| error.message().to_owned());
        prop_assert_eq!(whole, dribbled);
    }
}
