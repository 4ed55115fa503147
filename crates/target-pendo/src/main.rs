//! The binary `target-pendo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::target::main::<target_pendo::Pendo>()
}
