//! Small images made in code.

use md5::{Digest, Md5};

/// A PNG of these dimensions (its pixels are never looked at) and of distinct bytes for every `salt`.
pub fn png(width: u32, height: u32, salt: u64) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"tEXt", format!("salt\0{salt}").as_bytes());
    chunk(&mut file, b"IDAT", &[0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1]);
    chunk(&mut file, b"IEND", &[]);
    file
}

/// A PNG that no other test's call with another salt makes.
pub fn photo(salt: u64) -> Vec<u8> {
    png(40, 30, salt)
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend(u32::try_from(data.len()).expect("a small chunk").to_be_bytes());
    file.extend(kind);
    file.extend(data);
    // Checksums are of the pixels' reader, who comes here seldom.
    file.extend([0; 4]);
}

/// The MD5 of bytes, in hexadecimal.
pub fn md5_of(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
