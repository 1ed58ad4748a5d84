//! What an export tells of the images of a case, a few images at a time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::exhibit::{
    Exhibit, ExhibitDerived, ExhibitJob, ExhibitName, ExhibitNote, ExhibitResult, ExhibitTag,
};

/// The most names, and the most notes, that are told of an image: more are said to be left out.
const OF_IMAGE_MAX: usize = 1_000;
/// The most bytes of results that are read at once, but for those of a single image.
const RESULTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most bytes, as they are stored, of what is asked for at once, but for those of a single image: a result takes several times as much
/// when it is read.
const STORED_BYTES_MAX: i64 = 1024 * 1024;

/// An image that is told of, and what finds its bytes.
#[derive(Debug)]
pub struct ExhibitInStore {
    pub image_id: i64,
    pub blob: Uuid,
    pub exhibit: Exhibit,
}

#[derive(FromRow)]
struct ExhibitRow {
    image_id: i64,
    blob: Uuid,
    md5: String,
    sha256: String,
    bytes: i64,
    media_type: String,
    width: i32,
    height: i32,
    frames: i32,
    orientation: Option<i16>,
    warnings: Vec<String>,
    names: Json<Vec<ExhibitName>>,
    tags: Json<Vec<ExhibitTag>>,
    notes: Json<Vec<ExhibitNote>>,
    derived: Option<Json<ExhibitDerived>>,
}

impl From<ExhibitRow> for ExhibitInStore {
    fn from(row: ExhibitRow) -> Self {
        let (Json(mut names), Json(mut notes)) = (row.names, row.notes);
        let (older_names_left_out, older_notes_left_out) = (names.len() > OF_IMAGE_MAX, notes.len() > OF_IMAGE_MAX);
        names.truncate(OF_IMAGE_MAX);
        notes.truncate(OF_IMAGE_MAX);
        let exhibit = Exhibit {
            md5: row.md5,
            sha256: row.sha256,
            bytes: row.bytes,
            media_type: row.media_type,
            width: row.width,
            height: row.height,
            frames: row.frames,
            orientation: row.orientation,
            warnings: row.warnings,
            names,
            older_names_left_out,
            tags: row.tags.0,
            notes,
            older_notes_left_out,
            derived: row.derived.map(|Json(derived)| derived),
            results: Vec::new(),
            unsuccessful: Vec::new(),
        };
        Self { image_id: row.image_id, blob: row.blob, exhibit }
    }
}

/// The next of these images with all that is told of them: as many as have room in memory, one at least, in the order asked. How many these
/// are is the answer's second part, gone ones included.
pub async fn next(db: &mut PgConnection, images: &[i64], case: Uuid) -> sqlx::Result<(Vec<ExhibitInStore>, usize)> {
    let images = &images[..room(db, images, case).await?];
    let rows: Vec<ExhibitRow> = sqlx::query_as(include_str!("../sql/exports/images.sql"))
        .bind(images)
        .bind(case)
        .bind(OF_IMAGE_MAX as i64 + 1)
        .fetch_all(&mut *db)
        .await?;
    let (mut results, whole) = results(db, images, case).await?;
    let mut unsuccessful = unsuccessful(db, &images[..whole]).await?;
    let told = |row: ExhibitRow| {
        let mut told = ExhibitInStore::from(row);
        told.exhibit.results = results.remove(&told.image_id).unwrap_or_default();
        told.exhibit.unsuccessful = unsuccessful.remove(&told.image_id).unwrap_or_default();
        told
    };
    let wanted = &images[..whole];
    Ok((rows.into_iter().filter(|row| wanted.contains(&row.image_id)).map(told).collect(), whole))
}

/// How many of these images, from the first on, have room together.
async fn room(db: &mut PgConnection, images: &[i64], case: Uuid) -> sqlx::Result<usize> {
    let sql = sqlx::query_scalar(include_str!("../sql/exports/room.sql"));
    let room: i64 = sql.bind(images).bind(case).bind(STORED_BYTES_MAX).fetch_one(db).await?;
    Ok(usize::try_from(room).unwrap_or_default().clamp(1, images.len()))
}

#[derive(FromRow)]
struct ResultRow {
    image_id: i64,
    model: String,
    version: String,
    params: Option<Json<Box<RawValue>>>,
    job_id: Uuid,
    started_at: Option<DateTime<Utc>>,
    finished_at: DateTime<Utc>,
    document: Json<Box<RawValue>>,
}

/// The results on images, and of how many images from the first on these are all.
async fn results(
    db: &mut PgConnection,
    images: &[i64],
    case: Uuid,
) -> sqlx::Result<(HashMap<i64, Vec<ExhibitResult>>, usize)> {
    let sql = sqlx::query_as::<_, ResultRow>(include_str!("../sql/exports/results.sql"));
    let mut rows = sql.bind(images).bind(case).fetch(db);
    let (mut results, mut bytes): (HashMap<i64, Vec<ExhibitResult>>, usize) = (HashMap::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let begins = !results.contains_key(&row.image_id);
        if begins && bytes > RESULTS_BYTES_MAX {
            let whole = images.iter().position(|image| *image == row.image_id);
            return Ok((results, whole.unwrap_or(images.len())));
        }
        bytes += row.document.0.get().len();
        results.entry(row.image_id).or_default().push(ExhibitResult {
            model: row.model,
            version: row.version,
            params: row.params.map(|Json(params)| params),
            job: row.job_id,
            started_at: row.started_at,
            finished_at: row.finished_at,
            result: row.document.0,
        });
    }
    Ok((results, images.len()))
}

#[derive(FromRow)]
struct UnsuccessfulRow {
    image_id: i64,
    model: String,
    job: Uuid,
    state: String,
    reason: Option<String>,
    error_type: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

async fn unsuccessful(db: &mut PgConnection, images: &[i64]) -> sqlx::Result<HashMap<i64, Vec<ExhibitJob>>> {
    let rows: Vec<UnsuccessfulRow> =
        sqlx::query_as(include_str!("../sql/exports/unsuccessful.sql")).bind(images).fetch_all(db).await?;
    let mut by_image: HashMap<i64, Vec<ExhibitJob>> = HashMap::new();
    for row in rows {
        by_image.entry(row.image_id).or_default().push(ExhibitJob {
            model: row.model,
            job: row.job,
            state: row.state,
            reason: row.reason,
            error_type: row.error_type,
            error_message: row.error_message,
            created_at: row.created_at,
            finished_at: row.finished_at,
        });
    }
    Ok(by_image)
}

/// The name and the description of a case that is there, and the name of an account.
pub async fn about(db: &mut PgConnection, case: Uuid, account: Uuid) -> sqlx::Result<Option<(String, String, String)>> {
    sqlx::query_as(
        "SELECT c.name, c.description, a.name FROM casefile AS c, account AS a
         WHERE c.id = $1 AND c.deleted_at IS NULL AND a.id = $2",
    )
    .bind(case)
    .bind(account)
    .fetch_optional(db)
    .await
}

/// The most events, and the most notes, of a case that are read at once.
const OF_CASE_MAX: i64 = 1_000;

/// What happened to the jobs on images that submissions to a case asked for, each as JSON.
pub async fn job_events(db: &mut PgConnection, images: &[i64], case: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../sql/exports/job_events.sql")).bind(images).bind(case).fetch_all(db).await
}

/// What was done with a case after an event, each as JSON behind its id; nothing at the end.
pub async fn case_events(db: &mut PgConnection, case: Uuid, after: &str) -> sqlx::Result<Vec<(String, String)>> {
    let sql = sqlx::query_as(include_str!("../sql/exports/case_events.sql"));
    sql.bind(case).bind(after).bind(OF_CASE_MAX).fetch_all(db).await
}

/// The next notes on a case itself before one, each as JSON behind its id; nothing at the end.
pub async fn case_notes(db: &mut PgConnection, case: Uuid, before: Uuid) -> sqlx::Result<Vec<(Uuid, String)>> {
    sqlx::query_as(
        "SELECT n.id, json_build_object('md5', NULL, 'id', n.id, 'by', a.name, 'text', n.text, 'at', n.at)::text
         FROM note AS n JOIN account AS a ON a.id = n.account_id
         WHERE n.case_id = $1 AND n.image_id IS NULL AND n.id < $2 ORDER BY n.id DESC LIMIT $3",
    )
    .bind(case)
    .bind(before)
    .bind(OF_CASE_MAX)
    .fetch_all(db)
    .await
}
