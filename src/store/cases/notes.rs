//! Notes on cases and their images.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::image::ContentMd5;

/// A note.
#[derive(Debug, Clone, FromRow)]
pub struct NoteRecord {
    pub id: Uuid,
    /// The MD5 of the image that it is about; nothing where it is about the case.
    pub md5: Option<Vec<u8>>,
    /// The name of who wrote it.
    pub author: String,
    pub text: String,
    pub at: DateTime<Utc>,
}

/// Notes of a case, newest first, from before the cursor: all, or those on one image.
pub async fn list(
    db: &mut PgConnection,
    case: Uuid,
    image: Option<ContentMd5>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<NoteRecord>> {
    sqlx::query_as(
        "SELECT n.id, i.md5, a.name AS author, n.text, n.at
         FROM note AS n JOIN account AS a ON a.id = n.account_id LEFT JOIN image AS i ON i.id = n.image_id
         WHERE n.case_id = $1 AND ($2::bytea IS NULL OR n.image_id = (SELECT id FROM image WHERE md5 = $2)) AND n.id < $3
         ORDER BY n.id DESC LIMIT $4",
    )
    .bind(case)
    .bind(image.map(|md5| md5.0.to_vec()))
    .bind(before.unwrap_or(Uuid::max()))
    .bind(limit)
    .persistent(false)
    .fetch_all(db)
    .await
}

/// Writes a note; answers its id and time.
pub async fn add(
    db: &mut PgConnection,
    case: Uuid,
    image: Option<i64>,
    by: Uuid,
    text: &str,
) -> sqlx::Result<(Uuid, DateTime<Utc>)> {
    sqlx::query_as("INSERT INTO note (case_id, image_id, account_id, text) VALUES ($1, $2, $3, $4) RETURNING id, at")
        .bind(case)
        .bind(image)
        .bind(by)
        .bind(text)
        .fetch_one(db)
        .await
}

/// Who wrote a note of a case, if there is one.
pub async fn author(db: &mut PgConnection, case: Uuid, note: Uuid) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("SELECT account_id FROM note WHERE id = $1 AND case_id = $2")
        .bind(note)
        .bind(case)
        .fetch_optional(db)
        .await
}

/// Removes a note.
pub async fn remove(db: &mut PgConnection, note: Uuid) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM note WHERE id = $1").bind(note).execute(db).await?;
    Ok(())
}
