//! How fast it is to ask what happened to an image, beside the bare route that asks nothing of anybody.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use futures_util::future::try_join_all;
use rand::Rng;
use uuid::Uuid;

use crate::costs::Parties;
use crate::installation::{DOCUMENT, Installation, Server, bearer, md5, token};
use crate::report::{Outcome, Row, median, percentile};
use crate::sample::{Done, Side};
use crate::site::Site;
use crate::wire::Wire;

const IMAGES: usize = 100_000;
const USERS: i64 = 1_000;
const CONNECTIONS: usize = 32;
/// Of one turn.
const SAMPLE: Duration = Duration::from_secs(3);
const RATE_AT_LEAST: f64 = 0.65;
const P99_AT_MOST: f64 = 2.0;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "lookup").await?;
    let images = on.add_images(site.scaled(IMAGES)).await?;
    let users = seed(&on).await?;
    let server = on.serve(site).await?;
    let (started, count) = (Instant::now(), images.len());
    warm_up(&server, &users, &images).await?;
    println!("    {count} images were looked up once in {:.0} s", started.elapsed().as_secs_f64());

    let random = || {
        let image = images[rand::rng().random_range(0..count)];
        (format!("/predict/{}", md5(image)), Some(owner(&users, image)))
    };
    let nothing = || ("/health/live".to_owned(), None);
    let (mut ours, mut bare) = (Side::new("look-ups"), Side::new("GET /health/live"));
    let (mut our_p99_ms, mut bare_p99_ms) = (Vec::new(), Vec::new());
    for _ in site.turns() {
        let parties = Parties::ours(site, &[&server])?;
        ours.turn(site, parties, &on.name, sample(&server, random, &mut our_p99_ms)).await?;
        let parties = Parties::ours(site, &[&server])?;
        bare.turn(site, parties, &on.name, sample(&server, nothing, &mut bare_p99_ms)).await?;
    }
    let what = "GET /predict/{md5} with results, 100,000 images of 1,000 users at random, 32 connections";
    let p99 = Row::new("the same, 99th percentile", "ms", median(&our_p99_ms));
    let rows = vec![
        Row::new(what, "requests/s", ours.rate()).against(&bare.name, bare.rate()).at_least(RATE_AT_LEAST),
        p99.against(&bare.name, median(&bare_p99_ms)).at_most(P99_AT_MOST),
    ];
    let outcome = Outcome::new(rows, &[&ours, &bare]);
    drop(server);
    on.remove(site).await?;
    Ok(outcome)
}

/// Gives each image to one of the users, with two finished jobs and their results.
async fn seed(on: &Installation) -> anyhow::Result<Vec<HeaderValue>> {
    let users: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/users.sql")).bind(USERS).fetch_all(&on.pool).await?;
    sqlx::query(include_str!("sql/owners.sql")).bind(&users).execute(&on.pool).await?;
    sqlx::query(include_str!("sql/params.sql")).execute(&on.pool).await?;
    sqlx::query(include_str!("sql/outcomes.sql")).bind(DOCUMENT).execute(&on.pool).await?;
    sqlx::query("VACUUM ANALYZE").execute(&on.pool).await?;
    users.into_iter().map(|id| bearer(&token(id)?)).collect()
}

fn owner(users: &[HeaderValue], image: i64) -> HeaderValue {
    users[usize::try_from(image % USERS).unwrap_or_default()].clone()
}

/// Asks once for every image, as a day of use would.
async fn warm_up(server: &Server, users: &[HeaderValue], images: &[i64]) -> anyhow::Result<()> {
    try_join_all(images.chunks(images.len().div_ceil(CONNECTIONS)).map(|images| async move {
        let mut wire = Wire::open(&server.address).await?;
        for image in images {
            wire.get(&format!("/predict/{}", md5(*image)), Some(&owner(users, *image))).await?;
        }
        Ok(())
    }))
    .await
    .map(drop)
}

/// Asks for a while on every connection, and notes the 99th percentile.
async fn sample(
    server: &Server,
    request: impl Fn() -> (String, Option<HeaderValue>),
    p99_ms: &mut Vec<f64>,
) -> anyhow::Result<Done> {
    let started = Instant::now();
    let request = &request;
    let took_ms = try_join_all((0..CONNECTIONS).map(|_| async move {
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
    let took = started.elapsed();
    p99_ms.push(percentile(&took_ms, 0.99));
    Ok(Done { jobs: took_ms.len(), took })
}
