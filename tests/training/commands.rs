//! `darkroom train` and `darkroom training`: a run from its parameters to a version of a model, at a terminal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use darkroom::domain::account::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Trainer;
use crate::kit::app::TestApp;
use crate::kit::desk::Desk;

async fn at_work(app: &TestApp) -> (Trainer, Arc<Desk>, crate::kit::process::Process) {
    app.user("rosa", &[Role::Researcher]).await;
    let schema = json!({"type": "object", "properties": {"epochs": {"type": "integer"}, "model": {"type": "string"}},
        "additionalProperties": false});
    let trainer = Trainer::with_key(app.key("train", &["digits"]).await, "digits", schema).await;
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
