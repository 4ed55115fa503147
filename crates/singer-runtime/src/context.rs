//! What a connector gets from its process: the run's id, the clock, secrets, the wish to stop.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use singer_core::{Result, Secret, SecretSource};

/// Handed to a connector when it connects; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    inner: Arc<Inner>,
}
