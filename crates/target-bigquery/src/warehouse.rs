//! What all streams of a run share: the clients, the jobs, and what is known of data sets.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::{Error, Result};
use singer_runtime::context::Context;
use tokio::sync::OnceCell;

use crate::api::{Api, Fault};
use crate::auth::Tokens;
use crate::config::{Config, Method};
use crate::job::Jobs;
use crate::place::Place;
use crate::storage::Storage;

/// BigQuery as one run sees it.
#[derive(Debug)]
pub struct Warehouse {
    /// The settings.
    pub config: Config,
    /// The run.
    pub context: Context,
    /// REST.
    pub api: Arc<Api>,
    /// Jobs.
    pub jobs: Jobs,
    /// The Storage Write API, if rows go that way.
    pub storage: Option<Storage>,
    /// The credentials.
    pub tokens: Arc<Tokens>,
    datasets: Mutex<HashMap<String, Arc<OnceCell<Option<String>>>>>,
    /// The tables that each stream has written to, also under an earlier SCHEMA of it.
    places: Mutex<HashMap<String, BTreeSet<Place>>>,
}

impl Warehouse {
    /// Puts the parts together; sends nothing.
    pub fn new(
        config: Config,
        context: Context,
        tokens: Arc<Tokens>,
        api: Arc<Api>,
        storage: Option<Storage>,
    ) -> Self {
        debug_assert!(storage.is_some() == (config.method == Method::StorageWrite));
        Self {
            jobs: Jobs::new(
                Arc::clone(&api),
                config.http.attempts,
                config.parallel(),
                config.maximum_bytes_billed,
            ),
            config,
            context,
            api,
            storage,
            tokens,
            datasets: Mutex::default(),
            places: Mutex::default(),
        }
    }

    /// Whether a table counts as one that a stream writes to.
    pub(crate) fn note(&self, stream: &str, place: &Place, is_written: bool) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.entry(stream.to_owned()).or_default();
        if is_written {
            places.insert(place.clone());
        } else {
            places.remove(place);
        }
    }

    /// The tables that a stream has written to.
    pub(crate) fn places(&self, stream: &str) -> Vec<Place> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(stream).into_iter().flatten().cloned().collect()
    }

    /// Where a data set is; created if it is missing and may be. Asked once for each data set.
    pub async fn location(&self, dataset: &str) -> Result<Option<String>> {
        let cell = {
            let mut datasets = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(datasets.entry(dataset.to_owned()).or_default())
        };
        let location = cell
            .get_or_try_init(|| self.find_or_create(dataset))
            .await?;
        Ok(location.clone())
    }

    /// Forgets a data set: somebody else has deleted it.
    pub fn forget(&self, dataset: &str) {
        let mut datasets = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        datasets.remove(dataset);
    }

    async fn find_or_create(&self, dataset: &str) -> Result<Option<String>> {
        let what = format!("cannot read the data set `{dataset}`");
        let wanted = self.config.location.as_deref();
        if let Some(found) = self
            .api
            .dataset(dataset)
            .await
            .map_err(|fault| fault.error(&what))?
        {
            return self.check_location(dataset, found.location);
        }
        if !self.config.create_dataset {
            return Err(
                Error::rejected(format!("the data set `{dataset}` is not there"))
                    .with_hint("create it, or leave `create_dataset` on"),
            );
        }
        let what = format!("cannot create the data set `{dataset}`");
        let created = self.api.create_dataset(dataset, wanted).await;
        created.map_err(|fault| {
            lacks(
                fault,
                &what,
                "bigquery.datasets.create",
                "roles/bigquery.user",
            )
        })?;
        tracing::info!(dataset, location = wanted, "created the data set");
        let found = self
            .api
            .dataset(dataset)
            .await
            .map_err(|fault| fault.error(&what))?;
        self.check_location(dataset, found.and_then(|found| found.location))
    }

    /// A data set elsewhere than the config says takes no job of this run.
    pub fn check_location(&self, dataset: &str, found: Option<String>) -> Result<Option<String>> {
        let wanted = self.config.location.as_deref();
        if let (Some(wanted), Some(found)) = (wanted, found.as_deref())
            && !wanted.eq_ignore_ascii_case(found)
        {
            return Err(Error::rejected(format!(
                "the data set `{dataset}` is in `{found}`, and `location` says `{wanted}`"
            ))
            .with_hint(
                "the location of a data set never changes: correct `location`, or leave it out",
            ));
        }
        Ok(found.or_else(|| wanted.map(str::to_owned)))
    }
}

/// The error of a refusal, which names the permission that is missing and the role that grants it.
pub fn lacks(fault: Fault, what: &str, permission: &str, role: &str) -> Error {
    let is_billing = matches!(&fault, Fault::Refused(refused) if refused.is_billing());
    if fault.is("accessDenied") && !is_billing {
        let error = fault.error(what);
        return error.with_hint(format!(
            "this needs the permission `{permission}`: `{role}` grants it"
        ));
    }
    fault.error(what)
}
