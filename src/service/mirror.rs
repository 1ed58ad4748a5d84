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
        if self.index.mark_statuses(images).await || self.mark_apart(images).await? {
            return Ok(());
        }
        self.miss().await
    }

    /// An answer that came too late, or a lost connection, costs no more than another try: as long as nobody was told of a miss, which
    /// costs all replicas what they have mirrored.
    async fn mark_apart(&self, images: &[ContentMd5]) -> Result<bool> {
        if self.said.lock().await.is_some_and(|at| at.elapsed().as_secs_f64() < epoch::SAID_FOR_S) {
            return Ok(false);
        }
        let Some((run, of)) = self.index.mark_apart(images).await else { return Ok(false) };
        // What others use is what had to be marked.
        let standing = self.db.run(async |db| epoch::standing(db, None).await).await?;
        Ok(standing.is_some_and(|standing| standing.run() == run && standing.epoch() == &*of))
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
