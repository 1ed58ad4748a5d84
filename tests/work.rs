//! Microservices claim and complete.

use serde_json::json;

use crate::support::TestApp;
use crate::support::images::{md5_of, photo};

#[tokio::test]
async fn a_job_is_claimed_worked_on_and_looked_up() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let jobs = worker.claim(8).await;
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((job["lease_no"].as_i64(), job["attempt"].as_i64()), (Some(1), Some(1)));
    let bytes = worker.key.get(job["image"]["url"].as_str().expect("a url")).await;
    assert_eq!(bytes.bytes, a);
    let done = worker.complete(job, json!({"outcome": "succeeded", "result": {"fields": {"words": 3}, "summary": "three words"}, "duration_s": 0.2})).await;
    assert_eq!(
        (done["status"].as_u64(), done["state"].as_str(), done["repeat"].as_bool()),
        (Some(200), Some("succeeded"), Some(false))
    );
    let again = worker.complete(job, json!({"outcome": "succeeded", "result": {"fields": {"words": 4}}})).await;
    assert_eq!((again["status"].as_u64(), again["repeat"].as_bool()), (Some(200), Some(true)));
    let looked = ines.get(&format!("/predict/{}", md5_of(&a))).await.ok(200);
    assert_eq!((looked["status"].as_str(), looked["done"].as_bool()), (Some("succeeded"), Some(true)));
    assert_eq!(looked["results"]["ocr"]["fields"]["words"], 3);
    assert_eq!(looked["results"]["ocr"]["version"], "v1");
}
