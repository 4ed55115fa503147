//! The binary `target-crm-bulkwrite`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::target::main::<target_crm_bulkwrite::Crm>()
}
