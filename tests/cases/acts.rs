//! Who may do what, and what a closed case takes.

use axum::body::Body;
use axum::http::{Method, Request, header};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::Connection;

use super::{Harbour, add, make, to_case};
use crate::kit::app::PASSWORD;
use crate::kit::client::{Answer, Client};
use crate::kit::form;
use crate::kit::images::{md5_of, photo};

/// Every kind of change of a case but those of its owners.
const EDITS: [&str; 9] =
    ["upload", "by hash", "retry", "cancel job", "cancel submission", "tag", "note", "save filter", "remove filter"];
/// Those of its owners.
const OWNS: [&str; 4] = ["add member", "remove member", "rename", "delete"];

/// What the acts are about: a job of the case that waits, and one that has ended.
async fn waiting(h: &Harbour) -> (String, String) {
    h.owner.put(&h.path("/filters/people"), json!({"filter": "label:person"})).await.ok(204);
    let made = h.owner.upload(to_case(&h.case, 3)).await.ok(202);
    let id = |value: &Value| value.as_str().expect("an id").to_owned();
    (id(&made["images"][0]["jobs"][0]["id"]), id(&made["submission"]))
}

async fn act(h: &Harbour, who: &Client, what: &str) -> Answer {
    let md5 = md5_of(&photo(1));
    let (job, submission) = match what {
        "cancel job" | "cancel submission" | "remove filter" => waiting(h).await,
        _ => Default::default(),
    };
    run(h, who, what, &md5, (&job, &submission)).await
}

async fn run(h: &Harbour, who: &Client, what: &str, md5: &str, (job, submission): (&str, &str)) -> Answer {
    match what {
        "upload" => who.upload(to_case(&h.case, 2)).await,
        "by hash" => {
            who.post("/predict", json!({"images": [md5], "models": ["ocr"], "rerun": true, "case": h.case})).await
        }
        "retry" => who.post(&format!("/jobs/{}/retry", h.job), Value::Null).await,
        "cancel job" => who.post(&format!("/jobs/{job}/cancel"), Value::Null).await,
        "cancel submission" => who.post(&format!("/submissions/{submission}/cancel"), Value::Null).await,
        "tag" => who.post(&h.path("/tags"), json!({"images": [md5], "add": ["pier"]})).await,
        "note" => who.post(&h.path("/notes"), json!({"text": "seen"})).await,
        "save filter" => who.put(&h.path("/filters/cars"), json!({"filter": "label:car"})).await,
        "remove filter" => who.delete(&h.path("/filters/people")).await,
        "add member" => who.put(&h.path("/members/vi"), json!({"role": "viewer"})).await,
        "remove member" => who.delete(&h.path("/members/vi")).await,
        "rename" => who.patch(&h.path(""), json!({"name": "Harbour 2"})).await,
        "delete" => who.delete(&h.path("")).await,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_role_may_what_it_says_and_no_more() {
    let h = Harbour::new().await;
    let mut wrong = Vec::new();
    for what in EDITS.iter().chain(&OWNS) {
        let owns = OWNS.contains(what);
        for (name, who, refused) in [
            ("stranger", &h.stranger, Some((404, "not_found"))),
            ("viewer", &h.viewer, Some((403, "missing_role"))),
            ("editor", &h.editor, owns.then_some((403, "missing_role"))),
            ("admin", &h.admin, None),
            ("owner", &h.owner, None),
        ] {
            // Deleted is it once, and a member may leave.
            let last =
                *what == "delete" && name == "admin" || *what == "remove member" && ["viewer", "owner"].contains(&name);
            if last {
                continue;
            }
            add(&h.owner, &h.case, "vi", "viewer").await;
            let answer = act(&h, who, what).await;
            let expected = refused.map_or(answer.status.is_success(), |(status, code)| {
                (answer.status.as_u16(), answer.json()["code"].as_str()) == (status, Some(code))
            });
            if !expected {
                wrong.push(format!("{name}, {what}: {} {}", answer.status, answer.json()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_closed_case_is_read_and_refuses_every_change() {
    let h = Harbour::new().await;
    let (job, submission) = waiting(&h).await;
    let note = h.editor.post(&h.path("/notes"), json!({"text": "seen"})).await.ok(201)["id"].clone();
    assert!(h.owner.patch(&h.path(""), json!({"closed": true})).await.ok(200)["closed_at"].is_string());
    for who in [&h.owner, &h.admin] {
        // Members leave, and are put out, all the same.
        for what in EDITS.iter().chain(&OWNS).filter(|what| **what != "remove member") {
            if ["cancel job", "retry"].contains(what) && who.token == h.admin.token {
                // An administrator ends jobs whoever waits for them, and has one tried again on their own behalf.
                continue;
            }
            let answer = run(&h, who, what, &md5_of(&photo(1)), (&job, &submission)).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (409, &json!("case_closed")), "{what}");
            answer.problem(409, "case_closed");
        }
        let path = h.path(&format!("/notes/{}", note.as_str().expect("an id")));
        who.delete(&path).await.problem(409, "case_closed");
    }
    for path in ["", "/tags", "/notes", "/filters"] {
        h.viewer.get(&h.path(path)).await.ok(200);
    }
    assert_eq!(h.app.count("SELECT count(*) FROM tag").await + h.app.count("SELECT count(*) FROM upload").await, 2);
    // What runs goes on; closing twice changes nothing; reopened, it takes changes again.
    h.worker.succeed(&h.worker.claim(1).await[0]).await;
    h.owner.patch(&h.path(""), json!({"closed": true})).await.ok(200);
    let reopened = h.owner.patch(&h.path(""), json!({"closed": false, "name": "Harbour again"})).await.ok(200);
    assert_eq!((&reopened["closed_at"], &reopened["name"]), (&Value::Null, &json!("Harbour again")));
    h.editor.post(&h.path("/tags"), json!({"images": [md5_of(&photo(1))], "add": ["pier"]})).await.ok(200);
    let told: Vec<String> =
        sqlx::query_scalar("SELECT code FROM job_event WHERE subject_id = $1 AND code LIKE 'case%' ORDER BY at")
            .bind(&h.case)
            .fetch_all(&h.app.outside)
            .await
            .expect("events");
    assert_eq!(told, ["case_made", "case_closed", "case_reopened", "case_changed"]);
}

#[tokio::test]
async fn a_submission_that_meets_the_closing_of_its_case_is_refused() {
    let h = Harbour::new().await;
    let mut db = h.app.outside.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query("SELECT id FROM casefile WHERE id = $1::uuid FOR UPDATE")
        .bind(&h.case)
        .execute(&mut *tx)
        .await
        .expect("a lock");
    sqlx::query("UPDATE casefile SET closed_at = now() WHERE id = $1::uuid")
        .bind(&h.case)
        .execute(&mut *tx)
        .await
        .expect("closed");
    let (editor, form) = (h.editor.clone(), to_case(&h.case, 2));
    let submitting = tokio::spawn(async move { editor.upload(form).await });
    let waits =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    crate::kit::app::until("it to wait", async || {
        sqlx::query_scalar(waits).fetch_one(&h.app.outside).await.expect("an answer")
    })
    .await;
    tx.commit().await.expect("a commit");
    submitting.await.expect("an answer").problem(409, "case_closed");
    assert_eq!(h.app.count("SELECT count(*) FROM submission").await, 1, "nothing is left of it");
}

#[tokio::test]
async fn a_job_that_two_cases_ask_for_is_withdrawn_by_each() {
    let h = Harbour::new().await;
    let other = make(&h.stranger, "Station").await;
    let made = h.editor.upload(to_case(&h.case, 4)).await.ok(202);
    h.stranger.upload(to_case(&other, 4)).await.ok(202);
    let path = format!("/jobs/{}/cancel", made["images"][0]["jobs"][0]["id"].as_str().expect("an id"));
    // The owner withdraws what the editor asked for, of their case.
    assert_eq!(h.owner.post(&path, Value::Null).await.ok(200)["state"], "queued");
    assert_eq!(h.stranger.post(&path, Value::Null).await.ok(200)["state"], "cancelled");
    // Who is a viewer of one and an editor of the other tries it again there.
    add(&h.stranger, &other, "vi", "editor").await;
    let retried = h.viewer.post(&path.replace("cancel", "retry"), Value::Null).await.ok(201);
    let seen = format!("/jobs/{}", retried["id"].as_str().expect("an id"));
    h.stranger.get(&seen).await.ok(200);
    h.editor.get(&seen).await.problem(404, "not_found");
    let tried = h.admin.post("/jobs/redrive", json!({"state": "cancelled", "dry_run": false})).await.ok(200);
    assert_eq!(tried["matched"], 0, "it was tried again since");
}

#[tokio::test]
async fn members_come_and_go_and_an_owner_stays() {
    let h = Harbour::new().await;
    let members = |method: Method, name: &str, role: Option<&str>| {
        let (path, body) = (h.path(&format!("/members/{name}")), role.map(|role| json!({"role": role})));
        let owner = h.owner.clone();
        async move { owner.call(method, &path, body).await }
    };
    members(Method::PUT, "olga", Some("editor")).await.problem(409, "last_owner");
    members(Method::DELETE, "olga", None).await.problem(409, "last_owner");
    members(Method::PUT, "nobody", Some("editor")).await.problem(404, "not_found");
    members(Method::DELETE, "ivo", None).await.problem(404, "not_found");
    members(Method::PUT, "ed", Some("owner")).await.ok(200);
    members(Method::DELETE, "olga", None).await.ok(204);
    h.owner.get(&h.path("")).await.problem(404, "not_found");
    assert_eq!(h.editor.get(&h.path("")).await.ok(200)["role"], "owner");
    // One's own case is one's own; others may be let in.
    let own = h.stranger.get("/cases").await.ok(200)["items"][0]["id"].as_str().expect("an id").to_owned();
    add(&h.stranger, &own, "vi", "owner").await;
    h.viewer.delete(&format!("/cases/{own}/members/ivo")).await.problem(409, "own_case");
    h.viewer.put(&format!("/cases/{own}/members/ivo"), json!({"role": "viewer"})).await.problem(409, "own_case");
    h.stranger.patch(&format!("/cases/{own}"), json!({"closed": true})).await.problem(409, "own_case");
    h.stranger.delete(&format!("/cases/{own}")).await.problem(409, "own_case");
    // Nobody is a member of too many.
    h.app
        .alter(
            "WITH made AS (INSERT INTO casefile (name) SELECT 'c' || n FROM generate_series(1, 198) AS n RETURNING id)
             INSERT INTO member (case_id, account_id, role) SELECT made.id, a.id, 'viewer' FROM made, account AS a WHERE a.name IN ('ivo', 'olga')",
        )
        .await;
    add(&h.editor, &h.case, "ivo", "viewer").await;
    h.editor.put(&h.path("/members/ivo"), json!({"role": "editor"})).await.ok(200);
    h.stranger.post("/cases", json!({"name": "one more"})).await.problem(409, "too_many_cases");
    add(&h.editor, &h.case, "olga", "viewer").await;
    h.owner.post("/cases", json!({"name": "one more"})).await.problem(409, "too_many_cases");
    assert_eq!(h.owner.get("/images").await.ok(200)["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(h.owner.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200)["done"], true);
}

#[tokio::test]
async fn tags_notes_and_filters_are_kept_and_told() {
    let h = Harbour::new().await;
    h.editor.upload(to_case(&h.case, 2)).await.ok(202);
    let (one, two) = (md5_of(&photo(1)), md5_of(&photo(2)));
    let tag = async |body: Value| h.editor.post(&h.path("/tags"), body).await.ok(200)["items"].clone();
    let items = tag(
        json!({"images": [one, two.to_uppercase(), one, "no hash", md5_of(b"nothing")], "add": ["sea", "pier", "sea"]}),
    )
    .await;
    let told = |n: usize| (items[n]["status"].clone(), items[n]["tags"].clone(), items[n]["problem"]["code"].clone());
    for n in [0, 1, 2] {
        assert_eq!(told(n), (json!(200), json!(["pier", "sea"]), Value::Null));
    }
    assert_eq!((&items[1]["md5"], told(3).2, told(4).2), (&json!(two), json!("invalid_hash"), json!("not_found")));
    assert_eq!((told(3).0, told(4).0), (json!(422), json!(404)));
    assert_eq!(
        tag(json!({"images": [one], "add": ["boat"], "remove": ["sea", "never given"]})).await[0]["tags"],
        json!(["boat", "pier"])
    );
    let tags = h.viewer.get(&h.path("/tags")).await.ok(200)["items"].clone();
    assert_eq!(
        tags,
        json!([
        {"tag": "boat", "images": 1, "at_least": false}, {"tag": "pier", "images": 2, "at_least": false},
        {"tag": "sea", "images": 1, "at_least": false}])
    );
    let many: Vec<String> = (0..49).map(|n| format!("t{n}")).collect();
    let full = tag(json!({"images": [one, two], "add": many})).await;
    assert_eq!((&full[0]["problem"]["code"], &full[1]["problem"]["code"]), (&json!("case_full"), &json!("case_full")));
    assert_eq!(h.app.count("SELECT count(*) FROM tag").await, 4, "an image keeps what it had");
    // Notes, newest first, of the case and of one image.
    for (image, text) in [(json!(one), "the same jacket"), (Value::Null, "ask\nthe harbour master"), (json!(two), "no")]
    {
        h.editor.post(&h.path("/notes"), json!({"image": image, "text": text})).await.ok(201);
    }
    let notes = h.viewer.get(&h.path("/notes?limit=2")).await.ok(200);
    assert_eq!((&notes["items"][0]["text"], &notes["items"][1]["image"]), (&json!("no"), &Value::Null));
    let next = notes["next_cursor"].as_str().expect("more").to_owned();
    let rest = h.viewer.get(&h.path(&format!("/notes?limit=2&cursor={next}"))).await.ok(200);
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["items"][0]["user"]), (Some(1), &json!("ed")));
    let of_one = h.viewer.get(&h.path(&format!("/notes?image={one}"))).await.ok(200)["items"].clone();
    assert_eq!((of_one.as_array().map(Vec::len), &of_one[0]["image"]), (Some(1), &json!(one)));
    let note = h.path(&format!("/notes/{}", of_one[0]["id"].as_str().expect("an id")));
    add(&h.owner, &h.case, "vi", "editor").await;
    h.viewer.delete(&note).await.problem(403, "missing_role");
    h.owner.delete(&note).await.ok(204);
    h.editor.delete(&note).await.problem(404, "not_found");
    // Filters, by name, the newest under each.
    for filter in ["label:car", "label:person>=0.6"] {
        h.editor.put(&h.path("/filters/people%20and%20cars"), json!({"filter": filter})).await.ok(204);
    }
    let filters = h.viewer.get(&h.path("/filters")).await.ok(200)["items"].clone();
    assert_eq!((filters.as_array().map(Vec::len), &filters[0]["name"]), (Some(1), &json!("people and cars")));
    assert_eq!((&filters[0]["filter"], &filters[0]["user"]), (&json!("label:person>=0.6"), &json!("ed")));
    h.editor.delete(&h.path("/filters/people%20and%20cars")).await.ok(204);
    h.editor.delete(&h.path("/filters/people%20and%20cars")).await.problem(404, "not_found");
}

#[tokio::test]
async fn who_was_just_taken_out_changes_nothing_where_that_is_not_known_yet() {
    let h = Harbour::new().await;
    add(&h.owner, &h.case, "ed", "owner").await;
    let replica = h.app.replica().await;
    let ed = replica.log_in("ed", PASSWORD).await;
    assert_eq!(ed.get(&h.path("")).await.ok(200)["role"], "owner");
    h.owner.delete(&h.path("/members/ed")).await.ok(204);
    ed.put(&h.path("/members/ed"), json!({"role": "owner"})).await.problem(404, "not_found");
    ed.delete(&h.path("/members/vi")).await.problem(404, "not_found");
    ed.patch(&h.path(""), json!({"name": "mine"})).await.problem(404, "not_found");
    ed.delete(&h.path("")).await.problem(404, "not_found");
    assert_eq!(h.owner.get(&h.path("")).await.ok(200)["members"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn who_is_shut_out_while_a_body_comes_submits_nothing() {
    let h = Harbour::new().await;
    let form = to_case(&h.case, 7).finish();
    let (begun, rest) = form.split_at(form.len() / 2);
    let (begun, rest, owner, path) = (begun.to_vec(), rest.to_vec(), h.owner.clone(), h.path("/members/ed"));
    let late = stream::once(async move {
        owner.delete(&path).await.ok(204);
        Ok(rest)
    });
    let body = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(begun)]).chain(late));
    let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
    h.editor.send(request.body(body).expect("a request")).await.problem(404, "not_found");
    assert_eq!(h.app.count("SELECT count(*) FROM submission").await, 1);
}

#[tokio::test]
async fn a_member_leaves_a_closed_case_and_nobody_reads_of_one_that_is_not_there() {
    let h = Harbour::new().await;
    h.owner.patch(&h.path(""), json!({"closed": true})).await.ok(200);
    h.viewer.delete(&h.path("/members/vi")).await.ok(204);
    h.viewer.get(&h.path("")).await.problem(404, "not_found");
    for list in ["tags", "notes", "filters"] {
        h.admin.get(&format!("/cases/{}/{list}", uuid::Uuid::new_v4())).await.problem(404, "not_found");
    }
}
