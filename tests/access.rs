//! Who may call what: every operation of the OpenAPI document, as everybody.

use axum::body::Body;
use axum::http::{Method, Request, header};
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, Worker};
use crate::kit::client::{Answer, Client};
use crate::kit::form::{self, Form};
use crate::kit::images::{md5_of, photo};
use crate::kit::pictures::picture;
use crate::training::{Trainer, start};

/// The columns of [`TABLE`]: nobody; the investigator who owns the image, job and submission; another
/// investigator; the researcher who owns the key and model; another researcher; an administrator without other
/// roles; the key that serves the model; a key for training.
const WHO: [&str; 8] =
    ["nobody", "owner", "stranger", "researcher", "other researcher", "admin", "predict key", "train key"];

/// The status that each gets, by operation.
const TABLE: &[(&str, [u16; 8])] = &[
    ("log_in", [200, 200, 200, 200, 200, 200, 200, 200]),
    ("log_out", [401, 204, 204, 204, 204, 204, 403, 403]),
    ("get_profile", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("create_user", [401, 403, 403, 403, 403, 201, 403, 403]),
    ("list_users", [401, 403, 403, 403, 403, 200, 403, 403]),
    ("update_user", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("create_key", [401, 403, 403, 201, 201, 201, 403, 403]),
    ("list_keys", [401, 403, 403, 200, 200, 200, 403, 403]),
    // The researcher's own column disables the keys of the last two.
    ("disable_own_keys", [401, 200, 200, 200, 200, 200, 401, 401]),
    ("disable_key", [401, 403, 403, 204, 404, 204, 403, 403]),
    ("submit_images", [401, 202, 202, 202, 403, 403, 403, 403]),
    ("get_prediction", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("list_statuses", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("list_submissions", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_submission", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("cancel_submission", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("list_images", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_image", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("get_image_changes", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("get_image_thumbnail", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("get_image_content", [401, 200, 404, 404, 404, 200, 200, 404]),
    // The case is the investigator's; the note on it, and the filter, too. The administrator is a member of nothing.
    ("create_case", [401, 201, 201, 201, 201, 201, 403, 403]),
    ("list_cases", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_case", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("update_case", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("delete_case", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("get_case_receipt", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("set_case_member", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("remove_case_member", [401, 204, 404, 404, 404, 204, 403, 403]),
    ("list_case_tags", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("change_case_tags", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("list_case_notes", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("add_case_note", [401, 201, 404, 404, 404, 201, 403, 403]),
    ("remove_case_note", [401, 204, 404, 404, 404, 204, 403, 403]),
    ("list_case_filters", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("save_case_filter", [401, 204, 404, 404, 404, 204, 403, 403]),
    ("remove_case_filter", [401, 204, 404, 404, 404, 204, 403, 403]),
    ("search_audit", [401, 403, 403, 403, 403, 200, 403, 403]),
    ("search_images", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("count_images", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("follow_events", [401, 200, 200, 200, 200, 200, 403, 403]),
    // The export is the investigator's, of that case.
    ("create_export", [401, 201, 404, 404, 404, 201, 403, 403]),
    ("list_exports", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_export", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("get_export_content", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("remove_export", [401, 204, 404, 404, 404, 204, 403, 403]),
    ("list_changes", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("count_changes", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("list_models", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_model", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_model_history", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("update_model", [401, 403, 403, 200, 403, 200, 403, 403]),
    ("register_worker", [401, 403, 403, 403, 403, 403, 201, 403]),
    ("beat_worker", [401, 403, 403, 403, 403, 403, 200, 410]),
    ("leave_worker", [401, 403, 403, 403, 403, 403, 204, 410]),
    ("update_worker", [401, 403, 403, 200, 403, 200, 403, 403]),
    ("list_workers", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("claim_jobs", [401, 403, 403, 403, 403, 403, 200, 410]),
    ("complete_jobs", [401, 403, 403, 403, 403, 403, 200, 200]),
    ("release_jobs", [401, 403, 403, 403, 403, 403, 200, 200]),
    ("list_jobs", [401, 200, 200, 200, 200, 200, 403, 403]),
    ("get_job", [401, 200, 404, 200, 404, 200, 403, 403]),
    ("cancel_job", [401, 200, 404, 404, 404, 200, 403, 403]),
    ("retry_job", [401, 201, 404, 404, 404, 201, 403, 403]),
    ("redrive_jobs", [401, 403, 403, 403, 403, 200, 403, 403]),
    // The run is the researcher's, and so is the key of the dataset's service.
    ("list_datasets", [401, 403, 403, 200, 200, 200, 403, 403]),
    ("update_dataset", [401, 403, 403, 200, 403, 200, 403, 403]),
    ("start_run", [401, 403, 403, 202, 202, 202, 403, 403]),
    ("list_runs", [401, 403, 403, 200, 200, 200, 403, 403]),
    ("get_run", [401, 403, 403, 200, 404, 200, 403, 403]),
    ("promote_run", [401, 403, 403, 200, 404, 200, 403, 403]),
    // The predict key serves the model that the researcher's ended run was promoted to.
    ("get_run_model", [401, 403, 403, 200, 404, 200, 200, 403]),
    ("report_metrics", [401, 403, 403, 403, 403, 403, 403, 200]),
    ("get_checkpoint", [401, 403, 403, 403, 403, 403, 403, 200]),
    ("put_checkpoint", [401, 403, 403, 403, 403, 403, 403, 200]),
    ("put_run_model", [401, 403, 403, 403, 403, 403, 403, 200]),
    ("get_live", [200; 8]),
    ("get_ready", [200; 8]),
    ("get_metrics", [200; 8]),
    ("list_queues", [200; 8]),
    ("get_queue", [200; 8]),
    ("get_openapi", [200; 8]),
    ("get_problem", [200; 8]),
    ("get_sdk", [200; 8]),
    ("get_sdk_file", [200; 8]),
];

/// Everybody, and something of the owner's to ask for.
struct World {
    _app: TestApp,
    callers: [Client; 8],
    md5: String,
    submission: String,
    live_job: String,
    ended_job: String,
    /// One with other params, which has a result.
    answered_job: String,
    worker: Worker,
    key_id: String,
    /// The investigator's cases: one that is, and one that was.
    case: String,
    deleted_case: String,
    /// An export of the first, which can be fetched.
    export: String,
    /// The researcher's run, running.
    run: Value,
    /// One that has ended, whose model is a version of ocr.
    ended_run: Value,
    trainer: Worker,
}

async fn world() -> World {
    let app = TestApp::new().await;
    let owner = app.investigator("ines").await;
    let stranger = app.investigator("ivo").await;
    let researcher = app.user("rosa", &[Role::Researcher]).await;
    let other = app.user("rolf", &[Role::Researcher]).await;
    let admin = app.admin().await;
    let predict = app.key_of(&researcher, "predict", &["ocr"]).await;
    let train = app.key_of(&researcher, "train", &["*"]).await;
    let spare = researcher.post("/auth/key", json!({"service": "predict", "models": ["x"]})).await.ok(201);
    let worker = Worker::register(predict.clone(), "ocr", "v1").await;
    app.sweep().await;
    let first = owner.submit(&[("a.png", picture(1))], &["ocr"]).await;
    app.derive().await;
    let job = worker.claim(1).await.remove(0);
    worker
        .complete(&job, json!({"outcome": "rejected", "error": {"type": "ValueError", "traceback": "secret path"}}))
        .await;
    let again = json!({"images": [md5_of(&picture(1))], "models": ["ocr"], "params": {"ocr": {"least": 0.5}}});
    let answered = owner.post("/predict", again).await.ok(202);
    worker.succeed(&worker.claim(1).await[0]).await;
    let second = owner.post("/predict", json!({"images": [md5_of(&picture(1))], "models": ["ocr"]})).await.ok(202);
    let trainer = Trainer::with_key(train.clone(), "digits", Value::Null).await;
    let (ended_run, run) = runs(&trainer, &researcher).await;
    let (case, deleted_case) = cases(&owner).await;
    app.investigator("mia").await;
    let export = export(&owner, &case).await;
    app.export().await;
    World {
        case,
        deleted_case,
        export,
        run,
        ended_run,
        trainer: trainer.worker,
        md5: md5_of(&picture(1)),
        submission: second["submission"].as_str().expect("an id").to_owned(),
        live_job: second["images"][0]["jobs"][0]["id"].as_str().expect("an id").to_owned(),
        answered_job: answered["images"][0]["jobs"][0]["id"].as_str().expect("an id").to_owned(),
        ended_job: first["images"][0]["jobs"][0]["id"].as_str().expect("an id").to_owned(),
        key_id: spare["id"].as_str().expect("an id").to_owned(),
        callers: [app.nobody(), owner, stranger, researcher, other, admin, predict, train],
        worker,
        _app: app,
    }
}

/// Asks for an export of a case; answers its id.
async fn export(owner: &Client, case: &str) -> String {
    let made = owner.post("/exports", json!({"case": case, "format": "csv"})).await.ok(201);
    made["id"].as_str().expect("an id").to_owned()
}

/// Two cases of the investigator's, of which the second is deleted.
async fn cases(owner: &Client) -> (String, String) {
    let make = async || {
        let made = owner.post("/cases", json!({"name": "Harbour"})).await.ok(201);
        made["id"].as_str().expect("an id").to_owned()
    };
    let (case, deleted) = (make().await, make().await);
    owner.delete(&format!("/cases/{deleted}")).await.ok(200);
    (case, deleted)
}

/// A run of the researcher's that was promoted to ocr, and one that runs and has a checkpoint.
async fn runs(trainer: &Trainer, researcher: &Client) -> (Value, Value) {
    start(researcher, json!({})).await;
    let ended = trainer.next().await;
    trainer.put(&ended, "model", "&name=a.onnx", "weights").await.ok(200);
    trainer.succeed(&ended, json!(null)).await;
    let promote = format!("/training/results/{}/promote", ended["id"].as_str().expect("an id"));
    researcher.post(&promote, json!({"model": "ocr", "version": "v2"})).await.ok(200);
    start(researcher, json!({})).await;
    let running = trainer.next().await;
    trainer.put(&running, "checkpoint", "", "weights").await.ok(200);
    (ended, running)
}

impl World {
    /// The run that an operation is about.
    fn run_of(&self, operation: &str) -> String {
        let of_ended = ["get_run_model", "promote_run"].contains(&operation);
        let run = if of_ended { &self.ended_run } else { &self.run };
        run["id"].as_str().expect("an id").to_owned()
    }

    /// The query of an upload or download of the worker that holds the run.
    fn lease(&self, operation: &str) -> String {
        let name = if operation == "put_run_model" { "&name=a.onnx" } else { "" };
        format!("?worker={}&lease_no={}{name}", self.trainer.id, self.run["lease_no"])
    }

    /// The case that an operation is about, with what it takes away: that is made anew for each caller.
    async fn case_for(&self, operation: &str) -> (String, String) {
        let (owner, path) = (&self.callers[1], |rest: &str| format!("/cases/{}/{rest}", self.case));
        let id = |made: Value| made["id"].as_str().expect("an id").to_owned();
        match operation {
            "delete_case" => {
                return (id(owner.post("/cases", json!({"name": "Station"})).await.ok(201)), String::new());
            }
            "remove_case_member" => drop(owner.put(&path("members/mia"), json!({"role": "viewer"})).await.ok(200)),
            "remove_case_filter" => drop(owner.put(&path("filters/ocr"), json!({"filter": "tag:x"})).await.ok(204)),
            "remove_case_note" => {
                return (self.case.clone(), id(owner.post(&path("notes"), json!({"text": "x"})).await.ok(201)));
            }
            _ => {}
        }
        (self.case.clone(), String::new())
    }

    /// What a request of this operation looks like.
    async fn call(&self, operation: &str, method: &Method, template: &str, caller: &Client) -> Answer {
        let (case, note) = self.case_for(operation).await;
        let export = match operation {
            "remove_export" => export(&self.callers[1], &self.case).await,
            _ => self.export.clone(),
        };
        let path = with_query(operation, template, &self.answered_job)
            .replace("{md5}", &self.md5)
            .replace("/cases/{id}/receipt", &format!("/cases/{}/receipt", self.deleted_case))
            .replace("/cases/{id}/notes/{note}", &format!("/cases/{case}/notes/{note}"))
            .replace("/cases/{id}", &format!("/cases/{case}"))
            .replace("/exports/{id}", &format!("/exports/{export}"))
            .replace("/members/{user}", "/members/mia")
            .replace("/submissions/{id}", &format!("/submissions/{}", self.submission))
            .replace("/workers/{id}", &format!("/workers/{}", self.worker.id))
            .replace("/training/results/{id}", &format!("/training/results/{}", self.run_of(operation)))
            .replace("/auth/key/{id}", &format!("/auth/key/{}", self.key_id))
            .replace(
                "/jobs/{id}",
                &format!("/jobs/{}", if operation == "retry_job" { &self.ended_job } else { &self.live_job }),
            )
            .replace("/auth/users/{name}", "/auth/users/ines")
            .replace("/datasets/{name}", "/datasets/digits")
            .replace("{name}", "ocr")
            .replace("{model}", "ocr")
            .replace("{code}", "not_found")
            .replace("{file}", &darkroom::sdk::wheel().expect("a wheel").file_name);
        let body = match operation {
            "log_in" => {
                return caller.form(&path, &[("username", "ines"), ("password", PASSWORD)]).await;
            }
            "submit_images" => {
                let form = Form::default().file("z.png", &photo(9)).text("models", "ocr").finish();
                let request = Request::post(&path).header(header::CONTENT_TYPE, form::CONTENT_TYPE);
                return caller.send(request.body(Body::from(form)).expect("a request")).await;
            }
            "create_user" => json!({"name": "new", "password": "long enough", "roles": []}),
            "update_user" => json!({"email": "ines@example.org"}),
            "create_key" => json!({"service": "predict", "models": ["a"]}),
            "list_statuses" => json!({"images": [self.md5]}),
            "update_model" | "update_dataset" => json!({"max_attempts": 4}),
            "register_worker" => {
                json!({"service": "predict", "model": "ocr", "version": "v1", "instance": Uuid::new_v4()})
            }
            "update_worker" => json!({"draining": false}),
            "beat_worker" => json!({"jobs": []}),
            "claim_jobs" => json!({"worker": self.worker.id, "claim_id": Uuid::new_v4()}),
            "complete_jobs" | "release_jobs" => json!({"worker": self.worker.id, "items": []}),
            "start_run" => json!({"dataset": "digits"}),
            "promote_run" => json!({"model": "ocr"}),
            "report_metrics" => {
                json!({"worker": self.trainer.id, "lease_no": self.run["lease_no"], "points": []})
            }
            "get_checkpoint" | "put_checkpoint" | "put_run_model" => {
                let path = format!("{path}{}", self.lease(operation));
                let request = Request::builder().method(method).uri(path);
                return caller.send(request.body(Body::from("weights")).expect("a request")).await;
            }
            "redrive_jobs" => json!({"state": "failed"}),
            "create_export" => json!({"case": self.case, "format": "csv"}),
            "create_case" => json!({"name": "Station"}),
            "update_case" => json!({"description": "Pier 4"}),
            "set_case_member" => json!({"role": "viewer"}),
            "change_case_tags" => json!({"images": [self.md5], "add": ["pier"]}),
            "add_case_note" => json!({"text": "seen"}),
            "save_case_filter" => json!({"filter": "label:person"}),
            _ => Value::Null,
        };
        caller.call(method.clone(), &path, (!body.is_null()).then_some(body)).await
    }
}

/// The path with the query that the operation needs, where it needs any; `job` has a result.
fn with_query(operation: &str, path: &str, job: &str) -> String {
    let query = match operation {
        "list_changes" | "count_changes" => "model=ocr&from=v1&to=v2",
        "get_image_changes" => &format!("from={job}&to={job}"),
        "follow_events" => "watch=models&for_s=0",
        _ => return path.to_owned(),
    };
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{query}")
}

/// Every operation of the document: its id, method and path.
fn operations() -> Vec<(String, Method, String)> {
    let document = serde_json::to_value(darkroom::http::openapi::document()).expect("a document");
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path") {
            let id = operation["operationId"].as_str().expect("an operationId").to_owned();
            found.push((id, method.to_uppercase().parse().expect("a method"), path.clone()));
        }
    }
    found
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_table_says() {
    let operations = operations();
    let unlisted: Vec<&str> =
        operations.iter().map(|o| o.0.as_str()).filter(|id| !TABLE.iter().any(|row| row.0 == *id)).collect();
    assert!(unlisted.is_empty() && operations.len() == TABLE.len(), "not in the table: {unlisted:?}");
    let mut wrong = Vec::new();
    let mut world = world().await;
    for (id, method, path) in &operations {
        let (_, expected) = TABLE.iter().find(|row| row.0 == id).expect("a row");
        for (column, status) in expected.iter().enumerate() {
            let answer = world.call(id, method, path, &world.callers[column]).await;
            if answer.status.as_u16() != *status {
                wrong.push(format!("{id} as {}: {} in place of {status}", WHO[column], answer.status));
            }
        }
        if ["cancel_job", "cancel_submission", "disable_own_keys", "leave_worker", "log_out"].contains(&id.as_str()) {
            world = self::world().await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Probes and scrapers may add what they like.
const ANY_QUERY: [&str; 4] = ["get_live", "get_ready", "get_metrics", "get_openapi"];

#[tokio::test]
async fn every_operation_refuses_a_query_that_it_does_not_know() {
    let world = world().await;
    for (id, method, path) in operations().iter().filter(|(id, ..)| !ANY_QUERY.contains(&id.as_str())) {
        let (_, expected) = TABLE.iter().find(|row| row.0 == id).expect("a row");
        let allowed = expected.iter().position(|status| *status < 300).expect("somebody who may");
        let answer = if ["get_checkpoint", "put_checkpoint", "put_run_model"].contains(&id.as_str()) {
            let path = format!("{}{}&colour=red", path.replace("{id}", &world.run_of(id)), world.lease(id));
            world.callers[allowed].call(method.clone(), &path, None).await
        } else {
            world.call(id, method, &format!("{path}?colour=red"), &world.callers[allowed]).await
        };
        let said = answer.problem(422, "unknown_field");
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("colour")), "{id}: {said}");
    }
}

#[tokio::test]
async fn a_models_owner_sees_tracebacks_but_not_which_image() {
    let world = world().await;
    let path = format!("/jobs/{}", world.ended_job);
    let researcher = world.callers[3].get(&path).await.ok(200);
    assert_eq!((&researcher["md5"], &researcher["attempts"][0]["traceback"]), (&Value::Null, &json!("secret path")));
    assert_eq!(world.callers[1].get(&path).await.ok(200)["md5"], world.md5);
    let by_hash = world.callers[3].get(&format!("/jobs?md5={}", world.md5)).await.ok(200);
    assert_eq!(by_hash["items"], json!([]), "a hash cannot be probed by the jobs on it");
    let first = world.callers[3].get(&format!("/jobs?limit=1&md5={}", world.md5)).await.ok(200);
    assert_eq!((&first["items"], &first["next_cursor"]), (&json!([]), &Value::Null), "nor by what may follow");
}

#[tokio::test]
async fn absent_and_foreign_things_have_the_same_answer() {
    let world = world().await;
    let stranger = &world.callers[2];
    let of = async |path: String| {
        let mut body = stranger.get(&path).await.problem(404, "not_found");
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(of(format!("/predict/{}", world.md5)).await, of(format!("/predict/{}", md5_of(b"nothing"))).await);
    assert_eq!(of(format!("/images/{}", world.md5)).await, of(format!("/images/{}", md5_of(b"nothing"))).await);
    assert_eq!(of(format!("/jobs/{}", world.live_job)).await, of(format!("/jobs/{}", Uuid::new_v4())).await);
    assert_eq!(
        of(format!("/submissions/{}", world.submission)).await,
        of(format!("/submissions/{}", Uuid::new_v4())).await
    );
}

#[tokio::test]
async fn one_user_does_not_learn_what_another_sent_and_asked() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (ines, ivo, admin) = (app.investigator("ines").await, app.investigator("ivo").await, app.admin().await);
    let with = |params: &str| Form::default().file("a.png", &photo(1)).text("models", "ocr").text("params", params);
    let new = async |who: &Client, form: Form| who.upload(form).await.ok(202)["images"][0]["new"].clone();
    assert_eq!(new(&ines, with(r#"{"ocr":{"look_for":"a name"}}"#)).await, true);
    assert_eq!(new(&ines, with("{}")).await, false, "she had sent it before");
    assert_eq!(new(&ivo, with("{}")).await, true, "it is new to him");
    assert_eq!(new(&ivo, with("{}").file("b.png", &photo(2))).await, false);
    for job in worker.claim(8).await {
        worker.succeed(&job).await;
    }
    let params = async |who: &Client| {
        let record = who.get(&format!("/images/{}", md5_of(&photo(1)))).await.ok(200);
        let mut told: Vec<String> = Vec::new();
        for result in record["results"].as_array().expect("results") {
            told.push(result["params"].to_string());
        }
        told.sort();
        told
    };
    assert_eq!(params(&ines).await, [r#"{"look_for":"a name"}"#, "{}"]);
    assert_eq!(params(&ivo).await, ["null", "{}"]);
    assert_eq!(params(&admin).await, [r#"{"look_for":"a name"}"#, "{}"]);
}

#[tokio::test]
async fn a_key_that_would_be_dead_is_not_made() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let key = |at: &str| json!({"service": "predict", "models": ["ocr"], "expires_at": at});
    let dead = admin.post("/auth/key", key("2020-01-01T00:00:00Z")).await.problem(422, "invalid_field");
    assert_eq!(dead["errors"][0]["pointer"], "/expires_at");
    for never in ["0000-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "+262142-01-01T00:00:00Z"] {
        let far = admin.post("/auth/key", key(never)).await.problem(422, "invalid_field");
        assert_eq!(far["errors"][0]["pointer"], "/expires_at", "{never}");
    }
    admin.post("/auth/key", key("2120-01-01T00:00:00Z")).await.ok(201);
}

#[tokio::test]
async fn a_key_is_taken_from_every_header_that_is_promised() {
    let app = TestApp::new().await;
    let key = app.key("predict", &["ocr"]).await.token.expect("a key");
    for (name, value) in
        [("authorization", format!("Bearer {key}")), ("x-api-key", key.clone()), ("api_key", key.clone())]
    {
        let body =
            json!({"service": "predict", "model": "ocr", "version": "1", "instance": Uuid::new_v4()}).to_string();
        let request =
            Request::post("/workers/register").header(name, value).header(header::CONTENT_TYPE, "application/json");
        app.nobody().send(request.body(Body::from(body)).expect("a request")).await.ok(201);
    }
}
