//! The error of every use case.

use crate::domain::fault::{Code, Fault};
use crate::store::db::WorkError;
use crate::{blob, store};

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend it.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// A backing service does not answer; the same call may work later.
    #[error("a backing service is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something here is broken.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the database could not be reached at all, so that asking again at once is in vain.
    pub fn is_away(&self) -> bool {
        use sqlx::Error as Sql;
        let Self::Unavailable(source) = self else { return false };
        matches!(source.downcast_ref(), Some(Sql::Io(_) | Sql::PoolTimedOut | Sql::PoolClosed | Sql::Protocol(_)))
    }

    /// Whether the same call may do better a moment later: nothing is wrong with it.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Fault(fault) => fault.retry_after_s.is_some(),
            Self::Internal(_) => false,
        }
    }

    /// Whether it would have waited for a lock that somebody else holds.
    pub fn is_locked(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        let code =
            |error: &sqlx::Error| error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "55P03");
        source.downcast_ref().is_some_and(code)
    }

    /// Whether the connection was lost under the call: nobody knows whether it was carried out, and another connection
    /// may serve it.
    pub fn is_cut_off(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        matches!(source.downcast_ref(), Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)))
    }

    /// The same error, with the part of the request in which its fields lie.
    #[must_use]
    pub fn within(self, part: &'static str) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.within(part)),
            other => other,
        }
    }

    /// Whether two changes crossed, of which this one gave way and left nothing: carried out again it finds what the other did.
    pub fn is_crossed(&self) -> bool {
        let (Self::Unavailable(source) | Self::Internal(source)) = self else { return false };
        source.downcast_ref().is_some_and(store::is_crossed)
    }

    /// The part of the service that does not answer, where it is known.
    pub fn part(&self) -> Option<&'static str> {
        let Self::Unavailable(source) = self else { return None };
        match source.downcast_ref::<AwayPart>() {
            Some(away) => Some(away.part).filter(|part| !part.is_empty()),
            None if source.is::<sqlx::Error>() => Some("PostgreSQL"),
            None if source.is::<blob::BlobError>() => Some("the image storage"),
            None => None,
        }
    }

    /// The same error for another caller of the same batch.
    pub fn alike(&self) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.clone()),
            Self::Unavailable(source) => {
                Self::Unavailable(Box::new(AwayPart { part: self.part().unwrap_or_default(), why: source.to_string() }))
            }
            Self::Internal(source) => Self::Internal(source.to_string().into()),
        }
    }
}

/// What of an error several callers are told.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct AwayPart {
    part: &'static str,
    why: String,
}

/// What a use case answers.
pub type Result<T> = std::result::Result<T, Error>;

impl WorkError for Error {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if store::is_unavailable(&error) {
            Self::Unavailable(error.into())
        } else if store::is_bad_value(&error) {
            // The net under the parsers: PostgreSQL could not take a value, as a time beyond its calendar.
            Self::Fault(Fault::new(Code::InvalidField, "A value is beyond what can be stored."))
        } else {
            Self::Internal(error.into())
        }
    }
}

impl From<blob::BlobError> for Error {
    fn from(error: blob::BlobError) -> Self {
        if error.is_full() {
            Self::Fault(Fault::new(Code::StorageFull, "The image store has no room for these bytes."))
        } else {
            Self::Unavailable(error.into())
        }
    }
}
