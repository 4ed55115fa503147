//! Whether a document passes a query, which `query` has read. Facts: section 3.3.

use serde_json::Value;

use super::date;
use super::document::{Place, Scalar};
use super::query::{Bound, Joined, Operator, Query};

impl Query {
    /// Whether a document, or an object of a nested list, passes.
    pub(super) fn passes(&self, place: Place<'_>) -> bool {
        match self {
            Query::All => true,
            Query::Nothing => false,
            Query::Bool(clauses) => {
                let passes = |query: &Query| query.passes(place);
                clauses.needed.iter().all(passes)
                    && !clauses.must_not.iter().any(passes)
                    && (clauses.minimum == 0
                        || clauses.should.iter().filter(|query| passes(query)).count()
                            >= clauses.minimum)
            }
            Query::Terms { field, values } => place.any(field, |scalar| {
                values.iter().any(|value| equals(scalar, value))
            }),
            Query::Range { field, bounds } => place.any(field, |scalar| {
                bounds.iter().all(|bound| bound.holds(scalar))
            }),
            Query::Exists { field } => place.has(field),
            Query::Prefix {
                field,
                start,
                folds_case,
            } => place.any(field, |scalar| {
                let Scalar::Text(text) = scalar else {
                    return false;
                };
                if *folds_case {
                    text.to_lowercase().starts_with(&start.to_lowercase())
                } else {
                    text.starts_with(start.as_str())
                }
            }),
            Query::Wildcard {
                field,
                pattern,
                folds_case,
            } => place.any(field, |scalar| {
                let Scalar::Text(text) = scalar else {
                    return false;
                };
                let text = if *folds_case {
                    text.to_lowercase()
                } else {
                    text.to_owned()
                };
                fits(pattern, &text.chars().collect::<Vec<_>>())
            }),
            Query::Match {
                field,
                words,
                joined,
            } => place.any(field, |scalar| {
                let there = words_of(&text_of(scalar));
                let is_there = |word: &String| there.contains(word);
                match joined {
                    Joined::Any => words.iter().any(is_there),
                    Joined::All => words.iter().all(is_there),
                    Joined::Phrase if words.is_empty() => false,
                    Joined::Phrase => there.windows(words.len()).any(|these| these == words),
                }
            }),
            Query::Nested { path, query, .. } => place
                .elements(path)
                .into_iter()
                .any(|object| query.passes(Place::Element { path, object })),
        }
    }

    /// Whether an index that maps these paths as nested lists can answer; it fails if it does not map
    /// one, unless the query says that this does not matter.
    pub(super) fn suits(&self, is_mapped: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Query::Bool(clauses) => {
                let all = clauses.needed.iter().chain(&clauses.should);
                let mut all = all.chain(&clauses.must_not);
                all.all(|query| query.suits(is_mapped))
            }
            Query::Nested {
                path,
                query,
                ignores_unmapped,
            } => {
                if is_mapped(path) {
                    query.suits(is_mapped)
                } else {
                    *ignores_unmapped
                }
            }
            _ => true,
        }
    }
}

impl Bound {
    fn holds(&self, scalar: Scalar<'_>) -> bool {
        let order = match scalar {
            Scalar::Time(ms) => self.ms.map(|bound| ms.cmp(&bound)),
            Scalar::Number(number) => {
                let number = number.as_f64();
                number
                    .zip(self.number)
                    .and_then(|(number, bound)| number.partial_cmp(&bound))
            }
            Scalar::Text(text) => match self.ms.zip(date::detect(text)) {
                Some((bound, ms)) => Some(ms.cmp(&bound)),
                None => Some(text.cmp(self.text.as_str())),
            },
            Scalar::Bool(_) => None,
        };
        order.is_some_and(|order| match self.operator {
            Operator::Above => order.is_gt(),
            Operator::From => order.is_ge(),
            Operator::Below => order.is_lt(),
            Operator::To => order.is_le(),
        })
    }
}

fn equals(scalar: Scalar<'_>, value: &Value) -> bool {
    match (scalar, value) {
        (Scalar::Text(text), Value::String(wanted)) => text == wanted,
        (Scalar::Number(number), Value::Number(wanted)) => {
            number == wanted || number.as_f64() == wanted.as_f64()
        }
        (Scalar::Number(number), Value::String(wanted)) => number
            .as_f64()
            .is_some_and(|number| wanted.parse() == Ok(number)),
        (Scalar::Bool(truth), Value::Bool(wanted)) => truth == *wanted,
        (Scalar::Time(ms), Value::Number(wanted)) => wanted.as_i64() == Some(ms),
        (Scalar::Time(ms), Value::String(wanted)) => {
            date::read_ms(wanted).or_else(|| wanted.parse().ok()) == Some(ms)
        }
        (scalar, Value::String(wanted)) => text_of(scalar) == *wanted,
        (Scalar::Text(text), wanted) => {
            let wanted = wanted.to_string();
            text == wanted
        }
        _ => false,
    }
}

fn text_of(scalar: Scalar<'_>) -> String {
    match scalar {
        Scalar::Text(text) => text.to_owned(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Bool(truth) => truth.to_string(),
        Scalar::Time(ms) => date::write_ms(ms),
    }
}

pub(super) fn words_of(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether a text fits a pattern of `*`, `?` and letters; the last star that was met can be taken back.
pub(super) fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some('?') => {
                at += 1;
                place += 1;
            }
            Some(letter) if *letter == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    at = back + 1;
                    place = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}
