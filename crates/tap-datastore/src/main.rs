//! The binary `tap-datastore`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::tap::main::<tap_datastore::Datastore>()
}
