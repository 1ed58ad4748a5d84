//! Tokens of people: JSON Web Tokens, HS256.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::service::{Error, Result};
use crate::store::accounts::Account;

const ISSUER: &str = "darkroom";
/// How many verified tokens are remembered: with their texts, made here and so of about 250 bytes, some 4 MB.
const VERIFIED_MAX: usize = 10_000;

/// Signs and reads the tokens of people.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// What is said by those whose signature was verified: only what may change is asked again.
    verified: quick_cache::sync::Cache<Box<str>, Said>,
}

/// What a token says of its holder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) account: Uuid,
    /// The token's own.
    pub(super) id: Uuid,
    /// The account's token generation: a raised one withdraws this token.
    pub(super) generation: i32,
    /// When it expires, in seconds of the Unix time.
    pub(super) expires: i64,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: Uuid,
    jti: Uuid,
    generation: i32,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// From a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Judged by the database's clock instead of this machine's.
        validation.validate_exp = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            verified: quick_cache::sync::Cache::new(VERIFIED_MAX),
        }
    }

    /// A token of an account that is valid for so many seconds from now.
    pub(super) fn sign(&self, account: &Account, now: i64, valid_s: i64) -> Result<String> {
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: account.id,
            jti: Uuid::new_v4(),
            generation: account.token_generation,
            iat: now,
            exp: now + valid_s,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &self.encoding)
            .map_err(|e| Error::Internal(e.into()))
    }

    /// What a token says, if it was made here.
    pub(super) fn read(&self, token: &str) -> Option<Said> {
        if let Some(said) = self.verified.get(token) {
            return Some(said);
        }
        let payload: Payload = jsonwebtoken::decode(token, &self.decoding, &self.validation).ok()?.claims;
        let said = Said { account: payload.sub, id: payload.jti, generation: payload.generation, expires: payload.exp };
        self.verified.insert(token.into(), said);
        Some(said)
    }
}
