//! What changed between two versions of a model: gained, lost, moved, or the same; of whose images; at a bounded cost.

use serde_json::{Value, json};

use super::{told, worker};
use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::{Answer, Client};
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

/// What changed, as one is answered.
pub async fn changes(who: &Client, fields: &[(&str, &str)]) -> Answer {
    ask(who, "/search/changes", fields).await
}

async fn ask(who: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let versions = [("model", "detect"), ("from", "v1"), ("to", "v2")];
    let missing = versions.iter().filter(|(name, _)| !fields.iter().any(|(given, _)| given == name));
    let query: Vec<_> = missing.chain(fields).collect();
    who.get(&format!("{path}?{}", serde_urlencoded::to_string(query).expect("a query"))).await
}

/// The names of the images of all pages, a few at a time.
async fn names(who: &Client, fields: &[(&str, &str)]) -> Vec<String> {
    names_behind(who, fields, String::new()).await
}

async fn names_behind(who: &Client, fields: &[(&str, &str)], mut cursor: String) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let mut query = [fields, &[("limit", "2")]].concat();
        query.extend((!cursor.is_empty()).then_some(("cursor", cursor.as_str())));
        let page = changes(who, &query).await.ok(200);
        names.extend(told(&page, "name"));
        assert!(names.len() < 100, "it does not end");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return names,
        }
    }
}

pub fn boxed(label: &str, x: f64) -> Value {
    json!({"type": "box", "box": [x, 0.1, x + 0.4, 0.5], "label": label, "score": 0.9})
}

fn said(items: &[Value]) -> Value {
    json!({"items": items, "fields": {"n": items.len()}, "summary": null})
}

/// Completes all that waits, by what is said of each image.
pub async fn answer(worker: &Worker, of: &[(u64, Vec<Value>)]) {
    loop {
        let jobs = worker.claim(8).await;
        for job in &jobs {
            let items = of.iter().find(|(salt, _)| job["image"]["md5"] == md5_of(&photo(*salt)).as_str());
            let items = &items.expect("an image of the test").1;
            let done = worker.complete(job, json!({"outcome": "succeeded", "result": said(items)})).await;
            assert_eq!(done["status"], 200, "{done}");
        }
        if jobs.is_empty() {
            return;
        }
    }
}

/// The second version of a model, when the first has gone.
async fn next_version(worker: &Worker, version: &str) -> Worker {
    let next = Worker::register(worker.key.clone(), "detect", version).await;
    worker.key.delete(&format!("/workers/{}", worker.id)).await.ok(204);
    next
}

pub async fn run(app: &TestApp, who: &Client, case: &str, salts: &[u64], params: Value) {
    let images: Vec<String> = salts.iter().map(|salt| md5_of(&photo(*salt))).collect();
    let body =
        json!({"images": images, "models": ["detect"], "case": case, "params": {"detect": params}, "rerun": true});
    who.post("/predict", body).await.ok(202);
    app.sweep().await;
}

async fn upload(app: &TestApp, who: &Client, case: &str, salts: std::ops::RangeInclusive<u64>) {
    for salt in salts {
        let form = Form::default().file(&format!("{salt}.png"), &photo(salt)).text("models", "detect");
        who.upload(form.text("case", case)).await.ok(202);
    }
    app.sweep().await;
}

async fn new_case(who: &Client, name: &str) -> String {
    who.post("/cases", json!({"name": name})).await.ok(201)["id"].as_str().expect("an id").to_owned()
}

/// What each version says of the photographs of these salts: 1 gains a car, 2 loses one, 3's moves, 4 stays as it is, 5 has a text
/// in place of another, 6 is known to the first version only.
fn sayings() -> [Vec<(u64, Vec<Value>)>; 2] {
    let text = |text: &str| json!({"type": "text", "text": text});
    let (person, car) = (|| boxed("person", 0.1), |x: f64| boxed("car", x));
    let first = vec![
        (1, vec![person()]),
        (2, vec![person(), car(0.2)]),
        (3, vec![car(0.2)]),
        (4, vec![person(), car(0.2)]),
        (5, vec![text("one")]),
        (6, vec![person()]),
    ];
    let second = vec![
        (1, vec![person(), car(0.5)]),
        (2, vec![person()]),
        (3, vec![car(0.3)]),
        (4, vec![person(), car(0.2001)]),
        (5, vec![text("two")]),
    ];
    [first, second]
}

/// A case of ines with six photographs, of five of which both versions said something.
pub async fn harbour() -> (TestApp, Client, String, Worker) {
    let app = TestApp::new().await;
    let (ines, old) = (app.investigator("ines").await, worker(&app, "detect").await);
    let case = new_case(&ines, "Harbour").await;
    let [first, second] = sayings();
    upload(&app, &ines, &case, 1..=6).await;
    answer(&old, &first).await;
    let new = next_version(&old, "v2").await;
    run(&app, &ines, &case, &[1, 2, 3, 4, 5], json!({})).await;
    answer(&new, &second).await;
    app.write_down_items().await;
    (app, ines, case, new)
}

#[tokio::test]
async fn what_was_gained_lost_and_moved_is_told_with_its_boxes() {
    let (app, ines, case, _new) = harbour().await;
    for (kind, expected) in [
        (&[][..], &["5.png", "3.png", "2.png", "1.png"][..]),
        (&[("kind", "gained")], &["5.png", "1.png"]),
        (&[("kind", "lost")], &["5.png", "2.png"]),
        (&[("kind", "moved")], &["3.png"]),
        (&[("kind", "same")], &["4.png"]),
        (&[("label", "car")], &["3.png", "2.png", "1.png"]),
        (&[("label", "car"), ("kind", "gained")], &["1.png"]),
        (&[("label", "person")], &[]),
        (&[("q", "label:car")], &["3.png", "1.png"]),
        (&[("q", "-name:2.png"), ("case", &case)], &["5.png", "3.png", "1.png"]),
        // Turned round, what was gained is lost.
        (&[("from", "v2"), ("to", "v1"), ("kind", "gained")], &["5.png", "2.png"]),
        (&[("from", "v2"), ("to", "v1"), ("kind", "moved")], &["3.png"]),
    ] {
        assert_eq!(names(&ines, kind).await, expected, "{kind:?}");
    }
    let page = changes(&ines, &[]).await.ok(200);
    let of = |name: &str| {
        page["items"].as_array().expect("items").iter().find(|one| one["name"] == name).expect(name).clone()
    };
    assert_eq!(of("1.png")["gained"], json!([boxed("car", 0.5)]));
    assert_eq!((&of("1.png")["same"], &of("1.png")["case"]), (&json!(1), &json!(case)));
    assert_eq!((&of("2.png")["lost"], &of("2.png")["gained"]), (&json!([boxed("car", 0.2)]), &json!([])));
    let moved = &of("3.png")["moved"][0];
    assert_eq!((&moved["from"], &moved["to"]), (&boxed("car", 0.2), &boxed("car", 0.3)));
    assert!(moved["overlap"].as_f64().is_some_and(|overlap| (overlap - 0.6).abs() < 1e-6), "{moved}");
    assert_eq!((&of("5.png")["incomplete"], &of("5.png")["distance"]), (&json!(false), &Value::Null));
    let counts = ask(&ines, "/search/changes/counts", &[]).await.ok(200);
    let expected = json!({
        "images": {"count": 5, "at_least": false}, "gained": 2, "lost": 2, "moved": 1, "same": 1, "incomplete": 0,
        "labels": [{"type": "box", "label": "car", "gained": 1, "lost": 1, "moved": 1, "same": 1},
                   {"type": "text", "label": null, "gained": 1, "lost": 1, "moved": 0, "same": 0},
                   {"type": "box", "label": "person", "gained": 0, "lost": 0, "moved": 0, "same": 3}],
    });
    assert_eq!(counts, expected);
    let some = ask(&ines, "/search/changes/counts", &[("q", "name:3.png")]).await.ok(200);
    assert_eq!((&some["images"]["count"], &some["moved"]), (&json!(1), &json!(1)));
    // Titles that come between two pages move none that is still to come.
    let first = changes(&ines, &[("limit", "1")]).await.ok(200);
    upload(&app, &ines, &case, 3..=3).await;
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    assert_eq!(names_behind(&ines, &[], cursor).await, ["3.png", "2.png", "1.png"]);
}

#[tokio::test]
async fn only_what_was_asked_in_the_same_way_is_compared() {
    let app = TestApp::new().await;
    let (ines, old) = (app.investigator("ines").await, worker(&app, "detect").await);
    let case = new_case(&ines, "Harbour").await;
    upload(&app, &ines, &case, 1..=2).await;
    answer(&old, &[(1, vec![boxed("car", 0.1)]), (2, vec![boxed("car", 0.1)])]).await;
    run(&app, &ines, &case, &[1], json!({"least": 0.5})).await;
    answer(&old, &[(1, vec![])]).await;
    let new = next_version(&old, "v2").await;
    run(&app, &ines, &case, &[1, 2], json!({"least": 0.5})).await;
    answer(&new, &[(1, vec![boxed("dog", 0.1)]), (2, vec![])]).await;
    // Of the second nobody knows what the first version would have said with these params.
    let page = changes(&ines, &[]).await.ok(200);
    assert_eq!(told(&page, "name"), ["1.png"]);
    assert_eq!((&page["items"][0]["gained"], &page["items"][0]["lost"]), (&json!([boxed("dog", 0.1)]), &json!([])));
    // Of two that can be compared it is the one that was asked last.
    run(&app, &ines, &case, &[1], json!({})).await;
    answer(&new, &[(1, vec![])]).await;
    let page = changes(&ines, &[]).await.ok(200);
    assert_eq!((&page["items"][0]["gained"], &page["items"][0]["lost"]), (&json!([]), &json!([boxed("car", 0.1)])));
}

#[tokio::test]
async fn what_changed_of_anothers_images_is_not_told() {
    let (app, ines, case, new) = harbour().await;
    let ivo = app.investigator("ivo").await;
    let secret = new_case(&ivo, "Secret").await;
    assert_eq!(names(&ivo, &[]).await, Vec::<String>::new());
    assert_eq!(ask(&ivo, "/search/changes/counts", &[]).await.ok(200)["images"]["count"], 0);
    changes(&ivo, &[("case", &case)]).await.problem(404, "not_found");
    // The same photograph is his as soon as he brings it, under his own name, and nothing else is.
    let form = Form::default().file("mine.png", &photo(2)).text("models", "detect").text("case", &secret);
    ivo.upload(form).await.ok(202);
    assert_eq!(names(&ivo, &[]).await, ["mine.png"]);
    assert_eq!(names(&ines, &[("q", "-name:mine")]).await.len(), 4);
    let admin = app.admin().await;
    assert_eq!(names(&admin, &[("kind", "lost")]).await, ["mine.png", "5.png"]);
    assert_eq!(names(&admin, &[("case", &case), ("kind", "lost")]).await, ["5.png", "2.png"]);
    // Who is no member any more is told nothing.
    ines.put(&format!("/cases/{case}/members/ivo"), json!({"role": "viewer"})).await.ok(200);
    until("the membership", async || names(&ivo, &[]).await.len() == 4).await;
    ines.delete(&format!("/cases/{case}/members/ivo")).await;
    until("the end of it", async || names(&ivo, &[]).await == ["mine.png"]).await;
    new.key.get("/search/changes?model=detect&from=v1&to=v2").await.problem(403, "wrong_service");
}

#[tokio::test]
async fn what_cannot_be_compared_is_told_with_its_place() {
    let (_app, ines, _, _new) = harbour().await;
    let long = "x".repeat(5_000);
    for (fields, code, pointer, mend) in [
        (&[("model", "detcet")][..], "unknown_model", "/model", "detect"),
        (&[("model", "")], "unknown_model", "/model", "GET /models"),
        (&[("model", &long)], "unknown_model", "/model", "GET /models"),
        (&[("from", "v9")], "invalid_field", "/from", "GET /models/detect"),
        (&[("to", "V2")], "invalid_field", "/to", "served"),
        (&[("to", "v1")], "invalid_field", "/to", ""),
        (&[("kind", "found")], "invalid_field", "/kind", ""),
        (&[("limit", "0")], "invalid_field", "/limit", ""),
        (&[("limit", "501")], "invalid_field", "/limit", ""),
        (&[("cursor", "x")], "invalid_field", "/cursor", ""),
        (&[("q", "lable:car")], "invalid_filter", "/q", ""),
        (&[("q", "failed:nobody")], "invalid_filter", "/q", ""),
        (&[("case", "harbour")], "invalid_field", "/case", ""),
        (&[("colour", "red")], "unknown_field", "/colour", ""),
    ] {
        let problem = changes(&ines, fields).await.problem(422, code);
        assert_eq!(
            (&problem["errors"][0]["in"], &problem["errors"][0]["pointer"]),
            (&json!("query"), &json!(pointer)),
            "{problem}"
        );
        assert!(problem["mend"].as_str().is_some_and(|told| told.contains(mend)), "{problem}");
        if !["/kind", "/limit", "/cursor", "/colour"].contains(&pointer) {
            ask(&ines, "/search/changes/counts", fields).await.problem(422, code);
        }
    }
    for path in ["/search/changes", "/search/changes/counts"] {
        ines.get(&format!("{path}?from=v1&to=v2")).await.problem(422, "invalid_field");
        for query in ["model=a%00b&from=v1&to=v2", "model=detect&from=v%001&to=v2", "model=detect&from=v1&to=v%00"] {
            ines.get(&format!("{path}?{query}")).await.problem(422, "nul_character");
        }
    }
    assert_eq!(names(&ines, &[("label", "' OR true --")]).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_compared_is_bounded_and_pages_go_on() {
    let app = TestApp::new().await;
    let (ines, old) = (app.investigator("ines").await, worker(&app, "detect").await);
    let case = new_case(&ines, "Harbour").await;
    upload(&app, &ines, &case, 1..=1).await;
    answer(&old, &[(1, vec![])]).await;
    let _new = next_version(&old, "v2").await;
    super::bounds::many(&app, 30_000).await;
    // The oldest 2,500 are known to both versions; of the oldest and the newest of these something changed.
    app.alter(
        "INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
         SELECT i.id, p.id, now(), v.queue_id, v.id, 3, 'succeeded', 1, uuid_v7(),
                CASE WHEN v.name = 'v2' AND i.bytes IN (1, 2500) THEN '{\"items\": [{\"type\": \"label\", \"label\": \"ship\"}], \"fields\": {}}'
                     ELSE '{\"items\": [], \"fields\": {}}' END::jsonb
         FROM image AS i, model_version AS v, (SELECT min(id) AS id FROM params) AS p
         WHERE i.bytes <= 2500 AND i.media_type = 'image/jpeg';
         ANALYZE",
    )
    .await;
    assert_eq!(names(&ines, &[]).await, ["DSC_2500.jpg", "DSC_1.jpg"]);
    let first = changes(&ines, &[]).await.ok(200);
    assert_eq!(told(&first, "name"), ["DSC_2500.jpg"], "a page compares some");
    let counts = ask(&ines, "/search/changes/counts", &[]).await.ok(200);
    assert_eq!((&counts["images"], &counts["gained"]), (&json!({"count": 2000, "at_least": true}), &json!(1)));
    let few = ask(&ines, "/search/changes/counts", &[("q", "before:2020-01-01T00:10")]).await.ok(200);
    assert_eq!((&few["images"], &few["gained"]), (&json!({"count": 599, "at_least": false}), &json!(1)));
    // More was gained than has room.
    app.alter(
        "UPDATE outcome SET document = jsonb_build_object('fields', '{}'::jsonb, 'items', (
           SELECT jsonb_agg(jsonb_build_object('type', 'text', 'text', n || repeat('x', 9000))) FROM generate_series(1, 300) AS n))
         WHERE version_id = (SELECT id FROM model_version WHERE name = 'v2') AND image_id IN (SELECT id FROM image WHERE bytes <= 20 AND media_type = 'image/jpeg')",
    )
    .await;
    let page = changes(&ines, &[("q", "before:2020-01-01T00:00:20"), ("limit", "500")]).await.ok(200);
    let items = page["items"].as_array().expect("items");
    assert!((2..19).contains(&items.len()) && page["next_cursor"].is_string(), "{} items", items.len());
    assert!(
        items.iter().all(|one| one["incomplete"] == true && one["gained"].as_array().is_some_and(|g| g.len() > 10))
    );
    assert_eq!(names(&ines, &[("q", "before:2020-01-01T00:00:20")]).await.len(), 19);
    // Nor are more items compared of one image than the bound: then that is said of the counts, too.
    app.alter(
        "UPDATE outcome SET document = jsonb_build_object('fields', '{}'::jsonb, 'items', (
           SELECT jsonb_agg(jsonb_build_object('type', 'text', 'text', n::text)) FROM generate_series(1, 501) AS n))
         WHERE version_id = (SELECT id FROM model_version WHERE name = 'v2') AND image_id = (SELECT id FROM image WHERE bytes = 1 AND media_type = 'image/jpeg')",
    )
    .await;
    let counts = ask(&ines, "/search/changes/counts", &[("q", "before:2020-01-01T00:00:05")]).await.ok(200);
    assert_eq!((&counts["gained"], &counts["incomplete"]), (&json!(4), &json!(1)));
}
