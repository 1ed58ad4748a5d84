//! `darkroom backfill --model`: a model over stored photographs, stopped and gone on with, and nothing asked twice.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use darkroom::domain::account::Role;
use serde_json::{Value, json};

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::desk::Desk;
use crate::kit::form::Form;
use crate::kit::images::photo;

/// Runs over all images of ines with these options besides; what it says beside is kept.
fn start(desk: &Desk, options: &[&str]) -> Child {
    let mut command = desk.command(&["backfill", "--model", "ocr", "--where", "", "--json"]);
    command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("darkroom")
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
}

/// The files that remember how far it is.
fn kept_in(desk: &Desk) -> Vec<PathBuf> {
    let folder = desk.home.path().join(".config/darkroom/backfill");
    std::fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path()).collect()
}

/// Changes what is remembered.
fn remember(desk: &Desk, change: impl FnOnce(&mut Value)) {
    let kept = kept_in(desk).remove(0);
    let mut place: Value = serde_json::from_slice(&std::fs::read(&kept).expect("a file")).expect("JSON");
    change(&mut place);
    std::fs::write(&kept, place.to_string()).expect("a file");
}

async fn new_case(who: &Client, name: &str) -> String {
    who.post("/cases", json!({"name": name})).await.ok(201)["id"].as_str().expect("an id").to_owned()
}

async fn upload(who: &Client, case: &str, model: &str, salts: std::ops::RangeInclusive<u64>) {
    for salt in salts {
        let form = Form::default().file(&format!("{salt}.png"), &photo(salt)).text("models", model);
        who.upload(form.text("case", case)).await.ok(202);
    }
}

/// Completes all that waits.
async fn work_off(app: &TestApp, worker: &Worker) {
    app.sweep().await;
    loop {
        let jobs = worker.claim(8).await;
        for job in &jobs {
            worker.succeed(job).await;
        }
        if jobs.is_empty() {
            return;
        }
    }
}

/// The first version's worker goes, and one of the second comes.
async fn next_version(worker: &Worker) -> Worker {
    let next = Worker::register(worker.key.clone(), "ocr", "v2").await;
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    next
}

/// Live and ended jobs of the model for one image are never more than this.
const MOST_JOBS: &str = "SELECT coalesce(max(n), 0) FROM (
  SELECT count(*) AS n FROM (
    SELECT image_id, queue_id FROM job UNION ALL SELECT image_id, queue_id FROM job_archive) AS j
  JOIN queue AS q ON q.id = j.queue_id AND q.name = 'ocr' GROUP BY image_id) AS c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stopped_goes_on_each_image_in_its_case_and_none_twice() {
    let app = TestApp::new().await;
    let old = app.worker("ocr").await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    let [harbour, station, attic] =
        [new_case(&ines, "Harbour").await, new_case(&ines, "Station").await, new_case(&ines, "Attic").await];
    let secret = new_case(&ivo, "Secret").await;
    for (case, salts) in [(&harbour, 1..=3), (&attic, 4..=4), (&station, 5..=6)] {
        upload(&ines, case, "ocr", salts).await;
    }
    upload(&ivo, &secret, "ocr", 7..=8).await;
    work_off(&app, &old).await;
    let new = next_version(&old).await;
    ines.patch(&format!("/cases/{attic}"), json!({"closed": true})).await.ok(200);
    ivo.put(&format!("/cases/{secret}/members/ines"), json!({"role": "viewer"})).await.ok(200);
    let (desk, _server) = Desk::of(&app, "ines");

    let dry = desk.json(0, &["backfill", "--model", "ocr", "--where", "", "--dry-run", "--json"]);
    assert_eq!(dry["images"], 8, "{dry}");
    let why = |case: &str| {
        let cases = dry["cases"].as_array().expect("cases");
        let of = cases.iter().find(|one| one["case"] == case).expect(case);
        (of["images"].clone(), of["passed_over"].clone())
    };
    assert_eq!((why(&harbour), why(&station)), ((json!(3), Value::Null), (json!(2), Value::Null)));
    assert_eq!(
        (why(&attic), why(&secret)),
        ((json!(1), json!("it is closed")), (json!(2), json!("you only look at it")))
    );
    let table = desk.says(0, &["backfill", "-m", "ocr", "--where", "name:1.png", "--dry-run"]);
    assert!(table.contains("Harbour") && !table.contains("Station"), "{table}");
    assert_eq!(app.count("SELECT count(*) FROM job").await, 0, "nothing is asked for yet");

    // One in three seconds: it is stopped long before the end.
    let child = start(&desk, &["--rate", "20/min"]);
    until("the first job", async || app.count("SELECT count(*) FROM job").await > 0).await;
    interrupt(&child);
    let ended = child.wait_with_output().expect("an end");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), told.contains("8 photographs are there")), (Some(130), true), "{told}");
    let made = app.count("SELECT count(*) FROM job").await;
    assert!((1..5).contains(&made), "{made} jobs");

    // As if the answers had been lost on the way: it asks again, and the server recognises it.
    remember(&desk, |place| {
        (place["cursor"], place["looked"], place["passed_over"]) = (Value::Null, json!(0), json!({}));
    });
    let whole = desk.json(1, &["backfill", "--model", "ocr", "--where", "", "--json"]);
    assert_eq!((&whole["version"], &whole["images"], &whole["gone"]), (&json!("v2"), &json!(8), &json!(0)), "{whole}");
    assert_eq!(whole["submissions"].as_array().map(Vec::len), Some(2), "{whole}");
    let passed = whole["passed_over"].as_array().expect("cases");
    assert_eq!(passed.iter().map(|one| one["images"].as_i64()).sum::<Option<i64>>(), Some(3), "{whole}");
    assert!(
        passed.iter().all(|one| one["why"].as_str().is_some_and(|why| !why.is_empty()) && one["name"] != one["case"])
    );
    assert_eq!(app.count("SELECT count(*) FROM job").await, 5);
    assert_eq!(app.count("SELECT count(*) FROM job WHERE priority = -100").await, 5);
    assert_eq!(app.count(MOST_JOBS).await, 2, "one for each version");
    let own = "SELECT count(*) FROM job AS j JOIN submission AS s ON s.id = j.submission_id
               JOIN upload AS u ON u.image_id = j.image_id AND u.case_id = s.case_id";
    assert_eq!(app.count(own).await, 5, "each in its case");
    let requests = "SELECT count(*) FROM request AS r JOIN job AS j ON j.id = r.job_id";
    assert_eq!(app.count(requests).await, 5, "asked for once");
    let submissions = "SELECT count(DISTINCT r.submission_id) FROM request AS r JOIN job AS j ON j.id = r.job_id";
    assert_eq!(app.count(submissions).await, 2, "one for each case");
    assert_eq!(app.count("SELECT count(*) FROM upload").await, 8, "nobody has another title by it");
    for id in whole["submissions"].as_array().expect("ids") {
        ines.get(&format!("/submissions/{}", id.as_str().expect("an id"))).await.ok(200);
    }

    // Begun again when all is known, it makes nothing.
    work_off(&app, &new).await;
    let again = desk.json(1, &["backfill", "--model", "ocr", "--where", "", "--json"]);
    assert_eq!((&again["made"], &again["known"]), (&json!(0), &json!(5)), "{again}");
    let told = desk.says(0, &["backfill", "--model", "ocr", "--where", "name:1.png", "--case", "Harbour"]);
    assert!(told.contains("1 photograph for ocr v2: 0 jobs made, 0 under way already, 1 known already"), "{told}");
    let changed = ines.get("/search/changes?model=ocr&from=v1&to=v2&kind=same").await.ok(200);
    assert_eq!(changed["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_comes_up_meanwhile_looks_at_all_and_nothing_is_made_twice() {
    let app = TestApp::new().await;
    let old = app.worker("ocr").await;
    let other = app.worker("other").await;
    let ines = app.investigator("ines").await;
    let case = new_case(&ines, "Harbour").await;
    upload(&ines, &case, "other", 1..=4).await;
    let (desk, _server) = Desk::of(&app, "ines");
    let child = start(&desk, &["--rate", "1/s", "--priority", "5"]);
    let first = "SELECT count(*) FROM job AS j JOIN queue AS q ON q.id = j.queue_id WHERE q.name = 'ocr'";
    until("the first job", async || app.count(first).await > 0).await;
    app.sweep().await;
    let done = old.claim(1).await;
    old.succeed(&done[0]).await;
    let new = next_version(&old).await;
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().expect("an end"));
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("an end").expect("an end");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && told.contains("Version v2 has come up after v1"), "{told}");
    let whole: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!((&whole["version"], &whole["images"], &whole["known"]), (&json!("v2"), &json!(4), &json!(0)), "{whole}");
    assert_eq!(whole["submissions"].as_array().map(Vec::len), Some(2), "one for each pass");
    work_off(&app, &new).await;
    let both = "SELECT count(*) FROM job_archive AS j JOIN queue AS q ON q.id = j.queue_id WHERE q.name = 'ocr' AND j.state = 'succeeded'";
    assert_eq!(app.count(both).await, 5, "the first by each version, the others by the new one");
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_told_and_asks_for_nothing() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.user("rosa", &[Role::Researcher]).await;
    let ines = app.investigator("ines").await;
    let case = new_case(&ines, "Harbour").await;
    upload(&ines, &case, "ocr", 1..=2).await;
    work_off(&app, &worker).await;
    let (desk, _server) = Desk::of(&app, "ines");
    let all = ["backfill", "--model", "ocr", "--where", ""];
    let with = |more: &[&'static str]| [all.as_slice(), more].concat();
    for (args, told) in [
        (vec!["backfill"], "--model"),
        (vec!["backfill", "--model", "ocr"], "--where"),
        (vec!["backfill", "--model", "orc", "--where", ""], "no such model"),
        (vec!["backfill", "--model", "ocr", "--where", "lable:car"], "at character 1"),
        (vec!["backfill", "--model", "ocr", "--where", "text:ab"], "at character 6"),
        (vec!["backfill", "--model", "ocr", "derived"], "derived"),
        (with(&["--rate", "0/s"]), "50/s"),
        (with(&["--rate", "fast"]), "50/s"),
        (with(&["--priority", "-101"]), "-101"),
        (with(&["--params", "[1]"]), "object"),
        (with(&["--case", "Pier"]), "no case of yours"),
        (with(&["--case", "00000000-0000-4000-8000-000000000000"]), "no such case"),
    ] {
        let said = desk.complains(2, &args);
        assert!(said.contains(told), "{args:?}: {said}");
    }
    assert_eq!(app.count("SELECT count(*) FROM job").await, 0);
    // Both versions are live: what the old one has said is known, and that is told.
    let new = Worker::register(worker.key.clone(), "ocr", "v2").await;
    let said = desk.complains(0, &all);
    assert!(said.contains("serve") && said.contains("v1") && said.contains("v2"), "{said}");
    assert_eq!(app.count("SELECT count(*) FROM job").await, 0);
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    // Whoever remembers nonsense is told how to begin anew.
    let child = start(&desk, &["--rate", "20/min"]);
    until("the first job", async || app.count("SELECT count(*) FROM job").await > 0).await;
    interrupt(&child);
    assert_eq!(child.wait_with_output().expect("an end").status.code(), Some(130));
    let kept = kept_in(&desk);
    assert_eq!(kept.len(), 1);
    remember(&desk, |place| place["cursor"] = json!("of-another-server"));
    assert!(desk.complains(2, &all).contains("--anew"), "a place is not known to every server");
    std::fs::write(&kept[0], b"{").expect("a file");
    assert!(desk.complains(1, &all).contains("--anew"));
    desk.says(0, &with(&["--anew"]));
    assert_eq!((app.count("SELECT count(*) FROM job").await, app.count(MOST_JOBS).await), (2, 2));
    assert_eq!(kept_in(&desk).len(), 0);
    work_off(&app, &new).await;
    // Who may submit to own models only is told what is missing.
    desk.log_in("rosa");
    let own = desk.says(0, &all);
    assert!(own.starts_with("0 photographs"), "{own}");
    let help = desk.says(0, &["backfill", "--help"]);
    assert!(help.contains("--dry-run") && help.contains("derived") && help.contains("50/s"), "{help}");
}
