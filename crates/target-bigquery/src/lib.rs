//! A Singer target that writes into Google BigQuery.

pub mod auth;
pub mod base64;
pub mod model;
