//! The sandbox from outside: over the wire, and through the library's own handle.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod aggregation;
mod analytics;
mod analytics_imports;
mod bigquery;
mod bigquery_jobs;
mod bigquery_sql;
mod bigquery_wire;
mod bigquery_write;
mod control;
mod crm;
mod crm_read;
mod crm_support;
mod crm_write;
mod datastore;
mod datastore_bulk;
mod datastore_events;
mod faults;
mod pendo;
mod program;
mod refusals;
mod support;
mod tetra;
mod tetra_files;
mod tetra_large;
mod tetra_rules;
mod tetra_support;
mod zoho;
