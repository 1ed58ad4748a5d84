//! Uploaded images, and the titles that users get to them.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::store::row::md5;

/// An image about to be stored.
#[derive(Debug, Clone)]
pub struct NewImage {
    pub md5: ContentMd5,
    pub sha256: [u8; 32],
    pub bytes: i64,
    pub media_type: &'static str,
    pub width: i32,
    pub height: i32,
    pub frames: i32,
    pub warnings: Vec<String>,
    pub blob: Uuid,
}

/// An image's row after an upload: the one that won.
#[derive(Debug, Clone)]
pub struct StoredImage {
    pub id: i64,
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
}

/// Inserts images, or locks the rows that are there already (by a column that is no key, so that rows which refer
/// to them can still be written). `images` is sorted by MD5 and free of repeats.
pub async fn put(db: &mut PgConnection, images: &[NewImage]) -> sqlx::Result<Vec<StoredImage>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, warnings, blob)
         SELECT t.md5, t.sha256, t.bytes, t.media_type, t.width, t.height, t.frames,
                coalesce((SELECT array_agg(x) FROM jsonb_array_elements_text(t.warnings::jsonb) AS x), '{}'), t.blob
         FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::int[], $6::int[], $7::int[], $8::text[], $9::uuid[])
           AS t (md5, sha256, bytes, media_type, width, height, frames, warnings, blob)
         ORDER BY t.md5
         ON CONFLICT ON CONSTRAINT image_md5_key DO UPDATE SET bytes = image.bytes
         RETURNING id, md5, sha256, blob",
    )
    .bind(images.iter().map(|i| i.md5.0.to_vec()).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.sha256.to_vec()).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.bytes).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.media_type).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.width).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.height).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.frames).collect::<Vec<_>>())
    .bind(images.iter().map(|i| serde_json::json!(i.warnings).to_string()).collect::<Vec<_>>())
    .bind(images.iter().map(|i| i.blob).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &PgRow) -> sqlx::Result<StoredImage> {
    Ok(StoredImage {
        id: row.try_get("id")?,
        md5: md5(row, "md5")?,
        sha256: row.try_get("sha256")?,
        blob: row.try_get("blob")?,
    })
}

/// Gives accounts titles to images under the names they used; a name used before gets the time of its newest use.
pub async fn give_titles(db: &mut PgConnection, titles: &[(Uuid, i64, &str)]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO upload (account_id, image_id, name)
         SELECT DISTINCT t.account_id, t.image_id, t.name FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS t (account_id, image_id, name)
         ORDER BY t.image_id, t.account_id, t.name
         ON CONFLICT ON CONSTRAINT upload_pkey DO UPDATE SET at = excluded.at",
    )
    .bind(titles.iter().map(|t| t.0).collect::<Vec<_>>())
    .bind(titles.iter().map(|t| t.1).collect::<Vec<_>>())
    .bind(titles.iter().map(|t| t.2).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down that an account sent bytes that collide with a stored image.
pub async fn md5_collision(db: &mut PgConnection, account: Uuid, image_id: i64) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (code, account_id, subject_id) VALUES ('md5_collision', $1, $2::text)")
        .bind(account)
        .bind(image_id)
        .execute(db)
        .await?;
    Ok(())
}
