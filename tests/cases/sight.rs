//! Who sees what: the mirror cold and warm, and the moment after somebody is no member any more.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Harbour, add, image, make, to_case};
use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use crate::kit::wait::holds_within;
use crate::lookup::Mirror;

/// What somebody sees of the harbour: everything, or nothing. The places where both are true, as told.
async fn seen(h: &Harbour, who: &Client) -> Vec<(String, bool)> {
    let md5 = md5_of(&photo(1));
    let mut seen = Vec::new();
    let paths = [
        image(1),
        format!("{}/content", image(1)),
        format!("{}/changes?from={job}&to={job}", image(1), job = h.job),
        format!("/predict/{md5}"),
        format!("/predict/{md5}?models=ocr"),
        format!("/submissions/{}", h.submission),
        format!("/jobs/{}", h.job),
        h.path(""),
        h.path("/tags"),
        h.path("/notes"),
        h.path("/filters"),
        format!("/images?case={}", h.case),
        format!("/submissions?case={}", h.case),
    ];
    for path in paths {
        let answer = who.get(&path).await;
        assert!([200, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
        seen.push((path, answer.status == 200));
    }
    let batch =
        who.post("/predict/status", json!({"images": [md5, md5_of(b"nothing")], "results": true})).await.ok(200);
    assert_eq!(batch["items"][1]["status"], Value::Null);
    seen.push(("in a batch".to_owned(), batch["items"][0]["status"] == "succeeded"));
    for (list, field, id) in [("/images", "md5", &md5), ("/submissions", "id", &h.submission), ("/jobs", "id", &h.job)]
    {
        let items = who.get(list).await.ok(200)["items"].clone();
        let found = items.as_array().expect("items").iter().any(|item| item[field] == id.as_str());
        seen.push((format!("in {list}"), found));
    }
    let found = who.get(&format!("/jobs?md5={md5}")).await.ok(200)["items"] != json!([]);
    seen.push(("jobs by hash".to_owned(), found));
    seen
}

#[tokio::test]
async fn a_case_is_seen_by_its_members_and_administrators_alone() {
    let h = Harbour::new().await;
    h.editor.post(&h.path("/tags"), json!({"images": [md5_of(&photo(1))], "add": ["pier"]})).await.ok(200);
    h.editor.post(&h.path("/notes"), json!({"image": md5_of(&photo(1)), "text": "the same jacket"})).await.ok(201);
    h.editor.put(&h.path("/filters/people"), json!({"filter": "label:person"})).await.ok(204);
    let mirror = Mirror::of(&h.app).await;
    let mut wrong = Vec::new();
    for warm in [false, true] {
        for (name, who, sees) in [
            ("owner", &h.owner, true),
            ("editor", &h.editor, true),
            ("viewer", &h.viewer, true),
            ("stranger", &h.stranger, false),
            ("admin", &h.admin, true),
        ] {
            if warm {
                h.editor.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
                assert!(mirror.exists("status").await);
            } else {
                mirror.expire("status").await;
            }
            let told = seen(&h, who).await.into_iter().filter(|(_, told)| *told != sees);
            wrong.extend(told.map(|(what, _)| format!("{name}, warm {warm}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let record = h.viewer.get(&image(1)).await.ok(200);
    assert_eq!((&record["case"], &record["name"]), (&json!(h.case), &json!("a.png")));
    assert_eq!(record["tags"], json!(["pier"]), "who only looks sees them, too");
    let shown = h.viewer.get(&h.path("")).await.ok(200);
    assert_eq!((&shown["role"], &shown["images"], &shown["own"]), (&json!("viewer"), &json!(1), &json!(false)));
    let members = shown["members"].as_array().expect("members").iter();
    assert_eq!(members.map(|m| m["user"].clone()).collect::<Vec<_>>(), ["ed", "olga", "vi"]);
    let cases = h.stranger.get("/cases").await.ok(200);
    assert_eq!((cases["items"].as_array().map(Vec::len), &cases["items"][0]["own"]), (Some(1), &json!(true)));
    let first = h.admin.get("/cases?limit=1").await.ok(200);
    assert_eq!((&first["items"][0]["id"], first["next_cursor"].is_string()), (&json!(h.case), true));
}

/// The params of the results that somebody is told of the first photo.
async fn params(who: &Client) -> Vec<String> {
    let results = who.get(&image(1)).await.ok(200)["results"].clone();
    let mut told: Vec<String> = results.as_array().expect("results").iter().map(|r| r["params"].to_string()).collect();
    told.sort();
    told
}

#[tokio::test]
async fn the_same_image_in_two_cases_tells_each_its_own() {
    let h = Harbour::new().await;
    let other = make(&h.stranger, "Station").await;
    let made = h.stranger.upload(to_case(&other, 1)).await.ok(202);
    assert_eq!((&made["images"][0]["new"], &made["case"]), (&json!(true), &json!(other)), "new to this case");
    h.worker.succeed(&h.worker.claim(1).await[0]).await;
    assert_eq!(params(&h.viewer).await, ["null", r#"{"look_for":"a name"}"#]);
    assert_eq!(params(&h.stranger).await, ["null", "{}"]);
    assert_eq!(params(&h.admin).await, [r#"{"look_for":"a name"}"#, "{}"]);
    h.stranger.get(&format!("/jobs/{}", h.job)).await.problem(404, "not_found");
    h.stranger.post(&other_tags(&other), json!({"images": [md5_of(&photo(1))], "add": ["train"]})).await.ok(200);
    assert_eq!(h.viewer.get(&h.path("/tags")).await.ok(200)["items"], json!([]));
    h.editor.post(&h.path("/tags"), json!({"images": [md5_of(&photo(1))], "add": ["sea", "pier"]})).await.ok(200);
    // Of a record they are those of the case that it names: of all that hold it the one to which it came last.
    for (who, case, tags) in
        [(&h.viewer, &h.case, &["pier", "sea"][..]), (&h.stranger, &other, &["train"]), (&h.admin, &other, &["train"])]
    {
        let record = who.get(&image(1)).await.ok(200);
        assert_eq!((&record["case"], &record["tags"]), (&json!(case), &json!(tags)));
    }
    // A member of both sees it once, under its newest name.
    add(&h.stranger, &other, "vi", "viewer").await;
    let images = h.viewer.get("/images").await.ok(200)["items"].clone();
    assert_eq!((images.as_array().map(Vec::len), &images[0]["case"]), (Some(1), &json!(other)));
    for case in [&h.case, &other] {
        let images = h.viewer.get(&format!("/images?case={case}")).await.ok(200)["items"].clone();
        assert_eq!((images.as_array().map(Vec::len), &images[0]["case"]), (Some(1), &json!(case)));
    }
}

fn other_tags(case: &str) -> String {
    format!("/cases/{case}/tags")
}

#[tokio::test]
async fn an_image_named_by_its_hash_comes_to_the_case_that_is_named() {
    let h = Harbour::new().await;
    let mine = make(&h.viewer, "Mine").await;
    let named = |case: Value| json!({"images": [md5_of(&photo(1))], "models": ["ocr"], "case": case});
    h.stranger.post("/predict", named(Value::Null)).await.problem(422, "nothing_accepted");
    h.viewer.post("/predict", named(json!(h.case))).await.problem(403, "missing_role");
    let made = h.viewer.post("/predict", named(json!(mine))).await.ok(202);
    assert_eq!((&made["case"], &made["images"][0]["name"]), (&json!(mine), &json!("a.png")));
    let images = h.viewer.get(&format!("/images?case={mine}")).await.ok(200)["items"].clone();
    assert_eq!((&images[0]["md5"], &images[0]["name"]), (&json!(md5_of(&photo(1))), &json!("a.png")));
    let again = h.viewer.post("/predict", named(json!(mine))).await.ok(202);
    assert_eq!(again["images"][0]["jobs"][0]["outcome"], "attached");
    assert_eq!(h.app.count("SELECT count(*) FROM upload").await, 2, "one title in each case");
    // One's own case is where nothing else is named.
    let own = h.viewer.post("/predict", named(Value::Null)).await.ok(202)["case"].clone();
    assert!(own != json!(mine) && own != json!(h.case));
    // A submission stays in its case.
    let id = uuid::Uuid::new_v4();
    let under = |case: &str| to_case(case, 2).text("submission", &id.to_string());
    h.owner.upload(under(&h.case)).await.ok(202);
    h.owner.upload(under(&h.case)).await.ok(202);
    let elsewhere = make(&h.owner, "Elsewhere").await;
    h.owner.upload(under(&elsewhere)).await.problem(409, "submission_conflict");
    h.editor.upload(under(&h.case)).await.problem(409, "submission_conflict");
    let form = Form::default().file("a.png", &photo(2)).text("models", "ocr").text("submission", &id.to_string());
    h.owner.upload(form).await.problem(409, "submission_conflict");
}

#[tokio::test]
async fn another_server_knows_within_seconds_who_is_a_member() {
    let h = Harbour::new().await;
    let other: TestApp = h.app.replica().await;
    let there = |who: &Client| who.clone().through(other.router.clone());
    let (owner, viewer, stranger) = (there(&h.owner), there(&h.viewer), there(&h.stranger));
    let path = format!("/predict/{}", md5_of(&photo(1)));
    // What was made here a moment ago may be named there at once, although it is known there how things stood before.
    owner.get("/cases").await.ok(200);
    let young = make(&h.owner, "Young").await;
    owner.upload(to_case(&young, 7)).await.ok(202);
    stranger.get(&h.path("")).await.problem(404, "not_found");
    add(&h.owner, &h.case, "ivo", "viewer").await;
    stranger.get(&h.path("")).await.ok(200);
    // Both look from the mirror, which stays warm.
    for who in [&viewer, &stranger] {
        assert_eq!(who.get(&path).await.ok(200)["done"], true);
    }
    let mirror = Mirror::of(&h.app).await;
    for name in ["vi", "ivo"] {
        h.owner.delete(&h.path(&format!("/members/{name}"))).await.ok(204);
    }
    h.viewer.get(&path).await.problem(404, "not_found");
    for who in [&viewer, &stranger] {
        let gone = async || who.get(&path).await.status == 404 && who.get(&image(1)).await.status == 404;
        assert!(holds_within(Duration::from_secs(5), gone).await, "who is no member any more still sees it");
    }
    assert!(mirror.exists("status").await, "the mirror was warm");
    assert_eq!(owner.get(&path).await.ok(200)["done"], true);
}

#[tokio::test]
async fn a_look_up_finds_ones_case_among_more_titles_than_are_read() {
    let h = Harbour::new().await;
    // A hundred other cases hold it, and one with a hundred names.
    h.app
        .alter(
            "WITH made AS (INSERT INTO casefile (name) SELECT 'c' || n FROM generate_series(1, 110) AS n RETURNING id)
             INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
               SELECT made.id, i.id, made.id, made.id, 'x' FROM made, image AS i
               UNION ALL SELECT (SELECT id FROM casefile WHERE name = 'ed'), i.id, gen_random_uuid(), gen_random_uuid(), 'n' || n
               FROM image AS i, generate_series(1, 110) AS n;
             UPDATE upload SET name = name || '!' WHERE case_id = (SELECT id FROM casefile WHERE name = 'Harbour')",
        )
        .await;
    let mirror = Mirror::of(&h.app).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    for _ in 0..2 {
        mirror.expire("status").await;
        h.viewer.get(&path).await.ok(200);
        h.viewer.get(&path).await.ok(200);
        h.stranger.get(&path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn who_waits_is_not_told_what_another_may_not_see() {
    let h = Harbour::new().await;
    let workers = [h.app.worker("face").await, h.app.worker("cars").await, h.app.worker("sky").await];
    let other = make(&h.stranger, "Station").await;
    let ask = |case: &str| to_case(case, 2).text("models", "face,cars,sky");
    h.editor.upload(ask(&h.case)).await.ok(202);
    h.stranger.upload(ask(&other)).await.ok(202);
    let waiting = |who: &Client| {
        let (who, path) = (who.clone(), format!("/predict/{}?wait_s=40", md5_of(&photo(2))));
        tokio::spawn(async move { who.get(&path).await })
    };
    let members: Vec<_> = (0..7).map(|_| waiting(&h.editor)).collect();
    let stranger = waiting(&h.stranger);
    until("all to wait", async || h.app.ctx.waiters.images.joined() == 8).await;
    // The case loses it, and whoever looks first may be one who does not see it any more.
    h.app.alter("DELETE FROM upload WHERE case_id = (SELECT id FROM casefile WHERE name = 'Harbour')").await;
    for worker in workers.iter().chain([&h.worker]) {
        worker.succeed(&worker.claim(1).await[0]).await;
    }
    assert_eq!(stranger.await.expect("an answer").ok(200)["status"], "succeeded");
    for member in members {
        member.await.expect("an answer").problem(404, "not_found");
    }
}
