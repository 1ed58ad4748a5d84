//! Photographs come in.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker};
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

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
    assert_eq!((&first["name"], &first["new"], &first["bytes"]), (&json!("a.png"), &json!(true), &json!(a.len())));
    let jobs = first["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|j| j["outcome"] == "created" && j["state"] == "queued"), "{jobs:?}");
    assert_eq!(answer["models"]["ocr"], json!({ "workers": 1, "queued": 0 }));
    let looked = ines.get(&format!("/predict/{}", md5_of(&b).to_uppercase())).await.ok(200);
    assert_eq!((&looked["status"], &looked["done"]), (&json!("queued"), &json!(false)));
    let bytes = ines.get(&format!("/images/{}/content", md5_of(&a))).await;
    assert_eq!((bytes.status.as_u16(), bytes.bytes == a), (200, true));
}

#[tokio::test]
async fn every_path_of_an_image_is_kept_with_its_submission() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let names = async |id: &Uuid| {
        let shown = ines.get(&format!("/submissions/{id}")).await.ok(200);
        assert_eq!(shown["images"].as_array().map(Vec::len), Some(1), "{shown}");
        (shown["images"][0]["name"].clone(), shown["images"][0]["names"].clone())
    };
    let send = async |id: &Uuid, names: &[&str]| {
        let form = Form::default().text("models", "ocr").text("submission", &id.to_string());
        ines.upload(names.iter().fold(form, |form, name| form.file(name, &photo(1)))).await.ok(202);
    };
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    send(&first, &["b/1.png", "a/1.png"]).await;
    send(&first, &["c/1.png", "a/1.png"]).await;
    send(&second, &["d/1.png", "a/1.png"]).await;
    assert_eq!(names(&first).await, (json!("a/1.png"), json!(["a/1.png", "b/1.png", "c/1.png"])));
    assert_eq!(names(&second).await, (json!("a/1.png"), json!(["a/1.png", "d/1.png"])));
    // Named by its hash it has the newest name of all, and came under none.
    let by_hash = json!({"images": [md5_of(&photo(1))], "models": ["ocr"]});
    let third = ines.post("/predict", by_hash).await.ok(202);
    let third = third["submission"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    assert_eq!(names(&third).await.1, json!([]));
    // Of a path that is too long its end is kept.
    let fourth = Uuid::new_v4();
    send(&fourth, &[&format!("{}/end.png", "ä".repeat(2_000))]).await;
    let (name, _) = names(&fourth).await;
    let name = name.as_str().expect("a name");
    assert!(name.len() <= 1_000 && name.starts_with('…') && name.ends_with("ä/end.png"), "{name}");
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
    let answer = ines.upload(form).await;
    assert_eq!(
        answer.headers["location"].to_str().ok(),
        answer.json()["submission"].as_str().map(|s| format!("/submissions/{s}")).as_deref()
    );
    let answer = answer.ok(202);
    assert_eq!(answer["images"][0]["index"], 1);
    assert_eq!((&answer["rejected"][0]["name"], &answer["rejected"][0]["index"]), (&json!("notes.txt"), &json!(0)));
    assert_eq!(answer["rejected"][0]["problem"]["code"], "not_an_image");
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_the_same_job_is_attached_to() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    let a = photo(1);
    let first = ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let second = ivo.submit(&[("other.png", a.clone()), ("again.png", a.clone())], &["ocr"]).await;
    assert_eq!(second["images"][0]["new"], true, "to him");
    for image in second["images"].as_array().expect("images") {
        assert_eq!(image["jobs"][0]["id"], first["images"][0]["jobs"][0]["id"]);
        assert_eq!(image["jobs"][0]["outcome"], "attached");
    }
    assert_eq!(app.count("SELECT count(*) FROM job").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM image").await, 1);
    assert_eq!(blobs(&app), 1, "the loser's blob goes after the COMMIT");
}

fn blobs(app: &TestApp) -> usize {
    let folders = std::fs::read_dir(app.ctx.blobs.root()).expect("the store").flatten();
    folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().count()
}

#[tokio::test]
async fn a_known_result_answers_at_once_unless_a_rerun_is_asked_for() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let cached = ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let answer = &cached["images"][0]["jobs"][0];
    assert_eq!(
        (&answer["id"], &answer["outcome"], &answer["state"]),
        (&job["id"], &json!("finished"), &json!("succeeded"))
    );
    let form = Form::default().file("a.png", &a).text("models", "ocr").text("rerun", "true");
    let rerun = ines.upload(form).await.ok(202);
    assert_eq!(rerun["images"][0]["jobs"][0]["outcome"], "created");
    let with_params =
        Form::default().file("a.png", &a).text("models", "ocr").text("params", r#"{"ocr":{"lang":"de"}}"#);
    assert_eq!(
        ines.upload(with_params).await.ok(202)["images"][0]["jobs"][0]["outcome"],
        "created",
        "other params, other job"
    );
}

#[tokio::test]
async fn a_cached_result_counts_only_for_the_version_that_is_served() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    let newer = Worker::register(worker.key.clone(), "ocr", "v2").await;
    let answer = ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    assert_eq!(answer["images"][0]["jobs"][0]["outcome"], "created");
    newer.key.delete(&format!("/workers/{}", newer.id)).await.ok(204);
}

#[tokio::test]
async fn a_submission_id_makes_requests_idempotent_and_joins_them() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    let id = Uuid::new_v4().to_string();
    let send = |n: u64| {
        Form::default().file("a.png", &photo(n)).text("models", "ocr").text("submission", &id).text("rerun", "true")
    };
    let first = ines.upload(send(1)).await.ok(202);
    assert_eq!(first["submission"], id);
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let again = ines.upload(send(1)).await.ok(202);
    let answer = &again["images"][0]["jobs"][0];
    assert_eq!(
        (&answer["id"], &answer["state"]),
        (&job["id"], &json!("succeeded")),
        "its own job as it now is, rerun included"
    );
    ines.upload(send(2)).await.ok(202);
    let seen = ines.get(&format!("/submissions/{id}")).await.ok(200);
    assert_eq!(
        (&seen["counts"]["images"], &seen["counts"]["jobs"], &seen["counts"]["ended"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!((&seen["status"], &seen["models"]["ocr"]["succeeded"]), (&json!("running"), &json!(1)));
    ivo.upload(send(3)).await.problem(409, "submission_conflict");
    ivo.get(&format!("/submissions/{id}")).await.problem(404, "not_found");
}

#[tokio::test]
async fn stored_images_are_submitted_by_their_hash() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    app.worker("face").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let body = json!({ "images": [md5_of(&a).to_uppercase()], "models": ["face"], "priority": 3 });
    let answer = ines.post("/predict", body.clone()).await.ok(202);
    assert_eq!(
        (&answer["images"][0]["md5"], &answer["images"][0]["jobs"][0]["outcome"]),
        (&json!(md5_of(&a)), &json!("created"))
    );
    let strange = ivo.post("/predict", body).await.problem(422, "nothing_accepted");
    assert_eq!(strange["errors"][0]["code"], "not_found", "somebody else's hash does not exist");
    assert_eq!(app.count("SELECT count(*) FROM job").await, 2);
}

#[tokio::test]
async fn strict_and_require_live_refuse_the_whole_request() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let form =
        Form::default().file("a.png", &photo(1)).file("b.txt", b"x").text("models", "ocr").text("strict", "true");
    let refused = ines.upload(form).await.problem(422, "nothing_accepted");
    assert_eq!(refused["errors"][0]["pointer"], "/images/1");
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    let form = || Form::default().file("a.png", &photo(1)).text("models", "ocr");
    ines.upload(form().text("require_live", "true")).await.problem(422, "no_live_worker");
    assert_eq!(app.count("SELECT count(*) FROM image").await, 0);
    let waits = ines.upload(form()).await.ok(202);
    assert_eq!(waits["models"]["ocr"]["workers"], 0);
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(looked["jobs"]["ocr"]["waiting"], "no_live_worker");
}

#[tokio::test]
async fn other_bytes_with_a_known_md5_are_never_mixed_up() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    // As if the stored image had been another one of the same MD5.
    sqlx::query("UPDATE image SET sha256 = $1")
        .bind(vec![7u8; 32])
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    let refused = ines.upload(Form::default().file("a.png", &a).text("models", "ocr")).await;
    assert_eq!(refused.problem(422, "nothing_accepted")["errors"][0]["code"], "md5_collision");
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code = 'md5_collision'").await, 1);
}

#[tokio::test]
async fn a_job_with_a_later_time_waits_for_it() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let later = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("run_at", "2100-01-01T00:00:00Z");
    ines.upload(later).await.ok(202);
    darkroom::maintenance::due_pass(&app.ctx).await.expect("a pass");
    assert!(worker.claim(1).await.is_empty());
    sqlx::query("UPDATE job SET run_at = clock_timestamp()").execute(app.ctx.db.pool()).await.expect("an update");
    darkroom::maintenance::due_pass(&app.ctx).await.expect("a pass");
    assert_eq!(worker.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_more_urgent_job_is_claimed_first() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    for (salt, priority) in [(1, "0"), (2, "10"), (3, "-10")] {
        let form = Form::default().file("a.png", &photo(salt)).text("models", "ocr").text("priority", priority);
        ines.upload(form).await.ok(202);
    }
    let jobs = worker.claim(3).await;
    let order: Vec<&Value> = jobs.iter().map(|j| &j["image"]["md5"]).collect();
    assert_eq!(order, [&json!(md5_of(&photo(2))), &json!(md5_of(&photo(1))), &json!(md5_of(&photo(3)))]);
}

#[tokio::test]
async fn a_submission_is_waited_for_and_cancelled() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    let answer = ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    ivo.submit(&[("b.png", photo(2))], &["ocr"]).await;
    let id = answer["submission"].as_str().expect("an id").to_owned();
    let cancelled = ines.post(&format!("/submissions/{id}/cancel"), Value::Null).await.ok(200);
    assert_eq!(cancelled["cancelled"], 1, "somebody else still waits for the other");
    let seen = ines.get(&format!("/submissions/{id}?wait_s=5")).await.ok(200);
    assert_eq!((&seen["status"], &seen["done"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(ines.post(&format!("/submissions/{id}/cancel"), Value::Null).await.ok(200)["cancelled"], 0);
    let jobs = worker.claim(8).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["image"]["md5"], md5_of(&photo(2)));
    let waiting = ivo.get("/submissions").await.ok(200)["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/submissions/{waiting}?wait_s=20");
    let (seen, _) = tokio::join!(ivo.get(&path), worker.succeed(&jobs[0]));
    assert_eq!(seen.ok(200)["status"], "succeeded");
}
