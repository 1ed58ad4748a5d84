//! Those who wait for one image: they hear its news, and share their looks at it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use super::Result;
use crate::domain::job::ImageStatus;

/// How long a look counts for all who wait: five looks a second are as good as seeing it happen.
const LOOK_COUNTS: Duration = Duration::from_millis(200);

/// What those who wait for one image have in common.
#[derive(Default)]
pub struct Watch {
    /// Counts the news.
    news: watch::Sender<u64>,
    last: Mutex<Option<Look>>,
}

struct Look {
    began: Instant,
    /// The news that there were by then.
    news: u64,
    seen: Result<Arc<ImageStatus>>,
}

impl Watch {
    /// Follows the news. Enrol before looking, or what happens in between is missed.
    pub fn enrol(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Wakes everybody.
    pub fn tell(&self) {
        self.news.send_modify(|n| *n += 1);
    }

    /// What another saw who began to look of late and after the last news, or what `look` sees: one looks at a time, at
    /// most once in [`LOOK_COUNTS`].
    pub async fn look(&self, look: impl Future<Output = Result<ImageStatus>>) -> Result<Arc<ImageStatus>> {
        let mut last = self.last.lock().await;
        if let Some(Look { began, news, seen }) = &*last {
            let rest = LOOK_COUNTS.saturating_sub(began.elapsed());
            if *news == *self.news.borrow() && !rest.is_zero() {
                return seen.as_ref().map(Arc::clone).map_err(super::Error::alike);
            }
            sleep(rest).await;
        }
        let (began, news) = (Instant::now(), *self.news.borrow());
        let seen = look.await.map(Arc::new);
        let answer = seen.as_ref().map(Arc::clone).map_err(super::Error::alike);
        *last = Some(Look { began, news, seen });
        answer
    }
}
