//! Images, the titles that cases have to them, and what is known of each.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::place::AskedPlace;
use crate::domain::history::ImageResult;
use crate::domain::image::ContentMd5;
use crate::domain::result::Upright;

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
    pub orientation: Option<i16>,
    pub warnings: Vec<String>,
    pub blob: Uuid,
}

/// An image's row after an upload: the one that won.
#[derive(Debug, Clone, FromRow)]
pub struct StoredImage {
    pub id: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
    /// It was not there before.
    pub new: bool,
    /// Whether its case held it before.
    #[sqlx(default)]
    pub titled: bool,
}

/// What workers are told of an image. It never changes.
#[derive(Debug, Clone, FromRow)]
pub struct KnownImage {
    pub id: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub bytes: i64,
    pub media_type: String,
    pub width: i32,
    pub height: i32,
    /// EXIF orientation 1…8; nothing where the file says none.
    pub orientation: Option<i16>,
}

impl NewImage {
    /// What is known of it as the row with this id.
    pub fn known(&self, id: i64) -> KnownImage {
        KnownImage {
            id,
            md5: self.md5,
            sha256: self.sha256.to_vec(),
            bytes: self.bytes,
            media_type: self.media_type.to_owned(),
            width: self.width,
            height: self.height,
            orientation: self.orientation,
        }
    }
}

/// What is known of these images; of one that was removed, nothing.
pub async fn known(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<KnownImage>> {
    sqlx::query_as(
        "SELECT id, md5, sha256, bytes, media_type, width, height, orientation FROM image WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// The sizes, as people see them, of the images of these jobs, live or ended; nothing of one whose image was removed.
pub async fn upright_of_jobs(db: &mut PgConnection, jobs: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Upright)>> {
    let rows: Vec<(Uuid, i32, i32, Option<i16>)> = sqlx::query_as(
        "SELECT j.id, i.width, i.height, i.orientation
         FROM (SELECT id, image_id FROM job WHERE id = ANY($1) UNION ALL SELECT id, image_id FROM job_archive WHERE id = ANY($1)) AS j
         JOIN image AS i ON i.id = j.image_id",
    )
    .bind(jobs)
    .fetch_all(db)
    .await?;
    let upright = |(job, width, height, orientation)| (job, Upright::new(width, height, orientation));
    Ok(rows.into_iter().map(upright).collect())
}

/// Writes down that an account sent bytes that collide with a stored image.
pub async fn tell_collision(db: &mut PgConnection, account: Uuid, image_id: i64) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (code, account_id, subject_id) VALUES ('md5_collision', $1, $2::text)")
        .bind(account)
        .bind(image_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Inserts images, or locks the rows that are there already (by a column that is no key, so that rows which refer
/// to them can still be written). `images` is sorted by MD5 and free of repeats.
pub async fn put(db: &mut PgConnection, images: &[NewImage]) -> sqlx::Result<Vec<StoredImage>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, orientation, warnings, blob)
         SELECT t.md5, t.sha256, t.bytes, t.media_type, t.width, t.height, t.frames, t.orientation,
                coalesce((SELECT array_agg(x) FROM jsonb_array_elements_text(t.warnings::jsonb) AS x), '{}'), t.blob
         FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::int[], $6::int[], $7::int[], $8::text[], $9::uuid[],
                     $10::smallint[]) AS t (md5, sha256, bytes, media_type, width, height, frames, warnings, blob, orientation)
         ORDER BY t.md5
         ON CONFLICT ON CONSTRAINT image_md5_key DO UPDATE SET bytes = image.bytes
         RETURNING id, md5, sha256, blob, (xmax = 0) AS new",
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
    .bind(images.iter().map(|i| i.orientation).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// A name under which a submission to a case brought an image.
#[derive(Debug, Clone, Copy)]
pub struct Title<'a> {
    pub case: Uuid,
    pub image_id: i64,
    pub submission: Uuid,
    /// Who brought it.
    pub account: Uuid,
    pub name: &'a str,
}

/// Gives cases titles to images; a name that its submission used before gets the time of its newest use. Answers which cases held
/// which images before.
pub async fn give_titles(db: &mut PgConnection, titles: &[Title<'_>]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(include_str!("sql/images/give_titles.sql"))
        .bind(titles.iter().map(|title| title.case).collect::<Vec<_>>())
        .bind(titles.iter().map(|title| title.image_id).collect::<Vec<_>>())
        .bind(titles.iter().map(|title| title.submission).collect::<Vec<_>>())
        .bind(titles.iter().map(|title| title.account).collect::<Vec<_>>())
        .bind(titles.iter().map(|title| title.name).collect::<Vec<_>>())
        .fetch_all(db)
        .await
}

/// All that is stored of an image, but for its bytes.
#[derive(Debug, Clone, FromRow)]
pub struct ImageRecord {
    /// What workers are told of it.
    #[sqlx(flatten)]
    pub known: KnownImage,
    pub frames: i32,
    pub warnings: Vec<String>,
    pub blob: Uuid,
    /// The newest name under which it came to one of the cases asked about.
    pub name: Option<String>,
    /// When that was.
    pub uploaded_at: DateTime<Utc>,
    /// To which of them.
    pub case_id: Option<Uuid>,
}

/// The same, with what people say of it.
#[derive(Debug, FromRow)]
pub struct TaggedRecord {
    #[sqlx(flatten)]
    pub image: ImageRecord,
    /// Its tags in that case, in order.
    pub tags: Vec<String>,
}

/// One image, if one of these cases holds it; with no cases given, whoever holds it.
pub async fn find(
    db: &mut PgConnection,
    key: ContentMd5,
    cases: Option<&[Uuid]>,
) -> sqlx::Result<Option<TaggedRecord>> {
    sqlx::query_as(include_str!("sql/images/find.sql")).bind(key.0.to_vec()).bind(cases).fetch_optional(db).await
}

/// Locks those of these images that are still kept, and answers them: until the transaction ends they cannot go.
pub async fn lock_kept(db: &mut PgConnection, images: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT i.id FROM image AS i WHERE i.id = ANY($1) ORDER BY i.md5 FOR SHARE OF i")
        .bind(images)
        .fetch_all(db)
        .await
}

/// Somebody who names stored images.
#[derive(Debug, Clone, Copy)]
pub struct Namer<'a> {
    /// The cases that are looked into; nothing for all.
    pub cases: Option<&'a [Uuid]>,
    /// The case that is to hold them.
    pub into: Uuid,
}

/// A stored image that was named.
#[derive(Debug, FromRow)]
pub struct NamedImage {
    /// By whom.
    #[sqlx(try_from = "i64")]
    pub place: AskedPlace,
    #[sqlx(flatten)]
    pub image: ImageRecord,
    /// Whether the case that is to hold it does.
    pub held: bool,
}

/// Locks and returns, of the images wanted, each by the place of who names it, those that this one may see.
pub async fn lock_visible(
    db: &mut PgConnection,
    wanted: &[(usize, ContentMd5)],
    namers: &[Namer<'_>],
) -> sqlx::Result<Vec<NamedImage>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // A list of lists, which PostgreSQL knows only where all are of a length.
    let list = |cases: &[Uuid]| format!("{{{}}}", cases.iter().map(Uuid::to_string).collect::<Vec<_>>().join(","));
    sqlx::query_as(include_str!("sql/images/lock_visible.sql"))
        .bind(wanted.iter().map(|(place, _)| *place as i64 + 1).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, md5)| md5.0.to_vec()).collect::<Vec<_>>())
        .bind(namers.iter().map(|namer| namer.cases.map(list)).collect::<Vec<_>>())
        .bind(namers.iter().map(|namer| namer.into).collect::<Vec<_>>())
        .fetch_all(db)
        .await
}

/// One image for an API key: while a job on it lives whose model a live session of that key serves.
pub async fn find_for_key(db: &mut PgConnection, key: ContentMd5, api_key: &str) -> sqlx::Result<Option<ImageRecord>> {
    sqlx::query_as(
        "SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
                NULL::text AS name, i.created_at AS uploaded_at, NULL::uuid AS case_id
         FROM image AS i
         WHERE i.md5 = $1 AND EXISTS (
           SELECT FROM job AS j JOIN worker_session AS s ON s.queue_id = j.queue_id
           WHERE j.image_id = i.id AND s.key_id = $2 AND s.ended_at IS NULL)",
    )
    .bind(key.0.to_vec())
    .bind(api_key)
    .fetch_optional(db)
    .await
}

/// A page of images. One that is short is not the last while there is a next place: a walk looks at a bounded number of titles, however
/// few of them are the newest of their images.
#[derive(Debug, Default)]
pub struct ImagesPage {
    pub images: Vec<ImageRecord>,
    pub next: Option<ImagePlace>,
}

/// A place in a list of images: the time of a title, and the image.
pub type ImagePlace = (DateTime<Utc>, i64);

/// An image that a walk came by.
#[derive(FromRow)]
struct WalkedImage {
    #[sqlx(flatten)]
    image: ImageRecord,
    shown: bool,
    /// Whether the walk may go on behind the last.
    more: bool,
}

/// How many titles one page looks at.
const TITLES_LOOKED_AT: i64 = 2_000;
/// How many one page reads: as many of each case as it looks at.
const TITLES_READ: i64 = 100_000;

/// Images from before the cursor: those that these cases hold, newest title first, or, with none given, all, those first that were
/// stored last. More and more titles at once, until the page is full or enough were looked at.
pub async fn list(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    before: Option<ImagePlace>,
    limit: i64,
) -> sqlx::Result<ImagesPage> {
    let (mut page, mut place) = (ImagesPage::default(), before.unwrap_or((DateTime::<Utc>::MAX_UTC, i64::MAX)));
    let (mut looked, mut most, lists) = (0, limit, cases.map_or(1, <[Uuid]>::len) as i64);
    loop {
        let walked = walk(db, cases, place, most).await?;
        let more = walked.first().is_some_and(|walked| walked.more);
        for WalkedImage { image, shown, .. } in walked {
            place = (image.uploaded_at, image.known.id);
            if shown {
                page.images.push(image);
            }
            if page.images.len() as i64 == limit {
                return Ok(ImagesPage { next: Some(place), ..page });
            }
        }
        looked += most;
        if !more || looked >= TITLES_LOOKED_AT || looked * lists >= TITLES_READ {
            return Ok(ImagesPage { next: more.then_some(place), ..page });
        }
        most = (4 * most).min(TITLES_LOOKED_AT - looked);
    }
}

async fn walk(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    (at, id): ImagePlace,
    most: i64,
) -> sqlx::Result<Vec<WalkedImage>> {
    let walk = match cases {
        Some(cases) => sqlx::query_as(include_str!("sql/images/list.sql")).bind(cases).bind(at).bind(id),
        None => sqlx::query_as(include_str!("sql/images/list_all.sql")).bind(id),
    };
    walk.bind(most).fetch_all(db).await
}

/// How many titles are looked at when images are counted.
const TITLES_COUNTED: i64 = 20_000;
/// How long before the newest title others may have come that were written later, in seconds: longer than a submission takes.
const LATE_S: f64 = 10.0;
/// How many of those are counted.
const LATE_COUNTED: i64 = 1_000;

/// How many images a case holds, counted up to a limit, if one is given; when the newest title of those came that these cases hold, or,
/// with none given, of all; and how many came shortly before it.
pub async fn newest(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    counted: Option<i64>,
) -> sqlx::Result<(Option<i64>, Option<DateTime<Utc>>, i64)> {
    let newest = match cases {
        Some(cases) => {
            let newest = sqlx::query_as(include_str!("sql/images/newest.sql"));
            newest.bind(cases).bind(counted).bind(TITLES_COUNTED)
        }
        None => sqlx::query_as(include_str!("sql/images/newest_all.sql")),
    };
    newest.bind(LATE_S).bind(LATE_COUNTED).fetch_one(db).await
}

/// The most bytes of an image's results that are read at once.
const RESULTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Every model × version × params that has answered, newest first, at most `limit` and [`RESULTS_BYTES_MAX`]; and whether older
/// ones were left out. Params only where a submission to one of these cases asked with them; all of them with no cases given.
pub async fn results(
    db: &mut PgConnection,
    image_id: i64,
    cases: Option<&[Uuid]>,
    limit: i64,
) -> sqlx::Result<(Vec<ImageResult>, bool)> {
    let sql = sqlx::query_as::<_, ImageResult>(include_str!("sql/images/results.sql"));
    let mut rows = sql.bind(image_id).bind(cases).bind(limit + 1).fetch(db);
    let (mut results, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += row.result.get().len();
        if bytes > RESULTS_BYTES_MAX || results.len() as i64 == limit {
            return Ok((results, true));
        }
        results.push(row);
    }
    Ok((results, false))
}

/// Those of these blobs that an image row names: the rest may be collected.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT blob FROM image WHERE blob = ANY($1)").bind(blobs).fetch_all(db).await
}
