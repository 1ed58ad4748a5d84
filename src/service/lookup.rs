//! Look-ups by MD5: from the mirror when it knows, from PostgreSQL when it does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::auth::User;
use super::{Ctx, Result};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, Overall};
use crate::service::ctx::Gate;
use crate::store::lookup;

/// How often a waiting look-up looks again though nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The statuses of those of these images that the user may see.
pub async fn statuses(
    ctx: &Ctx,
    user: &User,
    images: &[ContentMd5],
    results: bool,
) -> Result<HashMap<ContentMd5, ImageStatus>> {
    let mut mirrored = ctx.index.read_statuses(images).await;
    let mut found = HashMap::new();
    let mut missing = Vec::new();
    for md5 in images {
        match mirrored.remove(md5) {
            Some(m) if !(results && m.partial) && (user.is_admin() || m.accounts.contains(&user.account.id)) => {
                found.insert(*md5, m.status);
            }
            // Asked for twice in one request.
            None if found.contains_key(md5) => {}
            _ => missing.push(*md5),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    found.extend(Box::pin(load(ctx, user, &missing, results)).await?);
    Ok(found)
}

/// The same from PostgreSQL, filling the mirror with what was missing there.
async fn load(
    ctx: &Ctx,
    user: &User,
    missing: &[ContentMd5],
    results: bool,
) -> Result<HashMap<ContentMd5, ImageStatus>> {
    let mut found = HashMap::new();
    let loaded = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, super::Error>(lookup::load(&mut db, missing, Some(user.account.id), results).await?)
        })
        .await?;
    for (md5, seen) in loaded {
        let finished = overall(&seen.status, None).done();
        if results {
            ctx.index.fill_status(md5, &seen.status, &seen.accounts, finished).await;
        }
        if user.is_admin() || seen.accounts.contains(&user.account.id) {
            found.insert(md5, seen.status);
        }
    }
    Ok(found)
}

/// One image's status, waiting until it is finished (for the named models, or all) or the time is up.
pub async fn wait_for(
    ctx: &Ctx,
    user: &User,
    md5: ContentMd5,
    models: Option<&[String]>,
    wait: Duration,
) -> Result<ImageStatus> {
    let until = Instant::now() + wait;
    let mut stopping = ctx.stopping.clone();
    loop {
        let notify = ctx.waiters.watch_image(md5);
        let news = notify.notified();
        tokio::pin!(news);
        // Enrol before looking, or what happens in between is missed.
        news.as_mut().enable();
        let status = statuses(ctx, user, &[md5], true).await?.remove(&md5).ok_or_else(|| Fault::not_found("image"))?;
        let now = Instant::now();
        if overall(&status, models).done() || now >= until {
            return Ok(status);
        }
        tokio::select! {
            () = &mut news => {}
            () = tokio::time::sleep_until(until.min(now + LOOK_AGAIN)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(status),
        }
    }
}

/// The status over the newest job per model, of the named models or of all.
pub fn overall(status: &ImageStatus, models: Option<&[String]>) -> Overall {
    let named = |model: &String| models.is_none_or(|models| models.contains(model));
    Overall::of(status.jobs.iter().filter(|(model, _)| named(model)).map(|(_, job)| job.state))
}

/// Why a queued job waits, as far as is known (nothing is while the gates are not): `backoff`, `paused`, `no_live_worker`, `limit`.
pub fn waiting(
    ctx: &Ctx,
    gates: Option<&Arc<HashMap<String, Gate>>>,
    model: &str,
    job: &crate::domain::job::JobStatus,
) -> Option<&'static str> {
    if job.state != JobState::Queued {
        return None;
    }
    let later = job.run_at.zip(ctx.clock.now()).is_some_and(|(run_at, now)| run_at > now);
    if later {
        return Some("backoff");
    }
    match gates?.get(model) {
        None => Some("no_live_worker"),
        Some(gate) if gate.paused => Some("paused"),
        Some(gate) if gate.workers == 0 => Some("no_live_worker"),
        Some(gate) if gate.max_running.is_some_and(|max| gate.running >= i64::from(max)) => Some("limit"),
        Some(_) => None,
    }
}

/// Refuses names that no model has; while the models are not known, none is refused.
pub fn check_models(gates: Option<&Arc<HashMap<String, Gate>>>, status: &ImageStatus, models: &[String]) -> Result<()> {
    let known = |name: &String| status.jobs.contains_key(name) || gates.is_none_or(|gates| gates.contains_key(name));
    match models.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("No model is named {:?}.", crate::domain::name::shorten(name));
            Err(Fault::new(Code::UnknownModel, detail).at("query", "/models").into())
        }
    }
}
