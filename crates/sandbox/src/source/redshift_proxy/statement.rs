//! Reads SQL just well enough to know what Redshift would refuse, and what it would answer from
//! other catalogs. Text inside literals, quoted names and comments is never looked at.

use std::ops::Range;

/// Rows that one `FETCH` may ask for on a cluster of one node.
const MOST_FETCHED: u64 = 1_000;
const MOST_FLOAT_DIGITS: i64 = 2;

/// Catalog names that the dialect's own schema answers.
const REDIRECTED: [&str; 4] = ["PG_CLASS", "PG_ATTRIBUTE", "PG_NAMESPACE", "VERSION"];

const MISSING_FUNCTIONS: [&str; 8] = [
    "PG_ADVISORY_LOCK",
    "PG_TRY_ADVISORY_LOCK",
    "PG_ADVISORY_UNLOCK",
    "STRING_AGG",
    "ARRAY_AGG",
    "UNNEST",
    "ROW_TO_JSON",
    "TO_REGCLASS",
];

const MISSING_CATALOGS: [&str; 2] = ["PG_ENUM", "PG_RANGE"];

/// Why Redshift does not run a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// Gives the statement as the server is to run it: names redirected, and a refused statement
/// replaced by one that fails with the refusal, so that the server's transaction fails too.
pub(super) fn translate(sql: &str) -> String {
    let skeleton = skeleton(sql);
    let refused = statements(&skeleton)
        .find_map(|range| Some((range.start, refusal(&tokens(skeleton.get(range)?))?)));
    match refused {
        Some((start, refusal)) => {
            format!(
                "{} {}",
                sql.get(..start).unwrap_or_default(),
                failing(&refusal)
            )
        }
        None => redirect(sql, &skeleton),
    }
}

fn failing(refusal: &Refusal) -> String {
    format!(
        "DO $refusal$ BEGIN RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = $message${}$message$; \
         END $refusal$",
        refusal.code, refusal.message
    )
}

/// The SQL in capitals, byte for byte as long, with blanks in place of literals, quoted names and
/// comments.
fn skeleton(sql: &str) -> String {
    let bytes = sql.as_bytes();
    let mut skeleton = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.get(skeleton.len()) {
        let rest = &bytes[skeleton.len()..];
        let hidden = match byte {
            b'\'' => quoted(rest, b'\'', Backslash::Escapes),
            b'"' => quoted(rest, b'"', Backslash::Plain),
            b'-' if rest.starts_with(b"--") => rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => end_of(rest, b"*/", 2),
            b'$' if rest.starts_with(b"$$") => end_of(rest, b"$$", 2),
            _ => 0,
        };
        if hidden == 0 {
            skeleton.push(if byte.is_ascii() {
                byte.to_ascii_uppercase()
            } else {
                b'_'
            });
        } else {
            skeleton.resize(skeleton.len() + hidden, b' ');
        }
    }
    String::from_utf8(skeleton).unwrap_or_default()
}

enum Backslash {
    Escapes,
    Plain,
}

/// Length of a quoted text, both quotes included. Redshift takes a backslash in an ordinary
/// literal for an escape.
fn quoted(bytes: &[u8], quote: u8, backslash: Backslash) -> usize {
    let mut index = 1;
    while let Some(byte) = bytes.get(index) {
        if *byte == b'\\' && matches!(backslash, Backslash::Escapes) {
            index += 2;
        } else if *byte != quote {
            index += 1;
        } else if bytes.get(index + 1) == Some(&quote) {
            index += 2;
        } else {
            return index + 1;
        }
    }
    bytes.len()
}

fn end_of(bytes: &[u8], end: &[u8], from: usize) -> usize {
    let found = bytes[from..]
        .windows(end.len())
        .position(|window| window == end);
    found.map_or(bytes.len(), |position| from + position + end.len())
}

fn statements(skeleton: &str) -> impl Iterator<Item = Range<usize>> {
    skeleton.split_inclusive(';').scan(0, |start, statement| {
        let range = *start..*start + statement.len();
        *start = range.end;
        Some(range)
    })
}

/// Words and numbers as they are, every other character by itself.
fn tokens(skeleton: &str) -> Vec<&str> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    skeleton
        .split_inclusive(|character| !is_word(character))
        .flat_map(|part| {
            let word = part.trim_end_matches(|character| !is_word(character));
            [word, part.get(word.len()..).unwrap_or_default().trim()]
        })
        .filter(|token| !token.is_empty())
        .collect()
}

fn refusal(tokens: &[&str]) -> Option<Refusal> {
    let has = |sequence: &[&str]| {
        tokens
            .windows(sequence.len())
            .any(|window| window == sequence)
    };
    let refuse = |code, message: String| Some(Refusal { code, message });
    match tokens {
        ["COPY", ..] if has(&["TO", "STDOUT"]) => {
            return refuse("0A000", "COPY TO STDOUT is not supported".to_owned());
        }
        ["COPY", ..] if has(&["FROM", "STDIN"]) => {
            return refuse("0A000", "COPY FROM STDIN is not supported".to_owned());
        }
        ["DISCARD", ..] => {
            return refuse("42601", "syntax error at or near \"DISCARD\"".to_owned());
        }
        ["SAVEPOINT" | "RELEASE", ..] | ["ROLLBACK", "TO", ..] => {
            return refuse("0A000", "savepoints are not supported".to_owned());
        }
        ["CREATE", "INDEX" | "SEQUENCE" | "TRIGGER" | "UNIQUE", ..] => {
            return refuse("0A000", format!("CREATE {} is not supported", tokens[1]));
        }
        ["VALUES", ..] => return refuse("42601", "syntax error at or near \"VALUES\"".to_owned()),
        ["FETCH", ..] => return fetch_refusal(tokens),
        ["SET", .., "EXTRA_FLOAT_DIGITS", "=" | "TO", digits]
        | ["SET", .., "EXTRA_FLOAT_DIGITS", "=" | "TO", digits, ";"] => {
            return float_digits_refusal(digits);
        }
        _ => {}
    }
    if has(&["(", "VALUES"]) {
        return refuse("42601", "syntax error at or near \"VALUES\"".to_owned());
    }
    if has(&["ARRAY", "["]) {
        return refuse("0A000", "array constructors are not supported".to_owned());
    }
    if let Some(name) = MISSING_FUNCTIONS.iter().find(|name| has(&[name, "("])) {
        return refuse(
            "42883",
            format!("function {}() does not exist", name.to_ascii_lowercase()),
        );
    }
    let name = MISSING_CATALOGS.iter().find(|name| has(&[name]))?;
    refuse(
        "42P01",
        format!("relation \"{}\" does not exist", name.to_ascii_lowercase()),
    )
}

fn fetch_refusal(tokens: &[&str]) -> Option<Refusal> {
    let asked = tokens.iter().find_map(|token| match *token {
        "ALL" => Some(u64::MAX),
        number => number.parse().ok(),
    })?;
    if asked <= MOST_FETCHED {
        return None;
    }
    let asked = if asked == u64::MAX {
        "ALL".to_owned()
    } else {
        asked.to_string()
    };
    Some(Refusal {
        code: "XX000",
        message: format!(
            "Fetch size {asked} exceeds the limit of {MOST_FETCHED} for a single node configuration"
        ),
    })
}

/// What Redshift says to a value of `extra_float_digits`, if it does not take it.
pub(super) fn float_digits_refusal(digits: &str) -> Option<Refusal> {
    let digits: i64 = digits.trim_matches(['\'', ' ']).parse().ok()?;
    (digits > MOST_FLOAT_DIGITS).then(|| Refusal {
        code: "22023",
        message: format!(
            "{digits} is outside the valid range for parameter \"extra_float_digits\" \
             (-15 .. {MOST_FLOAT_DIGITS})"
        ),
    })
}

/// Sends what is asked of some names in `pg_catalog` to the schema of the dialect.
fn redirect(sql: &str, skeleton: &str) -> String {
    const CATALOG: &str = "PG_CATALOG.";
    let mut translated = String::with_capacity(sql.len());
    let mut copied = 0;
    for (position, _) in skeleton.match_indices(CATALOG) {
        let rest = skeleton.get(position + CATALOG.len()..).unwrap_or_default();
        let word = rest
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .next();
        if word.is_some_and(|word| REDIRECTED.contains(&word)) {
            translated.push_str(sql.get(copied..position).unwrap_or_default());
            translated.push_str("rs.");
            copied = position + CATALOG.len();
        }
    }
    translated.push_str(sql.get(copied..).unwrap_or_default());
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> Option<&'static str> {
        let skeleton = skeleton(sql);
        statements(&skeleton)
            .find_map(|range| refusal(&tokens(skeleton.get(range).unwrap())))
            .map(|refusal| refusal.code)
    }

    #[test]
    fn what_redshift_lacks_is_refused() {
        for (sql, code) in [
            ("copy (select 1) to stdout with (format binary)", "0A000"),
            ("COPY t FROM STDIN", "0A000"),
            ("/* hello */ discard all", "42601"),
            ("begin; savepoint a", "0A000"),
            ("fetch forward 1001 from c", "XX000"),
            ("FETCH ALL FROM c", "XX000"),
            ("SET extra_float_digits = 3", "22023"),
            ("set extra_float_digits to 3;", "22023"),
            ("select * from (values (1), (2)) x", "42601"),
            ("select array[1, 2]", "0A000"),
            ("select string_agg (a, ',') from t", "42883"),
            ("select 1 from pg_catalog.pg_enum", "42P01"),
            ("CREATE INDEX i ON t (a)", "0A000"),
        ] {
            assert_eq!(refused(sql), Some(code), "{sql}");
        }
    }

    #[test]
    fn what_redshift_has_passes() {
        for sql in [
            "FETCH FORWARD 1000 FROM c",
            "SET extra_float_digits = 2",
            "select 'copy t to stdout; discard all', \"pg_enum\" -- pg_range",
            "select 'it\\'s; discard all'",
            "insert into t (a, b) values (1, 2), (3, 4)",
            "SELECT values_, fetch FROM t; COMMIT",
            "select 'naïve ü' from t",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
            assert_eq!(translate(sql), sql);
        }
    }

    #[test]
    fn only_the_refused_statement_is_replaced() {
        let translated = translate("BEGIN; DECLARE c CURSOR FOR SELECT 'ü'; FETCH ALL FROM c");
        assert!(translated.starts_with("BEGIN; DECLARE c CURSOR FOR SELECT 'ü'; DO $refusal$"));
    }

    #[test]
    fn catalog_names_are_redirected_outside_of_literals() {
        assert_eq!(
            translate(
                "select pg_catalog.version(), 'pg_catalog.pg_class' from PG_CATALOG.pg_class"
            ),
            "select rs.version(), 'pg_catalog.pg_class' from rs.pg_class"
        );
        let other = "select 1 from pg_catalog.pg_class_x, pg_catalog.pg_type";
        assert_eq!(translate(other), other);
    }
}
