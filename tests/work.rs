//! Microservices claim and complete.

use std::time::{Duration, Instant};

use darkroom::maintenance;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};

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
    assert_eq!(
        (job["lease_no"].as_i64(), job["attempt"].as_i64(), job["solo"].as_bool()),
        (Some(1), Some(1), Some(false))
    );
    let bytes = worker.key.get(job["image"]["url"].as_str().expect("a url")).await;
    assert_eq!(bytes.bytes, a);
    let result =
        json!({"items": [{"type": "label", "label": "text"}], "fields": {"words": 3}, "summary": "three words"});
    let done = worker.complete(job, json!({"outcome": "succeeded", "result": result, "duration_s": 0.2})).await;
    assert_eq!((&done["status"], &done["state"], &done["repeat"]), (&json!(200), &json!("succeeded"), &json!(false)));
    let again = worker.complete(job, json!({"outcome": "succeeded", "result": {"fields": {"words": 4}}})).await;
    assert_eq!((&again["status"], &again["repeat"]), (&json!(200), &json!(true)));
    let looked = ines.get(&format!("/predict/{}", md5_of(&a))).await.ok(200);
    assert_eq!((&looked["status"], &looked["done"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(looked["results"]["ocr"]["fields"]["words"], 3, "the second completion changed nothing");
    assert_eq!(
        (&looked["results"]["ocr"]["version"], &looked["results"]["ocr"]["summary"]),
        (&json!("v1"), &json!("three words"))
    );
    let id = job["id"].as_str().expect("an id");
    let history = ines.get(&format!("/jobs/{id}")).await.ok(200);
    let codes: Vec<&str> =
        history["events"].as_array().expect("events").iter().filter_map(|e| e["code"].as_str()).collect();
    assert_eq!(codes, ["created", "claimed", "succeeded"]);
    worker.key.get(job["image"]["url"].as_str().expect("a url")).await.problem(404, "not_found");
}

pub async fn submit(app: &TestApp, count: u64) -> Client {
    let ines = app.investigator("ines").await;
    let files: Vec<(&str, Vec<u8>)> = (1..=count).map(|n| ("a.png", photo(n))).collect();
    ines.submit(&files, &["ocr"]).await;
    ines
}

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_submission() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let start = Instant::now();
    let files = [("a.png", photo(1))];
    let (jobs, _) = tokio::join!(worker.claim_as(Uuid::new_v4(), 1, 40.0), async {
        until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
        ines.submit(&files, &["ocr"]).await
    });
    assert_eq!(jobs.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(30), "woken, not timed out");
}

#[tokio::test]
async fn idle_waiters_cost_no_statement_of_their_own() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let claims: Vec<_> = (0..50)
        .map(|_| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.claim_as(Uuid::new_v4(), 1, 50.0).await })
        })
        .collect();
    let waiting = || app.ctx.waiters.waited_for();
    until("fifty waiting claims", async || waiting() == [("ocr".to_owned(), 50)]).await;
    let mut watcher = app.outside.acquire().await.expect("a connection of our own");
    let before = last_statements(&mut watcher).await;
    // One probe stands for a second of waiting by all of them together.
    maintenance::probe(&app.ctx).await.expect("a probe");
    let after = last_statements(&mut watcher).await;
    let spent = after.iter().filter(|statement| !before.contains(statement)).count();
    assert!(spent <= 1, "{spent} connections did something");
    assert_eq!(waiting(), [("ocr".to_owned(), 50)], "nobody was woken for nothing");
    for claim in claims {
        claim.abort();
    }
}

/// The time of the last statement of every connection of the server.
async fn last_statements(watcher: &mut PgConnection) -> Vec<(i32, String)> {
    let sql = "SELECT pid, query_start::text FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND query_start IS NOT NULL";
    sqlx::query_as(sql).fetch_all(watcher).await.expect("the activity")
}

#[tokio::test]
async fn a_probe_finds_the_job_whose_wake_up_was_lost() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    app.ctx.index.clear_queue("ocr").await;
    assert!(worker.claim(1).await.is_empty(), "the hint is lost");
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { worker.claim_as(Uuid::new_v4(), 1, 40.0).await }
    });
    until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
    maintenance::probe(&app.ctx).await.expect("a probe");
    assert_eq!(waiting.await.expect("a claim").len(), 1);
}

#[tokio::test]
async fn a_hang_up_while_waiting_leaves_no_trace() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { worker.claim_as(Uuid::new_v4(), 1, 40.0).await }
    });
    until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
    waiting.abort();
    let _ = waiting.await;
    assert!(app.ctx.waiters.waited_for().is_empty() && app.ctx.waiters.sessions().is_empty());
    submit(&app, 1).await;
    assert_eq!(worker.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_claim_sent_again_gets_new_leases_of_the_same_jobs() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 3).await;
    let claim = Uuid::new_v4();
    let first = worker.claim_as(claim, 2, 0.0).await;
    let second = worker.claim_as(claim, 2, 0.0).await;
    let ids = |jobs: &[Value]| jobs.iter().map(|j| j["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
    assert!(second.iter().all(|j| j["lease_no"] == 2 && j["attempt"] == 1));
    assert_eq!(worker.succeed(&first[0]).await["problem"]["code"], "stale_lease");
    let done = worker.succeed(&second[0]).await;
    assert_eq!((&done["status"], &done["repeat"]), (&json!(200), &json!(false)), "the stale lease ended nothing");
    let rest = worker.claim_as(claim, 2, 0.0).await;
    assert_eq!(rest.len(), 1, "what it still holds, and nothing new");
    worker.succeed(&rest[0]).await;
    assert_eq!(worker.claim_as(claim, 2, 0.0).await.len(), 1, "holding nothing, it claims afresh");
}

#[tokio::test]
async fn only_the_holder_of_the_lease_ends_a_job() {
    let app = TestApp::new().await;
    let (worker, other) = (app.worker("ocr").await, app.key("predict", &["ocr"]).await);
    let admin = app.admin().await;
    let trusted = app.key_of(&admin, "predict", &["*"]).await;
    let rival = Worker::register(trusted, "ocr", "v1").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    for (who, item) in [
        ("another session", rival.succeed(&job).await),
        ("an invented lease", worker.succeed(&json!({"id": job["id"], "lease_no": 99})).await),
        ("an unknown job", worker.succeed(&json!({"id": Uuid::new_v4(), "lease_no": 1})).await),
        ("another key with this session", Worker { key: other, id: worker.id.clone() }.succeed(&job).await),
    ] {
        assert_eq!(
            (&item["status"], &item["problem"]["code"], &item["state"]),
            (&json!(409), &json!("stale_lease"), &Value::Null),
            "{who}"
        );
        assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'running'").await, 1, "{who} ended it");
    }
    let done = worker.succeed(&job).await;
    assert_eq!((&done["status"], &done["repeat"]), (&json!(200), &json!(false)));
}

#[tokio::test]
async fn a_word_with_another_key_is_not_taken_for_the_holders_beside_it() {
    let app = TestApp::new().await;
    let (worker, other) = (app.worker("ocr").await, app.key("predict", &["ocr"]).await);
    let thief = Worker { key: other, id: worker.id.clone() };
    submit(&app, 8).await;
    let jobs = worker.claim(8).await;
    let said = |who: &Worker, outcome: &'static str| {
        let who = who.clone();
        join_all(jobs.clone().into_iter().map(move |job| {
            let who = who.clone();
            async move { who.complete(&job, json!({"outcome": outcome, "error": {"type": "X"}})).await }
        }))
    };
    // They come at once, so that several are carried out together.
    let (stolen, own) = tokio::join!(said(&thief, "rejected"), said(&worker, "retry"));
    assert!(stolen.iter().all(|item| item["status"] == 409), "{stolen:?}");
    assert!(own.iter().all(|item| item["status"] == 200 && item["repeat"] == false), "{own:?}");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued'").await, 8);
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_in_order() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 3).await;
    let jobs = worker.claim(2).await;
    let item = |job: &Value, outcome: Value| {
        let mut item = json!({"id": job["id"], "lease_no": job["lease_no"]});
        item.as_object_mut().expect("an object").extend(outcome.as_object().expect("an object").clone());
        item
    };
    let ok = json!({"outcome": "succeeded", "result": {"fields": {"n": 1}}});
    let items = [
        item(&jobs[0], ok.clone()),
        item(&jobs[0], json!({"outcome": "rejected", "error": {"type": "X"}})),
        item(&jobs[1], json!({"outcome": "succeeded", "result": {"items": [{"type": "box", "box": [2, 0, 3, 1]}]}})),
        item(&json!({"id": Uuid::new_v4(), "lease_no": 1}), ok),
    ];
    let body = json!({"worker": worker.id, "items": items, "claim": {"claim_id": Uuid::new_v4(), "max": 8}});
    let answer = worker.key.post("/jobs/complete", body).await.ok(200);
    let of = |n: usize| {
        (
            answer["items"][n]["status"].clone(),
            answer["items"][n]["repeat"].clone(),
            answer["items"][n]["problem"]["code"].clone(),
        )
    };
    assert_eq!(of(0), (json!(200), json!(false), Value::Null));
    assert_eq!(of(1), (json!(200), json!(true), Value::Null), "of several for one job the first counts");
    assert_eq!(of(2), (json!(422), json!(false), json!("invalid_result")));
    assert_eq!(of(3), (json!(409), json!(false), json!("stale_lease")));
    assert_eq!(answer["claimed"]["jobs"].as_array().map(Vec::len), Some(1), "completions commit first, then it claims");
    assert_eq!(app.count("SELECT count(*) FROM job_archive WHERE state = 'succeeded'").await, 1);
}

#[tokio::test]
async fn a_completion_of_two_claims_is_counted_by_both() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 4).await;
    let claims = [Uuid::new_v4(), Uuid::new_v4()];
    let (first, second) = (worker.claim_as(claims[0], 2, 0.0).await, worker.claim_as(claims[1], 2, 0.0).await);
    let item = |job: &Value, outcome: &str| json!({"id": job["id"], "lease_no": job["lease_no"], "outcome": outcome, "result": {"fields": {}}});
    let items = [item(&first[0], "succeeded"), item(&second[0], "succeeded")];
    worker.key.post("/jobs/complete", json!({"worker": worker.id, "items": items})).await.ok(200);
    let open = "SELECT count(*) FROM claim WHERE open = 1 AND cardinality(jobs) = 2";
    assert_eq!(app.count(open).await, 2);
    // The others of both go back to the queue.
    let items = [&first[1], &second[1]].map(|job| json!({"id": job["id"], "lease_no": job["lease_no"]}));
    worker.key.post("/jobs/release", json!({"worker": worker.id, "items": items})).await.ok(200);
    assert_eq!(app.count("SELECT count(*) FROM claim WHERE open = 0").await, 2);
    assert_eq!(worker.claim_as(claims[0], 8, 0.0).await.len(), 2, "a claim that holds nothing takes afresh");
    maintenance::rescue(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM claim").await, 1, "what holds nothing is forgotten");
}

#[tokio::test]
async fn a_failed_attempt_waits_and_is_tried_again_until_none_is_left() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    admin.patch("/models/ocr", json!({"max_attempts": 2, "backoff_base_s": 0, "backoff_cap_s": 0})).await.ok(200);
    let ines = submit(&app, 1).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let job = worker.claim(1).await.remove(0);
    let error = json!({"type": "MemoryError", "message": "out of memory", "traceback": "Traceback: line 1"});
    let item = worker.complete(&job, json!({"outcome": "retry", "retry_after_s": 3600, "error": error})).await;
    assert_eq!((&item["status"], &item["state"]), (&json!(200), &json!("queued")));
    let looked = ines.get(&path).await.ok(200);
    assert_eq!(
        (&looked["jobs"]["ocr"]["state"], &looked["jobs"]["ocr"]["waiting"]),
        (&json!("queued"), &json!("backoff"))
    );
    assert!(worker.claim(1).await.is_empty(), "retry_after_s is honoured");
    assert_eq!(worker.complete(&job, json!({"outcome": "retry", "error": error})).await["repeat"], true);
    sqlx::query("UPDATE job SET run_at = clock_timestamp()").execute(app.ctx.db.pool()).await.expect("an update");
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    let second = worker.claim(1).await.remove(0);
    assert_eq!((&second["attempt"], &second["lease_no"]), (&json!(2), &json!(2)));
    let item = worker.complete(&second, json!({"outcome": "retry", "error": error})).await;
    assert_eq!(item["state"], "failed");
    let looked = ines.get(&path).await.ok(200);
    let seen = &looked["jobs"]["ocr"];
    assert_eq!(
        (&seen["reason"], &seen["error"]["message"], &seen["attempt"]),
        (&json!("exhausted"), &json!("out of memory"), &json!(2))
    );
    let history = ines.get(&format!("/jobs/{}", job["id"].as_str().expect("an id"))).await.ok(200);
    assert_eq!(history["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(history["attempts"][0]["traceback"], "Traceback: line 1");
}

#[tokio::test]
async fn no_retry_starts_after_the_budget() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    let policy = json!({"max_attempts": 100, "backoff_base_s": 0, "retry_budget_s": 60});
    assert_eq!(admin.patch("/models/ocr", policy).await.ok(200)["retry"]["retry_budget_s"], 60.0);
    let ines = submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    assert_eq!(worker.complete(&job, json!({"outcome": "retry"})).await["state"], "queued");
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    let job = worker.claim(1).await.remove(0);
    sqlx::query("UPDATE job SET begun_at = begun_at - interval '50 s'")
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    let late = worker.complete(&job, json!({"outcome": "retry", "retry_after_s": 11})).await;
    assert_eq!(late["state"], "failed", "the next try would start a second too late");
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(looked["jobs"]["ocr"]["reason"], "exhausted");
    assert_eq!(
        admin.patch("/models/ocr", json!({"retry_budget_s": null})).await.ok(200)["retry"]["retry_budget_s"],
        Value::Null
    );
}

#[tokio::test]
async fn a_rejected_image_is_final() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    let item = worker
        .complete(&job, json!({"outcome": "rejected", "error": {"type": "ValueError", "message": "cannot decode"}}))
        .await;
    assert_eq!(item["state"], "failed");
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!((&looked["status"], &looked["jobs"]["ocr"]["reason"]), (&json!("failed"), &json!("rejected")));
    assert_eq!(looked["jobs"]["ocr"]["error"], json!({"type": "ValueError", "message": "cannot decode"}));
}

#[tokio::test]
async fn a_release_costs_no_attempt() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    let body = json!({"worker": worker.id, "items": [{"id": job["id"], "lease_no": job["lease_no"]}]});
    assert_eq!(worker.key.post("/jobs/release", body.clone()).await.ok(200)["items"][0]["state"], "queued");
    assert_eq!(worker.key.post("/jobs/release", body).await.ok(200)["items"][0]["repeat"], true);
    let again = worker.claim(1).await.remove(0);
    assert_eq!((&again["attempt"], &again["lease_no"]), (&json!(1), &json!(2)));
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    worker.key.delete(&format!("/workers/{}", worker.id)).await.problem(410, "unknown_worker");
    assert_eq!(
        app.count("SELECT count(*) FROM job WHERE state = 'queued' AND attempt = 0").await,
        1,
        "leaving gives back"
    );
}

#[tokio::test]
async fn a_beat_tells_what_is_lost_and_gives_back_what_never_arrived() {
    let app = TestApp::with(|s| (s.heartbeat_s, s.lease_s) = (0.05, 0.1)).await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    submit(&app, 2).await;
    let jobs = worker.claim(2).await;
    admin.post(&format!("/jobs/{}/cancel", jobs[0]["id"].as_str().expect("an id")), Value::Null).await.ok(200);
    let beat =
        |jobs: Value| worker.key.post(&format!("/workers/{}/heartbeat", worker.id).leak()[..], json!({"jobs": jobs}));
    let held = json!([{"id": jobs[0]["id"], "lease_no": 1, "progress": 0.5}, {"id": jobs[1]["id"], "lease_no": 1, "progress": 0.4}]);
    let answer = beat(held).await.ok(200);
    assert_eq!(answer["stop"], json!([jobs[0]["id"]]));
    let seen = admin.get(&format!("/jobs/{}", jobs[1]["id"].as_str().expect("an id"))).await.ok(200);
    assert_eq!(seen["progress"], 0.4);
    sqlx::query("UPDATE job SET started_at = started_at - interval '1 s'")
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    beat(json!([])).await.ok(200);
    assert_eq!(worker.claim(1).await[0]["id"], jobs[1]["id"], "released free of charge");
    assert_eq!(worker.succeed(&jobs[0]).await["problem"]["code"], "stale_lease", "cancel is terminal at once");
}

#[tokio::test]
async fn what_troubles_a_worker_is_shown_until_it_is_over() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    let path = format!("/workers/{}/heartbeat", worker.id);
    let shown = async |beat: Value| {
        worker.key.post(&path, beat).await.ok(200);
        admin.get("/workers").await.ok(200)["items"][0]["trouble"].clone()
    };
    let said = "ocr.py, line 3\n\tdef\nSyntaxError\u{1b}[2J";
    assert_eq!(shown(json!({"jobs": [], "trouble": said})).await, "ocr.py, line 3\n\tdef\nSyntaxError[2J");
    assert_eq!(shown(json!({"jobs": [], "trouble": null})).await, Value::Null);
    assert_eq!(shown(json!({"jobs": [], "trouble": "x".repeat(2_001)})).await, "x".repeat(2_000));
    assert_eq!(shown(json!({"jobs": []})).await, Value::Null, "a beat tells all");
    assert_eq!(shown(json!({"jobs": [], "trouble": ""})).await, Value::Null);
}

#[tokio::test]
async fn an_attempt_past_its_deadline_is_taken_away() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    assert!(job["deadline_s"].as_f64().is_some_and(|s| s > 500.0));
    sqlx::query("UPDATE claim SET deadline_at = clock_timestamp() - interval '1 s'")
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    maintenance::rescue(&app.ctx).await.expect("a tick");
    assert_eq!(worker.succeed(&job).await["problem"]["code"], "stale_lease");
    assert_eq!(app.count("SELECT count(*) FROM attempt WHERE outcome = 'deadline'").await, 1);
    assert_eq!(
        app.count("SELECT count(*) FROM job WHERE attempt = 1 AND state = 'queued'").await,
        1,
        "it costs the attempt"
    );
}

#[tokio::test]
async fn a_queued_job_past_its_time_expires() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    sqlx::query("UPDATE job SET finish_by = clock_timestamp()").execute(app.ctx.db.pool()).await.expect("an update");
    assert!(worker.claim(1).await.is_empty());
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!((&looked["status"], &looked["jobs"]["ocr"]["reason"]), (&json!("failed"), &json!("expired")));
}

#[tokio::test]
async fn a_limit_bounds_the_jobs_that_run() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    admin.patch("/models/ocr", json!({"max_running": 2})).await.ok(200);
    submit(&app, 5).await;
    let claims = futures_util::future::join_all((0..4).map(|_| worker.claim(2))).await;
    let running: Vec<Value> = claims.into_iter().flatten().collect();
    assert_eq!(running.len(), 2);
    worker.succeed(&running[0]).await;
    assert_eq!(worker.claim(5).await.len(), 1);
    admin.patch("/models/ocr", json!({"max_running": null})).await.ok(200);
    assert_eq!(worker.claim(5).await.len(), 2);
}

#[tokio::test]
async fn a_paused_model_hands_out_nothing_and_a_resumed_one_wakes_its_workers() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let admin = app.admin().await;
    admin.patch("/models/ocr", json!({"paused": true})).await.ok(200);
    let ines = submit(&app, 1).await;
    assert!(worker.claim(1).await.is_empty());
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(looked["jobs"]["ocr"]["waiting"], "paused");
    let waiting = tokio::spawn(async move { worker.claim_as(Uuid::new_v4(), 1, 40.0).await });
    until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
    admin.patch("/models/ocr", json!({"paused": false})).await.ok(200);
    assert_eq!(waiting.await.expect("a claim").len(), 1);
}

#[tokio::test]
async fn the_same_instance_keeps_its_session() {
    let app = TestApp::new().await;
    let key = app.key("predict", &["ocr"]).await;
    let body = json!({"service": "predict", "model": "ocr", "version": "1", "instance": Uuid::new_v4()});
    let first = key.post("/workers/register", body.clone()).await.ok(201);
    let second = key.post("/workers/register", body.clone()).await.ok(200);
    assert_eq!(first["worker"], second["worker"]);
    app.age_sessions(60.0).await;
    let third = key.post("/workers/register", body).await.ok(201);
    assert_ne!(first["worker"], third["worker"]);
}

#[tokio::test]
async fn of_all_replicas_waiters_one_is_woken_per_job() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let others = [app.replica().await, app.replica().await];
    let mut tasks = Vec::new();
    for other in &others {
        let ctx = other.ctx.clone();
        tasks.push(tokio::spawn(async move { darkroom::service::announce::listen(&ctx).await.expect("to listen") }));
    }
    let mut claims = futures_util::stream::FuturesUnordered::new();
    for other in others.iter().cycle().take(6) {
        let key = Client::new(other.router.clone(), worker.key.token.clone());
        let there = Worker { key, id: worker.id.clone() };
        claims.push(tokio::spawn(async move { there.claim_as(Uuid::new_v4(), 1, 40.0).await }));
    }
    until("waiting claims and listeners", async || {
        others.iter().all(|o| o.ctx.waiters.waiting_for("ocr", 0) == 3) && app.ctx.index.listeners().await == Some(2)
    })
    .await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let first = claims.next().await.expect("an answer").expect("a claim");
    assert_eq!(first.len(), 1);
    let lined_up: u64 = others.iter().map(|o| o.ctx.waiters.lined_up()).sum();
    assert_eq!(lined_up, 7, "the one that was woken got in line again before it looked, and nobody else");
    claims.iter().for_each(tokio::task::JoinHandle::abort);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
