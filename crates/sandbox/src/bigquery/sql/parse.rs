//! From text to statements: the parser of the crate, and what it does not read put into words that it does.

use sqlparser::ast::{Query, SetExpr, Statement};
use sqlparser::dialect::BigQueryDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::{Result, SqlError, invalid, unsupported};

/// A statement, and the text of its query if it makes a view.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) statement: Statement,
    pub(super) view: Option<String>,
}

/// Reads a script.
pub(super) fn statements(text: &str) -> Result<Vec<Parsed>> {
    let tokens = Tokenizer::new(&BigQueryDialect, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| {
            invalid(format!("Syntax error: {}", error.message)).at_location(error.location)
        })?;
    let mut parsed = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let words = significant(part);
        if words.is_empty() {
            continue;
        }
        let view = view_text(text, part, &words);
        let tokens = rewrite(part.to_vec())?;
        let statements = Parser::new(&BigQueryDialect)
            .with_tokens_with_locations(tokens)
            .parse_statements()
            .map_err(syntax_error)?;
        match <[Statement; 1]>::try_from(statements) {
            Ok([statement]) => parsed.push(Parsed { statement, view }),
            Err(_) => return Err(invalid("Syntax error: Expected end of input")),
        }
    }
    Ok(parsed)
}

/// Reads the query of a view.
pub(super) fn query(text: &str) -> Result<Query> {
    let mut parsed = statements(text)?;
    match parsed.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) if parsed.is_empty() => match &*query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) => {
                Err(invalid("Syntax error: Expected a query"))
            }
            _ => Ok(*query),
        },
        _ => Err(invalid("Syntax error: Expected a query")),
    }
}

impl SqlError {
    fn at_location(mut self, location: Location) -> SqlError {
        self.message = format!(
            "{} at [{}:{}]",
            self.message, location.line, location.column
        );
        self
    }
}

fn syntax_error(error: ParserError) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return unsupported("a statement nested so deeply"),
    };
    if text.starts_with("Expected: >, found: NOT") {
        return unsupported("NOT NULL within a STRUCT");
    }
    // The parser says the place in its own words.
    match text.split_once(" at Line: ") {
        Some((what, place)) => {
            let place = place.replace(", Column: ", ":");
            invalid(format!("Syntax error: {what} at [{place}]"))
        }
        None => invalid(format!("Syntax error: {text}")),
    }
}

/// The places of tokens that are no white space.
fn significant(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let is_word =
        |place: &usize| !matches!(tokens[*place].token, Token::Whitespace(_) | Token::EOF);
    (0..tokens.len()).filter(is_word).collect()
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    match &token.token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    }
}

/// The text after the AS of CREATE VIEW.
fn view_text(text: &str, tokens: &[TokenWithSpan], words: &[usize]) -> Option<String> {
    let mut places = words.iter().copied();
    let first = places.next()?;
    if !is_word(&tokens[first], "CREATE")
        || !places.by_ref().take(3).any(|p| is_word(&tokens[p], "VIEW"))
    {
        return None;
    }
    let mut depth = 0;
    for place in places.by_ref() {
        match &tokens[place].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth == 0 && is_word(&tokens[place], "AS") => break,
            _ => {}
        }
    }
    let from = offset(text, tokens[places.next()?].span.start)?;
    let last = tokens.last().filter(|token| token.token != Token::EOF);
    let to = last
        .and_then(|token| offset(text, token.span.end))
        .unwrap_or(text.len());
    text.get(from..to).map(str::to_owned)
}

/// The place of a line and column in bytes.
fn offset(text: &str, location: Location) -> Option<usize> {
    let lines = usize::try_from(location.line).ok()?.checked_sub(1)?;
    let letters = usize::try_from(location.column).ok()?.checked_sub(1)?;
    let begin: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    let line = text.get(begin..)?;
    let within = line
        .char_indices()
        .nth(letters)
        .map_or(line.len(), |(place, _)| place);
    Some(begin + within)
}

/// Says in the parser's words what it does not read otherwise.
fn rewrite(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let words = significant(&tokens);
    let is = |tokens: &[TokenWithSpan], at: usize, wanted: &str| {
        words
            .get(at)
            .is_some_and(|place| is_word(&tokens[*place], wanted))
    };
    if is(&tokens, 0, "ALTER") {
        for at in 1..words.len() {
            if is(&tokens, at, "SET") && is(&tokens, at + 1, "OPTIONS") {
                if at >= 2 && is(&tokens, at - 2, "COLUMN") {
                    return Err(unsupported("ALTER COLUMN SET OPTIONS"));
                }
                // The parser knows the list of options without the word.
                tokens[words[at + 1]].token =
                    Token::Whitespace(sqlparser::tokenizer::Whitespace::Space);
            }
            if is(&tokens, at, "COLUMN")
                && is(&tokens, at - 1, "RENAME")
                && is(&tokens, at + 1, "IF")
            {
                return Err(unsupported("RENAME COLUMN IF EXISTS"));
            }
        }
    }
    if is(&tokens, 0, "CREATE") {
        for at in 1..words.len() {
            if is(&tokens, at, "AS") {
                break;
            }
            if is(&tokens, at, "COPY") && at > 2 {
                tokens[words[at]].token = Token::make_keyword("CLONE");
            }
        }
    }
    Ok(typed_arrays(tokens))
}

/// `ARRAY<type>[…]` as a cast of the array.
fn typed_arrays(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words = significant(&tokens);
    for (at, place) in words.iter().enumerate() {
        let next = |at: usize| words.get(at).map(|place| &tokens[*place].token);
        if !is_word(&tokens[*place], "ARRAY") || next(at + 1) != Some(&Token::Lt) {
            continue;
        }
        let Some(end) = closing(&tokens, &words, at + 1) else {
            continue;
        };
        if next(end + 1) != Some(&Token::LBracket) {
            continue;
        }
        let mut depth = 0;
        let bracket = (end + 1..words.len()).find(|at| {
            match next(*at) {
                Some(Token::LBracket) => depth += 1,
                Some(Token::RBracket) => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(bracket) = bracket else { continue };
        let model = tokens[*place].clone();
        let word = |token: Token| TokenWithSpan {
            token,
            span: model.span,
        };
        let mut new = tokens.get(..*place).unwrap_or_default().to_vec();
        new.push(word(Token::make_keyword("CAST")));
        new.push(word(Token::LParen));
        new.extend_from_slice(
            tokens
                .get(words[end + 1]..=words[bracket])
                .unwrap_or_default(),
        );
        new.push(word(Token::Whitespace(
            sqlparser::tokenizer::Whitespace::Space,
        )));
        new.push(word(Token::make_keyword("AS")));
        new.push(word(Token::Whitespace(
            sqlparser::tokenizer::Whitespace::Space,
        )));
        new.extend_from_slice(tokens.get(*place..=words[end]).unwrap_or_default());
        new.push(word(Token::RParen));
        new.extend_from_slice(tokens.get(words[bracket] + 1..).unwrap_or_default());
        return typed_arrays(new);
    }
    tokens
}

/// The place of the `>` that closes a `<`.
fn closing(tokens: &[TokenWithSpan], words: &[usize], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, place) in words.iter().enumerate().skip(open) {
        match &tokens[*place].token {
            Token::Lt => depth += 1,
            Token::Gt => depth -= 1,
            Token::ShiftRight => depth -= 2,
            Token::Word(_) | Token::Comma | Token::LParen | Token::RParen | Token::Number(..) => {}
            _ => return None,
        }
        if depth <= 0 {
            return Some(at);
        }
    }
    None
}
