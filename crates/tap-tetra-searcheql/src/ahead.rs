//! Files whose content is fetched ahead of the one that is handled, in their order, and the memory that documents
//! may take while they wait for their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use singer_core::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::Tetra;
use crate::config::{Retrieve, Stream};
use crate::files::Facts;
use crate::model::Hit;
use crate::retrieve::{Content, Retriever};

/// Documents that wait for their turn have so many KiB together; a larger one waits until it is alone.
const BUDGET_KIB: u64 = 128 << 10;

/// What a document is counted as whose size the search does not tell, in KiB.
const GUESSED_KIB: u64 = 1024;

/// Files under way for each that may be fetched at once: some wait for a link, some for their turn to be handled.
const AHEAD: usize = 4;

/// The memory for documents, over all streams.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    kib: Arc<Semaphore>,
}

impl Budget {
    /// All of it.
    pub(crate) fn new() -> Self {
        Self {
            kib: Arc::new(Semaphore::new(BUDGET_KIB as usize)),
        }
    }

    fn try_room(&self, kib: u64) -> Option<Room> {
        let kib = kib.min(BUDGET_KIB);
        let held = Arc::clone(&self.kib).try_acquire_many_owned(kib as u32);
        let held = held.ok()?;
        Some(Room {
            within: Some((self.clone(), held)),
        })
    }

    /// Waits until others, who hold it, let go of it as they are handled.
    async fn room(&self, kib: u64) -> Result<Room> {
        let kib = kib.min(BUDGET_KIB);
        let held = Arc::clone(&self.kib).acquire_many_owned(kib as u32).await;
        let held = held.map_err(|_| Error::internal("the memory for documents is gone"))?;
        Ok(Room {
            within: Some((self.clone(), held)),
        })
    }
}

/// Room for one document, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    within: Option<(Budget, OwnedSemaphorePermit)>,
}

impl Room {
    /// For a document that is next, so that none ahead of it holds anything, and for what needs no memory.
    pub(crate) fn without_bounds() -> Self {
        Self { within: None }
    }

    /// Takes more where a document turns out to be larger than the search tells, as packed ones do; false if there
    /// is no more.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some((budget, held)) = &mut self.within else {
            return true;
        };
        let wanted = (bytes as u64 / 1024 + 1).min(BUDGET_KIB);
        let lacks = wanted.saturating_sub(held.num_permits() as u64);
        if lacks == 0 {
            return true;
        }
        match Arc::clone(&budget.kib).try_acquire_many_owned(lacks as u32) {
            Ok(more) => {
                held.merge(more);
                true
            }
            Err(_) => false,
        }
    }
}

/// The files under way, in order.
pub(crate) struct Ahead {
    retriever: Arc<Retriever>,
    budget: Budget,
    stream: Arc<Stream>,
    most: usize,
    files: VecDeque<(Hit, Pending)>,
}

/// The content of a file, or the task that fetches it.
enum Pending {
    Nothing,
    Task(Fetching),
}

struct Fetching {
    task: JoinHandle<(Result<Content>, Room)>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        // Whoever ends early does not go on fetching.
        self.task.abort();
    }
}

/// A file whose turn it is.
pub(crate) struct Next {
    /// The file.
    pub(crate) hit: Hit,
    /// Its content, or why there is none.
    pub(crate) content: Result<Content>,
    /// The memory of the content, for as long as it is needed.
    pub(crate) room: Room,
}

impl Ahead {
    /// Nothing is under way yet.
    pub(crate) fn new(tap: &Tetra, stream: &Arc<Stream>) -> Self {
        Self {
            retriever: Arc::clone(&tap.retriever),
            budget: tap.budget.clone(),
            stream: Arc::clone(stream),
            most: tap.config.parallel.saturating_mul(AHEAD),
            files: VecDeque::new(),
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether there is no place for another file.
    pub(crate) fn is_full(&self) -> bool {
        self.files.len() >= self.most
    }

    /// Begins to fetch what comes next, as far as there is room; without their content those that are not wanted.
    ///
    /// # Errors
    /// Of kind `Internal`.
    pub(crate) async fn fill(
        &mut self,
        hits: &mut VecDeque<Hit>,
        is_wanted: impl Fn(&Hit) -> bool,
    ) -> Result<()> {
        while !self.is_full()
            && let Some(hit) = hits.front()
        {
            let pending = if is_wanted(hit) {
                // Two versions of one file have one place on disk.
                let is_under_way = self.stream.retrieve == Retrieve::File
                    && self.files.iter().any(|(one, _)| one.file_id == hit.file_id);
                if is_under_way {
                    return Ok(());
                }
                let Some(room) = self.room(hit).await? else {
                    return Ok(());
                };
                Pending::Task(self.begin(hit.clone(), room))
            } else {
                Pending::Nothing
            };
            if let Some(hit) = hits.pop_front() {
                self.files.push_back((hit, pending));
            }
        }
        Ok(())
    }

    /// The next file once its content is there; nothing if none is under way. May be dropped while it waits.
    ///
    /// # Errors
    /// Of kind `Internal`.
    pub(crate) async fn next(&mut self) -> Result<Option<Next>> {
        loop {
            let (content, room) = match self.files.front_mut() {
                None => return Ok(None),
                Some((_, Pending::Nothing)) => (Ok(Content::None), Room::without_bounds()),
                Some((_, Pending::Task(fetching))) => {
                    (&mut fetching.task).await.map_err(|error| {
                        Error::internal("the task that fetches a file died").with_source(error)
                    })?
                }
            };
            let Some((hit, _)) = self.files.pop_front() else {
                return Ok(None);
            };
            if !matches!(content, Ok(Content::Crowded)) {
                return Ok(Some(Next { hit, content, room }));
            }
            drop(room);
            let alone = self.begin(hit.clone(), Room::without_bounds());
            self.files.push_front((hit, Pending::Task(alone)));
        }
    }

    /// Room for a document, in the order of the files, so that none waits for one behind it. Nothing if it has to
    /// wait for those ahead of it.
    async fn room(&self, hit: &Hit) -> Result<Option<Room>> {
        if self.stream.retrieve != Retrieve::Json {
            return Ok(Some(Room::without_bounds()));
        }
        let kib = (Facts::of(hit).size).map_or(GUESSED_KIB, |size| size / 1024 + 1);
        if let Some(room) = self.budget.try_room(kib) {
            return Ok(Some(room));
        }
        if !self.files.is_empty() {
            return Ok(None);
        }
        // Other streams hold it, and let go of it as they write.
        self.budget.room(kib).await.map(Some)
    }

    fn begin(&self, hit: Hit, mut room: Room) -> Fetching {
        let (retriever, stream) = (Arc::clone(&self.retriever), Arc::clone(&self.stream));
        Fetching {
            task: tokio::spawn(async move {
                let content = retriever.content(&stream, &hit, &mut room).await;
                (content, room)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_while_there_is_some_and_is_given_back() {
        let budget = Budget::new();
        let mut one = budget.try_room(BUDGET_KIB / 2).unwrap();
        let mut other = budget.try_room(1).unwrap();
        assert!(other.grow_to(1 << 20));
        assert!(
            !other.grow_to(100 << 20),
            "what the search told was too little"
        );
        assert!(one.grow_to(1), "nothing is given back early");
        drop(one);
        assert!(other.grow_to(100 << 20));
        assert!(budget.try_room(BUDGET_KIB / 2).is_none());
        assert!(
            other.grow_to(1 << 40),
            "a document that is alone has all of it"
        );
        drop(other);
        assert!(budget.try_room(u64::MAX).is_some());
    }
}
