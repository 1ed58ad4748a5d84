//! What happened to images: from the live jobs, the newest ended job and the newest success per model. The
//! archive is never probed by MD5.

use std::collections::HashMap;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::row::{job_status, md5};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobView, ResultView, Success};

/// An image's status and who may see it.
#[derive(Debug, Clone, Default)]
pub struct VisibleStatus {
    pub status: ImageStatus,
    /// Accounts with a title, at most [`TITLES_MAX`] and those who ask, as far as they have one.
    pub accounts: Vec<Uuid>,
}

/// How many titles of one image are carried to the mirror.
pub const TITLES_MAX: i64 = 100;

/// Reads the status of every stored image among these keys, with the results if asked; `asking` are the accounts that ask
/// for some of them.
pub async fn load(
    db: &mut PgConnection,
    keys: &[ContentMd5],
    asking: &[(ContentMd5, Uuid)],
    results: bool,
) -> sqlx::Result<HashMap<ContentMd5, VisibleStatus>> {
    let mut by_id: HashMap<i64, (ContentMd5, VisibleStatus)> = HashMap::new();
    // LIMIT stands below DISTINCT, or the planner may walk over all titles in order of their accounts.
    let rows = sqlx::query(
        "SELECT i.id, i.md5,
                ARRAY(SELECT DISTINCT t.account_id FROM (SELECT u.account_id FROM upload AS u WHERE u.image_id = i.id LIMIT $2) AS t)
                  AS accounts
         FROM image AS i WHERE i.md5 = ANY($1)",
    )
    .bind(keys.iter().map(|key| key.0.to_vec()).collect::<Vec<_>>())
    .bind(TITLES_MAX)
    .fetch_all(&mut *db)
    .await?;
    for row in &rows {
        let seen = VisibleStatus { accounts: row.try_get("accounts")?, ..VisibleStatus::default() };
        by_id.insert(row.try_get("id")?, (md5(row, "md5")?, seen));
    }
    read_titles(db, asking, &mut by_id).await?;
    let ids: Vec<i64> = by_id.keys().copied().collect();
    read_jobs(db, &ids, &mut by_id).await?;
    if results {
        read_results(db, &ids, &mut by_id).await?;
    }
    Ok(by_id.into_values().collect())
}

type ById = HashMap<i64, (ContentMd5, VisibleStatus)>;

/// Adds those who ask to the accounts, as far as they have a title.
async fn read_titles(db: &mut PgConnection, asking: &[(ContentMd5, Uuid)], by_id: &mut ById) -> sqlx::Result<()> {
    let rows: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT i.id, a.account_id
         FROM (SELECT * FROM unnest($1::bytea[], $2::uuid[]) AS a (md5, account_id) LIMIT $3) AS a JOIN image AS i ON i.md5 = a.md5
         WHERE EXISTS (SELECT FROM upload AS u WHERE u.account_id = a.account_id AND u.image_id = i.id)",
    )
    .bind(asking.iter().map(|(md5, _)| md5.0.to_vec()).collect::<Vec<_>>())
    .bind(asking.iter().map(|(_, account)| *account).collect::<Vec<_>>())
    .bind(asking.len() as i64)
    .fetch_all(db)
    .await?;
    for (image, account) in rows {
        if let Some((_, seen)) = by_id.get_mut(&image).filter(|(_, seen)| !seen.accounts.contains(&account)) {
            seen.accounts.push(account);
        }
    }
    Ok(())
}

async fn read_jobs(db: &mut PgConnection, ids: &[i64], by_id: &mut ById) -> sqlx::Result<()> {
    let rows = sqlx::query(
        "SELECT j.id, j.image_id, j.model, j.state::text AS state, NULL::text AS reason, j.attempt, m.max_attempts, j.event_id,
                j.created_at, j.started_at, CASE WHEN j.state = 'queued' THEN j.run_at END AS run_at, NULL::timestamptz AS finished_at,
                NULL::text AS error_type, NULL::text AS error_message,
                (SELECT (h ->> 'progress')::float8 FROM jsonb_array_elements(s.holds) AS h
                 WHERE h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1) AS progress
         FROM job AS j JOIN model AS m ON m.name = j.model LEFT JOIN worker_session AS s ON s.id = j.session_id
         WHERE j.image_id = ANY($1)
         UNION ALL
         SELECT i.job_id, i.image_id, i.model, i.state::text, i.reason::text, i.attempt, m.max_attempts, i.event_id,
                i.created_at, i.started_at, NULL, i.finished_at, i.error ->> 'type', i.error ->> 'message', NULL
         FROM image_model AS i JOIN model AS m ON m.name = i.model
         WHERE i.image_id = ANY($1)
         ORDER BY 1",
    )
    .bind(ids)
    .fetch_all(db)
    .await?;
    for row in &rows {
        // In order of id, so that the newest job of a model stays.
        if let Some((_, seen)) = by_id.get_mut(&row.try_get::<i64, _>("image_id")?) {
            seen.status.jobs.insert(row.try_get("model")?, JobView::new(&job_status(row)?).map_err(unwritten)?);
        }
    }
    Ok(())
}

async fn read_results(db: &mut PgConnection, ids: &[i64], by_id: &mut ById) -> sqlx::Result<()> {
    let rows = sqlx::query(
        "SELECT i.image_id, i.model, r.version, r.job_id, r.finished_at, r.document
         FROM image_model AS i
         JOIN result AS r ON r.image_id = i.image_id AND r.model = i.model AND r.params_hash = i.success_params_hash
                         AND r.version = i.success_version
         WHERE i.image_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(db)
    .await?;
    for row in &rows {
        if let Some((_, seen)) = by_id.get_mut(&row.try_get::<i64, _>("image_id")?) {
            let success = Success {
                version: row.try_get("version")?,
                job: row.try_get("job_id")?,
                finished_at: row.try_get("finished_at")?,
                document: row.try_get::<sqlx::types::Json<_>, _>("document")?.0,
            };
            seen.status.results.insert(row.try_get("model")?, ResultView::new(&success).map_err(unwritten)?);
        }
    }
    Ok(())
}

fn unwritten(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
