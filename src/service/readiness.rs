//! Whether PostgreSQL serves the work of this replica: asked of the very pools that work needs, where nobody's pages take a
//! connection, and at most once a second, however many want to know.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{Db, migrate};

/// How long an answer counts.
const COUNTS: Duration = Duration::from_secs(1);

/// The connections that it uses of those for what goes together.
pub const CONNECTIONS: u32 = 1;

/// The pools, and their last answer.
pub struct Readiness {
    work: Db,
    hot: Db,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    pub fn new(work: &Db, hot: &Db) -> Self {
        Self { work: work.clone(), hot: hot.clone(), last: Mutex::default() }
    }

    /// Nothing when work can be served, else why not.
    ///
    /// # Errors
    /// In words: a pool has no connection that answers in time, or the schema is another.
    pub async fn ask(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < COUNTS
        {
            return answer.clone();
        }
        let asked = tokio::try_join!(
            self.hot.run(async |db| migrate::version(db).await),
            self.work.run(async |db| sqlx::Connection::ping(db).await)
        );
        let answer = match asked {
            Ok((Some(migrate::LATEST), ())) => Ok(()),
            Ok(_) => Err("the schema is not the one that this program was built for".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
