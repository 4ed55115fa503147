//! From the text of a filter to a program with ticks in it, or to what is wrong at which place.

use jaq_core::Compiler;
use jaq_core::load::lex::{Lexer, StrPart};
use jaq_core::load::parse::{BinaryOp, Def, Parser, Pattern, Term};
use jaq_core::load::{Arena, File, Loader, span};
use jaq_core::path::{Part, Path};
use singer_core::nearest::nearest;

use super::engine::{Engine, TICK, definitions, functions};
use super::touch::{self, Touch};

/// What the filter is called inside the engine.
const MAIN: &str = "map_records_main";

/// Why a filter cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong.
    pub(crate) what: String,
    /// The byte of the text at which it is.
    pub(crate) at: usize,
    /// A name that may have been meant.
    pub(crate) near: Option<String>,
}

/// A program, and what of a record it needs.
pub(super) type Compiled = (jaq_core::Filter<Engine>, Option<Touch>);

/// Compiles a filter.
pub(super) fn compile(code: &str) -> Result<Compiled, Wrong> {
    let mut term = parse(code)?;
    let touch = touch::of(&term);
    watch(&mut term);
    let mut prelude = definitions();
    for definition in &mut prelude {
        watch(&mut definition.body);
    }
    let mut names: Vec<&str> = prelude.iter().map(|definition| definition.name).collect();
    names.extend(functions().iter().map(|(name, ..)| *name));
    names.retain(|name| !name.starts_with("map_records_") && !name.ends_with('_'));
    prelude.push(Def {
        name: MAIN,
        args: Vec::new(),
        body: term,
    });
    let arena = Arena::default();
    let main = File {
        code: MAIN,
        path: (),
    };
    let modules = Loader::new(prelude).load(&arena, main).map_err(|_| Wrong {
        what: "it cannot be loaded".to_owned(),
        at: 0,
        near: None,
    })?;
    Compiler::default()
        .with_funs(functions())
        .compile(modules)
        .map(|program| (program, touch))
        .map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            let Some((name, undefined)) = first else {
                return Wrong {
                    what: "it cannot be compiled".to_owned(),
                    at: 0,
                    near: None,
                };
            };
            let known = names.iter().copied().filter(|known| *known != name);
            let near = match undefined {
                jaq_core::compile::Undefined::Filter(_) => nearest(name, known),
                _ => None,
            };
            Wrong {
                what: undefined_words(name, &undefined, names.contains(&name)),
                at: place(code, name),
                near: near.map(str::to_owned),
            }
        })
}

fn undefined_words(name: &str, undefined: &jaq_core::compile::Undefined, is_known: bool) -> String {
    use jaq_core::compile::Undefined;
    match undefined {
        Undefined::Filter(count) if is_known => {
            format!("`{name}` does not take {count} arguments")
        }
        Undefined::Filter(0) => format!("there is no `{name}`"),
        Undefined::Filter(count) => format!("there is no `{name}` with {count} arguments"),
        other => format!("there is no {} `{name}`", other.as_str()),
    }
}

fn parse(code: &str) -> Result<Term<&str>, Wrong> {
    let tokens = Lexer::new(code).lex().map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(unknown, |(expected, rest)| Wrong {
            what: match expected.as_str() {
                "token" => "something that does not belong here".to_owned(),
                word => format!("a {word} is expected"),
            },
            at: place(code, rest),
            near: None,
        })
    })?;
    Parser::new(&tokens)
        .parse(|parser| parser.term())
        .map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(unknown, |(expected, found)| {
                let at = found.map_or(code.len(), |token| place(code, token.as_str()));
                let what = match expected.as_str() {
                    "nothing" => "something that does not belong here".to_owned(),
                    "term" if found.is_none() && code.trim().is_empty() => "it is empty".to_owned(),
                    "term" => "an expression is expected".to_owned(),
                    word => format!("{word} is expected"),
                };
                Wrong {
                    what,
                    at,
                    near: None,
                }
            })
        })
}

fn unknown() -> Wrong {
    Wrong {
        what: "it cannot be read".to_owned(),
        at: 0,
        near: None,
    }
}

/// Where a part of the code stands; its beginning for what is no part of it.
fn place(code: &str, part: &str) -> usize {
    let (start, address) = (code.as_ptr() as usize, part.as_ptr() as usize);
    if (start..=start + code.len()).contains(&address) {
        return span(code, part).start;
    }
    0
}

/// Puts a tick at the beginning of every definition inside a term.
fn watch(term: &mut Term<&str>) {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(_, parts) => {
            for part in parts {
                if let StrPart::Term(term) = part {
                    watch(term);
                }
            }
        }
        Term::Arr(inner) => inner.iter_mut().for_each(|inner| watch(inner)),
        Term::Obj(members) => {
            for (key, value) in members {
                watch(key);
                value.iter_mut().for_each(watch);
            }
        }
        Term::Neg(inner) | Term::Label(_, inner) => watch(inner),
        Term::BinOp(left, operator, right) => {
            watch(left);
            if let BinaryOp::Pipe(Some(pattern)) = operator {
                watch_pattern(pattern);
            }
            watch(right);
        }
        Term::Fold(_, source, pattern, arguments) => {
            watch(source);
            watch_pattern(pattern);
            arguments.iter_mut().for_each(watch);
        }
        Term::TryCatch(inner, catch) => {
            watch(inner);
            catch.iter_mut().for_each(|catch| watch(catch));
        }
        Term::IfThenElse(branches, otherwise) => {
            for (condition, then) in branches {
                watch(condition);
                watch(then);
            }
            otherwise.iter_mut().for_each(|otherwise| watch(otherwise));
        }
        Term::Def(definitions, rest) => {
            for definition in definitions {
                watch(&mut definition.body);
                let body = std::mem::take(&mut definition.body);
                let tick = Box::new(Term::Call(TICK, Vec::new()));
                definition.body = Term::BinOp(tick, BinaryOp::Pipe(None), Box::new(body));
            }
            watch(rest);
        }
        Term::Call(_, arguments) => arguments.iter_mut().for_each(watch),
        Term::Path(inner, path) => {
            watch(inner);
            watch_path(path);
        }
    }
}

fn watch_path(path: &mut Path<Term<&str>>) {
    for (part, _) in &mut path.0 {
        match part {
            Part::Index(index) => watch(index),
            Part::Range(from, to) => from.iter_mut().chain(to).for_each(watch),
        }
    }
}

fn watch_pattern(pattern: &mut Pattern<&str>) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter_mut().for_each(watch_pattern),
        Pattern::Obj(members) => {
            for (key, value) in members {
                watch(key);
                watch_pattern(value);
            }
        }
    }
}
