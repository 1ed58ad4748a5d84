//! Who holds a session.

use uuid::Uuid;

/// A session, and the key that its caller sent: only together do they open anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub session: Uuid,
    pub key: String,
}
