//! The name of every key. Braces are literal hash tags: no script crosses them, so that a cluster could
//! serve them.

use uuid::Uuid;

use crate::domain::image::ContentMd5;

/// The ZSET of a model's due jobs: the 16 bytes of each id, by rank.
pub fn queue(namespace: &str, model: &str) -> String {
    format!("{{{namespace}:{model}}}:queue")
}

/// The epoch to which a model's queue is complete.
pub fn queue_epoch(namespace: &str, model: &str) -> String {
    format!("{{{namespace}:{model}}}:epoch")
}

/// A sweep that is under way: a flush takes it away, and the sweep then vouches for nothing.
pub fn queue_sweep(namespace: &str, model: &str, sweep: Uuid) -> String {
    format!("{{{namespace}:{model}}}:sweep:{sweep}")
}

/// The HASH of an image's statuses, in an epoch.
pub fn status(namespace: &str, md5: ContentMd5, epoch: &str) -> String {
    format!("{{{namespace}:{md5}}}:status:{epoch}")
}

/// The token of the refill under way: only who put it there may fill, and only while it stands.
pub fn token(namespace: &str, md5: ContentMd5, epoch: &str) -> String {
    format!("{{{namespace}:{md5}}}:token:{epoch}")
}

/// The mark that something about an image is changing.
pub fn mark(namespace: &str, md5: ContentMd5, epoch: &str) -> String {
    format!("{{{namespace}:{md5}}}:mark:{epoch}")
}

/// What is written and removed to see that Redis takes writes.
pub fn probe(namespace: &str) -> String {
    format!("{{{namespace}}}:probe")
}

/// The channel on which replicas wake each other.
pub fn wake(namespace: &str) -> String {
    format!("{namespace}:wake")
}
