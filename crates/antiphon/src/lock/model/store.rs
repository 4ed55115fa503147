//! The simulated store: objects in memory, times by a clock that jumps, and everything that a network and a
//! disk do to requests.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use tokio::time::{Instant, sleep};

use super::World;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The store as one process sees it.
#[derive(Debug, Clone)]
pub(super) struct Simulated {
    world: World,
    process: u64,
    objects: Arc<InMemory>,
    times: Arc<Mutex<BTreeMap<Path, DateTime<Utc>>>>,
}

impl Simulated {
    pub(super) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            process: 0,
            objects: Arc::default(),
            times: Arc::default(),
        }
    }

    pub(super) fn of(&self, process: u64) -> Self {
        Self {
            process,
            ..self.clone()
        }
    }

    /// Does something to the objects as a request of this process: late, in vain, or without its knowledge.
    async fn request<T: Send + 'static>(
        &self,
        effect: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let world = &self.world;
        world.scheduled(self.process).await;
        if world.strikes(60) {
            // The whole process stops: what it does besides as well.
            let until = Instant::now() + Duration::from_millis(world.below(4 * 60_000));
            world.with(|inner| inner.stopped.insert(self.process, until));
            world.scheduled(self.process).await;
        }
        sleep(world.pause()).await;
        if world.strikes(30) {
            return Err(broken("out of reach, or the disk is full"));
        }
        if world.strikes(40) {
            // The request goes on without its sender, who gives it up or dies.
            world.with(|inner| inner.under_way += 1);
            let (late, delay) = (world.clone(), world.below(100_000));
            tokio::spawn(async move {
                sleep(Duration::from_millis(delay)).await;
                let _nobody_hears = effect.await;
                late.with(|inner| inner.under_way -= 1);
            });
            if world.below(2) == 0 {
                world.kill(self.process);
            }
            world.scheduled(self.process).await;
            return Err(broken("no answer in time"));
        }
        let done = effect.await;
        if world.strikes(80) {
            world.kill(self.process);
        }
        sleep(world.pause()).await;
        world.scheduled(self.process).await;
        if world.strikes(40) {
            return Err(broken("the answer was lost"));
        }
        done
    }

    async fn put(self, path: Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_new = matches!(options.mode, PutMode::Create);
        let is_version = path.as_ref().contains("/state/0");
        if is_version && !is_new {
            self.world.accuse(format!("{path} is put over"));
        }
        let put = self.objects.put_opts(&path, payload, options).await?;
        let now = self.world.time();
        self.times().insert(path, now);
        Ok(put)
    }

    fn times(&self) -> std::sync::MutexGuard<'_, BTreeMap<Path, DateTime<Utc>>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(time) = self.times().get(&meta.location) {
            meta.last_modified = *time;
        }
        meta
    }
}

fn broken(text: &str) -> Error {
    Error::Generic {
        store: "simulated",
        source: text.to_owned().into(),
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

impl ObjectStore for Simulated {
    fn put_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Answer<'async_trait, PutResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let is_new = matches!(options.mode, PutMode::Create);
        Box::pin(async move {
            let effect = self.clone().put(location.clone(), payload, options);
            let put = self.request(effect).await;
            // A client that repeats a request whose answer was lost finds its own object.
            if is_new && put.is_ok() && self.world.strikes(20) {
                return Err(Error::AlreadyExists {
                    path: location.to_string(),
                    source: "it is there".into(),
                });
            }
            put
        })
    }

    fn put_multipart_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _location: &'life1 Path,
        _options: PutMultipartOptions,
    ) -> Answer<'async_trait, Box<dyn MultipartUpload>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Err(broken("leases and states are small")) })
    }

    fn get_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: GetOptions,
    ) -> Answer<'async_trait, GetResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let (seen, path) = (self.clone(), location.clone());
        Box::pin(self.request(async move {
            let mut got = seen.objects.get_opts(&path, options).await?;
            got.meta = seen.timed(got.meta);
            Ok(got)
        }))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        locations
            .then(move |location| {
                let own = own.clone();
                async move {
                    let path = location?;
                    let (objects, gone) = (Arc::clone(&own.objects), path.clone());
                    own.request(async move { objects.delete(&gone).await })
                        .await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (own, prefix) = (self.clone(), prefix.cloned());
        futures_util::stream::once(async move {
            let seen = own.clone();
            own.request(async move {
                let found: Vec<ObjectMeta> = seen
                    .objects
                    .list(prefix.as_ref())
                    .map_ok(|meta| seen.timed(meta))
                    .try_collect()
                    .await?;
                Ok(futures_util::stream::iter(found).map(Ok))
            })
            .await
        })
        .try_flatten()
        .boxed()
    }

    fn list_with_delimiter<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _prefix: Option<&'life1 Path>,
    ) -> Answer<'async_trait, ListResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Err(broken("leases and states have no folders")) })
    }

    fn copy_opts<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        _from: &'life1 Path,
        _to: &'life2 Path,
        _options: CopyOptions,
    ) -> Answer<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Err(broken("nothing is copied")) })
    }
}
