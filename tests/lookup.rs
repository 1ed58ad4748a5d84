//! What happened to an image.

use serde_json::json;

use crate::kit::app::TestApp;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

#[tokio::test]
async fn a_look_up_waits_for_the_end() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let path = format!("/predict/{}?wait_s=40", md5_of(&photo(1)));
    let job = worker.claim(1).await.remove(0);
    let (looked, _) = tokio::join!(ines.get(&path), worker.succeed(&job));
    assert_eq!(looked.headers["cache-control"], "no-store");
    assert_eq!(looked.ok(200)["done"], true);
    let at_once = ines.get(&format!("/predict/{}?wait_s=0", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(at_once["results"]["ocr"]["job"], job["id"]);
}

#[tokio::test]
async fn a_look_up_is_over_the_named_models() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.worker("face").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr", "face"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let all = ines.get(&path).await.ok(200);
    assert_eq!((&all["status"], &all["done"]), (&json!("running"), &json!(false)));
    let one = ines.get(&format!("{path}?models=ocr")).await.ok(200);
    assert_eq!((&one["status"], one["jobs"].as_object().map(|j| j.len())), (&json!("succeeded"), Some(1)));
}

#[tokio::test]
async fn many_hashes_are_answered_in_order_with_repeats() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let (known, unknown) = (md5_of(&photo(1)), md5_of(b"nothing"));
    let ask = json!({"images": [known, unknown, "xyz", known.to_uppercase()], "results": true});
    let items = ines.post("/predict/status", ask).await.ok(200)["items"].clone();
    assert_eq!((&items[0]["status"], &items[0]["problem"]), (&json!("succeeded"), &json!(null)));
    assert_eq!((&items[1]["status"], &items[1]["problem"]["code"]), (&json!(null), &json!("not_found")));
    assert_eq!(items[2]["problem"]["code"], "invalid_hash");
    assert_eq!((&items[3]["md5"], &items[3]["results"]), (&items[0]["md5"], &items[0]["results"]));
    let bare = ines.post("/predict/status", json!({"images": [known]})).await.ok(200);
    assert_eq!(bare["items"][0]["results"], json!({}));
}

#[tokio::test]
async fn the_mirror_follows_every_transition() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let state = async || ines.get(&path).await.ok(200)["jobs"]["ocr"]["state"].clone();
    assert_eq!(state().await, "queued");
    let job = worker.claim(1).await.remove(0);
    assert_eq!(state().await, "running");
    worker.succeed(&job).await;
    assert_eq!(state().await, "succeeded");
    let rerun = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("rerun", "true");
    ines.upload(rerun).await.ok(202);
    let again = ines.get(&path).await.ok(200);
    assert_eq!(
        (&again["status"], &again["results"]["ocr"]["job"]),
        (&json!("queued"), &job["id"]),
        "the newest success stays to be seen"
    );
}

#[tokio::test]
async fn a_late_write_to_the_mirror_does_not_go_backwards() {
    use darkroom::domain::job::{JobState, JobStatus};
    use darkroom::index::status::Change;
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    ines.get(&path).await.ok(200);
    let key = darkroom::domain::image::ContentMd5::parse(&md5_of(&photo(1))).expect("an md5");
    let mirrored = app.ctx.index.read_statuses(&[key]).await;
    let seen = &mirrored[&key].status.jobs["ocr"];
    let late = JobStatus { event: seen.event, state: JobState::Running, ..seen.read().expect("a status") };
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    app.ctx.index.change_statuses(&[Change { md5: key, model: "ocr", job: &late, success: None }]).await;
    let mirrored = app.ctx.index.read_statuses(&[key]).await;
    assert_eq!(mirrored[&key].status.jobs["ocr"].state, JobState::Succeeded);
}

#[tokio::test]
async fn bytes_know_etag_and_range() {
    use axum::body::Body;
    use axum::http::Request;
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let path = format!("/images/{}/content", md5_of(&a));
    let whole = ines.get(&path).await;
    let etag = whole.headers["etag"].to_str().expect("a tag").to_owned();
    assert_eq!(
        (whole.headers["content-type"].to_str().ok(), whole.headers["accept-ranges"].to_str().ok()),
        (Some("image/png"), Some("bytes"))
    );
    let with = async |name: &str, value: &str| {
        ines.send(Request::get(&path).header(name, value).body(Body::empty()).expect("a request")).await
    };
    let part = with("range", "bytes=1-3").await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &a[1..4]));
    assert_eq!(part.headers["content-range"], format!("bytes 1-3/{}", a.len()).as_str());
    assert_eq!(with("if-none-match", &etag).await.status.as_u16(), 304);
    with("range", "bytes=999999-").await.problem(416, "range_not_satisfiable");
    let record = ines.get(&format!("/images/{}", md5_of(&a))).await.ok(200);
    assert_eq!((&record["width"], &record["height"], &record["frames"]), (&json!(40), &json!(30), &json!(1)));
}
