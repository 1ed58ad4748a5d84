//! Bad input on every operation of cases.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Harbour;
use crate::kit::images::{md5_of, photo};

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn each_fault_names_its_field_and_leaves_nothing() {
    let h = Harbour::new().await;
    let md5 = md5_of(&photo(1));
    let long = |n: usize| "x".repeat(n);
    let cases: Vec<(Method, String, Value, u16, &str, &str)> = vec![
        (Method::POST, "/cases".into(), json!({}), 422, "invalid_field", ""),
        (Method::POST, "/cases".into(), json!({"name": ""}), 422, "invalid_field", "/name"),
        (Method::POST, "/cases".into(), json!({"name": " x"}), 422, "invalid_field", "/name"),
        (Method::POST, "/cases".into(), json!({"name": "a\nb"}), 422, "invalid_field", "/name"),
        (Method::POST, "/cases".into(), json!({"name": "\u{202e}gpj"}), 422, "invalid_field", "/name"),
        (Method::POST, "/cases".into(), json!({"name": "a\0"}), 422, "nul_character", ""),
        (Method::POST, "/cases".into(), json!({"name": long(201)}), 422, "invalid_field", "/name"),
        (
            Method::POST,
            "/cases".into(),
            json!({"name": "x", "description": long(4001)}),
            422,
            "invalid_field",
            "/description",
        ),
        (
            Method::POST,
            "/cases".into(),
            json!({"name": "x", "description": "\u{1b}[2J"}),
            422,
            "invalid_field",
            "/description",
        ),
        (Method::POST, "/cases".into(), json!({"name": "x", "colour": 1}), 422, "unknown_field", "/colour"),
        (Method::GET, "/cases?limit=0".into(), Value::Null, 422, "invalid_field", "/limit"),
        (Method::GET, "/cases?cursor=x".into(), Value::Null, 422, "invalid_field", "/cursor"),
        (Method::GET, "/cases/x".into(), Value::Null, 422, "invalid_field", ""),
        (Method::GET, format!("/cases/{}", Uuid::new_v4()), Value::Null, 404, "not_found", ""),
        (Method::PATCH, h.path(""), json!({"name": ""}), 422, "invalid_field", "/name"),
        (Method::PATCH, h.path(""), json!({"closed": "yes"}), 422, "invalid_field", "/closed"),
        (Method::DELETE, format!("/cases/{}", Uuid::new_v4()), Value::Null, 404, "not_found", ""),
        (Method::GET, h.path("/receipt"), Value::Null, 404, "not_found", ""),
        (Method::PUT, h.path("/members/vi"), json!({"role": "king"}), 422, "invalid_field", "/role"),
        (Method::PUT, h.path("/members/vi"), json!({}), 422, "invalid_field", ""),
        (Method::PUT, h.path("/members/a%00b"), json!({"role": "editor"}), 422, "nul_character", ""),
        (Method::PUT, h.path("/members/Nobody%20at%20all"), json!({"role": "editor"}), 404, "not_found", ""),
        (Method::POST, h.path("/tags"), json!({"images": []}), 422, "no_image", "/images"),
        (Method::POST, h.path("/tags"), json!({"images": vec![&md5; 1001]}), 422, "too_many_images", "/images"),
        (Method::POST, h.path("/tags"), json!({"images": [md5], "add": [""]}), 422, "invalid_field", "/add/0"),
        (
            Method::POST,
            h.path("/tags"),
            json!({"images": [md5], "add": ["x", long(65)]}),
            422,
            "invalid_field",
            "/add/1",
        ),
        (Method::POST, h.path("/tags"), json!({"images": [md5], "add": vec!["x"; 51]}), 422, "invalid_field", "/add"),
        (
            Method::POST,
            h.path("/tags"),
            json!({"images": [md5], "add": ["x"], "remove": ["x"]}),
            422,
            "invalid_field",
            "/remove",
        ),
        (Method::GET, h.path("/notes?image=x"), Value::Null, 422, "invalid_hash", "/image"),
        (Method::GET, h.path("/notes?limit=501"), Value::Null, 422, "invalid_field", "/limit"),
        (Method::POST, h.path("/notes"), json!({"text": " \n"}), 422, "invalid_field", "/text"),
        (Method::POST, h.path("/notes"), json!({"text": long(4001)}), 422, "invalid_field", "/text"),
        (Method::POST, h.path("/notes"), json!({"text": "x", "image": "x"}), 422, "invalid_hash", "/image"),
        (Method::POST, h.path("/notes"), json!({"text": "x", "image": md5_of(b"nothing")}), 404, "not_found", "/image"),
        (Method::DELETE, h.path(&format!("/notes/{}", Uuid::new_v4())), Value::Null, 404, "not_found", ""),
        (Method::DELETE, h.path("/notes/x"), Value::Null, 422, "invalid_field", ""),
        (Method::PUT, h.path("/filters/x"), json!({"filter": ""}), 422, "invalid_field", "/filter"),
        (Method::PUT, h.path("/filters/x"), json!({"filter": long(2001)}), 422, "invalid_field", "/filter"),
        (Method::PUT, h.path("/filters/x"), json!({"filter": "tag:y lable:x"}), 422, "invalid_filter", "/filter"),
        (Method::PUT, h.path("/filters/x"), json!({"filter": "ab"}), 422, "invalid_filter", "/filter"),
        (Method::PUT, h.path("/filters/x"), json!({"filter": "\"open"}), 422, "invalid_filter", "/filter"),
        (Method::PUT, h.path("/filters/%20x"), json!({"filter": "x"}), 422, "invalid_field", "/name"),
        (Method::DELETE, h.path("/filters/none"), Value::Null, 404, "not_found", ""),
        (Method::GET, "/images?case=x".into(), Value::Null, 422, "invalid_field", "/case"),
        (Method::GET, format!("/images?case={}", Uuid::new_v4()), Value::Null, 404, "not_found", "/case"),
        (Method::GET, format!("/submissions?case={}", Uuid::new_v4()), Value::Null, 404, "not_found", "/case"),
        (
            Method::POST,
            "/predict".into(),
            json!({"images": [md5], "models": ["ocr"], "case": "x"}),
            422,
            "invalid_field",
            "/case",
        ),
        (
            Method::POST,
            "/predict".into(),
            json!({"images": [md5], "models": ["ocr"], "case": Uuid::new_v4()}),
            404,
            "not_found",
            "/case",
        ),
    ];
    for who in [&h.owner, &h.admin] {
        for (method, path, body, status, code, pointer) in &cases {
            let answer = who.call(method.clone(), path, (!body.is_null()).then(|| body.clone())).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["code"].as_str()),
                (*status, Some(*code)),
                "{method} {path} {body}: {}",
                answer.json()
            );
            if !pointer.is_empty() {
                assert_eq!(
                    answer.json()["errors"][0]["pointer"],
                    *pointer,
                    "{method} {path} {body}: {}",
                    answer.json()
                );
            }
            answer.problem(*status, code);
        }
        for case in ["x", ""] {
            let form = super::to_case(case, 9);
            let answer = who.upload(form).await;
            if case.is_empty() {
                assert_eq!(answer.ok(202)["images"][0]["new"], true, "an empty field is one that is left out");
            } else {
                assert_eq!(answer.problem(422, "invalid_field")["errors"][0]["pointer"], "/case");
            }
        }
        let form = super::to_case(&Uuid::new_v4().to_string(), 8);
        assert_eq!(who.upload(form).await.problem(404, "not_found")["errors"][0]["pointer"], "/case");
    }
    assert_eq!(h.app.count("SELECT count(*) FROM casefile WHERE own_of IS NULL").await, 1);
    let kept = "SELECT (SELECT count(*) FROM tag) + (SELECT count(*) FROM note) + (SELECT count(*) FROM saved_filter)";
    assert_eq!(h.app.count(kept).await, 0);
    // Names that look like commands are texts.
    let odd = "'; DROP TABLE casefile; -- <script>alert(1)</script> 日本語 👩🏽‍🔬";
    let made = h.owner.post("/cases", json!({"name": odd, "description": "a\n\tb"})).await.ok(201);
    assert_eq!((&made["name"], &made["description"]), (&json!(odd), &json!("a\n\tb")));
}
