//! From the paths of a command line to the files to send, and to requests of bounded size. Every file is accounted for.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::error::ClientFault;
use super::outcome::{RejectedPhoto, SkipReason, SkippedFile};
use super::text;
use crate::api::problem::Problem;
use crate::inspect::{Bounds, Flaw, inspect};

/// Bytes of a file that show whether it may be an image.
const HEAD_BYTES: u64 = 4 << 10;
/// Upper bound of one request's files together; a larger file goes alone.
const REQUEST_BYTES: u64 = 32 << 20;
const REQUEST_FILES: usize = 16;

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalFile {
    pub(super) path: PathBuf,
    /// The path as given, for people.
    pub(super) name: String,
    /// Its path below the folder that holds all that was named, as the server is told.
    pub(super) sent_as: String,
    pub(super) bytes: u64,
}

/// What lies behind the paths of a command line.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) files: Vec<LocalFile>,
    /// What is no photograph.
    pub(super) skipped: Vec<SkippedFile>,
    /// What may be one, and cannot be read.
    pub(super) unreadable: Vec<RejectedPhoto>,
}

/// Collects the files behind `paths`: folders whole and sorted, hidden files too. In folders the content decides what is an
/// image; what is named itself is the server's to judge. Blocking.
///
/// # Errors
/// A path does not exist, or there is no photograph at all.
pub(super) fn collect(paths: &[PathBuf]) -> Result<Collected, ClientFault> {
    let mut collected = Collected::default();
    let mut seen = HashSet::new();
    let roots = paths.iter().map(|path| Ok((path, absolute(path)?))).collect::<Result<Vec<_>, ClientFault>>()?;
    let shared = shared_folder(roots.iter().map(|(_, absolute)| absolute.as_path()));
    for (path, absolute) in &roots {
        // Links to folders are not followed: they may lead back here.
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let place = error.path().unwrap_or(path).to_owned();
                    collected.unreadable(&place, &error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into()));
                    continue;
                }
            };
            let below = entry.path().strip_prefix(path).unwrap_or(Path::new(""));
            let whole = if below.as_os_str().is_empty() { absolute.clone() } else { absolute.join(below) };
            // What is named twice is one file.
            if seen.insert(whole.clone()) {
                let sent_as = whole.strip_prefix(&shared).unwrap_or(&whole);
                collected.judge(entry.path(), sent_as, entry.depth() == 0);
            }
        }
    }
    if collected.files.is_empty() && collected.unreadable.is_empty() {
        return Err(ClientFault::Usage(nothing_to_send(&collected.skipped)));
    }
    Ok(collected)
}

/// `no photograph among 3 files (2 empty; 1 not an image, by its content): name a folder that holds some`
fn nothing_to_send(skipped: &[SkippedFile]) -> String {
    let mut reasons: BTreeMap<SkipReason, usize> = BTreeMap::new();
    for file in skipped {
        *reasons.entry(file.reason).or_default() += 1;
    }
    let told: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {}", reason.told())).collect();
    let why = if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) };
    format!("no photograph among {}{why}: name a folder that holds some", text::count(skipped.len(), "file"))
}

impl Collected {
    fn judge(&mut self, path: &Path, sent_as: &Path, named: bool) {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(_) if path.is_symlink() => return self.skip(path, SkipReason::BrokenLink),
            Err(error) => return self.unreadable(path, &error),
        };
        match skip_reason(path, &meta, named) {
            Ok(None) => self.files.push(LocalFile {
                path: path.to_owned(),
                name: readable(path, ""),
                sent_as: readable(sent_as, "\"\\"),
                bytes: meta.len(),
            }),
            Ok(Some(reason)) => self.skip(path, reason),
            // A folder's files speak for it.
            Err(None) => {}
            Err(Some(error)) => self.unreadable(path, &error),
        }
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.skipped.push(SkippedFile { name: readable(path, ""), reason });
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.unreadable.push(RejectedPhoto { name: readable(path, ""), problem: Problem::unreadable(error) });
    }
}

/// Why a file is not to be sent; `Err(None)` for a folder, which is walked.
fn skip_reason(path: &Path, meta: &Metadata, named: bool) -> Result<Option<SkipReason>, Option<io::Error>> {
    if meta.is_dir() {
        // A link that is named itself is followed.
        return if path.is_symlink() && !named { Ok(Some(SkipReason::LinkedFolder)) } else { Err(None) };
    }
    if !meta.is_file() {
        return Ok(Some(SkipReason::NotAFile));
    }
    // Also proves that it can be read.
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)).map_err(Some)?;
    Ok(match head.is_empty() {
        _ if named => None,
        true => Some(SkipReason::Empty),
        false => (!may_be_image(&head)).then_some(SkipReason::NotAnImage),
    })
}

/// Whether a file that begins so has the signature of an image.
fn may_be_image(head: &[u8]) -> bool {
    let unbounded = Bounds { max_pixels: u64::MAX, max_frames: u32::MAX, max_side: u32::MAX };
    let seen = inspect(&mut Cursor::new(head), head.len() as u64, &unbounded);
    !matches!(seen, Ok(Err(Flaw::NotAnImage)))
}

/// Where a path leads, but for a link at its end, which has a name of its own.
fn absolute(path: &Path) -> Result<PathBuf, ClientFault> {
    let folder = |parent: &Path| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() };
    let found = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            fs::symlink_metadata(path).and_then(|_| Ok(folder(parent).canonicalize()?.join(name)))
        }
        _ => path.canonicalize(),
    };
    found.map_err(|error| ClientFault::Usage(format!("cannot read {}: {error}; check the path", readable(path, ""))))
}

/// The deepest folder that holds all of these.
fn shared_folder<'a>(mut paths: impl Iterator<Item = &'a Path>) -> PathBuf {
    let folder = |path: &'a Path| path.parent().unwrap_or(path).components().collect::<Vec<Component<'_>>>();
    let mut shared = paths.next().map(folder).unwrap_or_default();
    for path in paths {
        let same = shared.iter().zip(path.parent().unwrap_or(path).components()).take_while(|(a, b)| **a == *b);
        let same = same.count();
        shared.truncate(same);
    }
    shared.into_iter().collect()
}

/// A path as text that a line and a header can carry: bytes that are no UTF-8, control characters and `also` as `%XX`.
fn readable(path: &Path, also: &str) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || also.contains(c) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| shown.push_str(&format!("%{byte:02X}")));
            } else {
                shown.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| shown.push_str(&format!("%{byte:02X}")));
    }
    shown
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
    use std::ffi::OsStr;

    use super::*;

    fn of_sizes(sizes: &[u64]) -> Vec<Range<usize>> {
        let file = |&bytes| LocalFile { path: PathBuf::new(), name: String::new(), sent_as: String::new(), bytes };
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
    fn the_content_decides_in_folders_and_what_is_named_is_sent() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["b.JPG", "a/z.png", "a/.hidden.png", "notes.txt", "c"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), if name == "notes.txt" { b"words".as_slice() } else { b"\xFF\xD8\xFF\xE0" }).unwrap();
        }
        let names = |paths: &[PathBuf]| {
            let found = collect(paths).unwrap();
            let files: Vec<String> = found.files.iter().map(|file| file.sent_as.clone()).collect();
            (files, found.skipped.iter().map(|file| file.reason).collect::<Vec<_>>())
        };
        let folder = root.path().file_name().unwrap().to_str().unwrap().to_owned();
        let (files, skipped) = names(&[root.path().to_owned(), at("b.JPG")]);
        assert_eq!(files, ["a/.hidden.png", "a/z.png", "b.JPG", "c"].map(|name| format!("{folder}/{name}")));
        assert_eq!(skipped, [SkipReason::NotAnImage]);
        assert_eq!(names(&[at("notes.txt"), at("a")]).0, ["notes.txt", "a/.hidden.png", "a/z.png"]);
        assert_eq!(names(&[at("a/../a/z.png")]).0, ["z.png"]);
        assert!(collect(&[at("absent")]).is_err());
    }

    #[test]
    fn every_name_becomes_a_line() {
        let odd = Path::new(OsStr::from_bytes(b"a\n\"b\"\\\xFF\xC3\xA4\x7F.jpg"));
        assert_eq!(readable(odd, ""), "a%0A\"b\"\\%FFä%7F.jpg");
        assert_eq!(readable(odd, "\"\\"), "a%0A%22b%22%5C%FFä%7F.jpg");
    }
}
