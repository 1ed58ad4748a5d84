//! What the results of a session must hold to.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::domain::judged_schema::JudgedSchema;
use crate::service::{Ctx, Error, Result};
use crate::store::models;
use crate::store::work::Holder;

/// The most sessions whose schema is remembered; another's is read again.
const SESSIONS_MAX: usize = 10_000;
/// The most schemas kept ready.
const SCHEMAS_MAX: usize = 1_000;

/// The schemas of results, each made ready once.
pub(super) struct Schemas {
    of_sessions: Cache<Holder, Option<Arc<JudgedSchema>>>,
    ready: Cache<String, Arc<JudgedSchema>>,
}

impl Schemas {
    pub(super) fn new() -> Self {
        Self { of_sessions: Cache::new(SESSIONS_MAX), ready: Cache::new(SCHEMAS_MAX) }
    }

    /// What the results of a session must hold to, if its version has a schema: read once for each session.
    pub(super) async fn of(&self, ctx: &Ctx, holder: &Holder) -> Result<Option<Arc<JudgedSchema>>> {
        if let Some(known) = self.of_sessions.get(holder) {
            return Ok(known);
        }
        let text = ctx.work.run(async |db| models::result_schema(db, holder).await).await?;
        let schema = text.map(|text| self.ready(text)).transpose()?;
        self.of_sessions.insert(holder.clone(), schema.clone());
        Ok(schema)
    }

    fn ready(&self, text: String) -> Result<Arc<JudgedSchema>> {
        if let Some(ready) = self.ready.get(&text) {
            return Ok(ready);
        }
        let schema = serde_json::from_str(&text).map_err(|why| Error::Internal(why.into()))?;
        // It was good when it was registered.
        let schema = JudgedSchema::for_results(schema).map_err(|fault| Error::Internal(fault.into()))?;
        let schema = Arc::new(schema);
        self.ready.insert(text, Arc::clone(&schema));
        Ok(schema)
    }
}
