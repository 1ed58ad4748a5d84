//! What is taken away of cases: by whom, in which form, and what becomes of it.

mod acts;
mod graphs;
mod tables;
mod very_large;
mod whole;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::md5_of;
use crate::kit::pictures::{jpeg, quarters, text};

/// Names that no path, table or page may take for anything else.
pub const NAMES: [&str; 4] =
    ["../../etc/passwd.jpg", "=cmd|' /C calc'!A0.jpg", "\u{1F4F7} <b>'a'; DROP TABLE</b> café.jpg", "plain.jpg"];

/// A case with four photographs, of which models have said all that they can say.
pub struct Pier {
    pub app: TestApp,
    pub owner: Client,
    pub viewer: Client,
    pub stranger: Client,
    pub case: String,
    pub photos: Vec<Vec<u8>>,
    pub ocr: Worker,
}

/// A photograph on its side, 30 wide and 40 high as people see it.
fn on_its_side(salt: u8) -> Vec<u8> {
    let stored = crate::kit::pictures::stored(quarters(30, 40, salt), 6);
    let exif = vec![
        (exif::Tag::Orientation, exif::Value::Short(vec![6])),
        (exif::Tag::Model, text("=Camera, \"X\"")),
        (exif::Tag::DateTimeOriginal, text("2026:08:01 18:30:00")),
    ];
    jpeg(&stored, exif)
}

impl Pier {
    pub async fn new() -> Self {
        let app = TestApp::new().await;
        let (ocr, detect) = (app.worker("ocr").await, app.worker("detect").await);
        let [owner, viewer, stranger] =
            [app.investigator("olga").await, app.investigator("vi").await, app.investigator("ivo").await];
        let made = owner.post("/cases", json!({"name": "Pier \"4\"", "description": "21 November"})).await.ok(201);
        let case = made["id"].as_str().expect("an id").to_owned();
        owner.put(&format!("/cases/{case}/members/vi"), json!({"role": "viewer"})).await.ok(200);
        let photos: Vec<Vec<u8>> = (1..=4).map(on_its_side).collect();
        for (name, photo) in NAMES.iter().zip(&photos) {
            let form = Form::default().file(name, photo).text("case", &case).text("models", "ocr,detect");
            owner.upload(form.text("params", r#"{"ocr":{"language":"nl"}}"#)).await.ok(202);
        }
        app.derive().await;
        let pier = Self { app, owner, viewer, stranger, case, photos, ocr };
        pier.say(&detect).await;
        pier.annotate().await;
        pier
    }

    /// The models answer: the first photograph everything, the second a text that is a formula, the third nothing; of the last, one fails.
    async fn say(&self, detect: &Worker) {
        let all = json!({"items": [
            {"type": "box", "label": "person", "score": 0.9, "box": [0.1, 0.2, 0.5, 0.6]},
            {"type": "box", "label": "=car", "score": 0.25, "box": [0.0, 0.0, 1.0, 1.0],
             "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]},
            {"type": "label", "label": "outdoors", "score": 0.7},
            {"type": "points", "label": "face", "points": [[0.1, 0.1], [0.3, 0.2]]},
            {"type": "hash", "algo": "phash", "value": "a0fd6ec4373284c7"},
            {"type": "own-kind", "box": [10, 20, 30, 40], "unit": "px", "label": "?", "anything": {"goes": [1, 2]}}],
            "fields": {"faces": 1, "side": "left"}, "summary": "one person"});
        let texts =
            json!({"items": [{"type": "text", "text": "+31 6 1234", "box": [0.5, 0.5, 0.75, 0.75], "score": 1.0}]});
        for (worker, answers) in
            [(detect, [all, json!({}), json!({})]), (&self.ocr, [json!({"items": []}), texts, json!({})])]
        {
            let mut jobs = worker.claim(8).await;
            let place = |job: &Value| self.photos.iter().position(|photo| md5_of(photo) == job["image"]["md5"]);
            jobs.sort_by_key(place);
            assert_eq!(jobs.len(), 4);
            for (job, answer) in jobs.iter().zip(answers) {
                let done = worker.complete(job, json!({"outcome": "succeeded", "result": answer})).await;
                assert_eq!(done["status"], 200, "{done}");
            }
            let error = json!({"type": "=ValueError", "message": "no \"text\",\nhere"});
            worker.complete(&jobs[3], json!({"outcome": "rejected", "error": error})).await;
        }
    }

    async fn annotate(&self) {
        let path = |rest: &str| format!("/cases/{}/{rest}", self.case);
        let first = md5_of(&self.photos[0]);
        self.owner.post(&path("tags"), json!({"images": [first], "add": ["@night", "harbour"]})).await.ok(200);
        self.owner.post(&path("notes"), json!({"image": first, "text": "the same jacket\n=1+1"})).await.ok(201);
        self.owner.post(&path("notes"), json!({"text": "ask the harbour master"})).await.ok(201);
        self.app.write_down_items().await;
    }

    /// Asks for an export, has it made and fetches it.
    pub async fn export(&self, who: &Client, format: &str, q: &str) -> Vec<u8> {
        let made = self.ask(who, format, q).await;
        assert_eq!(self.app.export().await, 1);
        let path = path_of(&made);
        let done = who.get(&path).await.ok(200);
        assert_eq!((&done["state"], &done["error"]), (&json!("succeeded"), &Value::Null), "{done}");
        assert_eq!(done["images"], done["images_done"]);
        let content = who.get(&format!("{path}/content")).await;
        assert_eq!(content.status, 200);
        assert_eq!(done["bytes"], content.bytes.len());
        assert_eq!(done["sha256"], sha256_of(&content.bytes));
        content.bytes
    }

    pub async fn ask(&self, who: &Client, format: &str, q: &str) -> Value {
        who.post("/exports", json!({"case": self.case, "q": q, "format": format})).await.ok(201)
    }

    /// What the server holds of a photograph, for its owner.
    pub async fn record(&self, place: usize) -> Value {
        self.owner.get(&format!("/images/{}", md5_of(&self.photos[place]))).await.ok(200)
    }
}

pub fn path_of(export: &Value) -> String {
    format!("/exports/{}", export["id"].as_str().expect("an id"))
}

pub fn sha256_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// The events of a case by code and account, in order.
pub async fn told(outside: &PgPool, case: &str, codes: &[&str]) -> Vec<(String, Option<String>, Option<String>)> {
    sqlx::query_as(
        "SELECT code, account, reason FROM audit_events WHERE subject_id = $1 AND code = ANY($2) ORDER BY id",
    )
    .bind(case)
    .bind(codes)
    .fetch_all(outside)
    .await
    .expect("events")
}
