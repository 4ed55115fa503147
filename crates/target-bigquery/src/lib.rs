//! A Singer target that writes into Google BigQuery.

pub mod auth;
pub mod base64;
pub mod encode;
pub mod model;
pub mod names;
pub mod schema;
pub mod storage;
