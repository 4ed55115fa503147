//! The binary `tap-redshift`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::tap::main::<tap_redshift::Redshift>()
}
