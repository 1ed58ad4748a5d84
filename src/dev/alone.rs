//! One of a kind in a checkout: a second one finds the first and what that says of itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// The right to be the only one; it ends with the process at the latest.
pub struct Alone(File);

impl Alone {
    /// Takes the right that lies in this file, or answers what its holder has said.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(path: &Path) -> anyhow::Result<Result<Self, String>> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                Ok(Ok(Self(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut said = String::new();
                file.read_to_string(&mut said)?;
                Ok(Err(said))
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Leaves word for whoever comes second.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn say(&mut self, said: &str) -> anyhow::Result<()> {
        self.0.rewind()?;
        self.0.write_all(said.as_bytes())?;
        Ok(())
    }
}
