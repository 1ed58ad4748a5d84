//! What a search costs is bounded, whatever there is: pages go on where others ended, and short ones say so.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{counts, found, search, told};
use crate::kit::app::TestApp;
use crate::kit::client::Client;
use crate::kit::images::photo;

/// The names on all pages, page by page.
async fn pages(who: &Client, filter: &str, limit: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = next(who, filter, limit, &cursor).await;
        pages.push(told(&page, "name"));
        assert!(pages.len() < 100, "it does not end");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return pages,
        }
    }
}

async fn next(who: &Client, filter: &str, limit: &str, cursor: &str) -> Value {
    let mut fields = vec![("q", filter), ("limit", limit)];
    fields.extend((!cursor.is_empty()).then_some(("cursor", cursor)));
    search(who, &fields).await.ok(200)
}

#[tokio::test]
async fn pages_neither_repeat_nor_leave_out_while_images_arrive() {
    let app = TestApp::new().await;
    let (ines, admin) = (app.investigator("ines").await, app.admin().await);
    app.worker("ocr").await;
    let name = |n: u64| format!("{n}.png");
    for n in 1..=7 {
        ines.submit(&[(&name(n), photo(n))], &["ocr"]).await;
    }
    for who in [&ines, &admin] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        for round in 0.. {
            let page = next(who, ".png", "2", &cursor).await;
            seen.extend(told(&page, "name"));
            // A new one, and another title for one that was seen and one that was not.
            let new = 100 + 10 * seen.len() as u64;
            ines.submit(&[(&name(new), photo(new)), ("again.png", photo(7)), ("again.png", photo(2))], &["ocr"]).await;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            assert!(round < 10, "it does not end");
        }
        let expected: Vec<String> = (1..=7).rev().map(name).collect();
        if std::ptr::eq(who, &ines) {
            assert_eq!(seen, expected);
        } else {
            // What came before counts as it was when the first page was asked for.
            let (again, others): (Vec<_>, Vec<_>) = seen.iter().partition(|name| name.as_str() == "again.png");
            assert_eq!((again.len(), others.len()), (2, 5 + 4), "{seen:?}");
        }
    }
}

/// Adds so many photographs to the case of ines by SQL, the first of them the oldest, as the owner of the tables.
pub async fn many(app: &TestApp, images: u32) {
    let sql = format!(
        "WITH made AS (
           INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
           SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), n, 'image/jpeg', 4032, 3024, 1, gen_random_uuid()
           FROM generate_series(1, {images}) AS n RETURNING id, bytes
         )
         INSERT INTO upload (case_id, image_id, submission_id, account_id, name, at)
         SELECT c.id, m.id, gen_random_uuid(), c.own_of, 'DSC_' || m.bytes || '.jpg', timestamptz '2020-01-01Z' + interval '1 s' * m.bytes
         FROM made AS m, casefile AS c JOIN account AS a ON a.id = c.own_of WHERE a.name = 'ines'"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&app.outside).await.expect("images");
    app.alter("ANALYZE").await;
}

#[tokio::test]
async fn a_walk_that_finds_nothing_stops_and_says_where_to_go_on() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    many(&app, 30_000).await;
    // Nothing leads to what no index is about.
    let first = next(&ines, "bytes<=2", "10", "").await;
    assert_eq!(first["items"].as_array().map(Vec::len), Some(0));
    assert!(first["next_cursor"].is_string(), "{first}");
    let all = pages(&ines, "bytes<=2", "10").await;
    assert!((2..10).contains(&all.len()), "{all:?}");
    assert_eq!(all.concat(), ["DSC_2.jpg", "DSC_1.jpg"]);
    assert_eq!(counts(&ines, "").await["images"], serde_json::json!({"count": 5_000, "at_least": true}));
    let rare = counts(&ines, "bytes<=2").await["images"].clone();
    assert_eq!(rare["at_least"], true, "{rare}");
    // A time bounds the walk.
    assert_eq!(found(&ines, "bytes<=2 before:2020-01-01T00:10").await, ["DSC_2.jpg", "DSC_1.jpg"]);
    assert_eq!(found(&ines, "bytes>=0 after:2020-01-01T08:19:59").await, ["DSC_30000.jpg", "DSC_29999.jpg"]);
}

#[tokio::test]
async fn what_is_rare_is_found_by_its_index_however_old() {
    let app = TestApp::new().await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    app.worker("ocr").await;
    many(&app, 30_000).await;
    ivo.submit(&[("none-of-yours.png", photo(1))], &["ocr"]).await;
    app.alter(
        "INSERT INTO queue (name, last_version) VALUES ('rare', 'v1');
         INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM queue WHERE name = 'rare';
         INSERT INTO params (hash, body) SELECT sha256('rare'), '{}';
         INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, reason, attempt, job_id, document)
         SELECT i.id, (SELECT max(id) FROM params), now(), q.id, CASE WHEN i.bytes <= 3 THEN v.id ELSE 0 END, 3,
                CASE WHEN i.bytes <= 3 THEN 'succeeded' ELSE 'failed' END::job_state,
                CASE WHEN i.bytes <= 3 THEN NULL ELSE 'rejected' END::fail_reason, 1, uuid_v7(), CASE WHEN i.bytes <= 3 THEN '{}'::jsonb END
         FROM image AS i, queue AS q JOIN model_version AS v ON v.queue_id = q.id WHERE q.name = 'rare' AND i.bytes <= 4;
         INSERT INTO item (image_id, params_id, queue_id, version_id, kind, place, label, value, text)
         SELECT o.image_id, o.params_id, o.queue_id, o.version_id, s.*
         FROM outcome AS o JOIN queue AS q ON q.id = o.queue_id AND q.name = 'rare',
              (VALUES ('label', 0::smallint, 'unicorn', 0.9::float8, NULL), ('text', 1, NULL, NULL, 'Rare words'), ('field', -1, 'horns', 1, NULL),
                      ('field', -2, 'colour', NULL, 'white')) AS s
         WHERE o.version_id > 0;
         INSERT INTO tag (case_id, image_id, tag, account_id)
         SELECT u.case_id, u.image_id, 'rare', u.account_id FROM upload AS u JOIN image AS i ON i.id = u.image_id WHERE i.bytes <= 3;
         INSERT INTO derived (image_id, state, error, taken_at, camera)
         SELECT id, 'failed', 'x', CASE WHEN bytes <= 3 THEN '2001-02-03' ELSE '2020-01-01' END::timestamp, 'Camera ' || bytes % 500 FROM image;
         INSERT INTO derived (image_id, state, error, camera) SELECT id, 'failed', 'x', 'Rare Camera' FROM image WHERE bytes <= 3
         ON CONFLICT ON CONSTRAINT derived_pkey DO UPDATE SET camera = excluded.camera;
         INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
         SELECT uuid_v7(), i.id, (SELECT min(id) FROM params), now(), now() + interval '1 h', q.id, true, gen_random_uuid(), gen_random_uuid()
         FROM image AS i, queue AS q WHERE q.name = 'ocr' AND i.bytes <= 3;
         ANALYZE",
    )
    .await;
    let oldest = ["DSC_3.jpg", "DSC_2.jpg", "DSC_1.jpg"];
    for filter in [
        "label:unicorn",
        "label:unicorn>=0.5",
        "horns>=1",
        "horns=1",
        "colour=WHITE",
        "text:\"rare words\"",
        "words -tag:x",
        "tag:rare",
        "camera:\"rare cam\"",
        "taken-before:2002-01-01",
        "model:rare",
        "queued:ocr",
        "is:queued type:jpeg",
        "succeeded:rare",
    ] {
        assert_eq!(found(&ines, filter).await, oldest, "{filter}");
        assert_eq!(
            counts(&ines, filter).await["images"],
            serde_json::json!({"count": 3, "at_least": false}),
            "{filter}"
        );
        let by_ones = pages(&ines, filter, "1").await;
        assert_eq!(by_ones.concat(), oldest, "{filter}");
    }
    for filter in ["failed:rare", "is:failed", "name:DSC_4.jpg", "\"dsc_4.jpg\""] {
        assert_eq!(found(&ines, filter).await, ["DSC_4.jpg"], "{filter}");
    }
    // Of several conditions the rarest leads.
    assert_eq!(found(&ines, "camera:camera label:unicorn -tag:x").await, oldest);
    assert_eq!(found(&ines, "label:unicorn label:car").await, Vec::<String>::new());
    let admin = app.admin().await;
    assert_eq!(found(&admin, "tag:rare").await, oldest);
    assert_eq!(found(&ivo, "label:unicorn").await, Vec::<String>::new());
}
