//! Imports: what all three routes have in common, and the synchronous one. Facts: sections 3.1 to 3.4.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::datatype::CellRules;
use super::inputs::Inputs;
use super::options::AnalyticsOptions;
use super::prepare::{Counts, Layout, Parents, Prepared, guess_columns, prepare};
use super::settle::{empty, lose_rows, take_file};
use super::spec::{ImportSpec, ImportType, Portion, Target, import_config};
use super::store::Store;
use super::table::{LastImport, View};
use super::usage::Units;
use crate::activity::Tally;
use crate::faults::ImportFault;

/// The file of a call, or the text that stands in for it.
pub(crate) fn content(inputs: &Inputs) -> Result<Bytes, Failure> {
    let content = match (&inputs.file, &inputs.data) {
        (Some(file), _) => file.clone(),
        (None, Some(data)) => Bytes::copy_from_slice(data.as_bytes()),
        (None, None) => Bytes::new(),
    };
    if content.trim_ascii().is_empty() {
        return Err(Failure::new(7203, "The file is missing or empty"));
    }
    Ok(content)
}

/// The settings and the file of an import that comes in one piece.
pub(crate) fn whole(
    analytics: &Analytics,
    call: &Call,
    view: Option<&String>,
) -> Result<(ImportSpec, Bytes), Failure> {
    let config = import_config(call.inputs.config.as_deref())?;
    let spec = ImportSpec::read(&config, target(view), Portion::Whole, &analytics.options)?;
    Ok((spec, content(&call.inputs)?))
}

/// Whether a view is there or is to be made.
pub(crate) fn target(view: Option<&String>) -> Target {
    match view {
        Some(_) => Target::Existing,
        None => Target::New,
    }
}

/// The table that an import goes to, reserved for it.
pub(crate) struct Reserved {
    pub(crate) view: String,
    pub(crate) layout: Layout,
    pub(crate) is_new: bool,
}

/// Checks that an import may begin, and finds or makes its table. Nothing is reserved yet.
pub(crate) fn reserve(
    analytics: &Analytics,
    store: &mut Store,
    workspace: &str,
    view: Option<String>,
    spec: &ImportSpec,
    content: &Bytes,
    now_ms: u64,
) -> Result<Reserved, Failure> {
    let options = &analytics.options;
    store.workspace(workspace)?;
    store.usage.check_left(now_ms)?;
    check_plan_rows(store, options, 1)?;
    let is_new = view.is_none();
    let id = match view {
        Some(id) => {
            check_existing(store, workspace, &id, spec)?;
            id
        }
        None => {
            store.require("create-table")?;
            let name = spec.table_name.as_deref().unwrap_or_default();
            store.check_name_free(workspace, name)?;
            let columns = guess_columns(content, spec)?;
            store.add_table(workspace, name, columns, now_ms)
        }
    };
    let layout = layout(store, store.view(workspace, &id)?);
    Ok(Reserved {
        view: id,
        layout,
        is_new,
    })
}

fn check_existing(
    store: &Store,
    workspace: &str,
    id: &str,
    spec: &ImportSpec,
) -> Result<(), Failure> {
    let view = store.view(workspace, id)?;
    check_writable(view)?;
    store.require(&spec.import_type.name().to_ascii_lowercase())?;
    for name in &spec.matching {
        if view.column(name).is_none() {
            let message = format!("The column `{name}` is not present in the table");
            return Err(Failure::new(7107, message));
        }
    }
    if view.is_importing || store.jobs.is_at_work_on(id) {
        let message = "Another import into the table is in progress";
        return Err(Failure::new(10001, message));
    }
    Ok(())
}

/// Refuses changes of rows where a view does not take them.
pub(crate) fn check_writable(view: &View) -> Result<(), Failure> {
    if !view.is_table() {
        return Err(Failure::new(7137, "The view is not a table"));
    }
    match view.refusal {
        Some(code) => Err(Failure::new(code, "The data of the view cannot be changed")),
        None => Ok(()),
    }
}

/// Refuses more rows than the plan holds.
pub(crate) fn check_plan_rows(
    store: &Store,
    options: &AnalyticsOptions,
    more: usize,
) -> Result<(), Failure> {
    let rows = (store.row_count() + more) as u64;
    if options.plan_rows > 0 && rows > options.plan_rows {
        return Err(Failure::new(6001, "The rows of the plan are used up"));
    }
    Ok(())
}

/// The columns of a table as they are now.
pub(crate) fn layout_of(store: &Store, workspace: &str, view: &str) -> Result<Layout, Failure> {
    Ok(layout(store, store.view(workspace, view)?))
}

fn layout(store: &Store, view: &View) -> Layout {
    let parents = view.columns.iter().map(|column| {
        let (table, parent) = column.lookup.as_ref()?;
        Some(parent_values(store, &view.workspace, table, parent))
    });
    Layout {
        parents: parents.collect(),
        columns: view.columns.clone(),
    }
}

/// The values that a lookup column may have.
pub(crate) fn parent_values(store: &Store, workspace: &str, table: &str, column: &str) -> Parents {
    let Some(view) = store.view_named(workspace, table) else {
        return Parents::new();
    };
    let Some(place) = view.column(column) else {
        return Parents::new();
    };
    let values = (0..view.rows.len()).map(|row| view.rows.cell(row, place).into());
    values.collect()
}

/// What rows of an import cost.
pub(crate) fn cost(rows: usize, spec: &ImportSpec, options: &AnalyticsOptions) -> Units {
    let per_thousand = match spec.import_type {
        ImportType::Append | ImportType::TruncateAdd => 10,
        ImportType::UpdateAdd => 15,
    };
    Units::of_rows(rows, per_thousand, options.unit_rounding)
}

/// Reads a file; what is wrong with it as a whole aborts it as a bad row does.
pub(crate) fn read_file(
    analytics: &Analytics,
    content: &Bytes,
    spec: &ImportSpec,
    layout: &Layout,
) -> Prepared {
    let rules = CellRules::new(&analytics.options);
    prepare(content, spec, layout, rules).unwrap_or_else(|failure| Prepared {
        aborted: Some(failure),
        ..Prepared::default()
    })
}

/// Counts rows for the page and the state request.
pub(crate) fn tally(analytics: &Analytics, table: &str, file: &Prepared, bytes: usize) {
    analytics.activity.tally(&Tally {
        table: format!("analytics/{table}"),
        bytes: bytes as u64,
        records: file.counts.total_rows as u64,
        updated: file.counts.successful_rows as u64,
        errors: (file.counts.total_rows - file.counts.successful_rows) as u64,
        ..Tally::default()
    });
}

/// The summary of an import as answers and jobs show it.
pub(crate) fn summary(
    spec: &ImportSpec,
    counts: &Counts,
    view: Option<&View>,
    is_new: bool,
) -> Value {
    let mut details = serde_json::Map::new();
    for column in view.into_iter().flat_map(|view| &view.columns) {
        details.insert(column.name.clone(), Value::from(column.kind.shown()));
    }
    json!({
        "importSummary": {"importType": spec.import_type.name(),
            "totalColumnCount": counts.total_columns,
            "selectedColumnCount": counts.selected_columns,
            "totalRowCount": counts.total_rows, "successRowCount": counts.successful_rows,
            "warnings": counts.warnings,
            "importOperation": if is_new { "created" } else { "updated" }},
        "columnDetails": details,
        "importErrors": counts.errors})
}

/// The synchronous import: its answer holds the result.
pub(crate) fn run(
    analytics: &Arc<Analytics>,
    call: &Call,
    workspace: &str,
    view: Option<String>,
) -> Result<Answer, Failure> {
    let (spec, content) = whole(analytics, call, view.as_ref())?;
    let reserved = {
        let mut store = analytics.store();
        let now_ms = call.now_ms;
        let reserved = reserve(
            analytics, &mut store, workspace, view, &spec, &content, now_ms,
        )?;
        let view = store.view_mut(workspace, &reserved.view)?;
        view.is_importing = true;
        if spec.import_type == ImportType::TruncateAdd {
            empty(view, &analytics.options);
        }
        reserved
    };
    let file = read_file(analytics, &content, &spec, &reserved.layout);
    let mut store = analytics.store();
    let done = finish(
        analytics,
        call,
        &mut store,
        &reserved,
        &spec,
        file,
        content.len(),
    );
    if let Some(view) = store.views.get_mut(&reserved.view) {
        view.is_importing = false;
    }
    if done.is_err() && reserved.is_new {
        store.views.remove(&reserved.view);
    }
    done
}

fn finish(
    analytics: &Analytics,
    call: &Call,
    store: &mut Store,
    reserved: &Reserved,
    spec: &ImportSpec,
    mut file: Prepared,
    bytes: usize,
) -> Result<Answer, Failure> {
    let options = &analytics.options;
    store
        .usage
        .charge(cost(file.counts.total_rows, spec, options), call.now_ms)?;
    check_plan_rows(store, options, file.rows.len())?;
    match call.fault {
        Some(ImportFault::Fail(code)) => {
            return Err(Failure::new(code, "failed on purpose"));
        }
        Some(ImportFault::Partial(every)) => lose_rows(&mut file, every),
        _ => {}
    }
    let Some(view) = store.views.get_mut(&reserved.view) else {
        return Err(Failure::new(7104, "The view is not present"));
    };
    tally(analytics, &view.name, &file, bytes);
    let counts = file.counts.clone();
    let failure = take_file(view, file, spec, options);
    view.last_import = Some(LastImport::new(&counts, failure.as_ref(), call.now_ms));
    if let Some(failure) = failure {
        return Err(failure);
    }
    let mut data = summary(spec, &counts, Some(view), reserved.is_new);
    if reserved.is_new {
        data["viewId"] = Value::from(reserved.view.as_str());
    }
    Ok(Answer::success("Import data", data))
}
