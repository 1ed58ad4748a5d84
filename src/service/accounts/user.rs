//! A user whose token holds.

use std::sync::Arc;

use uuid::Uuid;

use super::tokens::Said;
use crate::domain::account::Role;
use crate::domain::case::{CaseRole, Membership};
use crate::domain::fault::{Code, Fault};
use crate::store::accounts::Account;

/// A user whose token holds, with the cases that the account was a member of a few seconds ago at most.
#[derive(Debug, Clone)]
pub struct User {
    pub account: Account,
    /// Where what is submitted to no other case goes.
    pub own_case: Uuid,
    /// In order of the cases.
    pub cases: Arc<[Membership]>,
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

    /// The cases that what is seen is narrowed to; nothing for an administrator, who sees all.
    pub fn scope(&self) -> Option<Vec<Uuid>> {
        (!self.is_admin()).then(|| self.cases.iter().map(|membership| membership.case).collect())
    }

    /// The account whose keys and runs are seen; nothing for an administrator, who sees everybody's.
    pub fn owner(&self) -> Option<Uuid> {
        (!self.is_admin()).then_some(self.account.id)
    }

    /// What the user is in a case; nothing who is no member.
    pub fn role_in(&self, case: Uuid) -> Option<CaseRole> {
        let place = self.cases.binary_search_by_key(&case, |membership| membership.case).ok()?;
        Some(self.cases[place].role)
    }

    /// Whether the user may do what such a member of the case may.
    pub fn may(&self, case: Uuid, need: CaseRole) -> bool {
        self.is_admin() || self.role_in(case) >= Some(need)
    }

    /// Refuses who may not: to who is no member the case does not exist.
    pub fn check(&self, case: Uuid, need: CaseRole) -> Result<(), Fault> {
        if self.is_admin() { Ok(()) } else { check_role(self.role_in(case), need) }
    }
}

/// Refuses who is not at least this in a case: to who is no member it does not exist.
pub fn check_role(role: Option<CaseRole>, need: CaseRole) -> Result<(), Fault> {
    match role {
        None => Err(Fault::not_found("case")),
        Some(role) if role >= need => Ok(()),
        Some(role) => {
            let (role, need) = (role.as_str(), need.as_str());
            let detail = format!("This needs the role {need} in the case; yours is {role}.");
            let mend =
                format!("Ask an owner of the case to make you its {need}, with PUT /cases/{{id}}/members/{{user}}.");
            Err(Fault::new(Code::MissingRole, detail).mend(mend))
        }
    }
}
