//! What a replica remembers of models: the labels that they gave, and what their results must hold to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::domain::result::ItemRow;
use crate::domain::result_schema::ResultSchema;
use crate::service::{Ctx, Error, Result};
use crate::store::models;
use crate::store::work::Holder;

/// How many labels that it gave are kept of one model: a list for people to choose from.
const SEEN_LABELS_MAX: usize = 1_000;
/// The most sessions whose schema is remembered; another's is read again.
const SESSIONS_MAX: usize = 10_000;
/// The most schemas kept ready.
const SCHEMAS_MAX: usize = 1_000;

/// Labels that are known to be written down, by the queue of their model.
#[derive(Default)]
pub(super) struct SeenLabels(Mutex<HashMap<i32, HashSet<String>>>);

impl SeenLabels {
    /// Writes down what of the labels of results is new: nothing, but for a model's first results. What could not be written down
    /// is left to the next result that has it.
    pub(super) async fn learn(&self, ctx: &Ctx, said: &[(i32, &[ItemRow])]) {
        for (queue, labels) in self.unseen(said) {
            let labels: Vec<&str> = labels.into_iter().collect();
            match ctx.work.run(async |db| models::learn_labels(db, queue, &labels, SEEN_LABELS_MAX).await).await {
                Ok(known) => drop(self.0.lock().insert(queue, known.into_iter().collect())),
                Err(error) => tracing::warn!(%error, queue, "labels of results were not written down"),
            }
        }
    }

    fn unseen<'s>(&self, said: &[(i32, &'s [ItemRow])]) -> HashMap<i32, HashSet<&'s str>> {
        let known = self.0.lock();
        let mut unseen: HashMap<i32, HashSet<&str>> = HashMap::new();
        for (queue, rows) in said {
            let known = known.get(queue);
            if known.is_some_and(|known| known.len() >= SEEN_LABELS_MAX) {
                continue;
            }
            let labels = rows.iter().filter(|row| row.is_labelled()).filter_map(|row| row.label.as_deref());
            for label in labels.filter(|label| known.is_none_or(|known| !known.contains(*label))) {
                unseen.entry(*queue).or_default().insert(label);
            }
        }
        unseen
    }
}

/// The schemas of results, each made ready once.
pub(super) struct Schemas {
    of_sessions: Cache<Holder, Option<Arc<ResultSchema>>>,
    ready: Cache<String, Arc<ResultSchema>>,
}

impl Schemas {
    pub(super) fn new() -> Self {
        Self { of_sessions: Cache::new(SESSIONS_MAX), ready: Cache::new(SCHEMAS_MAX) }
    }

    /// What the results of a session must hold to, if its version has a schema: read once for each session.
    pub(super) async fn of(&self, ctx: &Ctx, holder: &Holder) -> Result<Option<Arc<ResultSchema>>> {
        if let Some(known) = self.of_sessions.get(holder) {
            return Ok(known);
        }
        let text = ctx.work.run(async |db| models::result_schema(db, holder).await).await?;
        let schema = text.map(|text| self.ready(text)).transpose()?;
        self.of_sessions.insert(holder.clone(), schema.clone());
        Ok(schema)
    }

    fn ready(&self, text: String) -> Result<Arc<ResultSchema>> {
        if let Some(ready) = self.ready.get(&text) {
            return Ok(ready);
        }
        let schema = serde_json::from_str(&text).map_err(|why| Error::Internal(why.into()))?;
        // It was good when it was registered.
        let schema = ResultSchema::new(schema).map_err(|fault| Error::Internal(fault.into()))?;
        let schema = Arc::new(schema);
        self.ready.insert(text, Arc::clone(&schema));
        Ok(schema)
    }
}
