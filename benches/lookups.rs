//! How fast it is to ask what happened to an image.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use futures_util::future::try_join_all;
use rand::Rng;
use sqlx::PgPool;
use uuid::Uuid;

use crate::lifecycle::DOCUMENT;
use crate::report::{Row, Target, median, percentile};
use crate::site::{Server, Site, bearer, md5, token};
use crate::wire::Wire;

const IMAGES: i64 = 100_000;
const USERS: i64 = 1_000;
const CONNECTIONS: usize = 32;
/// Samples of each side, taken in turns.
const ROUNDS: usize = 3;
const SAMPLE: Duration = Duration::from_secs(4);

/// Look-ups of random images by their users, against the bare route that asks nothing of anybody.
pub async fn lookups(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("c").await?;
    on.add_images(IMAGES).await?;
    let users = seed(&on.pool).await?;
    let server = site.serve(&on).await?;
    let started = Instant::now();
    warm_up(&server, &users).await?;
    println!("    {IMAGES} images were looked up once in {:.0} s", started.elapsed().as_secs_f64());
    let (mut ours, mut bare) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let random = || {
            let image = rand::rng().random_range(1..=IMAGES);
            (format!("/predict/{}", md5(image)), Some(owner(&users, image)))
        };
        for (to, (rate, p99_ms)) in [
            (&mut ours, sample(&server, random).await?),
            (&mut bare, sample(&server, || ("/health/live".to_owned(), None)).await?),
        ] {
            to[0].push(rate);
            to[1].push(p99_ms);
        }
    }
    let what = "GET /predict/{md5} with results, 100,000 images of 1,000 users at random, 32 connections";
    let live = "GET /health/live";
    Ok(vec![
        Row::ratio("c", what, "requests/s", median(&ours[0]), (live, median(&bare[0])), Target::AtLeast(0.6)),
        Row::ratio(
            "c",
            "the same, 99th percentile",
            "ms",
            median(&ours[1]),
            (live, median(&bare[1])),
            Target::AtMost(3.0),
        ),
    ])
}

/// Gives each image to one of the users, with two finished jobs and their results.
async fn seed(pool: &PgPool) -> anyhow::Result<Vec<HeaderValue>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO account (name, password_hash, roles)
         SELECT 'user' || n, 'no password', '{investigator}' FROM generate_series(1, $1) AS n RETURNING id",
    )
    .bind(USERS)
    .fetch_all(pool)
    .await?;
    sqlx::query("UPDATE upload SET account_id = ($1::uuid[])[1 + image_id % $2]")
        .bind(&ids)
        .bind(USERS)
        .execute(pool)
        .await?;
    sqlx::query("INSERT INTO params (hash, body) VALUES (sha256('{}'), '{}')").execute(pool).await?;
    sqlx::query(
        "WITH ended AS (
           SELECT i.id AS image_id, m.model, uuid_v7() AS job_id, clock_timestamp() AS at
           FROM image AS i CROSS JOIN (VALUES ('faces'), ('ocr')) AS m (model)
         ), kept AS (
           INSERT INTO result (image_id, model, params_hash, version, job_id, document, finished_at)
           SELECT image_id, model, sha256('{}'), 'v1', job_id, $1::jsonb, at FROM ended
         )
         INSERT INTO image_model (image_id, model, job_id, state, attempt, event_id, created_at, started_at, finished_at,
                success_job, success_params_hash, success_version)
         SELECT image_id, model, job_id, 'succeeded', 1, nextval('job_event_id'), at, at, at, job_id, sha256('{}'), 'v1' FROM ended",
    )
    .bind(DOCUMENT)
    .execute(pool)
    .await?;
    ids.into_iter().map(|id| bearer(&token(id)?)).collect()
}

fn owner(users: &[HeaderValue], image: i64) -> HeaderValue {
    users[usize::try_from(image % USERS).unwrap_or_default()].clone()
}

/// Asks once for every image, as a day of use would.
async fn warm_up(server: &Server, users: &[HeaderValue]) -> anyhow::Result<()> {
    let share = |number: usize| (1..=IMAGES).skip(number).step_by(CONNECTIONS);
    try_join_all((0..CONNECTIONS).map(|number| async move {
        let mut wire = Wire::open(&server.address).await?;
        for image in share(number) {
            wire.get(&format!("/predict/{}", md5(image)), Some(&owner(users, image))).await?;
        }
        Ok(())
    }))
    .await
    .map(drop)
}

/// Asks for a while on every connection; answers requests per second and the 99th percentile in milliseconds.
async fn sample(server: &Server, request: impl Fn() -> (String, Option<HeaderValue>)) -> anyhow::Result<(f64, f64)> {
    let started = Instant::now();
    let request = &request;
    let took = try_join_all((0..CONNECTIONS).map(|_| async move {
        let mut wire = Wire::open(&server.address).await?;
        let mut took_ms = Vec::new();
        while started.elapsed() < SAMPLE {
            let (path, caller) = request();
            let asked = Instant::now();
            wire.get(&path, caller.as_ref()).await?;
            took_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(took_ms)
    }))
    .await?
    .concat();
    Ok((took.len() as f64 / started.elapsed().as_secs_f64(), percentile(&took, 0.99)))
}
