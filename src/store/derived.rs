//! What is known of images without any model, and whose turn it is to have that worked out.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::derived::{CameraSays, DerivedState, Seen};

/// What is known of an image.
#[derive(Debug, Clone, FromRow)]
pub struct Derived {
    #[sqlx(try_from = "String")]
    pub state: DerivedState,
    /// Why it has no picture.
    pub error: Option<String>,
    pub taken_at: Option<NaiveDateTime>,
    pub camera: Option<String>,
    pub lens: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub phash: Option<i64>,
    pub placeholder: Option<Vec<u8>>,
    thumbs_sha256: Option<Vec<u8>>,
    thumbs_blob: Option<Uuid>,
    thumbs_ends: Option<Vec<i32>>,
    pub at: DateTime<Utc>,
}

/// Where the thumbnails of an image lie, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThumbsAt {
    pub sha256: Vec<u8>,
    pub blob: Uuid,
}

impl Derived {
    /// Where its thumbnails lie, and where each of them ends there.
    pub fn thumbs(&self) -> Option<(ThumbsAt, &[i32])> {
        let at = ThumbsAt { sha256: self.thumbs_sha256.clone()?, blob: self.thumbs_blob? };
        Some((at, self.thumbs_ends.as_deref()?))
    }
}

/// What is known of an image by now.
pub async fn find(db: &mut PgConnection, image_id: i64) -> sqlx::Result<Option<Derived>> {
    sqlx::query_as(
        "SELECT state, error, taken_at, camera, lens, latitude, longitude, phash, placeholder, thumbs_sha256, thumbs_blob, thumbs_ends, at
         FROM derived WHERE image_id = $1",
    )
    .bind(image_id)
    .fetch_optional(db)
    .await
}

/// An image that is held for working it out.
#[derive(Debug, Clone, FromRow)]
pub struct ImageInHand {
    pub image_id: i64,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
    pub bytes: i64,
    pub media_type: String,
    /// EXIF orientation 1…8; nothing where the file says none.
    pub orientation: Option<i16>,
    /// How often it was begun, this time included.
    pub tries: i16,
    /// Until when; it is the name of this hold, too.
    pub held_until: DateTime<Utc>,
}

/// Takes the newest image that nobody works out, and holds it for so many seconds.
pub async fn claim(db: &mut PgConnection, hold_s: f64) -> sqlx::Result<Option<ImageInHand>> {
    sqlx::query_as(include_str!("sql/derived/claim.sql")).bind(hold_s).fetch_optional(db).await
}

/// Lets go of a held image: it is in line again after so many seconds. A try that was not its own fault does not count.
pub async fn give_back(db: &mut PgConnection, held: &ImageInHand, wait_s: f64, counts: bool) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE image SET derive_at = clock_timestamp() + $3 * interval '1 s', derive_tries = derive_tries - $4
         WHERE id = $1 AND derive_at = $2",
    )
    .bind(held.image_id)
    .bind(held.held_until)
    .bind(wait_s)
    .bind(i16::from(!counts))
    .execute(db)
    .await?;
    Ok(())
}

/// What came of a held image: what its EXIF says, and what was seen, with where its thumbnails lie, or why nothing was.
#[derive(Debug)]
pub struct WorkedOut {
    pub says: CameraSays,
    pub seen: Result<(Seen, ThumbsAt), String>,
}

/// Writes down what came of a held image. Answers nothing if it is no more held; else which thumbnails nobody names any more, if it had
/// some before.
pub async fn finish(
    db: &mut PgConnection,
    held: &ImageInHand,
    out: &WorkedOut,
) -> sqlx::Result<Option<Option<ThumbsAt>>> {
    #[derive(FromRow)]
    struct Before {
        sha256: Option<Vec<u8>>,
        blob: Option<Uuid>,
    }
    let (seen, error) = (out.seen.as_ref().ok(), out.seen.as_ref().err());
    let state = if seen.is_some() { DerivedState::Done } else { DerivedState::Failed };
    let ends = seen.map(|(seen, _)| seen.ends.map(|end| i32::try_from(end).unwrap_or(i32::MAX)).to_vec());
    let before: Option<Before> = sqlx::query_as(include_str!("sql/derived/finish.sql"))
        .bind(held.image_id)
        .bind(held.held_until)
        .bind(state.as_str())
        .bind(error)
        .bind(out.says.taken_at)
        .bind(&out.says.camera)
        .bind(&out.says.lens)
        .bind(out.says.place.map(|(latitude, _)| latitude))
        .bind(out.says.place.map(|(_, longitude)| longitude))
        .bind(seen.map(|(seen, _)| seen.phash))
        .bind(seen.map(|(seen, _)| &seen.placeholder))
        .bind(seen.map(|(_, at)| &at.sha256))
        .bind(seen.map(|(_, at)| at.blob))
        .bind(ends)
        .fetch_optional(db)
        .await?;
    let thumbs = |before: Before| Some(ThumbsAt { sha256: before.sha256?, blob: before.blob? });
    Ok(before.map(thumbs))
}

/// Those of these blobs that hold the thumbnails of an image.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT thumbs_blob FROM derived WHERE thumbs_blob = ANY($1)").bind(blobs).fetch_all(db).await
}

/// How many images are in line or in hand.
pub async fn count_waiting(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM image WHERE derive_at IS NOT NULL").fetch_one(db).await
}

/// Which images are to be worked out though none of them waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// Of which nothing is known.
    Unknown,
    /// Those, and which failed.
    Failed,
    /// All.
    All,
}

/// A step along the images.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct AnewPage {
    /// The last that was looked at; nothing after the last of all.
    pub last: Option<i64>,
    /// How many were put in line.
    pub put: i64,
}

/// Puts those of the next `limit` images after one in line that are to be worked out anew.
pub async fn put_in_line(db: &mut PgConnection, anew: Anew, after: i64, limit: i64) -> sqlx::Result<AnewPage> {
    let states: &[&str] = match anew {
        Anew::Unknown => &["none"],
        Anew::Failed => &["none", "failed"],
        Anew::All => &["none", "failed", "done"],
    };
    sqlx::query_as(include_str!("sql/derived/put_in_line.sql")).bind(after).bind(limit).bind(states).fetch_one(db).await
}
