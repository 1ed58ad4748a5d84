//! Jobs locked for a decision, with all that decides.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::Holder;
use crate::domain::job::JobState;
use crate::domain::ruling::Facts;
use crate::domain::words::words;
use crate::store::place::AskedPlace;

/// A locked live job.
#[derive(Debug, Clone, FromRow)]
pub struct Held {
    pub id: Uuid,
    /// Nothing of a run.
    pub image_id: Option<i64>,
    pub queue_id: i32,
    pub lease_no: i32,
    pub version: i32,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    pub session_id: Option<Uuid>,
    /// The version that its session serves; 0 where that does not matter.
    pub version_id: i32,
    #[sqlx(flatten)]
    pub facts: Facts,
    /// The database's clock when it was locked.
    pub at: DateTime<Utc>,
}

/// A lease, named by who claims to hold it.
#[derive(Debug, Clone)]
pub struct Lease<'a> {
    pub holder: &'a Holder,
    pub id: Uuid,
    pub lease_no: i32,
}

/// Locks those of the named leases that are really held, of which none is named twice; answers each with its place among them.
pub async fn hold_leases(db: &mut PgConnection, leases: &[Lease<'_>]) -> sqlx::Result<Vec<(usize, Held)>> {
    #[derive(FromRow)]
    struct HeldLease {
        #[sqlx(try_from = "i64")]
        place: AskedPlace,
        #[sqlx(flatten)]
        held: Held,
    }
    let rows: Vec<HeldLease> = sqlx::query_as(include_str!("../sql/work/hold_leases.sql"))
        .bind(leases.iter().map(|lease| lease.id).collect::<Vec<_>>())
        .bind(leases.iter().map(|lease| lease.holder.session).collect::<Vec<_>>())
        .bind(leases.iter().map(|lease| lease.holder.key.as_str()).collect::<Vec<_>>())
        .bind(leases.iter().map(|lease| lease.lease_no).collect::<Vec<_>>())
        .bind(leases.len() as i64)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.place.0, row.held)).collect())
}

/// Locks those of these jobs that live, running ones too.
pub async fn hold_jobs(db: &mut PgConnection, jobs: &[Uuid]) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(include_str!("../sql/work/hold_jobs.sql")).bind(jobs).fetch_all(db).await
}

/// Locks queued jobs past `finish_by`: of these, which the sweep has seen, and at most `limit` short-lived ones.
pub async fn hold_late(db: &mut PgConnection, seen: &[Uuid], limit: i64) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(include_str!("../sql/work/hold_late.sql")).bind(seen).bind(limit).fetch_all(db).await
}

/// Locks at most `limit` queued jobs of models that are retired; `scheduled`: also those whose time has not come.
pub async fn hold_retired(db: &mut PgConnection, limit: i64, scheduled: bool) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(include_str!("../sql/work/hold_retired.sql")).bind(limit).bind(scheduled).fetch_all(db).await
}

/// Locks what a live session runs by our books but did not list, one lease after it was handed out.
pub async fn hold_unlisted(
    db: &mut PgConnection,
    session: Uuid,
    listed: &[(Uuid, i32)],
    lease_s: f64,
) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(include_str!("../sql/work/hold_unlisted.sql"))
        .bind(session)
        .bind(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(listed.iter().map(|(_, lease_no)| *lease_no).collect::<Vec<_>>())
        .bind(lease_s)
        .fetch_all(db)
        .await
}

/// Locks at most `limit` running jobs whose session is over or missing, or whose attempt is past its deadline.
pub async fn lock_orphans(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(include_str!("../sql/work/lock_orphans.sql")).bind(limit).fetch_all(db).await
}

/// Why a running job is taken from its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its session said good-bye.
    Released,
    /// Its session died.
    Lost,
    /// Its attempt took too long.
    Deadline,
}

words!(Cause { Released "released", Lost "lost", Deadline "deadline" });

/// Those of the locked jobs that are still orphaned or overdue, and why.
pub async fn hold_orphans(db: &mut PgConnection, locked: &[Uuid]) -> sqlx::Result<Vec<(Held, Cause)>> {
    #[derive(FromRow)]
    struct Orphan {
        #[sqlx(flatten)]
        held: Held,
        #[sqlx(try_from = "String")]
        cause: Cause,
    }
    let rows: Vec<Orphan> =
        sqlx::query_as(include_str!("../sql/work/hold_orphans.sql")).bind(locked).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.held, row.cause)).collect())
}
