//! From the paths of a command line to the files to send, and to requests of bounded size.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::error::ClientFault;

/// Names in folders end in one of these; a file named explicitly may be called anything.
const EXTENSIONS: [&str; 13] =
    ["avif", "bmp", "gif", "heic", "heif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];
/// Upper bound of one request's files together; a larger file goes alone.
const REQUEST_BYTES: u64 = 32 << 20;
const REQUEST_FILES: usize = 16;

/// A file to send; `name` is how people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Collects the files behind `paths`: folders recursively and sorted, nothing hidden in them, no
/// file twice.
///
/// # Errors
/// A path does not exist, a folder cannot be read, or there is no photograph at all.
pub(super) fn collect(paths: &[PathBuf]) -> Result<Vec<LocalFile>, ClientFault> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        // Links to folders are not followed: they may lead back here.
        let walk = WalkDir::new(path).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
            let entry = entry.map_err(|error| match error.io_error() {
                Some(cause) => unreadable(error.path().unwrap_or(path), cause),
                None => unreadable(path, &error),
            })?;
            let named = entry.depth() == 0;
            match fs::metadata(entry.path()) {
                Ok(meta) if !meta.is_dir() && (named || (meta.is_file() && is_photograph(entry.path()))) => {
                    push(entry.path(), meta.len(), &mut files, &mut seen);
                }
                Err(error) if named => return Err(unreadable(path, &error)),
                Ok(_) | Err(_) => {}
            }
        }
    }
    if files.is_empty() {
        let known = EXTENSIONS.join(", ");
        let mend = format!("name files explicitly, or folders with names in {known}");
        return Err(ClientFault::Usage(format!("no photograph found: {mend}")));
    }
    Ok(files)
}

fn push(path: &Path, bytes: u64, files: &mut Vec<LocalFile>, seen: &mut HashSet<PathBuf>) {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if seen.insert(real) {
        let name = path.to_string_lossy().into_owned();
        files.push(LocalFile { path: path.to_owned(), name, bytes });
    }
}

fn unreadable(path: &Path, error: &impl Display) -> ClientFault {
    ClientFault::Usage(format!("cannot read {}: {error}; check the path", path.display()))
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_photograph(path: &Path) -> bool {
    path.extension()
        .and_then(|ext| ext.to_str())
        .is_some_and(|ext| EXTENSIONS.contains(&ext.to_ascii_lowercase().as_str()))
}

/// Cuts the files, in order, into requests of at most 16 files and 32 MiB.
pub(super) fn chunks(files: &[LocalFile]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut bytes = 0_u64;
    for (index, file) in files.iter().enumerate() {
        let full = index - start == REQUEST_FILES;
        if index > start && (full || bytes.saturating_add(file.bytes) > REQUEST_BYTES) {
            chunks.push(start..index);
            start = index;
            bytes = 0;
        }
        bytes = bytes.saturating_add(file.bytes);
    }
    if start < files.len() {
        chunks.push(start..files.len());
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_sizes(sizes: &[u64]) -> Vec<Range<usize>> {
        let file = |&bytes| LocalFile { path: PathBuf::new(), name: String::new(), bytes };
        chunks(&sizes.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn requests_are_bounded_by_files_and_by_bytes() {
        assert_eq!(of_sizes(&[1; 33]), [0..16, 16..32, 32..33]);
        assert_eq!(of_sizes(&[20 << 20, 12 << 20, 1]), [0..2, 2..3]);
        assert_eq!(of_sizes(&[1, 90 << 20, 1]), [0..1, 1..2, 2..3]);
        assert!(of_sizes(&[]).is_empty());
    }

    #[test]
    fn folders_are_sorted_and_filtered_but_named_files_are_taken() {
        let root = std::env::temp_dir().join(format!("darkroom-{}", uuid::Uuid::new_v4()));
        for name in ["b.JPG", "a/z.png", "a/.hidden.png", ".git/x.png", "notes.txt", "c.tiff"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let found = collect(&[root.join("notes.txt"), root.clone(), root.join("b.JPG")]).unwrap();
        let names: Vec<_> = found.iter().map(|f| f.path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["notes.txt", "a/z.png", "b.JPG", "c.tiff"]);
        assert!(collect(&[root.join("absent")]).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
