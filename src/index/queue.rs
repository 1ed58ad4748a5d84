//! The queue of each model: a ZSET of job ids, as their 16 bytes, by rank. Pushing is idempotent, and a popped id is only a
//! candidate.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::Script;
use uuid::Uuid;

use super::{Index, PIPELINE_MAX, keys};

/// The most jobs pushed in one go.
const PUSHED_AT_ONCE: usize = 5 * PIPELINE_MAX;
/// The longest that a sweep may take, in seconds.
const SWEEP_S: u64 = 24 * 60 * 60;

/// A due job of a model.
#[derive(Debug, Clone)]
pub struct Hint {
    pub id: Uuid,
    pub model: String,
    pub rank: i64,
}

/// What a pop brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped {
    /// Candidates, perhaps none.
    Hints(Vec<Uuid>),
    /// Redis is away, or this queue is not known to be complete: ask PostgreSQL.
    Untrusted,
}

/// An empty answer is one; false, which arrives as none, means that nobody vouches for the queue.
static POP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local popped = redis.call('ZPOPMIN', KEYS[1], ARGV[2])
local ids = {}
for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
return ids",
    )
});

const VOUCH: &str = "
if redis.call('DEL', KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

impl Index {
    /// Pops at most `count` jobs of a model, most urgent first.
    pub async fn pop(&self, model: &str, count: usize) -> Popped {
        let popped = self
            .run(async |live| {
                POP.key(keys::queue(&self.namespace, model))
                    .key(keys::queue_epoch(&self.namespace, model))
                    .arg(&*live.epoch)
                    .arg(count)
                    .invoke_async::<Option<Vec<Vec<u8>>>>(&mut live.connection)
                    .await
            })
            .await
            .flatten();
        match popped {
            Some(ids) => Popped::Hints(ids.iter().filter_map(|id| Uuid::from_slice(id).ok()).collect()),
            None => {
                self.mistrust.store(true, std::sync::atomic::Ordering::Relaxed);
                Popped::Untrusted
            }
        }
    }

    /// Pushes due jobs; answers how many were missing, or nothing while Redis is away.
    pub async fn push(&self, hints: &[Hint]) -> Option<u64> {
        if hints.is_empty() {
            return Some(0);
        }
        let mut missing = 0;
        for hints in hints.chunks(PUSHED_AT_ONCE) {
            missing += self.push_some(hints).await?;
        }
        Some(missing)
    }

    async fn push_some(&self, hints: &[Hint]) -> Option<u64> {
        let mut by_model: HashMap<&str, Vec<(i64, &[u8])>> = HashMap::new();
        for hint in hints {
            by_model.entry(&hint.model).or_default().push((hint.rank, hint.id.as_bytes()));
        }
        self.run(async |live| {
            let mut pipe = redis::pipe();
            for (model, members) in &by_model {
                pipe.zadd_multiple(keys::queue(&self.namespace, model), members);
            }
            let added: Vec<u64> = pipe.query_async(&mut live.connection).await?;
            Ok(added.iter().sum())
        })
        .await
    }

    /// Takes out jobs that left the queue by another way than a pop.
    pub async fn remove(&self, model: &str, ids: &[Uuid]) {
        if ids.is_empty() {
            return;
        }
        self.run(async |live| {
            let mut remove = redis::cmd("ZREM");
            remove.arg(keys::queue(&self.namespace, model));
            for id in ids {
                remove.arg(id.as_bytes());
            }
            remove.query_async::<()>(&mut live.connection).await
        })
        .await;
    }

    /// Some hints of a model's queue, in no order, about as many as asked for, and from where to go on: 0 at the beginning and at
    /// the end. What stands there all the while is met at least once.
    pub async fn scan(&self, model: &str, cursor: u64, count: usize) -> Option<(u64, Vec<Uuid>)> {
        let (next, found) = self
            .run(async |live| {
                let mut scan = redis::cmd("ZSCAN");
                scan.arg(keys::queue(&self.namespace, model)).arg(cursor).arg("COUNT").arg(count);
                scan.query_async::<(u64, Vec<(Vec<u8>, f64)>)>(&mut live.connection).await
            })
            .await?;
        Some((next, found.iter().filter_map(|(id, _)| Uuid::from_slice(id).ok()).collect()))
    }

    /// Notes that a sweep begins for these models.
    pub async fn begin_sweep(&self, models: &[String], sweep: Uuid) -> bool {
        if models.is_empty() {
            return self.is_live();
        }
        self.run(async |live| {
            let mut pipe = redis::pipe();
            for model in models {
                pipe.set_ex(keys::queue_sweep(&self.namespace, model, sweep), 1, SWEEP_S).ignore();
            }
            pipe.query_async::<()>(&mut live.connection).await
        })
        .await
        .is_some()
    }

    /// Vouches that the queues of these models are complete, unless Redis lost something since the sweep began.
    pub async fn end_sweep(&self, models: &[String], sweep: Uuid) {
        for model in models {
            self.run(async |live| {
                Script::new(VOUCH)
                    .key(keys::queue_epoch(&self.namespace, model))
                    .key(keys::queue_sweep(&self.namespace, model, sweep))
                    .arg(&*live.epoch)
                    .invoke_async::<i64>(&mut live.connection)
                    .await
            })
            .await;
        }
    }

    /// How many jobs the queues of these models show.
    pub async fn depths(&self, models: &[String]) -> Option<Vec<i64>> {
        let mut depths = Vec::with_capacity(models.len());
        for models in models.chunks(PIPELINE_MAX) {
            let some: Vec<i64> = self
                .run(async |live| {
                    let mut pipe = redis::pipe();
                    for model in models {
                        pipe.zcard(keys::queue(&self.namespace, model));
                    }
                    pipe.query_async(&mut live.connection).await
                })
                .await?;
            depths.extend(some);
        }
        Some(depths)
    }

    /// How many jobs a model's queue shows.
    pub async fn depth(&self, model: &str) -> Option<u64> {
        self.run(async |live| {
            redis::cmd("ZCARD").arg(keys::queue(&self.namespace, model)).query_async(&mut live.connection).await
        })
        .await
    }

    /// Forgets a model's queue.
    pub async fn clear_queue(&self, model: &str) {
        self.run(async |live| {
            redis::cmd("DEL").arg(keys::queue(&self.namespace, model)).query_async::<()>(&mut live.connection).await
        })
        .await;
    }
}
