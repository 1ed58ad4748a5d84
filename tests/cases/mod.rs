//! Cases: who sees and changes what, what closing and deleting them does.

mod acts;
mod bad;
mod lists;
mod removal;
mod sight;
mod turns;

use serde_json::{Value, json};

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use darkroom::domain::account::Role;

/// A case with a photograph in it, its members, and others.
struct Harbour {
    app: TestApp,
    worker: Worker,
    owner: Client,
    editor: Client,
    viewer: Client,
    stranger: Client,
    /// An administrator with every role.
    admin: Client,
    case: String,
    /// Of the first photo, which the editor submitted with params of its own, and which succeeded.
    submission: String,
    job: String,
}

impl Harbour {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let worker = app.worker("ocr").await;
        let [owner, editor, viewer, stranger] = [
            app.investigator("olga").await,
            app.investigator("ed").await,
            app.investigator("vi").await,
            app.investigator("ivo").await,
        ];
        let admin = app.user("root", Role::ALL).await;
        let case = make(&owner, "Harbour").await;
        add(&owner, &case, "ed", "editor").await;
        add(&owner, &case, "vi", "viewer").await;
        let form = to_case(&case, 1).text("params", r#"{"ocr":{"look_for":"a name"}}"#);
        let made = editor.upload(form).await.ok(202);
        worker.succeed(&worker.claim(1).await[0]).await;
        let id = |value: &Value| value.as_str().expect("an id").to_owned();
        let (submission, job) = (id(&made["submission"]), id(&made["images"][0]["jobs"][0]["id"]));
        Self { app, worker, owner, editor, viewer, stranger, admin, case, submission, job }
    }

    /// A path below the case.
    fn path(&self, rest: &str) -> String {
        format!("/cases/{}{rest}", self.case)
    }
}

/// Makes a case; answers its id.
async fn make(owner: &Client, name: &str) -> String {
    owner.post("/cases", json!({"name": name})).await.ok(201)["id"].as_str().expect("an id").to_owned()
}

async fn add(owner: &Client, case: &str, user: &str, role: &str) -> Value {
    owner.put(&format!("/cases/{case}/members/{user}"), json!({"role": role})).await.ok(200)
}

/// The form of a photo for a model, to a case.
fn to_case(case: &str, n: u64) -> Form {
    Form::default().file("a.png", &photo(n)).text("models", "ocr").text("case", case)
}

fn image(n: u64) -> String {
    format!("/images/{}", md5_of(&photo(n)))
}
