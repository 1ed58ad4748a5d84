//! `darkroom train` and `darkroom training`: a run from its parameters to a version of a model, at a terminal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use darkroom::domain::account::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Trainer, sha256};
use crate::kit::app::TestApp;
use crate::kit::desk::Desk;

async fn at_work(app: &TestApp) -> (Trainer, Arc<Desk>, crate::kit::process::Process) {
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let schema = json!({"type": "object", "properties": {"epochs": {"type": "integer"}, "model": {"type": "string"}},
        "additionalProperties": false});
    let trainer = Trainer::with_key(app.key_of(&rosa, "train", &["digits"]).await, "digits", schema).await;
    let (desk, server) = Desk::of(app, "rosa");
    (trainer, Arc::new(desk), server)
}

/// The next run, as soon as somebody starts one.
async fn started(trainer: &Trainer) -> Value {
    let run = std::cell::RefCell::new(None);
    crate::kit::app::until("a run", async || {
        let claimed = trainer.claim().await;
        let found = claimed.is_some();
        run.replace(claimed);
        found
    })
    .await;
    run.into_inner().expect("a run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_followed_to_its_end_and_its_model_fetched_and_promoted() {
    let app = TestApp::new().await;
    let (trainer, desk, _server) = at_work(&app).await;
    assert!(desk.says(0, &["training", "list"]).contains("darkroom train"));
    assert!(desk.says(0, &["training", "datasets"]).contains("epochs,model"));
    assert_eq!(desk.says(0, &["training", "pause", "digits"]), "digits: paused, 0 queued\n");
    assert!(desk.says(0, &["training", "datasets"]).contains("paused"));
    assert_eq!(desk.says(0, &["training", "resume", "digits"]), "digits: resumed, 0 queued\n");
    let page = desk.home.path().join("run.html");
    let followed = {
        let (desk, page) = (desk.clone(), page.clone());
        let page = move || page.to_str().expect("UTF-8").to_owned();
        tokio::task::spawn_blocking(move || {
            desk.run(&["train", "digits", "epochs=3", "model=mlp", "--timeout", "60", "--report", &page()])
        })
    };
    let run = started(&trainer).await;
    assert_eq!(run["params"], json!({"epochs": 3, "model": "mlp"}));
    for epoch in 1..=3 {
        let values = json!({"loss": 1.0 / f64::from(epoch), "val_accuracy": 0.3 * f64::from(epoch)});
        trainer.measure(&run, json!([{"epoch": epoch, "values": values}])).await.ok(200);
    }
    let weights = b"the weights of a model".as_slice();
    trainer.put(&run, "model", "&name=digits.onnx", weights).await.ok(200);
    trainer.succeed(&run, json!({"accuracy": 0.9, "note": "<b>\u{1b}[31m"})).await;
    let output = followed.await.expect("the command");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(err.contains("val_accuracy") && err.contains("      1        3      0.3333"), "{err}");
    for part in
        ["succeeded, attempt 1", "digits.onnx", "\"accuracy\":0.9", "* loss", "* val_accuracy", " | *", "\"epochs\":3"]
    {
        assert!(out.contains(part), "no {part} in:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "{out}");
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(
        page.contains("<polyline class=\"c0\" points=\"0.0,0.0 320.0,165.0 640.0,220.0\">")
            && page.contains("&lt;b&gt;"),
        "{page}"
    );
    assert!(!page.contains("<b>\\u") && page.contains("default-src 'none'"));

    let id = run["id"].as_str().expect("an id");
    let shown = desk.says(0, &["training", "show", id]);
    assert!(shown.contains("ATTEMPT") && shown.contains("* loss"), "{shown}");
    assert_eq!(desk.json(0, &["training", "show", id, "--json"])["metrics"][2]["values"]["loss"], 1.0 / 3.0);
    assert!(desk.says(0, &["training", "show", id, "--wait"]).contains("succeeded"), "nothing more will come");

    let file = desk.home.path().join("fetched.onnx");
    let place = file.to_str().expect("UTF-8");
    assert!(desk.says(0, &["training", "download", id, "-o", place]).contains(&sha256(weights)));
    assert_eq!(std::fs::read(&file).expect("the model"), weights);
    assert!(desk.says(0, &["training", "promote", id, "--model", "digits_onnx"]).starts_with("digits_onnx run-"));
    assert!(desk.says(0, &["training", "promote", id, "--model", "digits_onnx", "--version", "v2"]).contains("v2"));
    let list = desk.says(0, &["training", "list", "--dataset", "digits", "--state", "succeeded"]);
    assert!(list.contains(id) && list.contains("100 %") && list.contains("digits_onnx v2"), "{list}");
    assert_eq!(desk.json(0, &["training", "list", "--json"])["items"][0]["id"], id);
    assert!(desk.says(0, &["training", "list", "--state", "failed"]).contains("No such run"));
    assert!(desk.complains(2, &["training", "cancel", &Uuid::new_v4().to_string()]).contains("Not found"));

    // Bytes that changed under way are not taken for the model, and what was there stays.
    let folder = app.ctx.blobs.root().join(sha256(weights));
    let blob = std::fs::read_dir(folder).expect("a folder").flatten().next().expect("a blob").path();
    std::fs::write(&blob, b"the weights of a MODEL").expect("a file");
    let damaged = desk.complains(1, &["training", "download", id, "-o", place]);
    assert!(damaged.contains("damaged") && damaged.contains(&sha256(weights)), "{damaged}");
    assert_eq!(std::fs::read(&file).expect("the model"), weights);
    let left = std::fs::read_dir(desk.home.path()).expect("a folder").flatten();
    assert!(!left.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with(".darkroom-")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_tells_how_to_mend_it() {
    let app = TestApp::new().await;
    let (trainer, desk, _server) = at_work(&app).await;
    for (args, part) in [
        (["digits", "epochs=-1"], "epochs is not a whole number from 1"),
        (["digits", "epoch=1"], "Did you mean"),
        (["digitz", "epochs=1"], "Did you mean \"digits\"? `darkroom training datasets` lists them."),
        (["digits", "model={"], "JSON"),
        (["digits", "epochs"], "KEY=VALUE"),
    ] {
        let told = desk.complains(2, &["train", args[0], args[1]]);
        assert!(told.contains(part) && !told.contains("--submission"), "{args:?}: {told}");
    }
    assert_eq!(app.count("SELECT count(*) FROM training_run").await, 0);

    // Asked for twice it is one run; the time is up before it ends; it is taken back, and tried again.
    let submission = Uuid::new_v4().to_string();
    let ask = ["train", "digits", "epochs=1", "--submission", &submission];
    let id = desk.says(0, &[ask.as_slice(), &["--no-wait"]].concat()).trim().to_owned();
    let up = desk.complains(4, &[ask.as_slice(), &["--timeout", "0"]].concat());
    assert!(up.contains(&id) && up.contains("--wait"), "{up}");
    assert!(desk.complains(2, &["training", "download", &id]).contains("is queued"));
    assert_eq!(desk.says(0, &["training", "cancel", &id]), format!("{id}: cancelled\n"));
    assert_eq!(desk.json(1, &[ask.as_slice(), &["--json"]].concat())["state"], "cancelled");
    let again = desk.says(0, &["training", "retry", &id, "--fresh"]).trim().to_owned();
    assert_eq!(desk.json(0, &["training", "show", &again, "--json"])["retry_of"], id);

    // Who looks away leaves the run where it is.
    let mut watching = Command::new(crate::kit::process::DARKROOM);
    watching.args(["training", "show", &again, "--wait"]).env("HOME", desk.home.path()).env_remove("DARKROOM_TOKEN");
    let mut watching = watching.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("darkroom");
    let run = started(&trainer).await;
    trainer.measure(&run, json!([{"epoch": 1, "values": {"loss": 0.5}}])).await.ok(200);
    let interrupt = move || {
        let mut lines = BufReader::new(watching.stderr.take().expect("stderr")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("0.5000")), "the epoch is told");
        Command::new("kill").args(["-INT", &watching.id().to_string()]).status().expect("kill");
        let rest = lines.collect::<Vec<_>>().join(" ");
        (watching.wait().expect("the command").code(), rest)
    };
    let (code, rest) = tokio::task::spawn_blocking(interrupt).await.expect("the command");
    assert!(code == Some(130) && rest.contains("The run goes on"), "{code:?} {rest}");
    assert_eq!(trainer.succeed(&run, json!(null)).await["state"], "succeeded");
}
