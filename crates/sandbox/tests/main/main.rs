//! The sandbox from outside: over the wire, and through the library's own handle.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod aggregation;
mod bigquery;
mod bigquery_jobs;
mod bigquery_sql;
mod bigquery_wire;
mod bigquery_write;
mod control;
mod faults;
mod pendo;
mod program;
mod refusals;
mod support;
