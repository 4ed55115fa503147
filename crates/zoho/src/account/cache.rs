//! The file in which the processes of one user share a token: who asked last, what was given, and until
//! when the accounts server wants to be left alone.
//!
//! A lock beside the file is held while a token is asked for; the kernel lets go of it when its holder
//! dies. Whatever is wrong with file or lock costs a warning and never the run.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use singer_core::{Error, Result, Secret, Surroundings};

use super::grant::Grant;
use crate::pause::{SHORT, rest};

/// Only its owner may read or write it.
const MODE: u32 = 0o600;

/// No file of ours is longer.
const MOST_BYTES: u64 = 64 << 10;

/// How many tokens a refresh token gives in [`WINDOW`].
const TOKENS: usize = 10;

/// The time in which tokens are counted, and for which the server blocks whoever asks too often.
pub(super) const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// No token lives longer; a file that says so was written by another clock.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(1);

/// A token is replaced this long before its end, or in the last tenth of its life if that is shorter.
const MARGIN: TimeDelta = TimeDelta::seconds(300);

/// What the file holds: programs with refresh tokens of their own may have been given the same path.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Records {
    records: Vec<Record>,
}

/// Records that a file keeps; the others were not used for longest.
const MOST_RECORDS: usize = 16;

/// What the processes know together. Times are milliseconds since 1970.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Tells whether it belongs to the same client and refresh token.
    key: String,
    token: String,
    renew_at: i64,
    expires_at: i64,
    /// The host of the products' APIs that came with the token.
    api_domain: Option<String>,
    refreshes: Vec<i64>,
    blocked_until: i64,
}

impl Record {
    /// The token, if it need not be replaced yet and is none of those that were refused.
    pub(super) fn token(&self, now: DateTime<Utc>, refused: &[Secret]) -> Option<Secret> {
        self.token_until(now, self.renew_at, refused)
    }

    /// The host of the products' APIs that came with the token.
    pub(super) fn api_domain(&self) -> Option<String> {
        self.api_domain.clone()
    }

    /// The token, if it is good for a minute yet.
    pub(super) fn last_resort(&self, now: DateTime<Utc>, refused: &[Secret]) -> Option<Secret> {
        let minute = TimeDelta::minutes(1).num_milliseconds();
        self.token_until(now, self.expires_at - minute, refused)
    }

    /// Lets the old token serve for a minute more before a new one is asked for again.
    pub(super) fn serve_on(&mut self, now: DateTime<Utc>) {
        let minute = TimeDelta::minutes(1).num_milliseconds();
        let again = now.timestamp_millis() + minute;
        self.renew_at = again.min(self.expires_at - minute);
    }

    fn token_until(&self, now: DateTime<Utc>, end: i64, refused: &[Secret]) -> Option<Secret> {
        let latest = (now + LONGEST_LIFE).timestamp_millis();
        let is_good = !self.token.is_empty()
            && now.timestamp_millis() < end
            && self.expires_at <= latest
            && refused.iter().all(|one| one.expose() != self.token);
        is_good.then(|| Secret::new(&self.token))
    }

    /// Keeps a token that was given now.
    pub(super) fn take(&mut self, grant: &Grant, now: DateTime<Utc>) {
        let life = TimeDelta::from_std(grant.life).unwrap_or(LONGEST_LIFE);
        let expires_at = now + life.min(LONGEST_LIFE);
        grant.token.expose().clone_into(&mut self.token);
        self.expires_at = expires_at.timestamp_millis();
        self.renew_at = (expires_at - MARGIN.min(life / 10)).timestamp_millis();
        self.api_domain.clone_from(&grant.api_domain);
        self.blocked_until = 0;
        self.refreshes.push(now.timestamp_millis());
        self.forget_old(now);
    }

    /// Notes that the server gives out no more for a whole window.
    pub(super) fn block(&mut self, now: DateTime<Utc>) {
        self.blocked_until = (now + WINDOW).timestamp_millis();
    }

    /// Until when nobody should ask: the server blocks, or as many tokens were given as it gives.
    pub(super) fn closed_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let window = WINDOW.num_milliseconds();
        let millis = now.timestamp_millis();
        // Times beyond a window from now come from a clock that was wrong.
        let blocked = self.blocked_until.min(millis + window);
        let mut recent: Vec<i64> = (self.refreshes.iter().copied())
            .filter(|at| (millis - window..=millis).contains(at))
            .collect();
        recent.sort_unstable();
        let used_up = (recent.len().checked_sub(TOKENS))
            .and_then(|first| recent.get(first))
            .map_or(0, |first| first + window + 1000);
        let until = blocked.max(used_up);
        (until > millis)
            .then(|| DateTime::from_timestamp_millis(until))
            .flatten()
    }

    /// Adds what another process wrote. Of two good tokens the one that ends later counts.
    pub(super) fn merge(&mut self, other: Self, now: DateTime<Utc>, refused: &[Secret]) {
        if other.expires_at > self.expires_at && other.last_resort(now, refused).is_some() {
            self.token = other.token;
            self.expires_at = other.expires_at;
            self.renew_at = other.renew_at;
            self.api_domain = other.api_domain;
        }
        self.blocked_until = self.blocked_until.max(other.blocked_until);
        self.refreshes.extend(other.refreshes);
        self.forget_old(now);
    }

    /// When it was of use last, as far as it shows.
    fn last_use(&self) -> i64 {
        let refreshed = self.refreshes.last().copied().unwrap_or(0);
        refreshed.max(self.blocked_until).max(self.expires_at)
    }

    fn forget_old(&mut self, now: DateTime<Utc>) {
        let oldest = (now - WINDOW).timestamp_millis();
        self.refreshes.retain(|at| *at >= oldest);
        self.refreshes.sort_unstable();
        self.refreshes.dedup();
    }

    /// Drops the token if it is this one, which was refused.
    pub(super) fn drop_token(&mut self, refused: &Secret) {
        if self.token == refused.expose() {
            self.token.clear();
            self.expires_at = 0;
            self.renew_at = 0;
        }
    }
}

/// Where the record of one client and refresh token is kept.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    path: PathBuf,
    key: String,
}

/// The right to ask for a token; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// The file that the config names, or the one of this key below the user's cache folder; `None` if the
    /// config wants none or the user has no such folder.
    pub(super) fn find(
        setting: Option<&str>,
        key: String,
        surroundings: &dyn Surroundings,
    ) -> Option<Self> {
        let path = match setting {
            Some("none") => return None,
            Some(path) => PathBuf::from(path),
            None => {
                let cache = (surroundings.variable("XDG_CACHE_HOME").map(PathBuf::from))
                    .filter(|path| path.is_absolute());
                let folder = cache.or_else(|| {
                    let home = surroundings.variable("HOME").map(PathBuf::from)?;
                    home.is_absolute().then(|| home.join(".cache"))
                })?;
                folder.join("antiphon").join(format!("zoho-{key}.json"))
            }
        };
        Some(Self { path, key })
    }

    /// What the file says, if it is there, whole, of the same client, and nobody else's to read.
    pub(super) async fn load(&self) -> Option<Record> {
        let cache = self.clone();
        let read = tokio::task::spawn_blocking(move || cache.read())
            .await
            .ok()?;
        match read {
            Ok(read) => (read.records.into_iter()).find(|record| record.key == self.key),
            Err(error) => {
                self.warn("the token cache is ignored", &error);
                None
            }
        }
    }

    fn read(&self) -> io::Result<Records> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::default()),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.permissions().mode() & 0o777 != MODE {
            return Err(io::Error::other(
                "others may read or write it, its mode is not 0600",
            ));
        }
        let mut text = Vec::new();
        (&mut file).take(MOST_BYTES).read_to_end(&mut text)?;
        // What serde says could quote the token.
        serde_json::from_slice(&text)
            .map_err(|_| io::Error::other("it is broken, or no token cache"))
    }

    /// Waits for the lock, but not forever; `None` if it cannot be had, so that nothing is shared.
    ///
    /// # Errors
    /// Of kind `Interrupted` alone.
    pub(super) async fn lock(
        &self,
        surroundings: &dyn Surroundings,
        patience: Duration,
    ) -> Result<Option<Lock>> {
        let start = Instant::now();
        let mut wait = Duration::from_millis(20);
        loop {
            let cache = self.clone();
            let taken = tokio::task::spawn_blocking(move || cache.try_lock()).await;
            match taken.unwrap_or_else(|_| Err(io::Error::other("a task died"))) {
                Ok(Some(lock)) => return Ok(Some(lock)),
                Ok(None) if start.elapsed() < patience => {}
                Ok(None) => {
                    let error = io::Error::other("another process does not let go of it");
                    self.warn("going on without the token cache", &error);
                    return Ok(None);
                }
                Err(error) => {
                    self.warn("going on without the token cache", &error);
                    return Ok(None);
                }
            }
            if surroundings.stop_requested() && start.elapsed() > SHORT {
                return Err(Error::interrupted());
            }
            rest(surroundings, wait).await?;
            wait = (wait * 2).min(Duration::from_millis(500));
        }
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        if let Some(folder) = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty())
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let file = (OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false))
        .mode(MODE)
        .open(beside(&self.path, "lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes the record beside the file, syncs it and renames it. Whoever writes holds the lock.
    pub(super) async fn store(&self, record: &Record, _lock: &Lock) {
        let cache = self.clone();
        let mut record = record.clone();
        record.key.clone_from(&self.key);
        let written = tokio::task::spawn_blocking(move || cache.write(&record)).await;
        if let Err(error) = written.unwrap_or_else(|_| Err(io::Error::other("a task died"))) {
            self.warn("the token cache cannot be written", &error);
        }
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let next = beside(&self.path, "next");
        // What a killed process left, or somebody else put there, keeps its mode; so it goes first.
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = (OpenOptions::new().write(true).create_new(true))
            .mode(MODE)
            .open(&next)?;
        file.write_all(&serde_json::to_vec(&self.with_others(record))?)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)
    }

    /// A record in front of those of other clients and refresh tokens.
    fn with_others(&self, record: &Record) -> Records {
        // What cannot be read was told when it was to be used, and is worth nothing.
        let mut others = self.read().unwrap_or_default().records;
        others.retain(|other| other.key != self.key);
        others.sort_by_key(|other| std::cmp::Reverse(other.last_use()));
        others.truncate(MOST_RECORDS - 1);
        others.insert(0, record.clone());
        Records { records: others }
    }

    fn warn(&self, what: &str, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "{what}");
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
