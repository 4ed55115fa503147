//! `--check`: the token, the organization, the workspace, and each table that the config names. Nothing is
//! changed, so that the rights to change rows show only when rows are changed.

use singer_core::{Error, Result};

use crate::api::Table;
use crate::config::Chosen;
use crate::home::Home;
use crate::place;

/// A job that nobody has: the question for it needs the rights that imports need.
const NO_JOB: &str = "1";

/// Says in one line what works, or fails with what does not.
pub(crate) async fn check(home: &Home) -> Result<String> {
    let workspace = home.workspace().await?.to_owned();
    let views = home.api.views(&workspace, "").await;
    let what = format!("cannot list the views of the workspace `{workspace}`");
    let views = views.map_err(|fault| fault.into_error(&what))?;
    let asked = home.api.job(&workspace, NO_JOB).await;
    if let Err(fault) = asked
        && matches!(fault.class, zoho::Class::Token | zoho::Class::Denied)
        && !fault.is("8138")
    {
        return Err(fault.into_error("cannot ask for imports"));
    }
    let (mut tables, mut new) = (0, 0);
    let names: Vec<String> = home
        .config
        .streams
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        let chosen = home.config.stream(&name);
        let is_pattern = name.contains(['*', '?']);
        if is_pattern && chosen.view.is_none() && chosen.view_id.is_none() {
            continue;
        }
        let id = match table(home, &chosen, &name).await? {
            Some(id) => id,
            None => match place::called(&views, wanted(&chosen, &name)) {
                Some(view) if view.is_table => view.id.clone(),
                Some(view) => {
                    return Err(Error::config(format!("`{}` is no table", view.name)));
                }
                None if chosen.create => {
                    new += 1;
                    continue;
                }
                None => {
                    let view = wanted(&chosen, &name);
                    return Err(Error::config(format!(
                        "there is no table `{view}` for the stream `{name}`"
                    ))
                    .with_hint("create it, or leave `create` on"));
                }
            },
        };
        let table = Table {
            workspace: workspace.clone(),
            view: id,
        };
        let columns = home.api.columns(&table).await;
        columns.map_err(|fault| {
            fault.into_error(&format!(
                "cannot read the columns of the table for the stream `{name}`"
            ))
        })?;
        tables += 1;
    }
    Ok(format!(
        "{} may read the workspace `{workspace}` with {} views at `{}`: {tables} tables of the config are there, {new} will be created",
        home.api.account().place(),
        views.len(),
        home.config.base()?,
    ))
}

fn wanted<'a>(chosen: &'a Chosen, stream: &'a str) -> &'a str {
    chosen.view.as_deref().unwrap_or(stream)
}

/// The table that is named by its id.
async fn table(home: &Home, chosen: &Chosen, stream: &str) -> Result<Option<String>> {
    let Some(id) = &chosen.view_id else {
        return Ok(None);
    };
    let view = home.api.view(id).await;
    let what = format!("cannot read the view `{id}` of the stream `{stream}`");
    let (view, _) = view.map_err(|fault| fault.into_error(&what))?;
    if !view.is_table {
        return Err(Error::config(format!(
            "the view `{id}` of the stream `{stream}` is no table"
        )));
    }
    Ok(Some(view.id))
}
