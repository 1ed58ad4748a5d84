//! The folder that a run lies in.

use std::path::{Path, PathBuf};

use darkroom::dev::process;

/// The folder of everything that a run writes; it goes with this unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new folder where the `postgres` user can reach it; those of runs that were killed go.
    pub fn make(keep: bool) -> anyhow::Result<Self> {
        let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
        for entry in std::fs::read_dir(&base)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix("darkroom-chaos-");
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let scratch = base.join(format!("darkroom-chaos-{}", std::process::id()));
        for folder in ["ledgers", "logs", "data"] {
            std::fs::create_dir_all(scratch.join(folder))?;
        }
        Ok(Self { path: scratch.canonicalize()?, keep })
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("chaos: kept {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            println!("chaos: {} is left behind: {error}", self.path.display());
        }
    }
}
