//! Exports: asked for, held while they are made, kept, removed; and, in `contents`, what they tell.

pub mod contents;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::export::{ExportFormat, ExportState};

/// An export, as who asked for it sees it.
#[derive(Debug, Clone, FromRow)]
pub struct ExportRecord {
    pub id: Uuid,
    pub case_id: Uuid,
    /// The name of who asked for it, and the account's id.
    pub by: String,
    pub account_id: Uuid,
    pub filter: String,
    #[sqlx(try_from = "String")]
    pub format: ExportFormat,
    #[sqlx(try_from = "String")]
    pub state: ExportState,
    /// How many images fit; nothing before that is known.
    pub images: Option<i32>,
    pub images_done: i32,
    pub bytes: Option<i64>,
    pub sha256: Option<Vec<u8>>,
    pub blob: Option<Uuid>,
    /// Why it failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// How many exports there are.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct ExportCounts {
    pub of_account: i64,
    pub of_case: i64,
}

/// Locks a case that is not deleted against others who ask for exports of it, and against its deletion; then the account against its
/// other requests. Answers whether the case is there.
pub async fn lock(db: &mut PgConnection, case: Uuid, account: Uuid) -> sqlx::Result<bool> {
    let open: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM casefile WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE")
            .bind(case)
            .fetch_optional(&mut *db)
            .await?;
    sqlx::query("SELECT id FROM account WHERE id = $1 FOR NO KEY UPDATE").bind(account).execute(db).await?;
    Ok(open.is_some())
}

/// How many exports of an account and of a case are kept: a statement after the one that locked both.
pub async fn count(db: &mut PgConnection, case: Uuid, account: Uuid) -> sqlx::Result<ExportCounts> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM export WHERE account_id = $2) AS of_account, (SELECT count(*) FROM export WHERE case_id = $1) AS of_case",
    )
    .bind(case)
    .bind(account)
    .fetch_one(db)
    .await
}

/// Asks for an export of a locked case; answers its id.
pub async fn create(
    db: &mut PgConnection,
    case: Uuid,
    account: Uuid,
    filter: &str,
    format: ExportFormat,
) -> sqlx::Result<Uuid> {
    sqlx::query_scalar(include_str!("../sql/exports/create.sql"))
        .bind(case)
        .bind(account)
        .bind(filter)
        .bind(format.as_str())
        .fetch_one(db)
        .await
}

/// Which exports are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExportsAsked<'a> {
    /// Whose; nothing for everybody's.
    pub account: Option<Uuid>,
    /// Cases of which everybody's are listed.
    pub owned: &'a [Uuid],
    /// Of which case; nothing for all.
    pub case: Option<Uuid>,
    /// The cases that are seen; nothing for all.
    pub seen: Option<&'a [Uuid]>,
}

/// Exports from before a place, newest first, at most so many.
pub async fn list(
    db: &mut PgConnection,
    asked: ExportsAsked<'_>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<ExportRecord>> {
    sqlx::query_as(include_str!("../sql/exports/list.sql"))
        .bind(asked.account)
        .bind(asked.owned)
        .bind(asked.case)
        .bind(asked.seen)
        .bind(before.unwrap_or(Uuid::max()))
        .bind(limit)
        .persistent(false)
        .fetch_all(db)
        .await
}

/// One export of a case that is there.
pub async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<ExportRecord>> {
    sqlx::query_as(
        "SELECT e.*, a.name AS by FROM export AS e JOIN account AS a ON a.id = e.account_id JOIN casefile AS c ON c.id = e.case_id
         WHERE e.id = $1 AND c.deleted_at IS NULL",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}

/// Where the bytes of an export lie that is no more.
#[derive(Debug, Clone, FromRow)]
pub struct GoneExport {
    pub sha256: Option<Vec<u8>>,
    pub blob: Option<Uuid>,
}

/// Removes an export; whoever makes it finds out, and stops.
pub async fn remove(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<GoneExport>> {
    sqlx::query_as("DELETE FROM export WHERE id = $1 RETURNING sha256, blob").bind(id).fetch_optional(db).await
}

/// Removes the exports of a case.
pub async fn remove_of_case(db: &mut PgConnection, case: Uuid) -> sqlx::Result<Vec<GoneExport>> {
    sqlx::query_as("DELETE FROM export WHERE case_id = $1 RETURNING sha256, blob").bind(case).fetch_all(db).await
}

/// Removes at most `limit` exports whose time is up; those that somebody else removes are left to them.
pub async fn remove_over(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<GoneExport>> {
    sqlx::query_as(
        "DELETE FROM export WHERE id IN (SELECT id FROM export WHERE expires_at <= clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING sha256, blob",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Writes down that the bytes of an export are sent to somebody; of a part that begins later, if none was to them since it was asked for.
pub async fn tell_fetched(
    db: &mut PgConnection,
    export: &ExportRecord,
    account: Uuid,
    from_begin: bool,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/exports/tell_fetched.sql"))
        .bind(account)
        .bind(export.case_id.to_string())
        .bind(export.format.as_str())
        .bind(from_begin)
        .bind(export.created_at)
        .execute(db)
        .await?;
    Ok(())
}

/// An export that is held for making it.
#[derive(Debug, Clone, FromRow)]
pub struct ExportInHand {
    pub id: Uuid,
    pub case_id: Uuid,
    pub account_id: Uuid,
    pub filter: String,
    #[sqlx(try_from = "String")]
    pub format: ExportFormat,
    pub created_at: DateTime<Utc>,
    /// How often it was begun, this time included.
    pub tries: i16,
    /// Until when; it is the name of this hold, too.
    pub held_until: DateTime<Utc>,
}

/// Takes the export whose turn it is, and holds it for so many seconds.
pub async fn claim(db: &mut PgConnection, hold_s: f64) -> sqlx::Result<Option<ExportInHand>> {
    sqlx::query_as(include_str!("../sql/exports/claim.sql")).bind(hold_s).fetch_optional(db).await
}

/// Whether an account may see a case now.
pub async fn may_see(db: &mut PgConnection, account: Uuid, case: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(include_str!("../sql/exports/standing.sql")).bind(account).bind(case).fetch_one(db).await
}

/// How many bytes the exports of an account have that are made.
pub async fn kept_bytes(db: &mut PgConnection, account: Uuid) -> sqlx::Result<u64> {
    let sum = "SELECT coalesce(sum(bytes), 0)::bigint FROM export WHERE account_id = $1";
    let bytes: i64 = sqlx::query_scalar(sum).bind(account).fetch_one(db).await?;
    Ok(bytes.unsigned_abs())
}

/// Holds an export for so many seconds more, and writes down how far it is; answers until when, or nothing if it is no more held.
pub async fn renew(
    db: &mut PgConnection,
    held: &ExportInHand,
    hold_s: f64,
    images: Option<i32>,
    done: i32,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "UPDATE export SET build_at = clock_timestamp() + $3 * interval '1 s', images = coalesce($4, images), images_done = $5
         WHERE id = $1 AND build_at = $2 RETURNING build_at",
    )
    .bind(held.id)
    .bind(held.held_until)
    .bind(hold_s)
    .bind(images)
    .bind(done)
    .fetch_optional(db)
    .await
}

/// Lets go of a held export: it is in line again after so many seconds.
pub async fn give_back(db: &mut PgConnection, held: &ExportInHand, wait_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE export SET build_at = clock_timestamp() + $3 * interval '1 s', state = 'queued', images_done = 0 WHERE id = $1 AND build_at = $2",
    )
    .bind(held.id)
    .bind(held.held_until)
    .bind(wait_s)
    .execute(db)
    .await?;
    Ok(())
}

/// Where the bytes of a finished export lie.
#[derive(Debug, Clone)]
pub struct ExportAt {
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
}

/// Ends a held export, which is kept for so many seconds; answers whether it was still held.
pub async fn finish(db: &mut PgConnection, held: &ExportInHand, at: &ExportAt, kept_s: f64) -> sqlx::Result<bool> {
    let finished = sqlx::query(include_str!("../sql/exports/finish.sql"))
        .bind(held.id)
        .bind(held.held_until)
        .bind(at.bytes)
        .bind(&at.sha256)
        .bind(at.blob)
        .bind(kept_s)
        .execute(db)
        .await?;
    Ok(finished.rows_affected() > 0)
}

/// Ends a held export without bytes.
pub async fn fail(db: &mut PgConnection, held: &ExportInHand, why: &str, kept_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE export SET state = 'failed', build_at = NULL, error = left($3, 500), finished_at = clock_timestamp(),
                expires_at = clock_timestamp() + $4 * interval '1 s'
         WHERE id = $1 AND build_at = $2",
    )
    .bind(held.id)
    .bind(held.held_until)
    .bind(why)
    .bind(kept_s)
    .execute(db)
    .await?;
    Ok(())
}

/// Those of these blobs that hold an export.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT blob FROM export WHERE blob = ANY($1)").bind(blobs).fetch_all(db).await
}
