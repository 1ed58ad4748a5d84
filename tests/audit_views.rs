//! The audit's views tell one small history in full, every transition and act of it: `audit_views.json` holds their columns
//! and what they answer.

use std::collections::HashMap;

use darkroom::maintenance;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

const TOLD: &str = "tests/audit_views.json";
const PHOTOS: u64 = 16;
const PAST_DEADLINE: &str = "UPDATE claim SET deadline_at = clock_timestamp() - interval '1 s' WHERE open > 0";
const PAST_FINISH: &str = "UPDATE job SET finish_by = clock_timestamp() WHERE state = 'queued'";

/// Who acts, and the names that ids are told by.
struct Story {
    app: TestApp,
    admin: Client,
    ines: Client,
    jo: Client,
    key: Client,
    names: HashMap<String, String>,
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::new().await;
        let admin = app.admin().await;
        let (ines, jo) = (app.investigator("ines").await, app.investigator("jo").await);
        let key = app.key_of(&admin, "predict", &["ocr"]).await;
        Self { app, admin, ines, jo, key, names: HashMap::new() }
    }

    async fn worker(&mut self, name: &str, version: &str) -> Worker {
        let worker = Worker::register(self.key.clone(), "ocr", version).await;
        self.names.insert(worker.id.clone(), name.to_owned());
        worker
    }

    /// Its photograph is the only job that may be claimed.
    async fn claimed(&self, photograph: u64, worker: &Worker) -> Value {
        self.ines.submit(&[("a.png", photo(photograph))], &["ocr"]).await;
        self.next(worker).await
    }

    async fn next(&self, worker: &Worker) -> Value {
        maintenance::due_pass(&self.app.ctx).await.expect("a pass");
        worker.claim(1).await.remove(0)
    }

    async fn die(&self, worker: &Worker) {
        sqlx::query("UPDATE worker_session SET alive_until = clock_timestamp() - interval '1 min' WHERE id = $1::uuid")
            .bind(&worker.id)
            .execute(self.app.ctx.db.pool())
            .await
            .expect("an update");
        self.tick().await;
    }

    async fn tick(&self) {
        maintenance::rescue(&self.app.ctx).await.expect("a tick");
    }

    async fn post(&self, who: &Client, job: &Value, act: &str) -> Value {
        who.post(&format!("/jobs/{}/{act}", job["id"].as_str().expect("an id")), Value::Null).await.json()
    }
}

fn failure() -> Value {
    json!({"outcome": "retry", "error": {"type": "OSError", "message": "not now"}})
}

async fn release(worker: &Worker, job: &Value) {
    let body = json!({"worker": worker.id, "items": [{"id": job["id"], "lease_no": job["lease_no"]}]});
    worker.key.post("/jobs/release", body).await.ok(200);
}

/// What happens, one thing after the other.
async fn tell() -> Story {
    let mut s = Story::begin().await;
    let first = s.worker("the first worker", "v1").await;
    s.app.sweep().await;
    s.tick().await;
    s.admin.patch("/models/ocr", json!({"backoff_base_s": 0, "max_attempts": 2})).await.ok(200);
    workers_speak(&s, &first).await;
    people_speak(&s, &first).await;
    workers_die(&mut s, &first).await;
    // At the end one leaves with a job, which another then runs, beside one that waits.
    s.claimed(14, &first).await;
    first.key.delete(&format!("/workers/{}", first.id)).await.ok(204);
    let last = s.worker("the last worker", "v2").await;
    s.next(&last).await;
    s.ines.submit(&[("a.png", photo(15))], &["ocr"]).await;
    let idle = s.admin.post("/auth/key", json!({"service": "train", "models": ["*"]})).await.ok(201);
    s.admin.delete(&format!("/auth/key/{}", idle["id"].as_str().expect("an id"))).await.ok(204);
    s
}

async fn workers_speak(s: &Story, first: &Worker) {
    first.succeed(&s.claimed(1, first).await).await;
    s.ines.submit(&[("a.png", photo(2))], &["ocr"]).await;
    s.jo.submit(&[("b.png", photo(2))], &["ocr"]).await;
    first.complete(&s.next(first).await, failure()).await;
    first.succeed(&s.next(first).await).await;
    first.complete(&s.claimed(3, first).await, json!({"outcome": "rejected", "error": {"type": "ValueError"}})).await;
    release(first, &s.claimed(4, first).await).await;
    first.complete(&s.next(first).await, failure()).await;
    first.complete(&s.next(first).await, failure()).await;
    s.ines.submit(&[("a.png", photo(5))], &["ocr"]).await;
    let claim = Uuid::new_v4();
    first.claim_as(claim, 1, 0.0).await;
    first.succeed(&first.claim_as(claim, 1, 0.0).await[0]).await;
    s.ines.submit(&[("a.png", photo(6))], &["ocr"]).await;
    let claim = Uuid::new_v4();
    first.claim_as(claim, 1, 0.0).await;
    first.claim_as(claim, 1, 0.0).await;
    release(first, &first.claim_as(claim, 1, 0.0).await[0]).await;
    first.succeed(&s.next(first).await).await;
}

async fn people_speak(s: &Story, first: &Worker) {
    s.ines.submit(&[("a.png", photo(7))], &["ocr"]).await;
    s.jo.submit(&[("a.png", photo(7))], &["ocr"]).await;
    let queued = s.admin.get("/jobs?state=queued").await.ok(200)["items"][0].clone();
    s.post(&s.ines, &queued, "cancel").await;
    s.post(&s.jo, &queued, "cancel").await;
    s.post(&s.admin, &s.claimed(8, first).await, "cancel").await;
    // A failure is tried again, and a success made again.
    let failed = format!("/jobs?state=failed&md5={}", md5_of(&photo(3)));
    let rejected = s.admin.get(&failed).await.ok(200)["items"][0].clone();
    s.post(&s.ines, &rejected, "retry").await;
    first.succeed(&s.next(first).await).await;
    s.ines.upload(Form::default().file("a.png", &photo(1)).text("models", "ocr").text("rerun", "true")).await.ok(202);
    first.succeed(&s.next(first).await).await;
    s.jo.submit(&[("c.png", photo(1))], &["ocr"]).await;
    s.ines.submit(&[("a.png", photo(11))], &["ocr"]).await;
    s.app.alter(PAST_FINISH).await;
    maintenance::due_pass(&s.app.ctx).await.expect("a pass");
}

async fn workers_die(s: &mut Story, first: &Worker) {
    let second = s.worker("the second worker", "v1").await;
    s.claimed(9, &second).await;
    s.die(&second).await;
    first.succeed(&s.next(first).await).await;
    s.claimed(10, first).await;
    s.app.alter(PAST_DEADLINE).await;
    s.tick().await;
    first.succeed(&s.next(first).await).await;
    s.ines.submit(&[("a.png", photo(12))], &["ocr"]).await;
    for death in ["beside others", "alone", "alone again", "alone for the third time"] {
        let doomed = s.worker(&format!("the worker that died {death}"), "v1").await;
        s.next(&doomed).await;
        s.die(&doomed).await;
    }
}

/// The rows of a view as JSON, in an order.
async fn rows(app: &TestApp, sql: &'static str) -> Vec<Value> {
    sqlx::query_scalar(sql).fetch_all(&app.outside).await.expect("rows")
}

/// Puts names in place of ids, and takes times away.
fn named(value: Value, names: &HashMap<String, String>) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let time = (name == "at" || name.ends_with("_at") || name == "finish_by") && !value.is_null();
                    let value = if time { json!("a time") } else { named(value, names) };
                    (name, value)
                })
                .collect(),
        ),
        Value::String(text) => json!(names.get(&text).cloned().unwrap_or(text)),
        other => other,
    }
}

/// What the views tell: their columns, and their rows; events in their order, those of a job by themselves.
async fn views(s: &mut Story) -> Value {
    s.app.ctx.acts.write().await.expect("housekeeping");
    let app = &s.app;
    let columns = "SELECT to_jsonb(c) FROM (
        SELECT table_name AS view, jsonb_agg(jsonb_build_array(column_name, data_type) ORDER BY ordinal_position) AS columns
        FROM information_schema.columns WHERE table_name LIKE 'audit\\_%' GROUP BY 1 ORDER BY 1) AS c";
    let columns = rows(app, columns).await;
    let mut names = s.names.clone();
    for n in 1..PHOTOS {
        names.insert(md5_of(&photo(n)), format!("photograph {n}"));
    }
    let ids = "SELECT to_jsonb(n) FROM (
        SELECT id::text, 'account ' || name AS name FROM account UNION ALL
        SELECT id, 'key ' || row_number() OVER (ORDER BY created_at) FROM api_key UNION ALL
        SELECT id::text, 'submission ' || row_number() OVER (ORDER BY id) FROM submission) AS n";
    for row in rows(app, ids).await {
        names.insert(row["id"].as_str().expect("an id").to_owned(), row["name"].as_str().expect("a name").to_owned());
    }
    let jobs = rows(app, "SELECT to_jsonb(v) FROM audit_jobs AS v ORDER BY v.md5, v.id").await;
    for job in &jobs {
        let photograph = names[job["md5"].as_str().expect("an image")].clone();
        let before = names.values().filter(|name| name.starts_with(&format!("job of {photograph},"))).count();
        names.insert(job["id"].as_str().expect("an id").to_owned(), format!("job of {photograph}, {}", before + 1));
    }
    let mut told: std::collections::BTreeMap<String, Vec<Value>> = Default::default();
    for mut event in rows(app, "SELECT to_jsonb(v) FROM audit_events AS v ORDER BY v.id").await {
        event.as_object_mut().expect("a row").remove("id");
        let event = named(event, &names);
        told.entry(event["job_id"].as_str().unwrap_or("of no job").to_owned()).or_default().push(event);
    }
    let mut jobs: Vec<Value> = jobs.into_iter().map(|job| named(job, &names)).collect();
    jobs.sort_by_key(|job| job["id"].as_str().map(str::to_owned));
    let keys = rows(app, "SELECT to_jsonb(v) FROM audit_keys AS v ORDER BY v.created_at").await;
    let keys: Vec<Value> = keys.into_iter().map(|key| named(key, &names)).collect();
    json!({ "columns": columns, "jobs": jobs, "events": told, "keys": keys })
}

#[tokio::test]
async fn the_audit_views_tell_a_small_history_in_full() {
    let mut story = tell().await;
    let views = views(&mut story).await;
    let told: Value = serde_json::from_str(&std::fs::read_to_string(TOLD).expect(TOLD)).expect("JSON");
    let mut wrong = Vec::new();
    differences("", &told, &views, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where two documents differ.
fn differences(path: &str, told: &Value, now: &Value, wrong: &mut Vec<String>) {
    match (told, now) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                differences(&format!("{path}/{name}"), &told[name], &now[name], wrong);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{n}"), a, b, wrong);
            }
        }
        _ if told == now => {}
        _ => wrong.push(format!("{path}: was {told}, is {now}")),
    }
}
