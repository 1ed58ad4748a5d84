//! The sweep: walks the live jobs in order of id, pushes those that belong into a queue, and shortens the life
//! of their images' mirrored statuses; ends those past their time, and rescues those whose claim is gone, which it does also
//! without Redis. Beside it walks the queues, and takes out what has ended. Its cost is constant;
//! its period grows with the depth.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::pace::{jittered, tell};
use super::rescue::rescue_unclaimed;
use crate::index::queue::Hint;
use crate::metrics;
use crate::service::transition;
use crate::service::{Ctx, Result, announce};
use crate::store::queues::{self, Swept};

/// How many jobs one step looks at, and about how many hints.
const STEP_ROWS: i64 = 2_000;
/// How often a step is made.
const STEP_EVERY: Duration = Duration::from_millis(500);
/// How long to rest after a whole pass.
const PASS_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run(ctx: Arc<Ctx>) {
    let mut sweep = Sweep::default();
    loop {
        let rest = match sweep.step(&ctx).await {
            Ok(true) if ctx.index.is_live() => PASS_EVERY,
            Ok(_) => STEP_EVERY,
            Err(error) => {
                tell("sweep", &error);
                sweep = Sweep::default();
                STEP_EVERY
            }
        };
        // A queue that is not vouched for is served by PostgreSQL until it is: do not rest then.
        let rest = if ctx.index.take_mistrust() { STEP_EVERY } else { rest };
        tokio::time::sleep(jittered(rest)).await;
    }
}

/// One pass under way.
#[derive(Default)]
pub struct Sweep {
    pass: Option<Pass>,
}

struct Pass {
    id: Uuid,
    /// The last job looked at; nothing once all were.
    after: Option<Uuid>,
    models: Vec<String>,
    /// How many of the models' queues were walked, and how far the next one is.
    walked: usize,
    cursor: u64,
    /// The index is filled by it, from its first job on. Without Redis only the jobs are set right.
    fills: bool,
}

impl Pass {
    fn is_over(&self) -> bool {
        self.after.is_none() && (!self.fills || self.walked == self.models.len())
    }
}

impl Sweep {
    /// Makes one step; answers whether it ended a pass.
    pub async fn step(&mut self, ctx: &Ctx) -> Result<bool> {
        let live = ctx.index.is_live();
        let mut pass = match self.pass.take() {
            Some(pass) if pass.fills == live => pass,
            _ => {
                let models: Vec<String> =
                    ctx.chores.run(queues::all_names).await?.into_iter().map(|(_, name)| name).collect();
                let id = Uuid::new_v4();
                let fills = live && ctx.index.begin_sweep(&models, id).await;
                Pass { id, after: Some(Uuid::nil()), models, walked: 0, cursor: 0, fills }
            }
        };
        if let Some(after) = pass.after {
            look_at_jobs(ctx, &mut pass, after).await?;
        }
        if pass.fills {
            look_at_hints(ctx, &mut pass).await?;
        }
        let over = pass.is_over();
        self.pass = (!over).then_some(pass);
        Ok(over)
    }
}

async fn look_at_jobs(ctx: &Ctx, pass: &mut Pass, after: Uuid) -> Result<()> {
    let page = ctx.chores.run(async |db| queues::sweep_page(db, after, STEP_ROWS).await).await?;
    set_right(ctx, &page).await?;
    if pass.fills {
        pass.fills = fill(ctx, &page).await?;
    }
    pass.after = page.last().filter(|_| page.len() as i64 == STEP_ROWS).map(|last| last.entry.id);
    if pass.after.is_none() && pass.fills {
        ctx.index.end_sweep(&pass.models, pass.id).await;
    }
    Ok(())
}

/// Takes hints of ended jobs out of the queues: each would cost a claim a look in vain. Hints of live jobs stay, whatever
/// their state, which may be another a moment later.
async fn look_at_hints(ctx: &Ctx, pass: &mut Pass) -> Result<()> {
    let mut looked = 0;
    while let Some(model) = pass.models.get(pass.walked).filter(|_| looked < STEP_ROWS as usize) {
        let Some((next, hints)) = ctx.index.scan(model, pass.cursor, STEP_ROWS as usize).await else {
            pass.fills = false;
            return Ok(());
        };
        if !hints.is_empty() {
            let gone = ctx.chores.run(async |db| queues::gone(db, &hints).await).await?;
            ctx.index.remove(model, &gone).await;
            metrics::index_stale(gone.len());
        }
        looked += hints.len();
        pass.cursor = next;
        pass.walked += usize::from(next == 0);
    }
    Ok(())
}

/// Pushes what belongs into a queue, and shortens the life of mirrored statuses; answers whether Redis took it.
async fn fill(ctx: &Ctx, page: &[Swept]) -> Result<bool> {
    let names = ctx.catalog.names(page.iter().map(|job| job.entry.queue_id)).await?;
    let hint = |job: &Swept| {
        let model = names.get(&job.entry.queue_id)?.to_string();
        Some(Hint { id: job.entry.id, model, rank: job.entry.rank })
    };
    let hints: Vec<Hint> = page.iter().filter(|job| job.ready).filter_map(hint).collect();
    let Some(missing) = ctx.index.push(&hints).await else { return Ok(false) };
    metrics::index_missing(missing);
    let images: Vec<_> = page.iter().filter_map(Swept::image).collect();
    ctx.index.shorten_statuses(&images).await;
    Ok(true)
}

/// Ends queued jobs that are late for their end, and takes running ones whose claim has no row.
async fn set_right(ctx: &Ctx, page: &[Swept]) -> Result<()> {
    let ids =
        |which: fn(&Swept) -> bool| page.iter().filter(|job| which(job)).map(|job| job.entry.id).collect::<Vec<_>>();
    let (late, orphans) = (ids(|job| job.late), ids(|job| job.orphan));
    if !orphans.is_empty() {
        rescue_unclaimed(ctx, &orphans).await?;
    }
    if late.is_empty() {
        return Ok(());
    }
    let expired = ctx.chores.write(async |tx| transition::expire(tx, &late, 0).await).await?;
    announce::cancelled(ctx, &expired).await;
    Ok(())
}
