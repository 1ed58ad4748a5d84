//! The mirror before a transaction that makes finished statuses unfinished. What Redis cannot be told, the other replicas are
//! told through PostgreSQL, before anything is committed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Result;
use crate::domain::image::ContentMd5;
use crate::index::Index;
use crate::store::{Db, epoch};

/// How often it is said again that this replica goes on without Redis: well within what the others remember.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// What this replica says of its own reach.
pub struct Mirror {
    index: Arc<Index>,
    db: Db,
    said: Mutex<Option<Instant>>,
}

impl Mirror {
    pub fn new(index: &Arc<Index>, db: &Db) -> Self {
        Self { index: Arc::clone(index), db: db.clone(), said: Mutex::default() }
    }

    /// Marks images whose finished statuses are about to change.
    pub async fn mark(&self, images: &[ContentMd5]) -> Result<()> {
        if self.index.mark_statuses(images).await {
            return Ok(());
        }
        self.miss().await
    }

    /// Says that this replica changes what is so without being able to say so in Redis: what is mirrored there for long is set
    /// aside, and as long as this is said again nothing is mirrored for long.
    pub async fn miss(&self) -> Result<()> {
        let mut said = self.said.lock().await;
        if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            let asked = Instant::now();
            self.db.write(async |tx| epoch::miss(tx).await).await?;
            *said = Some(asked);
        }
        Ok(())
    }
}
