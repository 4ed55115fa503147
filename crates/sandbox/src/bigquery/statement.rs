//! What can be told of a statement without understanding it: its verb, the tables that it names, and
//! which of them it changes. Enough to count bytes and to queue; running it is left to `sql`.

use super::table::TableName;

/// A statement, looked at from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glance {
    /// The first word, in upper case.
    pub(crate) verb: String,
    /// The table behind the verb, if the verb changes one.
    pub(crate) changes: Option<TableName>,
    /// The table or view that CREATE, ALTER and DROP are about.
    pub(crate) defines: Option<TableName>,
    /// Every path of two or three names that the text has.
    pub(crate) names: Vec<TableName>,
}

impl Glance {
    /// Whether it is one of the statements that wait for each other on a table.
    pub(crate) fn is_mutating(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE"
        )
    }

    /// Whether it changes rows at all.
    pub(crate) fn is_dml(&self) -> bool {
        self.is_mutating() || self.verb == "INSERT"
    }
}

/// Looks at a text; names without a project or a dataset get the given ones.
pub(crate) fn glance(text: &str, project: &str, dataset: Option<&str>) -> Glance {
    let words = words(text);
    let verb = words
        .first()
        .map(|word| word.to_ascii_uppercase())
        .unwrap_or_default();
    let names: Vec<TableName> = words
        .iter()
        .filter_map(|word| name(word, project, dataset))
        .collect();
    let glance = Glance {
        verb,
        changes: None,
        defines: None,
        names,
    };
    let target = words.iter().skip(1).find(|word| {
        !matches!(
            word.to_ascii_uppercase().as_str(),
            "INTO" | "FROM" | "TABLE"
        )
    });
    let changes = target
        .filter(|_| glance.is_dml())
        .and_then(|word| whole_name(word, project, dataset));
    let is_ddl = matches!(glance.verb.as_str(), "CREATE" | "ALTER" | "DROP");
    let defined = words.iter().skip(1).find(|word| !is_ddl_word(word));
    let defines = defined
        .filter(|_| is_ddl && !words.iter().take(4).any(|word| is_schema(word)))
        .and_then(|word| whole_name(word, project, dataset));
    Glance {
        changes,
        defines,
        ..glance
    }
}

/// The words between the verb of a definition and the name.
fn is_ddl_word(word: &str) -> bool {
    let words = [
        "OR",
        "REPLACE",
        "TEMP",
        "TEMPORARY",
        "TABLE",
        "VIEW",
        "IF",
        "NOT",
        "EXISTS",
    ];
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn is_schema(word: &str) -> bool {
    word.eq_ignore_ascii_case("SCHEMA")
}

/// A path that says at least the dataset.
fn name(word: &str, project: &str, dataset: Option<&str>) -> Option<TableName> {
    word.contains('.')
        .then(|| whole_name(word, project, dataset))
        .flatten()
}

fn whole_name(word: &str, project: &str, dataset: Option<&str>) -> Option<TableName> {
    let parts: Vec<&str> = word.split('.').collect();
    match parts.as_slice() {
        [project, dataset, table] => Some(TableName::new(project, dataset, table)),
        [dataset, table] => Some(TableName::new(project, dataset, table)),
        [table] => dataset.map(|dataset| TableName::new(project, dataset, table)),
        _ => None,
    }
}

/// Words and paths in their order, without texts, comments and signs.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '`' => {
                let quoted = characters
                    .by_ref()
                    .take_while(|character| *character != '`');
                word.extend(quoted);
            }
            '\'' | '"' => {
                finish(&mut words, &mut word);
                let mut escaped = false;
                for inner in characters.by_ref() {
                    if inner == character && !escaped {
                        break;
                    }
                    escaped = inner == '\\' && !escaped;
                }
            }
            '#' => skip_line(&mut characters),
            '-' if characters.peek() == Some(&'-') => skip_line(&mut characters),
            '/' if characters.peek() == Some(&'*') => {
                let mut last = ' ';
                for inner in characters.by_ref() {
                    if last == '*' && inner == '/' {
                        break;
                    }
                    last = inner;
                }
            }
            // A project id has dashes, also outside of quotes.
            '-' if !word.is_empty()
                && characters.peek().is_some_and(|next| next.is_alphabetic()) =>
            {
                word.push(character);
            }
            '.' | '_' => word.push(character),
            _ if character.is_alphanumeric() => word.push(character),
            _ => finish(&mut words, &mut word),
        }
    }
    finish(&mut words, &mut word);
    words
}

fn finish(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

fn skip_line(characters: &mut impl Iterator<Item = char>) {
    characters.find(|character| *character == '\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_mutating_statement_is_known() {
        for text in [
            "MERGE `p.d.t` T USING d.s S ON T.a = S.a WHEN MATCHED THEN DELETE",
            "-- why\nUPDATE d.t SET a = 'x.y.z' WHERE TRUE",
            "delete from `p`.`d`.`t` where true",
            "/* a */ TRUNCATE TABLE p.d.t",
            "DELETE t WHERE TRUE",
        ] {
            let glance = glance(text, "p", Some("d"));
            assert_eq!(
                glance.changes,
                Some(TableName::new("p", "d", "t")),
                "{text}"
            );
            assert!(glance.is_mutating());
        }
        let select = glance("SELECT 'a.b' FROM my-project.d.t", "p", None);
        assert_eq!(select.changes, None);
        assert_eq!(select.names, [TableName::new("my-project", "d", "t")]);
        assert!(glance("INSERT INTO d.t (a) VALUES (1)", "p", None).is_dml());
        for text in [
            "CREATE OR REPLACE TABLE d.t AS SELECT 1 AS a",
            "create table if not exists `p.d.t` (a INT64)",
            "ALTER TABLE d.t ADD COLUMN b STRING",
            "DROP VIEW IF EXISTS d.t",
        ] {
            let defined = glance(text, "p", None).defines;
            assert_eq!(defined, Some(TableName::new("p", "d", "t")), "{text}");
        }
        assert_eq!(glance("CREATE SCHEMA d", "p", Some("x")).defines, None);
    }
}
