//! Cases: who may do what in them, and, a file each, what belongs to them.

pub mod filters;
pub mod members;
pub mod notes;
pub mod records;
pub mod removal;
pub mod tags;

use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{Accounts, User};
use super::{Ctx, Result};
use crate::domain::case::CaseRole;
use crate::domain::fault::{Code, Fault};
use crate::store::cases;

/// The user, if they may do in a case what such a member may. Before anybody is refused, PostgreSQL is asked: another server may have
/// made the case, or the user its member, a moment ago.
pub async fn enter(accounts: &Accounts, user: &User, case: Uuid, need: CaseRole) -> Result<User> {
    if user.may(case, need) {
        return Ok(user.clone());
    }
    let user = accounts.refreshed(user).await?;
    user.check(case, need)?;
    Ok(user)
}

/// The cases that a list is narrowed to: the one that is named, or all that the user sees; nothing where that is everything.
pub async fn narrowed(ctx: &Ctx, accounts: &Accounts, user: &User, case: Option<Uuid>) -> Result<Option<Vec<Uuid>>> {
    let Some(case) = case else { return Ok(user.scope()) };
    let missing = |fault: Fault| fault.at("query", "/case");
    if !user.may(case, CaseRole::Viewer) {
        accounts.refreshed(user).await?.check(case, CaseRole::Viewer).map_err(missing)?;
    } else if user.is_admin() && ctx.db.run(async |db| cases::is_closed(db, case).await).await?.is_none() {
        return Err(missing(Fault::not_found("case")).into());
    }
    Ok(Some(vec![case]))
}

/// Why a case that is not open takes no change.
pub(super) async fn refusal(db: &mut PgConnection, case: Uuid) -> Result<Fault> {
    Ok(match cases::is_closed(db, case).await? {
        Some(_) => closed(),
        None => Fault::not_found("case"),
    })
}

/// That a closed case takes no change.
fn closed() -> Fault {
    Fault::new(Code::CaseClosed, "The case is closed: it is read, and not changed.")
}

/// Reads what belongs to a case, which must be there: an administrator may enter any.
async fn read<T>(ctx: &Ctx, case: Uuid, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
    ctx.db
        .run(async |db| match cases::is_closed(db, case).await? {
            Some(_) => work(db).await,
            None => Err(Fault::not_found("case").into()),
        })
        .await
}

/// Carries out a change of what belongs to a case, which must be open: one at a time, or two would pass its limits together.
async fn change<T>(ctx: &Ctx, case: Uuid, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
    ctx.db
        .write(async |tx| {
            if !cases::take_turn(tx, case).await? {
                return Err(refusal(tx, case).await?.into());
            }
            work(tx).await
        })
        .await
}
