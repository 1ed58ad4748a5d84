//! How jobs come to be: attached to, answered from the cache, or made. `work` has every way on from there.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgConnection, Postgres};
use uuid::Uuid;

use super::place::AskedPlace;
use crate::domain::job::JobState;

/// One (image, model, params) that a submission wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromRow)]
pub struct Wanted {
    pub image_id: i64,
    pub queue_id: i32,
    pub params_id: i64,
}

/// How urgent, how late and how long: the same for all jobs of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    pub priority: i16,
    /// Not before; now when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// Seconds after `run_at` at which a queued job expires.
    pub finish_within_s: f64,
}

/// A job that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub wanted: Wanted,
    pub terms: Terms,
    pub submission: Uuid,
    pub account: Uuid,
    /// The ended job that it tries again.
    pub retry_of: Option<Uuid>,
    /// A success answers it as well.
    pub takes_result: bool,
}

/// A live job that was attached to.
#[derive(Debug, Clone, FromRow)]
pub struct Attached {
    /// Which wish it fulfils.
    #[sqlx(try_from = "i64")]
    pub place: AskedPlace,
    pub id: Uuid,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    pub version: i32,
    pub rank: i64,
    pub due: bool,
    pub suspect: bool,
}

/// Attaches to the live jobs among the wishes, which are free of repeats, and locks them: attaching only makes a job sooner,
/// more urgent and longer-lived. A job that waits out a back-off, after a failure or a death, keeps it.
pub async fn attach(db: &mut PgConnection, wishes: &[Wish]) -> sqlx::Result<Vec<Attached>> {
    let all: Vec<usize> = (0..wishes.len()).collect();
    let (mut attached, missed) = attach_some(db, wishes, &all).await?;
    if !missed.is_empty() {
        // They are locked by now, so that nothing moves them again.
        attached.extend(attach_some(db, wishes, &missed).await?.0);
    }
    Ok(attached)
}

/// Attaches to the live jobs among the wishes in these places; answers too the places of those that were moved while their locks
/// were waited for, which are locked and nothing else.
async fn attach_some(
    db: &mut PgConnection,
    wishes: &[Wish],
    places: &[usize],
) -> sqlx::Result<(Vec<Attached>, Vec<usize>)> {
    #[derive(FromRow)]
    struct MaybeAttached {
        #[sqlx(flatten)]
        job: Attached,
        missed: bool,
    }
    let some = || places.iter().map(|place| &wishes[*place]);
    let found: Vec<MaybeAttached> = sqlx::query_as(include_str!("sql/submit/attach.sql"))
        .bind(some().map(|wish| wish.wanted.image_id).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.wanted.queue_id).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.wanted.params_id).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.terms.priority).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.terms.run_at).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.terms.finish_within_s).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.submission).collect::<Vec<_>>())
        .bind(some().map(|wish| wish.account).collect::<Vec<_>>())
        .bind(places.len() as i64)
        .fetch_all(db)
        .await?;
    let (mut attached, mut missed) = (Vec::new(), Vec::new());
    for MaybeAttached { mut job, missed: is_missed } in found {
        job.place = AskedPlace(places[job.place.0]);
        if is_missed { missed.push(job.place.0) } else { attached.push(job) }
    }
    Ok((attached, missed))
}

/// A job whose success answers what is wanted.
#[derive(Debug, Clone, FromRow)]
pub struct CachedJob {
    /// Which of the wanted.
    #[sqlx(try_from = "i64")]
    pub place: AskedPlace,
    pub job_id: Uuid,
}

/// Those of the wanted that a cached success answers: of a version that a live worker serves or, none
/// being live, the last one seen.
pub async fn cached(db: &mut PgConnection, wanted: &[Wanted]) -> sqlx::Result<Vec<CachedJob>> {
    sqlx::query_as(include_str!("sql/submit/cached.sql"))
        .bind(wanted.iter().map(|w| w.image_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.queue_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.params_id).collect::<Vec<_>>())
        .bind(wanted.len() as i64)
        .fetch_all(db)
        .await
}

/// A job that was made.
#[derive(Debug, Clone, FromRow)]
pub struct Made {
    /// Which wish it fulfils.
    #[sqlx(try_from = "i64")]
    pub place: AskedPlace,
    pub id: Uuid,
    pub rank: i64,
    pub due: bool,
}

/// Makes a job for every wish, which are sorted and free of repeats, and the request that waits for it; none where a success
/// answers the wish that came since [`cached`] was asked.
///
/// # Errors
/// Breaks `job_single_flight` when another submission has made one of them since [`attach`]: start again.
pub async fn insert(db: &mut PgConnection, wishes: &[Wish]) -> sqlx::Result<Vec<Made>> {
    let takes_result: Vec<_> = wishes.iter().map(|wish| wish.takes_result).collect();
    of_wishes(include_str!("sql/submit/insert.sql"), wishes).bind(takes_result).fetch_all(db).await
}

/// A job that was made or attached to; see [`insert_or_attach`].
#[derive(Debug, Clone, FromRow)]
pub struct MadeOrFound {
    #[sqlx(flatten)]
    pub job: Attached,
    pub created: bool,
}

/// The careful way, after [`insert`] met another submission: makes a job for every wish or attaches to the one that is live by
/// now, and writes the requests that wait for them.
pub async fn insert_or_attach(db: &mut PgConnection, wishes: &[Wish]) -> sqlx::Result<Vec<MadeOrFound>> {
    of_wishes(include_str!("sql/submit/insert_or_attach.sql"), wishes).fetch_all(db).await
}

/// A statement over wishes, each of whose fields is an array of it, and their number.
fn of_wishes<T: for<'r> FromRow<'r, PgRow>>(
    sql: &'static str,
    wishes: &[Wish],
) -> QueryAs<'static, Postgres, T, PgArguments> {
    sqlx::query_as(sql)
        .bind(wishes.iter().map(|wish| wish.wanted.image_id).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.wanted.queue_id).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.wanted.params_id).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.terms.priority).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.terms.run_at).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.terms.finish_within_s).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.submission).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.account).collect::<Vec<_>>())
        .bind(wishes.iter().map(|wish| wish.retry_of).collect::<Vec<_>>())
        .bind(wishes.len() as i64)
}
