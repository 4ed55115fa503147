//! The filter expressions of an aggregation: comparisons of fields and literals, joined by `&&`,
//! `||`, `!` and parentheses. Facts: sections 5.2 and 5.4.

use serde_json::Value;

/// How deep parentheses may nest; a longer chain of `||` is no nesting.
const DEPTH_LIMIT: usize = 64;

/// A parsed expression.
#[derive(Debug, PartialEq)]
pub(crate) enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Operand, Operator, Operand),
    /// A field or literal by itself: true if it is neither empty, null nor false.
    Holds(Operand),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Operand {
    Path(String),
    Text(String),
    Number(f64),
    Boolean(bool),
    Null,
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

/// What a field is during an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Text(String),
    Number(f64),
    Boolean(bool),
    Null,
    /// A list or object: equal to nothing.
    Other,
}

impl From<Value> for Term {
    fn from(value: Value) -> Term {
        match value {
            Value::String(text) => Term::Text(text),
            Value::Number(number) => number.as_f64().map_or(Term::Other, Term::Number),
            Value::Bool(value) => Term::Boolean(value),
            Value::Null => Term::Null,
            Value::Array(_) | Value::Object(_) => Term::Other,
        }
    }
}

/// A row that an expression is held against.
pub(crate) trait Lookup {
    /// The value of a path.
    fn term(&self, path: &str) -> Term;

    /// The same without a copy where the value is a text that the row holds already.
    fn text(&self, path: &str) -> Option<&str>;
}

impl Expression {
    /// Parses an expression; the error says where it stopped making sense.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let mut parser = Parser {
            text,
            position: 0,
            depth: 0,
        };
        let expression = parser.any()?;
        parser.skip_space();
        if parser.position < text.len() {
            return Err(parser.error("the end"));
        }
        Ok(expression)
    }

    /// Whether the expression holds for a row.
    pub(crate) fn holds(&self, row: &impl Lookup) -> bool {
        match self {
            Expression::Any(parts) => parts.iter().any(|part| part.holds(row)),
            Expression::All(parts) => parts.iter().all(|part| part.holds(row)),
            Expression::Not(part) => !part.holds(row),
            Expression::Compare(Operand::Path(path), operator, Operand::Text(text)) => {
                match row.text(path) {
                    Some(found) => operator.accepts(Some(found.cmp(text.as_str()))),
                    None => compare(&row.term(path), *operator, &Term::Text(text.clone())),
                }
            }
            Expression::Compare(left, operator, right) => {
                compare(&left.term(row), *operator, &right.term(row))
            }
            Expression::Holds(operand) => match operand.term(row) {
                Term::Text(text) => !text.is_empty(),
                Term::Boolean(value) => value,
                Term::Number(number) => number != 0.0,
                Term::Null => false,
                Term::Other => true,
            },
        }
    }

    /// The greatest text that `path` must be greater than for the expression to hold, if one is
    /// evident: what lets a page of keyset paging start in the middle.
    pub(crate) fn lower_bound(&self, path: &str) -> Option<&str> {
        match self {
            Expression::Compare(Operand::Path(found), Operator::Greater, Operand::Text(text))
                if found == path =>
            {
                Some(text)
            }
            Expression::All(parts) => parts.iter().filter_map(|part| part.lower_bound(path)).max(),
            _ => None,
        }
    }

    /// The only texts that `path` can be for the expression to hold, if they are evident: what lets
    /// a membership check look its ids up instead of reading the whole table.
    pub(crate) fn only_texts(&self, path: &str) -> Option<Vec<&str>> {
        match self {
            Expression::Compare(Operand::Path(found), Operator::Equal, Operand::Text(text))
                if found == path =>
            {
                Some(vec![text])
            }
            Expression::Any(parts) => {
                let texts: Option<Vec<_>> =
                    parts.iter().map(|part| part.only_texts(path)).collect();
                texts.map(|texts| texts.concat())
            }
            Expression::All(parts) => parts.iter().find_map(|part| part.only_texts(path)),
            _ => None,
        }
    }
}

fn compare(left: &Term, operator: Operator, right: &Term) -> bool {
    let order = match (left, right) {
        (Term::Text(left), Term::Text(right)) => Some(left.cmp(right)),
        (Term::Number(left), Term::Number(right)) => left.partial_cmp(right),
        (Term::Boolean(left), Term::Boolean(right)) => Some(left.cmp(right)),
        (Term::Null, Term::Null) => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    operator.accepts(order)
}

impl Operator {
    /// Without an order (different types) only `!=` holds.
    fn accepts(self, order: Option<std::cmp::Ordering>) -> bool {
        let Some(order) = order else {
            return self == Operator::Unequal;
        };
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

impl Operand {
    fn term(&self, row: &impl Lookup) -> Term {
        match self {
            Operand::Path(path) => row.term(path),
            Operand::Text(text) => Term::Text(text.clone()),
            Operand::Number(number) => Term::Number(*number),
            Operand::Boolean(value) => Term::Boolean(*value),
            Operand::Null => Term::Null,
        }
    }
}

struct Parser<'text> {
    text: &'text str,
    position: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.all()?];
        while self.eat("||") {
            parts.push(self.all()?);
        }
        Ok(single_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.term()?];
        while self.eat("&&") {
            parts.push(self.term()?);
        }
        Ok(single_or(parts, Expression::All))
    }

    fn term(&mut self) -> Result<Expression, String> {
        if self.depth == DEPTH_LIMIT {
            return Err(format!("more than {DEPTH_LIMIT} levels"));
        }
        self.depth += 1;
        let term = self.nested();
        self.depth -= 1;
        term
    }

    fn nested(&mut self) -> Result<Expression, String> {
        if self.eat("(") {
            let inner = self.any()?;
            return if self.eat(")") {
                Ok(inner)
            } else {
                Err(self.error("`)`"))
            };
        }
        if self.eat("!") {
            return Ok(Expression::Not(Box::new(self.term()?)));
        }
        let left = self.operand()?;
        let Some(operator) = self.operator() else {
            return Ok(Expression::Holds(left));
        };
        Ok(Expression::Compare(left, operator, self.operand()?))
    }

    fn operator(&mut self) -> Option<Operator> {
        const OPERATORS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        OPERATORS
            .into_iter()
            .find(|(sign, _)| self.eat(sign))
            .map(|(_, operator)| operator)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.skip_space();
        let rest = self.rest();
        match rest.bytes().next() {
            Some(b'"') => self.literal().map(Operand::Text),
            Some(first) if first.is_ascii_digit() || first == b'-' => {
                let word = self.word(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
                word.parse()
                    .map(Operand::Number)
                    .map_err(|_| self.error("a number"))
            }
            Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
                let word = self.word(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte));
                Ok(match word.as_str() {
                    "true" => Operand::Boolean(true),
                    "false" => Operand::Boolean(false),
                    "null" => Operand::Null,
                    _ => Operand::Path(word),
                })
            }
            _ => Err(self.error("a field or a literal")),
        }
    }

    /// A text in double quotes, with the escapes of JSON.
    fn literal(&mut self) -> Result<String, String> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        let Some(Ok(text)) = values.next() else {
            return Err(self.error("a text in quotes"));
        };
        self.position += values.byte_offset();
        Ok(text)
    }

    fn word(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let word: String = self
            .rest()
            .bytes()
            .take_while(|byte| belongs(*byte))
            .map(char::from)
            .collect();
        self.position += word.len();
        word
    }

    fn eat(&mut self, sign: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(sign);
        if found {
            self.position += sign.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or("")
    }

    fn error(&self, expected: &str) -> String {
        format!(
            "{expected} expected at byte {} of the expression",
            self.position
        )
    }
}

fn single_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(Value);

    impl Lookup for Row {
        fn term(&self, path: &str) -> Term {
            let pointer = format!("/{}", path.replace('.', "/"));
            self.0
                .pointer(&pointer)
                .cloned()
                .unwrap_or(Value::Null)
                .into()
        }

        fn text(&self, path: &str) -> Option<&str> {
            self.0.get(path).and_then(Value::as_str)
        }
    }

    fn holds(expression: &str) -> bool {
        let row = Row(serde_json::json!({
            "visitorId": "ana \"q\" ü", "n": 5, "flag": true, "list": [1],
            "metadata": {"auto": {"lastvisit": 1000}},
        }));
        Expression::parse(expression).unwrap().holds(&row)
    }

    #[test]
    fn operators_compare_texts_and_numbers() {
        for (expression, expected) in [
            (r#"visitorId > "ana""#, true),
            (r#"visitorId > """#, true),
            (r#"visitorId >= "b""#, false),
            (r#"visitorId == "ana \"q\" ü""#, true),
            (r#"visitorId != "ana""#, true),
            ("n == 5", true),
            ("n < 5.5", true),
            ("n <= -1e3", false),
            ("n > \"4\"", false),
            ("n != \"5\"", true),
            ("metadata.auto.lastvisit >= 1000", true),
            ("metadata.auto.unknown == null", true),
            ("5 < n", false),
            ("flag", true),
            ("flag == true", true),
            ("!flag", false),
            ("unknown", false),
            ("list", true),
            ("list == list", false),
        ] {
            assert_eq!(holds(expression), expected, "{expression}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(holds("n == 5 || n == 6 && n == 7"));
        assert!(!holds("(n == 5 || n == 6) && n == 7"));
        assert!(holds("!(n == 6) && (n == 5)"));
    }

    #[test]
    fn a_long_list_of_ids_is_one_flat_expression() {
        let ids: Vec<String> = (0..20_000)
            .map(|id| format!("visitorId == \"v{id}\""))
            .collect();
        let expression = Expression::parse(&ids.join(" || ")).unwrap();
        assert!(expression.holds(&Row(serde_json::json!({"visitorId": "v19999"}))));
        assert!(!expression.holds(&Row(serde_json::json!({"visitorId": "w"}))));
    }

    #[test]
    fn nonsense_is_an_error_and_deep_nesting_does_no_harm() {
        for expression in [
            "",
            "n ==",
            "n = 5",
            "(n == 5",
            "n == 5)",
            "n == 'a'",
            "\"open",
            "n == 5 n",
            "&& n",
            "1.2.3 == n",
        ] {
            assert!(Expression::parse(expression).is_err(), "{expression}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).is_err());
        assert!(Expression::parse(&"!".repeat(100_000)).is_err());
    }

    #[test]
    fn the_only_possible_texts_are_seen() {
        let only = |text: &str| {
            let expression = Expression::parse(text).unwrap();
            let texts = expression.only_texts("visitorId")?;
            Some(texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let list = |texts: &[&str]| Some(texts.iter().map(ToString::to_string).collect());
        assert_eq!(
            only(r#"(visitorId == "a" || visitorId == "b") && n == 5"#),
            list(&["a", "b"])
        );
        assert_eq!(only(r#"visitorId == "a""#), list(&["a"]));
        assert_eq!(only(r#"visitorId == "a" || n == 5"#), None);
        assert_eq!(only(r#"visitorId != "a""#), None);
        assert_eq!(only(r#"!(visitorId == "a")"#), None);
    }

    #[test]
    fn a_lower_bound_is_seen_through_a_conjunction_only() {
        let bound = |text: &str| {
            Expression::parse(text)
                .unwrap()
                .lower_bound("visitorId")
                .map(str::to_owned)
        };
        assert_eq!(
            bound(r#"visitorId > "a" && n == 5 && visitorId > "b""#).as_deref(),
            Some("b")
        );
        assert_eq!(bound(r#"visitorId > "a" || n == 5"#), None);
        assert_eq!(bound(r#"!(visitorId > "a")"#), None);
        assert_eq!(bound(r#"accountId > "a""#), None);
    }
}
