//! Every metric: its name, labels and meaning. Labels are models, states and outcomes, never ids.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::domain::job::JobState;
use crate::store::queues::Depth;
use crate::store::work::Moved;

/// Describes every metric to the recorder.
pub fn describe() {
    describe_gauge!("darkroom_jobs", "Live jobs by model and state.");
    describe_gauge!("darkroom_queue_oldest_wait_seconds", "How long the first job in line has been due, by model.");
    describe_gauge!("darkroom_workers", "Live workers by model.");
    describe_counter!("darkroom_jobs_finished_total", "Jobs ended by this replica, by model and outcome.");
    describe_counter!("darkroom_job_retries_total", "Attempts that failed and will be tried again, by model.");
    describe_counter!("darkroom_jobs_rescued_total", "Jobs taken from dead or overdue workers, by model.");
    describe_counter!(
        "darkroom_stale_leases_total",
        "Completions and releases refused because the lease was not held."
    );
    describe_counter!(
        "darkroom_claim_fallbacks_total",
        "Claims served from PostgreSQL because Redis could not be trusted, by model."
    );
    describe_counter!(
        "darkroom_index_missing_total",
        "Due jobs that the sweep found missing from the Redis queues: drift."
    );
    describe_counter!(
        "darkroom_mirror_forged_total",
        "Values mirrored in Redis under a wrong seal, each taken for a miss: somebody else writes it, or the token key has changed."
    );
    describe_counter!("darkroom_index_stale_total", "Hints of ended jobs that the sweep took out of the Redis queues.");
    describe_gauge!(
        "darkroom_claimable_wait_seconds",
        "How long a job that may be claimed has waited while a claim of its model waited, by model, as the last probe saw it: at most 2."
    );
    describe_gauge!("darkroom_redis_up", "Whether Redis answers this replica.");
    describe_gauge!("darkroom_db_pool_connections", "Connections of this replica's PostgreSQL pool, by state.");
    describe_counter!("darkroom_uploads_total", "Images taken.");
    describe_counter!(
        "darkroom_images_derived_total",
        "Images of which was worked out what can be known without a model, by outcome: done, failed, or died for a try that killed its decoder."
    );
    describe_counter!("darkroom_exports_total", "Exports made, by outcome: succeeded or failed.");
    describe_gauge!(
        "darkroom_items_lag_seconds",
        "How long the oldest result has been there that searches do not find yet, as this replica last saw it: a few, unless a transaction is open for long."
    );
    describe_counter!("darkroom_upload_bytes_total", "Bytes of the images taken.");
    describe_counter!(
        "darkroom_artifact_bytes_total",
        "Bytes of the checkpoints and models taken from training services."
    );
    describe_histogram!(
        "darkroom_http_request_duration_seconds",
        "Durations of requests by method, route and status; long polls included."
    );
    describe_gauge!("darkroom_event_streams", "Streams of events that this replica sends.");
    describe_counter!(
        "darkroom_event_looks_total",
        "Looks at what streams of events follow, by topic: one for all who follow the same."
    );
    describe_gauge!("darkroom_build_info", "Always 1; the version is its label.");
    gauge!("darkroom_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    counter!("darkroom_stale_leases_total").absolute(0);
    counter!("darkroom_index_missing_total").absolute(0);
    counter!("darkroom_mirror_forged_total").absolute(0);
    counter!("darkroom_index_stale_total").absolute(0);
}

/// Models' names by their queue.
type Names = HashMap<i32, Arc<str>>;

/// Counts committed transitions.
pub fn moved(moved: &[Moved], names: &Names) {
    let mut ended: HashMap<(i32, &str), u64> = HashMap::new();
    for one in moved.iter().filter(|m| m.state.ended()) {
        *ended.entry((one.queue_id, one.reason.as_deref().unwrap_or(one.state.as_str()))).or_default() += 1;
    }
    for ((queue, outcome), count) in ended {
        let labels = [("model", name(queue, names)), ("outcome", outcome.into())];
        counter!("darkroom_jobs_finished_total", &labels).increment(count);
    }
}

/// Counts attempts that will be tried again.
pub fn retried(moved: &[Moved], names: &Names) {
    for one in moved.iter().filter(|m| m.state == JobState::Queued) {
        counter!("darkroom_job_retries_total", "model" => name(one.queue_id, names)).increment(1);
    }
}

/// Counts jobs taken from dead or overdue workers.
pub fn rescued(moved: &[Moved], names: &Names) {
    for one in moved {
        counter!("darkroom_jobs_rescued_total", "model" => name(one.queue_id, names)).increment(1);
    }
}

fn name(queue: i32, names: &Names) -> Arc<str> {
    names.get(&queue).cloned().unwrap_or_else(|| "".into())
}

/// Counts a completion or release whose lease was not held.
pub fn stale_lease() {
    counter!("darkroom_stale_leases_total").increment(1);
}

/// Counts a claim served without Redis.
pub fn claim_fallback(model: &str) {
    counter!("darkroom_claim_fallbacks_total", "model" => model.to_owned()).increment(1);
}

/// Counts jobs that the sweep had to put back.
pub fn index_missing(count: u64) {
    counter!("darkroom_index_missing_total").increment(count);
}

/// Counts mirrored values that were not sealed here.
pub fn mirror_forged(count: u64) {
    counter!("darkroom_mirror_forged_total").increment(count);
}

/// Counts hints of ended jobs that the sweep took away.
pub fn index_stale(count: usize) {
    counter!("darkroom_index_stale_total").increment(count as u64);
}

/// Notes how long a claimable job has waited while somebody waited for it.
pub fn claimable_wait(model: &str, seconds: f64) {
    gauge!("darkroom_claimable_wait_seconds", "model" => model.to_owned()).set(seconds);
}

/// Counts images taken and their bytes.
pub fn uploaded(images: usize, bytes: u64) {
    counter!("darkroom_uploads_total").increment(images as u64);
    counter!("darkroom_upload_bytes_total").increment(bytes);
}

/// Counts an export that was made, or failed.
pub fn exported(outcome: &'static str) {
    counter!("darkroom_exports_total", "outcome" => outcome).increment(1);
}

/// Counts an image that was worked out, or a try at one.
pub fn derived(outcome: &'static str) {
    counter!("darkroom_images_derived_total", "outcome" => outcome).increment(1);
}

/// Notes how long the oldest result has not been written down.
pub fn items_lag(seconds: f64) {
    gauge!("darkroom_items_lag_seconds").set(seconds);
}

/// Counts the bytes of a checkpoint or model taken.
pub fn artifact(bytes: u64) {
    counter!("darkroom_artifact_bytes_total").increment(bytes);
}

/// Counts a look at what streams follow.
pub fn event_look(topic: &'static str) {
    counter!("darkroom_event_looks_total", "topic" => topic).increment(1);
}

/// Counts a stream while it is there.
pub struct StreamOpen;

impl StreamOpen {
    #[expect(clippy::new_without_default, reason = "making one counts")]
    pub fn new() -> Self {
        gauge!("darkroom_event_streams").increment(1.0);
        Self
    }
}

impl Drop for StreamOpen {
    fn drop(&mut self) {
        gauge!("darkroom_event_streams").decrement(1.0);
    }
}

/// The methods that any route has. A client may invent others, and a label is kept for ever.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Records a request's duration.
pub fn request(method: &str, route: &str, status: u16, seconds: f64) {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
    histogram!("darkroom_http_request_duration_seconds", &labels).record(seconds);
}

/// Sets the gauges that are read at a scrape.
pub fn scraped(depths: &[Depth], redis_up: bool, pool_size: u32, pool_idle: usize) {
    for depth in depths {
        gauge!("darkroom_jobs", "model" => depth.model.clone(), "state" => "queued").set(depth.queued as f64);
        gauge!("darkroom_jobs", "model" => depth.model.clone(), "state" => "running").set(depth.running as f64);
        gauge!("darkroom_workers", "model" => depth.model.clone()).set(depth.workers as f64);
        gauge!("darkroom_queue_oldest_wait_seconds", "model" => depth.model.clone())
            .set(depth.oldest_wait_s.unwrap_or(0.0).max(0.0));
    }
    gauge!("darkroom_redis_up").set(f64::from(u8::from(redis_up)));
    gauge!("darkroom_db_pool_connections", "state" => "idle").set(pool_idle as f64);
    gauge!("darkroom_db_pool_connections", "state" => "used").set(f64::from(pool_size) - pool_idle as f64);
}
