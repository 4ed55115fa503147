//! Which fields of a record a filter touches, as far as its text shows: all others need not become values of the
//! engine and back, and keep every byte.
//!
//! Nothing is guessed. A part whose doings are not plain makes the filter touch everything.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part, Path};

/// What a filter touches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    /// The names of the fields that it reads, changes, removes or adds.
    pub(crate) names: BTreeSet<String>,
    /// Whether what it yields is always the record, with these fields changed; else it never is.
    pub(crate) keeps_the_rest: bool,
}

/// Looks at a filter; `None` if it may touch any field.
pub(super) fn of(filter: &Term<&str>) -> Option<Touch> {
    let mut names = BTreeSet::new();
    let what = on_record(filter, &mut names)?;
    Some(Touch {
        names,
        keeps_the_rest: what == What::Record,
    })
}

/// What a part of a filter yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The record, with named fields changed.
    Record,
    /// Something made of named fields.
    Other,
    /// Nothing at all.
    Nothing,
}

impl What {
    /// What two parts yield together.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Nothing, what) | (what, Self::Nothing) => Some(what),
            (one, other) => (one == other).then_some(one),
        }
    }
}

type Names = BTreeSet<String>;

/// What a part yields whose input is the record. A part whose input is something else cannot reach the
/// record: no variable and no function holds it.
fn on_record(term: &Term<&str>, names: &mut Names) -> Option<What> {
    match term {
        Term::Id => Some(What::Record),
        Term::Num(_) | Term::Var(_) | Term::Arr(None) => Some(What::Other),
        Term::Str(_, parts) => {
            let inner = parts.iter().filter_map(|part| match part {
                StrPart::Term(term) => Some(term),
                _ => None,
            });
            all_other(inner, names)
        }
        Term::Arr(Some(inner)) | Term::Neg(inner) => all_other([&**inner], names),
        Term::Obj(members) => object(members, names),
        Term::BinOp(left, operator, right) => operation(left, operator, right, names),
        Term::Fold(_, source, Pattern::Var(_), arguments) => {
            all_other([&**source].into_iter().chain(arguments.first()), names)
        }
        Term::TryCatch(inner, None) => on_record(inner, names),
        Term::IfThenElse(branches, otherwise) => {
            all_other(branches.iter().map(|(condition, _)| condition), names)?;
            let mut what = match otherwise {
                Some(otherwise) => on_record(otherwise, names)?,
                None => What::Record,
            };
            for (_, then) in branches {
                what = what.with(on_record(then, names)?)?;
            }
            Some(what)
        }
        Term::Call(name, arguments) => call(name, arguments, names),
        Term::Path(inner, path) => {
            let inner = on_record(inner, names)?;
            parts(inner, path, names)
        }
        _ => None,
    }
}

fn all_other<'t, 's: 't>(
    terms: impl IntoIterator<Item = &'t Term<&'s str>>,
    names: &mut Names,
) -> Option<What> {
    for term in terms {
        if on_record(term, names)? == What::Record {
            return None;
        }
    }
    Some(What::Other)
}

fn object(members: &[(Term<&str>, Option<Term<&str>>)], names: &mut Names) -> Option<What> {
    for (key, value) in members {
        match value {
            Some(value) => all_other([key, value], names)?,
            None if matches!(key, Term::Var(_)) => What::Other,
            None => {
                names.insert(constant(key)?.to_owned());
                What::Other
            }
        };
    }
    Some(What::Other)
}

fn operation(
    left: &Term<&str>,
    operator: &BinaryOp<&str>,
    right: &Term<&str>,
    names: &mut Names,
) -> Option<What> {
    match operator {
        BinaryOp::Pipe(None) => match on_record(left, names)? {
            What::Record => on_record(right, names),
            other => Some(other),
        },
        BinaryOp::Pipe(Some(Pattern::Var(_))) => {
            all_other([left], names)?;
            on_record(right, names)
        }
        BinaryOp::Pipe(Some(_)) => None,
        BinaryOp::Comma => {
            let left = on_record(left, names)?;
            left.with(on_record(right, names)?)
        }
        BinaryOp::Math(Math::Add) if matches!((left, right), (Term::Id, Term::Obj(_))) => {
            let Term::Obj(members) = right else {
                return None;
            };
            object(members, names)?;
            for (key, _) in members {
                names.insert(constant(key)?.to_owned());
            }
            Some(What::Record)
        }
        BinaryOp::Alt | BinaryOp::Or | BinaryOp::And | BinaryOp::Math(_) | BinaryOp::Cmp(_) => {
            all_other([left, right], names)
        }
        BinaryOp::Update => place(left, names),
        BinaryOp::Assign | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
            all_other([right], names)?;
            place(left, names)
        }
    }
}

/// The functions whose doings are known when their input is the record.
fn call(name: &str, arguments: &[Term<&str>], names: &mut Names) -> Option<What> {
    match (name, arguments) {
        ("select", [condition]) => {
            all_other([condition], names)?;
            Some(What::Record)
        }
        ("del", [fields]) => place(fields, names),
        ("has", [field]) => {
            names.insert(constant(field)?.to_owned());
            Some(What::Other)
        }
        ("range", arguments) => all_other(arguments, names),
        ("empty", []) => Some(What::Nothing),
        ("error", [what]) => {
            all_other([what], names)?;
            Some(What::Nothing)
        }
        ("true" | "false" | "null" | "now" | "nan" | "infinite", []) => Some(What::Other),
        _ => None,
    }
}

/// A place in named fields of the record: what it changes is the record.
fn place(term: &Term<&str>, names: &mut Names) -> Option<What> {
    match term {
        Term::Path(inner, path) => {
            let inner = match &**inner {
                Term::Id => What::Record,
                inner => {
                    place(inner, names)?;
                    What::Other
                }
            };
            parts(inner, path, names)?;
        }
        // What follows a place inside a field cannot leave it.
        Term::BinOp(left, BinaryOp::Pipe(None), _) => {
            place(left, names)?;
        }
        Term::BinOp(left, BinaryOp::Comma, right) => {
            place(left, names)?;
            place(right, names)?;
        }
        _ => return None,
    }
    Some(What::Record)
}

fn parts(inner: What, path: &Path<Term<&str>>, names: &mut Names) -> Option<What> {
    let mut rest: &[(Part<Term<&str>>, Opt)] = &path.0;
    if inner == What::Record {
        let ((Part::Index(field), _), others) = rest.split_first()? else {
            return None;
        };
        names.insert(constant(field)?.to_owned());
        rest = others;
    }
    // Their indexes look at the record, not at what they are indexes of.
    for (part, _) in rest {
        match part {
            Part::Index(index) => all_other([index], names)?,
            Part::Range(from, to) => all_other(from.iter().chain(to), names)?,
        };
    }
    Some(What::Other)
}

/// The text of a term that is nothing but a text without escapes.
fn constant<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    match term {
        Term::Str(None, parts) => match &parts[..] {
            [StrPart::Str(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}
