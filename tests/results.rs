//! What a model says of an image: taken, or refused for good; found in SQL without looking into documents.

use std::process::Command;
use std::time::{Duration, Instant};

use darkroom::domain::judged_schema::JudgedSchema;
use darkroom::maintenance;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use crate::kit::process::DARKROOM;

/// A worker that has claimed so many jobs of `ines`, each of a photograph of its own.
async fn claimed(app: &TestApp, count: u64) -> (Client, Worker, Vec<Value>) {
    let (ines, worker) = (app.investigator("ines").await, app.worker("detect").await);
    let files: Vec<(String, Vec<u8>)> = (1..=count).map(|n| (format!("{n}.png"), photo(n))).collect();
    let named: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    ines.submit(&named, &["detect"]).await;
    let jobs = worker.claim(count as usize).await;
    (ines, worker, jobs)
}

fn items(items: Value) -> Value {
    json!({"outcome": "succeeded", "result": {"items": items, "fields": {}, "summary": null}})
}

async fn complete(worker: &Worker, jobs: &[Value], results: &[Value]) -> Vec<Value> {
    let item = |(job, result): (&Value, &Value)| json!({"id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": result});
    let items: Vec<Value> = jobs.iter().zip(results).map(item).collect();
    let answer = worker.key.post("/jobs/complete", json!({"worker": worker.id, "items": items})).await.ok(200);
    answer["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn every_kind_of_item_is_kept_as_it_was_written() {
    let app = TestApp::new().await;
    let kinds = [
        json!({"type": "box", "box": [0, 0.25, 0.5, 1], "label": "face", "score": 0.9, "attrs": {"blurred": true}}),
        json!({"type": "label", "label": "cat", "score": null}),
        json!({"type": "text", "text": "JINLI\nSTREET", "score": 0.998, "polygon": [[0.8, 0.1], [0.9, 0.1], [0.9, 0.2]]}),
        json!({"type": "embedding", "space": "dlib", "dim": 2, "values": [0.5, -3], "box": [0, 0, 1, 1]}),
        json!({"type": "hash", "algo": "phash64", "value": "a0fd6ec4373284c7"}),
        json!({"type": "points", "points": [[0.5, 0.5]], "label": "eyes"}),
        json!({"type": "file", "name": "../mask.png", "media_type": "image/png", "artifact": "x"}),
        json!({"type": "mesh", "box": "round", "score": "high", "unit": "px"}),
    ];
    let (ines, worker, jobs) = claimed(&app, 1).await;
    assert_eq!(worker.complete(&jobs[0], items(json!(kinds))).await["status"], 200);
    let seen = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(seen["results"]["detect"]["items"], json!(kinds));
    app.write_down_items().await;
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT jsonb_build_array(md5, model, version, place, kind, label, score, text) FROM audit_items ORDER BY place",
    )
    .fetch_all(&app.outside)
    .await
    .expect("rows");
    let row =
        |place, kind, label, score, text| json!([md5_of(&photo(1)), "detect", "v1", place, kind, label, score, text]);
    let expected = [
        row(0, "box", json!("face"), json!(0.9), Value::Null),
        row(1, "label", json!("cat"), Value::Null, Value::Null),
        row(2, "text", Value::Null, json!(0.998), json!("JINLI\nSTREET")),
        row(4, "hash", json!("phash64"), Value::Null, json!("a0fd6ec4373284c7")),
        row(5, "points", json!("eyes"), Value::Null, Value::Null),
    ];
    assert_eq!(rows, expected, "embeddings, files and what is not known are in the document alone");
}

#[tokio::test]
async fn a_result_that_does_not_hold_ends_its_job_and_no_other() {
    let app = TestApp::new().await;
    let bad = [
        (json!([{"type": "label", "label": "a"}, {"type": "box", "box": [0.5, 0, 0.5, 1]}]), "/items/1/box"),
        (json!([{"type": "box", "box": [0, 0, 1, 1], "score": 97.5}]), "/items/0/score"),
        (json!([{"type": "box", "box": [0, 0, 41, 1], "unit": "px"}]), "/items/0/box"),
        (json!([{"type": "label", "label": "x".repeat(201)}]), "/items/0/label"),
        (json!([{"type": "embedding", "space": "s", "values": vec![0; 4097]}]), "/items/0/values"),
        (json!([{"type": "points", "points": [[0.1]]}]), "/items/0/points"),
        (json!([{"type": "hash", "value": "00"}]), "/items/0/algo"),
        (json!([{"type": "file"}]), "/items/0/name"),
        (json!([{"type": "text"}]), "/items/0/text"),
    ];
    let count = bad.len();
    let (ines, worker, jobs) = claimed(&app, count as u64 + 1).await;
    let good = json!({"fields": {"n": 1}});
    let results: Vec<Value> = bad.iter().map(|(items, _)| json!({"items": items})).chain([good]).collect();
    // Said twice, as after a lost answer.
    for round in ["at first", "again"] {
        let answers = complete(&worker, &jobs, &results).await;
        for (n, (_, pointer)) in bad.iter().enumerate() {
            let told =
                (&answers[n]["status"], &answers[n]["problem"]["code"], &answers[n]["problem"]["errors"][0]["pointer"]);
            let pointer = format!("/items/{n}/result{pointer}");
            assert_eq!(told, (&json!(422), &json!("invalid_result"), &json!(pointer)), "{round}: {}", answers[n]);
        }
        assert_eq!((&answers[count]["status"], &answers[count]["repeat"]), (&json!(200), &json!(round == "again")));
    }
    for (job, (_, pointer)) in jobs.iter().zip(&bad) {
        let id = job["id"].as_str().expect("an id");
        let told = ines.get(&format!("/jobs/{id}")).await.ok(200);
        assert_eq!((&told["state"], &told["reason"]), (&json!("failed"), &json!("rejected")), "{told}");
        let attempt = &told["attempts"][0];
        assert_eq!((&attempt["outcome"], &attempt["error_type"]), (&json!("rejected"), &json!("InvalidResult")));
        assert!(attempt["error_message"].as_str().is_some_and(|message| message.starts_with(pointer)), "{attempt}");
    }
    assert_eq!(app.count("SELECT count(*) FROM job").await, 0, "none is tried again");
    app.write_down_items().await;
    assert_eq!(app.count("SELECT count(*) FROM item").await, 1);
    // Whose lease it is not is told so, whatever the result.
    let stale = json!({"id": Uuid::new_v4(), "lease_no": 1});
    assert_eq!(worker.complete(&stale, items(json!([{"type": "file"}]))).await["problem"]["code"], "stale_lease");
    let other = Worker::register(worker.key.clone(), "detect", "v1").await;
    assert_eq!(other.complete(&jobs[0], items(bad[0].0.clone())).await["problem"]["code"], "stale_lease");
}

#[tokio::test]
async fn pixels_are_those_of_the_upright_photograph() {
    let app = TestApp::new().await;
    let (ines, worker) = (app.investigator("ines").await, app.worker("detect").await);
    let lying = turned(40, 20, 6);
    ines.submit(&[("a.jpg", lying.clone())], &["detect"]).await;
    let job = worker.claim(1).await.remove(0);
    assert_eq!(job["image"]["orientation"], 6, "{job}");
    let said = json!([
        {"type": "box", "box": [5, 10, 10, 40], "unit": "px", "label": "face"},
        {"type": "text", "text": "a", "polygon": [[0, 0], [20, 0], [20, 40]], "unit": "px"},
        {"type": "points", "points": [[10, 10]], "unit": "px"},
        {"type": "box", "box": [0.5, 0.5, 1, 1]}
    ]);
    assert_eq!(worker.complete(&job, items(said.clone())).await["status"], 200);
    let seen = ines.get(&format!("/predict/{}", md5_of(&lying))).await.ok(200);
    let expected = json!([
        {"type": "box", "box": [0.25, 0.25, 0.5, 1.0], "label": "face"},
        {"type": "text", "text": "a", "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]},
        {"type": "points", "points": [[0.5, 0.25]]},
        {"type": "box", "box": [0.5, 0.5, 1, 1]}
    ]);
    assert_eq!(seen["results"]["detect"]["items"], expected);
    let again = worker.complete(&job, items(said)).await;
    assert_eq!((&again["status"], &again["repeat"]), (&json!(200), &json!(true)));
}

#[tokio::test]
async fn what_is_written_down_is_replaced_and_goes_with_its_result() {
    let app = TestApp::with(|s| (s.keep_results_days, s.keep_images_days) = (Some(30), Some(60))).await;
    let (ines, worker, jobs) = claimed(&app, 2).await;
    let said = |label: &str| items(json!([{"type": "label", "label": label}, {"type": "box", "box": [0, 0, 1, 1]}]));
    for job in &jobs {
        worker.complete(job, said("cat")).await;
    }
    app.write_down_items().await;
    let form = Form::default().file("1.png", &photo(1)).text("models", "detect").text("rerun", "true");
    ines.upload(form).await.ok(202);
    worker.complete(&worker.claim(1).await[0], items(json!([{"type": "label", "label": "dog"}]))).await;
    app.write_down_items().await;
    let labels =
        "SELECT coalesce(string_agg(label || ' ' || place, ',' ORDER BY label), '') FROM item WHERE label IS NOT NULL";
    let written = async || sqlx::query_scalar::<_, String>(labels).fetch_one(&app.outside).await.expect("labels");
    assert_eq!((written().await.as_str(), app.count("SELECT count(*) FROM item").await), ("cat 0,dog 0", 3));
    app.alter(
        "UPDATE outcome SET finished_at = finished_at - interval '31 days'
         WHERE image_id = (SELECT image_id FROM item WHERE label = 'dog')",
    )
    .await;
    maintenance::remove_old(&app.ctx).await.expect("a tick");
    assert_eq!((written().await.as_str(), app.count("SELECT count(*) FROM item").await), ("cat 0", 2));
    app.alter(
        "UPDATE image SET created_at = created_at - interval '99 days'; UPDATE upload SET at = at - interval '99 days'",
    )
    .await;
    maintenance::remove_old(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM item").await, 0);
}

#[tokio::test]
async fn no_result_is_passed_over_that_is_committed_late() {
    let app = TestApp::new().await;
    let (_, worker, jobs) = claimed(&app, 2).await;
    let said = items(json!([{"type": "label", "label": "cat"}]));
    worker.complete(&jobs[0], said.clone()).await;
    app.write_down_items().await;
    app.alter("DELETE FROM item").await;
    // As if that were written again, and not committed before the next.
    let mut outside = app.outside.acquire().await.expect("a connection");
    let mut late = outside.begin().await.expect("a transaction");
    sqlx::query("UPDATE outcome SET written = pg_current_xact_id()").execute(&mut *late).await.expect("an update");
    worker.complete(&jobs[1], said).await;
    for _ in 0..3 {
        assert_eq!(app.ctx.items.write_down(&app.ctx.chores).await.expect("a tick"), 0);
    }
    late.commit().await.expect("a commit");
    app.write_down_items().await;
    assert_eq!(app.count("SELECT count(*) FROM item").await, 2);
    // Transactions count anew where the database was restored into another server.
    app.alter("DELETE FROM item; UPDATE setting SET value = '9000000000000' WHERE name = 'items_from'").await;
    app.ctx.items.write_down(&app.ctx.chores).await.expect("a tick");
    app.write_down_items().await;
    assert_eq!(app.count("SELECT count(*) FROM item").await, 2);
}

#[tokio::test]
async fn a_model_is_known_by_the_labels_that_it_gave() {
    let app = TestApp::new().await;
    let (ines, worker, jobs) = claimed(&app, 3).await;
    let about = json!({"service": "predict", "model": "detect", "version": "v1", "instance": Uuid::new_v4(), "labels": ["tree", "cat"]});
    worker.key.post("/workers/register", about).await.ok(201);
    let labels = async || ines.get("/models/detect").await.ok(200)["labels"].clone();
    assert_eq!(labels().await, json!(["tree", "cat"]));
    let label = |label: &str| json!({"type": "label", "label": label});
    let said = [
        json!({"items": [label("zebra"), label("cat"), {"type": "hash", "algo": "phash64", "value": "00"}], "fields": {"n": 1}}),
        json!({"items": [{"type": "box", "box": [0, 0, 1, 1], "label": "ant"}, label("zebra")]}),
        json!({"items": [{"type": "box", "box": [0, 0, 2, 1], "label": "refused"}]}),
    ];
    complete(&worker, &jobs, &said).await;
    app.write_down_items().await;
    assert_eq!(labels().await, json!(["tree", "cat", "ant", "zebra"]));
    assert_eq!(ines.get("/models").await.ok(200)["items"][0]["labels"], labels().await);
    // A list for people to choose from: no model fills it without end.
    app.alter("INSERT INTO seen_label (queue_id, label) SELECT queue_id, 'n' || n FROM seen_label, generate_series(1, 2000) AS n WHERE label = 'ant'").await;
    app.admin().await;
    let other = app.replica().await;
    let key = other.key_of(&other.log_in("root", crate::kit::app::PASSWORD).await, "predict", &["detect"]).await;
    let another = Worker::register(key, "detect", "v1").await;
    ines.submit(&[("4.png", photo(4))], &["detect"]).await;
    another.complete(&another.claim(1).await[0], items(json!([label("one too many")]))).await;
    other.write_down_items().await;
    assert_eq!(app.count("SELECT count(*) FROM seen_label WHERE label = 'one too many'").await, 0);
}

#[tokio::test]
async fn a_version_may_ask_more_of_its_results() {
    let app = TestApp::new().await;
    let (ines, key) = (app.investigator("ines").await, app.key("predict", &["*"]).await);
    let schema = json!({"properties": {"items": {"maxItems": 0}, "fields": {"required": ["faces"], "properties": {"faces": {"type": "integer"}}}}});
    let about = |schema: &Value| json!({"service": "predict", "model": "count", "version": "v1", "instance": Uuid::new_v4(), "result_schema": schema});
    for (bad, pointer) in [
        (json!({"properties": {"items": {"contains": {}}}}), "/result_schema/properties/items/contains"),
        (json!({"$ref": "https://example.org/s"}), "/result_schema/$ref"),
        (json!({"type": "text"}), "/result_schema/type"),
    ] {
        let problem = key.post("/workers/register", about(&bad)).await.problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let id =
        key.post("/workers/register", about(&schema)).await.ok(201)["worker"].as_str().expect("a worker").to_owned();
    assert_eq!(ines.get("/models/count").await.ok(200)["result_schema"], schema);
    let worker = Worker { key, id };
    let files = [("1.png", photo(1)), ("2.png", photo(2)), ("3.png", photo(3))];
    ines.submit(&files, &["count"]).await;
    let jobs = worker.claim(3).await;
    let said = [
        json!({"fields": {"faces": 2}}),
        json!({"fields": {"faces": "2"}}),
        json!({"items": [{"type": "label", "label": "a"}]}),
    ];
    for _ in 0..2 {
        let answers = complete(&worker, &jobs, &said).await;
        assert_eq!(answers[0]["status"], 200, "{answers:?}");
        for (answer, pointer) in answers[1..].iter().zip(["/items/1/result/fields/faces", "/items/2/result/fields"]) {
            assert_eq!(
                (&answer["problem"]["code"], &answer["problem"]["errors"][0]["pointer"]),
                (&json!("invalid_result"), &json!(pointer))
            );
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM job_archive WHERE reason = 'rejected'").await, 2);
}

#[tokio::test]
async fn a_large_result_is_judged_beside_everything_else() {
    let app = TestApp::new().await;
    let (ines, key) = (app.investigator("ines").await, app.key("predict", &["*"]).await);
    let parts: Vec<Value> = (0..400).map(|n| json!({ "minimum": -n })).collect();
    let schema = json!({"properties": {"fields": {"properties": {"values": {"items": {"allOf": parts}}}}}});
    let about = json!({"service": "predict", "model": "count", "version": "v1", "instance": Uuid::new_v4(), "result_schema": schema});
    let id = key.post("/workers/register", about).await.ok(201)["worker"].as_str().expect("a worker").to_owned();
    let worker = Worker { key, id };
    ines.submit(&[("1.png", photo(1))], &["count"]).await;
    let jobs = worker.claim(1).await;
    let results = [json!({"fields": {"values": vec![1; 20_000]}})];
    let ready = JudgedSchema::for_results(schema).expect("a schema");
    let begun = Instant::now();
    ready.check_result(&results[0].to_string()).expect("a good result");
    let takes = begun.elapsed();
    // Meanwhile this one thread, which serves all else, goes on.
    let mut longest = Duration::ZERO;
    let ticking = async {
        loop {
            let slept = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(slept.elapsed());
        }
    };
    tokio::select! {
        answers = complete(&worker, &jobs, &results) => assert_eq!(answers[0]["status"], 200, "{answers:?}"),
        () = ticking => unreachable!("it ticks without end"),
    }
    assert!(longest < takes / 2, "to judge it takes {takes:?}, and nothing was done for {longest:?}");
}

/// A JPEG of these dimensions as it is stored, which EXIF asks to be turned: 6 is a photograph taken upright.
pub fn turned(width: u16, height: u16, orientation: u8) -> Vec<u8> {
    let mut file = b"\xFF\xD8\xFF\xE1\0\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    file.extend([orientation, 0, 0, 0, 0, 0, 0, 0xFF, 0xC0, 0, 11, 8]);
    file.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    file.extend([1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 1, 2, 0xFF, 0xD9]);
    file
}

#[tokio::test]
async fn a_result_that_cannot_be_written_down_is_passed_over() {
    let app = TestApp::new().await;
    let (_, worker, jobs) = claimed(&app, 3).await;
    let label = |label: &str| json!({"items": [{"type": "label", "label": label}]});
    let results = [label("cat"), label("poison"), label("dog")];
    assert!(complete(&worker, &jobs, &results).await.iter().all(|item| item["status"] == 200));
    app.alter("ALTER TABLE item ADD CONSTRAINT no_poison CHECK (label <> 'poison')").await;
    app.write_down_items().await;
    let labels: Vec<String> =
        sqlx::query_scalar("SELECT label FROM audit_items ORDER BY label").fetch_all(&app.outside).await.expect("rows");
    assert_eq!(labels, ["cat", "dog"]);
    assert!(app.ctx.items.lag(&app.ctx.db).await.expect("a lag") < f64::EPSILON, "nothing is left behind it");
    // Transactions that brought none are not looked at for ever.
    let from = "SELECT value::bigint FROM setting WHERE name = 'items_from'";
    let before = app.count(from).await;
    let many = "DO $$ BEGIN FOR n IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    sqlx::raw_sql(many).execute(&app.outside).await.expect("transactions");
    until("them to be passed over", async || {
        app.ctx.items.write_down(&app.ctx.chores).await.expect("a look");
        app.count(from).await > before + 1_000
    })
    .await;
}

/// What the health of the installation is, by the command.
fn doctor(app: &TestApp) -> String {
    let environment = [
        ("DATABASE_URL", app.settings.database.database_url.0.as_str()),
        ("REDIS_URL", app.settings.redis_url.0.as_str()),
        ("DARKROOM_DATA", app.settings.data.to_str().expect("a path")),
    ];
    let found = Command::new(DARKROOM).arg("doctor").envs(environment).output().expect("the command");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[tokio::test]
async fn results_that_searches_miss_for_long_are_told() {
    let app = TestApp::new().await;
    let (_, worker, jobs) = claimed(&app, 1).await;
    // Whatever it is about: what is committed behind it may not be all that there is.
    let mut open = crate::races::beside(&app).await;
    let mut tx = open.begin().await.expect("a transaction");
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *tx).await.expect("an id");
    worker.succeed(&jobs[0]).await;
    app.alter("UPDATE outcome SET finished_at = finished_at - interval '1 h'").await;
    assert_eq!(app.ctx.items.write_down(&app.ctx.chores).await.expect("a look"), 0);
    let house = app.keep_house();
    let nobody = app.nobody();
    until("the metric", async || {
        let text = String::from_utf8(nobody.get("/metrics").await.bytes).expect("text");
        let lag = text.lines().find_map(|line| line.strip_prefix("darkroom_items_lag_seconds "));
        lag.is_some_and(|lag| lag.parse::<f64>().is_ok_and(|lag| (3600.0..4000.0).contains(&lag)))
    })
    .await;
    drop(house);
    let said = doctor(&app);
    assert!(said.contains("warn  searches miss the results of the last 36"), "{said}");
    tx.rollback().await.expect("the end");
    app.write_down_items().await;
    let said = doctor(&app);
    assert!(said.contains("ok    searches find what results say"), "{said}");
}
