//! Those who wait for one image or run, or follow a topic: they hear its news, and share their looks at it.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use super::Result;

/// How long a look counts for all who wait: five looks a second are as good as seeing it happen.
const LOOK_COUNTS: Duration = Duration::from_millis(200);

/// Everything of a kind that anybody waits for.
pub struct Watches<K, T>(parking_lot::Mutex<HashMap<K, Arc<Watch<T>>>>);

impl<K, T> Default for Watches<K, T> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<K: Hash + Eq + Clone, T> Watches<K, T> {
    /// Joins those who wait for news of one.
    pub fn join(&self, key: K) -> Watching<'_, K, T> {
        let watch = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        Watching { watches: self, key, watch }
    }

    /// How many things are waited for, or followed.
    pub fn known(&self) -> usize {
        self.0.lock().len()
    }

    /// How many wait, for whatever.
    pub fn joined(&self) -> usize {
        self.0.lock().values().map(|watch| watch.news.receiver_count()).sum()
    }

    /// Wakes everybody who waits for any of these; answers whether there were any of them at all.
    pub fn tell(&self, keys: impl IntoIterator<Item = K>) -> bool {
        let mut any = false;
        let watches = self.0.lock();
        for key in keys {
            any = true;
            if let Some(watch) = watches.get(&key) {
                watch.tell();
            }
        }
        any
    }
}

/// One of those who wait; the last one to leave takes the [`Watch`] away.
pub struct Watching<'w, K: Hash + Eq + Clone, T> {
    watches: &'w Watches<K, T>,
    key: K,
    watch: Arc<Watch<T>>,
}

impl<K: Hash + Eq + Clone, T> Deref for Watching<'_, K, T> {
    type Target = Watch<T>;

    fn deref(&self) -> &Watch<T> {
        &self.watch
    }
}

impl<K: Hash + Eq + Clone, T> Drop for Watching<'_, K, T> {
    fn drop(&mut self) {
        let mut watches = self.watches.0.lock();
        // The map's and this one.
        if Arc::strong_count(&self.watch) == 2 {
            watches.remove(&self.key);
        }
    }
}

/// What those who wait for one have in common.
pub struct Watch<T> {
    /// Counts the news.
    news: watch::Sender<u64>,
    last: Mutex<Option<Look<T>>>,
}

impl<T> Default for Watch<T> {
    fn default() -> Self {
        Self { news: watch::Sender::default(), last: Mutex::default() }
    }
}

struct Look<T> {
    began: Instant,
    /// The news that there were by then.
    news: u64,
    seen: Result<Arc<T>>,
}

impl<T> Watch<T> {
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
    pub async fn look(&self, look: impl Future<Output = Result<T>>) -> Result<Arc<T>> {
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

    /// What another saw who began to look at that moment or later, or what `look` sees; while the last look began less than a `pause`
    /// ago, when the next may be.
    pub async fn look_since(
        &self,
        since: Instant,
        pause: Duration,
        look: impl Future<Output = Result<T>>,
    ) -> Glance<T> {
        let mut last = self.last.lock().await;
        if let Some(Look { began, seen, .. }) = &*last {
            if *began >= since {
                return Glance::Seen(seen.as_ref().map(Arc::clone).map_err(super::Error::alike));
            }
            if began.elapsed() < pause {
                return Glance::NotBefore(*began + pause);
            }
        }
        let (began, news) = (Instant::now(), *self.news.borrow());
        let seen = look.await.map(Arc::new);
        let answer = seen.as_ref().map(Arc::clone).map_err(super::Error::alike);
        *last = Some(Look { began, news, seen });
        Glance::Seen(answer)
    }
}

/// What came of a look that others share.
pub enum Glance<T> {
    Seen(Result<Arc<T>>),
    /// It is too early for another one.
    NotBefore(Instant),
}
