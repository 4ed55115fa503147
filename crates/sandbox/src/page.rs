//! The page at `/`.
use std::sync::Arc;
use axum::Router;
use crate::server::World;
pub(crate) fn routes(_world: Arc<World>) -> Router { Router::new() }
