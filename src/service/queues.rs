//! The queues of models and datasets: what bars them, how deep they are, what stands in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::batch::{Answers, Batcher, Capacity};
use super::cache::Cache;
use super::{Ctx, Error, Result};
use crate::domain::job::{JobState, JobStatus, Waiting};
use crate::store::queues::{self, Depth, Gate, QueueEntry};

/// How old the picture of the gates may be.
const GATES_FRESH: Duration = Duration::from_secs(1);
/// How old it may be while PostgreSQL does not answer.
const GATES_STALE: Duration = Duration::from_secs(5 * 60);

/// How old the depths may be: to count them costs more the more jobs there are, and anybody may ask.
const DEPTHS_FRESH: Duration = Duration::from_secs(1);

/// The line of those who want to see the gates: one look serves all of them.
const LINE: Capacity = Capacity { at_once: 1, repeatable: true, ..Capacity::USUAL };

/// The gates of all queues by what they are called.
pub type Gates = Arc<HashMap<String, Gate>>;

/// What is known of all queues.
pub struct Queues {
    ctx: Arc<Ctx>,
    gates: Cache<(), Gates>,
    looks: Arc<Batcher<(), Gates>>,
    depths: Mutex<Option<Counted>>,
}

/// The depths as they were found, or why they were not.
struct Counted {
    at: Instant,
    depths: Result<Arc<Vec<Depth>>>,
}

impl Queues {
    pub fn new(ctx: &Arc<Ctx>) -> Self {
        let own = Arc::clone(ctx);
        let looks = Batcher::new(LINE, move |who| look_together(Arc::clone(&own), who.len()), |(), _| {});
        let gates = Cache::new(GATES_FRESH, GATES_STALE);
        Self { ctx: Arc::clone(ctx), gates, looks, depths: Mutex::default() }
    }

    /// The gates of all queues that are not retired, at most a second old while PostgreSQL answers.
    pub async fn gates(&self) -> Result<Gates> {
        self.gates.get(&(), || self.looks.call((), 1)).await
    }

    /// The gates as they are now: before somebody is refused because of them.
    pub async fn fresh_gates(&self) -> Result<Gates> {
        self.forget();
        self.gates().await
    }

    /// Forgets the gates, one of which this process has just moved.
    pub fn forget(&self) {
        self.gates.forget(&());
    }

    /// Why a queued job waits, as far as is known: nothing is while the gates are not.
    pub fn waiting(&self, gates: Option<&Gates>, model: &str, job: &JobStatus) -> Option<Waiting> {
        if job.state != JobState::Queued {
            return None;
        }
        let later = job.run_at.zip(self.ctx.clock.now()).is_some_and(|(run_at, now)| run_at > now);
        if later {
            return Some(Waiting::Backoff);
        }
        match gates?.get(model) {
            None => Some(Waiting::NoLiveWorker),
            Some(gate) if gate.paused => Some(Waiting::Paused),
            Some(gate) if gate.workers == 0 => Some(Waiting::NoLiveWorker),
            Some(gate) if gate.max_running.is_some_and(|max| gate.running >= i64::from(max)) => Some(Waiting::Limit),
            Some(_) => None,
        }
    }

    /// How many jobs of these models are in line, by the index: to count them in PostgreSQL, dead rows included, may take
    /// long.
    pub async fn depths(&self, models: &[String]) -> Result<Vec<i64>> {
        if let Some(depths) = self.ctx.index.depths(models).await {
            return Ok(depths);
        }
        let gates = self.gates().await?;
        let ids: Vec<i32> = models.iter().filter_map(|name| Some(gates.get(name)?.id)).collect();
        Ok(self.ctx.db.run(async |db| queues::due_depths(db, &ids).await).await?)
    }

    /// The depth of every queue, as PostgreSQL counted it at most a second ago. One counts at a time, for all who ask:
    /// no more than one connection is ever busy with it.
    pub async fn count(&self) -> Result<Arc<Vec<Depth>>> {
        let mut last = self.depths.lock().await;
        let fresh = last.as_ref().filter(|counted| counted.at.elapsed() < DEPTHS_FRESH);
        let depths = match fresh {
            Some(counted) => return counted.depths.as_ref().map(Arc::clone).map_err(Error::alike),
            None => self.ctx.db.run(queues::depths).await.map(Arc::new).map_err(Error::from),
        };
        let counted = depths.as_ref().map(Arc::clone).map_err(Error::alike);
        *last = Some(Counted { at: Instant::now(), depths });
        counted
    }
}

async fn look_together(ctx: Arc<Ctx>, who: usize) -> Result<Answers<Gates>> {
    let gates = ctx.work.run(queues::gates).await?;
    let open = gates.into_iter().filter(|gate| gate.retired_at.is_none());
    let gates: Gates = Arc::new(open.map(|gate| (gate.path.clone(), gate)).collect());
    Ok(vec![gates; who].into())
}

/// Those of these jobs that belong into their queues.
pub async fn still_ready(ctx: &Ctx, ids: &[Uuid]) -> Result<Vec<QueueEntry>> {
    Ok(ctx.work.run(async |db| queues::still_ready(db, ids).await).await?)
}
