//! What goes with a case, and what stays.

use std::collections::HashSet;

use darkroom::maintenance;
use darkroom::service::cases::removal::{Left, bite};
use serde_json::{Value, json};
use sqlx::Connection;

use super::{Harbour, image, make, to_case};
use crate::kit::app::until;
use crate::kit::images::{md5_of, photo};
use crate::lookup::Mirror;
use crate::races::{beside, until_blocked};

/// The blobs on the disk.
fn blobs(h: &Harbour) -> HashSet<std::path::PathBuf> {
    let mut found = HashSet::new();
    let mut folders = vec![h.app.settings.data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn what_a_deleted_case_alone_held_goes_and_what_another_holds_stays() {
    let h = Harbour::new().await;
    // The first photo is in the case alone, the second in another as well; the third waits, the fourth waits for both.
    let other = make(&h.stranger, "Station").await;
    for n in [2, 3, 4] {
        h.editor.upload(to_case(&h.case, n)).await.ok(202);
    }
    for n in [2, 4] {
        h.stranger.upload(to_case(&other, n)).await.ok(202);
    }
    let second = h.app.count("SELECT count(*) FROM job WHERE state = 'queued'").await;
    assert_eq!(second, 3);
    let jobs = h.worker.claim(8).await;
    let failed = jobs.iter().find(|job| job["image"]["md5"] == md5_of(&photo(3))).expect("the third");
    h.worker.complete(failed, json!({"outcome": "retry", "error": {"type": "OSError", "message": "secret"}})).await;
    h.editor
        .post(&h.path("/tags"), json!({"images": [md5_of(&photo(1)), md5_of(&photo(2))], "add": ["pier"]}))
        .await
        .ok(200);
    h.editor.post(&h.path("/notes"), json!({"image": md5_of(&photo(1)), "text": "the same jacket"})).await.ok(201);
    h.editor.post(&h.path("/notes"), json!({"text": "ask"})).await.ok(201);
    h.editor.put(&h.path("/filters/people"), json!({"filter": "label:person"})).await.ok(204);
    let path = format!("/predict/{}", md5_of(&photo(1)));
    assert_eq!(h.editor.get(&path).await.ok(200)["done"], true);
    let before = blobs(&h).len();

    h.owner.delete(&h.path("")).await.ok(200);
    // On a busy machine the request may have left some of it to the maintenance.
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    let receipt = h.owner.get(&h.path("/receipt")).await.ok(200);
    let bytes = photo(1).len() + photo(3).len();
    assert_eq!(
        [
            &receipt["titles"],
            &receipt["images"],
            &receipt["bytes"],
            &receipt["tags"],
            &receipt["notes"],
            &receipt["done"],
            &receipt["by"]
        ],
        [&json!(4), &json!(2), &json!(bytes), &json!(2), &json!(2), &json!(true), &json!("olga")]
    );
    assert_eq!(blobs(&h).len(), before - 2);
    assert!(!Mirror::of(&h.app).await.exists("status").await);
    for who in [&h.owner, &h.editor, &h.viewer] {
        for path in
            [h.path(""), h.path("/tags"), image(1), image(2), path.clone(), format!("/submissions/{}", h.submission)]
        {
            who.get(&path).await.problem(404, "not_found");
        }
        assert_eq!(who.get("/images").await.ok(200)["items"], json!([]));
    }
    assert_eq!(h.owner.get(&h.path("/receipt")).await.ok(200), receipt);
    assert_eq!(h.admin.get(&h.path("/receipt")).await.ok(200), receipt);
    h.editor.get(&h.path("/receipt")).await.problem(404, "not_found");
    h.owner.delete(&h.path("")).await.problem(404, "not_found");
    h.admin.get(&format!("{}/content", image(1))).await.problem(404, "not_found");
    // The other case has lost nothing: what it waits for is still worked on.
    for n in [2, 4] {
        assert_eq!(h.stranger.get(&format!("{}/content", image(n))).await.bytes, photo(n));
    }
    for job in jobs.iter().filter(|job| job["image"]["md5"] != md5_of(&photo(3))) {
        assert_eq!(h.worker.succeed(job).await["status"], 200);
    }
    assert_eq!(h.stranger.get(&format!("/predict/{}", md5_of(&photo(4)))).await.ok(200)["status"], "succeeded");
    let left = h
        .app
        .count("SELECT (SELECT count(*) FROM tag) + (SELECT count(*) FROM note) + (SELECT count(*) FROM saved_filter)")
        .await;
    assert_eq!((left, h.app.count("SELECT count(*) FROM submission").await), (0, 2));
    assert_eq!(h.app.count("SELECT count(*) FROM attempt WHERE error_message IS NOT NULL").await, 0);
    audit_keeps_ids(&h).await;
}

async fn audit_keeps_ids(h: &Harbour) {
    let told: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT code, account, subject FROM audit_events WHERE subject_id = $1 AND code IN ('case_made', 'case_deleted', 'member_set') ORDER BY id",
    )
    .bind(&h.case)
    .fetch_all(&h.app.outside)
    .await
    .expect("events");
    let codes: Vec<&str> = told.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(codes, ["case_made", "member_set", "member_set", "case_deleted"]);
    assert!(told.iter().all(|(_, who, name)| who.as_deref() == Some("olga") && name.is_none()), "{told:?}");
    let kept = "SELECT count(*) FROM audit_cases WHERE deleted_by = 'olga' AND name IS NULL AND images_removed = 2 AND removed AND members = 0";
    assert_eq!(h.app.count(kept).await, 1);
    assert_eq!(
        h.app.count("SELECT count(*) FROM audit_events WHERE code = 'image_removed' AND account = 'olga'").await,
        2
    );
    let archived: i64 = sqlx::query_scalar("SELECT count(*) FROM job_archive WHERE submission_id = $1::uuid")
        .bind(&h.submission)
        .fetch_one(&h.app.outside)
        .await
        .expect("a count");
    assert_eq!(archived, 1, "the job and its submission are told by their ids");
}

#[tokio::test]
async fn a_large_case_goes_in_bites_and_another_server_goes_on() {
    let h = Harbour::new().await;
    h.app
        .alter(
            "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
               SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 10, 'image/jpeg', 1, 1, 1, gen_random_uuid() FROM generate_series(1, 2500) AS n;
             INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
               SELECT (SELECT id FROM casefile WHERE name = 'Harbour'), id, gen_random_uuid(), gen_random_uuid(), 'x' FROM image WHERE bytes = 10;
             INSERT INTO submission (account_id, case_id)
               SELECT c.created_by, c.id FROM casefile AS c, generate_series(1, 25) WHERE c.name = 'Harbour'",
        )
        .await;
    // Nothing is mirrored that could be taken away: then nothing goes yet, but nobody sees it.
    let mut db = h.app.outside.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('darkroom tick cases', 0))";
    sqlx::query(lock).execute(&mut *tx).await.expect("the tick of another server");
    let receipt = h.owner.delete(&h.path("")).await.ok(200);
    assert_eq!((&receipt["done"], &receipt["titles"]), (&json!(false), &json!(0)));
    h.viewer.get(&image(1)).await.problem(404, "not_found");
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    assert_eq!(h.app.count("SELECT count(*) FROM upload").await, 2501);
    tx.commit().await.expect("a commit");
    maintenance::remove_deleted(&h.app.replica().await.ctx).await.expect("a tick");
    let receipt = h.owner.get(&h.path("/receipt")).await.ok(200);
    assert_eq!((&receipt["done"], &receipt["titles"], &receipt["images"]), (&json!(true), &json!(2501), &json!(2501)));
    let left = "SELECT (SELECT count(*) FROM image) + (SELECT count(*) FROM upload) + (SELECT count(*) FROM submission) + (SELECT count(*) FROM request)";
    assert_eq!(h.app.count(left).await, 0);
    maintenance::remove_deleted(&h.app.ctx).await.expect("nothing to do");
}

#[tokio::test]
async fn an_image_that_somebody_brings_elsewhere_meanwhile_stays() {
    let h = Harbour::new().await;
    let other = make(&h.stranger, "Station").await;
    // Somebody is busy with the image, and brings it to another case.
    let mut db = h.app.outside.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query("SELECT id FROM image FOR SHARE").execute(&mut *tx).await.expect("a lock");
    let receipt = h.owner.delete(&h.path("")).await.ok(200);
    assert_eq!((&receipt["done"], &receipt["titles"]), (&json!(false), &json!(0)));
    tx.rollback().await.expect("the end");
    let made = h.stranger.upload(to_case(&other, 1)).await.ok(202);
    assert_eq!(made["images"][0]["new"], true);
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    let receipt: Value = h.owner.get(&h.path("/receipt")).await.ok(200);
    assert_eq!((&receipt["done"], &receipt["titles"], &receipt["images"]), (&json!(true), &json!(1), &json!(0)));
    assert_eq!(h.stranger.get(&format!("{}/content", image(1))).await.bytes, photo(1));
}

/// Whoever deletes waits here for the tick of another server, in vain: what is left goes later.
const TICK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('darkroom tick cases', 0))";

#[tokio::test]
async fn a_case_that_cannot_be_bitten_keeps_no_other_from_going() {
    let h = Harbour::new().await;
    let later = make(&h.owner, "Station").await;
    h.owner.upload(to_case(&later, 2)).await.ok(202);
    let mut db = beside(&h.app).await;
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query(TICK).execute(&mut *tx).await.expect("the tick of another server");
    for path in [h.path(""), format!("/cases/{later}")] {
        assert_eq!(h.owner.delete(&path).await.ok(200)["done"], false);
    }
    tx.commit().await.expect("a commit");
    h.app
        .alter(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF OLD.case_id = (SELECT min(id::text)::uuid FROM casefile WHERE deleted_at IS NOT NULL) THEN RAISE EXCEPTION 'no'; END IF;
               RETURN OLD;
             END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON submission FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    assert_eq!(h.owner.get(&h.path("/receipt")).await.ok(200)["done"], false);
    assert_eq!(h.owner.get(&format!("/cases/{later}/receipt")).await.ok(200)["done"], true);
    h.app.alter("DROP TRIGGER refuse ON submission").await;
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    assert_eq!(h.owner.get(&h.path("/receipt")).await.ok(200)["done"], true);
}

#[tokio::test]
async fn a_bite_takes_so_many_requests_whatever_submissions_they_are_of() {
    let h = Harbour::new().await;
    h.app
        .alter(
            "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
               SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 10, 'image/jpeg', 1, 1, 1, gen_random_uuid() FROM generate_series(1, 600) AS n;
             WITH made AS (
               INSERT INTO submission (account_id, case_id)
               SELECT c.created_by, c.id FROM casefile AS c, generate_series(1, 4) WHERE c.name = 'Harbour' RETURNING id)
             INSERT INTO request (submission_id, image_id, queue_id, params_id, job_id, state)
               SELECT m.id, i.id, r.queue_id, r.params_id, r.job_id, 'succeeded'
               FROM made AS m, image AS i, (SELECT * FROM request LIMIT 1) AS r WHERE i.bytes = 10",
        )
        .await;
    let mut db = beside(&h.app).await;
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query(TICK).execute(&mut *tx).await.expect("the tick of another server");
    h.owner.delete(&h.path("")).await.ok(200);
    tx.commit().await.expect("a commit");
    let case = h.case.parse().expect("a UUID");
    let mut left = vec![h.app.count("SELECT count(*) FROM request").await];
    while bite(&h.app.ctx, &h.app.ctx.db, case).await.expect("a bite") == Left::More {
        left.push(h.app.count("SELECT count(*) FROM request").await);
    }
    let most = left.windows(2).map(|two| two[0] - two[1]).max();
    assert_eq!((left[0], most, left.last()), (2_401, Some(1_000), Some(&0)), "{left:?}");
}

#[tokio::test]
async fn who_hangs_up_while_a_case_is_deleted_leaves_nothing_half_told() {
    let h = Harbour::new().await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    h.editor.get(&path).await.ok(200);
    let mirror = Mirror::of(&h.app).await;
    assert!(mirror.exists("status").await);
    let mut db = beside(&h.app).await;
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM submission FOR UPDATE").execute(&mut *tx).await.expect("the submission");
    let (owner, case) = (h.owner.clone(), h.path(""));
    let deleting = tokio::spawn(async move { owner.delete(&case).await });
    until_blocked(&h.app).await;
    deleting.abort();
    assert!(deleting.await.is_err_and(|error| error.is_cancelled()));
    tx.rollback().await.expect("the end");
    until("all of it to go", async || {
        h.app.count("SELECT count(*) FROM casefile WHERE removed ->> 'done' = 'true'").await == 1
            && !mirror.exists("status").await
            && blobs(&h).is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_texts_of_tries_go_with_the_last_case_that_asked_for_them() {
    let h = Harbour::new().await;
    let other = make(&h.stranger, "Station").await;
    h.editor.upload(to_case(&h.case, 2)).await.ok(202);
    h.stranger.upload(to_case(&other, 2).text("params", r#"{"ocr":{"look_for":"a place"}}"#)).await.ok(202);
    for job in h.worker.claim(2).await {
        let message = job["params"].to_string();
        h.worker.complete(&job, json!({"outcome": "rejected", "error": {"type": "OSError", "message": message}})).await;
    }
    let texts = async || -> Vec<String> {
        sqlx::query_scalar("SELECT error_message FROM attempt WHERE error_message IS NOT NULL ORDER BY 1")
            .fetch_all(&h.app.outside)
            .await
            .expect("texts")
    };
    assert_eq!(texts().await.len(), 2);
    h.owner.delete(&h.path("")).await.ok(200);
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    assert_eq!(
        texts().await,
        [r#"{"look_for":"a place"}"#],
        "the image is held by another, which did not ask for this"
    );
    h.stranger.delete(&format!("/cases/{other}")).await.ok(200);
    maintenance::remove_deleted(&h.app.ctx).await.expect("a tick");
    assert_eq!(texts().await, [""; 0]);
}
