//! The limit: the rows that a job leaves on its way, written by plain SQL in large batches, without HTTP, users, keys,
//! Redis, validation, or any of the checks that make the protocol safe. The statements are `sql/raw_*.sql`.

use std::time::Instant;

use futures_util::future::try_join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::installation::{DOCUMENT, Installation, MODELS};
use crate::sample::Done;

pub const NAME: &str = "raw SQL of the same rows, in thousands";
pub const LEAVES_OUT: &str = "everything but the rows: HTTP, users, keys, validation, single flight, cache, locks in order, \
                              fences, Redis, look-ups";
const BATCH: usize = 1_000;

/// Enqueues, claims and completes `jobs` jobs, a connection for each model.
pub async fn run(on: &Installation, jobs: usize) -> anyhow::Result<Done> {
    let images = on.add_images(jobs / MODELS.len()).await?;
    let mut connections = Vec::new();
    for model in MODELS {
        let mut db = on.pool.acquire().await?;
        let session = include_str!("sql/raw_session.sql");
        let session: Uuid = sqlx::query_scalar(session).bind(&on.key_id).bind(model).fetch_one(&mut *db).await?;
        connections.push((db, model, session));
    }
    let started = Instant::now();
    let images = &images;
    try_join_all(connections.into_iter().map(|(mut db, model, session)| async move {
        for images in images.chunks(BATCH) {
            lifecycle(&mut db, on.account, session, model, images).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(Done { jobs: images.len() * MODELS.len(), took: started.elapsed() })
}

/// Three transactions: the jobs are made, claimed and completed.
async fn lifecycle(
    db: &mut PgConnection,
    account: Uuid,
    session: Uuid,
    model: &str,
    images: &[i64],
) -> anyhow::Result<()> {
    let enqueue = sqlx::query(include_str!("sql/raw_enqueue.sql")).bind(account).bind(model).bind(images);
    enqueue.execute(&mut *db).await?;
    let claim = sqlx::query_as(include_str!("sql/raw_claim.sql")).bind(session).bind(model);
    let held: Vec<(Uuid, i64)> = claim.bind(i64::try_from(images.len())?).fetch_all(&mut *db).await?;
    anyhow::ensure!(held.len() == images.len(), "{} of {} were claimed", held.len(), images.len());
    let (ids, leases): (Vec<Uuid>, Vec<i64>) = held.into_iter().unzip();
    let complete = sqlx::query(include_str!("sql/raw_complete.sql")).bind(session).bind(ids).bind(leases);
    complete.bind(vec![DOCUMENT; images.len()]).execute(&mut *db).await?;
    Ok(())
}
