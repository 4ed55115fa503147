//! A Singer target that writes into Google BigQuery.

pub mod model;
