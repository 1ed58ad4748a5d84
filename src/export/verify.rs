//! A folder is compared with its manifest. Nothing else is needed for it: no server, and no word of whoever brought the folder.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use sha2::Sha256;
use walkdir::WalkDir;

use super::manifest::{LeftOut, MANIFEST, Manifest, ManifestFile};

/// How much of a file is in memory at once, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What was found.
#[derive(Debug)]
pub struct Verified {
    /// How many files are as the manifest says, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// In order of the paths.
    pub faults: Vec<FolderFault>,
    /// What was left out when the folder was made.
    pub left_out: Vec<LeftOut>,
    /// Of the manifest itself, which nothing in the folder vouches for.
    pub manifest_sha256: String,
}

/// What is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderFault {
    pub path: String,
    pub kind: FaultKind,
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    Missing,
    /// In what: its size, its MD5 or its SHA-256.
    Changed(&'static str),
    /// The manifest knows nothing of it.
    Additional,
    /// A link or a device in place of a file.
    NoFile,
    /// It cannot be read; why.
    Unreadable(String),
    /// The manifest itself names it wrongly: outside the folder, or twice.
    WronglyNamed,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Changed(what) => write!(f, "changed: its {what} is another"),
            Self::Additional => f.write_str("additional: the manifest does not name it"),
            Self::NoFile => f.write_str("no file: a link or something else lies in its place"),
            Self::Unreadable(why) => write!(f, "unreadable: {why}"),
            Self::WronglyNamed => f.write_str("wrongly named: the manifest names it twice, or outside the folder"),
        }
    }
}

/// Compares a folder with its manifest, reading every file whole; `tell` hears of how many bytes how many are read.
///
/// # Errors
/// There is no manifest, or it is none.
pub fn verify(folder: &Path, mut tell: impl FnMut(u64, u64)) -> io::Result<Verified> {
    let place = folder.join(MANIFEST);
    // A link may lead to what never ends, or out of the folder.
    if !std::fs::symlink_metadata(&place)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let text = std::fs::read(place)?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let (mut there, locked) = walk(folder);
    there.remove(MANIFEST);
    let of = manifest.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    let mut done: u64 = 0;
    let mut verified = Verified {
        files: 0,
        bytes: 0,
        faults: Vec::new(),
        left_out: manifest.left_out,
        manifest_sha256: hex::encode(Sha256::digest(&text)),
    };
    let mut seen = HashSet::new();
    for file in &manifest.files {
        let fault = match there.remove(&file.path) {
            _ if !seen.insert(&file.path) || !is_inside(&file.path) || file.path == MANIFEST => {
                Some(FaultKind::WronglyNamed)
            }
            None if locked.iter().any(|folder| Path::new(&file.path).starts_with(&folder.path)) => {
                Some(FaultKind::Unreadable("its folder cannot be entered".to_owned()))
            }
            None => Some(FaultKind::Missing),
            Some((_, false)) => Some(FaultKind::NoFile),
            Some((path, true)) => {
                let compared = compare(&path, file, |bytes| tell(done.saturating_add(bytes), of));
                compared.unwrap_or_else(|error| Some(FaultKind::Unreadable(error.to_string())))
            }
        };
        done = done.saturating_add(file.bytes);
        match fault {
            Some(kind) => verified.faults.push(FolderFault { path: file.path.clone(), kind }),
            None => {
                verified.files += 1;
                verified.bytes += file.bytes;
            }
        }
    }
    verified.faults.extend(there.into_keys().map(|path| FolderFault { path, kind: FaultKind::Additional }));
    verified.faults.extend(locked);
    verified.faults.sort();
    Ok(verified)
}

/// All that lies below a folder but for folders, by path, and whether it is a file; and the folders that cannot be entered. Links are not
/// followed.
fn walk(folder: &Path) -> (BTreeMap<String, (PathBuf, bool)>, Vec<FolderFault>) {
    let (mut there, mut locked) = (BTreeMap::new(), Vec::new());
    let name = |path: &Path| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        let names: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        names.join("/")
    };
    for entry in WalkDir::new(folder).min_depth(1).follow_links(false) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => {
                there.insert(name(entry.path()), (entry.path().to_owned(), entry.file_type().is_file()));
            }
            Err(error) => {
                let path = name(error.path().unwrap_or(folder));
                let why = error
                    .into_io_error()
                    .map_or_else(|| "it leads back to itself".to_owned(), |error| error.to_string());
                locked.push(FolderFault { path, kind: FaultKind::Unreadable(why) });
            }
        }
    }
    (there, locked)
}

/// Whether a path names something inside the folder, however paths are written where it is read.
fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(['\\', ':', '\0'])
}

/// Compares a file with what is said of it; `tell` hears how many bytes of it are read.
fn compare(path: &Path, file: &ManifestFile, mut tell: impl FnMut(u64)) -> io::Result<Option<FaultKind>> {
    let mut opened = File::open(path)?;
    if opened.metadata()?.len() != file.bytes {
        return Ok(Some(FaultKind::Changed("size")));
    }
    let (mut md5, mut sha256, mut chunk, mut read) = (Md5::new(), Sha256::new(), vec![0; CHUNK_BYTES], 0);
    loop {
        let count = opened.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        md5.update(&chunk[..count]);
        sha256.update(&chunk[..count]);
        read += count as u64;
        tell(read);
    }
    let wrong =
        [("MD5", hex::encode(md5.finalize()), &file.md5), ("SHA-256", hex::encode(sha256.finalize()), &file.sha256)];
    let wrong = wrong.into_iter().find(|(_, found, said)| !found.eq_ignore_ascii_case(said));
    Ok(wrong.map(|(what, ..)| FaultKind::Changed(what)))
}
