//! What happened to images: from the live jobs and the outcomes of ended ones. The archive is never read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};
use serde_json::value::RawValue;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobError, JobState, JobStatus, JobView, ResultView, Success};

/// An image's status and whose members may see it.
#[derive(Debug, Clone, Default)]
pub struct VisibleStatus {
    pub status: ImageStatus,
    /// Cases that hold it: those of [`TITLES_MAX`] titles, and those asked for, as far as they do.
    pub cases: Vec<Uuid>,
}

/// How many titles of one image are carried to the mirror.
pub const TITLES_MAX: i64 = 100;

/// The most bytes of results that are read at once: those of one answer, and some.
pub const RESULTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Images, and the cases of who asks for them.
#[derive(Debug, Clone, Copy)]
pub struct AskedBy<'a> {
    pub images: &'a [ContentMd5],
    pub cases: &'a [Uuid],
}

/// Reads the status of every stored image among these keys, with the results if asked, for those who ask. Nothing, if the results are
/// over [`RESULTS_BYTES_MAX`] together.
pub async fn load(
    db: &mut PgConnection,
    keys: &[ContentMd5],
    asked: &[AskedBy<'_>],
    results: bool,
) -> sqlx::Result<Option<HashMap<ContentMd5, VisibleStatus>>> {
    let (mut by_id, many) = read_images(db, keys).await?;
    if !many.is_empty() {
        read_titles(db, asked, &many, &mut by_id).await?;
    }
    let ids: Vec<i64> = by_id.keys().copied().collect();
    read_jobs(db, &ids, &mut by_id).await?;
    if results {
        let sql = sqlx::query_as(include_str!("sql/status/results.sql")).bind(&ids);
        let Some(results) = within_bounds(sql.fetch(db)).await? else { return Ok(None) };
        for (image, model, result) in results {
            if let Some((_, seen)) = by_id.get_mut(&image) {
                seen.status.results.insert(model, result);
            }
        }
    }
    Ok(Some(by_id.into_values().collect()))
}

/// The newest success of these models on an image; nothing, if they are over [`RESULTS_BYTES_MAX`] together.
pub async fn results_of(
    db: &mut PgConnection,
    key: ContentMd5,
    models: &[String],
) -> sqlx::Result<Option<BTreeMap<String, ResultView>>> {
    let sql = sqlx::query_as(include_str!("sql/status/results_of.sql")).bind(key.0.to_vec()).bind(models);
    let results = within_bounds(sql.fetch(db)).await?;
    Ok(results.map(|results| results.into_iter().map(|(_, model, result)| (model, result)).collect()))
}

type ById = HashMap<i64, (ContentMd5, VisibleStatus)>;

/// The images, and which of them have so many titles that not all were read.
async fn read_images(db: &mut PgConnection, keys: &[ContentMd5]) -> sqlx::Result<(ById, HashSet<ContentMd5>)> {
    #[derive(FromRow)]
    struct TitledImage {
        id: i64,
        #[sqlx(try_from = "Vec<u8>")]
        md5: ContentMd5,
        cases: Vec<Uuid>,
        more: bool,
    }
    // LIMIT stands below DISTINCT, or the planner may walk over all titles in order of their cases.
    let rows: Vec<TitledImage> = sqlx::query_as(
        "SELECT i.id, i.md5, coalesce(t.cases, '{}') AS cases, t.titles = $2 AS more
         FROM image AS i
         CROSS JOIN LATERAL (SELECT array_agg(DISTINCT u.case_id) AS cases, count(*) AS titles
                             FROM (SELECT case_id FROM upload WHERE image_id = i.id LIMIT $2) AS u) AS t
         WHERE i.md5 = ANY($1)",
    )
    .bind(keys.iter().map(|key| key.0.to_vec()).collect::<Vec<_>>())
    .bind(TITLES_MAX)
    .fetch_all(db)
    .await?;
    let many = rows.iter().filter(|row| row.more).map(|row| row.md5).collect();
    let seen = |row: TitledImage| (row.id, (row.md5, VisibleStatus { cases: row.cases, ..VisibleStatus::default() }));
    Ok((rows.into_iter().map(seen).collect(), many))
}

/// Adds the cases of who asks for one of these images of many titles, as far as they hold it.
async fn read_titles(
    db: &mut PgConnection,
    asked: &[AskedBy<'_>],
    many: &HashSet<ContentMd5>,
    by_id: &mut ById,
) -> sqlx::Result<()> {
    let mut pairs: BTreeSet<(ContentMd5, Uuid)> = BTreeSet::new();
    for AskedBy { images, cases } in asked {
        for md5 in images.iter().filter(|md5| many.contains(md5)) {
            pairs.extend(cases.iter().map(|case| (*md5, *case)));
        }
    }
    let (md5s, cases): (Vec<Vec<u8>>, Vec<Uuid>) = pairs.into_iter().map(|(md5, case)| (md5.0.to_vec(), case)).unzip();
    let rows: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT i.id, a.case_id
         FROM (SELECT * FROM unnest($1::bytea[], $2::uuid[]) AS a (md5, case_id) LIMIT $3) AS a JOIN image AS i ON i.md5 = a.md5
         WHERE EXISTS (SELECT FROM upload AS u WHERE u.case_id = a.case_id AND u.image_id = i.id)",
    )
    .bind(&md5s)
    .bind(&cases)
    .bind(cases.len() as i64)
    .fetch_all(db)
    .await?;
    for (image, case) in rows {
        if let Some((_, seen)) = by_id.get_mut(&image).filter(|(_, seen)| !seen.cases.contains(&case)) {
            seen.cases.push(case);
        }
    }
    Ok(())
}

async fn read_jobs(db: &mut PgConnection, ids: &[i64], by_id: &mut ById) -> sqlx::Result<()> {
    #[derive(FromRow)]
    struct ModelJob {
        image_id: i64,
        model: String,
        #[sqlx(flatten)]
        status: StatusRow,
    }
    let rows: Vec<ModelJob> = sqlx::query_as(include_str!("sql/status/jobs.sql")).bind(ids).fetch_all(db).await?;
    for row in rows {
        // In order of id, so that the newest job of a model stays.
        if let Some((_, seen)) = by_id.get_mut(&row.image_id) {
            seen.status.jobs.insert(row.model, JobView::new(&row.status.into()).map_err(unwritten)?);
        }
    }
    Ok(())
}

#[derive(FromRow)]
struct ModelResult {
    image_id: i64,
    model: String,
    version: String,
    job_id: Uuid,
    finished_at: DateTime<Utc>,
    #[sqlx(json)]
    document: Box<RawValue>,
}

/// Results by image and model, none of which is kept once they are too many.
async fn within_bounds(
    mut rows: impl Stream<Item = sqlx::Result<ModelResult>> + Unpin,
) -> sqlx::Result<Option<Vec<(i64, String, ResultView)>>> {
    let (mut results, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += row.document.get().len();
        if bytes > RESULTS_BYTES_MAX {
            return Ok(None);
        }
        let success =
            Success { version: row.version, job: row.job_id, finished_at: row.finished_at, document: row.document };
        results.push((row.image_id, row.model, ResultView::new(&success).map_err(unwritten)?));
    }
    Ok(Some(results))
}

fn unwritten(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// The columns that make a [`JobStatus`].
#[derive(Debug, FromRow)]
pub(super) struct StatusRow {
    id: Uuid,
    job_version: i32,
    #[sqlx(try_from = "String")]
    state: JobState,
    reason: Option<String>,
    attempt: i16,
    max_attempts: i16,
    progress: Option<f64>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    run_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    error_type: Option<String>,
    error_message: Option<String>,
}

impl From<StatusRow> for JobStatus {
    fn from(row: StatusRow) -> Self {
        let (kind, message) = (row.error_type, row.error_message);
        Self {
            id: row.id,
            version: row.job_version.into(),
            state: row.state,
            reason: row.reason,
            waiting: None,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            progress: row.progress,
            created_at: row.created_at,
            started_at: row.started_at,
            run_at: row.run_at,
            finished_at: row.finished_at,
            error: (kind.is_some() || message.is_some()).then_some(JobError { kind, message }),
        }
    }
}
