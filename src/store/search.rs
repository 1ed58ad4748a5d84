//! Searches: a walk along the titles of cases, images that one condition's index names, and which of them fit all conditions.
//!
//! A filter is never made into SQL: its conditions are rows that the one statement of [`fits`] is given. Every statement finds its rows
//! by an index and is bounded in what it answers; whoever searches goes on with another.

use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::filter::NumberRange;
use crate::domain::image::ContentMd5;

/// A place among titles, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, FromRow)]
pub struct TitlePlace {
    pub at: DateTime<Utc>,
    pub image_id: i64,
}

impl TitlePlace {
    /// Before all titles.
    pub const FIRST: Self = Self { at: DateTime::<Utc>::MAX_UTC, image_id: i64::MAX };
    /// Behind all titles.
    pub const LAST: Self = Self { at: DateTime::<Utc>::UNIX_EPOCH, image_id: i64::MIN };
}

/// One condition, as [`fits`] takes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    pub kind: &'static str,
    /// It is about a title, and about the same as the others that are.
    pub of_title: bool,
    pub negated: bool,
    pub word: Option<String>,
    pub other: Option<String>,
    pub range: Option<NumberRange>,
    pub queue_id: Option<i32>,
}

/// What is searched for, and where.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// Nothing for all cases.
    pub cases: Option<Vec<Uuid>>,
    pub conditions: Vec<Condition>,
}

/// An image that fits, by its newest title that does.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Fitting {
    pub image_id: i64,
    pub case_id: Uuid,
    pub submission_id: Uuid,
    pub name: String,
    pub at: DateTime<Utc>,
}

impl Fitting {
    pub fn place(&self) -> TitlePlace {
        TitlePlace { at: self.at, image_id: self.image_id }
    }
}

/// The titles from one place, which is among them, to another, which is not; none that was given after `until` counts.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub before: TitlePlace,
    pub from: TitlePlace,
    pub until: DateTime<Utc>,
}

/// An index that may name all images that a condition could hold for.
#[derive(Debug, Clone, PartialEq)]
pub enum Lead {
    Said {
        label: String,
        range: Option<NumberRange>,
        unnumbered: bool,
    },
    Read([String; 2]),
    Named([String; 2]),
    /// The one or the other.
    Worded([String; 2]),
    Tagged(String),
    Camera([String; 2]),
    Taken(NumberRange),
    Unsuccessful(Option<i32>),
    Live,
    OfModel(i32),
    OfVersion(ComparedVersion),
}

/// How many names of cameras are gone through for one.
const CAMERAS_MAX: i64 = 2_000;

/// The next titles before a place, none given before `since`, newest first, at most so many.
pub async fn walk(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    before: TitlePlace,
    since: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<Vec<TitlePlace>> {
    let walk = match cases {
        Some(cases) => sqlx::query_as(include_str!("sql/search/walk.sql")).bind(cases),
        None => sqlx::query_as(include_str!("sql/search/walk_all.sql")),
    };
    walk.bind(before.at).bind(before.image_id).bind(since).bind(most).fetch_all(db).await
}

/// Those of these images, each named once, that fit by a title of the stretch, newest first, at most so many.
pub async fn fits(
    db: &mut PgConnection,
    sought: &Sought,
    images: &[i64],
    stretch: Stretch,
    most: i64,
) -> sqlx::Result<Vec<Fitting>> {
    let conditions = &sought.conditions;
    sqlx::query_as(include_str!("sql/search/fits.sql"))
        .bind(images)
        .bind(sought.cases.as_deref())
        .bind(stretch.until)
        .bind(stretch.from.at)
        .bind(stretch.from.image_id)
        .bind(stretch.before.at)
        .bind(stretch.before.image_id)
        .bind(most)
        .bind(conditions.iter().map(|c| c.kind).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.of_title).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.negated).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.word.as_deref()).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.other.as_deref()).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.range.map(|range| range.low)).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.range.map(|range| range.high)).collect::<Vec<_>>())
        .bind(conditions.iter().map(|c| c.queue_id).collect::<Vec<_>>())
        .fetch_all(db)
        .await
}

/// The images that an index names, some more than once: all of them if they are fewer than `most`.
pub async fn lead(db: &mut PgConnection, lead: &Lead, cases: Option<&[Uuid]>, most: i64) -> sqlx::Result<Vec<i64>> {
    let found = match lead {
        Lead::Said { label, range, unnumbered } => sqlx::query_scalar(include_str!("sql/search/said.sql"))
            .bind(label)
            .bind(range.map(|range| range.low))
            .bind(range.map(|range| range.high))
            .bind(unnumbered),
        Lead::Read([one, other]) => sqlx::query_scalar(include_str!("sql/search/read.sql")).bind(one).bind(other),
        Lead::Named([one, other]) => sqlx::query_scalar(include_str!("sql/search/named.sql")).bind(one).bind(other),
        Lead::Worded(patterns) => {
            let mut found = Box::pin(self::lead(db, &Lead::Named(patterns.clone()), cases, most)).await?;
            found.extend(Box::pin(self::lead(db, &Lead::Read(patterns.clone()), cases, most)).await?);
            return Ok(found);
        }
        Lead::Tagged(tag) => sqlx::query_scalar(include_str!("sql/search/tagged.sql")).bind(cases).bind(tag),
        Lead::Camera([one, other]) => {
            let camera = sqlx::query_scalar(include_str!("sql/search/camera.sql"));
            return camera.bind(one).bind(other).bind(most).bind(CAMERAS_MAX).fetch_all(db).await;
        }
        Lead::Taken(range) => {
            sqlx::query_scalar(include_str!("sql/search/taken.sql")).bind(seconds(range.low)).bind(seconds(range.high))
        }
        Lead::Unsuccessful(queue) => sqlx::query_scalar(include_str!("sql/search/unsuccessful.sql")).bind(queue),
        Lead::Live => sqlx::query_scalar(include_str!("sql/search/live.sql")),
        Lead::OfModel(queue) => sqlx::query_scalar(include_str!("sql/search/of_model.sql")).bind(queue),
        Lead::OfVersion(version) => sqlx::query_scalar(include_str!("sql/search/of_version.sql"))
            .bind(version.queue_id)
            .bind(version.id)
            .bind(version.registered_at),
    };
    found.bind(most).fetch_all(db).await
}

/// Seconds since 1970 that PostgreSQL's calendar has: the years from 1 to 9999.
fn seconds(seconds: f64) -> f64 {
    seconds.clamp(-62_135_596_800.0, 253_402_300_799.0)
}

/// Whether names and texts have their indexes, without which nothing leads to them.
pub async fn texts_are_indexed(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('item_text') IS NOT NULL").fetch_one(db).await
}

/// The models' names and ids.
pub async fn models(db: &mut PgConnection) -> sqlx::Result<Vec<(String, i32)>> {
    sqlx::query_as("SELECT name, id FROM queue WHERE kind = 'model' ORDER BY name").fetch_all(db).await
}

/// A version of a model. Of two of one model that of the greater id is the newer.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct ComparedVersion {
    pub id: i32,
    pub queue_id: i32,
    pub name: String,
    pub registered_at: DateTime<Utc>,
}

/// Versions of a model by their names.
pub async fn versions(db: &mut PgConnection, queue_id: i32, names: &[&str]) -> sqlx::Result<Vec<ComparedVersion>> {
    sqlx::query_as("SELECT id, queue_id, name, registered_at FROM model_version WHERE queue_id = $1 AND name = ANY($2)")
        .bind(queue_id)
        .bind(names)
        .fetch_all(db)
        .await
}

/// What two versions said of one of the images asked.
#[derive(Debug, FromRow)]
pub struct TwoResults {
    /// Which of them it is, from 1.
    pub place: i64,
    /// As JSON text.
    pub before: String,
    pub after: String,
}

/// What two versions of a model said of these images with the same params, in the order asked; of one of which they did not, nothing.
pub async fn results(
    db: &mut PgConnection,
    images: &[i64],
    [from, to]: &[ComparedVersion; 2],
) -> sqlx::Result<Vec<TwoResults>> {
    let results = sqlx::query_as(include_str!("sql/search/results.sql")).bind(images).bind(to.queue_id);
    results.bind(from.id).bind(to.id).fetch_all(db).await
}

/// What a job said of an image.
#[derive(Debug, FromRow)]
pub struct ResultOfJob {
    pub job_id: Uuid,
    /// Its model.
    pub queue_id: i32,
    /// As JSON text.
    pub document: String,
}

/// What these jobs said of an image, in no order; nothing of one that said nothing of it, or whose result another took the place of.
pub async fn results_of(db: &mut PgConnection, image_id: i64, jobs: &[Uuid]) -> sqlx::Result<Vec<ResultOfJob>> {
    sqlx::query_as(
        "SELECT job_id, queue_id, document::text AS document FROM outcome
         WHERE image_id = $1 AND version_id > 0 AND job_id = ANY($2)",
    )
    .bind(image_id)
    .bind(jobs)
    .fetch_all(db)
    .await
}

/// The cases of a name or an id among these, or among all.
pub async fn cases(db: &mut PgConnection, among: Option<&[Uuid]>, called: &str) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(include_str!("sql/search/cases.sql")).bind(among).bind(called).fetch_all(db).await
}

/// An image that others are compared with: its id and perceptual hash; nothing if none of these cases holds it.
pub async fn reference(
    db: &mut PgConnection,
    md5: ContentMd5,
    cases: Option<&[Uuid]>,
) -> sqlx::Result<Option<(i64, Option<i64>)>> {
    sqlx::query_as(include_str!("sql/search/reference.sql")).bind(md5.0.to_vec()).bind(cases).fetch_optional(db).await
}

/// Images whose hashes differ from one in at most so many bits, nearest first, with how many; `parts` are the values near to each
/// of its four parts, the lowest first.
pub async fn similar(
    db: &mut PgConnection,
    hash: i64,
    bits: i32,
    parts: &[Vec<i32>; 4],
    most: i64,
) -> sqlx::Result<Vec<(i64, i32)>> {
    let mut similar = sqlx::query_as(include_str!("sql/search/similar.sql")).bind(hash).bind(bits);
    for part in parts {
        similar = similar.bind(part);
    }
    similar.bind(most).fetch_all(db).await
}

/// An image's embedding: the model that gave it, its space, and its numbers as JSON.
#[derive(Debug, FromRow)]
pub struct Embedded {
    pub queue_id: i32,
    pub space: String,
    #[sqlx(json)]
    pub vector: Vec<f32>,
}

/// The embedding of an image, if a newest result has one.
pub async fn embedded(db: &mut PgConnection, image_id: i64) -> sqlx::Result<Option<Embedded>> {
    sqlx::query_as(include_str!("sql/search/embedded.sql")).bind(image_id).fetch_optional(db).await
}

/// Tells of each of these images the embeddings that are in the space of another's, by the same model.
pub async fn embeddings(
    db: &mut PgConnection,
    images: &[i64],
    of: &Embedded,
    mut tell: impl FnMut(i64, Vec<Vec<f32>>),
) -> sqlx::Result<()> {
    let sql = sqlx::query_as::<_, (i64, Json<Vec<Vec<f32>>>)>(include_str!("sql/search/embeddings.sql"));
    let mut rows = sql.bind(images).bind(of.queue_id).bind(&of.space).fetch(db);
    while let Some((image_id, Json(vectors))) = rows.try_next().await? {
        tell(image_id, vectors);
    }
    Ok(())
}

/// What is shown of an image that was found.
#[derive(Debug, FromRow)]
pub struct ShownHit {
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub name: String,
    pub case_id: Uuid,
    pub uploaded_at: DateTime<Utc>,
    pub by: String,
    pub media_type: String,
    pub bytes: i64,
    pub width: i32,
    pub height: i32,
    pub orientation: Option<i16>,
    pub tags: Vec<String>,
    pub taken_at: Option<NaiveDateTime>,
    pub camera: Option<String>,
    pub placeholder: Option<Vec<u8>>,
    /// Which of those asked it is, from 1.
    pub place: i64,
}

/// What is shown of these; of one that has gone meanwhile nothing.
pub async fn show(db: &mut PgConnection, found: &[Fitting]) -> sqlx::Result<Vec<ShownHit>> {
    sqlx::query_as(include_str!("sql/search/show.sql"))
        .bind(found.iter().map(|f| f.image_id).collect::<Vec<_>>())
        .bind(found.iter().map(|f| f.case_id).collect::<Vec<_>>())
        .bind(found.iter().map(|f| f.submission_id).collect::<Vec<_>>())
        .bind(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>())
        .fetch_all(db)
        .await
}

/// How many images have what: a name, and the number.
pub type ImageCounts = Vec<(String, i64)>;

/// The labels, the models and the tags of images, most images first, at most so many of each.
pub async fn counts(
    db: &mut PgConnection,
    images: &[i64],
    cases: Option<&[Uuid]>,
    most: i64,
) -> sqlx::Result<[ImageCounts; 3]> {
    let labels = sqlx::query_as(include_str!("sql/search/labels.sql")).bind(images).bind(most);
    let labels = labels.fetch_all(&mut *db).await?;
    let models = sqlx::query_as(include_str!("sql/search/models.sql")).bind(images).bind(most);
    let models = models.fetch_all(&mut *db).await?;
    let tags = sqlx::query_as(include_str!("sql/search/tags.sql")).bind(images).bind(cases).bind(most);
    Ok([labels, models, tags.fetch_all(db).await?])
}
