//! API keys of microservices: `dr_<id>_<secret>`. Only the SHA-256 of the secret is ever stored.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::words::words;

/// What a microservice does, and so which routes its key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Looks at images.
    Predict,
    /// Trains models.
    Train,
}

words!(Service { Predict "predict", Train "train" });

/// An API key as a microservice sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    /// 12 of a-z and 0-9: public, names the row.
    pub id: String,
    secret: String,
}

impl KeyText {
    /// Makes a key from 6 random bytes for its id and 32 for its secret.
    pub fn from_random(id: [u8; 6], secret: [u8; 32]) -> Self {
        Self { id: hex::encode(id), secret: hex::encode(secret) }
    }

    /// Parses `dr_<id>_<secret>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("dr_")?.split_once('_')?;
        let good = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        (id.len() == 12 && secret.len() == 64 && good(id) && good(secret))
            .then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// The text to show once and then forget.
    pub fn reveal(&self) -> String {
        format!("dr_{}_{}", self.id, self.secret)
    }

    /// What is stored. The secret has 256 random bits, so a fast hash is enough.
    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }

    /// Compares with a stored hash in constant time.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.secret_sha256().ct_eq(stored).into()
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dr_{}_[redacted]", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_hides_in_debug() {
        let key = KeyText::from_random([7; 6], [9; 32]);
        assert!(KeyText::parse(&key.reveal()).is_some_and(|k| k.matches(&key.secret_sha256())));
        assert!(!format!("{key:?}").contains(&hex::encode([9; 32])));
        for bad in ["", "dr_", "dr_abc_def", "xx_000000000000_", &key.reveal().to_uppercase()] {
            assert!(KeyText::parse(bad).is_none(), "{bad}");
        }
    }
}
