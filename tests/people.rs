//! Accounts, keys, models; cancel, retry, redrive.

use axum::http::Method;
use darkroom::domain::account::Role;
use darkroom::service::keys::fresh_key;
use darkroom::service::queues::Queues;
use darkroom::store::keys::{NewKey, create};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

#[tokio::test]
async fn accounts_are_made_changed_and_disabled() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let new = json!({"name": "ines", "password": PASSWORD, "roles": ["investigator"], "email": "i@example.org"});
    let made = admin.post("/auth/users", new.clone()).await.ok(201);
    assert_eq!(
        (&made["roles"], &made["email"], &made["disabled_at"]),
        (&json!(["investigator"]), &json!("i@example.org"), &Value::Null)
    );
    admin.post("/auth/users", new).await.problem(409, "name_taken");
    let ines = app.log_in("ines", PASSWORD).await;
    assert_eq!(ines.get("/auth/profile").await.ok(200)["name"], "ines");
    ines.patch("/auth/users/ines", json!({"roles": ["admin"]})).await.problem(403, "missing_role");
    let own = json!({"email": null, "password": "another password", "present_password": PASSWORD});
    ines.patch("/auth/users/ines", own).await.ok(200);
    ines.get("/auth/profile").await.problem(401, "expired_credential");
    let ines = app.log_in("ines", "another password").await;
    admin.patch("/auth/users/ines", json!({"disabled": true})).await.ok(200);
    ines.get("/auth/profile").await.problem(401, "disabled_credential");
    app.nobody()
        .form("/auth/login", &[("username", "ines"), ("password", "another password")])
        .await
        .problem(401, "wrong_password");
    admin.patch("/auth/users/root", json!({"disabled": true})).await.problem(409, "last_admin");
    admin.patch("/auth/users/root", json!({"roles": []})).await.problem(409, "last_admin");
    let listed = admin.get("/auth/users?limit=1").await.ok(200);
    assert_eq!(listed["items"][0]["name"], "ines");
    let next = admin
        .get(&format!("/auth/users?limit=1&cursor={}", listed["next_cursor"].as_str().expect("a cursor")))
        .await
        .ok(200);
    assert_eq!(next["items"][0]["name"], "root");
}

#[tokio::test]
async fn a_log_in_answers_exactly_what_oauth2_says() {
    let app = TestApp::new().await;
    app.investigator("ines").await;
    let answer = app
        .nobody()
        .form("/auth/login", &[("grant_type", "password"), ("username", "ines"), ("password", PASSWORD)])
        .await;
    let body = answer.ok(200);
    let fields: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["access_token", "expires_in", "token_type"]);
    assert_eq!(body["token_type"], "bearer");
}

#[tokio::test]
async fn keys_are_shown_once_scoped_and_disabled() {
    let app = TestApp::new().await;
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let made =
        rosa.post("/auth/key", json!({"service": "predict", "models": ["face_*"], "detail": "gpu1"})).await.ok(201);
    let text = made["key"].as_str().expect("a key").to_owned();
    let listed = rosa.get("/auth/key").await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(&text[16..]), "never shown again");
    assert_eq!(listed.ok(200)["items"][0]["id"], made["id"]);
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT secret_sha256 FROM api_key").fetch_one(app.ctx.db.pool()).await.expect("a row");
    assert!(!text.contains(&hex::encode(stored)), "only a hash is kept");
    let key = Client::new(app.router.clone(), Some(text));
    let register =
        |model: &str| json!({"service": "predict", "model": model, "version": "1", "instance": Uuid::new_v4()});
    key.post("/workers/register", register("face_detect")).await.ok(201);
    key.post("/workers/register", register("ocr")).await.problem(403, "out_of_scope");
    rosa.delete(&format!("/auth/key/{}", made["id"].as_str().expect("an id"))).await.ok(204);
    key.post("/workers/register", register("face_detect")).await.problem(401, "disabled_credential");
    assert_eq!(app.count("SELECT count(*) FROM api_key WHERE disabled_at IS NOT NULL").await, 1, "the row stays");
    let brief = json!({"service": "predict", "models": ["*"], "expires_at": "2120-01-01T00:00:00Z"});
    let expired = rosa.post("/auth/key", brief).await.ok(201)["key"].as_str().expect("a key").to_owned();
    app.alter("UPDATE api_key SET expires_at = clock_timestamp() WHERE expires_at IS NOT NULL").await;
    Client::new(app.router.clone(), Some(expired))
        .post("/workers/register", register("x"))
        .await
        .problem(401, "expired_credential");
}

#[tokio::test]
async fn a_model_belongs_to_whoever_registered_it_first() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (app.user("rosa", &[Role::Researcher]).await, app.user("rolf", &[Role::Researcher]).await);
    let admin = app.admin().await;
    Worker::register(app.key_of(&rosa, "predict", &["*"]).await, "ocr", "1").await;
    let body = json!({"service": "predict", "model": "ocr", "version": "1", "instance": Uuid::new_v4()});
    app.key_of(&rolf, "predict", &["*"])
        .await
        .post("/workers/register", body.clone())
        .await
        .problem(403, "out_of_scope");
    app.key_of(&admin, "predict", &["*"]).await.post("/workers/register", body).await.ok(201);
    assert_eq!(rolf.get("/models/ocr").await.ok(200)["owner"], "rosa");
    rolf.patch("/models/ocr", json!({"paused": true})).await.problem(403, "missing_role");
}

#[tokio::test]
async fn retiring_a_model_cancels_its_queued_jobs() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, admin) = (app.investigator("ines").await, app.admin().await);
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    admin.patch("/models/ocr", json!({"retired": true})).await.ok(200);
    assert_eq!(app.count("SELECT count(*) FROM job_archive WHERE state = 'cancelled'").await, 1);
    let form = Form::default().file("a.png", &photo(3)).text("models", "ocr");
    ines.upload(form).await.problem(422, "unknown_model");
    assert_eq!(worker.succeed(&job).await["status"], 200, "what runs may end");
    assert_eq!(ines.get("/models").await.ok(200)["items"], json!([]));
    let body = json!({"service": "predict", "model": "ocr", "version": "2", "instance": Uuid::new_v4()});
    worker.key.post("/workers/register", body.clone()).await.problem(409, "retired_model");
    assert_eq!(ines.get("/models").await.ok(200)["items"], json!([]), "a worker that starts again revives no model");
    admin.patch("/models/ocr", json!({"retired": false})).await.ok(200);
    worker.key.post("/workers/register", body).await.ok(201);
    assert_eq!(ines.get("/models/ocr").await.ok(200)["retired_at"], Value::Null);
}

#[tokio::test]
async fn cancelling_withdraws_ones_own_request_only() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, ivo, admin) = (app.investigator("ines").await, app.investigator("ivo").await, app.admin().await);
    let form = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("priority", "5");
    let first = ines.upload(form).await.ok(202);
    ivo.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let id = first["images"][0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let cancel = format!("/jobs/{id}/cancel");
    assert_eq!(ines.post(&cancel, Value::Null).await.ok(200)["state"], "queued");
    assert_eq!(
        app.count("SELECT priority::bigint FROM job").await,
        5,
        "what one asked for is not unsaid: attaching only raises"
    );
    assert_eq!(ivo.post(&cancel, Value::Null).await.ok(200)["state"], "cancelled");
    assert_eq!(ivo.post(&cancel, Value::Null).await.ok(200)["state"], "cancelled", "an ended job stays as it is");
    assert!(worker.claim(1).await.is_empty());
    ines.submit(&[("b.png", photo(2))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    admin.post(&format!("/jobs/{}/cancel", job["id"].as_str().expect("an id")), Value::Null).await.ok(200);
    assert_eq!(worker.succeed(&job).await["problem"]["code"], "stale_lease");
    assert_eq!(ines.get(&format!("/predict/{}", md5_of(&photo(2)))).await.ok(200)["status"], "cancelled");
}

#[tokio::test]
async fn retry_and_redrive_make_new_jobs() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, admin) = (app.investigator("ines").await, app.admin().await);
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    for job in worker.claim(2).await {
        worker.complete(&job, json!({"outcome": "rejected"})).await;
    }
    let failed = ines.get("/jobs?state=failed").await.ok(200);
    assert_eq!(failed["items"].as_array().map(Vec::len), Some(2));
    let id = failed["items"][0]["id"].as_str().expect("an id").to_owned();
    let made = ines.post(&format!("/jobs/{id}/retry"), Value::Null).await.ok(201);
    assert_eq!(made["retry_of"], id);
    ines.post(&format!("/jobs/{}/retry", made["id"].as_str().expect("an id")), Value::Null)
        .await
        .problem(409, "not_ended");
    let filter = json!({"model": "ocr", "state": "failed", "reason": "rejected"});
    let dry = admin.post("/jobs/redrive", filter.clone()).await.ok(200);
    assert_eq!(
        (&dry["dry_run"], &dry["matched"], &dry["items"][0]["id"]),
        (&json!(true), &json!(1), &Value::Null),
        "the other is under way again"
    );
    assert_eq!(dry["next_cursor"], Value::Null, "all were looked at");
    let mut from_elsewhere = filter.clone();
    from_elsewhere["cursor"] = ines.get("/jobs?limit=1").await.ok(200)["next_cursor"].clone();
    admin.post("/jobs/redrive", from_elsewhere).await.problem(422, "invalid_field");
    let mut act = filter;
    act["dry_run"] = json!(false);
    let done = admin.post("/jobs/redrive", act).await.ok(200);
    assert!(done["items"].as_array().expect("items").iter().all(|item| item["id"].is_string()));
    assert_eq!(app.count("SELECT count(*) FROM job WHERE retry_of IS NOT NULL").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM job_archive").await, 2, "ended jobs stay as they are");
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.worker("face").await;
    let admin = app.user("root", Role::ALL).await;
    Worker::register(worker.key.clone(), "ocr", "v1").await;
    app.key_of(&admin, "predict", &["a"]).await;
    let mut submission = String::new();
    for n in 0..2 {
        let answer = admin.submit(&[("a.png", photo(n)), ("b.png", photo(n + 2))], &["ocr"]).await;
        submission = format!("/submissions/{}", answer["submission"].as_str().expect("an id"));
    }
    let lists = ["/auth/users", "/auth/key", "/images", "/submissions", "/jobs", "/workers", "/models", &submission];
    let mut cursors = Vec::new();
    for list in lists {
        let page = admin.get(&format!("{list}?limit=1")).await.ok(200);
        cursors.push(page["next_cursor"].as_str().unwrap_or_else(|| panic!("{list}: {page}")).to_owned());
    }
    for (n, list) in lists.into_iter().enumerate() {
        for (of, cursor) in cursors.iter().enumerate() {
            let answer = admin.get(&format!("{list}?limit=1&cursor={cursor}")).await;
            if n == of {
                answer.ok(200);
            } else {
                assert_eq!(answer.problem(422, "invalid_field")["errors"][0]["pointer"], "/cursor", "{list}");
            }
        }
    }
}

#[tokio::test]
async fn lists_are_paged_and_narrowed() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    for n in 1..=3 {
        ines.submit(&[("a.png", photo(n))], &["ocr"]).await;
    }
    for path in ["/images", "/submissions", "/jobs"] {
        let first = ines.get(&format!("{path}?limit=2")).await.ok(200);
        assert_eq!(first["items"].as_array().map(Vec::len), Some(2), "{path}");
        let cursor = first["next_cursor"].as_str().expect("a cursor");
        let second = ines.get(&format!("{path}?limit=2&cursor={cursor}")).await.ok(200);
        assert_eq!(
            (second["items"].as_array().map(Vec::len), &second["next_cursor"]),
            (Some(1), &Value::Null),
            "{path}"
        );
        assert_eq!(ivo.get(path).await.ok(200)["items"], json!([]), "{path}");
        ines.get(&format!("{path}?cursor=nonsense")).await.problem(422, "invalid_field");
        ines.get(&format!("{path}?limit=0")).await.problem(422, "invalid_field");
        ines.get(&format!("{path}?colour=red")).await.problem(422, "unknown_field");
    }
    assert_eq!(ines.get("/workers").await.ok(200)["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.nobody().get("/queues/ocr").await.ok(200)["backlog"], 3);
}

#[tokio::test]
async fn metrics_tell_what_an_operator_watches() {
    let app = TestApp::new().await;
    let worker = app.worker("metered").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2)), ("c.png", photo(3))], &["metered"]).await;
    let jobs = worker.claim(2).await;
    worker.succeed(&jobs[0]).await;
    worker.complete(&jobs[1], json!({"outcome": "retry"})).await;
    worker.succeed(&jobs[1]).await;
    for n in 0..20 {
        let invented = Method::from_bytes(format!("BREW{n}").as_bytes()).expect("a method");
        assert!(app.nobody().call(invented, "/predict", None).await.status.is_client_error());
    }
    let text = String::from_utf8(app.nobody().get("/metrics").await.bytes).expect("text");
    assert!(text.contains("method=\"other\",route=\"/predict\"") && !text.contains("BREW"), "{text}");
    for line in [
        "darkroom_jobs{model=\"metered\",state=\"queued\"} 2",
        "darkroom_jobs{model=\"metered\",state=\"running\"} 0",
        "darkroom_workers{model=\"metered\"} 1",
        "darkroom_jobs_finished_total{model=\"metered\",outcome=\"succeeded\"} 1",
        "darkroom_job_retries_total{model=\"metered\"} 1",
        "darkroom_queue_oldest_wait_seconds{model=\"metered\"} ",
        "darkroom_stale_leases_total ",
        "darkroom_index_missing_total ",
        "darkroom_redis_up 1",
        "darkroom_db_pool_connections{state=\"idle\"} ",
        "darkroom_http_request_duration_seconds_bucket{method=\"POST\",route=\"/jobs/claim\",status=\"200\",le=\"",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(&md5_of(&photo(1))), "no ids in labels");
}

#[tokio::test]
async fn the_figures_of_the_service_are_counted_once_for_all_who_ask() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let queues = Queues::new(&app.ctx);
    let counted = futures_util::future::join_all((0..20).map(|_| queues.count())).await;
    let counted: Vec<_> = counted.into_iter().map(|depths| depths.expect("depths")).collect();
    assert!(counted.iter().all(|depths| std::sync::Arc::ptr_eq(depths, &counted[0])));
}

#[tokio::test]
async fn the_figures_of_the_service_are_closed_by_a_token() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "open sesame\n").expect("a token");
    let app = TestApp::with(|s| s.figures_token_file = Some(file.path().to_owned())).await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let operator = Client::new(app.router.clone(), Some("open sesame".to_owned()));
    for path in ["/metrics", "/queues", "/queues/ocr"] {
        app.nobody().get(path).await.problem(401, "missing_credential");
        ines.get(path).await.problem(401, "unknown_credential");
        assert!(operator.get(path).await.status.is_success(), "{path}");
    }
    assert!(app.nobody().get("/health/ready").await.status.is_success());
}

#[tokio::test]
async fn an_unknown_key_is_not_remembered() {
    let app = TestApp::new().await;
    let key = fresh_key();
    let service = Client::new(app.router.clone(), Some(key.reveal()));
    let ask = json!({"worker": Uuid::new_v4(), "claim_id": Uuid::new_v4()});
    service.post("/jobs/claim", ask.clone()).await.problem(401, "unknown_credential");
    let new = NewKey {
        id: &key.id,
        secret_sha256: &key.secret_sha256(),
        service: darkroom::domain::key::Service::Predict,
        models: &["*".to_owned()],
        owner: None,
        trusted: true,
        detail: None,
        expires_at: None,
    };
    let mut db = app.ctx.db.pool().acquire().await.expect("a connection");
    create(&mut db, &new, None).await.expect("a key");
    service.post("/jobs/claim", ask).await.problem(410, "unknown_worker");
}
