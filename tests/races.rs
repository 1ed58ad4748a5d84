//! Moments that must not come between: each is held still by a lock or a deferred trigger, never by a sleep.

use darkroom::maintenance;
use darkroom::service::transition;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use crate::kit::servers;
use crate::lookup::Mirror;
use crate::work::submit;

/// A connection beside the server's.
pub async fn beside(app: &TestApp) -> PgConnection {
    PgConnection::connect(&servers::as_superuser(&app.settings.database.database_url.0)).await.expect("a connection")
}

/// Waits until a statement of the server waits for a lock.
pub async fn until_blocked(app: &TestApp) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("a statement that waits for a lock", async || app.count(sql).await > 0).await;
}

#[tokio::test]
async fn nothing_is_pushed_before_its_commit() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    app.alter(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57000'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;
    let waiting = tokio::spawn(async move { worker.claim_as(Uuid::new_v4(), 1, 40.0).await });
    until("a waiting claim", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    let form = Form::default().file("a.png", &photo(1)).text("models", "ocr");
    ines.upload(form).await.problem(503, "unavailable");
    assert_eq!(app.ctx.index.depth("ocr").await, Some(0), "the COMMIT failed, so nobody was told");
    assert_eq!(app.ctx.waiters.lined_up(), 1, "and nobody was woken");
    waiting.abort();
}

#[tokio::test]
async fn rescue_asks_again_about_what_it_locked() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    let id: Uuid = job["id"].as_str().expect("an id").parse().expect("a UUID");
    // As when the first statement joined the job's new row with its old session.
    let moved = app.ctx.db.write(async |tx| transition::rescue(tx, &[id], 0.5).await).await.expect("a statement");
    assert!(moved.is_empty(), "its session lives");
    assert_eq!(worker.succeed(&job).await["status"], 200);
}

#[tokio::test]
async fn a_sign_of_life_on_its_way_keeps_the_session() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    maintenance::rescue(&app.ctx).await.expect("the first tick, which spares everybody");
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    app.age_sessions(60.0).await;
    let mut beat = beside(&app).await;
    let mut tx = beat.begin().await.expect("a transaction");
    sqlx::query("UPDATE worker_session SET alive_until = clock_timestamp() + interval '30 s'")
        .execute(&mut *tx)
        .await
        .expect("a beat that is not committed yet");
    maintenance::rescue(&app.ctx).await.expect("a tick");
    tx.commit().await.expect("a commit");
    assert_eq!(worker.succeed(&job).await["status"], 200);
}

#[tokio::test]
async fn a_limit_counts_what_its_lock_waited_for() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.admin().await.patch("/models/ocr", json!({"max_running": 1})).await.ok(200);
    submit(&app, 2).await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM queue WHERE name = 'ocr' FOR UPDATE").execute(&mut *tx).await.expect("the queue's row");
    let claiming = tokio::spawn({
        let worker = worker.clone();
        async move { worker.claim(1).await }
    });
    until_blocked(&app).await;
    sqlx::query(
        "WITH taken AS (
           UPDATE job SET state = 'running', lease_no = 1, session_id = (SELECT id FROM worker_session LIMIT 1),
                  claim_id = uuid_v7(), started_at = clock_timestamp()
           WHERE id = (SELECT id FROM job ORDER BY id LIMIT 1)
           RETURNING id, queue_id, session_id, claim_id, started_at
         )
         INSERT INTO claim (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
         SELECT session_id, claim_id, queue_id, started_at, started_at + interval '1 h', 1, ARRAY[id] FROM taken",
    )
    .execute(&mut *tx)
    .await
    .expect("a claim");
    tx.commit().await.expect("a commit");
    assert!(claiming.await.expect("a claim").is_empty(), "the other claim took the only place");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'running'").await, 1);
}

#[tokio::test]
async fn what_is_mirrored_of_unfinished_work_lives_fifteen_seconds() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let mirror = Mirror::of(&app).await;
    let life = async || mirror.life("status").await;
    ines.get(&path).await.ok(200);
    assert!((1..=15).contains(&life().await), "it was about to change");
    mirror.expire("mark").await;
    mirror.expire("status").await;
    ines.get(&path).await.ok(200);
    assert!((1..=15).contains(&life().await), "a lost transition shows soon");
    worker.succeed(&worker.claim(1).await[0]).await;
    ines.get(&path).await.ok(200);
    let finished = life().await;
    assert!(finished > 15, "what is finished stays: {finished} s");
    let rerun = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("rerun", "true");
    ines.upload(rerun).await.ok(202);
    assert!(!mirror.exists("status").await, "and what begins again does not");
    assert!(mirror.life("mark").await > 30, "nor does what was read before, though the transaction takes its time");
    worker.succeed(&worker.claim(1).await[0]).await;
    ines.get(&path).await.ok(200);
    assert!((1..=15).contains(&life().await), "a refill that meets the mark is short-lived, finished or not");
}

#[tokio::test]
async fn a_job_that_is_made_while_a_submission_makes_the_same_is_attached_to() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 2).await;
    for job in worker.claim(2).await {
        worker.succeed(&job).await;
    }
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    let made: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
         SELECT uuid_v7(), image_id, params_id, clock_timestamp(), clock_timestamp() + interval '1 h', queue_id, true, submission_id, account_id
         FROM job_archive ORDER BY id LIMIT 1 RETURNING id",
    )
    .fetch_all(&mut *tx)
    .await
    .expect("a rival's job");
    let rerun = |md5s: [String; 2]| json!({ "images": md5s, "models": ["ocr"], "rerun": true });
    let submitting = tokio::spawn({
        let (ines, body) = (ines.clone(), rerun([1, 2].map(|n| md5_of(&photo(n)))));
        async move { ines.post("/predict", body).await.ok(202) }
    });
    until_blocked(&app).await;
    tx.commit().await.expect("a commit");
    let answer = submitting.await.expect("an answer");
    let jobs = [&answer["images"][0]["jobs"][0], &answer["images"][1]["jobs"][0]];
    assert_eq!((&jobs[0]["outcome"], &jobs[1]["outcome"]), (&json!("attached"), &json!("created")), "{answer}");
    assert_eq!(jobs[0]["id"], json!(made[0]), "the rival's job is asked for");
    assert_eq!(app.count("SELECT count(*) FROM request JOIN job ON job.id = job_id").await, 2);
}

#[tokio::test]
async fn a_refill_that_read_before_a_transition_fills_nothing() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    // A look-up reads the jobs first, and is held before it reads the results, which name the versions.
    sqlx::query("LOCK TABLE model_version IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.expect("the table");
    let looking = tokio::spawn({
        let (ines, path) = (ines.clone(), path.clone());
        async move { ines.get(&path).await.ok(200) }
    });
    until_blocked(&app).await;
    worker.claim(1).await.remove(0);
    tx.commit().await.expect("a commit");
    assert_eq!(looking.await.expect("an answer")["status"], "queued", "as it was when it was read");
    assert_eq!(ines.get(&path).await.ok(200)["status"], "running");
}

#[tokio::test]
async fn a_replay_that_races_a_release_leaves_one_holder() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 8).await;
    for _ in 0..8 {
        let claim = Uuid::new_v4();
        let held = worker.claim_as(claim, 4, 0.0).await;
        let items: Vec<_> = held.iter().map(|j| json!({"id": j["id"], "lease_no": j["lease_no"]})).collect();
        let body = json!({"worker": worker.id, "items": items});
        let (again, released) = tokio::join!(worker.claim_as(claim, 4, 0.0), worker.key.post("/jobs/release", body));
        let released = released.ok(200);
        for item in released["items"].as_array().expect("items") {
            let replayed = again.iter().find(|j| j["id"] == item["id"]);
            assert!(
                item["status"] == 200 || replayed.is_some_and(|j| j["lease_no"].as_i64() > Some(1)),
                "refused only because a newer lease was answered: {item} {replayed:?}"
            );
        }
        finish(&worker, &again).await;
        let fresh = worker.claim(8).await;
        finish(&worker, &fresh).await;
        if app.count("SELECT count(*) FROM job").await == 0 {
            break;
        }
    }
    let ended = "SELECT count(*) FROM audit_events WHERE code = 'succeeded'";
    assert_eq!(app.count(ended).await, 8 - app.count("SELECT count(*) FROM job").await, "each ended once");
}

#[tokio::test]
async fn a_suspect_taken_while_a_claim_waits_for_its_session_stays_alone() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 2).await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::raw_sql(
        "UPDATE worker_session SET (solo_job, solo_lease) = (SELECT id, 1 FROM job ORDER BY id LIMIT 1);
         UPDATE job SET state = 'running', suspect = true, lease_no = 1, session_id = (SELECT id FROM worker_session),
                        claim_id = uuid_v7(), started_at = clock_timestamp() WHERE id = (SELECT solo_job FROM worker_session);
         INSERT INTO claim (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
         SELECT session_id, claim_id, queue_id, started_at, started_at + interval '1 h', 1, ARRAY[id] FROM job WHERE suspect",
    )
    .execute(&mut *tx)
    .await
    .expect("a suspect's claim");
    let claiming = tokio::spawn(async move { worker.claim(8).await });
    until_blocked(&app).await;
    tx.commit().await.expect("a commit");
    assert!(claiming.await.expect("a claim").is_empty(), "nothing beside a suspect");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued'").await, 1);
}

#[tokio::test]
async fn a_job_is_not_tried_again_when_its_image_goes() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    worker.complete(&job, json!({"outcome": "rejected"})).await;
    let path = format!("/jobs/{}/retry", job["id"].as_str().expect("an id"));
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::raw_sql("DELETE FROM upload; DELETE FROM request; DELETE FROM outcome; DELETE FROM image")
        .execute(&mut *tx)
        .await
        .expect("a removal");
    let retrying = tokio::spawn(async move { ines.post(&path, json!(null)).await });
    until_blocked(&app).await;
    tx.commit().await.expect("a commit");
    retrying.await.expect("an answer").problem(404, "not_found");
    assert_eq!(app.count("SELECT count(*) FROM job").await, 0);
}

#[tokio::test]
async fn a_claim_sent_twice_while_it_waits_is_answered_once() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let claim = Uuid::new_v4();
    let ask = |worker: Worker| tokio::spawn(async move { worker.claim_as(claim, 1, 1.5).await });
    let (first, second) = (ask(worker.clone()), ask(worker.clone()));
    until("two waiting claims", async || app.ctx.waiters.waiting_for("ocr", 0) == 2).await;
    submit(&app, 2).await;
    let (first, second) = (first.await.expect("jobs"), second.await.expect("jobs"));
    assert_eq!(first.len() + second.len(), 1, "{first:?} {second:?}");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'running'").await, 1, "one claim holds one job");
}

/// Moves the only job in a transaction of its own while `call` waits for it.
async fn move_beside<T: Send + 'static>(app: &TestApp, call: impl Future<Output = T> + Send + 'static) -> T {
    let mut beside = beside(app).await;
    let mut tx = beside.begin().await.expect("a transaction");
    sqlx::query("UPDATE job SET finish_by = finish_by + interval '1 s', version = version + 1")
        .execute(&mut *tx)
        .await
        .expect("a statement");
    let call = tokio::spawn(call);
    until_blocked(app).await;
    tx.commit().await.expect("a commit");
    call.await.expect("an answer")
}

#[tokio::test]
async fn a_job_that_is_moved_while_a_submission_waits_for_it_is_raised_all_the_same() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let form = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("priority", "7");
    let answer = move_beside(&app, async move { ines.upload(form).await.ok(202) }).await;
    assert_eq!(answer["images"][0]["jobs"][0]["outcome"], "attached", "{answer}");
    assert_eq!(app.count("SELECT sum(priority) FROM job").await, 7);
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code = 'attached'").await, 1, "told once");
}

#[tokio::test]
async fn a_job_that_is_moved_while_its_completion_waits_is_completed_all_the_same() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    let done = move_beside(&app, async move { worker.succeed(&job).await }).await;
    assert_eq!((&done["status"], &done["state"], &done["repeat"]), (&json!(200), &json!("succeeded"), &json!(false)));
}

/// Completes what is still held; what the release was faster with is refused.
async fn finish(worker: &Worker, jobs: &[serde_json::Value]) {
    for job in jobs {
        worker.succeed(job).await;
    }
}
