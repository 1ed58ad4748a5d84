//! Images, and what is known of each.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::row::md5;
use crate::domain::image::ContentMd5;

/// What is known of an image.
#[derive(Debug, Clone)]
pub struct ImageRecord {
    pub id: i64,
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub bytes: i64,
    pub media_type: String,
    pub width: i32,
    pub height: i32,
    pub frames: i32,
    pub orientation: Option<i16>,
    pub warnings: Vec<String>,
    pub blob: Uuid,
    /// The newest name under which the asking account uploaded it; any account's for an administrator.
    pub name: Option<String>,
    /// When that was.
    pub uploaded_at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for ImageRecord {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            md5: md5(row, "md5")?,
            sha256: row.try_get("sha256")?,
            bytes: row.try_get("bytes")?,
            media_type: row.try_get("media_type")?,
            width: row.try_get("width")?,
            height: row.try_get("height")?,
            frames: row.try_get("frames")?,
            orientation: row.try_get("orientation")?,
            warnings: row.try_get("warnings")?,
            blob: row.try_get("blob")?,
            name: row.try_get("name")?,
            uploaded_at: row.try_get("uploaded_at")?,
        })
    }
}

macro_rules! record_columns {
    () => {
        "i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob, \
         t.name, coalesce(t.at, i.created_at) AS uploaded_at"
    };
}

/// One image for those entitled to it: an uploader, or an administrator (`account` absent).
pub async fn find(db: &mut PgConnection, key: ContentMd5, account: Option<Uuid>) -> sqlx::Result<Option<ImageRecord>> {
    const SQL: &str = concat!(
        "SELECT ", record_columns!(), "
         FROM image AS i
         LEFT JOIN LATERAL (SELECT u.name, u.at FROM upload AS u
                            WHERE u.image_id = i.id AND ($2::uuid IS NULL OR u.account_id = $2) ORDER BY u.at DESC LIMIT 1) AS t ON true
         WHERE i.md5 = $1 AND ($2 IS NULL OR t.name IS NOT NULL)");
    sqlx::query_as(SQL).bind(key.0.to_vec()).bind(account).fetch_optional(db).await
}

/// Locks and returns, of the images wanted at each place, those that its account has a title to; all of them for an
/// administrator (no account).
pub async fn lock_visible(
    db: &mut PgConnection,
    wanted: &[(usize, ContentMd5, Option<Uuid>)],
) -> sqlx::Result<Vec<((usize, ContentMd5), ImageRecord)>> {
    const SQL: &str = concat!(
        "SELECT w.place, ",
        record_columns!(),
        "
         FROM unnest($1::bigint[], $2::bytea[], $3::uuid[]) AS w (place, md5, account_id)
         JOIN image AS i ON i.md5 = w.md5
         LEFT JOIN LATERAL (SELECT u.name, u.at FROM upload AS u
                            WHERE u.image_id = i.id AND (w.account_id IS NULL OR u.account_id = w.account_id)
                            ORDER BY u.at DESC LIMIT 1) AS t ON true
         WHERE w.account_id IS NULL OR t.name IS NOT NULL
         ORDER BY i.md5 FOR SHARE OF i"
    );
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(SQL)
        .bind(wanted.iter().map(|w| w.0 as i64).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.1.0.to_vec()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.2).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            let place: i64 = row.try_get("place")?;
            let image = ImageRecord::from_row(row)?;
            Ok(((usize::try_from(place).unwrap_or_default(), image.md5), image))
        })
        .collect()
}

/// One image for an API key: while a job on it lives whose model a live session of that key serves.
pub async fn find_for_key(db: &mut PgConnection, key: ContentMd5, api_key: &str) -> sqlx::Result<Option<ImageRecord>> {
    const SQL: &str = concat!(
        "SELECT ",
        record_columns!(),
        "
         FROM image AS i CROSS JOIN (SELECT NULL::text AS name, NULL::timestamptz AS at) AS t
         WHERE i.md5 = $1 AND EXISTS (
           SELECT FROM job AS j JOIN worker_session AS s ON s.model = j.model
           WHERE j.image_id = i.id AND s.key_id = $2 AND s.ended_at IS NULL)"
    );
    sqlx::query_as(SQL).bind(key.0.to_vec()).bind(api_key).fetch_optional(db).await
}

/// Images newest title first, from before the cursor (time, image id).
pub async fn list(
    db: &mut PgConnection,
    account: Option<Uuid>,
    before: Option<(DateTime<Utc>, i64)>,
    limit: i64,
) -> sqlx::Result<Vec<ImageRecord>> {
    const SQL: &str = concat!(
        "SELECT ",
        record_columns!(),
        "
         FROM (SELECT image_id, max(at) AS at, (array_agg(name ORDER BY at DESC))[1] AS name
               FROM upload WHERE $1::uuid IS NULL OR account_id = $1 GROUP BY image_id) AS t
         JOIN image AS i ON i.id = t.image_id
         WHERE $2::timestamptz IS NULL OR (t.at, i.id) < ($2, $3)
         ORDER BY t.at DESC, i.id DESC LIMIT $4"
    );
    sqlx::query_as(SQL)
        .bind(account)
        .bind(before.map(|b| b.0))
        .bind(before.map_or(0, |b| b.1))
        .bind(limit)
        .fetch_all(db)
        .await
}

/// A model's answer about an image, for the image's record.
#[derive(Debug, Clone)]
pub struct VersionedResult {
    pub model: String,
    pub version: String,
    pub params: serde_json::Value,
    pub job: Uuid,
    pub document: serde_json::Value,
    pub finished_at: DateTime<Utc>,
}

/// Every model × version × params that has answered, newest first, at most `limit`.
pub async fn results(db: &mut PgConnection, image_id: i64, limit: i64) -> sqlx::Result<Vec<VersionedResult>> {
    let rows = sqlx::query(
        "SELECT r.model, r.version, p.body, r.job_id, r.document, r.finished_at FROM result AS r
         JOIN params AS p ON p.hash = r.params_hash WHERE r.image_id = $1 ORDER BY r.finished_at DESC, r.job_id LIMIT $2",
    )
    .bind(image_id)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(VersionedResult {
                model: row.try_get(0)?,
                version: row.try_get(1)?,
                params: row.try_get(2)?,
                job: row.try_get(3)?,
                document: row.try_get(4)?,
                finished_at: row.try_get(5)?,
            })
        })
        .collect()
}

/// Those of these blobs that an image row names: the rest may be collected.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT blob FROM image WHERE blob = ANY($1)").bind(blobs).fetch_all(db).await
}
