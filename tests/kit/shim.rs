//! Libraries that stand between a process and the C library, for `LD_PRELOAD`.

use std::path::Path;

use darkroom::dev::process;

/// Compiles one from its source in this folder into another one and answers its path: a Rust toolchain comes with a C compiler to
/// link by.
pub fn compile(name: &str, folder: &Path) -> anyhow::Result<String> {
    let library = folder.join(format!("{name}-{}.so", std::process::id())).to_string_lossy().into_owned();
    let source = format!("{}/tests/kit/{name}.c", env!("CARGO_MANIFEST_DIR"));
    process::output("cc", &["-shared", "-fPIC", "-O2", "-o", &library, &source, "-ldl"])?;
    Ok(library)
}
