//! The calls that look: organisations, workspaces, views, the last import, resources. Facts: section 2.1.

use serde_json::{Value, json};

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::config::Config;
use super::endpoint::Place;
use super::store::{Store, Workspace};
use super::table::{Column, View};

/// When the workspace was made.
const CREATED_MS: &str = "1735689600000";

/// Who made what there is.
const OWNER: &str = "ana@example.com";

/// Views of one answer, unless it is asked for otherwise.
const VIEWS: u64 = 200;

pub(crate) fn orgs(analytics: &Analytics) -> Answer {
    let store = analytics.store();
    let org = |org: &String| {
        let of_org = store.workspaces.values().filter(|it| it.org == *org);
        json!({"orgId": org, "orgName": "Fleet", "orgDesc": "",
            "createdBy": OWNER, "createdByZuId": "10087",
            "planName": analytics.options.plan.name(), "isDefault": *org == analytics.options.org,
            "numberOfworkspaces": of_org.count(), "role": "Account Admin"})
    };
    let orgs: Vec<Value> = store.orgs.iter().map(org).collect();
    Answer::success("Get organizations", json!({"orgs": orgs}))
}

pub(crate) fn workspaces(analytics: &Analytics) -> Answer {
    let store = analytics.store();
    let workspaces = store.workspaces.iter();
    let owned: Vec<Value> = workspaces
        .map(|(id, workspace)| workspace_to_json(id, workspace))
        .collect();
    let data = json!({"ownedWorkspaces": owned, "sharedWorkspaces": []});
    Answer::success("Get all workspaces", data)
}

pub(crate) fn workspace(analytics: &Analytics, id: &str) -> Result<Answer, Failure> {
    let store = analytics.store();
    let shown = workspace_to_json(id, store.workspace(id)?);
    Ok(Answer::success(
        "Get workspace details",
        json!({"workspaces": shown}),
    ))
}

fn workspace_to_json(id: &str, workspace: &Workspace) -> Value {
    json!({"workspaceId": id, "workspaceName": workspace.name, "workspaceDesc": "",
        "orgId": workspace.org, "createdTime": CREATED_MS, "createdBy": OWNER,
        "isDefault": false})
}

pub(crate) fn by_name(analytics: &Analytics, call: &Call) -> Result<Answer, Failure> {
    let known = ["workspaceName", "viewName"];
    let config = Config::required(call.inputs.config.as_deref(), &known)?;
    let name = config.required_text("workspaceName")?;
    let store = analytics.store();
    let mut workspaces = store.workspaces.iter();
    let Some((id, workspace)) = workspaces.find(|(_, it)| it.name == name) else {
        let message = format!("The workspace `{name}` is not present");
        return Err(Failure::new(7103, message));
    };
    let mut data = json!({"orgId": workspace.org, "workspaceId": id, "workspaceName": name});
    if let Some(view_name) = config.text("viewName")? {
        let view = store
            .view_named(id, view_name)
            .ok_or_else(|| Failure::new(7104, format!("The view `{view_name}` is not present")))?;
        data["viewId"] = Value::from(view.id.as_str());
        data["viewName"] = Value::from(view.name.as_str());
        data["viewType"] = Value::from(view.view_type.as_str());
    }
    Ok(Answer::success("Get meta details", data))
}

pub(crate) fn views(
    analytics: &Analytics,
    call: &Call,
    workspace: &str,
) -> Result<Answer, Failure> {
    let known = [
        "viewTypes",
        "keyword",
        "noOfResult",
        "startIndex",
        "sortedColumn",
        "sortedOrder",
    ];
    let config = Config::optional(call.inputs.config.as_deref(), &known)?;
    let store = analytics.store();
    store.workspace(workspace)?;
    let mut of_workspace = store.views.values().filter(|it| it.workspace == workspace);
    if of_workspace.clone().next().is_none() {
        return Err(Failure::new(7179, "The workspace holds no view"));
    }
    let keyword = config.text("keyword")?.unwrap_or_default().to_lowercase();
    let only_tables = config.list("viewTypes")?.map(|types| {
        types
            .iter()
            .any(|kind| kind.as_u64() == Some(0) || kind.as_str() == Some("0"))
    });
    let mut found: Vec<&View> = of_workspace
        .by_ref()
        .filter(|view| view.name.to_lowercase().contains(&keyword))
        .filter(|view| only_tables.is_none_or(|wanted| wanted == view.is_table()))
        .collect();
    if config.text("sortedColumn")?.is_some() {
        found.sort_by(|one, other| one.name.cmp(&other.name));
    }
    // 0 is ascending.
    if config.number("sortedOrder")? == Some(1) {
        found.reverse();
    }
    let start = config.number("startIndex")?.unwrap_or(1).saturating_sub(1);
    let count = config.number("noOfResult")?.unwrap_or(VIEWS);
    let shown: Vec<Value> = found
        .into_iter()
        .skip(usize::try_from(start).unwrap_or(usize::MAX))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .map(|view| view.to_json(OWNER))
        .collect();
    Ok(Answer::success("Get views", json!({"views": shown})))
}

pub(crate) fn view(analytics: &Analytics, call: &Call, id: &str) -> Result<Answer, Failure> {
    let config = Config::optional(call.inputs.config.as_deref(), &["withInvolvedMetaInfo"])?;
    let store = analytics.store();
    let view = store.view_anywhere(id)?;
    let mut shown = view.to_json(OWNER);
    shown["workspaceId"] = Value::from(view.workspace.as_str());
    shown["orgId"] = Value::from(store.workspace(&view.workspace)?.org.as_str());
    if config.flag("withInvolvedMetaInfo")? == Some(true) {
        if store.require("row-count").is_ok() {
            shown["rowCount"] = Value::from(view.rows.len());
        }
        shown["columns"] = columns_to_json(&view.columns);
    }
    Ok(Answer::success("Get view details", json!({"views": shown})))
}

fn columns_to_json(columns: &[Column]) -> Value {
    let columns = columns.iter().enumerate();
    columns
        .map(|(place, column)| column.to_json(place + 1))
        .collect()
}

pub(crate) fn table(analytics: &Analytics, place: &Place) -> Result<Answer, Failure> {
    if analytics.options.no_metadata {
        return Err(Failure {
            status: Some(404),
            ..Failure::new(8509, "The URL is not known")
        });
    }
    let store = analytics.store();
    store.require("read-metadata")?;
    let view = store.view(&place.workspace, &place.view)?;
    if !view.is_table() {
        return Err(Failure::new(7397, "The view is not a table"));
    }
    let data = json!({"columns": columns_to_json(&view.columns)});
    Ok(Answer::success("Get table metadata", data))
}

pub(crate) fn import_details(analytics: &Analytics, place: &Place) -> Result<Answer, Failure> {
    let store = analytics.store();
    let view = store.view(&place.workspace, &place.view)?;
    let last = view.last_import.clone().unwrap_or_default();
    let text = |number: usize| number.to_string();
    let status = match (&view.last_import, last.is_success) {
        (None, _) => "",
        (Some(_), true) => "Success",
        (Some(_), false) => "Failed",
    };
    let failed = last.rows.saturating_sub(last.successful_rows);
    let data = json!({"viewName": view.name, "lastImportTime": last.at_ms.to_string(),
        "lastImportStatus": status,
        "columns": {"total": text(last.columns), "success": text(last.known_columns)},
        "rows": {"total": text(last.rows), "success": text(last.successful_rows),
            "warning": text(last.warnings.saturating_sub(failed)), "failed": text(failed)},
        "importErrors": last.errors});
    Ok(Answer::success("Get import details", data))
}

pub(crate) fn resources(analytics: &Analytics) -> Result<Answer, Failure> {
    let store = analytics.store();
    store.require("resources")?;
    let units = store.usage.limits.units;
    let used = store.usage.used;
    let details = json!([
        resource(
            "apiUnits",
            units,
            &used.as_text(),
            units.saturating_mul(1000).saturating_sub(used.0) as f64 / 1000.0
        ),
        rows_resource(analytics, &store),
    ]);
    Ok(Answer::success(
        "Get resource details",
        json!({"resourceDetails": details}),
    ))
}

fn rows_resource(analytics: &Analytics, store: &Store) -> Value {
    let (most, used) = (analytics.options.plan_rows, store.row_count() as u64);
    let left = most.saturating_sub(used) as f64;
    resource("rows", most, &used.to_string(), left)
}

fn resource(name: &str, most: u64, used: &str, left: f64) -> Value {
    let (allocated, remaining) = if most == 0 {
        ("Unlimited".to_owned(), "null".to_owned())
    } else {
        (most.to_string(), left.to_string())
    };
    json!({"resourceName": name, "resourceUsage":
        {"allocated": allocated, "used": used, "remaining": remaining, "remarks": ""}})
}
