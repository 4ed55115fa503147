//! A Singer target that writes into Google BigQuery.

pub mod model;
pub mod storage;
