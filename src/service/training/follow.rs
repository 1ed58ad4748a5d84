//! Runs for people: listed, shown, waited for.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::fault::Fault;
use crate::service::accounts::User;
use crate::service::{Ctx, Error, Result};
use crate::store::training::{self, Promoted, RunFile, RunFilter, RunMetric, RunNews, RunRecord};

/// How often somebody who waits for a run looks though nobody woke them: what another replica took in is seen no later.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A run with its files, and the versions of models that it became.
#[derive(Debug)]
pub struct RunShown {
    pub run: RunRecord,
    pub checkpoint: Option<RunFile>,
    pub model: Option<RunFile>,
    pub promoted: Vec<Promoted>,
}

/// Runs, newest first; the user's own, or everybody's for an administrator.
pub async fn list(ctx: &Ctx, user: &User, filter: RunFilter<'_>, limit: i64) -> Result<Vec<RunShown>> {
    let filter = RunFilter { account: user.owner(), ..filter };
    ctx.db
        .run(async |db| {
            let runs = training::list(db, &filter, limit).await?;
            show(db, runs).await
        })
        .await
}

/// One run and what it measured, waiting until there is something to see of it after a revision (or after now), until it has ended, or
/// until the time is up.
pub async fn wait_for(
    ctx: &Ctx,
    user: &User,
    id: Uuid,
    wait: Duration,
    after: Option<i32>,
) -> Result<(RunShown, Vec<RunMetric>, bool)> {
    let read = async |db: &mut sqlx::PgConnection| {
        let run = training::find(db, id, user.owner()).await?.ok_or_else(|| Error::from(Fault::not_found("run")))?;
        let shown = show(db, vec![run]).await?.pop().ok_or_else(|| Error::from(Fault::not_found("run")))?;
        let (metrics, left_out) = training::metrics(db, id).await?;
        Ok::<_, Error>((shown, metrics, left_out))
    };
    if wait.is_zero() {
        return ctx.db.run(read).await;
    }
    // Whose it is, is asked before anything is waited for.
    let first = ctx.db.run(read).await?;
    let until = Instant::now() + wait;
    let seen = after.unwrap_or(first.0.run.revision);
    if first.0.run.state.ended() || first.0.run.revision > seen {
        return Ok(first);
    }
    let watch = ctx.waiters.runs.join(id);
    let mut news = watch.enrol();
    let mut stopping = ctx.stopping.clone();
    let look = async || {
        let news = ctx.db.run(async |db| training::news(db, id).await).await?;
        news.ok_or_else(|| Error::from(Fault::not_found("run")))
    };
    let stands = |now: &RunNews| {
        let run = &first.0.run;
        !now.ended && now.revision <= seen && now.progress == run.progress && now.note == run.note
    };
    while stands(&*watch.look(look()).await?) && Instant::now() < until {
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    ctx.db.run(read).await
}

/// Puts with runs what hangs on them.
async fn show(db: &mut sqlx::PgConnection, runs: Vec<RunRecord>) -> Result<Vec<RunShown>> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
    let by_run =
        |files: Vec<RunFile>| -> HashMap<Uuid, RunFile> { files.into_iter().map(|file| (file.job_id, file)).collect() };
    let mut checkpoints = by_run(training::checkpoints(db, &ids).await?);
    let mut models = by_run(training::model_files(db, &ids).await?);
    let mut promoted: HashMap<Uuid, Vec<Promoted>> = HashMap::new();
    for one in training::promoted(db, &ids).await? {
        promoted.entry(one.run).or_default().push(one);
    }
    let shown = |run: RunRecord| RunShown {
        checkpoint: checkpoints.remove(&run.id),
        model: models.remove(&run.id),
        promoted: promoted.remove(&run.id).unwrap_or_default(),
        run,
    };
    Ok(runs.into_iter().map(shown).collect())
}
