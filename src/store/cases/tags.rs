//! Tags of images, each of a case.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::image::ContentMd5;

/// An image that a case holds.
#[derive(Debug, Clone, FromRow)]
pub struct HeldImage {
    pub id: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
}

/// Locks those of these images that a case holds: until the transaction ends they cannot go.
pub async fn lock_held(db: &mut PgConnection, case: Uuid, images: &[ContentMd5]) -> sqlx::Result<Vec<HeldImage>> {
    sqlx::query_as(
        "SELECT i.id, i.md5 FROM image AS i
         WHERE i.md5 = ANY($2) AND EXISTS (SELECT FROM upload AS u WHERE u.case_id = $1 AND u.image_id = i.id)
         ORDER BY i.md5 FOR KEY SHARE OF i",
    )
    .bind(case)
    .bind(images.iter().map(|md5| md5.0.to_vec()).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// The tags of images in a case, in order.
pub async fn of_images(db: &mut PgConnection, case: Uuid, images: &[i64]) -> sqlx::Result<HashMap<i64, Vec<String>>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT t.image_id, t.tag FROM tag AS t WHERE t.case_id = $1 AND t.image_id = ANY($2) ORDER BY t.image_id, t.tag",
    )
    .bind(case)
    .bind(images)
    .fetch_all(db)
    .await?;
    let mut tags: HashMap<i64, Vec<String>> = HashMap::new();
    for (image, tag) in rows {
        tags.entry(image).or_default().push(tag);
    }
    Ok(tags)
}

/// Takes tags from images, and gives others.
pub async fn change(
    db: &mut PgConnection,
    case: Uuid,
    images: &[i64],
    add: &[String],
    remove: &[String],
    by: Uuid,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM tag AS t WHERE t.case_id = $1 AND t.image_id = ANY($2) AND t.tag = ANY($3)")
        .bind(case)
        .bind(images)
        .bind(remove)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "INSERT INTO tag (case_id, image_id, tag, account_id)
         SELECT $1, i.id, t.text, $4 FROM unnest($2::bigint[]) AS i (id), unnest($3::text[]) AS t (text) ORDER BY i.id, t.text
         ON CONFLICT ON CONSTRAINT tag_pkey DO NOTHING",
    )
    .bind(case)
    .bind(images)
    .bind(add)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}

/// A tag of a case, and how many images have it, counted up to a limit.
#[derive(Debug, Clone, FromRow)]
pub struct TagRecord {
    pub tag: String,
    pub images: i64,
}

/// The different tags of a case, in order, at most `limit`.
pub async fn list(db: &mut PgConnection, case: Uuid, limit: i64, counted: i64) -> sqlx::Result<Vec<TagRecord>> {
    sqlx::query_as(include_str!("../sql/cases/tags.sql")).bind(case).bind(limit).bind(counted).fetch_all(db).await
}
