//! Exports: asked for, shown, fetched and removed by who asked, while they may see the case, and who owns it; and, in `build`, made.

mod archive;
mod build;
mod document;

use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{Accounts, User};
use super::cases::{enter, narrowed};
use super::search::{self, SearchAsk};
use super::{Ctx, Error, Result};
use crate::domain::case::CaseRole;
use crate::domain::export::{ACCOUNT_EXPORTS_MAX, CASE_EXPORTS_MAX, ExportFormat, ExportState};
use crate::domain::fault::{Code, Fault};
use crate::domain::filter::SearchFilter;
use crate::store::exports::{self, ExportAt, ExportRecord, ExportsAsked, GoneExport};

pub use self::build::{HOLD_S, NotBuilt, build, told_failure};

/// Asks for an export of a case, closed or not, of what fits a filter.
pub async fn create(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Uuid,
    filter: &str,
    format: ExportFormat,
) -> Result<ExportRecord> {
    let user = enter(accounts, user, case, CaseRole::Viewer).await?;
    let parsed = SearchFilter::parse(filter).map_err(|flaw| flaw.fault("/q"))?;
    search::check(ctx, &SearchAsk { filter: parsed, case: Some(case) }).await?;
    let asked = async |tx: &mut PgConnection| {
        let account = user.account.id;
        if !exports::lock(tx, case, account).await? {
            return Err(Fault::not_found("case").into());
        }
        let counts = exports::count(tx, case, account).await?;
        if counts.of_account >= ACCOUNT_EXPORTS_MAX {
            return Err(too_many(format!("You have {ACCOUNT_EXPORTS_MAX} exports, as many as an account may.")));
        }
        if counts.of_case >= CASE_EXPORTS_MAX {
            return Err(too_many(format!("The case has {CASE_EXPORTS_MAX} exports, as many as a case may.")));
        }
        Ok::<_, Error>(exports::create(tx, case, account, filter, format).await?)
    };
    let id = ctx.db.write(asked).await?;
    let made = ctx.db.run(async |db| exports::find(db, id).await).await?;
    made.ok_or_else(missing)
}

fn too_many(detail: String) -> Error {
    Fault::new(Code::TooManyExports, detail).into()
}

fn missing() -> Error {
    Fault::not_found("export").into()
}

/// The user's exports, and everybody's of the cases that the user owns, newest first, from before the cursor: of one case, or all;
/// everybody's for an administrator.
pub async fn list(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ExportRecord>> {
    let seen = narrowed(ctx, accounts, user, case).await?;
    let owned: Vec<Uuid> = user.cases.iter().filter(|of| of.role == CaseRole::Owner).map(|of| of.case).collect();
    let asked = ExportsAsked { account: user.owner(), owned: &owned, case, seen: seen.as_deref() };
    Ok(ctx.db.run(async |db| exports::list(db, asked, before, limit).await).await?)
}

/// An export for who asked for it, while they may see its case, who owns the case, and administrators.
pub async fn find(ctx: &Ctx, accounts: &Accounts, user: &User, id: Uuid) -> Result<ExportRecord> {
    let found = ctx.db.run(async |db| exports::find(db, id).await).await?.ok_or_else(missing)?;
    let need = if found.account_id == user.account.id { CaseRole::Viewer } else { CaseRole::Owner };
    match enter(accounts, user, found.case_id, need).await {
        Ok(_) => Ok(found),
        Err(error @ Error::Fault(_)) if !error.is_passing() => Err(missing()),
        Err(error) => Err(error),
    }
}

/// An export that can be fetched, and where its bytes lie.
pub async fn fetchable(ctx: &Ctx, accounts: &Accounts, user: &User, id: Uuid) -> Result<(ExportRecord, ExportAt)> {
    let found = find(ctx, accounts, user, id).await?;
    let (Some(bytes), Some(sha256), Some(blob)) = (found.bytes, found.sha256.clone(), found.blob) else {
        let detail = match (found.state, &found.error) {
            (ExportState::Failed, Some(why)) => format!("The export failed: {why}"),
            (state, _) => format!("The export is {}.", state.as_str()),
        };
        return Err(Fault::new(Code::ExportNotReady, detail).into());
    };
    Ok((found, ExportAt { bytes, sha256, blob }))
}

/// Writes down that somebody fetches an export, from its begin on or a later part. Where nothing can be written down, it is not to be sent.
pub async fn tell_fetched(ctx: &Ctx, user: &User, export: &ExportRecord, from_begin: bool) -> Result<()> {
    let told = async |db: &mut PgConnection| exports::tell_fetched(db, export, user.account.id, from_begin).await;
    Ok(ctx.db.run(told).await?)
}

/// Removes an export, however far it is.
pub async fn remove(ctx: &Ctx, accounts: &Accounts, user: &User, id: Uuid) -> Result<()> {
    find(ctx, accounts, user, id).await?;
    let gone = ctx.db.run(async |db| exports::remove(db, id).await).await?.ok_or_else(missing)?;
    forget(ctx, &[gone]).await;
    Ok(())
}

/// Removes the bytes of exports whose rows went, after the COMMIT. What is left when we die in between, or cannot be removed now, is the
/// collector's.
pub async fn forget(ctx: &Ctx, gone: &[GoneExport]) {
    for export in gone {
        let (Some(sha256), Some(blob)) = (&export.sha256, export.blob) else { continue };
        if let Err(error) = ctx.blobs.remove(sha256, blob).await {
            tracing::warn!(%error, "the bytes of an export that went could not be removed; the collector does");
        }
    }
}
