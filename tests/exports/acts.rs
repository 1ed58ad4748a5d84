//! Who may have what, how long, and what is refused.

use darkroom::maintenance;
use darkroom::store::exports::{ExportAt, claim, finish};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Pier, path_of, told};
use crate::kit::app::TestApp;
use crate::kit::images::md5_of;

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
    let admin = pier.app.admin().await;
    for (who, status) in
        [(&pier.viewer, 200), (&admin, 200), (&pier.owner, 404), (&pier.stranger, 404), (&pier.app.nobody(), 401)]
    {
        assert_eq!(who.get(&path).await.status, status);
        assert_eq!(who.get(&format!("{path}/content")).await.status, status);
    }
    let listed = |answer: Value| answer["items"].as_array().expect("items").len();
    let of_case = format!("/exports?case={}", pier.case);
    assert_eq!(listed(pier.viewer.get(&of_case).await.ok(200)), 1);
    assert_eq!(listed(pier.owner.get(&of_case).await.ok(200)), 0, "it is not the owner's");
    assert_eq!(listed(admin.get("/exports").await.ok(200)), 1);
    pier.stranger.get(&of_case).await.problem(404, "not_found");

    // Whoever is no member any more has nothing of it.
    pier.owner.delete(&format!("/cases/{}/members/vi", pier.case)).await.ok(204);
    for path in [path.clone(), format!("{path}/content")] {
        pier.viewer.get(&path).await.problem(404, "not_found");
    }
    pier.viewer.delete(&path).await.problem(404, "not_found");
    assert_eq!(listed(pier.viewer.get("/exports").await.ok(200)), 0);
    let events = told(&pier.app.outside, &pier.case, &["case_exported", "export_fetched"]).await;
    let events: Vec<(&str, &str)> =
        events.iter().map(|(code, who, _)| (code.as_str(), who.as_deref().expect("who"))).collect();
    assert_eq!(events, [("case_exported", "vi"), ("export_fetched", "vi"), ("export_fetched", "root")]);
    admin.delete(&path).await.ok(204);
    admin.get(&path).await.problem(404, "not_found");
    assert_eq!(blobs(&pier.app), before);
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
    maintenance::remove_over(&pier.app.ctx).await.expect("a tick");
    maintenance::collect_blobs(&pier.app.ctx, std::time::Duration::ZERO).await.expect("a tick");
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
async fn one_that_grows_too_large_says_so() {
    let pier = Pier::new().await;
    let small = pier.app.replica_with(|settings| settings.export_bytes_max = 1 << 20).await;
    let much = "INSERT INTO note (case_id, image_id, account_id, text)
                SELECT u.case_id, u.image_id, u.account_id, repeat('x', 4000) FROM upload AS u, generate_series(1, 100)";
    pier.app.alter(much).await;
    let path = path_of(&pier.ask(&pier.owner, "ndjson", "").await);
    assert_eq!(small.export().await, 1);
    let failed = pier.owner.get(&path).await.ok(200);
    assert_eq!(failed["error"], "It would have more than 1048576 bytes; narrow the filter.");
}
