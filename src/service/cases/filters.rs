//! Filters saved in cases.

use uuid::Uuid;

use super::{change, enter, read};
use crate::domain::case::{CaseRole, FILTERS_MAX};
use crate::domain::fault::{Code, Fault};
use crate::service::accounts::{Accounts, User};
use crate::service::{Ctx, Result};
use crate::store::cases::filters::{self, FilterRecord};

/// The filters of a case, by name.
pub async fn list(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid) -> Result<Vec<FilterRecord>> {
    enter(accounts, user, case, CaseRole::Viewer).await?;
    read(ctx, case, async |db| Ok(filters::list(db, case).await?)).await
}

/// Saves a filter under a name, in place of the one that it had.
pub async fn save(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid, name: &str, filter: &str) -> Result<()> {
    let user = enter(accounts, user, case, CaseRole::Editor).await?;
    change(ctx, case, async |tx| {
        if filters::save(tx, case, name, filter, user.account.id, FILTERS_MAX).await? {
            return Ok(());
        }
        Err(Fault::new(Code::CaseFull, format!("A case has at most {FILTERS_MAX} saved filters.")).into())
    })
    .await
}

/// Removes a saved filter.
pub async fn remove(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid, name: &str) -> Result<()> {
    enter(accounts, user, case, CaseRole::Editor).await?;
    change(ctx, case, async |tx| {
        if filters::remove(tx, case, name).await? { Ok(()) } else { Err(Fault::not_found("filter").into()) }
    })
    .await
}
