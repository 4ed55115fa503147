//! The binary `antiphon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon::main()
}
