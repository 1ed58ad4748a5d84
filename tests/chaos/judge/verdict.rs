//! The verdict: ledgers and hits loaded beside the tables of the database, and compared in plain SQL.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context;
use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::ledger::COLUMNS;
use super::recovery::{self, Recovery};
use super::training;
use crate::cast::api::Body;
use crate::site::{REPLICAS, Site};

const QUERIES: &str = include_str!("verdict.sql");
const BOOKS: &str = include_str!("books.sql");
/// The most offenders that are printed of each kind.
const SHOWN_MAX: usize = 10;
/// How many images one request asks for.
const ASKED_AT_ONCE: usize = 500;
/// How many images are looked up one by one, through every replica.
const LOOKED_UP: usize = 1_000;
const WAIT: Duration = Duration::from_secs(30);

/// What was found; everything but the first three numbers should be none.
#[derive(Default)]
pub struct Verdict {
    pub accepted: u64,
    pub finished: u64,
    /// For how long, in seconds, anybody waited for jobs so that the rule of two seconds could be judged.
    pub judged_s: f64,
    /// Re-deliveries, requests sent again, and the claim latencies: as text.
    pub numbers: Vec<String>,
    /// The numbers of runs, as text.
    pub runs: Vec<String>,
    pub offenders: BTreeMap<&'static str, usize>,
    pub recovery: Recovery,
}

impl Verdict {
    pub fn count(&self, name: &str) -> usize {
        self.offenders.get(name).copied().unwrap_or(0)
    }
}

/// Reads the books and judges; from `quiet` on, in seconds since 1970, nobody tried the replicas any more.
pub async fn judge(site: &Site, quiet: f64) -> anyhow::Result<Verdict> {
    let mut db = PgConnection::connect(&site.url).await?;
    load(&mut db, site).await?;
    let mut verdict = Verdict::default();
    for name in ["lost", "doubled", "stale", "refused", "changed", "miscounted", "mistaken", "waited"] {
        let found = ask(&mut db, QUERIES, name).await?;
        tell(&mut verdict, name, &found);
    }
    verdict.recovery = {
        let lives = site.lives.lock().unwrap_or_else(PoisonError::into_inner);
        let wounds = site.wounds.lock().unwrap_or_else(PoisonError::into_inner);
        recovery::judge(&lives, &wounds, quiet)
    };
    let unserved = std::mem::take(&mut verdict.recovery.unserved);
    tell(&mut verdict, "unserved", &unserved);
    let late = site.late.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tell(&mut verdict, "late", &late);
    let unreadable = unreadable(site, &ask(&mut db, QUERIES, "images").await?);
    tell(&mut verdict, "unreadable", &unreadable);
    let mut differences = site.contradictions.lock().unwrap_or_else(PoisonError::into_inner).clone();
    differences.extend(differences_of_mirror(site, &ask(&mut db, QUERIES, "truth").await?).await?);
    tell(&mut verdict, "mirror", &differences);
    training::judge(&mut db, site, &mut verdict).await?;
    verdict.judged_s = ask(&mut db, QUERIES, "judged").await?.remove(0).parse()?;
    verdict.numbers = ask(&mut db, QUERIES, "numbers").await?.remove(0).split(' ').map(str::to_owned).collect();
    verdict.accepted = verdict.numbers[0].parse()?;
    verdict.finished = verdict.numbers[1].parse()?;
    Ok(verdict)
}

pub fn tell(verdict: &mut Verdict, name: &'static str, found: &[String]) {
    for offender in found.iter().take(SHOWN_MAX) {
        println!("{name}: {offender}");
    }
    verdict.offenders.insert(name, found.len());
}

async fn load(db: &mut PgConnection, site: &Site) -> anyhow::Result<()> {
    sqlx::raw_sql(
        "CREATE TEMP TABLE ledger (what text, job uuid, lease_no bigint, session uuid, outcome text, status int,
           state text, repeat boolean, nonce uuid, number float8, at float8);
         CREATE TEMP TABLE hit (kind text, part text, from_at float8, to_at float8)",
    )
    .execute(&mut *db)
    .await?;
    for entry in std::fs::read_dir(site.scratch.join("ledgers"))? {
        let text = std::fs::read(entry?.path())?;
        // A line that a death cut short was never acted upon.
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let mut copy = db.copy_in_raw(&format!("COPY ledger ({COLUMNS}) FROM STDIN")).await?;
        copy.send(&text[..whole]).await?;
        copy.finish().await?;
    }
    let hits = std::mem::take(&mut *site.hits.lock().unwrap_or_else(PoisonError::into_inner));
    for hit in hits {
        sqlx::query("INSERT INTO hit VALUES ($1, $2, $3, $4)")
            .bind(hit.kind)
            .bind(hit.part)
            .bind(hit.from)
            .bind(hit.to)
            .execute(&mut *db)
            .await?;
    }
    sqlx::raw_sql("CREATE INDEX ON ledger (job, what); ANALYZE ledger; ANALYZE").execute(&mut *db).await?;
    sqlx::raw_sql(BOOKS).execute(db).await?;
    Ok(())
}

/// The rows of one of some queries.
pub async fn ask(db: &mut PgConnection, queries: &'static str, name: &str) -> anyhow::Result<Vec<String>> {
    let text = queries.split("-- name: ").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n'));
    let text = text.with_context(|| format!("no query {name}"))?;
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(db).await.with_context(|| format!("the query {name}"))
}

/// Images whose file is not there or holds other bytes.
fn unreadable(site: &Site, images: &[String]) -> Vec<String> {
    let wrong = |image: &&String| {
        let (md5, path) = image.split_once(' ').unwrap_or_default();
        let bytes = std::fs::read(site.scratch.join("data/images").join(path));
        !bytes.is_ok_and(|bytes| hex::encode(Md5::digest(bytes)) == md5)
    };
    images.iter().filter(wrong).cloned().collect()
}

/// What look-ups through every replica say, against what the archive says.
async fn differences_of_mirror(site: &Site, truth: &[String]) -> anyhow::Result<Vec<String>> {
    let mut images: Vec<(&str, HashMap<&str, Vec<&str>>)> = Vec::new();
    for row in truth {
        let words: Vec<&str> = row.split(' ').collect();
        if images.last().is_none_or(|(md5, _)| *md5 != words[0]) {
            images.push((words[0], HashMap::new()));
        }
        if let Some((_, models)) = images.last_mut() {
            models.insert(words[1], words[2..].to_vec());
        }
    }
    let mut found = Vec::new();
    for at in 0..REPLICAS {
        for some in images.chunks(ASKED_AT_ONCE) {
            let md5s: Vec<&str> = some.iter().map(|(md5, _)| *md5).collect();
            let body = Body::Json(json!({ "images": md5s, "results": false }));
            let (status, answer) = site.api.ask(at, Method::POST, "/predict/status", &body, WAIT).await?;
            anyhow::ensure!(status == 200, "{answer}");
            let items = answer["items"].as_array().context("no items")?;
            for ((md5, models), shown) in some.iter().zip(items) {
                found.extend(differences(at, md5, models, shown, false));
            }
        }
        let step = images.len().div_ceil(LOOKED_UP).max(1);
        for (md5, models) in images.iter().step_by(step) {
            let path = format!("/predict/{md5}");
            let (status, shown) = site.api.ask(at, Method::GET, &path, &Body::Nothing, WAIT).await?;
            anyhow::ensure!(status == 200, "{path}: {shown}");
            found.extend(differences(at, md5, models, &shown, true));
        }
    }
    Ok(found)
}

fn differences(at: usize, md5: &str, models: &HashMap<&str, Vec<&str>>, shown: &Value, results: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (model, truth) in models {
        let (job, result) = (&shown["jobs"][model], &shown["results"][model]);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let mut said = vec![text(&job["id"]), text(&job["state"])];
        if results {
            said.extend([text(&result["job"]), text(&result["fields"]["nonce"])]);
        }
        if said.iter().zip(truth).any(|(said, truth)| said != truth) {
            found.push(format!("replica {at} of {md5} {model}: {} in place of {}", said.join(" "), truth.join(" ")));
        }
    }
    found
}
