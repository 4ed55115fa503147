//! Whether the time of a lease is over, by the clock of the store alone.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use singer_core::Result;

use super::{Desk, Entry};
use crate::store::Object;

/// What the time of an object may be off: stores tell it in whole seconds.
const BLUR: TimeDelta = TimeDelta::seconds(2);

impl Desk {
    /// Whether the time of a lease is over by the clock of the store.
    pub(super) async fn is_over(&self, entry: &Entry, read: &Object, run: &str) -> Result<bool> {
        let Some(now) = self.store_time(run).await? else {
            return Ok(false);
        };
        // Its holder may have renewed it between the reading and the probe, if this process slept there.
        let again = self.store.get(&self.key(entry.fence)).await?;
        if again.is_none_or(|again| again.bytes != read.bytes) {
            return Ok(false);
        }
        let renewed = read.modified;
        let mut since = renewed;
        if renewed > now + BLUR {
            // The clock of the store went back after the renewal. Waiting until it has caught up may take
            // for ever, so the time counts from when somebody first saw this very renewal.
            let key = format!("{}seen-{:08}", self.folder(), entry.fence);
            let seen = Bytes::from(format!("{} {}", entry.renewal, entry.holder.run));
            match self.store.get(&key).await? {
                Some(before) if before.bytes == seen && before.modified <= now + BLUR => {
                    since = before.modified;
                }
                _ => {
                    self.store.put_hint(&key, seen).await?;
                    return Ok(false);
                }
            }
        }
        Ok(now - since > entry.lease() + BLUR)
    }

    /// The time by the clock of the store: that of an object that is put now.
    async fn store_time(&self, run: &str) -> Result<Option<DateTime<Utc>>> {
        let key = format!("{}probe-{run}", self.folder());
        self.store
            .put_hint(&key, Bytes::from_static(b"now"))
            .await?;
        // It may have been tidied away by a new holder, who then has the lease.
        let now = self.store.get(&key).await?.map(|probe| probe.modified);
        self.store.delete(&key).await?;
        Ok(now)
    }
}
