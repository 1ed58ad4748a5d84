//! Accounts of people, and what their roles allow.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fault::{Code, Fault};
use super::text::check_line;
use super::words::words;

/// What an account may do; an account has a set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the service: accounts, everybody's jobs, every model.
    Admin,
    /// Uploads photographs and looks at results.
    Investigator,
    /// Owns microservices and their API keys.
    Researcher,
}

words!(Role { Admin "admin", Investigator "investigator", Researcher "researcher" });

/// The shortest password taken, in characters (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// The longest password taken, in bytes: argon2 must not be fed a novel.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Checks that a text may be an e-mail address; whether mail arrives there nobody knows.
pub fn check_email(email: &str) -> Result<(), Fault> {
    check_line(email)?;
    let halves = email.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if halves && email.len() <= 254 && !email.contains(' ') {
        return Ok(());
    }
    Err(Fault::new(Code::InvalidField, "An e-mail address has an @, no space, and at most 254 bytes."))
}
