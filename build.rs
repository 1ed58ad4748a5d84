//! Lists the files of the workers' Python package, which the server carries and hands out.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where Python finds the package.
const ROOT: &str = "sdk/python";
const PACKAGE: &str = "sdk/python/darkroom_worker";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed={PACKAGE}");
    let here = env::current_dir()?;
    let mut files = Vec::new();
    list(Path::new(PACKAGE), &mut files)?;
    files.sort();
    let entry = |file: &PathBuf| {
        let name = file.strip_prefix(ROOT).unwrap_or(file);
        format!("({:?}, include_bytes!({:?})),\n", name.display().to_string(), here.join(file).display().to_string())
    };
    let table = format!("&[\n{}]\n", files.iter().map(entry).collect::<String>());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(out.join("sdk.rs"), table)
}

/// What Python leaves behind is nobody's source.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "__pycache__" || name.ends_with(".pyc") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
