//! The binary `target-analytics`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::target::main::<target_analytics::Analytics>()
}
