//! Wake-ups between replicas, over Redis pub/sub. A lost one costs a few seconds, never more: every waiter has a
//! back-stop.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use redis::RedisError;
use uuid::Uuid;

use super::{Index, PIPELINE_MAX, keys};
use crate::domain::image::ContentMd5;

/// How long subscribing may take.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(2);
/// After this much silence the subscription is made anew: a half-open connection says nothing either.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What another replica told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// So many jobs of a model were pushed for which nobody waited there.
    Pushed { model: String, count: usize },
    /// A model has a suspect to be tried.
    Suspect { model: String },
    /// Jobs on these images ended.
    Ended(Vec<ContentMd5>),
}

impl Index {
    /// Tells the other replicas about pushed jobs and images whose jobs ended.
    pub async fn tell(&self, replica: Uuid, models: &[(String, usize)], images: &[ContentMd5]) {
        if self.is_alone() || (models.is_empty() && images.is_empty()) {
            return;
        }
        let channel = keys::wake(&self.namespace);
        self.run(async |live| {
            let mut pipe = redis::pipe();
            for images in images.chunks(PIPELINE_MAX) {
                let names: Vec<String> = images.iter().map(ToString::to_string).collect();
                pipe.publish(&channel, format!("{replica} image {}", names.join(" "))).ignore();
            }
            for (model, count) in models {
                pipe.publish(&channel, format!("{replica} model {model} {count}")).ignore();
            }
            pipe.query_async::<()>(&mut live.connection).await
        })
        .await;
    }

    /// Tells the other replicas that a model has a suspect to be tried.
    pub async fn tell_suspect(&self, replica: Uuid, model: &str) {
        if self.is_alone() {
            return;
        }
        let channel = keys::wake(&self.namespace);
        self.run(async |live| {
            redis::cmd("PUBLISH")
                .arg(&channel)
                .arg(format!("{replica} suspect {model}"))
                .query_async::<()>(&mut live.connection)
                .await
        })
        .await;
    }

    /// Whether no other replica listened when this one last looked: then nobody is to be told.
    fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    /// Asks Redis for a sign of life, and who else listens; a failure opens the circuit like that of any other call. One that
    /// begins to listen after is told nothing until the next look: its back-stops serve it meanwhile.
    pub async fn look_around(&self) -> bool {
        let own = u64::from(self.listens.load(Ordering::Relaxed));
        let listeners = self.listeners().await;
        self.alone.store(listeners.is_some_and(|listeners| listeners <= own), Ordering::Relaxed);
        listeners.is_some()
    }

    /// How many replicas listen; nothing of a Redis that takes no writes.
    pub async fn listeners(&self) -> Option<u64> {
        let channel = keys::wake(&self.namespace);
        let replies: Vec<(String, u64)> = self
            .run(async |live| {
                let mut pipe = self.write_probe();
                pipe.cmd("PUBSUB").arg("NUMSUB").arg(&channel);
                pipe.query_async(&mut live.connection).await
            })
            .await?;
        Some(replies.first()?.1)
    }

    /// Listens to all replicas but this one until the connection breaks, or has been silent for so long that it may have.
    pub async fn listen<F>(&self, replica: Uuid, mut hear: impl FnMut(News) -> F) -> Result<(), RedisError>
    where
        F: Future<Output = ()>,
    {
        let subscribing = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(keys::wake(&self.namespace)).await?;
            Ok::<_, RedisError>(subscription)
        };
        let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let mut subscription = tokio::time::timeout(SUBSCRIBE_WAIT, subscribing).await.map_err(late)??;
        self.listens.store(true, Ordering::Relaxed);
        let mut messages = subscription.on_message();
        while let Ok(Some(message)) = tokio::time::timeout(SILENCE_MAX, messages.next()).await {
            let text = message.get_payload::<String>().unwrap_or_default();
            if let Some(news) = read(&text, &replica.to_string()) {
                hear(news).await;
            }
        }
        self.listens.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads one message, unless it is this replica's own.
fn read(message: &str, own: &str) -> Option<News> {
    let mut words = message.split(' ');
    if words.next()? == own {
        return None;
    }
    match (words.next()?, words.next()?) {
        ("model", model) => {
            let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(1);
            Some(News::Pushed { model: model.to_owned(), count })
        }
        ("suspect", model) => Some(News::Suspect { model: model.to_owned() }),
        ("image", first) => {
            Some(News::Ended(std::iter::once(first).chain(words).filter_map(ContentMd5::parse).collect()))
        }
        _ => None,
    }
}
