//! A ZIP archive (APPNOTE.TXT 6.3.10) of files as they are, not packed: photographs are packed already. It is written as a stream, and the
//! size and the checksum of each file stand before its bytes, so that programs read it too that do not look at its end. What its directory says
//! of each file is collected aside, and comes last.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// From here on a number stands in the fields of ZIP64.
const LARGE: u64 = 0xffff_ffff;
const MANY: u64 = 0xffff;
/// The versions of the format that are needed to read it: with folders, and ZIP64.
const NEEDED: u16 = 20;
const NEEDED_LARGE: u16 = 45;
/// Names are in UTF-8.
const FLAGS: u16 = 1 << 11;
/// A file that its owner may write and all may read, made on a Unix.
const MADE_BY: u16 = 3 << 8 | NEEDED_LARGE;
const MODE: u32 = 0o100_644 << 16;

/// A file of an archive.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveFile<'a> {
    /// Where it lies, with `/` between folders. A name that somebody gave it is none.
    pub path: &'a str,
    pub bytes: u64,
    pub crc32: u32,
}

/// An archive that is written.
#[derive(Debug)]
pub struct ArchiveWriter {
    /// The time and the day of all files, as MS-DOS counted them.
    moment: [u16; 2],
    /// Where the next file begins.
    offset: u64,
    files: u64,
    directory: u64,
}

impl ArchiveWriter {
    pub fn new(at: DateTime<Utc>) -> Self {
        let years = u16::try_from(at.year().clamp(1980, 2107) - 1980).unwrap_or_default();
        let day = years << 9 | (at.month() << 5 | at.day()) as u16;
        let time = (at.hour() << 11 | at.minute() << 5 | (at.second() / 2)) as u16;
        Self { moment: [time, day], offset: 0, files: 0, directory: 0 }
    }

    /// What stands before the bytes of a file, and its line of the directory.
    pub fn file(&mut self, file: ArchiveFile<'_>) -> (Vec<u8>, Vec<u8>) {
        let (name, large) = (file.path.as_bytes(), file.bytes >= LARGE);
        let mut fields = Fields::default();
        if large {
            fields.u64s(&[file.bytes, file.bytes]);
        }
        let mut header = Bytes::signed(0x0403_4b50);
        header.u16s(&[if large { NEEDED_LARGE } else { NEEDED }]);
        self.common(&mut header, file);
        header.u16s(&[name.len() as u16, fields.len()]);
        header.0.extend_from_slice(name);
        header.0.extend(fields.0);
        let line = self.line(file);
        self.offset += header.0.len() as u64 + file.bytes;
        self.files += 1;
        self.directory += line.len() as u64;
        (header.0, line)
    }

    fn line(&self, file: ArchiveFile<'_>) -> Vec<u8> {
        let (name, mut fields) = (file.path.as_bytes(), Fields::default());
        if file.bytes >= LARGE {
            fields.u64s(&[file.bytes, file.bytes]);
        }
        if self.offset >= LARGE {
            fields.u64s(&[self.offset]);
        }
        let mut line = Bytes::signed(0x0201_4b50);
        line.u16s(&[MADE_BY, if fields.0.is_empty() { NEEDED } else { NEEDED_LARGE }]);
        self.common(&mut line, file);
        // No comment, the first disk, no text.
        line.u16s(&[name.len() as u16, fields.len(), 0, 0, 0]);
        line.u32s(&[MODE, self.offset.min(LARGE) as u32]);
        line.0.extend_from_slice(name);
        line.0.extend(fields.0);
        line.0
    }

    /// What header and directory both say.
    fn common(&self, out: &mut Bytes, file: ArchiveFile<'_>) {
        let bytes = file.bytes.min(LARGE) as u32;
        out.u16s(&[FLAGS, 0, self.moment[0], self.moment[1]]);
        out.u32s(&[file.crc32, bytes, bytes]);
    }

    /// What stands behind the directory.
    pub fn end(self) -> Vec<u8> {
        let Self { offset, files, directory, .. } = self;
        let mut end = Bytes::default();
        if files >= MANY || offset >= LARGE || directory >= LARGE {
            end.u32s(&[0x0606_4b50]);
            end.u64s(&[44]);
            end.u16s(&[MADE_BY, NEEDED_LARGE]);
            end.u32s(&[0, 0]);
            end.u64s(&[files, files, directory, offset]);
            // Where that is, for who reads from the end.
            end.u32s(&[0x0706_4b50, 0]);
            end.u64s(&[offset + directory]);
            end.u32s(&[1]);
        }
        end.u32s(&[0x0605_4b50]);
        let files = files.min(MANY) as u16;
        end.u16s(&[0, 0, files, files]);
        end.u32s(&[directory.min(LARGE) as u32, offset.min(LARGE) as u32]);
        end.u16s(&[0]);
        end.0
    }
}

/// Numbers one after the other, the lowest byte first.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn signed(signature: u32) -> Self {
        Self(signature.to_le_bytes().to_vec())
    }

    fn u16s(&mut self, numbers: &[u16]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn u32s(&mut self, numbers: &[u32]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn u64s(&mut self, numbers: &[u64]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
}

/// The field of ZIP64, which holds what does not fit elsewhere.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u64s(&mut self, numbers: &[u64]) {
        if self.0.is_empty() {
            self.0.extend([1, 0, 0, 0]);
        }
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let length = (self.0.len() - 4) as u16;
        self.0[2..4].copy_from_slice(&length.to_le_bytes());
    }

    fn len(&self) -> u16 {
        self.0.len() as u16
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use chrono::TimeZone;

    use super::*;

    fn write(files: &[(&str, &[u8])], before: u64, count: u64) -> Vec<u8> {
        let at = Utc.with_ymd_and_hms(2026, 11, 28, 13, 14, 16).unwrap();
        let mut writer = ArchiveWriter { offset: before, files: count, ..ArchiveWriter::new(at) };
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (path, bytes) in files {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            let file = ArchiveFile { path, bytes: bytes.len() as u64, crc32: crc.sum() };
            let (header, line) = writer.file(file);
            out.extend(header);
            out.extend_from_slice(bytes);
            directory.extend(line);
        }
        out.extend(directory);
        out.extend(writer.end());
        out
    }

    #[test]
    fn what_is_written_is_read_by_others() {
        let files: [(&str, &[u8]); 3] = [("a.txt", b"one"), ("folder/b.txt", b""), ("folder/c.bin", &[0xff; 1000])];
        let mut archive = zip::ZipArchive::new(Cursor::new(write(&files, 0, 0))).unwrap();
        assert_eq!(archive.len(), 3);
        for (place, (path, bytes)) in files.iter().enumerate() {
            let mut file = archive.by_index(place).unwrap();
            let mut read = Vec::new();
            // It compares the checksum.
            file.read_to_end(&mut read).unwrap();
            assert_eq!((read.as_slice(), file.unix_mode()), (*bytes, Some(0o100_644)));
            assert_eq!(file.name().unwrap(), *path);
            assert_eq!(file.last_modified().map(|at| (at.year(), at.hour(), at.second())), Some((2026, 13, 16)));
        }
        assert_eq!(zip::ZipArchive::new(Cursor::new(write(&[], 0, 0))).unwrap().len(), 0);
    }

    #[test]
    fn large_numbers_stand_where_they_have_room() {
        let mut writer = ArchiveWriter { offset: LARGE + 7, files: MANY, ..ArchiveWriter::new(Utc::now()) };
        let (header, line) = writer.file(ArchiveFile { path: "a", bytes: LARGE + 1, crc32: 0 });
        assert_eq!((&header[4..6], &header[18..26]), (&[45, 0][..], &[0xff; 8][..]));
        assert_eq!(header[31..35], [1, 0, 16, 0]);
        assert_eq!(line[47..51], [1, 0, 24, 0]);
        assert_eq!(u64::from_le_bytes(line[67..75].try_into().unwrap()), LARGE + 7);
        assert_eq!(writer.offset, LARGE + 7 + header.len() as u64 + LARGE + 1);
        let end = writer.end();
        assert_eq!((end.len(), &end[..4]), (56 + 20 + 22, &[0x50, 0x4b, 6, 6][..]));
        assert_eq!(u64::from_le_bytes(end[24..32].try_into().unwrap()), MANY + 1);
    }
}
