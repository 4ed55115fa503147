//! A stand-in of Google BigQuery: its REST API, its Storage Write API, and as much SQL as loaders send.

pub(crate) mod sql;
pub(crate) mod table;
pub(crate) mod value;
