//! Criteria of row calls: a parser and what it finds out about a row. Facts: section 2.4.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::answer::Failure;
use super::datatype::Nature;
use super::table::View;

/// How deep parentheses may go.
const DEEPEST: usize = 64;

const AGGREGATES: [&str; 6] = ["sum", "avg", "count", "min", "max", "distinct"];

/// A condition on the rows of one table.
#[derive(Debug)]
pub(crate) enum Criteria {
    And(Box<Criteria>, Box<Criteria>),
    Or(Box<Criteria>, Box<Criteria>),
    Not(Box<Criteria>),
    Compare(Column, Operator, Vec<u8>),
    In(Column, HashSet<Vec<u8>>),
    Like(Column, String),
    IsNull(Column),
}

/// A column of the table, and how its cells are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    place: usize,
    nature: Nature,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// In double quotes.
    Name(String),
    /// In single quotes.
    Text(String),
    /// A bare word in lower case, or a number.
    Word(String),
    Sign(&'static str),
}

impl Criteria {
    /// Reads criteria for a table.
    pub(crate) fn parse(text: &str, view: &View) -> Result<Criteria, Failure> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens,
            at: 0,
            view,
            depth: 0,
        };
        let criteria = parser.either()?;
        match parser.peek() {
            None => Ok(criteria),
            Some(_) => Err(syntax()),
        }
    }

    /// Whether a row is meant.
    pub(crate) fn matches(&self, view: &View, row: usize) -> bool {
        let cell = |column: &Column| view.rows.cell(row, column.place);
        match self {
            Criteria::And(one, other) => one.matches(view, row) && other.matches(view, row),
            Criteria::Or(one, other) => one.matches(view, row) || other.matches(view, row),
            Criteria::Not(inner) => !inner.matches(view, row),
            Criteria::IsNull(column) => cell(column).is_empty(),
            Criteria::In(column, values) => {
                let cell = cell(column);
                !cell.is_empty() && values.contains(&normal(column.nature, cell))
            }
            Criteria::Like(column, pattern) => {
                let cell = String::from_utf8_lossy(cell(column)).to_lowercase();
                !cell.is_empty() && is_like(&cell, pattern)
            }
            Criteria::Compare(column, operator, value) => {
                let cell = cell(column);
                !cell.is_empty() && operator.holds(order(column.nature, cell, value))
            }
        }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::Unequal => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}

fn order(nature: Nature, one: &[u8], other: &[u8]) -> Ordering {
    if nature == Nature::Text {
        return one.cmp(other);
    }
    let integer = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i128>().ok();
    // Ids have more digits than a float holds.
    if let (Some(one), Some(other)) = (integer(one), integer(other)) {
        return one.cmp(&other);
    }
    let float = |text: &[u8]| -> f64 {
        let text = std::str::from_utf8(text).unwrap_or_default();
        text.parse().unwrap_or(f64::NAN)
    };
    float(one)
        .partial_cmp(&float(other))
        .unwrap_or(Ordering::Less)
}

/// A value in the form in which equal ones are the same bytes.
fn normal(nature: Nature, value: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    match nature {
        Nature::Number if text.contains('.') => {
            let trimmed = text.trim_end_matches('0').trim_end_matches('.');
            trimmed.as_bytes().to_vec()
        }
        _ => value.to_vec(),
    }
}

/// `%` stands for any text, `_` for any character.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some(wanted) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = pattern.get(wanted.len_utf8()..).unwrap_or_default();
    if wanted == '%' {
        let ends = text.char_indices().map(|(place, _)| place);
        let mut ends = ends.chain([text.len()]);
        return ends.any(|end| is_like(text.get(end..).unwrap_or_default(), rest));
    }
    let mut characters = text.chars();
    match characters.next() {
        Some(found) if wanted == '_' || found == wanted => is_like(characters.as_str(), rest),
        _ => false,
    }
}

fn syntax() -> Failure {
    Failure::new(7331, "The syntax of the criteria is wrong")
}

fn unreadable() -> Failure {
    Failure::new(8054, "The criteria cannot be parsed")
}

fn tokens(text: &str) -> Result<Vec<Token>, Failure> {
    const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "."];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let (content, behind) = quoted(rest, first).ok_or_else(unreadable)?;
            tokens.push(if first == '"' {
                Token::Name(content)
            } else {
                Token::Text(content)
            });
            rest = behind.trim_start();
            continue;
        }
        if first.is_alphanumeric() || first == '-' || first == '_' {
            let is_inside = |one: char| one.is_alphanumeric() || "-_.".contains(one);
            let end = rest.find(|one| !is_inside(one)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at_checked(end).ok_or_else(unreadable)?;
            tokens.push(Token::Word(word.to_lowercase()));
            rest = behind.trim_start();
            continue;
        }
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let sign = sign.ok_or_else(unreadable)?;
        tokens.push(Token::Sign(sign));
        rest = rest.strip_prefix(sign).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// A text in quotes, which stand for themselves if they are doubled.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut rest = text.strip_prefix(quote)?;
    loop {
        let (before, behind) = rest.split_once(quote)?;
        content.push_str(before);
        match behind.strip_prefix(quote) {
            Some(behind) => {
                content.push(quote);
                rest = behind;
            }
            None => return Some((content, behind)),
        }
    }
}

struct Parser<'view> {
    tokens: Vec<Token>,
    at: usize,
    view: &'view View,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, Failure> {
        let token = self.peek().cloned().ok_or_else(syntax)?;
        self.at += 1;
        Ok(token)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn either(&mut self) -> Result<Criteria, Failure> {
        let mut left = self.both()?;
        while self.takes_word("or") {
            left = Criteria::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Criteria, Failure> {
        let mut left = self.single()?;
        while self.takes_word("and") {
            left = Criteria::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Criteria, Failure> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(unreadable());
        }
        let criteria = if self.takes_word("not") {
            Criteria::Not(Box::new(self.single()?))
        } else if self.takes_sign("(") {
            let inner = self.either()?;
            if !self.takes_sign(")") {
                return Err(syntax());
            }
            inner
        } else {
            let column = self.column()?;
            self.condition(column)?
        };
        self.depth -= 1;
        Ok(criteria)
    }

    fn column(&mut self) -> Result<Column, Failure> {
        let mut name = match self.next()? {
            Token::Name(name) => name,
            Token::Word(word) if AGGREGATES.contains(&word.as_str()) => {
                let message = "Aggregates are not allowed in the criteria";
                return Err(Failure::new(7333, message));
            }
            _ => return Err(syntax()),
        };
        if self.takes_sign(".") {
            if !name.eq_ignore_ascii_case(&self.view.name) {
                let message = format!("The table `{name}` of the criteria is unknown");
                return Err(Failure::new(7332, message));
            }
            let Token::Name(column) = self.next()? else {
                return Err(syntax());
            };
            name = column;
        }
        let place = self.view.column(&name).ok_or_else(|| {
            Failure::new(
                7330,
                format!("The column `{name}` of the criteria is unknown"),
            )
        })?;
        let nature = self.view.columns[place].kind.nature();
        Ok(Column { place, nature })
    }

    fn condition(&mut self, column: Column) -> Result<Criteria, Failure> {
        let is_negated = self.takes_word("not");
        let criteria = match self.next()? {
            Token::Word(word) if word == "in" => Criteria::In(column, self.values(column)?),
            Token::Word(word) if word == "like" => match self.next()? {
                Token::Text(pattern) => Criteria::Like(column, pattern.to_lowercase()),
                _ => return Err(syntax()),
            },
            Token::Word(word) if word == "is" && !is_negated => {
                let is_not = self.takes_word("not");
                if !self.takes_word("null") {
                    return Err(syntax());
                }
                let is_null = Criteria::IsNull(column);
                return Ok(negated(is_null, is_not));
            }
            Token::Sign(sign) if !is_negated => {
                let operator = operator(sign).ok_or_else(syntax)?;
                Criteria::Compare(column, operator, self.value(column)?)
            }
            _ => return Err(syntax()),
        };
        Ok(negated(criteria, is_negated))
    }

    fn values(&mut self, column: Column) -> Result<HashSet<Vec<u8>>, Failure> {
        if !self.takes_sign("(") {
            return Err(syntax());
        }
        let mut values = HashSet::new();
        loop {
            let value = self.value(column)?;
            values.insert(normal(column.nature, &value));
            if self.takes_sign(")") {
                return Ok(values);
            }
            if !self.takes_sign(",") {
                return Err(syntax());
            }
        }
    }

    fn value(&mut self, column: Column) -> Result<Vec<u8>, Failure> {
        let text = match self.next()? {
            Token::Text(text) => text,
            Token::Word(word) if word.parse::<f64>().is_ok() || word == "true" => word,
            Token::Word(word) if word == "false" => word,
            _ => return Err(syntax()),
        };
        if column.nature == Nature::Number && text.trim().parse::<f64>().is_err() {
            let message = "A value of the criteria cannot be converted";
            return Err(Failure::new(7327, message));
        }
        Ok(text.into_bytes())
    }
}

fn negated(criteria: Criteria, is_negated: bool) -> Criteria {
    if is_negated {
        Criteria::Not(Box::new(criteria))
    } else {
        criteria
    }
}

fn operator(sign: &str) -> Option<Operator> {
    let operator = match sign {
        "=" => Operator::Equal,
        "!=" | "<>" => Operator::Unequal,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        _ => return None,
    };
    Some(operator)
}
