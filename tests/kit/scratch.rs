//! Folders of a run's own.

use std::path::{Path, PathBuf};

use darkroom::dev::{process, reachable_folder};

/// Makes a new folder for this process where the `postgres` user can reach it; those of the same name whose processes
/// were killed go.
pub fn make(name: &str) -> anyhow::Result<PathBuf> {
    let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
    let prefix = format!("darkroom-{name}-");
    for entry in std::fs::read_dir(&base)?.flatten() {
        let entry_name = entry.file_name().to_string_lossy().into_owned();
        let pid = entry_name.strip_prefix(&prefix).filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may be removing it as well.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = base.join(format!("{prefix}{}", std::process::id()));
    reachable_folder(&folder)?;
    Ok(folder.canonicalize()?)
}
