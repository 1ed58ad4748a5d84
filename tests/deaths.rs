//! Workers die, and what they held lives on.

use darkroom::maintenance;
use darkroom::store::{ticks, workers};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};
use crate::work::submit;

async fn tick(app: &TestApp) {
    maintenance::rescue(&app.ctx).await.expect("a tick");
}

/// A session falls silent for longer than its lease, and nobody has noticed yet.
async fn fall_silent(app: &TestApp, worker: &Worker) {
    sqlx::query("UPDATE worker_session SET alive_until = clock_timestamp() - interval '1 min' WHERE id = $1::uuid")
        .bind(&worker.id)
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
}

/// A session dies: it is silent, and a tick notices.
async fn die(app: &TestApp, worker: &Worker) {
    fall_silent(app, worker).await;
    tick(app).await;
}

/// Another session of the same key.
async fn another(worker: &Worker) -> Worker {
    Worker::register(worker.key.clone(), "ocr", "v1").await
}

/// Two sessions of a model with so many jobs queued, after the first tick, which spares everybody.
async fn two_workers(jobs: u64) -> (TestApp, Worker, Worker, Client) {
    let app = TestApp::new().await;
    let first = app.worker("ocr").await;
    let second = another(&first).await;
    tick(&app).await;
    let ines = submit(&app, jobs).await;
    (app, first, second, ines)
}

#[tokio::test]
async fn a_dead_workers_job_is_claimed_by_another() {
    let app = TestApp::new().await;
    let (dead, alive) = (app.worker("ocr").await, app.admin().await);
    let alive = Worker::register(app.key_of(&alive, "predict", &["ocr"]).await, "ocr", "v1").await;
    submit(&app, 1).await;
    let job = dead.claim(1).await.remove(0);
    tick(&app).await;
    assert!(alive.claim(1).await.is_empty(), "a live session keeps its job");
    die(&app, &dead).await;
    let again = alive.claim(1).await.remove(0);
    assert_eq!(
        (&again["id"], &again["attempt"], &again["lease_no"]),
        (&job["id"], &json!(1), &json!(2)),
        "a death costs no attempt"
    );
    assert_eq!(dead.succeed(&job).await["problem"]["code"], "stale_lease");
    let body = json!({"draining": false, "jobs": []});
    dead.key.post(&format!("/workers/{}/heartbeat", dead.id), body).await.problem(410, "unknown_worker");
    let body = json!({"worker": dead.id, "claim_id": Uuid::new_v4()});
    dead.key.post("/jobs/claim", body).await.problem(410, "unknown_worker");
    assert_eq!(alive.succeed(&again).await["status"], 200);
}

#[tokio::test]
async fn what_a_dead_worker_held_is_tried_one_by_one() {
    let (app, dead, alive, _) = two_workers(4).await;
    let held = dead.claim(3).await;
    assert!(held.len() == 3 && held.iter().all(|j| j["solo"] == false));
    die(&app, &dead).await;
    assert_eq!(app.count("SELECT count(*) FROM job WHERE suspect AND deaths = 0 AND attempt = 0").await, 3);
    for _ in 0..3 {
        let solo = alive.claim(8).await;
        assert_eq!((solo.len(), &solo[0]["solo"]), (1, &json!(true)), "alone, though more was asked for");
        assert!(held.iter().any(|j| j["id"] == solo[0]["id"]));
        assert!(alive.claim(8).await.is_empty(), "nothing beside it");
        assert_eq!(alive.succeed(&solo[0]).await["status"], 200);
    }
    let last = alive.claim(8).await;
    assert_eq!((last.len(), &last[0]["solo"]), (1, &json!(false)), "the rest goes on as before");
}

#[tokio::test]
async fn a_late_word_about_a_suspect_is_a_sign_of_life_and_frees_its_session() {
    let (app, dead, alive, _) = two_workers(3).await;
    dead.claim(2).await;
    die(&app, &dead).await;
    let solo = alive.claim(8).await.remove(0);
    fall_silent(&app, &alive).await;
    assert_eq!(alive.succeed(&solo).await["status"], 200);
    tick(&app).await;
    assert_eq!(alive.claim(8).await[0]["solo"], true, "it lives, and is free for the next suspect");
}

#[tokio::test]
async fn claims_at_once_of_one_session_put_nothing_beside_a_suspect() {
    let (app, dead, alive, _) = two_workers(6).await;
    dead.claim(2).await;
    die(&app, &dead).await;
    let claims = futures_util::future::join_all((0..6).map(|_| alive.claim(1))).await;
    let taken: Vec<Value> = claims.into_iter().flatten().collect();
    let solo = taken.iter().filter(|j| j["solo"] == true).count();
    assert!(solo <= 1 && (solo == 0 || taken.len() == 1), "{taken:?}");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'running'").await, taken.len() as i64);
}

#[tokio::test]
async fn three_solo_deaths_poison_and_the_evidence_is_kept() {
    let (app, dead, _, ines) = two_workers(1).await;
    dead.claim(8).await;
    die(&app, &dead).await;
    for death in 1..=3 {
        let worker = another(&dead).await;
        sqlx::query("UPDATE job SET run_at = clock_timestamp(), due = true")
            .execute(app.ctx.db.pool())
            .await
            .expect("an update");
        assert_eq!(worker.claim(8).await[0]["solo"], true, "death {death}");
        die(&app, &worker).await;
    }
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    let job = &looked["jobs"]["ocr"];
    assert_eq!((&job["state"], &job["reason"]), (&json!("failed"), &json!("poisoned")));
    let history = ines.get(&format!("/jobs/{}", job["id"].as_str().expect("an id"))).await.ok(200);
    let outcomes: Vec<&str> =
        history["attempts"].as_array().expect("attempts").iter().filter_map(|a| a["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["lost"; 4]);
}

#[tokio::test]
async fn an_innocent_job_survives_any_number_of_shared_deaths() {
    let (app, worker, _, _) = two_workers(2).await;
    for _ in 0..4 {
        let doomed = another(&worker).await;
        sqlx::query("UPDATE job SET suspect = false").execute(app.ctx.db.pool()).await.expect("an update");
        app.sweep().await;
        assert_eq!(doomed.claim(2).await.len(), 2);
        die(&app, &doomed).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued' AND deaths = 0").await, 2);
}

#[tokio::test]
async fn a_worker_that_lives_to_complain_clears_the_suspect() {
    let (app, dead, alive, _) = two_workers(1).await;
    app.admin().await.patch("/models/ocr", json!({"backoff_base_s": 0})).await.ok(200);
    dead.claim(1).await;
    die(&app, &dead).await;
    let solo = alive.claim(1).await.remove(0);
    let body = json!({"worker": alive.id, "items": [{"id": solo["id"], "lease_no": solo["lease_no"]}]});
    alive.key.post("/jobs/release", body).await.ok(200);
    let solo = alive.claim(1).await.remove(0);
    assert_eq!(solo["solo"], true, "given back untried, it is as suspect as before");
    alive.complete(&solo, json!({"outcome": "retry", "error": {"type": "OSError"}})).await;
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    assert_eq!(alive.claim(1).await[0]["solo"], false);
}

#[tokio::test]
async fn while_a_suspect_waits_one_session_is_kept_free_for_it() {
    let (app, dead, busy, _) = two_workers(6).await;
    let other = another(&busy).await;
    let held = busy.claim(1).await.remove(0);
    assert_eq!(other.claim(1).await.len(), 1);
    dead.claim(1).await;
    die(&app, &dead).await;
    assert!(busy.claim(1).await.is_empty(), "the first to ask is kept free");
    assert_eq!(other.claim(1).await[0]["solo"], false, "only one is");
    let waiting = tokio::spawn({
        let busy = busy.clone();
        async move { busy.claim_as(Uuid::new_v4(), 8, 40.0).await }
    });
    until("a waiting claim", async || !app.ctx.waiters.sessions().is_empty()).await;
    busy.succeed(&held).await;
    let solo = waiting.await.expect("a claim");
    assert_eq!((solo.len(), &solo[0]["solo"]), (1, &json!(true)));
}

#[tokio::test]
async fn a_waiting_worker_is_woken_for_a_suspect() {
    let (app, dead, idle, _) = two_workers(1).await;
    dead.claim(1).await;
    let waiting = tokio::spawn(async move { idle.claim_as(Uuid::new_v4(), 8, 40.0).await });
    until("a waiting claim", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    die(&app, &dead).await;
    assert_eq!(waiting.await.expect("a claim")[0]["solo"], true);
}

#[tokio::test]
async fn a_suspect_that_is_cancelled_frees_its_session() {
    let (app, dead, alive, _) = two_workers(2).await;
    dead.claim(1).await;
    die(&app, &dead).await;
    let solo = alive.claim(1).await.remove(0);
    let admin = app.admin().await;
    admin.post(&format!("/jobs/{}/cancel", solo["id"].as_str().expect("an id")), Value::Null).await.ok(200);
    assert_eq!(alive.claim(8).await[0]["solo"], false);
}

#[tokio::test]
async fn a_session_that_left_with_a_job_is_no_death() {
    let (app, leaver, alive, _) = two_workers(1).await;
    leaver.claim(1).await;
    sqlx::query("UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'left' WHERE id = $1::uuid")
        .bind(&leaver.id)
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    tick(&app).await;
    let again = alive.claim(1).await.remove(0);
    assert_eq!((&again["solo"], &again["attempt"]), (&json!(false), &json!(1)));
    assert_eq!(app.count("SELECT count(*) FROM attempt WHERE outcome = 'released'").await, 1);
}

#[tokio::test]
async fn a_tick_that_stands_still_calls_nobody_dead() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let standing_still = app.ctx.db.write(async |tx| {
        let stamp = ticks::stamp_tick(tx, "rescue").await?;
        // Beats stand still with it, and the lease passes meanwhile.
        let age = "UPDATE worker_session SET alive_until = $1 + interval '1 us'";
        sqlx::query(age).bind(stamp.at).execute(app.ctx.db.pool()).await?;
        workers::give_up(tx, stamp.at, 10).await
    });
    assert!(standing_still.await.expect("a tick").is_empty());
    sqlx::query("UPDATE tick SET last_at = last_at - interval '1 hour'")
        .execute(app.ctx.db.pool())
        .await
        .expect("time");
    tick(&app).await;
    assert!(worker.claim(1).await.is_empty(), "the next one sees how long the service was away");
    app.age_sessions(3600.0).await;
    tick(&app).await;
    let claim = json!({ "worker": worker.id, "claim_id": Uuid::new_v4() });
    worker.key.post("/jobs/claim", claim).await.problem(410, "unknown_worker");
}

#[tokio::test]
async fn when_the_service_was_away_nobody_is_called_dead() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    tick(&app).await;
    app.age_sessions(600.0).await;
    sqlx::query("UPDATE tick SET last_at = last_at - interval '10 min'")
        .execute(app.ctx.db.pool())
        .await
        .expect("an update");
    tick(&app).await;
    assert_eq!(worker.succeed(&job).await["status"], 200);
}

#[tokio::test]
async fn a_waiting_claim_keeps_no_session_alive_that_holds_jobs() {
    let (app, ahead, idle, _) = two_workers(1).await;
    assert_eq!(ahead.claim(1).await.len(), 1);
    app.age_sessions(600.0).await;
    let sessions = [&ahead, &idle].map(|worker| Uuid::parse_str(&worker.id).expect("an id"));
    app.ctx.upkeep.run(async |db| workers::prolong(db, &sessions, 30.0).await).await.expect("a statement");
    tick(&app).await;
    let claim = |worker: &Worker| json!({ "worker": worker.id, "claim_id": Uuid::new_v4() });
    ahead.key.post("/jobs/claim", claim(&ahead)).await.problem(410, "unknown_worker");
    assert_eq!(idle.claim(1).await[0]["solo"], true, "what it had fetched ahead goes to others");
}

#[tokio::test]
async fn twenty_thousand_leases_that_die_at_once_live_again_after_one_tick() {
    const IMAGES: u64 = 100;
    const WORKERS: usize = 200;
    let app = TestApp::new().await;
    let key = app.key("predict", &["rack-*"]).await;
    let models: Vec<String> = (0..WORKERS).map(|n| format!("rack-{n}")).collect();
    let mut rack = Vec::new();
    for model in &models {
        rack.push(Worker::register(key.clone(), model, "v1").await);
    }
    tick(&app).await;
    let ines = app.investigator("ines").await;
    let files: Vec<(&str, Vec<u8>)> = (0..IMAGES).map(|n| ("a.png", photo(n))).collect();
    ines.submit(&files, &["rack-0"]).await;
    let md5s: Vec<String> = files.iter().map(|(_, bytes)| md5_of(bytes)).collect();
    for models in models.chunks(5) {
        ines.post("/predict", json!({ "images": md5s, "models": models })).await.ok(202);
    }
    for worker in &rack {
        assert_eq!(worker.claim(IMAGES as usize).await.len() as u64, IMAGES);
    }
    let running = "SELECT count(*) FROM job WHERE state = 'running'";
    assert_eq!(app.count(running).await, 20_000);
    app.age_sessions(600.0).await;
    app.alter("UPDATE tick SET last_at = clock_timestamp()").await;
    tick(&app).await;
    assert_eq!(app.count(running).await, 0);
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued' AND suspect").await, 20_000);
}

#[tokio::test]
async fn a_worker_that_registers_again_after_a_silence_leaves_its_lost_session_told() {
    let app = TestApp::new().await;
    let key = app.key("predict", &["ocr"]).await;
    let body = json!({ "service": "predict", "model": "ocr", "version": "v1", "instance": Uuid::new_v4() });
    let id = key.post("/workers/register", body.clone()).await.ok(201)["worker"].as_str().expect("an id").to_owned();
    let silent = Worker { key: key.clone(), id: id.clone() };
    fall_silent(&app, &silent).await;
    assert_ne!(
        key.post("/workers/register", body).await.ok(201)["worker"],
        id.as_str(),
        "a session past its time stays so"
    );
    let told = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM audit_events WHERE code = 'worker_lost' AND worker = $1::uuid",
    );
    assert_eq!(told.bind(&id).fetch_one(app.ctx.db.pool()).await.expect("the audit"), 1);
}

#[tokio::test]
async fn a_service_that_is_away_again_and_again_still_calls_the_dead_dead() {
    let app = TestApp::new().await;
    let (dead, alive) = (app.worker("ocr").await, app.worker("ocr2").await);
    crate::work::submit(&app, 1).await;
    assert_eq!(dead.claim(1).await.len(), 1);
    tick(&app).await;
    let ended = "SELECT count(*) FROM worker_session WHERE end_reason = 'lost'";
    let mut absences = 0;
    while app.count(ended).await == 0 {
        absences += 1;
        assert!(absences < 10, "nobody is ever called dead");
        // Each longer than two ticks, and after each the living are heard of.
        app.alter(
            "UPDATE tick SET last_at = last_at - interval '12 s';
             UPDATE worker_session SET beat_at = beat_at - interval '12 s', alive_until = alive_until - interval '12 s'",
        )
        .await;
        tick(&app).await;
        alive.key.post(&format!("/workers/{}/heartbeat", alive.id), json!({"jobs": []})).await.ok(200);
    }
    assert!(absences > 3, "spared {absences} times");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'running'").await, 0, "its job is claimable again");
    assert_eq!(app.count(ended).await, 1, "the other lives");
}
