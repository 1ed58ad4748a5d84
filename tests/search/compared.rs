//! Two results of one photograph: what changed from the one to the other, who is told, and what cannot be compared.

use serde_json::{Value, json};

use super::changes::{answer, boxed, changes, harbour, run};
use super::{say, worker};
use crate::kit::app::until;
use crate::kit::client::{Answer, Client};
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

fn image(salt: u64) -> String {
    format!("/images/{}", md5_of(&photo(salt)))
}

async fn compared(who: &Client, salt: u64, from: &str, to: &str) -> Answer {
    who.get(&format!("{}/changes?from={from}&to={to}", image(salt))).await
}

/// The jobs that said something of a photograph, by version, the newest of each first.
async fn jobs(who: &Client, salt: u64, version: &str) -> Vec<String> {
    let record = who.get(&image(salt)).await.ok(200);
    let results = record["results"].as_array().expect("results").iter();
    let of_version = results.filter(|result| result["version"] == version);
    of_version.map(|result| result["job"].as_str().expect("an id").to_owned()).collect()
}

/// The jobs of the first and the second version.
async fn both(who: &Client, salt: u64) -> [String; 2] {
    [jobs(who, salt, "v1").await.remove(0), jobs(who, salt, "v2").await.remove(0)]
}

#[tokio::test]
async fn two_results_are_compared_as_the_list_of_changes_compares_them() {
    let (app, ines, case, new) = harbour().await;
    let fields = ["gained", "lost", "moved", "same", "incomplete"];
    for turned in [false, true] {
        let versions = if turned { [("from", "v2"), ("to", "v1")] } else { [("from", "v1"), ("to", "v2")] };
        let mut listed = 0;
        for kind in ["gained", "lost", "moved", "same"] {
            let page = changes(&ines, &[&versions[..], &[("kind", kind)]].concat()).await.ok(200);
            for item in page["items"].as_array().expect("items") {
                let salt = (1..=5).find(|salt| item["md5"] == md5_of(&photo(*salt)).as_str()).expect("a photograph");
                let mut jobs = both(&ines, salt).await;
                if turned {
                    jobs.reverse();
                }
                let told = compared(&ines, salt, &jobs[0], &jobs[1]).await.ok(200);
                let expected: Value = fields.iter().map(|field| ((*field).to_owned(), item[*field].clone())).collect();
                assert_eq!(told, expected, "{item}");
                listed += 1;
            }
        }
        assert_eq!(listed, 6, "the fifth both gained and lost");
    }
    // A result is as it is, and the hash may be in either case.
    let [v1, _] = both(&ines, 2).await;
    let upper = image(2).replace(&md5_of(&photo(2)), &md5_of(&photo(2)).to_uppercase());
    let same = ines.get(&format!("{upper}/changes?from={v1}&to={v1}")).await.ok(200);
    assert_eq!(same, json!({"gained": [], "lost": [], "moved": [], "same": 2, "incomplete": false}));
    // What one version said with two params is compared, too.
    run(&app, &ines, &case, &[1], json!({"least": 0.5})).await;
    answer(&new, &[(1, vec![boxed("dog", 0.1)])]).await;
    let of_both = jobs(&ines, 1, "v2").await;
    let told = compared(&ines, 1, &of_both[1], &of_both[0]).await.ok(200);
    assert_eq!((&told["gained"], &told["lost"][1]), (&json!([boxed("dog", 0.1)]), &json!(boxed("car", 0.5))));
}

#[tokio::test]
async fn two_results_are_told_to_those_who_see_the_photograph() {
    let (app, ines, case, new) = harbour().await;
    let ([v1, v2], [one, two]) = (both(&ines, 2).await, both(&ines, 1).await);
    let (ivo, admin) = (app.investigator("ivo").await, app.admin().await);
    let absent = async |who: &Client, path: String| {
        let mut problem = who.get(&path).await.problem(404, "not_found");
        problem["request_id"] = Value::Null;
        problem
    };
    let asked = |salt: u64| format!("{}/changes?from={v1}&to={v2}", image(salt));
    assert_eq!(
        absent(&ivo, asked(2)).await,
        absent(&ivo, asked(99)).await,
        "what is not his is like what is not there"
    );
    assert_eq!(compared(&admin, 2, &v1, &v2).await.ok(200)["lost"], json!([boxed("car", 0.2)]));
    // His own copy shows him the results of that photograph and of no other.
    let form = Form::default().file("mine.png", &photo(2)).text("models", "detect");
    ivo.upload(form).await.ok(202);
    assert_eq!(compared(&ivo, 2, &v1, &v2).await.ok(200), compared(&ines, 2, &v1, &v2).await.ok(200));
    compared(&ivo, 1, &one, &two).await.problem(404, "not_found");
    compared(&ivo, 2, &v1, &two).await.problem(404, "not_found");
    ines.put(&format!("/cases/{case}/members/ivo"), json!({"role": "viewer"})).await.ok(200);
    until("the membership", async || compared(&ivo, 1, &one, &two).await.status == 200).await;
    ines.delete(&format!("/cases/{case}/members/ivo")).await;
    until("the end of it", async || compared(&ivo, 1, &one, &two).await.status == 404).await;
    compared(&new.key, 2, &v1, &v2).await.problem(403, "wrong_service");
    compared(&app.nobody(), 2, &v1, &v2).await.problem(401, "missing_credential");
}

#[tokio::test]
async fn what_are_not_two_results_of_one_model_is_told_with_its_place() {
    let (app, ines, case, new) = harbour().await;
    let ([v1, v2], [of_another, _]) = (both(&ines, 1).await, both(&ines, 2).await);
    let ocr = worker(&app, "ocr").await;
    let ask = json!({"images": [md5_of(&photo(1))], "models": ["ocr"], "case": case});
    let asked = ines.post("/predict", ask).await.ok(202)["images"][0]["jobs"][0]["id"].clone();
    let of_ocr = asked.as_str().expect("an id");
    // A job without a result yet, one that is not, and one of another photograph are none of this one's.
    let nothing = uuid::Uuid::new_v4().to_string();
    for job in [of_ocr, &nothing, &of_another] {
        for (from, to, pointer) in [(job, v2.as_str(), "/from"), (&v1, job, "/to"), (job, job, "/from")] {
            let problem = compared(&ines, 1, from, to).await.problem(404, "not_found");
            let place = (&problem["errors"][0]["in"], &problem["errors"][0]["pointer"]);
            assert_eq!(place, (&json!("query"), &json!(pointer)), "{problem}");
            assert!(problem["mend"].as_str().is_some_and(|mend| mend.contains("GET /images/{md5}")), "{problem}");
        }
    }
    say(&ocr, json!({"items": [boxed("car", 0.1)], "fields": {}, "summary": null})).await;
    let problem = compared(&ines, 1, &v1, of_ocr).await.problem(422, "invalid_field");
    assert_eq!(problem["errors"][0]["pointer"], "/to", "{problem}");
    assert!(problem["mend"].as_str().is_some_and(|mend| mend.contains("one model")), "{problem}");
    // What was computed anew took the place of what was.
    run(&app, &ines, &case, &[1], json!({})).await;
    answer(&new, &[(1, vec![])]).await;
    compared(&ines, 1, &v1, &v2).await.problem(404, "not_found");
    assert_ne!(both(&ines, 1).await[1], v2);
    for (path, code, pointer) in [
        (format!("/images/no-hash/changes?from={v1}&to={v1}"), "invalid_hash", "/md5"),
        (format!("{}/changes?from={v1}", image(1)), "invalid_field", ""),
        (format!("{}/changes?to={v1}", image(1)), "invalid_field", ""),
        (format!("{}/changes?from=v1&to={v1}", image(1)), "invalid_field", "/from"),
        (format!("{}/changes?from={v1}&to=", image(1)), "invalid_field", "/to"),
        (format!("{}/changes?from={v1}&to={v1}%00", image(1)), "invalid_field", "/to"),
        (format!("{}/changes?from={v1}&to={v1}&label=car", image(1)), "unknown_field", "/label"),
        (format!("{}/changes?from={v1}&from={v1}&to={v1}", image(1)), "duplicate_key", ""),
    ] {
        let problem = ines.get(&path).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn of_two_results_so_much_is_compared_and_told_and_no_more() {
    let (app, ines, _, _new) = harbour().await;
    let [v1, v2] = both(&ines, 1).await;
    // More was gained than has room; then there are more items than are compared.
    for (many, most) in [
        (
            "UPDATE outcome SET document = jsonb_build_object('fields', '{}'::jsonb, 'items', (
               SELECT jsonb_agg(jsonb_build_object('type', 'text', 'text', n || repeat('x', 9000))) FROM generate_series(1, 300) AS n))
             WHERE version_id = (SELECT id FROM model_version WHERE name = 'v2')",
            512 * 1024,
        ),
        (
            "UPDATE outcome SET document = jsonb_build_object('fields', '{}'::jsonb, 'items', (
               SELECT jsonb_agg(jsonb_build_object('type', 'text', 'text', n::text)) FROM generate_series(1, 501) AS n))
             WHERE version_id = (SELECT id FROM model_version WHERE name = 'v2')",
            64 * 1024,
        ),
    ] {
        app.alter(many).await;
        let answer = compared(&ines, 1, &v1, &v2).await;
        let told = answer.ok(200);
        assert_eq!((&told["incomplete"], told["lost"].as_array().map(Vec::len)), (&json!(true), Some(1)));
        let gained = told["gained"].as_array().expect("items").len();
        assert!((10..=500).contains(&gained) && answer.bytes.len() < most + 4096, "{gained} in {}", answer.bytes.len());
    }
}
