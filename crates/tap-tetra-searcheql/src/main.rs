//! The binary `tap-tetra-searcheql`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::tap::main::<tap_tetra_searcheql::Tetra>()
}
