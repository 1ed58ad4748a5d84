//! What results say, written down to be searched: a moment after they came, so that no job pays for it.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use sqlx::PgConnection;

use super::{Error, Result};
use crate::domain::result::{ItemRow, said};
use crate::store::items::{self, ResultKey, SaidResult};
use crate::store::{Db, attempt, models, ticks};

/// How many labels that it gave are kept of one model: a list for people to choose from.
const SEEN_LABELS_MAX: usize = 1_000;
/// How many results go together: a transaction of some hundredths of a second.
const RESULTS_AT_ONCE: i64 = 500;
/// The most bytes of results that go together, but for what one transaction wrote of them.
const BYTES_AT_ONCE: i64 = 4 * 1024 * 1024;

/// So many transactions without a result are not looked at again: what failed is among them, and would cost each look more.
const PASSED_OVER_MIN: i64 = 1_000;

/// What this process remembers of what was written down.
#[derive(Default)]
pub struct Items {
    /// Labels that are known to be written down, by the queue of their model.
    seen: Mutex<HashMap<i32, HashSet<String>>>,
}

impl Items {
    /// Writes down the next results in the order in which they were committed, unless another replica is at it; answers how many.
    pub async fn write_down(&self, db: &Db) -> Result<usize> {
        let written = db.write(async |tx| {
            if !ticks::try_tick(tx, "items").await? {
                return Ok(Vec::new());
            }
            let next = items::next(tx).await?;
            let results = items::unsaid(tx, &next, RESULTS_AT_ONCE, BYTES_AT_ONCE).await?;
            let said: Vec<SaidResult> =
                results.into_iter().map(|result| SaidResult { rows: said(&result.document), of: result.of }).collect();
            if let Some(last) = said.last() {
                write_all(tx, &said).await?;
                items::go_on(tx, &next, last.of.written).await?;
            } else if next.span() > PASSED_OVER_MIN {
                items::go_on(tx, &next, next.until - 1).await?;
            }
            Ok::<_, Error>(said)
        });
        let written = match written.await {
            // Somebody is removing one of them.
            Err(error) if error.is_locked() => return Ok(0),
            written => written?,
        };
        self.learn(db, &written).await;
        Ok(written.len())
    }

    /// How long the oldest result that is not written down has been there, in seconds: searches do not find it yet.
    pub async fn lag(&self, db: &Db) -> Result<f64> {
        Ok(db.run(items::lag).await?.map_or(0.0, |lag| lag.max(0.0)))
    }

    /// Writes down what of their labels is new: nothing, but for a model's first results. What could not be written down is left to
    /// the next result that has it.
    async fn learn(&self, db: &Db, results: &[SaidResult]) {
        for (queue, labels) in self.unseen(results) {
            let labels: Vec<&str> = labels.into_iter().collect();
            match db.run(async |db| models::learn_labels(db, queue, &labels, SEEN_LABELS_MAX).await).await {
                Ok(known) => drop(self.seen.lock().insert(queue, known.into_iter().collect())),
                Err(error) => tracing::warn!(%error, queue, "labels of results were not written down"),
            }
        }
    }

    fn unseen<'s>(&self, results: &'s [SaidResult]) -> HashMap<i32, HashSet<&'s str>> {
        let seen = self.seen.lock();
        let mut unseen: HashMap<i32, HashSet<&str>> = HashMap::new();
        for result in results {
            let known = seen.get(&result.of.queue_id);
            if known.is_some_and(|known| known.len() >= SEEN_LABELS_MAX) {
                continue;
            }
            let labelled = result.rows.iter().filter(|row| ItemRow::is_labelled(row));
            for label in labelled.filter_map(|row| row.label.as_deref()) {
                if known.is_none_or(|known| !known.contains(label)) {
                    unseen.entry(result.of.queue_id).or_default().insert(label);
                }
            }
        }
        unseen
    }
}

/// Writes down what results say: all together, and singly where PostgreSQL does not take one of them, which is passed over: all that come
/// behind it would wait for it for ever.
async fn write_all(tx: &mut PgConnection, results: &[SaidResult]) -> sqlx::Result<()> {
    if attempt(tx, async |tx| items::replace(tx, results).await).await?.is_none() {
        return Ok(());
    }
    for result in results {
        let alone = std::slice::from_ref(result);
        if let Some(error) = attempt(tx, async |tx| items::replace(tx, alone).await).await? {
            let ResultKey { image_id, queue_id, params_id, version_id, .. } = result.of;
            tracing::error!(%error, image_id, queue_id, params_id, version_id, "a result is not searched: what it says cannot be written down");
        }
    }
    Ok(())
}
