//! The binary `map-records`.

use std::process::ExitCode;

fn main() -> ExitCode {
    singer_runtime::map::main::<map_records::MapRecords>()
}
