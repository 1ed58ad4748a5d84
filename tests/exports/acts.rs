//! Who may have what, how long, and what is refused.

use std::fs::File;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, Utc};
use darkroom::domain::account::Role;
use darkroom::maintenance;
use darkroom::store::exports::{ExportAt, claim, contents, finish};
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use super::{Pier, path_of, told};
use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::images::md5_of;
use crate::kit::wait::holds_within;
use crate::races::{beside, until_blocked};

/// How many files of the image store there are.
fn blobs(app: &TestApp) -> usize {
    walkdir::WalkDir::new(&app.settings.data).into_iter().flatten().filter(|entry| entry.file_type().is_file()).count()
}

#[tokio::test]
async fn an_export_is_its_askers_while_a_member_and_is_told_in_the_audit() {
    let pier = Pier::new().await;
    let before = blobs(&pier.app);
    let asked = pier.ask(&pier.viewer, "ndjson", "label:person").await;
    let path = path_of(&asked);
    assert_eq!((&asked["state"], &asked["q"], &asked["by"]), (&json!("queued"), &json!("label:person"), &json!("vi")));
    let early = pier.viewer.get(&format!("{path}/content")).await.problem(409, "export_not_ready");
    assert_eq!(early["detail"], "The export is queued.");
    assert_eq!(pier.app.export().await, 1);
    let done = pier.viewer.get(&path).await.ok(200);
    assert_eq!((&done["state"], &done["images"], &done["images_done"]), (&json!("succeeded"), &json!(1), &json!(1)));
    assert_eq!(blobs(&pier.app), before + 1);
    let (admin, editor) = (pier.app.admin().await, pier.app.investigator("ed").await);
    pier.owner.put(&format!("/cases/{}/members/ed", pier.case), json!({"role": "editor"})).await.ok(200);
    for (who, status) in
        [(&pier.viewer, 200), (&admin, 200), (&editor, 404), (&pier.stranger, 404), (&pier.app.nobody(), 401)]
    {
        assert_eq!(who.get(&path).await.status, status);
        let content = who.get(&format!("{path}/content")).await;
        assert_eq!(content.status, status);
        assert!(status != 200 || content.headers["cache-control"] == "no-store", "a browser keeps nothing of it");
    }
    let listed = |answer: Value| answer["items"].as_array().expect("items").len();
    let of_case = format!("/exports?case={}", pier.case);
    assert_eq!(listed(pier.viewer.get(&of_case).await.ok(200)), 1);
    assert_eq!(listed(editor.get(&of_case).await.ok(200)), 0, "it is another's");
    editor.delete(&path).await.problem(404, "not_found");
    assert_eq!(listed(admin.get("/exports").await.ok(200)), 1);
    pier.stranger.get(&of_case).await.problem(404, "not_found");

    // Whoever is no member any more has nothing of it.
    pier.owner.delete(&format!("/cases/{}/members/vi", pier.case)).await.ok(204);
    for path in [path.clone(), format!("{path}/content")] {
        pier.viewer.get(&path).await.problem(404, "not_found");
    }
    pier.viewer.delete(&path).await.problem(404, "not_found");
    assert_eq!(listed(pier.viewer.get("/exports").await.ok(200)), 0);
    // Who leaves the first byte out fetches it all the same; in however many pieces, that is once.
    let second = pier.app.user("second", &[Role::Admin]).await;
    for range in ["bytes=1-", "bytes=2-9"] {
        let piece = Request::get(format!("{path}/content")).header("range", range).body(Body::empty());
        assert_eq!(second.send(piece.expect("a request")).await.status, 206);
    }
    let events = told(&pier.app.outside, &pier.case, &["case_exported", "export_fetched"]).await;
    let events: Vec<(&str, &str)> =
        events.iter().map(|(code, who, _)| (code.as_str(), who.as_deref().expect("who"))).collect();
    let fetched = ["vi", "root", "second"].map(|who| ("export_fetched", who));
    assert_eq!(events, [&[("case_exported", "vi")][..], &fetched].concat());
    admin.delete(&path).await.ok(204);
    admin.get(&path).await.problem(404, "not_found");
    assert_eq!(blobs(&pier.app), before);
}

#[tokio::test]
async fn who_owns_a_case_sees_and_removes_what_is_kept_of_it() {
    let pier = Pier::new().await;
    let path = path_of(&pier.ask(&pier.viewer, "csv", "").await);
    pier.stranger.post("/cases", json!({"name": "Other"})).await.ok(201);
    let listed = async |who: &Client, query: &str| {
        let page = who.get(&format!("/exports{query}")).await.ok(200);
        page["items"].as_array().expect("items").iter().map(path_of).collect::<Vec<_>>()
    };
    let of_case = format!("?case={}", pier.case);
    assert_eq!(
        (listed(&pier.owner, "").await, listed(&pier.owner, &of_case).await),
        (vec![path.clone()], vec![path.clone()])
    );
    assert_eq!(pier.owner.get(&path).await.ok(200)["by"], "vi");
    assert_eq!(listed(&pier.stranger, "").await.len(), 0);
    // Also of who is no member any more, and only as long as it is one's own case.
    pier.owner.delete(&format!("/cases/{}/members/vi", pier.case)).await.ok(204);
    pier.owner.put(&format!("/cases/{}/members/ivo", pier.case), json!({"role": "owner"})).await.ok(200);
    until("the new owner to see it", async || listed(&pier.stranger, "").await == [path.clone()]).await;
    pier.owner.put(&format!("/cases/{}/members/olga", pier.case), json!({"role": "editor"})).await.ok(200);
    assert_eq!(listed(&pier.owner, "").await.len(), 0);
    pier.owner.delete(&path).await.problem(404, "not_found");
    pier.stranger.delete(&path).await.ok(204);
    assert_eq!(pier.app.count("SELECT count(*) FROM export").await, 0);
}

#[tokio::test]
async fn a_database_that_is_away_is_not_an_export_that_is_not_there() {
    let pier = Pier::new().await;
    let path = path_of(&pier.ask(&pier.viewer, "csv", "").await);
    pier.owner.delete(&format!("/cases/{}/members/vi", pier.case)).await.ok(204);
    until("the end of the membership", async || pier.viewer.get(&path).await.status == 404).await;
    pier.app.alter("ALTER TABLE member RENAME TO away").await;
    let said = pier.viewer.get(&path).await;
    assert!(said.status.is_server_error(), "{}", said.status);
}

#[tokio::test]
async fn accounts_take_turns_at_having_theirs_made() {
    let pier = Pier::new().await;
    for who in [&pier.owner, &pier.owner, &pier.owner, &pier.viewer, &pier.viewer] {
        pier.ask(who, "csv", "label:nobody").await;
    }
    assert_eq!(pier.app.export().await, 5);
    let made = "SELECT string_agg(a.name, ' ' ORDER BY e.finished_at) FROM export AS e JOIN account AS a ON a.id = e.account_id";
    let turns: String = sqlx::query_scalar(made).fetch_one(&pier.app.outside).await.expect("names");
    assert_eq!(turns, "olga vi olga vi olga");
}

#[tokio::test]
async fn who_is_taken_out_before_it_is_made_gets_none_and_a_closed_case_may_be_taken_away() {
    let pier = Pier::new().await;
    let path = path_of(&pier.ask(&pier.viewer, "csv", "").await);
    pier.owner.delete(&format!("/cases/{}/members/vi", pier.case)).await.ok(204);
    assert_eq!(pier.app.export().await, 1);
    let refused = pier.app.admin().await.get(&path).await.ok(200);
    assert_eq!((&refused["state"], &refused["bytes"]), (&json!("failed"), &Value::Null));
    assert_eq!(refused["error"], "Who asked for it may not see the case any more.");
    pier.owner.patch(&format!("/cases/{}", pier.case), json!({"closed": true})).await.ok(200);
    assert!(!pier.export(&pier.owner, "ndjson", "").await.is_empty());
}

#[tokio::test]
async fn exports_go_with_their_case_and_when_their_time_is_up() {
    let pier = Pier::new().await;
    let before = blobs(&pier.app);
    pier.export(&pier.owner, "csv", "").await;
    pier.export(&pier.owner, "ndjson", "").await;
    // A server that died long ago left half of one, and another is writing.
    let [left, written] = ["left", "written"].map(|name| pier.app.settings.data.join("staging").join(name));
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
    for (spool, at) in [(&left, long_ago), (&written, SystemTime::now())] {
        File::create(spool).and_then(|file| file.set_modified(at)).expect("a file");
    }
    maintenance::remove_over(&pier.app.ctx).await.expect("a tick");
    maintenance::collect_blobs(&pier.app.ctx, Duration::ZERO).await.expect("a tick");
    assert_eq!((left.exists(), written.exists()), (false, true));
    std::fs::remove_file(written).expect("the file");
    assert_eq!(blobs(&pier.app), before + 2);
    pier.app.alter("UPDATE export SET expires_at = clock_timestamp() - interval '1 s' WHERE format = 'csv'").await;
    maintenance::remove_over(&pier.app.ctx).await.expect("a tick");
    assert_eq!((blobs(&pier.app), pier.app.count("SELECT count(*) FROM export").await), (before + 1, 1));

    // One is ready, one waits, and one is being made when the case goes.
    pier.ask(&pier.owner, "csv", "").await;
    let waiting = pier.ask(&pier.owner, "csv", "").await;
    let db = &pier.app.ctx.upkeep;
    let held = db.run(async |db| claim(db, 60.0).await).await.expect("a claim").expect("an export");
    pier.owner.delete(&format!("/cases/{}", pier.case)).await.ok(200);
    maintenance::remove_deleted(&pier.app.ctx).await.expect("a tick");
    pier.owner.get(&path_of(&waiting)).await.problem(404, "not_found");
    pier.app.admin().await.get(&path_of(&waiting)).await.problem(404, "not_found");
    assert_eq!((blobs(&pier.app), pier.app.count("SELECT count(*) FROM export").await), (0, 0));
    let at = ExportAt { bytes: 1, sha256: vec![0; 32], blob: Uuid::new_v4() };
    assert!(
        !db.run(async |db| finish(db, &held, &at, 60.0).await).await.expect("an answer"),
        "it is nobody's any more"
    );
    assert_eq!(pier.app.export().await, 0);
}

#[tokio::test]
async fn what_a_killed_server_had_in_hand_is_begun_again_and_its_late_word_counts_for_nothing() {
    let pier = Pier::new().await;
    let path = path_of(&pier.ask(&pier.owner, "csv", "").await);
    let db = &pier.app.ctx.upkeep;
    let later = "UPDATE export SET build_at = clock_timestamp() - interval '1 s' WHERE build_at IS NOT NULL";
    let held = db.run(async |db| claim(db, 60.0).await).await.expect("a claim").expect("an export");
    assert_eq!((pier.app.export().await, &pier.owner.get(&path).await.ok(200)["state"]), (0, &json!("running")));
    pier.app.alter(later).await;
    assert_eq!(pier.app.export().await, 1);
    let done = pier.owner.get(&path).await.ok(200);
    let at = ExportAt { bytes: 1, sha256: vec![0; 32], blob: Uuid::new_v4() };
    assert!(!db.run(async |db| finish(db, &held, &at, 60.0).await).await.expect("an answer"));
    assert_eq!((pier.owner.get(&path).await.ok(200), &done["state"]), (done.clone(), &json!("succeeded")));

    // One that kills its server each time is not followed for ever.
    let path = path_of(&pier.ask(&pier.owner, "csv", "").await);
    for _ in 0..maintenance::EXPORT_TRIES_MAX {
        db.run(async |db| claim(db, 60.0).await).await.expect("a claim").expect("an export");
        pier.app.alter(later).await;
    }
    assert_eq!(pier.app.export().await, 1);
    assert_eq!(pier.owner.get(&path).await.ok(200)["error"], "Making it was begun 3 times, and never ended.");
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_at_once_or_says_why() {
    let pier = Pier::new().await;
    let ask = |body: Value| pier.owner.post("/exports", body);
    for (q, code) in [("lable:x", "invalid_filter"), ("model:none", "invalid_filter")] {
        let refused = ask(json!({"case": pier.case, "q": q, "format": "csv"})).await.problem(422, code);
        assert_eq!((&refused["errors"][0]["in"], &refused["errors"][0]["pointer"]), (&json!("body"), &json!("/q")));
    }
    ask(json!({"case": Uuid::new_v4(), "format": "csv"})).await.problem(404, "not_found");
    ask(json!({"case": pier.case, "format": "doc"})).await.problem(422, "invalid_field");
    pier.stranger.post("/exports", json!({"case": pier.case, "format": "csv"})).await.problem(404, "not_found");
    assert_eq!(pier.app.count("SELECT count(*) FROM export").await, 0);

    // What it was to be like may have gone when its turn comes.
    let like = format!("similar:{}", md5_of(b"nothing"));
    let path = path_of(&ask(json!({"case": pier.case, "q": like, "format": "csv"})).await.ok(201));
    assert_eq!(pier.app.export().await, 1);
    let failed = pier.owner.get(&path).await.ok(200);
    assert!(failed["error"].as_str().is_some_and(|why| why.contains("no such image")), "{failed}");
    let refused = pier.owner.get(&format!("{path}/content")).await.problem(409, "export_not_ready");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("no such image")), "{refused}");

    let most = darkroom::domain::export::ACCOUNT_EXPORTS_MAX;
    for _ in 1..most {
        ask(json!({"case": pier.case, "format": "csv"})).await.ok(201);
    }
    ask(json!({"case": pier.case, "format": "csv"})).await.problem(409, "too_many_exports");
    pier.viewer.post("/exports", json!({"case": pier.case, "format": "csv"})).await.ok(201);
    pier.owner.delete(&path).await.ok(204);
    ask(json!({"case": pier.case, "format": "csv"})).await.ok(201);
}

#[tokio::test]
async fn those_of_an_account_grow_to_a_bound_together() {
    let pier = Pier::new().await;
    let small = pier.app.replica_with(|settings| settings.export_bytes_max = 1 << 20).await;
    let much = "INSERT INTO note (case_id, image_id, account_id, text)
                SELECT u.case_id, u.image_id, u.account_id, repeat('x', 4000) FROM upload AS u, generate_series(1, 50)";
    pier.app.alter(much).await;
    let mut paths = Vec::new();
    for asker in [&pier.owner, &pier.owner, &pier.viewer] {
        paths.push(path_of(&pier.ask(asker, "ndjson", "").await));
        assert_eq!(small.export().await, 1);
    }
    let admin = pier.app.admin().await;
    let states = async || {
        let mut states = Vec::new();
        for path in &paths {
            states.push(admin.get(path).await.ok(200)["state"].clone());
        }
        states
    };
    assert_eq!(states().await, ["succeeded", "failed", "succeeded"]);
    let failed = pier.owner.get(&paths[1]).await.ok(200);
    let why = "Your exports would have more than 1048576 bytes together; narrow the filter, or remove others.";
    assert_eq!(failed["error"], why);
    pier.owner.delete(&paths[0]).await.ok(204);
    pier.ask(&pier.owner, "ndjson", "").await;
    assert_eq!(small.export().await, 1);
}

#[tokio::test]
async fn who_ends_one_that_takes_long_says_that_it_is_held() {
    let pier = Pier::new().await;
    let path = path_of(&pier.ask(&pier.owner, "zip", "label:nobody").await);
    // The notes on the case are read when all images are in.
    let mut rival = beside(&pier.app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE note IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.expect("the table");
    let held = async || -> DateTime<Utc> {
        let sql = sqlx::query_scalar("SELECT build_at FROM export");
        sql.fetch_one(&pier.app.outside).await.expect("until when it is held")
    };
    let looked = async {
        until_blocked(&pier.app).await;
        let before = held().await;
        let renewed = holds_within(Duration::from_millis(2_500), async || held().await > before).await;
        tx.rollback().await.expect("the end");
        renewed
    };
    assert_eq!(tokio::join!(pier.app.export(), looked), (1, true));
    assert_eq!(pier.owner.get(&path).await.ok(200)["state"], "succeeded");
}

#[tokio::test]
async fn as_many_images_are_read_at_once_as_have_room() {
    let pier = Pier::new().await;
    let sql = "SELECT image_id FROM upload ORDER BY image_id";
    let images: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&pier.app.outside).await.expect("images");
    let case: Uuid = pier.case.parse().expect("an id");
    let looked_at = async |images: &[i64]| {
        let next = pier.app.ctx.chores.run(async |db| contents::next(db, images, case).await).await;
        let (told, looked_at) = next.expect("images");
        assert_eq!(told.len(), looked_at);
        looked_at
    };
    assert_eq!(looked_at(&images).await, 4);
    // A model said more of the first than is read at once, and as much is written of the second and third.
    let much = "WITH three AS (SELECT case_id, image_id, account_id, row_number() OVER (ORDER BY image_id) AS place FROM upload)
                INSERT INTO note (case_id, image_id, account_id, text)
                  SELECT case_id, image_id, account_id, repeat('x', 4000) FROM three, generate_series(1, 300) WHERE place IN (2, 3);
                UPDATE outcome SET document = jsonb_set(document, '{summary}', to_jsonb((SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40000) AS n)))
                  WHERE image_id = (SELECT min(image_id) FROM upload) AND version_id > 0";
    pier.app.alter(much).await;
    assert_eq!(looked_at(&images).await, 1);
    assert_eq!(looked_at(&images[1..]).await, 1);
    assert_eq!(looked_at(&images[2..]).await, 1);
    assert_eq!(looked_at(&images[3..]).await, 1);
    assert_eq!(pier.export(&pier.owner, "ndjson", "").await.split(|byte| *byte == b'\n').count(), 4 + 1);
}
