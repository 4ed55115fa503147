//! What becomes of one record: without a filter from its bytes, with one through the engine.

use std::convert::Infallible;
use std::time::Instant;

use jaq_json::{Map, Val};
use singer_core::scan::{self, ValueKind};
use singer_runtime::map::{Failure, Outputs, Then};

use crate::check::{unfit, unlisted};
use crate::filter::value::{self, NotJson};
use crate::filter::{Filter, Touched, Watch};
use crate::plan::{Plan, admits};

/// Writes what becomes of a record.
///
/// # Errors
/// If the filter fails on it, or yields what the SCHEMA does not say.
pub(crate) fn record(
    plan: &Plan,
    stream: &str,
    watch: &Watch,
    record: &str,
    started: Instant,
    out: &mut Outputs<'_>,
) -> Result<(), Failure> {
    let Some(filter) = &plan.rule.filter else {
        renamed(plan, record, out);
        return Ok(());
    };
    let mark = out.mark();
    let result = match filter.touched() {
        // The first records are looked at as a whole.
        Some(touched) if !plan.check.is_first() => {
            filtered_in_part(plan, (filter, touched), watch, record, started, out)
        }
        _ => filtered(plan, filter, stream, watch, record, started, out),
    };
    let Err(fault) = result else {
        return Ok(());
    };
    let then = match fault {
        Fault::Shape(_) if plan.check.is_first() => Then::Stop,
        _ => plan.rule.on_error,
    };
    if then == Then::Pass {
        out.back_to(mark);
        renamed(plan, record, out);
    }
    Err(failure(plan, filter, fault, then))
}

/// Why a filter's work on a record counts for nothing.
enum Fault {
    /// In words that name the filter.
    Failed(String),
    /// What comes out does not fit the SCHEMA.
    Shape(String),
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

fn failure(plan: &Plan, filter: &Filter, fault: Fault, then: Then) -> Failure {
    let (reason, hints) = match fault {
        Fault::Failed(reason) => (reason, Vec::new()),
        Fault::Shape(what) => (
            filter.said(&what),
            vec![
                format!("the SCHEMA says: {}", plan.shape()),
                format!("the filter yields: {}", plan.check.shape()),
                "declare what the filter adds or retypes in `schema`, or name in `drop` what is to go".to_owned(),
            ],
        ),
    };
    Failure {
        reason,
        hints,
        then,
    }
}

fn filtered(
    plan: &Plan,
    filter: &Filter,
    stream: &str,
    watch: &Watch,
    record: &str,
    started: Instant,
    out: &mut Outputs<'_>,
) -> Result<(), Fault> {
    let before = value::read(record, plan.fields.len())
        .ok_or_else(|| Fault::Failed(filter.said("cannot read the record")))?;
    let mut first = plan.check.is_first().then(|| (before.clone(), Vec::new()));
    let result = filter.run(watch, started, before, |after| {
        let result = write(plan, filter, record, &after, out);
        match (&result, &mut first) {
            (Ok(()), Some((_, results))) => results.push(after),
            (Ok(()), None) => {}
            (Err(Fault::Shape(_)), Some((_, results))) if !value::is_deep(&after, 0) => {
                results.push(after);
            }
            (Err(_), _) => value::let_go(after),
        }
        result
    });
    if let Some((Val::Obj(before), results)) = &first
        && !matches!(result, Err(Fault::Failed(_)))
    {
        let after: Vec<&Map> = results
            .iter()
            .filter_map(|result| match result {
                Val::Obj(members) => Some(&**members),
                _ => None,
            })
            .collect();
        plan.check.note(plan, stream, before, &after);
    }
    result
}

/// Writes one result of a filter.
fn write(
    plan: &Plan,
    filter: &Filter,
    record: &str,
    result: &Val,
    out: &mut Outputs<'_>,
) -> Result<(), Fault> {
    let members = members(filter, result)?;
    if let Some(name) = plan.key.iter().find(|name| !members.contains_key(*name)) {
        return Err(without_key(filter, name));
    }
    out.record(|bytes| {
        let mut writer = Writer::new(plan, bytes);
        for (key, value) in members {
            writer.member((filter, record), key, value)?;
        }
        writer.end();
        Ok(())
    })
}

fn members<'v>(filter: &Filter, result: &'v Val) -> Result<&'v Map, Fault> {
    match result {
        Val::Obj(members) => Ok(members),
        _ => {
            let kind = crate::plan::kind_words(value::kind(result));
            let what = format!("yields {kind} where a record is wanted, which is an object");
            Err(Fault::Failed(filter.said(&what)))
        }
    }
}

fn without_key(filter: &Filter, name: &Val) -> Fault {
    let name = match name {
        Val::TStr(name) => String::from_utf8_lossy(name),
        _ => "".into(),
    };
    let what = format!("yields a record without its key `{name}`");
    Fault::Failed(filter.said(&what))
}

/// A field of a record that is not read as a whole.
struct Part {
    /// Its name, escaped, without quotes.
    key: (usize, usize),
    value: (usize, usize),
    /// Its place among the touched fields.
    touched: Option<usize>,
}

/// Takes a record apart for a filter that needs some of its fields alone.
fn parts(plan: &Plan, touched: &Touched, record: &[u8]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(plan.fields.len());
    let scanned = scan::scan_object(record, 0, 0, |key, value| {
        let raw = &record[key.0..key.1];
        let is_it = |(name, _): &(String, Val)| name.as_bytes() == raw;
        let touched = if raw.contains(&b'\\') {
            let name = scan::unescape_lossy(raw);
            touched.names.iter().position(|(known, _)| *known == *name)
        } else {
            touched.names.iter().position(is_it)
        };
        parts.push(Part {
            key,
            value: (value.start, value.end),
            touched,
        });
    });
    debug_assert!(scanned.is_ok(), "the record was scanned before");
    parts
}

/// As [`filtered`], for a filter that needs some of the fields alone: the others are copied.
fn filtered_in_part(
    plan: &Plan,
    (filter, touched): (&Filter, &Touched),
    watch: &Watch,
    record: &str,
    started: Instant,
    out: &mut Outputs<'_>,
) -> Result<(), Fault> {
    let parts = parts(plan, touched, record.as_bytes());
    let fields = parts
        .iter()
        .filter_map(|part| Some((&touched.names[part.touched?].1, part.value.0)));
    let before = value::read_fields(record, fields)
        .ok_or_else(|| Fault::Failed(filter.said("cannot read the record")))?;
    filter.run(watch, started, before, |after| {
        let result = if touched.keeps_the_rest {
            write_in_part(plan, (filter, touched), (record, &parts), &after, out)
        } else {
            write(plan, filter, record, &after, out)
        };
        if result.is_err() {
            value::let_go(after);
        }
        result
    })
}

/// Writes the record with its touched fields as the filter has left them.
fn write_in_part(
    plan: &Plan,
    (filter, touched): (&Filter, &Touched),
    (record, parts): (&str, &[Part]),
    result: &Val,
    out: &mut Outputs<'_>,
) -> Result<(), Fault> {
    let members = members(filter, result)?;
    for name in &plan.key {
        let is_touched = touched.names.iter().any(|(_, touched)| touched == name);
        let is_there = || had_name(record, parts, name);
        if !members.contains_key(name) && (is_touched || !is_there()) {
            return Err(without_key(filter, name));
        }
    }
    let bytes = record.as_bytes();
    let mut is_written = vec![false; touched.names.len()];
    out.record(|out| {
        let mut writer = Writer::new(plan, out);
        for part in parts {
            let Some(place) = part.touched else {
                let (name, value) = (&bytes[part.key.0..part.key.1], part.value);
                writer.copy(name, &bytes[value.0..value.1]);
                continue;
            };
            let name = &touched.names[place].1;
            if let (false, Some(value)) = (is_written[place], members.get(name)) {
                writer.member((filter, record), name, value)?;
            }
            is_written[place] = true;
        }
        for (key, value) in members {
            let place = touched.names.iter().position(|(_, name)| name == key);
            if place.is_none_or(|place| !is_written[place]) {
                writer.member((filter, record), key, value)?;
            }
        }
        writer.end();
        Ok(())
    })
}

fn had_name(record: &str, parts: &[Part], name: &Val) -> bool {
    let Val::TStr(name) = name else {
        return false;
    };
    parts.iter().any(|part| {
        let raw = &record.as_bytes()[part.key.0..part.key.1];
        raw == &***name || scan::unescape_lossy(raw).as_bytes() == &***name
    })
}

/// Writes the fields of one record, under the names that they get.
struct Writer<'a> {
    plan: &'a Plan,
    out: &'a mut Vec<u8>,
    start: usize,
    /// Where the next field most likely is in the plan.
    hint: usize,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            plan,
            start: out.len(),
            out,
            hint: 0,
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, written: &[u8]) {
        if self.out.len() > self.start {
            self.out.push(b',');
        }
        self.out.extend_from_slice(written);
    }

    /// Writes a field of what a filter has made of a record.
    fn member(
        &mut self,
        (filter, record): (&Filter, &str),
        key: &Val,
        value: &Val,
    ) -> Result<(), Fault> {
        let Val::TStr(name) = key else {
            return Err(not_json(filter, NotJson::Key));
        };
        let kind = value::kind(value);
        match self.plan.find(name, self.hint) {
            Some(place) => {
                self.hint = place + 1;
                let field = &self.plan.fields[place];
                let Some(written) = &field.written else {
                    return Ok(());
                };
                if !admits(field.types, kind) && !had(record, name, Some(kind)) {
                    if kind == ValueKind::NotFinite {
                        return Err(not_json(filter, NotJson::NotFinite));
                    }
                    return Err(Fault::Shape(unfit(&field.name, field.types, kind)));
                }
                self.name(written);
            }
            None => {
                let text = String::from_utf8_lossy(name);
                let Some(written) = self.plan.write_unlisted(&text) else {
                    return Ok(());
                };
                if !had(record, name, None) {
                    return Err(Fault::Shape(unlisted(&text)));
                }
                self.name(&written);
            }
        }
        value::write(self.out, value, 0).map_err(|error| not_json(filter, error))
    }

    /// Writes a field as it came.
    fn copy(&mut self, raw: &[u8], value: &[u8]) {
        let place = self.plan.find(raw, self.hint).or_else(|| {
            let name = scan::unescape_lossy(raw);
            self.plan.find(name.as_bytes(), 0)
        });
        match place {
            Some(place) => {
                self.hint = place + 1;
                if let Some(written) = &self.plan.fields[place].written {
                    self.name(written);
                    self.out.extend_from_slice(value);
                }
            }
            None => {
                if let Some(written) = self.plan.write_unlisted(&scan::unescape_lossy(raw)) {
                    self.name(&written);
                    self.out.extend_from_slice(value);
                }
            }
        }
    }
}

fn not_json(filter: &Filter, error: NotJson) -> Fault {
    Fault::Failed(filter.said(error.words()))
}

/// Whether the record has a field of this name, and of this kind: then its difference from the SCHEMA is the
/// tap's and not the filter's.
fn had(record: &str, name: &[u8], kind: Option<ValueKind>) -> bool {
    let bytes = record.as_bytes();
    let mut found = false;
    let scanned = scan::scan_object(bytes, 0, 0, |key, value| {
        let is_it = scan::unescape_lossy(&bytes[key.0..key.1]).as_bytes() == name;
        if is_it {
            found = kind.is_none_or(|kind| kind == value.kind);
        }
    });
    scanned.is_ok() && found
}

/// Writes the record with its fields renamed and left out, from its bytes.
fn renamed(plan: &Plan, record: &str, out: &mut Outputs<'_>) {
    let written: Result<(), Infallible> = out.record(|bytes| {
        write_renamed(plan, record.as_bytes(), bytes);
        Ok(())
    });
    match written {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

fn write_renamed(plan: &Plan, record: &[u8], out: &mut Vec<u8>) {
    let mut writer = Writer::new(plan, out);
    let scanned = scan::scan_object(record, 0, 0, |key, value| {
        writer.copy(&record[key.0..key.1], &record[value.start..value.end]);
    });
    debug_assert!(scanned.is_ok(), "the record was scanned before");
    writer.end();
}
