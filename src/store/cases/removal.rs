//! Cases on their way out: marked first, so that nobody sees them, then emptied in bounded bites.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::store::retention::GoneImage;
use crate::store::submissions::SubmissionPlace;

/// What has gone of a deleted case, and whether all has.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Removed {
    /// Names under which images came to it.
    pub titles: i64,
    /// Images that no other case held, and their bytes.
    pub images: i64,
    pub bytes: i64,
    pub tags: i64,
    pub notes: i64,
    pub done: bool,
}

/// What is left of a deleted case.
#[derive(Debug, Clone, FromRow)]
pub struct DeletedCase {
    pub deleted_at: DateTime<Utc>,
    /// Who deleted it, and that account's name.
    pub deleted_by: Uuid,
    pub by: String,
    pub removed: Json<Removed>,
}

/// Deletes a locked case: its name goes, and its members, whom this answers. From then on nobody sees it.
pub async fn mark(db: &mut PgConnection, case: Uuid, by: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(include_str!("../sql/cases/mark_deleted.sql"))
        .bind(case)
        .bind(by)
        .bind(Json(Removed::default()))
        .fetch_all(db)
        .await
}

/// A deleted case.
pub async fn find(db: &mut PgConnection, case: Uuid) -> sqlx::Result<Option<DeletedCase>> {
    sqlx::query_as(
        "SELECT c.deleted_at, c.deleted_by, a.name AS by, c.removed FROM casefile AS c JOIN account AS a ON a.id = c.deleted_by
         WHERE c.id = $1 AND c.deleted_at IS NOT NULL",
    )
    .bind(case)
    .fetch_optional(db)
    .await
}

/// Deleted cases of which something is left, at most `limit`.
pub async fn going(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM casefile WHERE removed ->> 'done' = 'false' ORDER BY id LIMIT $1")
        .bind(limit)
        .fetch_all(db)
        .await
}

/// Writes down what has gone.
pub async fn count(db: &mut PgConnection, case: Uuid, removed: Removed) -> sqlx::Result<()> {
    sqlx::query("UPDATE casefile SET removed = $2 WHERE id = $1").bind(case).bind(Json(removed)).execute(db).await?;
    Ok(())
}

/// Locks at most `limit` submissions to a case.
pub async fn lock_submissions(db: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM submission WHERE case_id = $1 ORDER BY id LIMIT $2 FOR UPDATE")
        .bind(case)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// Removes the requests of a submission up to a place, whose jobs nobody waits for in its case any more, and takes the texts from the
/// tries at jobs that nobody else asked for.
pub async fn remove_requests(db: &mut PgConnection, submission: Uuid, upto: SubmissionPlace) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/cases/remove_requests.sql"))
        .bind(submission)
        .bind(upto.image_id)
        .bind(upto.queue_id)
        .bind(upto.params_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Removes those of the locked submissions that have no requests left.
pub async fn remove_submissions(db: &mut PgConnection, locked: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM submission AS s WHERE s.id = ANY($1) AND NOT EXISTS (SELECT FROM request AS r WHERE r.submission_id = s.id)",
    )
    .bind(locked)
    .execute(db)
    .await?;
    Ok(())
}

/// An image that a deleted case holds.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct LeavingImage {
    pub id: i64,
    /// Whether another case holds it, too.
    pub shared: bool,
}

/// The next images that a case holds, at most `limit`.
pub async fn images(db: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<LeavingImage>> {
    sqlx::query_as(
        "SELECT h.image_id AS id, EXISTS (SELECT FROM upload AS o WHERE o.image_id = h.image_id AND o.case_id <> $1) AS shared
         FROM (SELECT DISTINCT image_id FROM upload WHERE case_id = $1 ORDER BY image_id LIMIT $2) AS h",
    )
    .bind(case)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Locks those of these images that nobody is busy with, and before them the submissions whose counts go with them.
pub async fn lock_images(db: &mut PgConnection, images: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(include_str!("../sql/cases/lock_images.sql")).bind(images).fetch_all(db).await
}

/// Locks the live jobs on locked images, in order of id.
pub async fn lock_jobs(db: &mut PgConnection, images: &[i64]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM job WHERE image_id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(images)
        .fetch_all(db)
        .await
}

/// Those of the locked images that still no other case holds: what was brought while a lock was waited for shows only to a statement
/// after the one that locked.
pub async fn still_lone(db: &mut PgConnection, case: Uuid, locked: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT i FROM unnest($2::bigint[]) AS i
         WHERE NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i AND u.case_id <> $1)",
    )
    .bind(case)
    .bind(locked)
    .fetch_all(db)
    .await
}

/// Titles, tags and notes that went.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Untitled {
    pub titles: i64,
    pub tags: i64,
    pub notes: i64,
}

/// Removes the titles of a case to these images, and its tags and notes on them.
pub async fn remove_titles(db: &mut PgConnection, case: Uuid, images: &[i64]) -> sqlx::Result<Untitled> {
    sqlx::query_as(include_str!("../sql/cases/remove_titles.sql")).bind(case).bind(images).fetch_one(db).await
}

/// An image that went, and how large it was.
#[derive(Debug, FromRow)]
pub struct RemovedImage {
    #[sqlx(flatten)]
    pub image: GoneImage,
    pub bytes: i64,
}

/// Removes locked images to which there is no title left and on which no job lives, with what was said of them, and writes it down.
pub async fn remove_images(db: &mut PgConnection, locked: &[i64], by: Uuid) -> sqlx::Result<Vec<RemovedImage>> {
    sqlx::query_as(include_str!("../sql/cases/remove_images.sql")).bind(locked).bind(by).fetch_all(db).await
}

/// Removes at most `limit` of each kind of what else belongs to a case: notes, tags, filters; answers how many of the first two went,
/// and whether anything may be left.
pub async fn remove_rest(db: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<(i64, i64, bool)> {
    let (notes, tags, filters): (i64, i64, i64) =
        sqlx::query_as(include_str!("../sql/cases/remove_rest.sql")).bind(case).bind(limit).fetch_one(db).await?;
    Ok((notes, tags, notes.max(tags).max(filters) == limit))
}
