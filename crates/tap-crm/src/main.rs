//! The binary `tap-crm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::tap::main::<tap_crm::Crm>()
}
