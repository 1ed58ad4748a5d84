//! Photographs come in.

use serde_json::json;

use crate::support::images::{md5_of, photo};
use crate::support::{Form, TestApp};

#[tokio::test]
async fn an_upload_is_stored_and_becomes_jobs() {
    let app = TestApp::new().await;
    app.worker("face_detect").await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let (a, b) = (photo(1), photo(2));
    let answer = ines.submit(&[("a.png", a.clone()), ("b.png", b.clone())], &["face_detect,ocr"]).await;
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(2));
    let first = &answer["images"][0];
    assert_eq!(first["md5"], md5_of(&a));
    assert_eq!(
        (first["name"].as_str(), first["new"].as_bool(), first["bytes"].as_u64()),
        (Some("a.png"), Some(true), Some(a.len() as u64))
    );
    let jobs = first["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|j| j["outcome"] == "created" && j["state"] == "queued"), "{jobs:?}");
    assert_eq!(answer["models"]["ocr"], json!({ "workers": 1, "queued": 0 }));
    let looked = ines.get(&format!("/predict/{}", md5_of(&b).to_uppercase())).await.ok(200);
    assert_eq!((looked["status"].as_str(), looked["done"].as_bool()), (Some("queued"), Some(false)));
    let bytes = ines.get(&format!("/images/{}/content", md5_of(&a))).await;
    assert_eq!((bytes.status.as_u16(), bytes.bytes == a), (200, true));
}

#[tokio::test]
async fn parts_come_in_any_order_and_bad_files_are_told_apart() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let form = Form::default()
        .text("priority", "5")
        .file("notes.txt", b"just words")
        .file("p.png", &photo(3))
        .text("models", "ocr");
    let answer = ines.upload(form).await.ok(202);
    assert_eq!(answer["images"][0]["index"], 1);
    assert_eq!(answer["rejected"][0]["name"], "notes.txt");
    assert_eq!(answer["rejected"][0]["problem"]["code"], "not_an_image");
}
