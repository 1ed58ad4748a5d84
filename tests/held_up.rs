//! Nobody is held up by what others hold or spoiled.

use std::str::FromStr;
use std::time::Duration;

use darkroom::index::queue::Hint;
use darkroom::maintenance;
use darkroom::store::db::CHORE_CONNECTIONS;
use darkroom::store::migrate;
use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::images::{md5_of, photo};
use crate::kit::servers;
use crate::races::{beside, until_blocked};
use crate::work::submit;

#[tokio::test]
async fn a_refused_submission_holds_up_none_of_those_that_came_with_it() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = submit(&app, 4).await;
    let rerun = |salt: u64, submission: Option<&str>| {
        let body = json!({ "images": [md5_of(&photo(salt))], "models": ["ocr"], "submission": submission });
        let ines = ines.clone();
        tokio::spawn(async move { ines.post("/predict", body).await })
    };
    let foreign = app.investigator("jo").await.submit(&[("z.png", photo(9))], &["ocr"]).await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM image ORDER BY id LIMIT 1 FOR UPDATE").execute(&mut *tx).await.expect("an image");
    // The first goes alone and waits; those that come meanwhile go together.
    let first = rerun(1, None);
    until_blocked(&app).await;
    let (good, other) = (rerun(2, None), rerun(3, None));
    let (unknown, taken) = (rerun(8, None), rerun(4, foreign["submission"].as_str()));
    let before = app.count("SELECT count(*) FROM submission").await;
    // Nothing shows that they are in line: one look at Redis each is all that keeps them from it.
    for _ in 0..200 {
        app.count("SELECT 1::bigint").await;
    }
    tx.commit().await.expect("a commit");
    for answer in [first, good, other] {
        answer.await.expect("an answer").ok(202);
    }
    unknown.await.expect("an answer").problem(422, "nothing_accepted");
    taken.await.expect("an answer").problem(409, "submission_conflict");
    let made = app.count("SELECT count(*) FROM submission").await - before;
    let transactions =
        "SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM submission ORDER BY created_at DESC LIMIT 3) AS s";
    assert_eq!(
        (made, app.count(transactions).await),
        (3, 2),
        "the two went in one transaction, and the refused left nothing"
    );
}

#[tokio::test]
async fn stale_hints_before_it_do_not_keep_a_job_waiting() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let stale = |_| Hint { id: Uuid::new_v4(), model: "ocr".to_owned(), rank: i64::MIN / 1024 };
    let hints: Vec<Hint> = (0..1_000).map(stale).collect();
    app.ctx.index.push(&hints).await.expect("Redis");
    assert_eq!(worker.claim(1).await.len(), 1, "what the queue proposed was gone, so PostgreSQL is asked");
    assert_eq!(app.ctx.index.depth("ocr").await, Some(999), "one look cost one hint");
}

#[tokio::test]
async fn a_session_holds_no_more_than_its_beat_may_list() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    app.alter(
        "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
         SELECT decode(md5(n::text), 'hex'), sha256, bytes, media_type, width, height, frames, gen_random_uuid()
         FROM image, generate_series(1, 1199) AS n;
         INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
         SELECT uuid_v7(), i.id, j.params_id, j.run_at, j.finish_by, j.queue_id, true, j.submission_id, j.account_id
         FROM job AS j, image AS i WHERE i.id <> j.image_id",
    )
    .await;
    app.sweep().await;
    assert_eq!(worker.claim(800).await.len(), 800);
    let (first, second) = tokio::join!(worker.claim(150), worker.claim(150));
    assert_eq!(first.len() + second.len(), 200, "two that come together share what is left");
    assert!(worker.claim(1).await.is_empty(), "its beat lists a thousand at most");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued'").await, 200);
}

#[tokio::test]
async fn the_due_pass_passes_over_what_is_locked() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    submit(&app, 4).await;
    // One of each kind that a pass takes is somebody's, and one is free.
    app.alter(
        "UPDATE job SET due = false WHERE id IN (SELECT id FROM job ORDER BY id LIMIT 2);
         UPDATE job SET finish_by = clock_timestamp() - interval '1 s' WHERE due",
    )
    .await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    let some = "SELECT FROM job WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM job) AS j WHERE n IN (1, 3)) FOR UPDATE";
    sqlx::query(some).execute(&mut *tx).await.expect("two jobs");
    maintenance::due_pass(&app.ctx).await.expect("a pass that waits for nobody");
    let (due, expired) =
        ("SELECT count(*) FROM job WHERE due AND finish_by > clock_timestamp()", "SELECT count(*) FROM job_archive");
    assert_eq!((app.count(due).await, app.count(expired).await), (1, 1), "what was free went on");
    tx.rollback().await.expect("the end");
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    assert_eq!((app.count(due).await, app.count(expired).await), (2, 2));
}

#[tokio::test]
async fn a_migration_gives_up_rather_than_keep_everybody_waiting_behind_it() {
    let app = TestApp::new().await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    let busy = "LOCK TABLE refinery_schema_history IN ACCESS EXCLUSIVE MODE";
    sqlx::query(busy).execute(&mut *tx).await.expect("the table");
    let options =
        PgConnectOptions::from_str(&servers::as_superuser(&app.settings.database.database_url.0)).expect("a URL");
    let migrating = tokio::time::timeout(Duration::from_secs(60), migrate::migrate(&options)).await;
    let error = migrating.expect("it ends by itself").expect_err("the table is in use");
    assert!(format!("{error:#}").contains("in use"), "{error:#}");
    tx.rollback().await.expect("the end");
    migrate::migrate(&options).await.expect("nothing to do");
}

#[tokio::test]
async fn a_redrive_says_of_each_job_what_was_made_for_it_though_an_image_is_gone() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 3).await;
    for job in worker.claim(3).await {
        worker.complete(&job, json!({"outcome": "rejected"})).await;
    }
    let admin = app.admin().await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    // That of the one in the middle, however they are counted.
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE gone AS SELECT image_id AS id FROM job_archive ORDER BY id OFFSET 1 LIMIT 1;
         DELETE FROM upload WHERE image_id IN (SELECT id FROM gone); DELETE FROM image WHERE id IN (SELECT id FROM gone)",
    )
    .execute(&mut *tx)
    .await
    .expect("a removal");
    let body = json!({"state": "failed", "dry_run": false});
    let redriving = tokio::spawn(async move { admin.post("/jobs/redrive", body).await.ok(200) });
    until_blocked(&app).await;
    tx.commit().await.expect("a commit");
    let answer = redriving.await.expect("an answer");
    let mut made = 0;
    for item in answer["items"].as_array().expect("items") {
        let Some(id) = item["id"].as_str() else { continue };
        made += 1;
        let of: String = sqlx::query_scalar("SELECT retry_of::text FROM job WHERE id = $1::uuid")
            .bind(id)
            .fetch_one(app.ctx.db.pool())
            .await
            .expect("the job that was made");
        assert_eq!(item["retry_of"], of, "{answer}");
    }
    assert_eq!((made, &answer["items"][1]["id"]), (2, &json!(null)), "{answer}");
}

#[tokio::test]
async fn pages_that_take_long_keep_no_work_waiting() {
    let app = TestApp::with(|s| s.db_connections = 2).await;
    app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let key = app.key_of(&app.admin().await, "predict", &["ocr"]).await;
    // One that knows nothing yet of the key, the model, the image and the params.
    let other = app.replica().await;
    let (ines, key) = (ines.through(other.router.clone()), key.through(other.router.clone()));
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE upload IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.expect("the table");
    let mut pages = JoinSet::new();
    for _ in 0..6 {
        let ines = ines.clone();
        pages.spawn(async move { ines.get("/images").await.status });
    }
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("every connection for people to be taken", async || app.count(stuck).await == 2).await;
    other.nobody().get("/health/ready").await.ok(200);
    let worker = Worker::register(key, "ocr", "v1").await;
    let job = worker.claim(1).await.remove(0);
    worker.key.get(job["image"]["url"].as_str().expect("a path")).await.ok(200);
    let beat = json!({"jobs": [{"id": job["id"], "lease_no": job["lease_no"]}]});
    worker.key.post(&format!("/workers/{}/heartbeat", worker.id), beat).await.ok(200);
    assert_eq!(worker.succeed(&job).await["status"], 200);
    assert!(pages.try_join_next().is_none(), "all that time the pages wait");
    tx.rollback().await.expect("the end");
    while let Some(page) = pages.join_next().await {
        assert!([200, 503].contains(&page.expect("an answer").as_u16()));
    }
}

#[tokio::test]
async fn slow_maintenance_takes_no_connection_of_what_keeps_leases_right() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    submit(&app, 1).await;
    let lost = worker.claim(1).await.remove(0);
    maintenance::rescue(&app.ctx).await.expect("the first tick, which spares everybody");
    app.age_sessions(600.0).await;
    let all = (0..CHORE_CONNECTIONS).map(|_| app.ctx.chores.pool().acquire());
    let held = futures_util::future::join_all(all).await;
    assert!(held.iter().all(Result::is_ok), "they are as many as that");
    assert!(maintenance::remove_deleted(&app.ctx).await.is_err(), "this waits for one");
    maintenance::rescue(&app.ctx).await.expect("a tick");
    maintenance::due_pass(&app.ctx).await.expect("a tick");
    maintenance::probe(&app.ctx).await.expect("a look");
    drop(held);
    let states = "SELECT count(*) FROM job WHERE state = 'queued'";
    assert_eq!(app.count(states).await, 1, "{lost} was taken from who is silent");
}
