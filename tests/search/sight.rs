//! What is another's is not found, not counted, and nothing is learnt of it by asking.

use axum::http::Method;
use serde_json::{Value, json};

use super::{counts, found, say, search, told, worker};
use crate::kit::app::TestApp;
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

async fn new_case(who: &Client, name: &str) -> String {
    let made = who.post("/cases", json!({"name": name, "description": ""})).await.ok(201);
    made["id"].as_str().expect("an id").to_owned()
}

async fn submit_to(who: &Client, case: &str, name: &str, bytes: &[u8]) {
    who.upload(Form::default().file(name, bytes).text("models", "ocr").text("case", case)).await.ok(202);
}

async fn tag(who: &Client, case: &str, bytes: &[u8], tag: &str) {
    let body = json!({"images": [md5_of(bytes)], "add": [tag], "remove": []});
    who.post(&format!("/cases/{case}/tags"), body).await.ok(200);
}

#[tokio::test]
async fn what_is_in_no_case_of_ones_own_is_not_there() {
    let app = TestApp::new().await;
    let (ines, ivo, ocr) = (app.investigator("ines").await, app.investigator("ivo").await, worker(&app, "ocr").await);
    let (harbour, secret) = (new_case(&ines, "Harbour").await, new_case(&ivo, "Secret").await);
    submit_to(&ines, &harbour, "ours.png", &photo(1)).await;
    say(&ocr, json!({"items": [{"type": "label", "label": "ship"}], "fields": {}})).await;
    submit_to(&ivo, &secret, "hidden.png", &photo(2)).await;
    say(&ocr, json!({"items": [{"type": "label", "label": "gold"}, {"type": "text", "text": "treasure"}], "fields": {"n": 7}})).await;
    app.write_down_items().await;
    // The same image, under another name and with a tag of its own.
    submit_to(&ivo, &secret, "codename.png", &photo(1)).await;
    tag(&ivo, &secret, &photo(1), "traitor").await;
    tag(&ines, &harbour, &photo(1), "boats").await;
    let in_secret = format!("case:{secret}");
    for filter in [
        "hidden",
        "name:codename",
        "label:gold",
        "text:treasure",
        "n=7",
        "tag:traitor",
        "by:ivo",
        "case:Secret",
        &in_secret,
    ] {
        assert_eq!(found(&ines, filter).await, Vec::<String>::new(), "{filter}");
        let nothing = json!({"images": {"count": 0, "at_least": false}, "labels": [], "models": [], "tags": []});
        assert_eq!(counts(&ines, filter).await, nothing, "{filter}");
    }
    for filter in
        ["", "-name:codename", "-tag:traitor", "-by:ivo", "-case:Secret", "case:harbour", "tag:boats", "by:ines"]
    {
        assert_eq!(found(&ines, filter).await, ["ours.png"], "{filter}");
    }
    let told_of = counts(&ines, "").await;
    assert_eq!(
        (&told_of["labels"], &told_of["tags"]),
        (&json!([{"label": "ship", "images": 1}]), &json!([{"tag": "boats", "images": 1}]))
    );
    let page = search(&ines, &[("q", "")]).await.ok(200);
    assert_eq!((&page["items"][0]["case"], &page["items"][0]["tags"]), (&json!(harbour), &json!(["boats"])));
    search(&ines, &[("case", &secret)]).await.problem(404, "not_found");
    assert_eq!(told(&search(&ines, &[("case", &harbour)]).await.ok(200), "name"), ["ours.png"]);
    let admin = app.admin().await;
    assert_eq!(found(&admin, "").await, ["codename.png", "hidden.png"]);
    assert_eq!(found(&admin, "-case:Secret").await, ["ours.png"]);
    assert_eq!(found(&admin, "tag:boats").await, ["ours.png"]);
    assert_eq!(told(&search(&admin, &[("case", &secret)]).await.ok(200), "name"), ["codename.png", "hidden.png"]);
}

#[tokio::test]
async fn an_image_of_several_cases_is_one_hit_by_its_newest_title_that_fits() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    app.investigator("ivo").await;
    app.worker("ocr").await;
    let (harbour, station) = (new_case(&ines, "Harbour").await, new_case(&ines, "Station").await);
    let member = format!("/cases/{harbour}/members/ivo");
    let set = ines.call(Method::PUT, &member, Some(json!({"role": "editor"}))).await;
    assert!(set.status.is_success(), "{}", set.status);
    submit_to(&ines, &harbour, "first.png", &photo(1)).await;
    submit_to(&ines, &station, "second.png", &photo(1)).await;
    let ivo = app.log_in("ivo", crate::kit::app::PASSWORD).await.through(app.router.clone());
    crate::kit::app::until("ivo's membership", async || ivo.get(&format!("/cases/{harbour}")).await.status == 200)
        .await;
    submit_to(&ivo, &harbour, "third.png", &photo(1)).await;
    tag(&ines, &harbour, &photo(1), "boats").await;
    for (filter, expected) in [
        ("", &["third.png"][..]),
        ("by:ines", &["second.png"]),
        ("case:station", &["second.png"]),
        ("case:harbour by:ines", &["first.png"]),
        ("case:station by:ivo", &[]),
        ("name:first", &["first.png"]),
        ("-name:third", &["second.png"]),
        ("tag:boats", &["third.png"]),
        ("-tag:boats", &["second.png"]),
        ("case:station tag:boats", &[]),
    ] {
        assert_eq!(found(&ines, filter).await, expected, "{filter}");
        let count = counts(&ines, filter).await["images"]["count"].clone();
        assert_eq!(count, expected.len(), "{filter}");
    }
    assert_eq!(found(&ivo, "by:ines").await, ["first.png"], "of the other case he is no member");
    assert_eq!(counts(&ivo, "").await["tags"], json!([{"tag": "boats", "images": 1}]));
    // Who is no member any more sees nothing of it.
    ines.delete(&member).await;
    crate::kit::app::until("the end of it", async || found(&ivo, "").await.is_empty()).await;
    let page = search(&ivo, &[("case", &harbour)]).await;
    assert_eq!(page.problem(404, "not_found")["status"], 404);
    assert_ne!(Value::Null, json!(station));
}
