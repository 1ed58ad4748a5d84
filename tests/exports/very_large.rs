//! Twenty thousand images: in bounded memory, by a server that is killed in the middle, and fetched in pieces.

use std::time::Duration;

use reqwest::header;
use serde_json::{Value, json};

use super::path_of;
use crate::kit::app::TestApp;
use crate::kit::wait::holds_within;

/// How much a server may grow by making it, in bytes: the whole has more.
const GROWTH_MAX: u64 = 48 << 20;
const IMAGES: usize = 20_500;

/// Images with a result of 3 kB each, in the investigator's own case.
const MANY: &str = "
  INSERT INTO queue (name, last_version) VALUES ('much', 'v1');
  INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM queue WHERE name = 'much';
  INSERT INTO params (hash, body) VALUES (decode(repeat('00', 32), 'hex'), '{}');
  INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
    SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 1, 'image/png', 40, 30, 1, gen_random_uuid() FROM generate_series(1, 20500) AS n;
  INSERT INTO upload (case_id, image_id, submission_id, account_id, name, at)
    SELECT c.id, i.id, gen_random_uuid(), c.own_of, i.id || '.png', clock_timestamp() - i.id * interval '1 s'
    FROM image AS i, casefile AS c WHERE c.own_of IS NOT NULL;
  INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
    SELECT i.id, p.id, clock_timestamp(), q.id, v.id, 3, 'succeeded', 1, uuid_v7(),
           jsonb_build_object('items', (SELECT jsonb_agg(jsonb_build_object('type', 'text', 'text', repeat('x', 100), 'score', 0.5)) FROM generate_series(1, 22)),
                              'fields', '{}'::jsonb, 'summary', NULL)
    FROM image AS i, params AS p, queue AS q JOIN model_version AS v ON v.queue_id = q.id;
  -- What results say is not to be written down meanwhile.
  INSERT INTO setting (name, value) SELECT 'items_from', (max(written)::text::bigint + 1)::text FROM outcome
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
  ANALYZE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_export_needs_little_memory_outlives_its_server_and_is_fetched_in_pieces() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    app.alter(MANY).await;
    let case = ines.get("/cases").await.ok(200)["items"][0]["id"].clone();
    let asked = ines.post("/exports", json!({"case": case, "format": "ndjson"})).await.ok(201);
    let path = path_of(&asked);
    let state = async || ines.get(&path).await.ok(200);

    let first = app.process(&[]);
    let begun = async || state().await["images_done"].as_i64().is_some_and(|done| done > 0);
    assert!(holds_within(Duration::from_secs(60), begun).await, "it is begun");
    drop(first);
    let left = state().await;
    assert_eq!((&left["state"], &left["images"]), (&json!("running"), &json!(IMAGES)));
    assert!(left["images_done"].as_u64().is_some_and(|done| done < IMAGES as u64), "it was killed too late: {left}");
    app.alter("UPDATE export SET build_at = clock_timestamp()").await;

    let second = app.process(&[]);
    let (before, _) = second.resident().expect("figures");
    let ended = async || state().await["state"] != "running" && state().await["state"] != "queued";
    assert!(holds_within(Duration::from_secs(120), ended).await, "it ends");
    let done = state().await;
    assert_eq!((&done["state"], &done["images_done"]), (&json!("succeeded"), &json!(IMAGES)), "{done}");
    let (after, _) = second.resident().expect("figures");
    assert!(after - before < GROWTH_MAX, "it grew by {} MiB", (after - before) >> 20);

    let url = format!("{}{path}/content", second.base);
    let whole = pieces(&url, ines.token.as_deref().expect("a token")).await;
    assert_eq!((json!(whole.len()), json!(super::sha256_of(&whole))), (done["bytes"].clone(), done["sha256"].clone()));
    let mut md5s: Vec<String> = whole
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<Value>(line).expect("JSON")["md5"].to_string())
        .collect();
    md5s.sort();
    md5s.dedup();
    assert_eq!(md5s.len(), IMAGES, "each once");
    let fetched = "SELECT count(*) FROM job_event WHERE code = 'export_fetched'";
    assert_eq!(app.count(fetched).await, 2, "of two that began; what goes on is no other download");
}

/// The bytes at an address: begun, broken off, and gone on with from there.
async fn pieces(url: &str, token: &str) -> Vec<u8> {
    let http = reqwest::Client::new();
    let mut begun = http.get(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(begun.status(), 200);
    assert!(
        begun.headers()[header::CONTENT_DISPOSITION]
            .to_str()
            .expect("ASCII")
            .starts_with("attachment; filename=\"darkroom-")
    );
    let tag = begun.headers()[header::ETAG].clone();
    let mut bytes = Vec::new();
    while bytes.len() < 1 << 20 {
        bytes.extend(begun.chunk().await.expect("a connection").expect("more"));
    }
    drop(begun);
    let from = format!("bytes={}-", bytes.len());
    let ask = |tag: &str| http.get(url).bearer_auth(token).header(header::RANGE, &from).header(header::IF_RANGE, tag);
    let whole = ask("\"another\"").send().await.expect("an answer");
    assert_eq!(whole.status(), 200, "of other bytes there is no rest");
    drop(whole);
    let rest = ask(tag.to_str().expect("ASCII")).send().await.expect("an answer");
    assert_eq!(rest.status(), 206);
    bytes.extend(rest.bytes().await.expect("the rest"));
    bytes
}
