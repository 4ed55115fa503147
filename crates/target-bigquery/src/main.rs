//! The binary `target-bigquery`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::target::main::<target_bigquery::BigQuery>()
}
