//! The endpoints of Analytics: one function each, no policy but where CONFIG stands and which
//! organization is named.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_net::{Answer, Method, Request, Url};
use singer_runtime::context::Context;
use tokio::sync::OnceCell;
use zoho::fault::analytics::Analytics as Service;
use zoho::{Account, Call, Fault, Repeat};

use crate::config::Config;
use crate::model::{Column, Job, LastImport, NewColumn, count_of, text_of};
use crate::units::Units;

pub(crate) use upload::{Content, Upload};

mod upload;

/// Groups of calls, each with its own allowance.
const ROWS: &str = "rows";
const BULK: &str = "bulk";
const METADATA: &str = "metadata";

/// The header that names the organization.
const ORGANIZATION: &str = "zanalytics-orgid";

/// CONFIG of more characters is refused.
pub(crate) const MOST_CONFIG: usize = 100_000;

/// Views that are asked for at once.
const PAGE: u64 = 200;

/// Columns in one call at most.
pub(crate) const MOST_COLUMNS: usize = 10;

/// Asks Analytics.
#[derive(Debug)]
pub struct Api {
    plain: zoho::Api<Service>,
    /// The same with the organization's header, and which organization that is.
    scoped: RwLock<Option<(String, zoho::Api<Service>)>>,
    /// The workspace, once it is known: its organization is looked up if another one was named.
    workspace: OnceLock<String>,
    /// The organization that the workspace has, once it was looked up.
    corrected: OnceCell<Option<String>>,
    /// Whether CONFIG stands in the query when a file is sent.
    query: AtomicBool,
    /// What was spent.
    pub units: Units,
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its organization.
    pub org: Option<String>,
}

/// A view: a table, or something made of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is a table.
    pub is_table: bool,
}

/// Where something is done: a workspace and a table in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// The workspace's id.
    pub workspace: String,
    /// The table's id.
    pub view: String,
}

/// What a call about rows changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Rows that were changed or deleted.
    pub rows: u64,
    /// Whether a row was added.
    pub is_new: bool,
    /// Columns that the table does not know.
    pub invalid: Vec<String>,
}

impl Api {
    /// Builds the client; asks nothing yet.
    ///
    /// # Errors
    /// Of kind `Config` if a URL or an id cannot be used.
    pub fn new(config: &Config, context: &Context) -> Result<Self> {
        let account = Account::new(
            &config.account,
            &config.http,
            std::sync::Arc::new(context.clone()),
        )?;
        let patience = Duration::from_secs_f64(config.patience_seconds);
        let calls = config.calls_per_minute;
        let plain = zoho::Api::new(config.base()?, account, &config.http, patience)?
            .with_allowance(zoho::api::ALL, calls.all())
            .with_allowance(ROWS, calls.rows)
            .with_allowance(BULK, calls.bulk)
            .with_allowance(METADATA, calls.metadata);
        let api = Self {
            plain,
            scoped: RwLock::default(),
            workspace: OnceLock::new(),
            corrected: OnceCell::new(),
            query: AtomicBool::new(config.config_in_query),
            units: Units::default(),
        };
        if let Some(org) = &config.org_id {
            api.set_org(org)?;
        }
        Ok(api)
    }

    /// From now on names this organization.
    pub fn set_org(&self, org: &str) -> Result<()> {
        let scoped = self.plain.clone().with_header(ORGANIZATION, org)?;
        let mut current = self.scoped.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some((org.to_owned(), scoped));
        Ok(())
    }

    /// From now on works in this workspace.
    pub fn set_workspace(&self, id: &str) {
        self.workspace.get_or_init(|| id.to_owned());
    }

    /// Whether an organization is named.
    pub fn has_org(&self) -> bool {
        self.scoped
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        self.plain.account()
    }

    /// Requests so far, and of these those that were made again.
    pub fn traffic(&self) -> (u64, u64) {
        let traffic = self.plain.traffic();
        (traffic.requests, traffic.retried)
    }

    /// All workspaces that the user sees.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, Fault> {
        let url = self.url(&["workspaces"])?;
        let body = self
            .ask("list the workspaces", Request::get(url), METADATA)
            .await?;
        Ok(all_workspaces(&body))
    }

    /// One workspace.
    pub async fn workspace(&self, id: &str) -> Result<Workspace, Fault> {
        let url = self.url(&["workspaces", id])?;
        let body = self
            .ask("read the workspace", Request::get(url), METADATA)
            .await?;
        let of = |value: &Value| Workspace::of(value);
        let found = of(&body["data"]["workspaces"]).or_else(|| of(&body["data"]));
        found.ok_or_else(|| strange("the workspace", &body))
    }

    /// The views of a workspace whose names hold a text.
    pub async fn views(&self, workspace: &str, keyword: &str) -> Result<Vec<View>, Fault> {
        let mut views: Vec<View> = Vec::new();
        let mut seen = 0;
        loop {
            let mut url = self.url(&["workspaces", workspace, "views"])?;
            let mut config = json!({"startIndex": seen + 1, "noOfResult": PAGE});
            if !keyword.is_empty() {
                config["keyword"] = json!(keyword);
            }
            in_query(&mut url, &text(&config)?);
            let body = match self
                .ask("list the views", Request::get(url), METADATA)
                .await
            {
                // The workspace holds none yet.
                Err(fault) if fault.is("7179") => return Ok(views),
                other => other?,
            };
            let page = match &body["data"]["views"] {
                Value::Array(page) => page.as_slice(),
                // One alone.
                page @ Value::Object(_) => std::slice::from_ref(page),
                _ => return Err(strange("the list of views", &body)),
            };
            let new: Vec<View> = page.iter().filter_map(View::of).collect();
            seen += page.len() as u64;
            // A service that does not turn pages gives the first one again.
            let is_again = views.first().is_some_and(|first| new.contains(first));
            if !is_again {
                views.extend(new);
            }
            if is_again || (page.len() as u64) < PAGE {
                return Ok(views);
            }
        }
    }

    /// One view by its id.
    pub async fn view(&self, id: &str) -> Result<(View, Value), Fault> {
        let mut url = self.url(&["views", id])?;
        in_query(&mut url, r#"{"withInvolvedMetaInfo":true}"#);
        let body = self
            .ask("read the view", Request::get(url), METADATA)
            .await?;
        let view = match &body["data"]["views"] {
            Value::Array(views) => views.first().cloned().unwrap_or_default(),
            view => view.clone(),
        };
        let found = View::of(&view).ok_or_else(|| strange("the view", &body))?;
        Ok((found, view))
    }

    /// The columns of a table, by whichever of two ways the user may go.
    pub async fn columns(&self, table: &Table) -> Result<Vec<Column>, Fault> {
        let url = self.url(&[
            "workspaces",
            &table.workspace,
            "views",
            &table.view,
            "metadata",
        ])?;
        let asked = self
            .ask("read the columns", Request::get(url), METADATA)
            .await;
        let columns = match asked {
            Ok(body) => body["data"]["columns"].clone(),
            // Not a table, or not there: the other way says nothing else.
            Err(fault)
                if ["7104", "7105", "7137", "7319", "7397", "7439"]
                    .iter()
                    .any(|code| fault.is(code)) =>
            {
                return Err(fault);
            }
            Err(fault) if fault.is_unclear() || matches!(fault.class, zoho::Class::Token) => {
                return Err(fault);
            }
            Err(first) => match self.view(&table.view).await {
                Ok((_, view)) if view["columns"].is_array() => view["columns"].clone(),
                Ok(_) | Err(_) => return Err(first),
            },
        };
        let columns = columns
            .as_array()
            .ok_or_else(|| strange("the columns", &columns))?;
        Ok(columns.iter().filter_map(Column::of).collect())
    }

    /// What became of the last import into a table.
    pub async fn last_import(&self, table: &Table) -> Result<Option<LastImport>, Fault> {
        let url = self.url(&[
            "workspaces",
            &table.workspace,
            "views",
            &table.view,
            "importdetails",
        ])?;
        let body = self
            .ask("read the last import", Request::get(url), METADATA)
            .await?;
        Ok(LastImport::of(&body))
    }

    /// Units that are left today, if the user may know.
    pub async fn units_left(&self) -> Result<Option<String>, Fault> {
        let url = self.url(&["resources"])?;
        let body = self
            .ask("read the quota", Request::get(url), METADATA)
            .await?;
        let resources = body["data"]["resourceDetails"].as_array();
        let units =
            resources.and_then(|all| all.iter().find(|it| it["resourceName"] == "apiUnits"));
        let left = units.and_then(|units| text_of(&units["resourceUsage"]["remaining"]));
        // A plan without a limit has the word in place of a number.
        Ok(left.filter(|left| left != "null"))
    }

    /// Creates a table; returns its id. A name that is taken is a fault with the code 7111.
    pub async fn create_table(
        &self,
        workspace: &str,
        name: &str,
        folder: Option<&str>,
        columns: &[NewColumn],
    ) -> Result<String, Fault> {
        let columns: Vec<Value> = columns.iter().map(NewColumn::design).collect();
        let mut design = json!({"TABLENAME": name, "COLUMNS": columns});
        if let Some(folder) = folder {
            design["FOLDERNAME"] = json!(folder);
        }
        let url = self.url(&["workspaces", workspace, "tables"])?;
        let request = form(Method::POST, url, &json!({"tableDesign": design}))?;
        let body = self
            .tell("create the table", request, METADATA, Repeat::OnlyIfRefused)
            .await?;
        text_of(&body["data"]["viewId"]).ok_or_else(|| strange("the new table", &body))
    }

    /// Adds columns, ten at most. One that is there is a fault with the code 7157.
    pub async fn add_columns(&self, table: &Table, columns: &[NewColumn]) -> Result<(), Fault> {
        let url = self.url(&[
            "workspaces",
            &table.workspace,
            "views",
            &table.view,
            "columns",
        ])?;
        let config = match columns {
            [column] => column.addition(),
            many => {
                let many: Vec<Value> = many.iter().map(NewColumn::addition).collect();
                json!({ "columns": many })
            }
        };
        let request = form(Method::POST, url, &config)?;
        self.units.columns_added();
        self.tell("add columns", request, METADATA, Repeat::OnlyIfRefused)
            .await?;
        Ok(())
    }

    /// Adds a row.
    pub async fn add_row(&self, table: &Table, config: &Value) -> Result<Changed, Fault> {
        let request = form(Method::POST, self.rows_url(table)?, config)?;
        self.units.row_added();
        let body = self
            .tell("add a row", request, ROWS, Repeat::OnlyIfRefused)
            .await?;
        let added = body["data"]["addedColumns"].as_object();
        Ok(Changed {
            rows: u64::from(added.is_some_and(|columns| !columns.is_empty())),
            is_new: true,
            invalid: names(&body["data"]["invalidColumns"]),
        })
    }

    /// Changes rows that meet the criteria of `config`.
    pub async fn update_rows(&self, table: &Table, config: &Value) -> Result<Changed, Fault> {
        let request = form(Method::PUT, self.rows_url(table)?, config)?;
        self.units.row_changed();
        let body = self
            .tell("change rows", request, ROWS, Repeat::Safely)
            .await?;
        let data = &body["data"];
        let is_new = match &data["newRowAdded"] {
            Value::Bool(is_new) => *is_new,
            Value::String(word) => word.eq_ignore_ascii_case("true"),
            _ => false,
        };
        let rows = count_of(&data["updatedRows"]);
        Ok(Changed {
            rows: match rows {
                Some(rows) => rows,
                None if is_new => 0,
                None => return Err(strange("the changed rows", &body)),
            },
            is_new,
            invalid: names(&data["invalidColumns"]),
        })
    }

    /// Deletes rows that meet criteria; returns how many.
    pub async fn delete_rows(&self, table: &Table, config: &Value) -> Result<u64, Fault> {
        let request = form(Method::DELETE, self.rows_url(table)?, config)?;
        self.units.row_added();
        let body = self
            .tell("delete rows", request, ROWS, Repeat::Safely)
            .await?;
        count_of(&body["data"]["deletedRows"]).ok_or_else(|| strange("the deleted rows", &body))
    }

    /// How a job stands.
    pub async fn job(&self, workspace: &str, id: &str) -> Result<Job, Fault> {
        let url = self.url(&["bulk", "workspaces", workspace, "importjobs", id])?;
        let call = Call {
            what: "ask for the import",
            request: Request::get(url),
            repeat: Repeat::Safely,
            group: Some(BULK),
        };
        let body = json_of(&self.send(call).await?)?;
        Job::of(&body).ok_or_else(|| strange("the state of the import", &body))
    }

    fn rows_url(&self, table: &Table) -> Result<Url> {
        self.url(&["workspaces", &table.workspace, "views", &table.view, "rows"])
    }

    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url> {
        let all: Vec<&str> = ["restapi", "v2"].iter().chain(segments).copied().collect();
        self.plain.url(&all)
    }

    async fn ask(&self, what: &str, request: Request, group: &'static str) -> Result<Value, Fault> {
        self.units.metadata();
        self.tell(what, request, group, Repeat::Safely).await
    }

    async fn tell(
        &self,
        what: &str,
        request: Request,
        group: &'static str,
        repeat: Repeat,
    ) -> Result<Value, Fault> {
        let call = Call {
            what,
            request,
            repeat,
            group: Some(group),
        };
        json_of(&self.send(call).await?)
    }

    async fn send(&self, call: Call<'_>) -> Result<Answer, Fault> {
        let again = Call {
            request: call.request.clone(),
            ..call
        };
        let (org, api) = self.scoped();
        match api.send(call).await {
            Err(fault) if is_of_org(&fault) => {
                if self.correct_org(org.as_deref()).await? {
                    return self.scoped().1.send(again).await;
                }
                Err(fault)
            }
            other => other,
        }
    }

    fn scoped(&self) -> (Option<String>, zoho::Api<Service>) {
        let scoped = self.scoped.read().unwrap_or_else(PoisonError::into_inner);
        match scoped.as_ref() {
            Some((org, api)) => (Some(org.clone()), api.clone()),
            None => (None, self.plain.clone()),
        }
    }

    /// Looks up the organization of the workspace, once for all that ask. Returns whether another one is
    /// named now than the one that was refused.
    async fn correct_org(&self, refused: Option<&str>) -> Result<bool, Fault> {
        let Some(workspace) = self.workspace.get() else {
            return Ok(false);
        };
        let look = || async {
            let call = Call {
                what: "look up the organization",
                request: Request::get(self.url(&["workspaces"])?),
                repeat: Repeat::Safely,
                group: Some(METADATA),
            };
            let body = json_of(&self.plain.send(call).await?)?;
            let found = all_workspaces(&body)
                .into_iter()
                .find(|it| it.id == *workspace);
            let org = found.and_then(|found| found.org);
            if let Some(org) = org.as_deref().filter(|org| Some(*org) != refused) {
                tracing::warn!(
                    org_id = org,
                    "the organization named is not that of the workspace; it was looked up"
                );
                self.set_org(org)?;
            }
            Ok::<_, Fault>(org)
        };
        let org = self.corrected.get_or_try_init(look).await?;
        Ok(org.as_deref().is_some_and(|org| Some(org) != refused))
    }
}

/// Whether a fault may mean that the workspace is of another organization than the one named.
fn is_of_org(fault: &Fault) -> bool {
    ["7103", "7387", "8083", "8084"]
        .iter()
        .any(|code| fault.is(code))
}

impl Workspace {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            id: text_of(value.get("workspaceId")?)?,
            name: value["workspaceName"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            org: text_of(&value["orgId"]),
        })
    }
}

impl View {
    fn of(value: &Value) -> Option<Self> {
        let kind = &value["viewType"];
        Some(Self {
            id: text_of(value.get("viewId")?)?,
            name: value["viewName"].as_str().unwrap_or_default().to_owned(),
            is_table: kind
                .as_str()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("table"))
                || text_of(kind).is_some_and(|kind| kind == "0"),
        })
    }
}

fn all_workspaces(body: &Value) -> Vec<Workspace> {
    let lists = ["ownedWorkspaces", "sharedWorkspaces"];
    let all = lists.iter().filter_map(|key| body["data"][*key].as_array());
    all.flatten().filter_map(Workspace::of).collect()
}

/// The names of columns in an object or a list.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(columns) => columns.keys().cloned().collect(),
        Value::Array(columns) => columns
            .iter()
            .filter_map(|column| column.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// CONFIG as text.
pub(crate) fn text(config: &Value) -> Result<String> {
    let text = config.to_string();
    let length = text.chars().count();
    if length > MOST_CONFIG {
        return Err(Error::rejected(format!(
            "CONFIG would have {length} characters, and Analytics takes {MOST_CONFIG}"
        )));
    }
    Ok(text)
}

/// Puts CONFIG into the query.
pub(crate) fn in_query(url: &mut Url, config: &str) {
    url.query_pairs_mut().append_pair("CONFIG", config);
}

/// A request with CONFIG as a field of a form.
fn form(method: Method, url: Url, config: &Value) -> Result<Request> {
    let mut fields = url.clone();
    fields.set_query(None);
    in_query(&mut fields, &text(config)?);
    let body = fields.query().unwrap_or_default().to_owned();
    let kind = "application/x-www-form-urlencoded";
    Ok(Request::with_body(method, url, kind, Bytes::from(body)))
}

fn json_of(answer: &Answer) -> Result<Value, Fault> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    answer.json().ok_or_else(|| {
        Error::protocol("the answer of Analytics is no JSON")
            .with_source(answer.cause(&[]))
            .into()
    })
}

/// An answer of success without what it should hold; nothing of it is shown.
pub(crate) fn strange(what: &str, body: &Value) -> Fault {
    let keys = body["data"].as_object();
    let keys: Vec<&str> = keys.map_or(Vec::new(), |data| data.keys().map(String::as_str).collect());
    Error::protocol(format!(
        "the answer of Analytics does not hold {what}: its keys are `{}`",
        keys.join("`, `")
    ))
    .into()
}
