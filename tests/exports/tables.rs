//! CSV and NDJSON, read back and held against what the server says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NAMES, Pier};
use crate::kit::form::Form;
use crate::kit::images::md5_of;
use crate::kit::pictures::picture;

/// The lines of an export, by photograph.
async fn lines(pier: &Pier, q: &str) -> Vec<Value> {
    let text = String::from_utf8(pier.export(&pier.viewer, "ndjson", q).await).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_line_of_ndjson_tells_all_that_the_server_says_of_an_image() {
    let pier = Pier::new().await;
    // A version more, of which the record tells both.
    let lines = lines(&pier, "").await;
    let order: Vec<&Value> = lines.iter().map(|line| &line["md5"]).collect();
    let newest_first: Vec<String> = pier.photos.iter().rev().map(|photo| md5_of(photo)).collect();
    assert_eq!(order, newest_first.iter().collect::<Vec<_>>());
    for (place, line) in lines.iter().rev().enumerate() {
        let record = pier.record(place).await;
        for field in ["md5", "sha256", "bytes", "media_type", "width", "height", "frames", "orientation", "warnings"] {
            assert_eq!(line[field], record[field], "{field}");
        }
        for field in ["taken_at", "camera", "lens", "latitude", "longitude", "phash"] {
            assert_eq!(line["derived"][field], record["derived"][field], "{field}");
        }
        assert_eq!((&line["names"][0]["name"], &line["names"][1]), (&record["name"], &Value::Null));
        assert_eq!((&line["names"][0]["name"], &line["names"][0]["by"]), (&json!(NAMES[place]), &json!("olga")));
        let (told, known) = (line["results"].as_array().expect("results"), record["results"].as_array().expect("some"));
        assert_eq!(told.len(), known.len());
        for (told, known) in told.iter().zip(known) {
            for field in ["model", "version", "params", "job", "finished_at", "result"] {
                assert_eq!(told[field], known[field], "{field} of {NAMES:?}");
            }
        }
    }
    let first = &lines[3];
    assert_eq!((&first["tags"][0]["tag"], &first["tags"][1]["tag"]), (&json!("@night"), &json!("harbour")));
    assert_eq!(first["notes"][0]["text"], "the same jacket\n=1+1");
    let failed = &lines[0]["unsuccessful"];
    assert_eq!((&failed[0]["model"], &failed[0]["reason"]), (&json!("detect"), &json!("rejected")));
    assert_eq!(failed[1]["error_message"], "no \"text\",\nhere");
    let params: BTreeSet<String> =
        first["results"].as_array().expect("results").iter().map(|r| r["params"].to_string()).collect();
    assert_eq!(params, BTreeSet::from(["{}".to_owned(), r#"{"language":"nl"}"#.to_owned()]));
}

#[tokio::test]
async fn a_filter_says_what_is_taken_and_another_case_tells_nothing() {
    let pier = Pier::new().await;
    let md5 = md5_of(&pier.photos[0]);
    assert_eq!(lines(&pier, "label:person>=0.5").await[0]["md5"], md5);
    assert_eq!(lines(&pier, &format!("similar:{md5}")).await.len(), 4);
    assert_eq!(lines(&pier, "label:nobody").await.len(), 0);

    // Another case holds the same photograph under another name, asked with other params, and one more.
    let made = pier.stranger.post("/cases", json!({"name": "Station"})).await.ok(201);
    let station = made["id"].as_str().expect("an id");
    let form = Form::default().file("secret.jpg", &pier.photos[0]).file("b.png", &picture(9)).text("case", station);
    pier.stranger.upload(form.text("models", "ocr").text("params", r#"{"ocr":{"look_for":"him"}}"#)).await.ok(202);
    for job in pier.ocr.claim(8).await {
        pier.ocr.succeed(&job).await;
    }
    pier.stranger.post(&format!("/cases/{station}/tags"), json!({"images": [md5], "add": ["theirs"]})).await.ok(200);
    let text = String::from_utf8(pier.export(&pier.owner, "ndjson", "").await).expect("UTF-8");
    assert_eq!(text.lines().count(), 4);
    let secrets = ["secret.jpg", "look_for", "theirs", "Station", station, "ivo"];
    assert_eq!(secrets.into_iter().find(|secret| text.contains(secret)), None, "{text}");
    // What was said with them is known to whoever holds the image, as the record tells it.
    let line: Value = serde_json::from_str(text.lines().last().expect("the first photograph")).expect("JSON");
    let record = pier.record(0).await;
    assert_eq!(line["results"].as_array().map(Vec::len), Some(3));
    assert_eq!(record["results"].as_array().map(Vec::len), Some(3));
}

/// The cells of CSV (RFC 4180).
pub fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted && cell.is_empty() && row.is_empty(), "it ends in the middle of a row");
    rows
}

#[tokio::test]
async fn a_row_of_csv_is_an_item_and_no_cell_is_a_formula() {
    let pier = Pier::new().await;
    let text = String::from_utf8(pier.export(&pier.viewer, "csv", "").await).expect("UTF-8");
    let mut rows = parse(&text);
    let titles = rows.remove(0);
    assert!(rows.iter().all(|row| row.len() == titles.len()));
    let cell = |row: &[String], title: &str| {
        row[titles.iter().position(|known| known == title).unwrap_or_else(|| panic!("no column {title}"))].clone()
    };
    let of = |photo: usize, model: &str| -> Vec<Vec<String>> {
        let md5 = md5_of(&pier.photos[photo]);
        rows.iter().filter(|row| cell(row, "md5") == md5 && cell(row, "model") == model).cloned().collect()
    };
    // A row for each item of the first; one for a result without items, and for what failed.
    let items = of(0, "detect");
    let kinds: Vec<String> = items.iter().map(|row| cell(row, "type")).collect();
    assert_eq!(kinds, ["box", "box", "label", "points", "hash", "own-kind"]);
    assert_eq!([of(0, "ocr").len(), of(1, "ocr").len(), of(2, "ocr").len(), of(3, "ocr").len()], [1, 1, 1, 1]);
    assert_eq!(rows.len(), 6 + 1 + 2 + 2 + 2);
    let told = ["label", "score", "left", "top", "right", "bottom", "item"].map(|title| cell(&items[0], title));
    assert_eq!(told, ["person", "0.9", "0.1", "0.2", "0.5", "0.6", "0"]);
    assert_eq!(cell(&items[1], "label"), "'=car");
    assert_eq!(
        (cell(&items[4], "label"), cell(&items[4], "text")),
        ("phash".to_owned(), "a0fd6ec4373284c7".to_owned())
    );
    // What is measured in nobody knows what, is told nothing of.
    assert_eq!(["label", "left", "bottom"].map(|title| cell(&items[5], title)), [""; 3]);
    assert_eq!((cell(&items[0], "summary"), cell(&items[1], "summary")), ("one person".to_owned(), String::new()));
    let fields: Value = serde_json::from_str(&cell(&items[0], "fields")).expect("JSON");
    assert_eq!(fields, json!({"faces": 1, "side": "left"}));
    let named = ["name", "tags", "camera", "width", "height", "taken_at", "by"].map(|title| cell(&items[0], title));
    assert_eq!(
        named,
        ["../../etc/passwd.jpg", "'@night; harbour", "'=Camera, \"X\"", "30", "40", "2026-08-01T18:30:00", "olga"]
    );
    assert_eq!(cell(&of(1, "ocr")[0], "text"), "'+31 6 1234");
    assert_eq!(cell(&of(1, "ocr")[0], "name"), format!("'{}", NAMES[1]));
    let failed = &of(3, "ocr")[0];
    assert_eq!(
        (cell(failed, "state"), cell(failed, "why")),
        ("failed".to_owned(), "rejected: =ValueError: no \"text\",\nhere".to_owned())
    );
    let formula = rows.iter().flatten().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
    assert_eq!(formula, None);
}
