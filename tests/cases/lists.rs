//! Lists that look at a bounded number of rows, and what administrators see of a case that goes.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::Connection;

use super::{Harbour, image, make, to_case};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};

/// All pages of a list: how many items each had, and all of them.
async fn pages(who: &Client, path: &str) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut all, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = who.get(&format!("{path}{cursor}")).await.ok(200);
        let items = page["items"].as_array().expect("items");
        sizes.push(items.len());
        all.extend(items.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return (sizes, all) };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn a_page_of_images_looks_at_so_many_titles_and_the_next_goes_on() {
    let h = Harbour::new().await;
    let other = make(&h.owner, "Station").await;
    h.owner.upload(to_case(&other, 9)).await.ok(202);
    // Images of the one case, of which the other has newer titles, all but the oldest hundred.
    h.app
        .alter(
            "INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
               SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 10, 'image/jpeg', 1, 1, 1, gen_random_uuid() FROM generate_series(1, 4500) AS n;
             INSERT INTO upload (case_id, image_id, submission_id, account_id, name, at)
               SELECT c.id, i.id, c.id, c.id, 'x' || n, clock_timestamp() - interval '1 day' * c.days - interval '1 s' * i.id
               FROM image AS i, generate_series(1, 2) AS n,
                    (SELECT id, CASE name WHEN 'Station' THEN 1 ELSE 2 END AS days FROM casefile WHERE own_of IS NULL) AS c
               WHERE i.bytes = 10 AND (c.days = 2 OR i.id % 45 <> 0);
             ANALYZE upload, image",
        )
        .await;
    let (sizes, all) = pages(&h.owner, "/images?limit=500").await;
    let distinct: HashSet<&str> = all.iter().filter_map(|item| item["md5"].as_str()).collect();
    assert_eq!((all.len(), distinct.len()), (4_502, 4_502), "each image once");
    // As times: text of them has as many digits as it needs.
    let time = |item: &Value| item["uploaded_at"].as_str()?.parse::<DateTime<Utc>>().ok();
    let times: Vec<_> = all.iter().map(|item| time(item).unwrap_or_else(|| panic!("{item}"))).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    let in_case = all.iter().filter(|item| item["case"] == h.case.as_str()).count();
    assert_eq!(in_case, 101, "each at its newest title");
    let short = sizes[..sizes.len() - 1].iter().filter(|size| **size < 500).count();
    assert!(short >= 4, "9,000 titles that others supersede take as many pages as they need: {sizes:?}");
    let (sizes, all) = pages(&h.owner, &format!("/images?limit=500&case={}", h.case)).await;
    assert_eq!((all.len(), sizes.iter().max()), (4_501, Some(&500)));
    assert_eq!(pages(&h.admin, "/images?limit=500").await.1.len(), 4_502);
}

#[tokio::test]
async fn nobody_sees_what_a_deleted_case_alone_held_while_it_goes() {
    let h = Harbour::new().await;
    let other = make(&h.stranger, "Station").await;
    for n in [2, 3] {
        h.editor.upload(to_case(&h.case, n)).await.ok(202);
    }
    h.stranger.upload(to_case(&other, 3)).await.ok(202);
    h.editor.upload(to_case(&h.case, 3)).await.ok(202);
    assert_eq!(h.admin.get("/images").await.ok(200)["items"].as_array().map(Vec::len), Some(3));
    // It goes later.
    let mut db = h.app.outside.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('darkroom tick cases', 0))";
    sqlx::query(lock).execute(&mut *tx).await.expect("the tick of another server");
    assert_eq!(h.owner.delete(&h.path("")).await.ok(200)["done"], false);
    let images = h.admin.get("/images").await.ok(200)["items"].clone();
    assert_eq!(images.as_array().map(Vec::len), Some(1), "{images}");
    let (md5, case) = (json!(md5_of(&photo(3))), json!(other));
    assert_eq!((&images[0]["md5"], &images[0]["case"]), (&md5, &case), "by a title that is left, though an older one");
    assert_eq!(h.admin.get(&image(3)).await.ok(200)["case"], case);
    for path in [image(1), format!("{}/content", image(2)), format!("/submissions/{}", h.submission)] {
        h.admin.get(&path).await.problem(404, "not_found");
    }
    let submissions = h.admin.get("/submissions").await.ok(200)["items"].clone();
    assert_eq!((submissions.as_array().map(Vec::len), &submissions[0]["case"]), (Some(1), &case));
    for list in ["images", "submissions", "search"] {
        h.admin.get(&format!("/{list}?case={}", h.case)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_job_is_withdrawn_in_all_of_ones_cases_however_often_it_was_asked_for() {
    let h = Harbour::new().await;
    let other = make(&h.editor, "Station").await;
    let made = h.owner.upload(to_case(&h.case, 4)).await.ok(202);
    let job = made["images"][0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
    // The case of which the editor is a viewer now has asked for it a hundred times and more.
    h.app
        .alter(
            "WITH again AS (
               INSERT INTO submission (account_id, case_id)
               SELECT c.created_by, c.id FROM casefile AS c, generate_series(1, 120) WHERE c.name = 'Harbour' RETURNING id)
             INSERT INTO request (submission_id, image_id, queue_id, params_id, job_id)
             SELECT a.id, j.image_id, j.queue_id, j.params_id, j.id FROM again AS a, job AS j;
             UPDATE member SET role = 'viewer' WHERE account_id = (SELECT id FROM account WHERE name = 'ed')
               AND case_id = (SELECT id FROM casefile WHERE name = 'Harbour')",
        )
        .await;
    let editor = h.app.replica().await;
    let editor = editor.log_in("ed", crate::kit::app::PASSWORD).await;
    let path = format!("/jobs/{job}/cancel");
    editor.post(&path, Value::Null).await.problem(403, "missing_role");
    editor.upload(to_case(&other, 4)).await.ok(202);
    assert_eq!(editor.post(&path, Value::Null).await.ok(200)["state"], "queued");
    let withdrawn = "SELECT count(*) FROM request WHERE withdrawn_at IS NOT NULL";
    assert_eq!(h.app.count(withdrawn).await, 1, "where they are an editor");
    assert_eq!(h.owner.post(&path, Value::Null).await.ok(200)["state"], "cancelled");
    assert_eq!(h.app.count(withdrawn).await, 122);
    let retried = editor.post(&path.replace("cancel", "retry"), Value::Null).await.ok(201);
    assert_ne!(retried["id"], json!(job));
}
