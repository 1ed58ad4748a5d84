//! Who can write Redis, or holds one of the database's passwords, gains no more than that.

use serde_json::{Value, json};

use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};
use crate::lookup::Mirror;

fn path(n: u64) -> String {
    format!("/predict/{}", md5_of(&photo(n)))
}

/// Two images of Ines's that have ended, and are mirrored whole.
async fn mirrored() -> (TestApp, Client, [Mirror; 2]) {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    for n in [1, 2] {
        ines.submit(&[("a.png", photo(n))], &["ocr"]).await;
        worker.succeed(&worker.claim(1).await[0]).await;
        assert_eq!(ines.get(&path(n)).await.ok(200)["status"], "succeeded");
    }
    let mirrors = [Mirror::of(&app).await, Mirror::of_image(&app, &md5_of(&photo(2))).await];
    assert_eq!(darkroom::maintenance::count_forged(&app.ctx), 0);
    (app, ines, mirrors)
}

fn title(app_user: &Value) -> String {
    format!("u:{}", app_user["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn who_writes_redis_grants_itself_no_image() {
    let (app, ines, [one, two]) = mirrored().await;
    let otto = app.investigator("otto").await;
    let (own, foreign) =
        (title(&otto.get("/auth/profile").await.ok(200)), title(&ines.get("/auth/profile").await.ok(200)));
    let of_ines = one.field(&foreign).await.expect("her title");
    otto.submit(&[("b.png", photo(2))], &["ocr"]).await;
    otto.get(&path(2)).await.ok(200);
    let of_other_image = two.field(&own).await.expect("his title to another");
    // Somebody else's title, one of another image, and whatever comes to mind.
    for granted in [of_ines.as_str(), &of_other_image, "1", "", &format!("{} 1", "0".repeat(32))] {
        one.put_field(&own, granted).await;
        otto.get(&path(1)).await.problem(404, "not_found");
        let asked = json!({"images": [md5_of(&photo(1))]});
        assert_eq!(otto.post("/predict/status", asked).await.ok(200)["items"][0]["status"], Value::Null, "{granted:?}");
        assert!(darkroom::maintenance::count_forged(&app.ctx) > 0, "{granted:?}");
    }
}

#[tokio::test]
async fn who_writes_redis_forges_no_result() {
    let (app, ines, [one, two]) = mirrored().await;
    let truth = ines.get(&path(1)).await.ok(200);
    let both = async || {
        let status =
            ines.post("/predict/status", json!({"images": [md5_of(&photo(1))], "results": true})).await.ok(200);
        [ines.get(&path(1)).await.ok(200)["results"].clone(), status["items"][0]["results"].clone()]
    };
    let (answer, status) = (one.field("a:").await.expect("an answer"), one.field("s:").await.expect("a status"));
    for (field, own, other_field) in [("a:", &answer, &status), ("s:", &status, &answer)] {
        let of_other_image = two.field(field).await.expect("a value");
        let (seal, value) = own.split_once(' ').expect("a seal");
        let altered = value.replace("\"ok\": true", "\"ok\": false");
        assert_ne!(altered, value);
        let left_out = r#"{"jobs":{},"results":{}}"#;
        let forged = [
            altered.clone(),
            format!("{seal} {altered}"),
            format!("{seal} {left_out}"),
            of_other_image,
            other_field.clone(),
        ];
        for forged in forged {
            until("the truth to be mirrored", async || one.field("s:").await.as_ref() == Some(&status)).await;
            one.put_field(field, &forged).await;
            assert_eq!(both().await, [truth["results"].clone(), truth["results"].clone()], "{field} {forged}");
            assert!(darkroom::maintenance::count_forged(&app.ctx) > 0, "{field} {forged}");
        }
    }
}

#[tokio::test]
async fn what_was_sealed_in_another_epoch_is_a_miss() {
    let (app, ines, [one, _]) = mirrored().await;
    let (answer, status) = (one.field("a:").await.expect("an answer"), one.field("s:").await.expect("a status"));
    // As at another Redis: a new epoch, under which the old values are put again.
    app.alter("UPDATE setting SET value = split_part(value, ' ', 1) || ' another' WHERE name = 'redis_epoch'").await;
    app.ctx.index.disconnect();
    darkroom::maintenance::reconnect(&app.ctx).await.expect("redis");
    let later = Mirror::of(&app).await;
    later.put_field("a:", &answer).await;
    later.put_field("s:", &status).await;
    assert_eq!(ines.get(&path(1)).await.ok(200)["done"], true);
    assert!(darkroom::maintenance::count_forged(&app.ctx) > 0);
    assert_ne!(later.field("s:").await, Some(status), "it was read from PostgreSQL, and mirrored anew");
}
