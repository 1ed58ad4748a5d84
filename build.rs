//! Lists what the server carries and hands out: the workers' Python package, and the page for people.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where Python finds the package, and its folder there.
const PYTHON: (&str, &str) = ("sdk/python", "sdk/python/darkroom_worker");
/// What `npm run build` made of `ui/`.
const PAGE: (&str, &str) = ("ui/built", "ui/built");

fn main() -> io::Result<()> {
    table(PYTHON, "sdk.rs")?;
    table(PAGE, "page.rs")
}

/// Writes an expression: the files below a folder in order, each as its path from the root and its bytes.
fn table((root, folder): (&str, &str), name: &str) -> io::Result<()> {
    println!("cargo:rerun-if-changed={folder}");
    let here = env::current_dir()?;
    let mut files = Vec::new();
    list(Path::new(folder), &mut files)?;
    files.sort();
    let entry = |file: &PathBuf| {
        let name = file.strip_prefix(root).unwrap_or(file);
        format!("({:?}, include_bytes!({:?})),\n", name.display().to_string(), here.join(file).display().to_string())
    };
    let table = format!("&[\n{}]\n", files.iter().map(entry).collect::<String>());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(out.join(name), table)
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
