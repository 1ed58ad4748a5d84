//! Replicas end in every way, all of them go away, and one's clock is wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use chrono::DateTime;
use reqwest::Method;

use super::{Hold, PATIENCE};
use crate::cast::api::{Body, photo_form};
use crate::kit::faults;
use crate::kit::images::photo;
use crate::kit::wait::holds_within;
use crate::now_s;
use crate::site::{MODELS, REPLICAS, Site};

pub async fn kill(site: &Site, at: usize) -> anyhow::Result<()> {
    site.replicas[at].part.kill().await;
    site.until_alive(at).await
}

/// Asks one replica after another to stop, and waits until it has done so by itself and its successor answers.
pub async fn rolling(site: &Site) -> anyhow::Result<()> {
    for (at, replica) in site.replicas.iter().enumerate() {
        let lives = replica.part.lives.load(Ordering::Relaxed);
        replica.part.signal("TERM").await;
        let stopped = holds_within(PATIENCE, async || replica.part.lives.load(Ordering::Relaxed) != lives).await;
        anyhow::ensure!(stopped, "{} does not stop", replica.part.name);
        site.until_alive(at).await?;
    }
    Ok(())
}

/// Takes the service away for longer than a lease, by PostgreSQL or by every replica.
pub async fn outage(site: &Site, hold: &mut Hold, by_database: bool) -> anyhow::Result<()> {
    let longer = Duration::from_secs_f64(site.settings.lease_s + 2.0 * site.settings.rescue_s() + 1.0);
    if by_database {
        return super::postgres::fall(hold.database()?, "INT", longer).await;
    }
    for replica in &site.replicas {
        replica.part.signal("STOP").await;
    }
    tokio::time::sleep(longer).await;
    for replica in &site.replicas {
        replica.part.signal("CONT").await;
    }
    Ok(())
}

/// Starts a replica with a clock that is a day fast, lets it serve while others take uploads, and starts it again
/// with the right one.
pub async fn fast_clock(site: &Site, at: usize, how_long: Duration) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    replica.part.set("FAULTS_CLOCK_S", Some("86400"));
    replica.part.kill().await;
    let fast = async {
        site.until_alive(at).await?;
        let ahead = ahead_s(&replica.base).await?;
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
    kill(site, at).await?;
    reached
}

/// Lets a replica's clock jump a day ahead while it serves, and back.
pub async fn jump_clock(site: &Site, at: usize, how_long: Duration) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    faults::tell(&replica.control, "ahead 86400")?;
    tokio::time::sleep(how_long).await;
    let ahead = ahead_s(&replica.base).await;
    faults::tell(&replica.control, "")?;
    // That it is back does not show here: the server keeps the date of an answer until its clock is past it.
    Ok(ahead? > 86_000.0)
}

/// By how many seconds the clock of a replica is ahead.
async fn ahead_s(base: &str) -> anyhow::Result<f64> {
    let answer = reqwest::get(format!("{base}/health/live")).await?;
    let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).context("no date")?;
    Ok(DateTime::parse_from_rfc2822(date)?.timestamp() as f64 - now_s())
}

/// Uploads new images, without end.
async fn upload(site: &Site, at: usize) -> anyhow::Result<()> {
    loop {
        let body = Body::Form(photo_form(MODELS[0], (0..8).map(|_| photo(rand::random()))));
        match site.api.ask(at, Method::POST, "/predict", &body, PATIENCE).await {
            Ok((202, answer)) => drop(site.ledger.lock().await.accepted(&answer)?),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
