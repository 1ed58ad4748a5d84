//! Members of cases: made, and taken out.

use sqlx::PgConnection;
use uuid::Uuid;

use super::enter;
use super::records::{CaseShown, check_memberships, lock, lock_for_change, show};
use crate::domain::case::{CaseRole, MEMBERS_MAX, MEMBERSHIPS_GIVEN_MAX};
use crate::domain::fault::{Code, Fault};
use crate::service::accounts::{Accounts, User};
use crate::service::{Ctx, Error, Result};
use crate::store::cases::members::{self, MemberFacts};

/// Makes an account a member, or gives it another role.
pub async fn set(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Uuid,
    name: &str,
    role: CaseRole,
) -> Result<CaseShown> {
    let user = enter(accounts, user, case, CaseRole::Owner).await?;
    let made = async |tx: &mut PgConnection| {
        let standing = lock_for_change(tx, &user, case, CaseRole::Owner).await?;
        let account = members::lock_account(tx, name).await?.ok_or_else(|| Fault::not_found("user"))?;
        let facts = members::facts(tx, case, account, user.account.id).await?;
        if facts.role.is_none() {
            check_memberships(&facts)?;
            if !user.is_admin() && account != user.account.id {
                check_given(&facts, name)?;
            }
            if facts.members >= MEMBERS_MAX {
                return Err(Fault::new(Code::CaseFull, format!("A case has at most {MEMBERS_MAX} members.")).into());
            }
        }
        if role != CaseRole::Owner {
            check_owners(&facts, standing.own_of == Some(account), name)?;
        }
        members::set(tx, case, account, role, user.account.id).await?;
        Ok::<_, Error>(account)
    };
    let account = ctx.db.write(made).await?;
    accounts.forget(account);
    show(ctx, &user, case).await
}

/// Takes a member out of a case, which may be closed: an owner anybody, and everybody themselves.
pub async fn remove(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid, name: &str) -> Result<()> {
    let need = if name == user.account.name { CaseRole::Viewer } else { CaseRole::Owner };
    let user = enter(accounts, user, case, need).await?;
    let gone = async |tx: &mut PgConnection| {
        let standing = lock(tx, &user, case, need).await?;
        let account = members::lock_account(tx, name).await?.ok_or_else(|| Fault::not_found("member"))?;
        let facts = members::facts(tx, case, account, user.account.id).await?;
        if facts.role.is_none() {
            return Err(Fault::not_found("member").into());
        }
        check_owners(&facts, standing.own_of == Some(account), name)?;
        members::remove(tx, case, account, user.account.id).await?;
        Ok::<_, Error>(account)
    };
    let account = ctx.db.write(gone).await?;
    accounts.forget(account);
    Ok(())
}

/// Refuses one more to who gave an account as many as may be.
fn check_given(facts: &MemberFacts, name: &str) -> std::result::Result<(), Fault> {
    if facts.given < MEMBERSHIPS_GIVEN_MAX {
        return Ok(());
    }
    let detail =
        format!("You have made {name:?} a member of {MEMBERSHIPS_GIVEN_MAX} cases, the most that one account may.");
    Err(Fault::new(Code::TooManyCases, detail).mend("Ask another owner of the case, or an administrator, to do it."))
}

/// Refuses to take an owner's role from the last one, or from whose own case it is.
fn check_owners(facts: &MemberFacts, own: bool, name: &str) -> std::result::Result<(), Fault> {
    if own {
        return Err(Fault::new(Code::OwnCase, format!("It is {name:?}'s own case.")));
    }
    if facts.role.as_deref() == Some(CaseRole::Owner.as_str()) && facts.owners == 1 {
        return Err(Fault::new(Code::LastOwner, format!("{name:?} is the case's last owner.")));
    }
    Ok(())
}
