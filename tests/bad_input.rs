//! Each fault gets the problem document that is promised, names its mend, and leaves nothing behind.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, Worker};
use crate::kit::client::{Client, assert_mends};
use crate::kit::form::{self, Form};
use crate::kit::images::{md5_of, photo, png};

async fn desk() -> (TestApp, Client, Worker) {
    let app = TestApp::with(|s| {
        s.image_bytes_max = 4096;
        s.upload_bytes_max = 64 * 1024;
        s.result_bytes_max = 2048;
    })
    .await;
    let worker = app.worker("face_detect").await;
    let ines = app.investigator("ines").await;
    (app, ines, worker)
}

/// Nothing of a refused request may stay: no row, no bytes, no spool file.
async fn assert_nothing_stays(app: &TestApp) {
    for table in [
        "SELECT count(*) FROM image",
        "SELECT count(*) FROM job",
        "SELECT count(*) FROM upload",
        "SELECT count(*) FROM request",
    ] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
    let root = app.ctx.blobs.root();
    let blobs = std::fs::read_dir(root)
        .expect("the store")
        .flatten()
        .filter_map(|f| std::fs::read_dir(f.path()).ok())
        .flatten()
        .count();
    let spool = std::fs::read_dir(root.with_file_name("staging")).expect("the spool").count();
    assert_eq!((blobs, spool), (0, 0), "bytes stayed");
}

fn form() -> Form {
    Form::default().file("a.png", &photo(1))
}

#[tokio::test]
async fn a_wrong_request_is_refused_whole() {
    let (app, ines, _) = desk().await;
    let misspelt = ines.upload(form().text("models", "face_detcet")).await.problem(422, "unknown_model");
    assert!(misspelt["mend"].as_str().is_some_and(|mend| mend.contains("face_detect")), "{misspelt}");
    assert_eq!(misspelt["errors"][0]["pointer"], "/models/0");
    let good = || form().text("models", "face_detect");
    let cases: [(Form, u16, &str); 17] = [
        (form(), 422, "no_model"),
        (Form::default().text("models", "face_detect"), 422, "no_image"),
        (form().text("models", "Not A Name"), 422, "unknown_model"),
        (good().text("modles", "x"), 422, "unknown_field"),
        (good().text("priority", "101"), 422, "invalid_field"),
        (good().text("priority", "high"), 422, "invalid_field"),
        (good().text("rerun", "perhaps"), 422, "invalid_field"),
        (good().text("submission", "17"), 422, "invalid_field"),
        (good().text("run_at", "tomorrow"), 422, "invalid_field"),
        (good().text("finish_within_s", "-1"), 422, "invalid_field"),
        (good().text("finish_within_s", "NaN"), 422, "invalid_field"),
        (good().text("params", "{"), 400, "malformed_json"),
        (good().text("params", "[]"), 422, "invalid_field"),
        (good().text("params", r#"{"ocr":{}}"#), 422, "invalid_field"),
        (good().text("params", r#"{"face_detect":{"a":1,"a":2}}"#), 422, "duplicate_key"),
        (good().text("priority", "1").text("priority", "2"), 422, "invalid_field"),
        (good().text("models", "a\0b"), 422, "nul_character"),
    ];
    for (n, (form, status, code)) in cases.into_iter().enumerate() {
        let answer = ines.upload(form).await;
        assert_eq!(answer.json()["code"], code, "case {n}");
        answer.problem(status, code);
    }
    assert_nothing_stays(&app).await;
}

#[tokio::test]
async fn a_bad_file_is_rejected_with_its_reason() {
    let (app, ines, _) = desk().await;
    let mut cut = photo(2);
    cut.truncate(20);
    let mut bomb = png(100_000, 100_000, 3);
    bomb.truncate(200);
    let files: [(&str, Vec<u8>, u16, &str); 6] = [
        ("empty.png", Vec::new(), 422, "empty_file"),
        ("notes.txt", b"just words, not a photograph".to_vec(), 422, "not_an_image"),
        ("cut.png", cut, 422, "malformed_image"),
        ("bomb.png", bomb, 422, "image_too_big"),
        ("zero.png", png(0, 10, 4), 422, "malformed_image"),
        ("big.png", [photo(5), vec![0; 5000]].concat(), 413, "file_too_large"),
    ];
    let mut form = Form::default().text("models", "face_detect");
    for (name, bytes, ..) in &files {
        form = form.file(name, bytes);
    }
    let refused = ines.upload(form.clone()).await.problem(422, "nothing_accepted");
    assert_eq!(refused["errors"].as_array().map(Vec::len), Some(files.len()));
    assert_nothing_stays(&app).await;
    let answer = ines.upload(form.file("good.png", &photo(6))).await.ok(202);
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(1));
    for (rejected, (name, _, status, code)) in answer["rejected"].as_array().expect("rejected").iter().zip(files) {
        assert_eq!(
            (&rejected["name"], &rejected["problem"]["code"], &rejected["problem"]["status"]),
            (&json!(name), &json!(code), &json!(status))
        );
        assert_mends(&rejected["problem"]);
    }
    let mut truncated = photo(7);
    truncated.truncate(truncated.len() - 14);
    let taken = ines.submit(&[("truncated.png", truncated)], &["face_detect"]).await;
    assert!(taken["images"][0]["warnings"][0].as_str().is_some_and(|w| w.starts_with("truncated")), "{taken}");
}

#[tokio::test]
async fn sizes_counts_and_content_types_are_bounded() {
    let (app, ines, _) = desk().await;
    let mut huge = Form::default().text("models", "face_detect");
    for n in 0..40 {
        huge = huge.file("a.png", &[photo(n), vec![0; 3000]].concat());
    }
    ines.upload(huge.clone()).await.problem(413, "too_large");
    let declared = Request::post("/predict")
        .header(header::CONTENT_TYPE, form::CONTENT_TYPE)
        .header(header::CONTENT_LENGTH, 1u64 << 40);
    ines.send(declared.body(Body::empty()).expect("a request")).await.problem(413, "too_large");
    let hashes: Vec<String> = (0..1001u64).map(|n| md5_of(&n.to_be_bytes())).collect();
    ines.post("/predict", json!({"images": hashes, "models": ["face_detect"]})).await.problem(422, "too_many_images");
    ines.post("/predict/status", json!({"images": hashes})).await.problem(422, "too_many_images");
    for content_type in ["text/plain", "multipart/form-data", "application/xml"] {
        let request = Request::post("/predict").header(header::CONTENT_TYPE, content_type).body(Body::from("x"));
        ines.send(request.expect("a request")).await.problem(415, "unsupported_media_type");
    }
    let text = Request::post("/predict/status").header(header::CONTENT_TYPE, "text/plain").body(Body::from("{}"));
    ines.send(text.expect("a request")).await.problem(415, "unsupported_media_type");
    ines.raw("/predict/status", " ".repeat(3 * 1024 * 1024)).await.problem(413, "too_large");
    assert_nothing_stays(&app).await;
}

#[tokio::test]
async fn a_body_cut_off_is_told_and_leaves_nothing() {
    let (app, ines, _) = desk().await;
    let whole = form().text("models", "face_detect").finish();
    for keep in [whole.len() - 20, whole.len() / 2, 100, 10] {
        let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
        let answer = ines.send(request.body(Body::from(whole[..keep].to_vec())).expect("a request")).await;
        answer.problem(400, "body_cut_off");
    }
    let broken = futures_util::stream::iter([Ok(whole[..150].to_vec()), Err(std::io::Error::other("gone"))]);
    let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
    ines.send(request.body(Body::from_stream(broken)).expect("a request")).await.problem(400, "body_cut_off");
    assert_nothing_stays(&app).await;
}

#[tokio::test]
async fn strange_json_is_refused_everywhere() {
    let (_, ines, worker) = desk().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let cases: [(&str, u16, &str); 11] = [
        ("", 400, "malformed_json"),
        ("{\"images\":[],\"colour\":1} trailing", 400, "malformed_json"),
        ("{", 400, "malformed_json"),
        ("{\"images\":[NaN]}", 400, "malformed_json"),
        ("{\"images\":[]} trailing", 400, "malformed_json"),
        ("{\"images\":[],\"images\":[]}", 422, "duplicate_key"),
        (&format!("{{\"images\":[],\"results\":{deep}}}"), 422, "too_deep"),
        ("{\"images\":[],\"colour\":1}", 422, "unknown_field"),
        ("{\"images\":\"x\"}", 422, "invalid_field"),
        ("{}", 422, "invalid_field"),
        ("[]", 422, "invalid_field"),
    ];
    for (body, status, code) in cases {
        ines.raw("/predict/status", body.to_owned()).await.problem(status, code);
    }
    let wrong = ines.raw("/predict/status", "{\"images\":[],\"results\":3}").await.problem(422, "invalid_field");
    assert_eq!(wrong["errors"][0]["pointer"], "/results", "{wrong}");
    // What stands in the place of one hash is the matter of that place alone.
    let digits = "9".repeat(32);
    for odd in ["\"a\\u0000\"", "\"\\ud800\"", "1e999", &digits, "null", "{\"\":0,\"\":1}", "[[\"\\u0000\"]]", &deep] {
        let body = format!("{{\"images\":[\"9e107d9d372bb6826bd81d3542a419d6\",{odd}]}}");
        let answer = ines.raw("/predict/status", body).await.ok(200);
        let told = |n: usize| &answer["items"][n]["problem"];
        assert_eq!((&told(0)["code"], &told(1)["code"]), (&json!("not_found"), &json!("invalid_hash")), "{odd}");
        assert_eq!(told(1)["errors"][0]["pointer"], "/images/1", "{odd}");
        assert_eq!((&answer["items"][1]["status"], &answer["items"][1]["done"]), (&Value::Null, &Value::Null), "{odd}");
        assert_mends(told(1));
    }
    for (params, code) in [
        ("[]", "invalid_field"),
        ("{\"ocr\":{\"a\":1,\"a\":2}}", "duplicate_key"),
        ("{\"ocr\":\"\\u0000\"}", "nul_character"),
        (&format!("[{}0]", "0,".repeat(40_000)), "too_large"),
    ] {
        let body = format!("{{\"images\":[],\"models\":[\"ocr\"],\"params\":{params}}}");
        assert_eq!(ines.raw("/predict", body).await.json()["code"], code, "{params:.40}");
    }
    let unknown = ines.raw("/predict/status", "{\"images\":[],\"colour\":1}").await.json();
    assert!(unknown["detail"].as_str().is_some_and(|d| d.contains("colour")), "the field is named: {unknown}");
    let latin = ines.raw("/predict/status", b"{\"images\":[\"\xff\"]}".to_vec()).await;
    latin.problem(400, "malformed_json");
    worker.key.raw("/jobs/claim", "{\"worker\":7}").await.problem(422, "invalid_field");
}

#[tokio::test]
async fn an_array_is_no_object_however_well_its_items_fit() {
    let (app, ines, worker) = desk().await;
    let admin = app.admin().await;
    let nine = Uuid::new_v4();
    let held = json!([nine, 1, 0.5, null]);
    let ended = json!([nine, 1, "rejected", null, null, null, null]);
    let failed = json!({"id": nine, "lease_no": 1, "outcome": "rejected", "error": ["ValueError", "bad", null]});
    let beat = format!("/workers/{}/heartbeat", worker.id);
    let patch = Method::PATCH;
    let post = Method::POST;
    for (by, method, path, body, pointer) in [
        (&admin, &post, "/auth/users", json!(["ada", PASSWORD, ["admin"], null]), ""),
        (&admin, &patch, "/auth/users/ines", json!([null, null, ["admin"], null]), ""),
        (&admin, &post, "/auth/key", json!(["predict", ["*"], null, null, null]), ""),
        (&admin, &patch, "/models/face_detect", json!([true, null, null, null, null, null, null, null]), ""),
        (&admin, &post, "/jobs/redrive", json!([null, "failed", null, null, false]), ""),
        (&ines, &post, "/predict", json!([[], ["face_detect"], 0, null, null, null, null, null, null, null]), ""),
        (&ines, &post, "/predict/status", json!([[], false]), ""),
        (
            &worker.key,
            &post,
            "/workers/register",
            json!(["predict", "face_detect", null, "1", nine, null, null, null, null, 1, null, null]),
            "",
        ),
        (&worker.key, &post, &beat, json!([true, []]), ""),
        (&worker.key, &post, &beat, json!({"jobs": [held]}), "/jobs/0"),
        (&worker.key, &post, "/jobs/claim", json!([worker.id, nine, 1, 0, null, null]), ""),
        (&worker.key, &post, "/jobs/release", json!([worker.id, []]), ""),
        (&worker.key, &post, "/jobs/release", json!({"worker": worker.id, "items": [[nine, 1]]}), "/items/0"),
        (&worker.key, &post, "/jobs/complete", json!([worker.id, [], null]), ""),
        (&worker.key, &post, "/jobs/complete", json!({"worker": worker.id, "items": [ended]}), "/items/0"),
        (&worker.key, &post, "/jobs/complete", json!({"worker": worker.id, "items": [failed]}), "/items/0/error"),
        (&worker.key, &post, "/jobs/complete", json!({"worker": worker.id, "items": [], "claim": [nine, 1]}), "/claim"),
    ] {
        let refused = by.call(method.clone(), path, Some(body)).await.problem(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{path}: {refused}");
        assert!(refused["detail"].as_str().is_some_and(|d| d.contains("expected an object")), "{path}: {refused}");
    }
    let none = json!({"worker": worker.id, "items": [], "claim": null});
    worker.key.post("/jobs/complete", none).await.ok(200);
    let model = admin.get("/models/face_detect").await.ok(200);
    assert_eq!(
        (&model["paused"], app.count("SELECT count(*) FROM account WHERE name = 'ada'").await),
        (&json!(false), 0)
    );
    let large = admin.patch("/models/face_detect", json!({"max_attempts": 99_999})).await.problem(422, "invalid_field");
    assert!(large["detail"].as_str().is_some_and(|d| d.contains("a whole number from -32768")), "{large}");
}

#[tokio::test]
async fn paths_and_queries_are_parsed() {
    let (_, ines, _) = desk().await;
    let md5 = "9e107d9d372bb6826bd81d3542a419d6";
    for (path, status, code) in [
        ("/predict/xyz".to_owned(), 422, "invalid_hash"),
        (format!("/predict/{md5}0"), 422, "invalid_hash"),
        (format!("/predict/{md5}?wait_s=51"), 422, "invalid_field"),
        (format!("/predict/{md5}?wait_s=-1"), 422, "invalid_field"),
        (format!("/predict/{md5}?wait_s=NaN"), 422, "invalid_field"),
        (format!("/predict/{md5}?wait=1"), 422, "unknown_field"),
        (format!("/predict/{md5}"), 404, "not_found"),
        ("/jobs/7".to_owned(), 422, "invalid_field"),
        (format!("/jobs/{}", Uuid::new_v4()), 404, "not_found"),
        ("/jobs?state=lost".to_owned(), 422, "invalid_field"),
        ("/jobs?model=a%00b".to_owned(), 422, "nul_character"),
        ("/workers?model=%00".to_owned(), 422, "nul_character"),
        ("/models/%00".to_owned(), 404, "not_found"),
        ("/queues/nothing".to_owned(), 404, "not_found"),
        ("/problems/nothing".to_owned(), 404, "not_found"),
        ("/jobs?limit=1&limit=2".to_owned(), 422, "duplicate_key"),
        ("/nowhere".to_owned(), 404, "not_found"),
    ] {
        ines.get(&path).await.problem(status, code);
    }
    for path in ["/docs", "/docs/"] {
        assert_eq!(ines.get(path).await.status, 307, "{path}");
    }
    let page = ines.get("/docs/ui/").await;
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let html = String::from_utf8_lossy(&page.bytes).replace(' ', "");
    assert!(html.contains("<script") && !html.contains("<script>"), "the policy lets no script of the page itself run");
    let script = ines.get("/docs/ui/swagger-initializer.js").await;
    assert!(String::from_utf8_lossy(&script.bytes).contains("\"persistAuthorization\": false"), "tokens are not kept");
    ines.call(Method::PUT, "/predict", None).await.problem(405, "method_not_allowed");
    let page = ines.get("/problems/unknown_model").await;
    assert!(
        page.status.is_success() && page.headers["content-type"].to_str().is_ok_and(|t| t.starts_with("text/html"))
    );
}

#[tokio::test]
async fn bad_work_is_answered_item_by_item() {
    let (app, ines, worker) = desk().await;
    ines.submit(&[("a.png", photo(1))], &["face_detect"]).await;
    let job = worker.claim(1).await.remove(0);
    let outcome = async |outcome: Value| worker.complete(&job, outcome).await;
    for (posted, status, code) in [
        (json!({"outcome": "succeeded"}), 422, "invalid_result"),
        (json!({"outcome": "retry", "result": {}}), 422, "invalid_result"),
        (json!({"outcome": "retry", "retry_after_s": -1}), 422, "invalid_field"),
        (json!({"outcome": "retry", "retry_after_s": 1e300}), 422, "invalid_field"),
        (json!({"outcome": "succeeded", "result": {}, "duration_s": -0.5}), 422, "invalid_field"),
    ] {
        let item = outcome(posted).await;
        assert_eq!((&item["status"], &item["problem"]["code"]), (&json!(status), &json!(code)), "{item}");
    }
    let text = format!(
        "{{\"worker\":\"{}\",\"items\":[{{\"id\":{},\"lease_no\":1,\"outcome\":\"succeeded\",\"result\":{{\"a\":NaN}}}}]}}",
        worker.id, job["id"]
    );
    let nan = worker.key.raw("/jobs/complete", text).await.problem(400, "malformed_json");
    assert!(nan["mend"].as_str().is_some_and(|mend| mend.contains("NaN")));
    let many: Vec<Value> = (0..1001).map(|_| json!({"id": Uuid::new_v4(), "lease_no": 1})).collect();
    worker.key.post("/jobs/release", json!({"worker": worker.id, "items": many})).await.problem(422, "invalid_field");
    let odd = json!({"id": job["id"], "lease_no": i64::MIN});
    assert_eq!(worker.succeed(&odd).await["problem"]["code"], "stale_lease");
    for (field, value) in [
        ("max", json!(0)),
        ("max", json!(100_000)),
        ("wait_s", json!(51)),
        ("wait_s", json!(-3)),
        ("linger_s", json!(99)),
        ("min", json!(0)),
    ] {
        let mut body = json!({"worker": worker.id, "claim_id": Uuid::new_v4()});
        body[field] = value;
        worker.key.post("/jobs/claim", body).await.problem(422, "invalid_field");
    }
    assert_eq!(
        app.count("SELECT count(*) FROM job WHERE state = 'running' AND lease_no = 1").await,
        1,
        "the job is as it was"
    );
    assert_eq!(worker.succeed(&job).await["status"], 200);
}

#[tokio::test]
async fn one_bad_result_costs_no_other_its_place() {
    let (_app, ines, worker) = desk().await;
    let files: Vec<(&str, Vec<u8>)> = (1..=12).map(|n| ("a.png", photo(n))).collect();
    ines.submit(&files, &["face_detect"]).await;
    let jobs = worker.claim(12).await;
    let succeeded = |job: &Value, result: &str| {
        let (id, lease) = (&job["id"], &job["lease_no"]);
        format!("{{\"id\":{id},\"lease_no\":{lease},\"outcome\":\"succeeded\",\"result\":{result}}}")
    };
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let large = format!("\"{}\"", "x".repeat(3000));
    let bad: [(&str, u16, &str, &str); 10] = [
        ("\"\\u0000\"", 422, "nul_character", ""),
        ("{\"a\":{\"b\":1,\"b\":2}}", 422, "duplicate_key", ""),
        ("{\"items\":[],\"items\":[]}", 422, "duplicate_key", ""),
        (&deep, 422, "too_deep", ""),
        (&large, 413, "result_too_large", ""),
        ("\"\\ud800\"", 422, "invalid_result", ""),
        ("[1e999]", 422, "invalid_result", ""),
        ("{\"summary\":7}", 422, "invalid_result", "/summary"),
        ("{\"items\":[7]}", 422, "invalid_result", "/items/0"),
        ("{\"items\":[{\"type\":\"box\",\"box\":[0,0,0,0]}]}", 422, "invalid_result", "/items/0/box"),
    ];
    let good = "{\"fields\": {\"n\": 12345678901234567890123, \"tiny\": 1e-300}}";
    let mut items: Vec<String> = jobs[2..].iter().zip(&bad).map(|(job, (result, ..))| succeeded(job, result)).collect();
    let nul =
        json!({"id": jobs[0]["id"], "lease_no": jobs[0]["lease_no"], "outcome": "retry", "error": {"message": "\0"}});
    items.push(nul.to_string());
    items.extend(jobs[..2].iter().map(|job| succeeded(job, good)));
    let body = format!("{{\"worker\":\"{}\",\"items\":[{}]}}", worker.id, items.join(","));
    let answer = worker.key.raw("/jobs/complete", body).await.ok(200);
    for (n, (result, status, code, pointer)) in bad.into_iter().enumerate() {
        let item = &answer["items"][n];
        let told = (&item["status"], &item["problem"]["code"], &item["problem"]["errors"][0]["pointer"]);
        let pointer = format!("/items/{n}/result{pointer}");
        assert_eq!(told, (&json!(status), &json!(code), &json!(pointer)), "{result:.60}: {item}");
    }
    let (said, rest) = answer["items"].as_array().expect("items")[bad.len()..].split_first().expect("the error");
    assert_eq!(
        (&said["problem"]["code"], &said["problem"]["errors"][0]["pointer"]),
        (&json!("nul_character"), &json!("/items/10/error/message"))
    );
    assert!(rest.iter().all(|item| item["status"] == 200), "{answer}");
    let text = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.bytes;
    assert!(String::from_utf8_lossy(&text).contains("12345678901234567890123"), "no digit is lost");
}

#[tokio::test]
async fn what_a_worker_does_not_hold_is_told_item_by_item() {
    let (app, ines, worker) = desk().await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2)), ("c.png", photo(3))], &["face_detect"]).await;
    let rival = Worker::register(worker.key.clone(), "face_detect", "v1").await;
    let claim = Uuid::new_v4();
    let own = worker.claim_as(claim, 1, 0.0).await.remove(0);
    let others = rival.claim(1).await.remove(0);
    let ended = worker.claim(1).await.remove(0);
    worker.succeed(&ended).await;
    let unknown = json!({"id": Uuid::new_v4(), "lease_no": 1});
    let invented = json!({"id": own["id"], "lease_no": 77});
    let before = app.count("SELECT sum(version)::bigint FROM job").await;
    let lease = |job: &Value| json!({"id": job["id"], "lease_no": job["lease_no"]});
    let listed = [lease(&own), lease(&own), lease(&others), lease(&ended), unknown.clone(), invented.clone()];
    let path = format!("/workers/{}/heartbeat", worker.id);
    let beaten = worker.key.post(&path, json!({"jobs": listed})).await.ok(200);
    let stop: Vec<&Value> = beaten["stop"].as_array().expect("ids").iter().collect();
    for job in [&others, &ended, &unknown, &invented] {
        assert!(stop.contains(&&job["id"]), "{beaten}");
    }
    let many: Vec<Value> = (0..1000).map(|_| json!({"id": Uuid::new_v4(), "lease_no": 1})).collect();
    let beaten = worker.key.post(&path, json!({"jobs": many})).await.ok(200);
    assert_eq!(beaten["stop"].as_array().map(Vec::len), Some(1000));
    for (path, extra) in [("/jobs/release", json!({})), ("/jobs/complete", json!({"outcome": "rejected"}))] {
        let item = |job: &Value| {
            let mut item = lease(job);
            item.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            item
        };
        let items: Vec<Value> = [&others, &unknown, &invented, &unknown]
            .into_iter()
            .map(item)
            .chain(many.iter().take(996).map(item))
            .collect();
        let answer = worker.key.post(path, json!({"worker": worker.id, "items": items})).await.ok(200);
        let answered = answer["items"].as_array().expect("items");
        assert_eq!(answered.len(), 1000);
        assert!(answered.iter().all(|i| i["problem"]["code"] == "stale_lease"), "{path}");
    }
    let stolen = rival.claim_as(claim, 1, 0.0).await;
    assert!(stolen.is_empty(), "another session's claim_id is a claim of one's own");
    let after = app.count("SELECT sum(version)::bigint FROM job").await;
    assert_eq!(before, after, "nobody's job was touched");
    assert_eq!(rival.succeed(&others).await["status"], 200);
    assert_eq!(worker.succeed(&own).await["status"], 200);
}

#[tokio::test]
async fn registrations_are_checked() {
    let (_, _, worker) = desk().await;
    let good = json!({"service": "predict", "model": "face_detect", "version": "1", "instance": Uuid::new_v4()});
    for (field, value, status, code) in [
        ("model", json!("Face"), 422, "invalid_field"),
        ("model", Value::Null, 422, "invalid_field"),
        ("version", json!(""), 422, "invalid_field"),
        ("version", json!("x".repeat(101)), 422, "invalid_field"),
        ("version", json!("a\0"), 422, "nul_character"),
        ("instance", json!("1"), 422, "invalid_field"),
        ("batch_max", json!(0), 422, "invalid_field"),
        ("batch_max", json!(99_999_999_999u64), 422, "invalid_field"),
        ("params_schema", json!(5), 422, "invalid_field"),
        ("params_schema", json!("x"), 422, "invalid_field"),
        ("params_schema", json!([1]), 422, "invalid_field"),
        ("params_schema", json!({"type": "array"}), 422, "invalid_field"),
        ("params_schema", json!({"properties": {"a": {"type": "text"}}}), 422, "invalid_field"),
        ("version", json!("1\x1b[2J"), 422, "invalid_field"),
        ("host", json!("gpu1\r\n"), 422, "invalid_field"),
        ("sdk", json!("a\u{9b}31m"), 422, "invalid_field"),
        ("description", json!("faces\u{7}"), 422, "invalid_field"),
        ("tags", json!(["good", "\u{202e}bad"]), 422, "invalid_field"),
        ("labels", json!(["a\tb"]), 422, "invalid_field"),
        ("labels", json!(["x".repeat(201)]), 422, "invalid_field"),
        ("service", json!("cook"), 422, "invalid_field"),
        ("service", json!("train"), 403, "wrong_service"),
        ("colour", json!("red"), 422, "unknown_field"),
        ("model", json!("other"), 403, "out_of_scope"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = worker.key.post("/workers/register", body).await.problem(status, code);
        if let Some(pointer) = refused["errors"][0]["pointer"].as_str() {
            assert!(pointer.starts_with(&format!("/{field}")), "{refused}");
        }
    }
    let mut whole = good;
    whole["description"] = json!("Frontal faces.\n\tAlso of cats 🐈.");
    whole["params_schema"] = json!({"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}});
    worker.key.post("/workers/register", whole).await.ok(201);
}

#[tokio::test]
async fn texts_for_people_hold_nothing_that_acts() {
    let (app, _, _) = desk().await;
    let admin = app.admin().await;
    for email in ["ada@example.org\r\nBcc: all@example.org", "ada@", "@example.org", "a da@example.org", "\x1b@x"] {
        let new = json!({"name": "ada", "password": PASSWORD, "roles": [], "email": email});
        let change = json!({"email": email});
        for refused in [admin.post("/auth/users", new).await, admin.patch("/auth/users/root", change).await] {
            assert_eq!(refused.problem(422, "invalid_field")["errors"][0]["pointer"], "/email", "{email:?}");
        }
    }
    let key = json!({"service": "predict", "models": ["a"], "detail": "gpu1\x1b]0;owned\x07"});
    assert_eq!(admin.post("/auth/key", key).await.problem(422, "invalid_field")["errors"][0]["pointer"], "/detail");
}

#[tokio::test]
async fn a_file_keeps_its_name_however_it_is_told() {
    let (_app, ines, _) = desk().await;
    let mut form = form().text("models", "face_detect").finish();
    form.truncate(form.len() - "--\r\n".len());
    for (n, disposition) in
        [&b"filename=\"Zo\xeb.png\""[..], b"filename*=UTF-8''Zo%C3%AB%0A.png"].into_iter().enumerate()
    {
        form.extend(b"\r\nContent-Disposition: form-data; name=\"images\"; ");
        form.extend(disposition);
        form.extend(b"\r\n\r\n");
        form.extend(photo(2 + n as u64));
        form.extend(b"\r\n--darkroom-test-boundary");
    }
    form.extend(b"--\r\n");
    let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE).body(Body::from(form));
    let answer = ines.send(request.expect("a request")).await.ok(202);
    let names: Vec<&Value> = answer["images"].as_array().expect("images").iter().map(|image| &image["name"]).collect();
    assert_eq!(names, [&json!("a.png"), &json!("Zoë.png"), &json!("Zoë\u{fffd}.png")]);
}

#[tokio::test]
async fn credentials_are_told_apart() {
    let (app, ines, _) = desk().await;
    app.nobody().get("/auth/profile").await.problem(401, "missing_credential");
    for token in
        ["nonsense", "a.b.c", "dr_000000000000_0000000000000000000000000000000000000000000000000000000000000000"]
    {
        Client::new(app.router.clone(), Some(token.to_owned()))
            .get("/auth/profile")
            .await
            .problem(401, "unknown_credential");
    }
    ines.get("/auth/profile").await.ok(200);
    let mut altered = ines.token.clone().expect("a token");
    altered.truncate(altered.len() - 4);
    Client::new(app.router.clone(), Some(altered)).get("/auth/profile").await.problem(401, "unknown_credential");
    let basic = Request::post("/auth/login")
        .header(header::AUTHORIZATION, "Basic Og==")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let body = serde_urlencoded::to_string([("username", "ines"), ("password", PASSWORD)]).expect("a form");
    app.nobody().send(basic.body(Body::from(body)).expect("a request")).await.ok(200);
    app.nobody().post("/auth/login", json!({"username": "ines"})).await.problem(415, "unsupported_media_type");
    app.nobody().form("/auth/login", &[("username", "ines")]).await.problem(422, "invalid_field");
    app.nobody().form("/auth/login", &[("username", "a\0"), ("password", "b")]).await.problem(422, "nul_character");
}

#[tokio::test]
async fn a_panic_is_a_problem_too() {
    let answer = darkroom::http::layers::panicked(Box::new("boom"));
    assert_eq!(answer.status().as_u16(), 500);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_call_and_see_errors() {
    let app = TestApp::with(|s| s.cors_origins = vec!["https://lab.example".to_owned()]).await;
    let ask = async |origin: &str| {
        let request = Request::get("/auth/profile").header("origin", origin).body(Body::empty()).expect("a request");
        app.nobody()
            .send(request)
            .await
            .headers
            .get("access-control-allow-origin")
            .map(|v| v.to_str().expect("text").to_owned())
    };
    assert_eq!(ask("https://lab.example").await.as_deref(), Some("https://lab.example"));
    assert_eq!(ask("https://evil.example").await, None);
}
