//! Passwords: made up, checked, stretched.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::domain::account::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::domain::fault::{Code, Fault};
use crate::service::{Error, Result};

/// How long a log-in waits for its turn to stretch a password.
const STRETCH_WAIT: Duration = Duration::from_secs(3);
/// How many are stretched at once: each takes a core and 19 MiB.
const STRETCHED_AT_ONCE: usize = 2;
/// How many may wait for their turn: what is stretched in less than [`STRETCH_WAIT`].
const STRETCH_LINE: usize = 64;
/// The hash of nobody's password, so that unknown names take as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$UYVeVSP4FXDbSuJ4nR2B5mCYP8MJs3E1b1sLxYtFUYI";

/// Checks that a new password is long enough to be one and short enough to be stretched.
pub fn check_password(password: &str) -> std::result::Result<(), Fault> {
    let short = password.chars().count() < PASSWORD_CHARS_MIN;
    if short || password.len() > PASSWORD_BYTES_MAX {
        let detail = format!("A password has {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes.");
        return Err(Fault::new(Code::InvalidField, detail).on("/password"));
    }
    crate::domain::json::check_text(password)
}

/// A random password of 120 bits that can be read aloud.
pub fn made_up_password() -> String {
    let text = hex::encode(rand::random::<[u8; 15]>());
    let groups: Vec<&str> = (0..text.len()).step_by(6).map(|at| &text[at..at + 6]).collect();
    groups.join("-")
}

/// Stretches a password (Argon2id, OWASP's parameters), on this thread.
pub fn hash_password(password: &str) -> Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| Error::Internal(e.to_string().into()))
}

/// Stretches passwords off the async threads, a few at once.
pub(super) struct Stretcher {
    at_once: Arc<Semaphore>,
    line: Semaphore,
}

impl Stretcher {
    pub(super) fn new() -> Self {
        Self { at_once: Arc::new(Semaphore::new(STRETCHED_AT_ONCE)), line: Semaphore::new(STRETCH_LINE) }
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: String) -> Result<String> {
        self.stretch(move || hash_password(&password)).await?
    }

    /// Whether a password is the one of this hash; without a hash it takes as long and is not.
    pub(super) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool> {
        let password = password.to_owned();
        self.stretch(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
            let parsed = PasswordHash::new(&hash);
            let right = parsed.is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok());
            right && known
        })
        .await
    }

    async fn stretch<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = || Fault::new(Code::TooManyRequests, "Too many passwords are being checked.").retry_after(3);
        let in_line = self.line.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(STRETCH_WAIT, Arc::clone(&self.at_once).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        drop(in_line);
        let work = move || {
            // Over when the work is, whoever hangs up.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(e.into()))
    }
}
