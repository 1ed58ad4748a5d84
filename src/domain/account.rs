//! Accounts of people, and what their roles allow.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

impl Role {
    pub const ALL: [Self; 3] = [Self::Admin, Self::Investigator, Self::Researcher];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Investigator => "investigator",
            Self::Researcher => "researcher",
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// The shortest password taken, in characters (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// The longest password taken, in bytes: argon2 must not be fed a novel.
pub const PASSWORD_BYTES_MAX: usize = 1024;
