//! A runner that sleeps between its look at the leases and its put of the next number, while others take
//! that number, release it, take the next and tidy up: its put succeeds, and must not count.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use singer_runtime::clock::Clock;

use super::{Desk, Holder, Place, Taken, model};
use crate::store::Store;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What others have put and removed while the runner slept.
#[derive(Debug)]
struct Meanwhile {
    put: (Path, bytes::Bytes),
    removed: Path,
}

/// A store whose next put of a new object is preceded by what others do.
#[derive(Debug)]
struct Sleeping {
    objects: Arc<InMemory>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl fmt::Display for Sleeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store of a sleeper")
    }
}

impl ObjectStore for Sleeping {
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
        Box::pin(async move {
            let is_lease = location.as_ref().contains("/lock/0");
            if is_lease && matches!(options.mode, PutMode::Create) {
                let meanwhile = self.meanwhile.lock().unwrap().take();
                if let Some(Meanwhile { put, removed }) = meanwhile {
                    self.objects.put(&put.0, put.1.into()).await?;
                    self.objects.delete(&removed).await?;
                }
            }
            self.objects.put_opts(location, payload, options).await
        })
    }

    fn put_multipart_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: PutMultipartOptions,
    ) -> Answer<'async_trait, Box<dyn MultipartUpload>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.objects.put_multipart_opts(location, options)
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
        self.objects.get_opts(location, options)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    fn list_with_delimiter<'life0, 'life1, 'async_trait>(
        &'life0 self,
        prefix: Option<&'life1 Path>,
    ) -> Answer<'async_trait, ListResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.objects.list_with_delimiter(prefix)
    }

    fn copy_opts<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        from: &'life1 Path,
        to: &'life2 Path,
        options: CopyOptions,
    ) -> Answer<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        self.objects.copy_opts(from, to, options)
    }
}

#[tokio::test]
async fn a_number_that_was_taken_and_removed_long_ago_is_no_lease() {
    let objects = Arc::new(InMemory::new());
    let desk = |store: Store, name: &str| Desk {
        store,
        clock: Clock::system(),
        place: Place::simulated(name, name, model::Judge::nobody()),
        pipeline: "p".to_owned(),
        lease: Duration::from_secs(60),
        grace: Duration::from_millis(100),
    };
    let others = desk(
        Store::over(Arc::clone(&objects) as Arc<dyn ObjectStore>),
        "others",
    );
    let Taken::Lease(first) = others.take("one").await.unwrap() else {
        panic!("the first lease is free");
    };
    first.release().await.unwrap();
    let key = |fence| Path::parse(others.key(fence)).unwrap();
    let sleeping = Sleeping {
        objects: Arc::clone(&objects),
        meanwhile: Mutex::new(Some(Meanwhile {
            put: (key(3), others.entry(3, "three").bytes().unwrap()),
            removed: key(1),
        })),
    };
    let sleeper = desk(Store::over(Arc::new(sleeping)), "sleeper");
    let taken = sleeper.take("two").await.unwrap();
    assert!(
        matches!(&taken, Taken::Held(Holder { run, .. }) if run == "three"),
        "{taken:?}"
    );
    assert!(objects.head(&key(2)).await.is_err(), "the old number stays");
    assert!(objects.head(&key(3)).await.is_ok());
}
