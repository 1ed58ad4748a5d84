//! A file that a subcommand writes at its end: found to be writable before the work, there only when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::client::error::ClientFault;

/// A place for a file; nothing is there until it is written, and then only its owner may read it.
pub(super) struct OutputFile {
    path: PathBuf,
    draft: NamedTempFile,
}

impl OutputFile {
    /// Finds out before the work, not after it, whether the file can be written.
    ///
    /// # Errors
    /// Its folder cannot be written to, or there is something else in its place.
    pub(super) fn reserve(path: &Path) -> anyhow::Result<Self> {
        let wrong =
            |why: &str| ClientFault::Usage(format!("cannot write {}: {why}; choose another place", path.display()));
        if path.exists() && !path.is_file() {
            return Err(wrong("it is no file").into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let draft = NamedTempFile::with_prefix_in(".darkroom-", folder).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { path: path.to_owned(), draft })
    }

    /// The draft, for whoever writes it piece by piece.
    ///
    /// # Errors
    /// It cannot be opened again.
    pub(super) fn draft(&self) -> io::Result<File> {
        self.draft.reopen()
    }

    /// Puts the draft in its place; answers where. Nothing is replaced unless that was asked for.
    ///
    /// # Errors
    /// There is something in its place, or it cannot be written.
    pub(super) fn keep(self, replace: bool) -> anyhow::Result<String> {
        let shown = self.path.display().to_string();
        let kept = if replace { self.draft.persist(&self.path) } else { self.draft.persist_noclobber(&self.path) };
        kept.with_context(|| format!("writing {shown}"))?;
        Ok(shown)
    }

    /// Writes it whole, in the place of what was there; answers where.
    ///
    /// # Errors
    /// The disk is full, say.
    pub(super) fn write(mut self, text: &str) -> anyhow::Result<String> {
        self.draft.write_all(text.as_bytes()).with_context(|| format!("writing {}", self.path.display()))?;
        self.keep(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        drop(OutputFile::reserve(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "given up, it leaves nothing");
        OutputFile::reserve(&path).unwrap().write("whole").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(OutputFile::reserve(folder.path()).is_err());
        assert!(OutputFile::reserve(&folder.path().join("absent/report.html")).is_err());
    }
}
