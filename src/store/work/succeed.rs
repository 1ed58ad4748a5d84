//! Successes: what most completions are.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Holder, Moved};
use crate::domain::job::JobState;
use crate::store::place::AskedPlace;

/// A result for a leased job.
#[derive(Debug, Clone)]
pub struct LeasedResult<'a> {
    pub holder: &'a Holder,
    pub id: Uuid,
    pub lease_no: i32,
    /// The normalised result as JSON text.
    pub document: &'a str,
    /// How long the model worked, in seconds, as the worker says.
    pub duration_s: Option<f32>,
}

/// A job that succeeded.
#[derive(Debug, Clone)]
pub struct Succeeded {
    /// Its place among the successes as they are sorted.
    pub place: AskedPlace,
    pub moved: Moved,
    /// The version of its model that its session serves.
    pub version_id: i32,
    /// Its session is to be prolonged: nothing was heard of it for a while.
    pub overdue: bool,
}

#[derive(FromRow)]
struct SucceededRow {
    #[sqlx(try_from = "i64")]
    place: AskedPlace,
    id: Uuid,
    image_id: i64,
    queue_id: i32,
    lease_no: i32,
    version: i32,
    version_id: i32,
    session_id: Uuid,
    overdue: bool,
}

/// Ends the jobs whose leases these sessions hold with their results; passes over suspects, and over what is not held. No
/// lease is named twice. Sorts them by id. Sessions that would live less than `overdue_s` seconds are overdue.
pub async fn succeed(
    db: &mut PgConnection,
    successes: &mut [LeasedResult<'_>],
    overdue_s: f64,
) -> sqlx::Result<Vec<Succeeded>> {
    successes.sort_unstable_by_key(|success| success.id);
    let rows: Vec<SucceededRow> = sqlx::query_as(include_str!("../sql/work/succeed.sql"))
        .bind(successes.iter().map(|s| s.id).collect::<Vec<_>>())
        .bind(successes.iter().map(|s| s.holder.session).collect::<Vec<_>>())
        .bind(successes.iter().map(|s| s.holder.key.as_str()).collect::<Vec<_>>())
        .bind(successes.iter().map(|s| s.lease_no).collect::<Vec<_>>())
        .bind(successes.iter().map(|s| s.document).collect::<Vec<_>>())
        .bind(successes.iter().map(|s| s.duration_s).collect::<Vec<_>>())
        .bind(successes.len() as i64)
        .bind(overdue_s)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(Succeeded::from).collect())
}

impl From<SucceededRow> for Succeeded {
    fn from(row: SucceededRow) -> Self {
        let moved = Moved {
            id: row.id,
            image_id: Some(row.image_id),
            queue_id: row.queue_id,
            lease_no: row.lease_no,
            session: Some(row.session_id),
            version: row.version,
            state: JobState::Succeeded,
            reason: None,
            rank: 0,
            due: false,
            suspect: false,
        };
        Self { place: row.place, moved, version_id: row.version_id, overdue: row.overdue }
    }
}
