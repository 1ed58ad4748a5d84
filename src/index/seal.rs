//! The seal on what the mirror says of rights and results. Who can write Redis without the key can take things away, and put
//! back what once stood in the same place; nothing else that they write is believed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::image::ContentMd5;

/// What the key is derived for: the same secret also signs tokens, none of which begins like this.
const PURPOSE: &[u8] = b"darkroom: the seal of the mirror";
/// How much of the code is kept, in bytes: nobody guesses one of 2^128.
const CODE_BYTES: usize = 16;
/// The length of a code as hexadecimal digits, and the space after it.
const HEAD: usize = 2 * CODE_BYTES + 1;

/// Where a sealed value stands; in another place it means nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldPlace<'p> {
    pub(super) md5: ContentMd5,
    pub(super) epoch: &'p str,
    pub(super) field: &'p str,
}

/// Seals values, as `code value`, and knows its own: HMAC-SHA-256 under a key that Redis never sees.
// BLAKE3 costs as much on values as short as these, and would be one crate more.
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// The seal of all replicas that share this secret.
    pub fn new(secret: &[u8]) -> Self {
        let key = keyed(secret).chain_update(PURPOSE).finalize().into_bytes();
        Self(keyed(&key))
    }

    /// A value under its seal.
    pub(super) fn close(&self, place: FieldPlace<'_>, value: &str) -> String {
        let code = self.over(place, value).finalize().into_bytes();
        let mut sealed = String::with_capacity(HEAD + value.len());
        sealed.push_str(&hex::encode(&code[..CODE_BYTES]));
        sealed.push(' ');
        sealed.push_str(value);
        sealed
    }

    /// The value under a seal of this place, compared in constant time; nothing when it was not sealed here.
    pub(super) fn open<'v>(&self, place: FieldPlace<'_>, sealed: &'v str) -> Option<&'v str> {
        let (code, value) = sealed.split_once(' ')?;
        let mut bytes = [0; CODE_BYTES];
        hex::decode_to_slice(code, &mut bytes).ok()?;
        self.over(place, value).verify_truncated_left(&bytes).is_ok().then_some(value)
    }

    /// Everything that is sealed, each part behind its length: no part can lend to the next.
    fn over(&self, place: FieldPlace<'_>, value: &str) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        for part in [&place.md5.0, place.epoch.as_bytes(), place.field.as_bytes(), value.as_bytes()] {
            code.update(&(part.len() as u64).to_le_bytes());
            code.update(part);
        }
        code
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    #[expect(clippy::expect_used, reason = "there is no length that it refuses")]
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_believed_in_its_own_place_only() {
        let (seal, md5) = (Seal::new(b"secret"), ContentMd5([7; 16]));
        let place = FieldPlace { md5, epoch: "e", field: "u:ines" };
        let sealed = seal.close(place, "1");
        assert_eq!(seal.open(place, &sealed), Some("1"));
        let elsewhere = [
            FieldPlace { md5: ContentMd5([8; 16]), ..place },
            FieldPlace { epoch: "f", ..place },
            FieldPlace { field: "u:otto", ..place },
            // The same bytes in a row, parted elsewhere.
            FieldPlace { epoch: "eu", field: ":ines", ..place },
        ];
        for place in elsewhere {
            assert_eq!(seal.open(place, &sealed), None, "{place:?}");
        }
        let altered = ["", " ", "1", "00 1", &sealed.replace(" 1", " 2"), &format!("{sealed}1"), &sealed[1..]];
        for altered in altered {
            assert_eq!(seal.open(place, altered), None, "{altered:?}");
        }
        assert_eq!(Seal::new(b"another").open(place, &sealed), None);
    }
}
