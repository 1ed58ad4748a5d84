//! Private PostgreSQL and Redis for development, the demo and the tests: real servers on Unix sockets of
//! their own, which cannot clash with anything that runs, and which end with the process that started them.

pub mod find;
pub mod install;
pub mod postgres;
pub mod process;
pub mod python;
pub mod redis;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use postgres::Postgres;
pub use redis::Redis;

/// The folder that a checkout's private things lie in: reports, the Python environment, fetched programs.
pub const FOLDER: &str = ".darkroom";

/// Where servers keep their data: beside the checkout, or, for root, where the `postgres` user can reach it.
pub fn data_folder() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("there is no current folder")?;
    let mut hasher = DefaultHasher::new();
    here.hash(&mut hasher);
    let name = format!("darkroom-{:016x}", hasher.finish());
    let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
    Ok(base.join(name))
}

/// Makes a folder that only its owner may enter.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// Writes a file that only its owner may read.
pub fn private_file(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
