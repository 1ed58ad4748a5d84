//! A user whose token holds.

use uuid::Uuid;

use super::tokens::Said;
use crate::domain::account::Role;
use crate::store::accounts::Account;

/// A user whose token holds.
#[derive(Debug, Clone)]
pub struct User {
    pub account: Account,
    /// What the token says.
    pub(super) said: Said,
}

impl User {
    pub fn has(&self, role: Role) -> bool {
        self.account.roles.contains(&role)
    }

    pub fn is_admin(&self) -> bool {
        self.has(Role::Admin)
    }

    /// The account that what is seen is narrowed to; nothing for an administrator, who sees all.
    pub fn scope(&self) -> Option<Uuid> {
        (!self.is_admin()).then_some(self.account.id)
    }
}
