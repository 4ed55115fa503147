//! The organisation, its modules and their fields. Facts: section 5.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Crm;
use super::answer::{Answer, ApiError, nothing};
use super::credits::CALL;
use super::module::Module;
use super::store::Store;
use crate::form;

const ORGANISATION: &[&str] = &["ZohoCRM.org.READ"];
const MODULES: &[&str] = &["ZohoCRM.settings.modules.READ", "ZohoCRM.settings.READ"];
const FIELDS: &[&str] = &["ZohoCRM.settings.fields.READ", "ZohoCRM.settings.READ"];

const STATUSES: [&str; 4] = [
    "visible",
    "user_hidden",
    "system_hidden",
    "scheduled_for_deletion",
];

pub(super) async fn organisation(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, ORGANISATION, CALL)?;
    let zgid = crm.options.zgid.to_string();
    Ok(Json(json!({"org": [{
        "id": "611000000000000155", "zgid": zgid, "company_name": "Nordlys AS",
        "domain_name": format!("org{zgid}"), "type": "production",
        "time_zone": crm.options.time_zone, "iso_code": "NOK",
        "currency": "Norwegian Krone - NOK", "mc_status": false,
        "license_details": {"paid_type": "enterprise", "users_license_purchased": 25},
    }]}))
    .into_response())
}

pub(super) async fn modules(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, MODULES, CALL)?;
    let query = form::fields(query.as_deref().unwrap_or_default());
    let asked: Option<Vec<&str>> = query
        .get("status")
        .map(|status| status.split(',').collect());
    if let Some(asked) = &asked
        && asked.iter().any(|status| !STATUSES.contains(status))
    {
        return Err(ApiError::bad(
            "PATTERN_NOT_MATCHED",
            json!({"param": "status"}),
        ));
    }
    let store = crm.look();
    let is_asked = |module: &&Module| match &asked {
        Some(asked) => asked.contains(&module.status.as_str()),
        None => true,
    };
    let modules = store.modules.iter().filter(is_asked);
    let modules: Vec<_> = modules.map(|module| described(&store, module)).collect();
    if modules.is_empty() {
        return Ok(nothing());
    }
    Ok(Json(json!({"modules": modules})).into_response())
}

pub(super) async fn module(
    State(crm): State<Arc<Crm>>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, MODULES, CALL)?;
    let store = crm.look();
    // By its name or by its id, as Zoho's SDK asks for it too.
    let with_id = || {
        let mut modules = store.modules.iter();
        modules.find(|module| module.id.to_string() == name)
    };
    let module = store.module(&name).or_else(with_id);
    let module = module.ok_or_else(|| invalid_module(&name))?;
    crm.check_allowed(&module.name, "metadata")?;
    Ok(Json(json!({"modules": [described(&store, module)]})).into_response())
}

pub(super) async fn fields(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, FIELDS, CALL)?;
    let query = form::fields(query.as_deref().unwrap_or_default());
    let name = query
        .get("module")
        .ok_or_else(|| ApiError::missing_parameter("module"))?;
    let store = crm.look();
    let module = store.module(name).ok_or_else(|| invalid_module(name))?;
    crm.check_allowed(name, "metadata")?;
    let kind = query.get("type").map_or("used", String::as_str);
    let is_asked = |is_used: bool| match kind {
        "all" => Ok(true),
        "used" => Ok(is_used),
        "unused" => Ok(!is_used),
        _ => Err(ApiError::bad(
            "PATTERN_NOT_MATCHED",
            json!({"param": "type"}),
        )),
    };
    let mut fields = Vec::new();
    for field in &module.fields {
        if is_asked(field.is_used)? {
            let lookup = field.lookup.as_deref().and_then(|name| store.module(name));
            fields.push(field.describe(lookup.map(|module| module.id)));
        }
    }
    if fields.is_empty() {
        return Ok(nothing());
    }
    Ok(Json(json!({"fields": fields})).into_response())
}

fn invalid_module(name: &str) -> ApiError {
    ApiError::field("INVALID_MODULE", name)
}

fn described(store: &Store, module: &Module) -> Value {
    let parent = module.parent.as_deref().and_then(|name| store.module(name));
    module.describe(parent.map(|parent| parent.id))
}
