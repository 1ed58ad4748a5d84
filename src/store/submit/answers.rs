//! Jobs that answer what is wanted without a new one.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::wanted::Wanted;
use crate::domain::job::JobState;
use crate::store::row::state;

/// A job that answers an (image, model, params).
#[derive(Debug, Clone)]
pub struct Answered {
    pub wanted: Wanted,
    pub job_id: Uuid,
    pub state: JobState,
}

impl FromRow<'_, PgRow> for Answered {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            wanted: Wanted {
                image_id: row.try_get("image_id")?,
                model: row.try_get("model")?,
                params_hash: row.try_get("params_hash")?,
            },
            job_id: row.try_get("job_id")?,
            state: state(row, "state")?,
        })
    }
}

/// Those of the wanted that their submissions have asked for before, with their jobs as they now are.
pub async fn answered_before(db: &mut PgConnection, wanted: &[(Uuid, &Wanted)]) -> sqlx::Result<Vec<Answered>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT w.image_id, w.model, w.params_hash, r.job_id, coalesce(j.state, a.state, 'cancelled')::text AS state
         FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::uuid[]) AS w (image_id, model, params_hash, submission_id)
         JOIN request AS r ON (r.submission_id, r.image_id, r.model, r.params_hash) = (w.submission_id, w.image_id, w.model, w.params_hash)
         LEFT JOIN job AS j ON j.id = r.job_id
         LEFT JOIN job_archive AS a ON a.id = r.job_id",
    )
    .bind(wanted.iter().map(|(_, w)| w.image_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, w)| w.model.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, w)| w.params_hash.as_slice()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(submission, _)| *submission).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// Those of the wanted that a cached success answers: of a version that a live worker serves or, none being
/// live, the last one seen.
pub async fn cached(db: &mut PgConnection, wanted: &[&Wanted]) -> sqlx::Result<Vec<Answered>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // The versions of a model are looked up once, not for every image.
    sqlx::query_as(
        "WITH served AS MATERIALIZED (
           SELECT m.name, coalesce((
             SELECT array_agg(DISTINCT s.version) FROM worker_session AS s
             WHERE s.model = m.name AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()), ARRAY[m.last_version]) AS versions
           FROM model AS m WHERE m.name IN (SELECT DISTINCT unnest($2::text[]))
         )
         SELECT DISTINCT ON (w.image_id, w.model, w.params_hash) w.image_id, w.model, w.params_hash, r.job_id, 'succeeded' AS state
         FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS w (image_id, model, params_hash)
         JOIN result AS r ON (r.image_id, r.model, r.params_hash) = (w.image_id, w.model, w.params_hash)
         JOIN served ON served.name = w.model
         WHERE r.version = ANY(served.versions)
         ORDER BY w.image_id, w.model, w.params_hash, r.finished_at DESC",
    )
    .bind(wanted.iter().map(|w| w.image_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|w| w.model.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|w| w.params_hash.as_slice()).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}
