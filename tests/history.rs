//! History is kept as long as the policy says, and never goes from under a live job.

use darkroom::maintenance;
use darkroom::store::retention::Kind;

use crate::kit::app::TestApp;
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

/// A server that keeps everything for thirty days.
async fn thirty_days() -> TestApp {
    TestApp::with(|s| {
        for days in [
            &mut s.keep_images_days,
            &mut s.keep_results_days,
            &mut s.keep_attempts_days,
            &mut s.keep_jobs_days,
            &mut s.keep_events_days,
        ] {
            *days = Some(30);
        }
    })
    .await
}

/// What would go, and then what has gone.
pub async fn counts(app: &TestApp) -> (Vec<(Kind, i64)>, Vec<(Kind, i64)>) {
    let some = |old: Vec<maintenance::Old>| old.iter().filter(|o| o.count > 0).map(|o| (o.kind, o.count)).collect();
    let would = maintenance::count_old(&app.ctx).await.expect("counts");
    let gone = maintenance::remove_old(&app.ctx).await.expect("a tick");
    (some(would), some(gone))
}

async fn status_of(client: &Client, salt: u64) -> u16 {
    client.get(&format!("/predict/{}", md5_of(&photo(salt)))).await.status.as_u16()
}

#[tokio::test]
async fn nothing_goes_before_its_time_and_without_a_policy_nothing_ever() {
    let (kept, policy) = (TestApp::new().await, thirty_days().await);
    for app in [&kept, &policy] {
        let worker = app.worker("ocr").await;
        app.investigator("ines").await.submit(&[("a.png", photo(1))], &["ocr"]).await;
        worker.succeed(&worker.claim(1).await[0]).await;
    }
    kept.alter(
        "UPDATE image SET created_at = created_at - interval '9 years'; UPDATE upload SET at = at - interval '9 years'",
    )
    .await;
    assert_eq!(counts(&kept).await, (vec![], vec![]));
    assert_eq!(counts(&policy).await, (vec![], vec![]));
}

#[tokio::test]
async fn an_old_image_goes_whole_unless_a_job_needs_it() {
    let app = thirty_days().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2)), ("c.png", photo(3))], &["ocr"]).await;
    let jobs = worker.claim(3).await;
    for job in jobs.iter().filter(|j| j["image"]["md5"] != md5_of(&photo(2))) {
        worker.succeed(job).await;
    }
    for salt in 1..=3 {
        assert_eq!(status_of(&ines, salt).await, 200);
    }
    app.alter(
        "UPDATE image SET created_at = created_at - interval '31 days'; UPDATE upload SET at = at - interval '31 days'",
    )
    .await;
    // She has sent the third again meanwhile, under the same name.
    ines.submit(&[("c.png", photo(3))], &["ocr"]).await;
    assert_eq!(counts(&app).await, (vec![(Kind::Images, 1)], vec![(Kind::Images, 1)]));
    assert_eq!((status_of(&ines, 1).await, status_of(&ines, 2).await, status_of(&ines, 3).await), (404, 200, 200));
    let bytes = |salt: u64| format!("/images/{}/content", md5_of(&photo(salt)));
    ines.get(&bytes(2)).await.ok(200);
    ines.get(&bytes(3)).await.ok(200);
    assert_eq!(app.count("SELECT count(*) FROM outcome").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM request WHERE image_id NOT IN (SELECT id FROM image)").await, 0);
    let kept = std::fs::read_dir(app.ctx.blobs.root()).expect("a folder").flatten();
    let blobs = kept.filter(|f| std::fs::read_dir(f.path()).is_ok_and(|mut files| files.next().is_some())).count();
    assert_eq!(blobs, 2, "the bytes of the first are gone, and no others");
    let running = jobs.iter().find(|j| j["image"]["md5"] == md5_of(&photo(2))).expect("the second");
    assert_eq!(worker.succeed(running).await["status"], 200);
}

#[tokio::test]
async fn old_results_attempts_submissions_and_sessions_go() {
    let app = thirty_days().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let form = Form::default().file("a/1.png", &photo(1)).file("b/1.png", &photo(1)).text("models", "ocr");
    ines.upload(form).await.ok(202);
    app.admin().await.patch("/models/ocr", serde_json::json!({"backoff_base_s": 0})).await.ok(200);
    let job = worker.claim(1).await.remove(0);
    worker.complete(&job, serde_json::json!({"outcome": "retry", "error": {"type": "OSError"}})).await;
    maintenance::due_pass(&app.ctx).await.expect("a pass");
    worker.succeed(&worker.claim(1).await[0]).await;
    assert_eq!(status_of(&ines, 1).await, 200);
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    maintenance::rescue(&app.ctx).await.expect("a tick, which forgets its claims");
    app.alter(
        "UPDATE outcome SET finished_at = finished_at - interval '31 days';
         UPDATE attempt SET job_id = uuid_v7_floor(clock_timestamp() - interval '31 days');
         UPDATE submission SET created_at = created_at - interval '31 days';
         UPDATE worker_session SET ended_at = ended_at - interval '31 days'",
    )
    .await;
    let all = [(Kind::Results, 1), (Kind::Attempts, 1), (Kind::Submissions, 2), (Kind::Sessions, 1)];
    assert_eq!(counts(&app).await, (all.to_vec(), all.to_vec()));
    // The names went with their submission, but for the account's title.
    assert_eq!(app.count("SELECT count(*) FROM upload").await, 1);
    let looked = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!((&looked["status"], &looked["results"]), (&serde_json::json!("succeeded"), &serde_json::json!({})));
    assert_eq!(counts(&app).await, (vec![], vec![]));
}

/// Makes the partitions of a month long past, as if the server had run then.
const LONG_AGO: &str = "
  SELECT make_partition('job_archive', '2020-01-01', 'id', uuid_v7_floor('2020-01-01 00:00+00')::text, uuid_v7_floor('2020-02-01 00:00+00')::text),
         make_partition('job_event', '2020-01-01', 'at', '2020-01-01 00:00+00', '2020-02-01 00:00+00');
  INSERT INTO job_event (at, code) VALUES ('2020-01-01 12:00+00', 'worker_left');";

/// Whatever the day of today: in a month whose events may go as well.
const TWO_MONTHS_AGO: &str = "UPDATE job_archive SET finished_at = finished_at - interval '62 days'";

#[tokio::test]
async fn partitions_go_by_whole_months_but_not_before_the_oldest_job() {
    let app = thirty_days().await;
    let worker = app.worker("ocr").await;
    app.investigator("ines").await.submit(&[("a.png", photo(1))], &["ocr"]).await;
    app.alter(LONG_AGO).await;
    app.alter("UPDATE job SET id = uuid_v7_floor('2020-01-01 06:00+00')").await;
    app.sweep().await;
    assert_eq!(counts(&app).await, (vec![], vec![]), "a job of that month still lives");
    worker.succeed(&worker.claim(1).await[0]).await;
    assert_eq!(app.count("SELECT count(*) FROM job_archive_202001 WHERE state = 'succeeded'").await, 1);
    let events = [(Kind::Events, 1)];
    assert_eq!(counts(&app).await, (events.to_vec(), events.to_vec()), "a job of that month ended only now");
    app.alter(TWO_MONTHS_AGO).await;
    let jobs = [(Kind::Jobs, 1)];
    assert_eq!(counts(&app).await, (jobs.to_vec(), jobs.to_vec()));
    assert_eq!(app.count("SELECT count(*) FROM pg_class WHERE relname LIKE '%_202001'").await, 0);
    let told = "SELECT count(*) FROM audit_events WHERE code = 'history_removed' AND reason LIKE '%_202001'";
    assert_eq!(app.count(told).await, 2, "what was removed is written down");
}

#[tokio::test]
async fn a_job_that_outlives_every_partition_still_ends() {
    let app = thirty_days().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    app.alter("UPDATE job SET id = uuid_v7_floor('2020-01-01 06:00+00')").await;
    app.sweep().await;
    assert_eq!(worker.succeed(&worker.claim(1).await[0]).await["state"], "succeeded");
    assert_eq!(app.count("SELECT count(*) FROM job_archive_default").await, 1);
    assert_eq!(status_of(&ines, 1).await, 200);
    assert_eq!(counts(&app).await, (vec![], vec![]), "it ended only now");
    app.alter(TWO_MONTHS_AGO).await;
    assert_eq!(counts(&app).await, (vec![(Kind::Jobs, 1)], vec![(Kind::Jobs, 1)]));
}

#[tokio::test]
async fn a_busy_partition_stays_until_the_next_tick() {
    let app = thirty_days().await;
    app.alter(LONG_AGO).await;
    let mut connection = app.ctx.db.pool().acquire().await.expect("a connection");
    let mut reader = sqlx::Connection::begin(&mut *connection).await.expect("a transaction");
    sqlx::query("SELECT count(*) FROM job_archive").execute(&mut *reader).await.expect("a long reader");
    let gone = maintenance::remove_old(&app.ctx).await.expect("a tick");
    assert!(gone.iter().all(|o| o.kind != Kind::Jobs || o.count == 0));
    reader.rollback().await.expect("an end");
    let gone = maintenance::remove_old(&app.ctx).await.expect("a tick");
    assert!(gone.iter().any(|o| o.kind == Kind::Jobs && o.count == 1));
}

#[tokio::test]
async fn events_go_no_later_than_the_jobs_that_they_tell_of() {
    let app = TestApp::with(|s| s.keep_jobs_days = Some(30)).await;
    let worker = app.worker("ocr").await;
    app.investigator("ines").await.submit(&[("a.png", photo(1))], &["ocr"]).await;
    app.alter(LONG_AGO).await;
    app.alter("UPDATE job SET id = uuid_v7_floor('2020-01-01 06:00+00')").await;
    app.sweep().await;
    worker.succeed(&worker.claim(1).await[0]).await;
    // It ended in the month in which what is kept now began: that month's events are still there.
    app.alter(
        "UPDATE job_archive SET finished_at = date_trunc('month', clock_timestamp() - interval '30 days', 'UTC')",
    )
    .await;
    let events = [(Kind::Events, 1)];
    assert_eq!(counts(&app).await, (events.to_vec(), events.to_vec()), "without a policy of their own");
    app.alter("UPDATE job_archive SET finished_at = finished_at - interval '1 s'").await;
    assert_eq!(counts(&app).await, (vec![(Kind::Jobs, 1)], vec![(Kind::Jobs, 1)]));
    let mut longer = app.settings.clone();
    longer.keep_events_days = Some(31);
    let refused = longer.limits().expect_err("events cannot stay longer").to_string();
    assert!(refused.contains("DARKROOM_KEEP_EVENTS_DAYS"), "{refused}");
    longer.keep_events_days = Some(30);
    longer.limits().expect("as long is well");
}

#[tokio::test]
async fn a_submission_shows_how_its_jobs_ended_when_they_are_gone() {
    let app = thirty_days().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let first = ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    app.alter(LONG_AGO).await;
    app.alter("UPDATE job SET id = overlay(id::text PLACING '016f6' FROM 1 FOR 5)::uuid").await;
    app.alter("UPDATE request SET job_id = overlay(job_id::text PLACING '016f6' FROM 1 FOR 5)::uuid").await;
    app.sweep().await;
    let jobs = worker.claim(2).await;
    worker.succeed(&jobs[0]).await;
    worker.complete(&jobs[1], serde_json::json!({"outcome": "rejected", "error": {"type": "ValueError"}})).await;
    let done = if jobs[0]["image"]["md5"] == md5_of(&photo(1)) { 1 } else { 2 };
    let cached = ines.submit(&[("c.png", photo(done))], &["ocr"]).await;
    assert_eq!(cached["images"][0]["jobs"][0]["outcome"], "finished");
    app.alter(TWO_MONTHS_AGO).await;
    assert!(counts(&app).await.1.contains(&(Kind::Jobs, 1)));
    assert_eq!(app.count("SELECT count(*) FROM job_archive").await, 0);
    // What is cached outlives its job, and answers still.
    let later = ines.submit(&[("d.png", photo(done))], &["ocr"]).await;
    assert_eq!(later["images"][0]["jobs"][0]["outcome"], "finished");
    for (submission, succeeded, failed) in [(&first, 1, 1), (&cached, 1, 0), (&later, 1, 0)] {
        let path = format!("/submissions/{}", submission["submission"].as_str().expect("an id"));
        let shown = ines.get(&path).await.ok(200);
        let counts = &shown["counts"];
        assert_eq!(
            (&counts["succeeded"], &counts["failed"], &counts["cancelled"]),
            (&succeeded.into(), &failed.into(), &0.into())
        );
        assert_eq!(shown["done"], true);
        let images = shown["images"].as_array().expect("images");
        let count = |status: &str| images.iter().filter(|image| image["status"] == status).count();
        assert_eq!((count("succeeded"), count("failed")), (succeeded, failed));
    }
}
