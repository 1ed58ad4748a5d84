//! Small caches over PostgreSQL that go on answering for a while when it does not.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long what is known of an account or key is trusted without asking: revocation takes no longer.
pub const STANDING_FRESH: Duration = Duration::from_secs(2);
/// How long it is trusted while PostgreSQL does not answer.
pub const STANDING_STALE: Duration = Duration::from_secs(5 * 60);
/// The most entries kept; a full cache starts afresh.
const ENTRIES_MAX: usize = 100_000;
/// How long a look waits for a refresh while an older answer is at hand.
const REFRESH_WAIT: Duration = Duration::from_millis(500);
/// How long after a failed refresh nobody tries again.
const REFRESH_PAUSE: Duration = Duration::from_secs(2);

/// Answers by key: `fresh` long without a question, and the last known one for `stale` while the source is away.
pub struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Instant)>>,
    /// Moves whenever an answer is forgotten: what was asked before is not kept.
    forgotten: AtomicU64,
    paused_until: Mutex<Option<Instant>>,
    fresh: Duration,
    stale: Duration,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub fn new(fresh: Duration, stale: Duration) -> Self {
        Self {
            entries: Mutex::default(),
            forgotten: AtomicU64::default(),
            paused_until: Mutex::default(),
            fresh,
            stale,
        }
    }

    /// The answer for a key, asking the source when the known one is not fresh. What is fresh costs no future of the
    /// source's size.
    pub async fn get<F>(&self, key: &K, source: impl FnOnce() -> F) -> super::Result<V>
    where
        F: Future<Output = super::Result<V>>,
    {
        let known = self.entries.lock().get(key).cloned();
        match known {
            Some((value, at)) if at.elapsed() < self.fresh || (self.is_paused() && at.elapsed() < self.stale) => {
                Ok(value)
            }
            known => Box::pin(self.ask(key, known, source())).await,
        }
    }

    async fn ask(
        &self,
        key: &K,
        known: Option<(V, Instant)>,
        source: impl Future<Output = super::Result<V>>,
    ) -> super::Result<V> {
        let Some((value, at)) = known else { return self.refresh(key, source).await };
        match tokio::time::timeout(REFRESH_WAIT, self.refresh(key, source)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(super::Error::Unavailable(_))) | Err(_) if at.elapsed() < self.stale => {
                *self.paused_until.lock() = Some(Instant::now() + REFRESH_PAUSE);
                Ok(value)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(super::Error::from(sqlx::Error::PoolTimedOut)),
        }
    }

    /// The source's answer, which is the known one from now on.
    pub async fn refresh(&self, key: &K, source: impl Future<Output = super::Result<V>>) -> super::Result<V> {
        let before = self.forgotten.load(Ordering::Acquire);
        let value = source.await?;
        self.put(key.clone(), value.clone(), before);
        Ok(value)
    }

    /// Forgets an answer that this process has just made wrong.
    pub fn forget(&self, key: &K) {
        let mut entries = self.entries.lock();
        self.forgotten.fetch_add(1, Ordering::Release);
        entries.remove(key);
    }

    fn put(&self, key: K, value: V, before: u64) {
        let mut entries = self.entries.lock();
        if self.forgotten.load(Ordering::Acquire) != before {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, (value, Instant::now()));
    }

    fn is_paused(&self) -> bool {
        self.paused_until.lock().is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_was_asked_before_it_was_forgotten_is_not_kept() {
        let cache = Arc::new(Cache::<&str, u32>::new(STANDING_FRESH, STANDING_STALE));
        let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let asking = tokio::spawn({
            let (cache, asked, answer) = (Arc::clone(&cache), Arc::clone(&asked), Arc::clone(&answer));
            async move {
                let source = async {
                    asked.notify_one();
                    answer.notified().await;
                    Ok(1)
                };
                cache.get(&"ines", || source).await
            }
        });
        asked.notified().await;
        cache.forget(&"ines");
        answer.notify_one();
        assert_eq!(asking.await.expect("an answer").ok(), Some(1), "who asked before is told what was so then");
        assert_eq!(cache.get(&"ines", || async { Ok(2) }).await.ok(), Some(2));
        assert_eq!(cache.get(&"ines", || async { Ok(3) }).await.ok(), Some(2), "and this is kept");
    }
}
