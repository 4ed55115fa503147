//! `--check`: the token, the organisation, and of each module that the config names its fields and the rights
//! to write them. Nothing is changed.

use singer_core::{Error, Result};

use crate::config::Operation;
use crate::home::Home;

/// A job that nobody has: the question for it needs the rights that jobs need.
const NO_JOB: &str = "1";

/// Says in one line what works, or fails with what does not.
pub(crate) async fn check(home: &Home) -> Result<String> {
    let organisation = home.organisation().await?;
    if let Err(fault) = home.api.job(NO_JOB).await
        && matches!(fault.class, zoho::Class::Token | zoho::Class::Denied)
    {
        return Err(fault.into_error("cannot ask for bulk write jobs"));
    }
    let names: Vec<String> = home
        .config
        .streams
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut modules = 0;
    for name in names {
        let chosen = home.config.stream(&name);
        let is_pattern = name.contains(['*', '?']);
        let module = match &chosen.module {
            Some(module) => module.clone(),
            None if is_pattern => continue,
            None => name.clone(),
        };
        check_module(home, &module, chosen.operation).await?;
        let Some(fields) = home.fields(&module).await? else {
            return Err(Error::config(format!(
                "the service tells no field of the module `{module}` for the stream `{name}`"
            )));
        };
        let wanted = chosen.find_by.iter().filter(|field| *field != "id");
        for field in wanted.chain(&chosen.deleted_field) {
            if !fields.iter().any(|known| known.api_name == *field) {
                return Err(Error::config(format!(
                    "the module `{module}` has no field `{field}`, which the stream `{name}` names"
                )));
            }
        }
        modules += 1;
    }
    let left = home.api.crm().credits().remaining();
    let left = left.map_or_else(String::new, |left| format!(", {left} credits are left"));
    Ok(format!(
        "{} may read the organisation `{}` at `{}` and {modules} modules of the config{left}; the right to upload (`ZohoFiles.files.ALL`) shows when a file is sent",
        home.api.crm().account().place(),
        organisation.zgid,
        home.api.crm().api().base(),
    ))
}

/// Whether the user may write records of a module.
async fn check_module(home: &Home, name: &str, operation: Operation) -> Result<()> {
    let asked = home.api.crm().module(name).await;
    let what = format!("cannot read the module `{name}`");
    let Some(module) = asked.map_err(|fault| fault.into_error(&what))? else {
        return Err(
            Error::config(format!("there is no module `{name}`")).with_hint("look at its API name")
        );
    };
    if operation != Operation::Update && !module.is_creatable {
        return Err(Error::auth(format!(
            "the token's user may not create records of the module `{name}`"
        )));
    }
    if operation != Operation::Insert && !module.is_editable {
        return Err(Error::auth(format!(
            "the token's user may not change records of the module `{name}`"
        )));
    }
    Ok(())
}
