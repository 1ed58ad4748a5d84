//! Small images made in code.

use md5::{Digest, Md5};

/// A PNG of these dimensions (of its pixels there is one) and of distinct bytes for every `salt`.
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
    file.extend(crc32(kind.iter().chain(data)).to_be_bytes());
}

/// The checksum of a chunk (PNG, annex D), without which no decoder reads on.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// The MD5 of bytes, in hexadecimal.
pub fn md5_of(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
