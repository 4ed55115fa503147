//! Import jobs and what becomes of them, batch jobs and exports included. Facts: sections 3.5 and 3.6.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::Failure;
use super::prepare::{Counts, Prepared};
use super::spec::{ImportSpec, ImportType};
use crate::faults::ImportFault;

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) imports: BTreeMap<String, Job>,
    pub(crate) exports: BTreeMap<String, Export>,
}

/// An import job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) owner: String,
    pub(crate) workspace: String,
    pub(crate) view: String,
    pub(crate) spec: Arc<ImportSpec>,
    pub(crate) created_ms: u64,
    pub(crate) looks: u32,
    pub(crate) phase: Phase,
    pub(crate) fault: Option<ImportFault>,
    /// It made its table.
    pub(crate) is_new_table: bool,
    pub(crate) counts: Counts,
    /// A batch job, also after it is closed.
    pub(crate) batches: Option<Batches>,
}

/// The batches of a job.
#[derive(Debug)]
pub(crate) struct Batches {
    /// The key that the next batch has to show; after the last one, the key that it showed.
    pub(crate) key: String,
    pub(crate) count: u32,
    pub(crate) last_ms: u64,
    pub(crate) is_closed: bool,
}

/// How far a job is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its file is being read; it has its slot already.
    Reading,
    /// A batch job that waits for batches; the rows of TRUNCATEADD wait with it.
    Open(Vec<Prepared>),
    /// All is there, and is applied when its time has come.
    Waiting { due_ms: u64, files: Vec<Prepared> },
    Over {
        at_ms: u64,
        failure: Option<Failure>,
    },
    /// Nobody knows it any more.
    Gone,
}

/// An export job: the file is made at once.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) owner: String,
    pub(crate) created_ms: u64,
    pub(crate) csv: Vec<u8>,
}

impl Jobs {
    /// Whether a job works on a view, or waits to.
    pub(crate) fn is_at_work_on(&self, view: &str) -> bool {
        let mut jobs = self.imports.values();
        jobs.any(|job| job.view == view && job.is_at_work())
    }

    /// How many slots are taken.
    pub(crate) fn slots(&self) -> usize {
        self.imports.values().filter(|job| job.is_at_work()).count()
    }

    /// The batch job that a key belongs to, be it the present key or the last one.
    pub(crate) fn by_batch_key(&mut self, key: &str) -> Option<(&String, &mut Job)> {
        self.imports.iter_mut().find(|(_, job)| {
            let batches = job.batches.as_ref();
            batches.is_some_and(|batches| batches.key == key)
        })
    }
}

impl Job {
    pub(crate) fn is_at_work(&self) -> bool {
        matches!(
            self.phase,
            Phase::Reading | Phase::Open(_) | Phase::Waiting { .. }
        )
    }

    /// Whether rows come into the table batch by batch.
    pub(crate) fn commits_at_once(&self) -> bool {
        self.batches.is_some() && self.spec.import_type != ImportType::TruncateAdd
    }

    /// Whether it is to be carried out now.
    pub(crate) fn is_due(&self, now_ms: u64, polls: u32) -> bool {
        let Phase::Waiting { due_ms, .. } = &self.phase else {
            return false;
        };
        match self.fault {
            Some(ImportFault::Hang(None)) => false,
            Some(ImportFault::Hang(Some(hang))) => self.looks >= hang,
            _ => now_ms >= *due_ms || self.looks >= polls.max(1),
        }
    }
}
