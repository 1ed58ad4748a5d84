//! The sweep: walks the live jobs in order of id, pushes those that belong into a queue, and shortens the life
//! of their images' mirrored statuses; ends those past their time, and rescues those whose claim is gone. Its cost is constant;
//! its period grows with the depth.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::pace::{chain, jittered};
use super::rescue::rescue_unclaimed;
use crate::index::queue::Hint;
use crate::metrics;
use crate::service::transition;
use crate::service::{Ctx, Result, announce};
use crate::store::queues::{self, Swept};

/// How many jobs one step looks at.
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
                tracing::warn!(error = %chain(&error), "sweep failed; it starts again");
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
    after: Uuid,
    models: Vec<String>,
}

impl Sweep {
    /// Makes one step; answers whether it ended a pass.
    pub async fn step(&mut self, ctx: &Ctx) -> Result<bool> {
        if !ctx.index.is_live() {
            self.pass = None;
            return Ok(true);
        }
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => {
                let models = ctx.db.read(queues::model_names).await?.into_iter().map(|(_, name)| name).collect();
                let pass = Pass { id: Uuid::new_v4(), after: Uuid::nil(), models };
                if !ctx.index.begin_sweep(&pass.models, pass.id).await {
                    return Ok(true);
                }
                pass
            }
        };
        let page = ctx.db.read(async |db| queues::sweep_page(db, pass.after, STEP_ROWS).await).await?;
        set_right(ctx, &page).await?;
        let names = ctx.catalog.names(page.iter().map(|job| job.entry.queue_id)).await?;
        let hint = |job: &Swept| {
            let model = names.get(&job.entry.queue_id)?.to_string();
            Some(Hint { id: job.entry.id, model, rank: job.entry.rank })
        };
        let hints: Vec<Hint> = page.iter().filter(|job| job.ready).filter_map(hint).collect();
        let Some(missing) = ctx.index.push(&hints).await else { return Ok(true) };
        metrics::index_missing(missing);
        let images: Vec<_> = page.iter().map(|job| job.md5).collect();
        ctx.index.shorten_statuses(&images).await;
        match page.last() {
            Some(last) if page.len() as i64 == STEP_ROWS => {
                pass.after = last.entry.id;
                self.pass = Some(pass);
                Ok(false)
            }
            _ => {
                ctx.index.end_sweep(&pass.models, pass.id).await;
                Ok(true)
            }
        }
    }
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
    let expired = ctx.db.write(async |tx| transition::expire(tx, &late, 0).await).await?;
    announce::cancelled(ctx, &expired).await;
    Ok(())
}
