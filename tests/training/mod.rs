//! Datasets are trained on: runs, what they measure, and their files.

mod bad; // what is refused, and leaves nothing
mod commands; // what people do with them at a terminal
mod datasets; // paused, retired, how often their runs are tried
mod fence; // who writes what, under which lease
mod files; // metrics, checkpoints, models, promotion
mod kept; // how long ended ones are, with their files
mod runs; // started, claimed, ended, tried again

use axum::body::Body;
use axum::http::Request;
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use sha2::Digest;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::{Answer, Client};

/// A training service in a test: registers, claims and completes as other workers do.
pub struct Trainer {
    pub worker: Worker,
}

impl Trainer {
    /// One with a key of its own.
    pub async fn new(app: &TestApp, dataset: &str) -> Self {
        Self::with_key(app.key("train", &[dataset]).await, dataset, Value::Null).await
    }

    pub async fn with_key(key: Client, dataset: &str, params_schema: Value) -> Self {
        let body = json!({"service": "train", "dataset": dataset, "version": "t1", "instance": Uuid::new_v4(),
                          "description": "digits", "params_schema": params_schema});
        let told = key.post("/workers/register", body).await.ok(201);
        assert_eq!(
            (&told["service"], &told["dataset"], &told["model"]),
            (&json!("train"), &json!(dataset), &json!(null))
        );
        Self { worker: Worker { key, id: told["worker"].as_str().expect("a worker").to_owned() } }
    }

    /// Claims the next run; nothing where there is none to be had.
    pub async fn claim(&self) -> Option<Value> {
        self.worker.claim(1).await.pop()
    }

    /// The next run, which is there.
    pub async fn next(&self) -> Value {
        self.claim().await.expect("a run")
    }

    pub async fn succeed(&self, run: &Value, result: Value) -> Value {
        self.worker.complete(run, json!({"outcome": "succeeded", "result": result, "duration_s": 1.5})).await
    }

    /// Sends what was measured.
    pub async fn measure(&self, run: &Value, points: Value) -> Answer {
        let body = json!({"worker": self.worker.id, "lease_no": run["lease_no"], "points": points});
        self.worker.key.post(run["run"]["metrics_url"].as_str().expect("a url"), body).await
    }

    /// Uploads a file, with more of the query.
    pub async fn put(&self, run: &Value, what: &str, more: &str, bytes: impl Into<Body>) -> Answer {
        let url = run["run"][format!("{what}_url")].as_str().expect("a url");
        let path = format!("{url}?worker={}&lease_no={}{more}", self.worker.id, run["lease_no"]);
        self.worker.key.send(Request::put(path).body(bytes.into()).expect("a request")).await
    }
}

pub async fn researcher(app: &TestApp, name: &str) -> Client {
    app.user(name, &[Role::Researcher]).await
}

/// Starts a run; answers its id.
pub async fn start(who: &Client, params: Value) -> String {
    let mut body = json!({"dataset": "digits"});
    body.as_object_mut().expect("an object").extend(params.as_object().expect("an object").clone());
    who.post("/training/train", body).await.ok(202)["id"].as_str().expect("an id").to_owned()
}

pub async fn shown(who: &Client, run: &str) -> Value {
    who.get(&format!("/training/results/{run}")).await.ok(200)
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}
