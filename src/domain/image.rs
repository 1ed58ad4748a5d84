//! The identity of an image: the MD5 of its bytes. It names content and secures nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An image's key, 32 lower-case hexadecimal digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentMd5(pub [u8; 16]);

impl ContentMd5 {
    /// Parses 32 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl TryFrom<Vec<u8>> for ContentMd5 {
    type Error = String;

    fn try_from(bytes: Vec<u8>) -> Result<Self, String> {
        bytes.try_into().map(Self).map_err(|bytes: Vec<u8>| format!("an MD5 of {} bytes", bytes.len()))
    }
}

impl fmt::Display for ContentMd5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TryFrom<String> for ContentMd5 {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("{:?} is not an MD5: 32 hexadecimal digits.", super::name::shorten(&text)))
    }
}

impl From<ContentMd5> for String {
    fn from(md5: ContentMd5) -> Self {
        md5.to_string()
    }
}
