//! Cases themselves: made, shown, listed, changed.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{closed, enter};
use crate::domain::case::{CaseRole, MEMBERSHIPS_MAX};
use crate::domain::fault::{Code, Fault};
use crate::service::accounts::{Accounts, User, check_role};
use crate::service::{Ctx, Error, Result};
use crate::store::cases::members::{self, MemberFacts, MemberRecord};
use crate::store::cases::records::{self, CaseChange, CaseRecord, CaseStanding};

/// How many images of each case of a list are counted.
pub const LIST_IMAGES_COUNTED: i64 = 1_000;
/// How many of one that is shown.
pub const IMAGES_COUNTED: i64 = 100_000;

/// A case with its members.
#[derive(Debug)]
pub struct CaseShown {
    pub record: CaseRecord,
    /// Of at least so many images, where it has as many as are counted.
    pub counted: i64,
    pub members: Vec<MemberRecord>,
    /// What who asks is in it.
    pub role: Option<CaseRole>,
}

/// Makes a case whose owner the user is.
pub async fn create(ctx: &Ctx, accounts: &Accounts, user: &User, name: &str, description: &str) -> Result<CaseShown> {
    let by = user.account.id;
    let made = async |tx: &mut PgConnection| {
        members::lock_account(tx, &user.account.name).await?;
        check_memberships(&members::facts(tx, Uuid::nil(), by, by).await?)?;
        Ok::<_, Error>(records::create(tx, name, description, by).await?)
    };
    let case = ctx.db.write(made).await?;
    accounts.forget(by);
    show(ctx, user, case).await
}

/// One case for a member, or an administrator.
pub async fn find(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid) -> Result<CaseShown> {
    enter(accounts, user, case, CaseRole::Viewer).await?;
    show(ctx, user, case).await
}

/// One case, whoever asks.
pub(super) async fn show(ctx: &Ctx, user: &User, case: Uuid) -> Result<CaseShown> {
    let shown = shown(ctx, user, Some(&[case]), None, 1, IMAGES_COUNTED).await?.pop();
    shown.ok_or_else(|| Fault::not_found("case").into())
}

/// The user's cases, newest first, from before the cursor; all for an administrator.
pub async fn list(ctx: &Ctx, user: &User, before: Option<Uuid>, limit: i64) -> Result<Vec<CaseShown>> {
    shown(ctx, user, user.scope().as_deref(), before, limit, LIST_IMAGES_COUNTED).await
}

async fn shown(
    ctx: &Ctx,
    user: &User,
    cases: Option<&[Uuid]>,
    before: Option<Uuid>,
    limit: i64,
    counted: i64,
) -> Result<Vec<CaseShown>> {
    let read = async |db: &mut PgConnection| {
        let found = records::list(db, cases, before, limit, counted).await?;
        let ids: Vec<Uuid> = found.iter().map(|case| case.id).collect();
        Ok::<_, Error>((found, members::list(db, &ids).await?))
    };
    let (found, all) = ctx.db.run(read).await?;
    let mut members: HashMap<Uuid, Vec<MemberRecord>> = HashMap::new();
    for member in all {
        members.entry(member.case_id).or_default().push(member);
    }
    let show = |record: CaseRecord| {
        let members = members.remove(&record.id).unwrap_or_default();
        let role = members.iter().find(|member| member.name == user.account.name).map(|member| member.role);
        CaseShown { record, counted, members, role }
    };
    Ok(found.into_iter().map(show).collect())
}

/// Renames, describes, closes or reopens a case.
pub async fn update(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid, change: &CaseChange) -> Result<CaseShown> {
    let user = enter(accounts, user, case, CaseRole::Owner).await?;
    let made = async |tx: &mut PgConnection| {
        let standing = lock(tx, &user, case, CaseRole::Owner).await?;
        if change.closed == Some(true) {
            check_not_own(&standing)?;
        }
        let only_asks = change.name.is_none() && change.description.is_none();
        if standing.closed && change.closed != Some(false) && !only_asks {
            return Err(closed().into());
        }
        Ok::<_, Error>(records::update(tx, case, change, user.account.id).await?)
    };
    ctx.db.write(made).await?;
    show(ctx, &user, case).await
}

/// Locks a case that is to change, if it takes changes and the user still may: what is known of members elsewhere is some seconds old,
/// and who was taken out must not make themselves an owner again.
pub(super) async fn lock_for_change(
    tx: &mut PgConnection,
    user: &User,
    case: Uuid,
    need: CaseRole,
) -> Result<CaseStanding> {
    let standing = lock(tx, user, case, need).await?;
    if standing.closed { Err(closed().into()) } else { Ok(standing) }
}

/// The same, closed or not.
pub(super) async fn lock(tx: &mut PgConnection, user: &User, case: Uuid, need: CaseRole) -> Result<CaseStanding> {
    let standing = records::lock(tx, case).await?.ok_or_else(|| Fault::not_found("case"))?;
    if !user.is_admin() {
        check_role(members::role(tx, case, user.account.id).await?, need)?;
    }
    Ok(standing)
}

/// Refuses what nobody's own case takes.
pub(super) fn check_not_own(standing: &CaseStanding) -> std::result::Result<(), Fault> {
    match standing.own_of {
        None => Ok(()),
        Some(_) => Err(Fault::new(Code::OwnCase, "It is an account's own case.")),
    }
}

/// Refuses one case more to who is a member of as many as may be.
pub(super) fn check_memberships(facts: &MemberFacts) -> std::result::Result<(), Fault> {
    if facts.memberships < MEMBERSHIPS_MAX {
        return Ok(());
    }
    Err(Fault::new(Code::TooManyCases, format!("Nobody is a member of more than {MEMBERSHIPS_MAX} cases.")))
}
