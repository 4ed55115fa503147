//! `antiphon.toml` without the sections of pipelines that nobody asked for.
//!
//! A crontab of a thousand pipelines reads the file a thousand times, each time for one of them; and a
//! tenant whose section is broken must not stop the others. So whoever runs pipelines by name leaves the
//! sections of the rest unread. A text is cut only where it is certain what is cut: anything unusual is
//! read whole.

/// The tables that a file may have, as their headers begin.
const TOP: [&str; 5] = ["pipelines", "store", "retention", "notify", "defaults"];

/// The text in which the sections of all pipelines but these are empty lines, so that every line keeps its
/// number; `None` if one of these has no section, or if it is not certain where sections begin.
pub(super) fn keep(text: &str, names: &[String]) -> Option<String> {
    // Within a text of several lines, a line that looks like a header is none. A lone `\r` ends no line.
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut kept = String::with_capacity(text.len() / 2);
    let mut found = vec![false; names.len()];
    // What is kept is copied in stretches.
    let mut is_kept = true;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start_matches([' ', '\t']);
        if start.starts_with('[') {
            is_kept = match Header::read(start)? {
                Header::Other => true,
                Header::Pipeline(name) => {
                    // Two names that differ in capitals alone are a fault, which must be seen.
                    let mut asked = false;
                    for (known, found) in names.iter().zip(&mut found) {
                        *found |= known == name;
                        asked |= known.eq_ignore_ascii_case(name);
                    }
                    asked
                }
            };
        }
        if is_kept {
            kept.push_str(line);
        } else if line.ends_with('\n') {
            kept.push('\n');
        }
    }
    found.iter().all(|found| *found).then_some(kept)
}

/// The header of a section.
#[derive(Debug, PartialEq, Eq)]
enum Header<'a> {
    /// Of a pipeline, or of a table within it.
    Pipeline(&'a str),
    Other,
}

impl<'a> Header<'a> {
    /// Reads a line that begins with a bracket. `None` if it is not plainly a header of a known table: it may
    /// be an item of a list of several lines, or be written in a way that only TOML understands.
    ///
    /// A list holds no bare word but `true`, `false`, `nan` and `inf`, so that no item of one looks like this.
    fn read(line: &'a str) -> Option<Self> {
        let (inner, end) = match line.strip_prefix("[[") {
            Some(inner) => (inner, "]]"),
            None => (line.strip_prefix('[')?, "]"),
        };
        let (inner, rest) = inner.split_once(end)?;
        let rest = rest.trim_matches([' ', '\t', '\r', '\n']);
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let (top, mut rest) = part(inner)?;
        if !TOP.contains(&top) || inner.starts_with('"') {
            return None;
        }
        let mut name = None;
        while let Some(next) = rest.strip_prefix('.') {
            let (found, after) = part(next)?;
            name = name.or(Some(found));
            rest = after;
        }
        match name {
            _ if !rest.is_empty() => None,
            Some(name) if top == "pipelines" => Some(Self::Pipeline(name)),
            _ => Some(Self::Other),
        }
    }
}

/// A key at the beginning of a text, bare or in quotes, and what follows it.
fn part(text: &str) -> Option<(&str, &str)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, rest) = quoted.split_once('"')?;
        let is_fine = key.bytes().all(|byte| is_plain(byte) || byte == b'.');
        return is_fine.then_some((key, rest));
    }
    let end = text
        .bytes()
        .position(|byte| !is_plain(byte))
        .unwrap_or(text.len());
    let (key, rest) = text.split_at_checked(end)?;
    (!key.is_empty()).then_some((key, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_sections_of_others_are_empty_lines() {
        let text = "# all\n[store]\nurl = \"x\"\n[pipelines.a]\ntap = \"t\"\n  [pipelines.a.target]\nexec = \"x\"\n\
                    [pipelines.b] # mine\ntap = \"u\"\n[[pipelines.\"b\".map]]\nexec = \"m\"\n[pipelines.\"b.c\"]\n\
                    args = [\n\"]\"\n]\n[notify.ops]\ntype = \"x\"";
        assert_eq!(
            keep(text, &names(&["b"])).unwrap(),
            "# all\n[store]\nurl = \"x\"\n\n\n\n\n[pipelines.b] # mine\ntap = \"u\"\n[[pipelines.\"b\".map]]\n\
             exec = \"m\"\n\n\n\n\n[notify.ops]\ntype = \"x\""
        );
        let dotted = keep(text, &names(&["b.c"])).unwrap();
        assert!(dotted.contains("[pipelines.\"b.c\"]\nargs = [\n\"]\"\n]\n[notify.ops]"));
        assert!(!dotted.contains("mine"));
        assert_eq!(keep(text, &names(&["b", "c"])), None, "`c` has no section");
    }

    #[test]
    fn names_that_differ_in_capitals_alone_stay_together() {
        let text = "[pipelines.a]\nx = 1\n[pipelines.A]\nx = 2\n";
        assert_eq!(keep(text, &names(&["a"])).as_deref(), Some(text));
    }

    #[test]
    fn what_is_unusual_is_not_cut() {
        for line in [
            "[ pipelines.b ]",
            "[pipelines . b]",
            "[\"pipelines\".b]",
            "[pipelines.'b']",
            "[pipelines.\"\\u0062\"]",
            "[pipelines.b] x",
            "[pipelines.b",
            "[pipelines.]",
            "[pipelines.b.]",
            "[piplines.b]",
            "x = \"\"\"",
            "x = '''",
            "x = [\n[1.5],\n]",
            "x = [\n  [\"pipelines.b\"],\n]",
        ] {
            let text = format!("[pipelines.a]\n{line}\n");
            assert_eq!(keep(&text, &names(&["a"])), None, "{line}");
        }
    }

    /// Lines of which files are made, sound ones and others.
    fn line() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "[pipelines.a]",
            "[pipelines.b]",
            "[pipelines.c]\r",
            "[pipelines.a.tap]",
            "  [pipelines.b.tap] # x",
            "[[pipelines.b.map]]",
            "[[pipelines.a.map]]",
            "[pipelines]",
            "[store]",
            "exec = \"x\"",
            "k = [",
            "]",
            "[1.5],",
            "\"[pipelines.a]\",",
            "# [pipelines.a]",
            "k1 = \"[\"",
            "k2 = { a = [ 1 ] }",
            "'[pipelines.a]',",
            "",
        ])
    }

    proptest! {
        #[test]
        fn what_is_kept_of_a_sound_file_says_the_same(lines in prop::collection::vec(line(), 0..14)) {
            let text = lines.join("\n");
            if let (Ok(whole), Some(kept)) = (text.parse::<toml::Table>(), keep(&text, &names(&["a"]))) {
                let kept = kept.parse::<toml::Table>().unwrap();
                prop_assert_eq!(kept.get("store"), whole.get("store"));
                let of = |table: &toml::Table| table["pipelines"].get("a").cloned();
                prop_assert_eq!(of(&kept), of(&whole));
            }
        }
    }
}
