//! The table of a stream: found by id or name, created, given the columns that it lacks.

use singer_core::{Error, Result};
use singer_runtime::target::{Problem, Stream};
use zoho::Fault;

use crate::api::{MOST_COLUMNS, Table, View};
use crate::config::Chosen;
use crate::home::Home;
use crate::model::{Column, NewColumn};
use crate::shape::Shape;

/// How often columns are looked at again without getting any further: others may add them too.
const ROUNDS: usize = 10;

/// What is there under the name or id of a table.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// A table and its columns.
    Table {
        table: Table,
        name: String,
        columns: Vec<Column>,
    },
    /// Nothing.
    Missing { name: String },
    /// Something else.
    NotTable { name: String },
}

impl Found {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Table { name, .. } | Self::Missing { name } | Self::NotTable { name } => name,
        }
    }

    /// The columns of the table, if it is one.
    pub(crate) fn columns(&self) -> Option<&[Column]> {
        match self {
            Self::Table { columns, .. } => Some(columns),
            Self::Missing { .. } | Self::NotTable { .. } => None,
        }
    }
}

/// Codes that say that a view is no table.
fn is_no_table(fault: &Fault) -> bool {
    ["7137", "7397", "7439"].iter().any(|code| fault.is(code))
}

/// Looks for the table of a stream.
pub(crate) async fn find(home: &Home, stream: &Stream, chosen: &Chosen) -> Result<Found> {
    let workspace = home.workspace().await?.to_owned();
    let view = match &chosen.view_id {
        Some(id) => {
            let what = format!("cannot read the view `{id}`");
            match home.api.view(id).await {
                Ok((view, _)) => view,
                Err(fault) if fault.is("7104") || fault.is("7105") => {
                    return Ok(Found::Missing { name: id.clone() });
                }
                Err(fault) => return Err(fault.into_error(&what)),
            }
        }
        None => {
            let name = chosen.view.as_deref().unwrap_or(&stream.name);
            match by_name(home, &workspace, name).await? {
                Some(view) => view,
                None => {
                    return Ok(Found::Missing {
                        name: name.to_owned(),
                    });
                }
            }
        }
    };
    if !view.is_table {
        return Ok(Found::NotTable { name: view.name });
    }
    let table = Table {
        workspace,
        view: view.id,
    };
    match home.api.columns(&table).await {
        Ok(columns) => Ok(Found::Table {
            table,
            name: view.name,
            columns,
        }),
        Err(fault) if is_no_table(&fault) => Ok(Found::NotTable { name: view.name }),
        Err(fault) => Err(fault.into_error(&format!("cannot read the columns of `{}`", view.name))),
    }
}

/// The view of this name; spelled in another case only if no other is.
async fn by_name(home: &Home, workspace: &str, name: &str) -> Result<Option<View>> {
    let views = home.api.views(workspace, name).await;
    let views =
        views.map_err(|fault| fault.into_error("cannot list the views of the workspace"))?;
    Ok(called(&views, name).cloned())
}

/// The view of a list that has this name.
pub(crate) fn called<'a>(views: &'a [View], name: &str) -> Option<&'a View> {
    let lower = name.to_lowercase();
    let exact = views.iter().find(|view| view.name == name);
    exact.or_else(|| views.iter().find(|view| view.name.to_lowercase() == lower))
}

/// A view that is none to write to, as a problem.
pub(crate) fn no_table(name: &str) -> Problem {
    Problem {
        kind: "no table",
        message: format!(
            "`{name}` is a view of another kind than a table: no rows can be written to it"
        ),
        hint: Some("name another one in `view` or `view_id`".to_owned()),
    }
}

/// Creates what a stream lacks. Returns the table, and the stream's shape as it meets the table.
pub(crate) async fn prepare(
    home: &Home,
    stream: &Stream,
    chosen: &Chosen,
    shape: &Shape,
    table: Option<Table>,
) -> Result<(Table, Shape)> {
    let (table, mut shape) = match table {
        Some(table) => (table, shape.clone()),
        None => create(home, stream, chosen, shape).await?,
    };
    let mut vain = 0;
    while vain < ROUNDS {
        if shape.create.is_empty() {
            return Ok((table, shape));
        }
        let next: Vec<NewColumn> = shape.create.iter().take(MOST_COLUMNS).cloned().collect();
        match home.api.add_columns(&table, &next).await {
            Ok(()) => {
                let names: Vec<&str> = next.iter().map(|column| column.name.as_str()).collect();
                tracing::info!(
                    stream = stream.name,
                    view = shape.view,
                    columns = names.join(", "),
                    "added columns"
                );
                shape.create.drain(..next.len());
                vain = 0;
            }
            // Others add columns too, or nobody knows whether this call did.
            Err(fault) if fault.is("7157") || fault.is_unclear() => {
                let missing = shape.create.len();
                shape = again(home, stream, chosen, &shape, &table).await?;
                vain = if shape.create.len() < missing {
                    0
                } else {
                    vain + 1
                };
            }
            Err(fault) => {
                return Err(fault.into_error(&format!("cannot add columns to `{}`", shape.view)));
            }
        }
    }
    Err(Error::protocol(format!(
        "the columns of `{}` are not there although they were added again and again",
        shape.view
    )))
}

/// Meets the columns that a table has by now.
async fn again(
    home: &Home,
    stream: &Stream,
    chosen: &Chosen,
    shape: &Shape,
    table: &Table,
) -> Result<Shape> {
    let what = format!("cannot read the columns of `{}`", shape.view);
    let columns = home.api.columns(table).await;
    let columns = columns.map_err(|fault| fault.into_error(&what))?;
    let met = Shape::new(stream, chosen, &home.config, &shape.view, Some(&columns));
    met.map_err(|problems| refused(&shape.view, problems))
}

/// The error of a table that does not take the stream after all.
fn refused(view: &str, problems: Vec<Problem>) -> Error {
    let mut error = Error::rejected(format!("the table `{view}` does not take the stream"));
    for problem in problems {
        error = error.with_hint(format!("{}: {}", problem.kind, problem.message));
    }
    error
}

/// Creates a table. A name is taken once: before it is tried again, and when somebody was faster, the
/// table is looked for.
async fn create(
    home: &Home,
    stream: &Stream,
    chosen: &Chosen,
    shape: &Shape,
) -> Result<(Table, Shape)> {
    let workspace = home.workspace().await?.to_owned();
    let what = format!("cannot create the table `{}`", shape.view);
    let mut is_second = false;
    loop {
        let folder = home.config.folder.as_deref();
        let made = home
            .api
            .create_table(&workspace, &shape.view, folder, &shape.create)
            .await;
        let fault = match made {
            Ok(view) => {
                tracing::info!(
                    stream = stream.name,
                    view = shape.view,
                    columns = shape.create.len(),
                    "created the table"
                );
                let mut shape = shape.clone();
                shape.create.clear();
                return Ok((Table { workspace, view }, shape));
            }
            Err(fault) => fault,
        };
        if !fault.is("7111") && !fault.is_unclear() {
            return Err(fault.into_error(&what));
        }
        match find(home, stream, chosen).await? {
            Found::Table {
                table,
                name,
                columns,
            } => {
                let met = Shape::new(stream, chosen, &home.config, &name, Some(&columns));
                let shape = met.map_err(|problems| refused(&name, problems))?;
                return Ok((table, shape));
            }
            Found::NotTable { name } => {
                let problem = no_table(&name);
                return Err(refused(&name, vec![problem]));
            }
            Found::Missing { .. } if fault.is_unclear() && !is_second => is_second = true,
            Found::Missing { .. } => return Err(fault.into_error(&what)),
        }
    }
}
