//! What to submit and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

/// What to submit and how, for callers of [`submit`](super::submit::submit).
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Names of the models.
    pub models: Vec<String>,
    /// From −100 to 100, higher is sooner.
    pub priority: i32,
    /// Skip the cache.
    pub rerun: bool,
    /// An object keyed by model.
    pub params: Option<Value>,
    /// The case that is to hold the photographs; one's own when absent.
    pub case: Option<Uuid>,
    /// Identifies the submission; sending it again does nothing twice.
    pub submission: Uuid,
    /// How long to wait for the jobs after the upload; `None` does not wait.
    pub wait: Option<Duration>,
    /// Requests in flight at a time.
    pub parallel: usize,
    /// Counts the files that the server has taken, for whoever stops waiting.
    pub taken: Arc<AtomicUsize>,
}

impl Options {
    /// The command's own defaults: priority 0, the cache used, ten minutes of waiting.
    pub fn new(paths: Vec<PathBuf>, models: Vec<String>) -> Self {
        Self {
            paths,
            models,
            priority: 0,
            rerun: false,
            params: None,
            case: None,
            submission: Uuid::new_v4(),
            wait: Some(Duration::from_secs(600)),
            parallel: 4,
            taken: Arc::default(),
        }
    }
}
