//! The `darkroom` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkroom::cli::main()
}
