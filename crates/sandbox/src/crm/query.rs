//! The text of a COQL query as a tree. Facts: section 6.

use serde_json::json;

use super::answer::ApiError;
use super::condition::Comparison;

/// One `select`.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) columns: Vec<String>,
    pub(super) module: String,
    pub(super) condition: Expression,
    /// Columns with whether they descend.
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

#[derive(Debug)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Test {
        column: String,
        is_negated: bool,
        test: RawTest,
    },
}

#[derive(Debug)]
pub(super) enum RawTest {
    Compare(Comparison, String),
    In(Vec<String>),
    Between(String, String),
    Like(String),
    Null,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "*"];

/// Words that the service knows and the stand-in does not.
const NOT_SIMULATED: [&str; 8] = [
    "group", "having", "distinct", "count", "sum", "max", "min", "avg",
];

pub(super) fn parse(text: &str) -> Result<Select, ApiError> {
    let tokens = split(text)?;
    for token in &tokens {
        if let Token::Word(word) = token
            && NOT_SIMULATED
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        {
            return Err(ApiError::not_simulated(format!("`{word}` in COQL")));
        }
    }
    let mut parser = Parser { tokens, next: 0 };
    let select = parser.select()?;
    if parser.peek().is_some() {
        return Err(parser.unexpected());
    }
    Ok(select)
}

fn invalid(near: &str) -> ApiError {
    ApiError::bad("INVALID_QUERY", json!({"near": near}))
}

fn split(text: &str) -> Result<Vec<Token>, ApiError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (token, behind) = quoted(rest)?;
            tokens.push(token);
            rest = behind;
        } else if first.is_ascii_digit() || first == '-' {
            let (number, behind) = take_while(rest, |c| c.is_ascii_digit() || "-.".contains(c));
            tokens.push(Token::Number(number.to_owned()));
            rest = behind;
        } else if first.is_alphabetic() || "_$".contains(first) {
            let is_part = |c: char| c.is_alphanumeric() || "_.$".contains(c);
            let (word, behind) = take_while(rest, is_part);
            tokens.push(Token::Word(word.to_owned()));
            rest = behind;
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| invalid(&first.to_string()))?;
            tokens.push(Token::Sign(sign));
            rest = rest.strip_prefix(sign).unwrap_or_default();
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A text in single quotes; one with a backslash in front belongs to it, as two of them do.
fn quoted(rest: &str) -> Result<(Token, &str), ApiError> {
    let mut text = String::new();
    let mut rest = rest.strip_prefix('\'').unwrap_or(rest);
    loop {
        let (part, behind) = rest.split_once('\'').ok_or_else(|| invalid("'"))?;
        if let Some(part) = part.strip_suffix('\\') {
            text.push_str(part);
        } else if behind.starts_with('\'') {
            text.push_str(part);
            text.push('\'');
            rest = behind.strip_prefix('\'').unwrap_or_default();
            continue;
        } else {
            text.push_str(part);
            return Ok((Token::Text(text), behind));
        }
        text.push('\'');
        rest = behind;
    }
}

fn take_while(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at(end)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn unexpected(&self) -> ApiError {
        match self.peek() {
            Some(Token::Word(text) | Token::Number(text) | Token::Text(text)) => invalid(text),
            Some(Token::Sign(sign)) => invalid(sign),
            None => invalid("end"),
        }
    }

    /// Goes behind a word, if it is the next one.
    fn skip(&mut self, word: &str) -> bool {
        let is_next =
            matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(is_next);
        is_next
    }

    fn skip_sign(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, word: &str) -> Result<(), ApiError> {
        if self.skip(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), ApiError> {
        if self.skip_sign(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn name(&mut self) -> Result<String, ApiError> {
        let name = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(name)
    }

    fn select(&mut self) -> Result<Select, ApiError> {
        self.expect("select")?;
        let mut columns = vec![self.name()?];
        while self.skip_sign(",") {
            columns.push(self.name()?);
        }
        self.expect("from")?;
        let module = self.name()?;
        if !self.skip("where") {
            return Err(ApiError::bad("INVALID_QUERY", json!({"clause": "where"})));
        }
        let condition = self.any()?;
        let mut order = Vec::new();
        if self.skip("order") {
            self.expect("by")?;
            loop {
                let column = self.name()?;
                let is_descending = self.skip("desc");
                if !is_descending {
                    self.skip("asc");
                }
                order.push((column, is_descending));
                if !self.skip_sign(",") {
                    break;
                }
            }
        }
        let (limit, offset) = self.window()?;
        Ok(Select {
            columns,
            module,
            condition,
            order,
            limit,
            offset,
        })
    }

    /// `limit 200`, `limit 200 offset 400` or `limit 400, 200`.
    fn window(&mut self) -> Result<(Option<usize>, usize), ApiError> {
        if !self.skip("limit") {
            return Ok((None, 0));
        }
        let first = self.count()?;
        if self.skip_sign(",") {
            return Ok((Some(self.count()?), first));
        }
        let offset = if self.skip("offset") {
            self.count()?
        } else {
            0
        };
        Ok((Some(first), offset))
    }

    fn count(&mut self) -> Result<usize, ApiError> {
        let number = match self.peek() {
            Some(Token::Number(text)) => text.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(number)
    }

    fn any(&mut self) -> Result<Expression, ApiError> {
        let mut parts = vec![self.all()?];
        while self.skip("or") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, ApiError> {
        let mut parts = vec![self.part()?];
        while self.skip("and") {
            parts.push(self.part()?);
        }
        Ok(Expression::All(parts))
    }

    fn part(&mut self) -> Result<Expression, ApiError> {
        if self.skip_sign("(") {
            let inner = self.any()?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let column = self.name()?;
        let (is_negated, test) = self.test()?;
        Ok(Expression::Test {
            column,
            is_negated,
            test,
        })
    }

    fn test(&mut self) -> Result<(bool, RawTest), ApiError> {
        if self.skip("is") {
            let is_negated = self.skip("not");
            self.expect("null")?;
            return Ok((is_negated, RawTest::Null));
        }
        let is_negated = self.skip("not");
        if self.skip("in") {
            self.expect_sign("(")?;
            let mut values = vec![self.literal()?];
            while self.skip_sign(",") {
                values.push(self.literal()?);
            }
            self.expect_sign(")")?;
            return Ok((is_negated, RawTest::In(values)));
        }
        if self.skip("like") {
            return Ok((is_negated, RawTest::Like(self.literal()?)));
        }
        if self.skip("between") {
            let low = self.literal()?;
            self.expect("and")?;
            return Ok((is_negated, RawTest::Between(low, self.literal()?)));
        }
        let comparison = match self.peek() {
            _ if is_negated => return Err(self.unexpected()),
            Some(Token::Sign("=")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterEqual,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok((false, RawTest::Compare(comparison, self.literal()?)))
    }

    fn literal(&mut self) -> Result<String, ApiError> {
        let literal = match self.peek() {
            Some(Token::Text(text) | Token::Number(text)) => text.clone(),
            Some(Token::Word(word))
                if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") =>
            {
                word.to_ascii_lowercase()
            }
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_apart() {
        let select = parse(
            "select id, Account_Name.Phone from Contacts where (Last_Name like 'O\\'Neil%' or Email is not null) and Modified_Time >= '2026-03-01T00:00:00+00:00' order by Modified_Time asc, id desc limit 2000 offset 10",
        )
        .unwrap();
        assert_eq!(select.columns, ["id", "Account_Name.Phone"]);
        assert_eq!((select.limit, select.offset), (Some(2000), 10));
        assert_eq!(select.order[1], ("id".to_owned(), true));
        let condition = format!("{:?}", select.condition);
        assert!(condition.contains("O'Neil%"), "{condition}");
        assert_eq!(
            parse("select id from A where id > 1 limit 5, 6")
                .unwrap()
                .offset,
            5
        );
    }

    #[test]
    fn what_is_no_query_is_told_from_what_is_not_simulated() {
        for wrong in [
            "",
            "select",
            "select id from Leads",
            "select id from Leads where",
            "select id from Leads where a = 'b",
            "select id from Leads where a ~ 1",
            "select id from Leads where a = b",
            "select id from Leads where a = 1 limit x",
        ] {
            assert_eq!(parse(wrong).unwrap_err().code, "INVALID_QUERY", "{wrong}");
        }
        let strange = parse("select count(id) from Leads where id > 1");
        assert_eq!(strange.unwrap_err().status, 501);
    }
}
