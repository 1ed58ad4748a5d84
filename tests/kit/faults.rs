//! The library that puts faults under a process; `faults.c` says which.

use std::path::Path;

use darkroom::dev::process;

/// Compiles it into a folder and answers its path, for `LD_PRELOAD`: a Rust toolchain comes with a C compiler to link by.
pub fn library(folder: &Path) -> anyhow::Result<String> {
    let library = folder.join(format!("faults-{}.so", std::process::id())).to_string_lossy().into_owned();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kit/faults.c");
    process::output("cc", &["-shared", "-fPIC", "-O2", "-o", &library, source, "-ldl"])?;
    Ok(library)
}

/// Writes a word into a control file, in place: the process keeps the file open.
pub fn tell(control: &Path, word: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(control)?;
    Ok(file.write_all_at(format!("{word:16}").as_bytes(), 0)?)
}
