//! What never changes, kept in memory: images by their id, params by theirs, models' names by their queue. So the statements
//! of the work need not join it to every job.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use quick_cache::sync::Cache;
use serde_json::value::RawValue;

use super::Result;
use crate::store::images::{self, KnownImage};
use crate::store::{Db, models, queues};

/// The most images kept: some 200 bytes each.
const IMAGES_MAX: usize = 100_000;
/// The most params kept; most installations have a handful.
const PARAMS_MAX: usize = 10_000;
/// The most models' names kept.
const NAMES_MAX: usize = 10_000;

/// The memory of a process, and where it looks up what it does not know.
pub struct Catalog {
    db: Db,
    images: Cache<i64, Arc<KnownImage>>,
    params: Cache<i64, Arc<RawValue>>,
    params_ids: Cache<[u8; 32], i64>,
    names: Cache<i32, Arc<str>>,
}

impl Catalog {
    pub fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            images: Cache::new(IMAGES_MAX),
            params: Cache::new(PARAMS_MAX),
            params_ids: Cache::new(PARAMS_MAX),
            names: Cache::new(NAMES_MAX),
        }
    }

    /// Remembers images that were just read or made.
    pub fn learn(&self, known: impl IntoIterator<Item = KnownImage>) {
        for image in known {
            self.images.insert(image.id, Arc::new(image));
        }
    }

    /// The images of these ids; one that was removed is missing.
    pub async fn images(&self, ids: impl IntoIterator<Item = i64>) -> Result<HashMap<i64, Arc<KnownImage>>> {
        let (mut found, missing) = remembered(&self.images, ids);
        if !missing.is_empty() {
            for image in self.db.run(async |db| images::known(db, &missing).await).await? {
                let image = Arc::new(image);
                self.images.insert(image.id, Arc::clone(&image));
                found.insert(image.id, image);
            }
        }
        Ok(found)
    }

    /// The params of these ids, as canonical JSON.
    pub async fn params(&self, ids: impl IntoIterator<Item = i64>) -> Result<HashMap<i64, Arc<RawValue>>> {
        let (mut found, missing) = remembered(&self.params, ids);
        if !missing.is_empty() {
            for (id, body) in self.db.run(async |db| models::params(db, &missing).await).await? {
                let body: Arc<RawValue> = Arc::from(body);
                self.params.insert(id, Arc::clone(&body));
                found.insert(id, body);
            }
        }
        Ok(found)
    }

    /// The ids of params by their hashes, kept on first use.
    pub async fn params_ids(&self, params: &HashMap<[u8; 32], String>) -> Result<HashMap<[u8; 32], i64>> {
        let (mut found, missing) = remembered(&self.params_ids, params.keys().copied());
        if !missing.is_empty() {
            let wanted: Vec<(&[u8], &str)> =
                missing.iter().filter_map(|hash| Some((hash.as_slice(), params.get(hash)?.as_str()))).collect();
            let kept = self.db.run(async |db| models::params_ids(db, &wanted).await).await?;
            for (hash, id) in missing.iter().zip(kept) {
                self.params_ids.insert(*hash, id);
                found.insert(*hash, id);
            }
        }
        Ok(found)
    }

    /// The names of the models of these queues.
    pub async fn names(&self, queues: impl IntoIterator<Item = i32>) -> Result<HashMap<i32, Arc<str>>> {
        let (mut found, missing) = remembered(&self.names, queues);
        if !missing.is_empty() {
            for (queue, name) in self.db.run(async |db| queues::names(db, &missing).await).await? {
                let name: Arc<str> = name.into();
                self.names.insert(queue, Arc::clone(&name));
                found.insert(queue, name);
            }
        }
        Ok(found)
    }
}

/// What is in memory of these keys, and the keys that are not, each once.
fn remembered<K: Hash + Eq + Clone, V: Clone>(
    cache: &Cache<K, V>,
    keys: impl IntoIterator<Item = K>,
) -> (HashMap<K, V>, Vec<K>) {
    let mut found: HashMap<K, V> = HashMap::new();
    let mut missing = Vec::new();
    for key in keys {
        if found.contains_key(&key) {
            continue;
        }
        match cache.get(&key) {
            Some(value) => drop(found.insert(key, value)),
            None if missing.contains(&key) => {}
            None => missing.push(key),
        }
    }
    (found, missing)
}
