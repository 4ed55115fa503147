//! The text of a query as a tree. What is no SELECT on one table is told apart: what the service knows
//! and the stand-in does not is 501, the rest a `ZCQL_QUERY_ERROR`.

use crate::datastore::answer::ApiError;
use crate::datastore::condition::Comparison;

/// One SELECT.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) items: Vec<Item>,
    pub(super) table: String,
    pub(super) condition: Option<Expression>,
    /// Columns with whether they descend.
    pub(super) order: Vec<(String, bool)>,
    /// The offset, if there is one, and the count.
    pub(super) limit: Option<(Option<usize>, usize)>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Item {
    All,
    Column(String),
    /// A call; without a column it counts rows.
    Call {
        function: Function,
        column: Option<String>,
        text: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Max,
    Min,
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
    Compare(Comparison, Literal),
    In(Vec<Literal>),
    Between(Literal, Literal),
    Like(String),
    Null,
}

#[derive(Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(String),
    Bool(&'static str),
}

/// Words that the service knows and the stand-in does not.
const NOT_SIMULATED: [&str; 12] = [
    "INSERT", "UPDATE", "DELETE", "JOIN", "LEFT", "INNER", "GROUP", "HAVING", "DISTINCT", "SUM",
    "AVG", "AS",
];

pub(super) fn parse(text: &str) -> Result<Select, ApiError> {
    let tokens = split(text)?;
    for token in &tokens {
        if let Token::Word(word) = token
            && NOT_SIMULATED
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        {
            return Err(ApiError::not_simulated(format!("`{word}` in ZCQL")));
        }
    }
    let mut parser = Parser { tokens, next: 0 };
    let select = parser.select()?;
    match parser.peek() {
        None => Ok(select),
        Some(token) => Err(near(token)),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 13] = [
    "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "*", ".", ";",
];

fn split(text: &str) -> Result<Vec<Token>, ApiError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (token, behind) = quoted(rest)?;
            tokens.push(token);
            rest = behind;
        } else if first.is_ascii_digit() || first == '-' {
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'e' | 'E' | '+');
            let (number, behind) = take_while(rest, is_part);
            tokens.push(Token::Number(number.to_owned()));
            rest = behind;
        } else if first.is_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let (word, behind) = take_while(rest, is_part);
            tokens.push(Token::Word(word.to_owned()));
            rest = behind;
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| {
                ApiError::query(format!("Syntax error: unexpected character {first}"))
            })?;
            tokens.push(Token::Sign(sign));
            rest = rest.strip_prefix(sign).unwrap_or_default();
        }
        rest = rest.trim_start();
    }
    // One at the end does no harm.
    if tokens.last() == Some(&Token::Sign(";")) {
        tokens.pop();
    }
    Ok(tokens)
}

/// A text in single quotes; two of them in it stand for one.
fn quoted(rest: &str) -> Result<(Token, &str), ApiError> {
    let mut text = String::new();
    let mut rest = rest.strip_prefix('\'').unwrap_or(rest);
    loop {
        let (part, behind) = rest
            .split_once('\'')
            .ok_or_else(|| ApiError::query("Syntax error: a quote is not closed"))?;
        text.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                text.push('\'');
                rest = more;
            }
            None => return Ok((Token::Text(text), behind)),
        }
    }
}

fn take_while(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn near(token: &Token) -> ApiError {
    let text = match token {
        Token::Word(text) | Token::Number(text) | Token::Text(text) => text,
        Token::Sign(sign) => *sign,
    };
    ApiError::query(format!("Syntax error near {text}"))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Result<Token, ApiError> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token.ok_or_else(|| ApiError::query("Syntax error at the end of the query"))
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
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), ApiError> {
        if self.skip_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn unexpected(&self) -> ApiError {
        match self.peek() {
            Some(token) => near(token),
            None => ApiError::query("Syntax error at the end of the query"),
        }
    }

    fn name(&mut self) -> Result<String, ApiError> {
        match self.take()? {
            Token::Word(word) => Ok(word),
            other => Err(near(&other)),
        }
    }

    /// A column, with or without its table in front.
    fn column(&mut self) -> Result<String, ApiError> {
        let name = self.name()?;
        if self.skip_sign(".") {
            return self.name();
        }
        Ok(name)
    }

    fn select(&mut self) -> Result<Select, ApiError> {
        self.expect("SELECT")?;
        let mut items = vec![self.item()?];
        while self.skip_sign(",") {
            items.push(self.item()?);
        }
        self.expect("FROM")?;
        let table = self.name()?;
        if matches!(self.peek(), Some(Token::Sign(","))) {
            return Err(ApiError::not_simulated("several tables in ZCQL"));
        }
        let condition = if self.skip("WHERE") {
            Some(self.any()?)
        } else {
            None
        };
        let mut order = Vec::new();
        if self.skip("ORDER") {
            self.expect("BY")?;
            order.push(self.ordering()?);
            while self.skip_sign(",") {
                order.push(self.ordering()?);
            }
        }
        let limit = if self.skip("LIMIT") {
            Some(self.limit()?)
        } else {
            None
        };
        Ok(Select {
            items,
            table,
            condition,
            order,
            limit,
        })
    }

    fn item(&mut self) -> Result<Item, ApiError> {
        if self.skip_sign("*") {
            return Ok(Item::All);
        }
        let name = self.name()?;
        if self.skip_sign(".") {
            if self.skip_sign("*") {
                return Ok(Item::All);
            }
            return self.name().map(Item::Column);
        }
        if !self.skip_sign("(") {
            return Ok(Item::Column(name));
        }
        let function = match name.to_ascii_uppercase().as_str() {
            "COUNT" => Function::Count,
            "MAX" => Function::Max,
            "MIN" => Function::Min,
            _ => return Err(ApiError::query(format!("Unknown function {name}"))),
        };
        let column = if function == Function::Count && self.skip_sign("*") {
            None
        } else {
            Some(self.column()?)
        };
        self.expect_sign(")")?;
        let text = format!("{name}({})", column.as_deref().unwrap_or("*"));
        Ok(Item::Call {
            function,
            column,
            text,
        })
    }

    fn ordering(&mut self) -> Result<(String, bool), ApiError> {
        let column = self.column()?;
        let is_descending = self.skip("DESC");
        if !is_descending {
            self.skip("ASC");
        }
        Ok((column, is_descending))
    }

    fn limit(&mut self) -> Result<(Option<usize>, usize), ApiError> {
        let first = self.count()?;
        if self.skip_sign(",") {
            return Ok((Some(first), self.count()?));
        }
        Ok((None, first))
    }

    fn count(&mut self) -> Result<usize, ApiError> {
        let token = self.take()?;
        match &token {
            Token::Number(text) => text.parse().map_err(|_| near(&token)),
            _ => Err(near(&token)),
        }
    }

    fn any(&mut self) -> Result<Expression, ApiError> {
        let mut parts = vec![self.all()?];
        while self.skip("OR") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, ApiError> {
        let mut parts = vec![self.part()?];
        while self.skip("AND") {
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
        let column = self.column()?;
        let (is_negated, test) = self.test()?;
        Ok(Expression::Test {
            column,
            is_negated,
            test,
        })
    }

    fn test(&mut self) -> Result<(bool, RawTest), ApiError> {
        if self.skip("IS") {
            let is_negated = self.skip("NOT");
            self.expect("NULL")?;
            return Ok((is_negated, RawTest::Null));
        }
        let is_negated = self.skip("NOT");
        let test = if self.skip("IN") {
            self.expect_sign("(")?;
            let mut literals = vec![self.literal()?];
            while self.skip_sign(",") {
                literals.push(self.literal()?);
            }
            self.expect_sign(")")?;
            RawTest::In(literals)
        } else if self.skip("LIKE") {
            match self.take()? {
                Token::Text(pattern) => RawTest::Like(pattern),
                other => return Err(near(&other)),
            }
        } else if self.skip("BETWEEN") {
            let low = self.literal()?;
            self.expect("AND")?;
            RawTest::Between(low, self.literal()?)
        } else if is_negated {
            return Err(self.unexpected());
        } else {
            let comparison = self.comparison()?;
            RawTest::Compare(comparison, self.literal()?)
        };
        Ok((is_negated, test))
    }

    fn comparison(&mut self) -> Result<Comparison, ApiError> {
        let token = self.take()?;
        Ok(match token {
            Token::Sign("=") => Comparison::Equal,
            Token::Sign("!=" | "<>") => Comparison::NotEqual,
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::LessEqual,
            Token::Sign(">") => Comparison::Greater,
            Token::Sign(">=") => Comparison::GreaterEqual,
            other => return Err(near(&other)),
        })
    }

    fn literal(&mut self) -> Result<Literal, ApiError> {
        let token = self.take()?;
        match token {
            Token::Text(text) => Ok(Literal::Text(text)),
            Token::Number(text) => Ok(Literal::Number(text)),
            Token::Word(word) if word.eq_ignore_ascii_case("TRUE") => Ok(Literal::Bool("true")),
            Token::Word(word) if word.eq_ignore_ascii_case("FALSE") => Ok(Literal::Bool("false")),
            other => Err(near(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_apart() {
        let select = parse(
            "select ROWID, Trips.Driver from Trips where (Km >= -2.5 or Driver not like 'R''*') and Note is not null order by MODIFIEDTIME desc, ROWID limit 10, 300;",
        )
        .unwrap();
        assert_eq!(
            select.items,
            [
                Item::Column("ROWID".to_owned()),
                Item::Column("Driver".to_owned())
            ]
        );
        assert_eq!(select.limit, Some((Some(10), 300)));
        assert_eq!(select.order[0], ("MODIFIEDTIME".to_owned(), true));
        let condition = format!("{:?}", select.condition.unwrap());
        assert!(
            condition.contains("\"-2.5\"") && condition.contains("R'*"),
            "{condition}"
        );
        let select = parse("SELECT COUNT(ROWID) FROM Trips").unwrap();
        let text = "COUNT(ROWID)".to_owned();
        let column = Some("ROWID".to_owned());
        let function = Function::Count;
        assert_eq!(
            select.items,
            [Item::Call {
                function,
                column,
                text
            }]
        );
    }

    #[test]
    fn what_is_no_query_is_told_from_what_is_not_simulated() {
        for wrong in [
            "",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM Trips WHERE",
            "SELECT * FROM Trips LIMIT x",
            "SELECT * FROM Trips WHERE a = 'b",
            "SELECT * FROM Trips WHERE a ~ 1",
            "SELECT F(a) FROM T",
            "SELECT * FROM Trips WHERE a = b",
            "SELECT * FROM Trips x",
        ] {
            assert_eq!(
                parse(wrong).unwrap_err().code,
                "ZCQL_QUERY_ERROR",
                "{wrong}"
            );
        }
        for strange in [
            "DELETE FROM Trips",
            "SELECT SUM(Km) FROM Trips",
            "SELECT a FROM T GROUP BY a",
        ] {
            assert_eq!(parse(strange).unwrap_err().status, 501, "{strange}");
        }
    }
}
