//! Images are found by what is known of them, by those who may, at a bounded cost.

mod bad;
mod bounds;
mod changes;
mod compared;
mod keys;
mod near;
mod sight;

use serde_json::{Value, json};

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::{Answer, Client};

/// What a search is answered.
pub async fn search(who: &Client, fields: &[(&str, &str)]) -> Answer {
    who.get(&format!("/search?{}", serde_urlencoded::to_string(fields).expect("a query"))).await
}

/// A field of all hits of a filter, which are one page.
pub async fn all(who: &Client, filter: &str, field: &str) -> Vec<String> {
    let page = search(who, &[("q", filter)]).await.ok(200);
    assert_eq!(page["next_cursor"], Value::Null, "{filter}: {page}");
    told(&page, field)
}

/// The file names of all hits.
pub async fn found(who: &Client, filter: &str) -> Vec<String> {
    all(who, filter, "name").await
}

/// A field of the items of a page.
pub fn told(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item[field].as_str().map_or_else(|| item[field].to_string(), str::to_owned)).collect()
}

/// What is counted of a filter.
pub async fn counts(who: &Client, filter: &str) -> Value {
    let query = serde_urlencoded::to_string([("q", filter)]).expect("a query");
    who.get(&format!("/search/counts?{query}")).await.ok(200)
}

/// Completes the next job of a model with a result.
pub async fn say(worker: &Worker, result: Value) {
    let job = worker.claim(1).await.remove(0);
    let done = worker.complete(&job, json!({"outcome": "succeeded", "result": result})).await;
    assert_eq!(done["status"], 200, "{done}");
}

/// A worker of a model, whose line is known to Redis.
pub async fn worker(app: &TestApp, model: &str) -> Worker {
    let worker = app.worker(model).await;
    app.sweep().await;
    worker
}
