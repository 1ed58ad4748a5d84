//! Filters that do not hold, and such as mean harm.

use serde_json::Value;

use super::{found, search};
use crate::kit::app::TestApp;
use crate::kit::images::{md5_of, photo};

#[tokio::test]
async fn a_filter_that_does_not_hold_is_told_where() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    app.worker("object_detect").await;
    ines.submit(&[("a.png", photo(1))], &["object_detect"]).await;
    let (thousand, long) = ("beach ".repeat(1_000), "x".repeat(10_000));
    let unknown = format!("similar:{}", md5_of(b"nothing"));
    let (unhashed, unembedded) =
        (format!("similar:{}", md5_of(&photo(1))), format!("-tag:x like:{}", md5_of(&photo(1))));
    let cases = [
        ("beach lable:person", 7, "label:"),
        ("label:person>=high", 15, "no number"),
        ("text:\"street", 6, "not closed"),
        ("text:ab", 6, "3 characters"),
        ("tag:x model:object_detcet", 7, "object_detect"),
        ("failed:nobody", 1, "no model"),
        ("beach\0", 6, "not to be seen"),
        ("\u{202e}beach", 1, "not to be seen"),
        (&unknown, 1, "not yours"),
        (&unhashed, 1, "hash"),
        (&unembedded, 8, "embedding"),
        (&thousand, 1, "bytes"),
        (&thousand[..600], 193, "32"),
        (&long, 1, "4096"),
    ];
    for (filter, place, why) in cases {
        for path in ["/search", "/search/counts"] {
            let query = serde_urlencoded::to_string([("q", filter)]).expect("a query");
            let problem = ines.get(&format!("{path}?{query}")).await.problem(422, "invalid_filter");
            let error = &problem["errors"][0];
            assert_eq!((&error["in"], &error["pointer"]), (&"query".into(), &"/q".into()), "{problem}");
            let detail = error["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(&format!("at character {place}:")) && detail.contains(why), "{filter}: {detail}");
        }
    }
    for (fields, field) in [
        (&[("case", "harbour")][..], "/case"),
        (&[("limit", "0")], "/limit"),
        (&[("cursor", "x")], "/cursor"),
        (&[("colour", "red")], "/colour"),
    ] {
        let answer = search(&ines, fields).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["errors"][0]["pointer"], field);
    }
    search(&ines, &[("case", "00000000-0000-4000-8000-000000000000")]).await.problem(404, "not_found");
    assert_eq!(found(&ines, "").await, ["a.png"]);
}

#[tokio::test]
async fn as_much_as_a_filter_may_ask_is_answered() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    app.worker("ocr").await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    let full = "-text:street -label:car -faces>=1 -tag:x ".repeat(8);
    assert_eq!(found(&ines, &full).await.len(), 2);
    let quoted = format!("-\"{}\"", "日".repeat(1_000));
    assert_eq!(found(&ines, &quoted).await.len(), 2);
    let page = search(&ines, &[("q", "label:\"a\tb\"")]).await.ok(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(0), "{page}");
    assert_eq!(page["next_cursor"], Value::Null);
}
