//! The `darkroom` command.

use std::process::ExitCode;

// Ten thousand claims that wait take a fifth less memory than with the system's allocator, and requests cost less.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    darkroom::cli::main()
}
