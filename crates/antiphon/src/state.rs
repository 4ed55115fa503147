//! The state of a pipeline: numbered versions that never change, and the way back.
//!
//! Version n+1 is put only if there is none, by whoever holds the lease. Numbers have no gaps above
//! the oldest version that retention left. `newest.json` is a hint from which the newest is looked for.

//!
//! What holds of the chain, whatever pauses and dies: a number is put once; a writer only ever puts the
//! number behind the one that it knows, and stops for good when somebody else has put it; a number
//! that was pruned may be put again by a writer that slept very long, so each put counts only if the
//! version before it is still there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use singer_core::{Error, Result};
use singer_runtime::clock::Clock;

use crate::session::Session;
use crate::spec::Retention;
use crate::store::{Put, Store};

pub(crate) use command::{Arguments, run};

pub(crate) mod backwards;
mod command;
pub(crate) mod diff;
mod file;

/// Versions that no age removes.
const LAST_KEPT: usize = 10;
/// The fewest that are kept, whatever the settings say: a writer looks for the one before its own.
const FEWEST_KEPT: usize = 2;
/// How far the newest version is looked for behind the hint before everything is listed.
const PROBES: u64 = 8;
/// How often a version is put against an old holder that still writes.
const FENCE_ATTEMPTS: usize = 50;
/// Half-written files older than this are nobody's any more.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// A version as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u64,
    /// RFC 3339, by the writer's clock.
    pub(crate) at: String,
    /// The run that wrote it; none for a person's.
    pub(crate) run: Option<String>,
    /// The fence of the lease under which it was written: never falls from version to version.
    pub(crate) fence: u64,
    pub(crate) cause: Cause,
    /// The state, byte for byte as the target printed it; `null` stands for no state at all.
    pub(crate) state: Box<RawValue>,
}

/// Why a version was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// The target printed it.
    Printed,
    /// The lease was taken over from a runner that died: the value of the version before, again.
    TakenOver,
    /// A person went back to the value of this version.
    Reverted(u64),
    /// A person set or imported it.
    Set,
}

/// The versions of one pipeline, written under one lease.
#[derive(Debug)]
pub(crate) struct States {
    store: Store,
    clock: Clock,
    pipeline: String,
    fence: u64,
    /// The newest version when this was opened, and then what was written by this.
    known: Known,
    /// Somebody else has written: nothing that is known here is the newest any more.
    is_fenced: bool,
}

/// What is known of the newest version.
#[derive(Debug)]
enum Known {
    Nothing,
    Version(Box<Version>),
    /// It is there and cannot be read.
    Damaged(u64),
}

/// What became of a state that the target printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is the newest version, durable.
    Version(u64),
    /// It equals the newest version.
    Same(u64),
    /// Somebody else has written the next version: this runner has lost its lease and must stop.
    Fenced,
}

/// `newest.json`
#[derive(Debug, Serialize, Deserialize)]
struct Hint {
    version: u64,
}

impl States {
    /// For reading, and for writing under a lease with this fence.
    ///
    /// # Errors
    /// Those of the store, and `Internal` for a newest version that cannot be read.
    pub(crate) async fn open(session: &Session, pipeline: &str, fence: u64) -> Result<Self> {
        let states = Self::open_damaged(session, pipeline, fence).await?;
        match states.known {
            Known::Damaged(number) => Err(states.damage(number)),
            _ => Ok(states),
        }
    }

    /// As [`States::open`], but a newest version that cannot be read is no error: a person is about to put a
    /// good one behind it.
    pub(crate) async fn open_damaged(
        session: &Session,
        pipeline: &str,
        fence: u64,
    ) -> Result<Self> {
        Self::over(&session.store, session.clock(), pipeline, fence).await
    }

    /// As [`States::open_damaged`], for those who have no session.
    pub(crate) async fn over(
        store: &Store,
        clock: &Clock,
        pipeline: &str,
        fence: u64,
    ) -> Result<Self> {
        let mut states = Self {
            store: store.clone(),
            clock: clock.clone(),
            pipeline: pipeline.to_owned(),
            fence,
            known: Known::Nothing,
            is_fenced: false,
        };
        states.known = states.find_newest().await?;
        Ok(states)
    }

    /// The newest version, if there is any; asks the store anew.
    pub(crate) async fn newest(&self) -> Result<Option<Version>> {
        match self.find_newest().await? {
            Known::Nothing => Ok(None),
            Known::Version(version) => Ok(Some(*version)),
            Known::Damaged(number) => Err(self.damage(number)),
        }
    }

    /// A version by its number, if it is there.
    ///
    /// # Errors
    /// As for [`States::open`].
    pub(crate) async fn version(&self, number: u64) -> Result<Option<Version>> {
        match self.read(number).await? {
            Known::Nothing => Ok(None),
            Known::Version(version) => Ok(Some(*version)),
            Known::Damaged(number) => Err(self.damage(number)),
        }
    }

    /// The numbers that are there, from the oldest to the newest, without gaps.
    pub(crate) async fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for (number, _) in self.listed().await?.into_iter().rev() {
            // What lies below a gap was put by a writer that slept while its number was pruned.
            if numbers.last().is_some_and(|last| number + 1 != *last) {
                break;
            }
            numbers.push(number);
        }
        numbers.reverse();
        Ok(numbers)
    }

    /// Stores a state as the next version. The bytes are one JSON object, checked by the caller.
    ///
    /// # Errors
    /// Those of the store. The state may or may not be stored then; the next call finds out.
    pub(crate) async fn append(&mut self, state: &str, run: &str, at: &str) -> Result<Stored> {
        let state = raw(state)?;
        if !self.is_fenced
            && let Known::Version(newest) = &self.known
            && newest.state.get() == state.get()
        {
            return Ok(Stored::Same(newest.version));
        }
        self.write(Cause::Printed, Some(run), at, state).await
    }

    /// Stores what a person wants as the next version, also if it equals the newest.
    pub(crate) async fn append_by_hand(
        &mut self,
        state: &str,
        cause: Cause,
        at: &str,
    ) -> Result<Stored> {
        self.write(cause, None, at, raw(state)?).await
    }

    /// Repeats the newest version under this fence, so that no older holder can write any more.
    pub(crate) async fn fence_off(&mut self, run: &str, at: &str) -> Result<Stored> {
        for _ in 0..FENCE_ATTEMPTS {
            self.known = self.find_newest().await?;
            let state = match &self.known {
                Known::Nothing => raw("null")?,
                Known::Damaged(number) => return Err(self.damage(*number)),
                Known::Version(newest) if newest.fence > self.fence => {
                    self.is_fenced = true;
                    return Ok(Stored::Fenced);
                }
                Known::Version(newest) if newest.fence == self.fence => {
                    return Ok(Stored::Same(newest.version));
                }
                Known::Version(newest) => newest.state.clone(),
            };
            self.is_fenced = false;
            let stored = self.write(Cause::TakenOver, Some(run), at, state).await?;
            if stored != Stored::Fenced {
                return Ok(stored);
            }
            // The old holder has put a version in between; this one comes behind it.
        }
        Err(Error::transient(format!(
            "another runner keeps writing states of `{}`",
            self.pipeline
        )))
    }

    /// Removes what retention does not keep, and what crashes have left half-written.
    pub(crate) async fn prune(&self, keep: &Retention) -> Result<()> {
        let listed = self.listed().await?;
        let now = self.clock.now();
        let most = keep.states.max(FEWEST_KEPT);
        for (index, (number, modified)) in listed.iter().enumerate() {
            let newer = listed.len() - index - 1;
            let age = (now - *modified).to_std().unwrap_or_default();
            if newer >= most || (newer >= LAST_KEPT && age > keep.age) {
                // From the oldest on, so that a crash leaves no gap.
                self.store.delete(&self.key(*number)).await?;
            }
        }
        self.store.sweep(&folder(&self.pipeline), LEFTOVER_AGE);
        Ok(())
    }

    /// The newest version as it was known when this was opened or written last; 0 for none.
    #[cfg(test)]
    pub(crate) fn known_number(&self) -> u64 {
        self.known.number()
    }

    async fn write(
        &mut self,
        cause: Cause,
        run: Option<&str>,
        at: &str,
        state: Box<RawValue>,
    ) -> Result<Stored> {
        loop {
            if self.is_fenced || self.known.fence() > self.fence {
                self.is_fenced = true;
                return Ok(Stored::Fenced);
            }
            let version = Version {
                version: self.known.number() + 1,
                at: at.to_owned(),
                run: run.map(str::to_owned),
                fence: self.fence,
                cause: cause.clone(),
                state: state.clone(),
            };
            let number = version.version;
            let bytes = text_of(&version)?.into();
            let put = self.store.put_new(&self.key(number), bytes).await?;
            let (written, is_wanted) = match put {
                Put::Created => (Box::new(version), true),
                // Of this very writer, whose answer was lost on the way, or somebody else's.
                Put::Exists => match self.read(number).await? {
                    Known::Version(there)
                        if there.fence == self.fence && there.run.as_deref() == run =>
                    {
                        let is_wanted = there.state.get() == state.get() && there.cause == cause;
                        (there, is_wanted)
                    }
                    _ => {
                        self.is_fenced = true;
                        return Ok(Stored::Fenced);
                    }
                },
            };
            if !self.extends(number).await? {
                self.is_fenced = true;
                return Ok(Stored::Fenced);
            }
            self.known = Known::Version(written);
            self.leave_hint(number).await;
            if is_wanted {
                return Ok(Stored::Version(number));
            }
        }
    }

    /// Whether a version that was put continues the chain: the one before it is still the one that is known.
    /// It is not if this writer slept while others wrote so much that its number was pruned.
    async fn extends(&self, number: u64) -> Result<bool> {
        match (&self.known, self.read(number - 1).await?) {
            (Known::Nothing, _) => {
                let listed = self.listed().await?;
                Ok(listed.iter().all(|(other, _)| *other <= number))
            }
            (Known::Damaged(_), before) => Ok(!matches!(before, Known::Nothing)),
            (Known::Version(known), Known::Version(before)) => Ok(known.fence == before.fence
                && known.run == before.run
                && known.at == before.at
                && known.state.get() == before.state.get()),
            (Known::Version(_), _) => Ok(false),
        }
    }

    async fn leave_hint(&self, number: u64) {
        let hint = format!("{{\"version\": {number}}}\n");
        if let Err(error) = self.store.put_hint(&self.hint_key(), hint.into()).await {
            tracing::debug!(
                pipeline = self.pipeline,
                ?error,
                "no hint of the newest state"
            );
        }
    }

    async fn find_newest(&self) -> Result<Known> {
        if let Some(start) = self.hinted().await? {
            let mut newest = self.read(start).await?;
            for next in start + 1..=start + PROBES {
                if matches!(newest, Known::Nothing) {
                    break;
                }
                let found = self.read(next).await?;
                if matches!(found, Known::Nothing) {
                    return Ok(newest);
                }
                if found.fence() < newest.fence() && matches!(found, Known::Version(_)) {
                    return Err(self.disorder(next));
                }
                newest = found;
            }
        }
        match self.listed().await?.last() {
            Some((number, _)) => self.read(*number).await,
            None => Ok(Known::Nothing),
        }
    }

    /// Where to look for the newest version first.
    async fn hinted(&self) -> Result<Option<u64>> {
        let known = self.known.number();
        if known > 0 {
            return Ok(Some(known));
        }
        let hint = self.store.get(&self.hint_key()).await?;
        // A hint that cannot be read is none.
        Ok(hint
            .and_then(|hint| serde_json::from_slice::<Hint>(&hint.bytes).ok())
            .map(|hint| hint.version))
    }

    async fn read(&self, number: u64) -> Result<Known> {
        let Some(object) = self.store.get(&self.key(number)).await? else {
            return Ok(Known::Nothing);
        };
        match serde_json::from_slice::<Version>(&object.bytes) {
            Ok(version) if version.version == number => Ok(Known::Version(Box::new(version))),
            _ => Ok(Known::Damaged(number)),
        }
    }

    /// Numbers and when the store took them, sorted.
    async fn listed(&self) -> Result<Vec<(u64, chrono::DateTime<chrono::Utc>)>> {
        let folder = folder(&self.pipeline);
        let mut listed: Vec<_> = self
            .store
            .list(&folder)
            .await?
            .iter()
            .filter_map(|line| Some((number_of(&line.key, &folder)?, line.modified)))
            .collect();
        listed.sort_unstable();
        Ok(listed)
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number:08}.json", folder(&self.pipeline))
    }

    fn hint_key(&self) -> String {
        format!("{}newest.json", folder(&self.pipeline))
    }

    fn damage(&self, number: u64) -> Error {
        Error::internal(format!(
            "version {number} of the state of `{}` cannot be read: `{}` is damaged",
            self.pipeline,
            self.key(number)
        ))
        .with_hint(format!(
            "go back to the newest good version: `antiphon state {} revert {}`",
            self.pipeline,
            number.saturating_sub(1)
        ))
    }

    fn disorder(&self, number: u64) -> Error {
        Error::internal(format!(
            "version {number} of the state of `{}` is older than the one before it: files were removed by hand from `{}`",
            self.pipeline,
            folder(&self.pipeline)
        ))
        .with_hint(format!(
            "look at `antiphon state {0} list`, move what does not belong there away, then `antiphon state {0} revert N`",
            self.pipeline
        ))
    }
}

impl Known {
    fn number(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Version(version) => version.version,
            Self::Damaged(number) => *number,
        }
    }

    fn fence(&self) -> u64 {
        match self {
            Self::Version(version) => version.fence,
            Self::Nothing | Self::Damaged(_) => 0,
        }
    }
}

/// The largest fence under which a state was written; 0 if there is none. Below a version that cannot
/// be read, the one before it counts.
pub(crate) async fn newest_fence(store: &Store, clock: &Clock, pipeline: &str) -> Result<u64> {
    let states = States::over(store, clock, pipeline, 0).await?;
    let mut known = states.known;
    let probe = States {
        known: Known::Nothing,
        ..states
    };
    while let Known::Damaged(number) = known {
        if number <= 1 {
            break;
        }
        known = probe.read(number - 1).await?;
    }
    Ok(known.fence())
}

fn folder(pipeline: &str) -> String {
    format!("pipelines/{pipeline}/state/")
}

/// The number of a version by its key, if it is one.
fn number_of(key: &str, folder: &str) -> Option<u64> {
    let digits = key.strip_prefix(folder)?.strip_suffix(".json")?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// For people who look into the store, too.
fn text_of(version: &Version) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(version)
        .map_err(|error| Error::internal("a state cannot be written as JSON").with_source(error))?;
    text.push(b'\n');
    Ok(text)
}

fn raw(state: &str) -> Result<Box<RawValue>> {
    RawValue::from_string(state.trim().to_owned())
        .map_err(|_| Error::protocol("the state is not JSON"))
}

#[cfg(test)]
mod tests;
