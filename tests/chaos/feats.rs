//! The faults that take some doing: a kill in a gap, the collector's race, a fast clock, a full disk.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::DateTime;
use darkroom::maintenance;
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::{Body, Form};
use crate::images::photo;
use crate::injure::PATIENCE;
use crate::producer::own_images;
use crate::site::{MODELS, PROXIED, REPLICAS, Site};
use crate::{now_s, watch};

/// How often a kill between COMMIT and the mirror is tried.
const GAP_TRIES: usize = 12;
/// What the collector is told: its own age in the server.
const BLOB_AGE: Duration = Duration::from_secs(24 * 3600);

/// Makes Redis unreachable for one replica and kills it while it waits for it; reached when what it had to say to
/// Redis tells of an event that is committed and newer than that.
pub async fn before_mirror(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    for _ in 0..GAP_TRIES {
        site.until_alive(PROXIED).await?;
        // It must have found Redis again, and work.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // The watcher's images, too, are to be under way when it dies.
        watch::stir(site, (PROXIED + 1) % REPLICAS).await?;
        let since = now_s();
        site.doors.redis.hold();
        tokio::time::sleep(Duration::from_millis(dice.random_range(80..250))).await;
        site.replicas[PROXIED].part.kill().await;
        let unsaid = site.doors.redis.release();
        let mut db = site.sql().await?;
        let committed: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM job_event WHERE id = ANY($1) AND at > to_timestamp($2) AND session_id IS NOT NULL",
        )
        .bind(events_in(&unsaid))
        .bind(since)
        .fetch_one(&mut db)
        .await?;
        if committed > 0 {
            site.until_alive(PROXIED).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The events in changes to the mirror, which begin with the job's id and the event's.
fn events_in(bytes: &[u8]) -> Vec<i64> {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split([' ', '\r', '\n']).collect();
    let is_event = |pair: &[&str]| Uuid::parse_str(pair[0]).ok().and(pair[1].parse().ok());
    words.windows(2).filter_map(is_event).collect()
}

/// Uploads the same bytes again and again, beside orphans of the same bytes, while the collector removes those.
pub async fn collector(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    let images = own_images(site.settings.seed, 6);
    let data = site.scratch.join("data/images");
    let (start, mut collected, mut uploaded) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(3) {
        for (_, bytes) in &images {
            let folder = data.join(hex::encode(Sha256::digest(bytes)));
            std::fs::create_dir_all(&folder)?;
            let orphan = std::fs::File::create(folder.join(Uuid::new_v4().to_string()))?;
            orphan.set_modified(std::time::SystemTime::now() - 2 * BLOB_AGE)?;
        }
        let form = images.iter().fold(Form::new().text("models", MODELS[0]), |f, (md5, bytes)| f.image(md5, bytes));
        let body = Body::Form(form);
        let at = dice.random_range(0..site.replicas.len());
        let ctx = &site.collector.ctx;
        let (removed, answer) = tokio::join!(
            maintenance::collect_blobs(ctx, BLOB_AGE),
            site.api.ask(at, Method::POST, "/predict", &body, PATIENCE)
        );
        collected += removed.unwrap_or(0);
        if let Ok((202, answer)) = answer {
            uploaded += 1;
            site.ledger.lock().await.accepted(&answer)?;
            for (md5, bytes) in &images {
                let path = format!("/images/{md5}/content");
                let read = site.api.bytes(at, Method::GET, &path, &Body::Nothing, PATIENCE).await;
                if let Ok((status @ (200 | 404 | 500), read)) = read
                    && (status != 200 || read != *bytes)
                {
                    site.contradiction(format!("{path} answered {status} with {} bytes", read.len()));
                }
            }
        }
    }
    Ok(collected > 0 && uploaded > 0)
}

/// Starts a replica with a clock that is a day fast, lets it serve while others take uploads, and starts it again
/// with the right one.
pub async fn clock(site: &Site, at: usize, how_long: Duration) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    replica.part.set("FAULTS_CLOCK_S", Some("86400"));
    replica.part.kill().await;
    let fast = async {
        site.until_alive(at).await?;
        let answer = reqwest::get(format!("{}/health/live", replica.base)).await?;
        let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).context("no date")?;
        let ahead = DateTime::parse_from_rfc2822(date)?.timestamp() as f64 - now_s();
        tokio::time::sleep(how_long).await;
        anyhow::Ok(ahead > 86_000.0)
    };
    // Fresh bytes elsewhere must not look old to it.
    let (one, other) = ((at + 1) % REPLICAS, (at + 2) % REPLICAS);
    let uploads =
        async { tokio::try_join!(upload(site, one), upload(site, one), upload(site, other), upload(site, other)) };
    let reached = tokio::select! {
        reached = fast => reached,
        failed = uploads => failed.map(|_| false),
    };
    replica.part.set("FAULTS_CLOCK_S", None);
    replica.part.kill().await;
    site.until_alive(at).await?;
    reached
}

/// Uploads new images, without end.
async fn upload(site: &Site, at: usize) -> anyhow::Result<()> {
    loop {
        let form = Form::new().text("models", MODELS[0]);
        let form = (0..8).fold(form, |form, n| form.image(&format!("{n}.png"), &photo(rand::random())));
        match site.api.ask(at, Method::POST, "/predict", &Body::Form(form), PATIENCE).await {
            Ok((202, answer)) => drop(site.ledger.lock().await.accepted(&answer)?),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Leaves a replica no room for bytes; reached when it says so.
pub async fn disk_full(site: &Site, at: usize, mut dice: StdRng) -> anyhow::Result<bool> {
    // In place: the replica keeps the file open.
    let tell = |word: &[u8]| -> anyhow::Result<()> {
        use std::os::unix::fs::FileExt;
        std::fs::File::options().write(true).open(&site.replicas[at].control)?.write_all_at(word, 0)?;
        Ok(())
    };
    tell(b"full")?;
    let start = Instant::now();
    let mut refused = false;
    while start.elapsed() < Duration::from_secs(3) {
        let form = Form::new().text("models", MODELS[0]).image("a.png", &photo(dice.random()));
        let answer = site.api.ask(at, Method::POST, "/predict", &Body::Form(form), PATIENCE).await;
        refused |= answer.is_ok_and(|(status, _)| status == 507);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tell(b"    ")?;
    Ok(refused)
}
